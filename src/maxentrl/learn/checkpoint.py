"""One file that holds a whole run: every array of it, by name, and the facts about it.

The file is safetensors; its header carries the facts as JSON and a SHA-256 over names, shapes, types, numbers and facts.
It appears whole or not at all, and the one before stays beside it. Nothing in it is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from maxentrl.core.check import InputError
from maxentrl.core.files import flush_folder, open_atomically
from maxentrl.learn.replay import Memory

FORMAT, VERSION, HEADER = "maxentrl checkpoint", 4, "maxentrl"
"""Version 1: all rows of a memory. 2: those in use. 3: tallies and Adam's running means in fewer arrays. 4: a tree for
each seed."""
KEPT = 2
"""The newest checkpoint, and the one to fall back to."""


def named(tree: Any) -> dict[str, np.ndarray]:
    """The arrays of a tree by their path in it; random keys as the numbers behind them; memories without unused rows."""
    found = {}
    for path, leaf in _paths(tree):
        name = name_of(path)
        if isinstance(leaf, Memory):
            written = np.asarray(leaf.written)
            found[f"{name}.rows"] = np.asarray(leaf.rows)[..., : _used(written, leaf.rows.shape[-2]), :]
            found[f"{name}.written"] = written
            continue
        found[name] = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
    return found


def name_of(path: Any) -> str:
    """Where a leaf lies in its tree, in one word."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def rebuilt(like: Any, arrays: dict[str, np.ndarray], what: str, growing: str | None = None) -> Any:
    """A tree of the form of `like` from arrays by name.

    Args:
        like: a tree with arrays of the same shapes and types.
        arrays: as `named` gives them.
        what: where they are from, for messages.
        growing: a name on the way to arrays that may be longer or shorter than in `like`.

    Raises:
        InputError: naming the first array that is missing, one too many, or of another shape or type.
    """
    wanted = named(like)
    for name in [*wanted, *arrays]:
        if name not in arrays:
            raise InputError(f"{what} does not hold {name}, which this run has.")
        if name not in wanted:
            raise InputError(f"{what} holds {name}, which this run does not have.")
    arrays = _filled(like, arrays)
    leaves, form = jax.tree.flatten(like)
    built = []
    for name, leaf in zip(wanted, leaves, strict=True):
        array, random = arrays[name], _is_key(leaf)
        want = jax.random.key_data(leaf) if random else np.asarray(leaf)
        free = 1 if growing in name.split(".") else 0
        if (array.shape[free:], array.ndim, array.dtype) != (want.shape[free:], want.ndim, want.dtype):
            raise InputError(
                f"{what} holds {name} as {array.dtype} {array.shape}; this run has {want.dtype} {want.shape}."
            )
        if random:
            built.append(jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(leaf)))
        else:
            built.append(jnp.asarray(array) if isinstance(leaf, jax.Array) else array)
    return jax.tree.unflatten(form, built)


def _paths(tree: Any) -> list[tuple[Any, Any]]:
    """Every leaf of a tree with the path to it; a memory is one."""
    return jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda leaf: isinstance(leaf, Memory))[0]


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _used(written: np.ndarray, capacity: int) -> int:
    """Rows of a memory, or of memories side by side, in which something was ever stored."""
    return min(int(written.max()), capacity)


def _filled(like: Any, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays with the unused rows of memories, which are zeros, where those that are used are all there."""
    found = dict(arrays)
    for path, leaf in _paths(like):
        if isinstance(leaf, Memory):
            name = f"{name_of(path)}.rows"
            rows, capacity = arrays[name], leaf.rows.shape[-2]
            used = _used(arrays[f"{name_of(path)}.written"], capacity)
            if rows.ndim == leaf.rows.ndim and rows.shape[-2] == used < capacity:
                found[name] = np.zeros((*rows.shape[:-2], capacity, rows.shape[-1]), rows.dtype)
                found[name][..., :used, :] = rows
    return found


def write(
    folder: str | Path, step: int, arrays: dict[str, np.ndarray], facts: dict[str, Any], every: int = 1
) -> Path:
    """Write the checkpoint of a step into `folder`, and remove those that it makes superfluous.

    The newest `KEPT` whose step is a multiple of `every` stay, and before there are any, the one before this. Others, made
    where a run was stopped, go: once two multiples lie behind a run that was interrupted, it leaves the files that it
    would have left otherwise.

    Raises:
        InputError: if the disk refuses; what was there before is still there.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror or error}.") from error
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    about = {"format": FORMAT, "version": VERSION, "facts": facts}
    about["sha256"] = _digest(arrays, facts)
    # One entry, as the format has no order for several, and the same run shall give the same bytes.
    header = {HEADER: json.dumps(about, sort_keys=True)}
    path = folder / f"step-{step:012d}.safetensors"
    with open_atomically(path) as file:
        file.write(save(arrays, header))
    older = [old for old in files(folder) if old != path]
    regular = [old for old in older if int(old.stem.split("-")[1]) % every == 0]
    cut_off = folder.glob(".step-*.partial")  # what a process that was killed while writing has left
    kept = regular[: KEPT - (step % every == 0)] or older[:1]
    for old in {*older, *cut_off} - set(kept):
        old.unlink(missing_ok=True)
    flush_folder(folder)
    return path


def files(folder: str | Path) -> list[Path]:
    """The checkpoints in a folder, the newest first."""
    found = Path(folder).glob("step-*.safetensors")
    return sorted((p for p in found if re.fullmatch(r"step-\d{12}\.safetensors", p.name)), reverse=True)


def left(folder: str | Path | None) -> str:
    """A sentence for whoever lost the run of that folder just now."""
    kept = files(folder) if folder is not None else []
    return f"The last good checkpoint is {kept[0]}." if kept else "There is no checkpoint from before."


def read(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the facts of a checkpoint.

    Raises:
        InputError: if it is no whole checkpoint of a version that is known here.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get(HEADER, "{}"))
            if not isinstance(about, dict) or about.get("format") != FORMAT:
                raise InputError(f"{path} is not a checkpoint of this library.")
            if about.get("version") != VERSION:
                raise InputError(
                    f"{path} is a checkpoint of version {about.get('version')}; version {VERSION} can be read here."
                )
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (SafetensorError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged or no checkpoint: {error}.") from error
    if about.get("sha256") != _digest(arrays, about.get("facts")):
        raise InputError(f"{path} is damaged: its checksum does not match what it holds.")
    return arrays, about["facts"]


def newest(folder: str | Path) -> tuple[Path, dict[str, np.ndarray], dict[str, Any], list[str]]:
    """The newest checkpoint that is whole: its path, arrays and facts, and a sentence for each one passed over.

    Raises:
        InputError: when there is none; with the reason for each that was refused.
    """
    remarks: list[str] = []
    for path in files(folder):
        try:
            return path, *read(path), remarks
        except InputError as error:
            remarks.append(str(error))
    if remarks:
        raise InputError(f"{folder} holds no checkpoint that can be used: {' '.join(remarks)}")
    raise InputError(f"{folder} holds no checkpoint.")


def _digest(arrays: dict[str, np.ndarray], facts: Any) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
