"""Problems as npz archives: named arrays, nothing that could run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from maxentrl.core.check import InputError
from maxentrl.core.files import open_atomically
from maxentrl.core.npz import Header, npz_keys, read_headers, read_npz
from maxentrl.core.precision import in_double_precision
from maxentrl.models.tabular import TabularMDP
from maxentrl.models.transition import Dense, Sparse

KEYS = (
    "transition", "successor", "probability", "reward", "log_prior", "initial", "terminal",
    "state_names", "action_names", "coordinates",
)  # fmt: skip
"""Everything an archive may hold."""


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
    _check_keys(path)
    _check_headers(path, read_headers(path, KEYS))
    arrays = read_npz(path, KEYS)
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


def _check_keys(path: Path) -> None:
    unknown = [key for key in npz_keys(path) if key not in KEYS]
    if unknown:
        raise InputError(f"{path} holds {unknown[0]!r}; a problem has some of the keys {', '.join(KEYS)}.")


def _check_headers(path: Path, headers: dict[str, Header]) -> None:
    """All keys are there and agree on the numbers of states and actions; names are text."""
    for key in ("state_names", "action_names"):
        if key in headers and headers[key].dtype.kind != "U":
            raise InputError(f"{path}: {key} must hold text; got {headers[key].dtype}.")
    shapes = {key: header.shape for key, header in headers.items()}
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
