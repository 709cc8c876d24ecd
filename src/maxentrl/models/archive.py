"""Problems as npz archives: named arrays, nothing that could run."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from maxentrl.core.check import InputError, check_memory
from maxentrl.core.files import open_atomically
from maxentrl.core.precision import in_double_precision
from maxentrl.models.tabular import TabularMDP
from maxentrl.models.transition import Dense, Sparse

KEYS = (
    "transition", "successor", "probability", "reward", "log_prior", "initial", "terminal",
    "state_names", "action_names", "coordinates",
)  # fmt: skip
"""Everything an archive may hold."""

BROKEN = (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged archive can raise."""


def load_archive(path: str | Path) -> TabularMDP:
    """Read a problem from an npz archive, as `numpy.savez` or `save_problem` writes it.

    Keys, where S, A, K count states, actions and successors:
        transition [S, A, S] probabilities; or, for a sparse problem, successor [S, A, K] whole numbers and
            probability [S, A, K], padded with probability 0;
        reward [S, A], or [T, S, A] when it changes with time; -inf forbids an action;
        log_prior [S, A] log-weights in nats, optional (uniform over the allowed actions when absent);
        initial [S] start probabilities, optional (uniform over the live states when absent);
        terminal [S] truth values, optional (none when absent);
        state_names [S], action_names [A] text, optional; coordinates [S, 2] column and row, optional.

    The sizes are taken from the headers and compared before any array is read; nothing is ever unpickled. The
    problem computes in float32 if its probabilities are float32, else in float64. What `save_problem` wrote
    comes back bit for bit.

    Raises:
        InputError: naming the file and the key.
    """
    path = Path(path)
    try:
        shapes = _read_headers(path)
        _check_headers(path, shapes)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in shapes}
    except InputError:
        raise
    except BROKEN as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        reason = reason or type(error).__name__
        raise InputError(f"{path} cannot be read as an npz archive: {reason.rstrip('.')}.") from None
    try:
        return _build(arrays)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def save_problem(mdp: TabularMDP, path: str | Path) -> None:
    """Write a problem as an npz archive with the keys of `load_archive`.

    The file appears whole or not at all.

    Raises:
        InputError: if the name does not end in .npz or the folder cannot be written to.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise InputError(f"a problem is saved under a name that ends in .npz; got {path}.")
    if isinstance(mdp.transition, Dense):
        arrays = {"transition": mdp.transition.probability}
    else:
        arrays = {
            "successor": np.asarray(mdp.transition.successor).transpose(2, 0, 1),
            "probability": np.asarray(mdp.transition.probability).transpose(2, 0, 1),
        }
    for key in KEYS[3:]:
        value = getattr(mdp, key)
        if value is not None:
            arrays[key] = np.asarray(value)
    with open_atomically(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def _read_headers(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each array, from the headers alone; refuses objects, unknown keys and untrue sizes."""
    shapes: dict[str, tuple[int, ...]] = {}
    total = 0
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            key = member.filename.removesuffix(".npy")
            if key not in KEYS or key in shapes:
                raise InputError(
                    f"{path} holds {key!r}; a problem has, once each, some of the keys {', '.join(KEYS)}."
                )
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                if version not in ((1, 0), (2, 0)):
                    raise InputError(f"{path}: {key} has array format {version}; 1.0 and 2.0 can be read.")
                read = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = read(file)
                held = member.file_size - file.tell()
            if dtype.hasobject:
                raise InputError(
                    f"{path}: {key} holds Python objects, which are never loaded; store numbers or text."
                )
            if key.endswith("names") and dtype.kind != "U":
                raise InputError(f"{path}: {key} must hold text; got {dtype}.")
            if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != held:
                raise InputError(
                    f"{path}: {key} declares shape {shape} of {dtype}, but {held} bytes are stored."
                )
            shapes[key] = shape
            total += held
    check_memory(3 * total, f"{path}", "aggregate states")
    return shapes


def _check_headers(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """All keys are there, once, and agree on the numbers of states and actions."""
    dense, sparse = "transition" in shapes, {"successor", "probability"} & set(shapes)
    if "reward" not in shapes or dense == bool(sparse) or len(sparse) == 1:
        raise InputError(
            f"{path} must hold reward, and either transition or both successor and probability; it holds "
            f"{', '.join(shapes) or 'nothing'}."
        )
    if len(shapes["reward"]) not in (2, 3):
        raise InputError(f"{path}: reward must have shape [S, A] or [T, S, A]; got {shapes['reward']}.")
    states, actions = shapes["reward"][-2:]
    successors = shapes.get("successor", (0, 0, 0))[-1:]
    wanted = {
        "transition": ("[S, A, S]", (states, actions, states)),
        "successor": ("[S, A, K]", (states, actions, *successors)),
        "probability": ("[S, A, K]", (states, actions, *successors)),
        "log_prior": ("[S, A]", (states, actions)),
        "initial": ("[S]", (states,)),
        "terminal": ("[S]", (states,)),
        "state_names": ("[S]", (states,)),
        "action_names": ("[A]", (actions,)),
        "coordinates": ("[S, 2]", (states, 2)),
    }
    for key, (axes, shape) in wanted.items():
        if key in shapes and shapes[key] != shape:
            raise InputError(
                f"{path}: {key} must have shape {axes} = {shape}, as reward {shapes['reward']} says; "
                f"got {shapes[key]}."
            )


@in_double_precision
def _build(arrays: dict[str, np.ndarray]) -> TabularMDP:
    sparse = "successor" in arrays
    probability = arrays["probability" if sparse else "transition"]
    mdp = TabularMDP(
        (arrays["successor"], probability) if sparse else probability,
        arrays["reward"],
        prior=arrays.get("log_prior", "uniform"),
        initial=arrays.get("initial"),
        terminal=arrays.get("terminal"),
        dtype="float32" if probability.dtype == np.float32 else "float64",
        state_names=_names(arrays.get("state_names")),
        action_names=_names(arrays.get("action_names")),
        coordinates=arrays.get("coordinates"),
    )
    checked = mdp.transition
    if isinstance(checked, Sparse):
        kept = Sparse(
            checked.successor,
            _unless_moved(checked.probability, probability.transpose(1, 2, 0)),
            checked.local,
        )
    else:
        kept = Dense(_unless_moved(checked.probability, probability))
    initial = _unless_moved(mdp.initial, arrays.get("initial", mdp.initial))
    return mdp._replace(transition=kept, initial=initial)


def _unless_moved(checked, stored) -> np.ndarray:
    """The stored number wherever checking moved it by rounding only, as rescaling a row once more does."""
    checked = np.asarray(checked)
    stored = np.asarray(stored, checked.dtype)
    same = np.abs(checked - stored) <= 16 * np.finfo(checked.dtype).eps * np.abs(checked)
    return np.ascontiguousarray(np.where(same, stored, checked))


def _names(array: np.ndarray | None) -> list[str] | None:
    return None if array is None else array.tolist()
