"""Demonstrations as files: CSV with one row per step, and npz with padded arrays. Nothing is ever unpickled.

CSV columns, by name and in any order; others are passed over:
    trajectory  which trajectory the row belongs to
    state       the state's name in the problem, or its number
    action      the action's name in the problem, or its number. Empty in a trajectory's last row: that row
                only says which state was reached in the end
    next_state  optional: the state reached; where absent or empty, the state in the trajectory's next row
    t           optional: whole numbers that rise by 1; unless given, rows are in order of time
    weight      optional: how much the trajectory counts, the same number in all its rows
    group       optional: who made the trajectory, the same in all its rows

npz keys (others are passed over): `states` [N, T] or [N, T+1] and `actions` [N, T] as whole numbers padded
with -1; optional `lengths` [N], `next_states` [N, T], `weights` [N], `ids` [N] and `groups` [N] as text.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from maxentrl.core.check import InputError
from maxentrl.core.files import open_atomically
from maxentrl.core.npz import npz_keys, read_npz
from maxentrl.core.tables import Source, as_numbers, read_columns
from maxentrl.data.trajectories import Trajectories, trajectories_from_arrays, trajectories_from_steps

NPZ_KEYS = ("states", "actions", "lengths", "next_states", "weights", "ids", "groups")

SHOWN = 8
"""Known names listed in a message; the rest are counted."""


@runtime_checkable
class Vocabulary(Protocol):
    """What a file is read against: how many states and actions there are, and what they are called."""

    @property
    def states(self) -> int: ...
    @property
    def actions(self) -> int: ...
    @property
    def state_names(self) -> Sequence[str] | None: ...
    @property
    def action_names(self) -> Sequence[str] | None: ...


def read_trajectories(path: str | os.PathLike[str], mdp: Vocabulary) -> Trajectories:
    """Read demonstrations from a .csv, .csv.gz or .npz file; the module's docstring names columns and keys.

    Args:
        path: the file.
        mdp: the problem they were made in. Its names of states and actions are looked for first; a column in
            which none of them occurs may hold their numbers instead.

    Raises:
        InputError: for a file that is missing, malformed or empty, and for the first unknown state or action,
            with its row.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no file of demonstrations at {path}.")
    if path.name.endswith((".csv", ".csv.gz")):
        return _read_csv(path, mdp)
    if path.suffix == ".npz":
        return _read_npz(path, mdp)
    raise InputError(f"demonstrations must be a .csv, .csv.gz or .npz file; got {path.name}.")


def write_trajectories(
    path: str | os.PathLike[str], demos: Trajectories, mdp: Vocabulary | None = None
) -> None:
    """Write demonstrations to a .csv or .npz file, whole or not at all.

    Args:
        path: the file; its ending chooses the format.
        demos: the trajectories.
        mdp: the problem, when a CSV file shall hold its names of states and actions instead of numbers.

    Raises:
        InputError: for another ending, names that a CSV file would not give back, or if the file cannot be written.
    """
    path = Path(path)
    if path.suffix == ".npz":
        arrays = {
            key: getattr(demos, key) for key in ("states", "actions", "next_states", "lengths", "weights")
        }
        text = {"ids": np.array(demos.ids)} | (
            {} if demos.groups is None else {"groups": np.array(demos.groups)}
        )
        with open_atomically(path) as file:
            np.savez_compressed(file, allow_pickle=False, **arrays, **text)
    elif path.suffix == ".csv":
        with open_atomically(path) as file:
            csv.writer(codecs.getwriter("utf-8")(file), lineterminator="\n").writerows(_rows(demos, mdp))
    else:
        raise InputError(f"demonstrations are written as .csv or .npz; got {path.name}.")


def _rows(demos: Trajectories, mdp: Vocabulary | None) -> Iterator[Sequence[object]]:
    states = None if mdp is None else mdp.state_names
    actions = None if mdp is None else mdp.action_names
    groups = demos.groups
    for names, what in (
        (demos.ids, "trajectory"),
        (states, "state"),
        (actions, "action"),
        (groups, "group"),
    ):
        odd = next((name for name in names or () if name != name.strip()), None)
        if odd is not None:
            raise InputError(
                f"the name of a {what} in a CSV file must not begin or end with a space, which is not read back; "
                f"got {odd!r}."
            )
    yield ["trajectory", "t", "state", "action", "next_state", "weight", *(["group"] if groups else [])]
    for i, length in enumerate(demos.lengths):
        shared = [float(demos.weights[i]), *([groups[i]] if groups else [])]
        for t in range(length):
            s, a, s_next = (int(x[i, t]) for x in (demos.states, demos.actions, demos.next_states))
            reached = "" if s_next < 0 else states[s_next] if states else s_next
            yield [
                demos.ids[i],
                t,
                states[s] if states else s,
                actions[a] if actions else a,
                reached,
                *shared,
            ]


def _read_npz(path: Path, mdp: Vocabulary) -> Trajectories:
    found: dict[str, Any] = dict(read_npz(path, NPZ_KEYS))
    for key in ("states", "actions"):
        if key not in found:
            raise InputError(
                f"{path.name} must hold the arrays states and actions; "
                f"{key} is missing among {', '.join(npz_keys(path)) or 'none'}."
            )
    found |= {key: _text(found[key], key, path) for key in ("ids", "groups") if key in found}
    demos = trajectories_from_arrays(found.pop("states"), found.pop("actions"), **found)
    for name, array, known in (
        ("state", demos.states, mdp.states),
        ("action", demos.actions, mdp.actions),
        ("next state", demos.next_states, mdp.states),
    ):
        if (array >= known).any():
            i, t = np.argwhere(array >= known)[0]
            raise InputError(
                f"{path.name}, trajectory {demos.ids[i]!r}, step {t}: unknown {name} {array[i, t]}; "
                f"known are 0 to {known - 1}."
            )
    return dataclasses.replace(demos, source=Source(path.name, None))


def _text(names: np.ndarray, key: str, path: Path) -> list[str]:
    try:
        return names.ravel().astype(str).tolist()
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name}: {key} must be text; it holds the bytes {error.object!r}.") from None


def _read_csv(path: Path, mdp: Vocabulary) -> Trajectories:
    columns, rows = read_columns(path, ("trajectory", "state", "action"), "demonstrations")
    index: dict[str, int] = {}
    trajectory = np.array([index.setdefault(name, len(index)) for name in columns["trajectory"]])
    ids, first = tuple(index), np.unique(trajectory, return_index=True)[1]
    state = _numbers(columns["state"], mdp.state_names, mdp.states, "state", path, rows)
    action = _numbers(columns["action"], mdp.action_names, mdp.actions, "action", path, rows, empty=True)
    blank = [""] * len(rows)
    following = _numbers(
        columns.get("next_state", blank), mdp.state_names, mdp.states, "next state", path, rows, empty=True
    )
    time = _times(columns.get("t"), path, rows)
    order = np.argsort(trajectory, kind="stable") if time is None else np.lexsort((time, trajectory))
    weights = _shared(columns.get("weight"), trajectory, ids, "weight", path)
    groups = _shared(columns.get("group"), trajectory, ids, "group", path)
    trajectory, state, action, following, rows = (
        x[order] for x in (trajectory, state, action, following, rows)
    )
    last = np.append(trajectory[1:] != trajectory[:-1], True)
    if time is not None:
        _check_times(time[order], trajectory, last, ids, path, rows)
    arrival = action < 0
    if (arrival & ~last).any():
        row = rows[arrival & ~last][0]
        raise InputError(
            f"{path.name}, row {row}: the action is empty; "
            "only the last row of a trajectory may leave it out."
        )
    # A row without an action only tells the row before it where it led.
    known = np.append(np.where(arrival[1:] & (following[:-1] < 0), state[1:], following[:-1]), following[-1])
    torn = np.append(~last[:-1] & (following[:-1] >= 0) & (following[:-1] != state[1:]), False)
    if torn.any():
        raise InputError(
            f"{path.name}, row {rows[torn][0]}: next_state is not the state of the row that follows in trajectory "
            f"{ids[trajectory[torn][0]]!r} ({int(torn.sum())} such rows in all)."
        )
    left = np.bincount(trajectory[~arrival], minlength=len(ids))
    if (left == 0).any():
        raise InputError(f"{path.name}: trajectory {ids[int((left == 0).argmax())]!r} holds no action.")
    return trajectories_from_steps(
        trajectory[~arrival],
        state[~arrival],
        action[~arrival],
        known[~arrival],
        ids=ids,
        weights=None if weights is None else as_numbers(weights, "weight", path, rows[first]),
        groups=groups,
        source=Source(path.name, rows[~arrival]),
    )


def _numbers(
    cells, names, count: int, what: str, path: Path, rows: np.ndarray, empty: bool = False
) -> np.ndarray:
    """Names, or numbers where no name but some number occurs, as indices; -1 where empty."""
    blank = {"": -1} if empty else {}
    plain = {str(i): i for i in range(count)}
    index = plain if names is None else {name: i for i, name in enumerate(names)}
    said = set(cells)
    if not said & index.keys() and said & plain.keys():
        index = plain
    index = index | blank
    found = np.array([index.get(cell, -2) for cell in cells], np.int64)
    unknown = found == -2
    if unknown.any():
        i = int(unknown.argmax())
        names = [name for name in index if name][:SHOWN]
        more = f" and {count - len(names)} more" if count > len(names) else ""
        raise InputError(
            f"{path.name}, row {rows[i]}: unknown {what} {cells[i]!r}; known are {', '.join(names)}{more} "
            f"({int(unknown.sum())} unknown in all)."
        )
    return found


def _times(cells, path: Path, rows: np.ndarray) -> np.ndarray | None:
    if cells is None:
        return None
    found = [_whole(cell) for cell in cells]
    if None in found:
        i = found.index(None)
        raise InputError(
            f"{path.name}, row {rows[i]}: t must be a whole number of 64 bits; got {cells[i]!r}."
        )
    return np.array(found, np.int64)


def _whole(cell: str) -> int | None:
    try:
        number = int(cell)
    except ValueError:
        return None
    return number if abs(number) < 2**63 else None


def _check_times(time, trajectory, last, ids, path: Path, rows: np.ndarray) -> None:
    """Within a trajectory time rises by 1."""
    jump = ~last[:-1] & (time[1:] - time[:-1] != 1)
    if not jump.any():
        return
    i = int(jump.argmax())
    name = ids[trajectory[i]]
    if time[i + 1] == time[i]:
        raise InputError(
            f"{path.name}, row {rows[i + 1]}: trajectory {name!r} has t = {time[i]} more than once."
        )
    raise InputError(
        f"{path.name}, row {rows[i + 1]}: in trajectory {name!r} t jumps from {time[i]} to {time[i + 1]}; "
        "it must rise by 1."
    )


def _shared(cells, trajectory: np.ndarray, ids, what: str, path: Path) -> tuple[str, ...] | None:
    """One value per trajectory, which all its rows must repeat."""
    if cells is None:
        return None
    value: dict[int, str] = {}
    for i, cell in zip(trajectory.tolist(), cells, strict=True):
        if value.setdefault(i, cell) != cell:
            raise InputError(
                f"{path.name}: trajectory {ids[i]!r} has more than one {what}: {value[i]!r} and {cell!r}."
            )
    return tuple(value[i] for i in range(len(ids)))
