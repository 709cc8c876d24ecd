"""Grid worlds drawn as text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np

from maxentrl.core.check import InputError
from maxentrl.core.types import Array
from maxentrl.models.tabular import TabularMDP

RING = """
    .....
    .###.
    S###G
    .###.
    .....
"""
"""Two ways of equal length from the start to the goal, around a block."""

MOVES = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
"""The actions, as steps in row and column."""


def gridworld(
    layout: str = RING,
    *,
    goals: Mapping[str, float] = MappingProxyType({"G": 10.0}),
    step_reward: float = -1.0,
    slip: float = 0.0,
    prior: Literal["uniform", "counting"] | Array = "uniform",
) -> TabularMDP:
    """A walk on a map with walls and absorbing goals.

        r(s, a) = step_reward + sum over goals g of P(g | s, a) * goals[g]

    With probability `slip` a move is replaced by one of the four at random (which may be the one intended). A
    move into a wall or off the map stays where it is. States are the free cells, row by row.

    Args:
        layout: the map, one line for each row: `#` wall, `.` floor, `S` start (uniform over several; over all
            live cells when there is none), and the letters of `goals`.
        goals: for each letter, the reward for entering a cell that bears it, in units of reward. Such a cell
            is terminal.
        step_reward: for every move, in units of reward.
        slip: in [0, 1].
        prior: action prior, as for `TabularMDP`.

    Returns:
        A `TabularMDP` with actions up, right, down, left and coordinates (column, row).

    Raises:
        InputError: for rows of different lengths, an unknown character (which, where), or a slip outside [0,
            1].
    """
    if not 0 <= slip <= 1:
        raise InputError(f"slip must be a probability in [0, 1]; got {slip}.")
    cells = _read_map(layout, goals)
    free = cells != "#"
    states = int(free.sum())
    row, column = np.nonzero(free)
    number = np.full((cells.shape[0] + 2, cells.shape[1] + 2), -1)
    number[1:-1, 1:-1][free] = np.arange(states)
    reached = np.stack([number[row + 1 + down, column + 1 + right] for down, right in MOVES.values()], 1)
    reached = np.where(reached < 0, np.arange(states)[:, None], reached)
    kind = cells[free]
    bonus = np.zeros(states)
    for letter, value in goals.items():
        bonus[kind == letter] = value
    if slip == 0:
        successor, probability = reached[:, :, None], np.ones((states, 4, 1))
    else:
        # Every move lists the four cells around; a cell that two of them lead to is listed twice.
        successor = np.broadcast_to(reached[:, None, :], (states, 4, 4))
        probability = np.broadcast_to((1 - slip) * np.eye(4) + slip / 4, (states, 4, 4))
    start = kind == "S"
    return TabularMDP(
        (successor, probability),
        step_reward + np.sum(probability * bonus[successor], 2),
        prior=prior,
        initial=start / start.sum() if start.any() else None,
        terminal=np.isin(kind, list(goals)),
        action_names=tuple(MOVES),
        coordinates=np.stack([column, row], 1),
    )


def _read_map(layout: str, goals: Mapping[str, float]) -> np.ndarray:
    """The map as characters [rows, columns]."""
    for letter in goals:
        if len(letter) != 1 or letter in "#.S" or letter.isspace():
            raise InputError(
                f"goals must be named by single characters other than #, . and S; got {letter!r}."
            )
    lines = [line.rstrip() for line in textwrap.dedent(layout).strip("\n").splitlines()]
    if not any(lines):
        raise InputError("layout must hold at least one row of cells; it is empty.")
    for number, line in enumerate(lines):
        if len(line) != len(lines[0]):
            raise InputError(
                f"layout must have rows of one length; row {number} has {len(line)} cells, "
                f"row 0 has {len(lines[0])}."
            )
        for column, cell in enumerate(line):
            if cell not in "#.S" and cell not in goals:
                raise InputError(
                    f"layout may hold #, ., S and the goals {', '.join(goals)}; row {number}, "
                    f"column {column} holds {cell!r}."
                )
    cells = np.array([list(line) for line in lines])
    if np.all(cells == "#"):
        raise InputError("layout must have a cell that is not a wall; it has none.")
    return cells
