"""Grids in which every cell has features and a reward: the move in them, and what a maker of one returns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from maxentrl.core.check import InputError
from maxentrl.core.types import Array
from maxentrl.models.tabular import TabularMDP

MOVES = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1), "stay": (0, 0)}
"""The actions, as steps in row and column."""


class Landscape(NamedTuple):
    """A grid problem with what a reward may be learned from. State s is the cell (s // W, s % W).

    mdp: the problem, with the true reward.
    features: [S, K], of the cell.
    feature_names: K names.
    map: [H, W, C], what is drawn on the ground, for networks that look at the whole map.
    """

    mdp: TabularMDP
    features: Float[Array, "S K"]
    feature_names: tuple[str, ...]
    map: Float[Array, "H W C"]


def check_grid(size: int, noise: float) -> None:
    """A square of at least one cell, and a probability."""
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise InputError(f"size must be a whole number of cells, at least 1; got {size!r}.")
    if not 0 <= noise <= 1:
        raise InputError(f"noise must be a probability in [0, 1]; got {noise}.")


def wander(reward: np.ndarray, noise: float, prior) -> TabularMDP:
    """The walk on a grid that pays reward [H, W] in the cell where a move begins.

    With probability `noise` a move is replaced by one of the five at random (which may be the one intended).
    A move off the map stays where it is.
    """
    rows, columns = reward.shape
    row, column = np.divmod(np.arange(rows * columns), columns)
    reached = np.stack(
        [
            np.clip(row + down, 0, rows - 1) * columns + np.clip(column + right, 0, columns - 1)
            for down, right in MOVES.values()
        ],
        1,
    )
    states, moves = reached.shape
    if noise == 0:
        successor, probability = reached[:, :, None], np.ones((states, moves, 1))
    else:
        successor = np.broadcast_to(reached[:, None, :], (states, moves, moves))
        probability = np.broadcast_to((1 - noise) * np.eye(moves) + noise / moves, (states, moves, moves))
    return TabularMDP(
        (successor, probability),
        np.broadcast_to(reward.reshape(-1, 1), (states, moves)),
        prior=prior,
        action_names=tuple(MOVES),
        coordinates=np.stack([column, row], 1),
    )
