"""Problems as lists of edges: one line for each state, action and next state."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maxentrl.core.check import InputError, check_memory
from maxentrl.models.tabular import SUM_TOLERANCE, TabularMDP

COLUMNS = ("state", "action", "next_state", "probability", "reward")
"""The columns an edge list must have, in any order; `start` may come beside them."""

CHUNK = 512
"""Rows read at a time. A row is a Python list, and the garbage collector looks through all that live: many
more rows at once would be read four times slower, and fill the memory with text."""


class Edges(NamedTuple):
    """A table of N edges with ids turned into numbers.

    row: [N], as a spreadsheet counts: the header is row 1.
    state, action, successor: [N] numbers; states are numbered in order of first sight in column `state`, then
    in `next_state`, so that the `acting` states that ever act come first.
    probability, reward: [N]. start: [N] or None.
    """

    row: np.ndarray
    state: np.ndarray
    action: np.ndarray
    successor: np.ndarray
    probability: np.ndarray
    reward: np.ndarray
    start: np.ndarray | None
    acting: int
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]


def load_edges(path: str | Path) -> TabularMDP:
    """Read a problem from a CSV edge list.

        r(s, a) = sum over next states of P(s'|s,a) * reward(s, a, s')

    The first row names the columns, in any order: `state`, `action`, `next_state`, `probability`, `reward`,
    and optionally `start`, the probability of starting in `state`, repeated on each of its rows (uniform over
    the live states when absent). Ids are any strings and are kept as names, without blanks around them. An
    action that is missing in a state is forbidden there; a state that never acts is terminal, with value 0.

    Args:
        path: a UTF-8 file, comma separated.

    Returns:
        A `TabularMDP` with successor lists. States are numbered in order of first appearance in column
        `state`, then in `next_state`; actions in order of first appearance.

    Raises:
        InputError: naming the file and the row, or the state and action, for anything that cannot be used.
    """
    path = Path(path)
    edges = _read(path)
    states, actions = len(edges.state_names), len(edges.action_names)
    pair = edges.state * actions + edges.action
    _refuse_repeats(path, edges, pair * states + edges.successor)
    total = np.bincount(pair, edges.probability, states * actions)
    used = np.bincount(pair, minlength=states * actions) > 0
    off = used & ~(np.abs(total - 1) <= SUM_TOLERANCE["float64"])
    if off.any():
        state, action = divmod(int(np.argmax(off)), actions)
        raise InputError(
            f"{path}: the probabilities of state {edges.state_names[state]!r}, action "
            f"{edges.action_names[action]!r} must sum to 1; "
            f"they sum to {total[state * actions + action]:.10g} ({int(off.sum())} such pairs in all)."
        )
    reward = np.bincount(pair, edges.probability * edges.reward, states * actions)
    return TabularMDP(
        successor_lists(edges.state, edges.action, edges.successor, edges.probability, states, actions),
        np.where(used, reward, -np.inf).reshape(states, actions),
        initial=_start_distribution(path, edges),
        terminal=np.arange(states) >= edges.acting,
        state_names=edges.state_names,
        action_names=edges.action_names,
    )


def successor_lists(state, action, successor, probability, states: int, actions: int):
    """Padded successor lists (successor, probability), each [S, A, K], of N edges given as arrays [N].

    Edges from one pair (s, a) to the same state are merged; K is the largest number of different successors.
    Padding points at state 0 with probability 0.
    """
    edge, which = np.unique((state * actions + action) * states + successor, return_inverse=True)
    pair, reached = np.divmod(edge, states)
    place = np.arange(len(edge)) - np.searchsorted(pair, pair)
    width = int(place.max()) + 1
    check_memory(
        states * actions * width * 36,  # each entry as int64, float64 and the checked copies of both
        f"successor lists for {states} states, {actions} actions and up to {width} successors",
        "split the actions that reach most states",
    )
    successors = np.zeros((states * actions, width), np.int64)
    probabilities = np.zeros((states * actions, width))
    successors[pair, place] = reached
    probabilities[pair, place] = np.bincount(which.ravel(), probability)
    shape = (states, actions, width)
    return successors.reshape(shape), probabilities.reshape(shape)


def _read(path: Path) -> Edges:
    """The file as numbers, each checked by itself."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _parse(path, csv.reader(file, skipinitialspace=True, strict=True))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} must be UTF-8 text; it is not.") from None


def _parse(path: Path, reader) -> Edges:
    acting: dict[str, int] = {}
    reached: dict[str, int] = {}
    actions: dict[str, int] = {}
    chunks = []
    try:
        header = _check_header(path, next(reader, []))
        for rows, columns in _chunks(path, reader, header):
            chunk = [
                rows,
                _number(path, rows, columns, "state", acting),
                _number(path, rows, columns, "action", actions),
                _number(path, rows, columns, "next_state", reached),
            ]
            numbers = [name for name in ("probability", "reward", "start") if name in header]
            chunks.append(chunk + [_floats(path, rows, columns, name) for name in numbers])
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num} is not comma-separated text: {error}.") from None
    if not chunks:
        raise InputError(f"{path} has a header but no rows; each row is one state, action and next state.")
    row, state, action, successor, probability, reward, *start = (
        np.concatenate(part) for part in zip(*chunks, strict=True)
    )
    names = {name: number for number, name in enumerate(dict.fromkeys(itertools.chain(acting, reached)))}
    renumbered = np.fromiter(map(names.__getitem__, reached), np.int64, len(reached))
    return Edges(
        row=row,
        state=state,
        action=action,
        successor=renumbered[successor],
        probability=probability,
        reward=reward,
        start=start[0] if start else None,
        acting=len(acting),
        state_names=tuple(names),
        action_names=tuple(actions),
    )


def _check_header(path: Path, header: list[str]) -> list[str]:
    header = [name.strip() for name in header]
    if not header:
        raise InputError(f"{path} is empty; its first row must name the columns {', '.join(COLUMNS)}.")
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise InputError(
            f"{path}: row 1 must name the columns {', '.join(COLUMNS)}; {', '.join(missing)} missing."
        )
    extra = [name for name in header if name not in (*COLUMNS, "start")]
    if extra or len(set(header)) != len(header):
        raise InputError(
            f"{path}: row 1 must name each of the columns {', '.join(COLUMNS)} once, and may name start; "
            f"got {', '.join(header)}."
        )
    return header


def _chunks(path: Path, reader, header: list[str]) -> Iterator[tuple[np.ndarray, dict[str, tuple[str, ...]]]]:
    """Row numbers and named columns of text, `CHUNK` rows at a time; blank lines are passed over."""
    first = 2
    while block := list(itertools.islice(reader, CHUNK)):
        rows = np.arange(first, first + len(block))
        first += len(block)
        lengths = np.fromiter(map(len, block), np.int64, len(block))
        wrong = (lengths != len(header)) & (lengths > 0)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise InputError(
                f"{path}: row {rows[at]} must have {len(header)} fields, as the header has; "
                f"it has {lengths[at]}."
            )
        filled = list(filter(None, block))
        if filled:
            yield rows[lengths > 0], dict(zip(header, zip(*filled, strict=True), strict=True))


def _number(path: Path, rows, columns, name: str, known: dict[str, int]) -> np.ndarray:
    """Ids as numbers in order of first sight; `known` grows."""
    column = columns[name]
    here = {text: known.setdefault(text.strip(), len(known)) for text in dict.fromkeys(column)}
    if "" in known:
        row = next(row for row, text in zip(rows, column, strict=True) if not text.strip())
        raise InputError(f"{path}: row {row} has no {name}; every row must name one.")
    return np.fromiter(map(here.__getitem__, column), np.int64, len(column))


def _floats(path: Path, rows, columns, name: str) -> np.ndarray:
    column = columns[name]
    low, high = (-np.inf, np.inf) if name == "reward" else (0.0, 1.0)
    try:
        values = np.fromiter(map(float, column), float, len(column))
        wrong = ~(np.isfinite(values) & (values >= low) & (values <= high))
    except ValueError:
        wrong = np.fromiter((not _is_number(text) for text in column), bool, len(column))
        values = np.zeros(len(column))
    if wrong.any():
        at = int(np.argmax(wrong))
        allowed = "finite (leave an action out to forbid it)" if name == "reward" else "a number in [0, 1]"
        raise InputError(f"{path}: row {rows[at]}: {name} must be {allowed}; got {column[at]!r}.")
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _refuse_repeats(path: Path, edges: Edges, edge: np.ndarray) -> None:
    order = np.argsort(edge, kind="stable")
    same = edge[order][1:] == edge[order][:-1]
    if same.any():
        at = int(np.argmax(same))
        first, second = order[at], order[at + 1]
        raise InputError(
            f"{path}: rows {edges.row[first]} and {edges.row[second]} both give "
            f"state {edges.state_names[edges.state[first]]!r}, "
            f"action {edges.action_names[edges.action[first]]!r}, "
            f"next state {edges.state_names[edges.successor[first]]!r}; each such triple must occur once."
        )


def _start_distribution(path: Path, edges: Edges) -> np.ndarray | None:
    if edges.start is None:
        return None
    first = np.unique(edges.state, return_index=True)[1]
    initial = np.zeros(len(edges.state_names))
    initial[edges.state[first]] = edges.start[first]
    differs = edges.start != initial[edges.state]
    if differs.any():
        at = int(np.argmax(differs))
        state = edges.state[at]
        raise InputError(
            f"{path}: row {edges.row[at]} gives state {edges.state_names[state]!r} start "
            f"{edges.start[at]:g}, but row {edges.row[first[state]]} gives it {initial[state]:g}; "
            f"the rows of one state must agree."
        )
    if not abs(initial.sum() - 1) <= SUM_TOLERANCE["float64"]:
        raise InputError(f"{path}: start must sum to 1 over the states; it sums to {initial.sum():.10g}.")
    return initial
