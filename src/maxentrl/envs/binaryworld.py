"""Binaryworld: what a cell is worth depends on how many of the nine cells around it are blue."""

from __future__ import annotations

import jax
import numpy as np

from maxentrl.envs.landscape import Landscape, check_grid, wander

GOOD, BAD = 4, 5
"""Blue cells, among nine, that pay +1 and -1."""


def binaryworld(size: int = 32, *, key: jax.Array, noise: float = 0.3, prior="counting") -> Landscape:
    """A square whose cells are blue or red at random, each with chance one half.

        r(s) = +1 if exactly 4 of the 3 x 3 cells around s are blue, -1 if exactly 5 are, 0 otherwise

    Every pair of good and bad neighbourhoods is nearly the same to a linear function of the nine colours.

    Args:
        size: cells along each side.
        key: of `jax.random`, for the colours.
        noise: in [0, 1]: chance that a move is replaced by one of the five at random.
        prior: action prior, as for `TabularMDP`; counting, as in the literature on this problem.

    Returns:
        A `Landscape`. features [S, 9]: 1 where the neighbour is blue, row by row from the upper left; what
        lies off the map is not blue. map [H, W, 1]: 1 where the cell is blue.

    Raises:
        InputError: for a size below 1 or noise outside [0, 1].

    Source: Wulfmeier, Ondruska & Posner (2015), section 4.2.
    """
    check_grid(size, noise)
    blue = np.asarray(jax.random.bernoulli(key, 0.5, (size, size))).astype(float)
    framed = np.pad(blue, 1)
    around = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    features = np.stack(
        [framed[1 + down : 1 + down + size, 1 + right : 1 + right + size].ravel() for down, right in around],
        1,
    )
    count = features.sum(1)
    reward = np.where(count == GOOD, 1.0, np.where(count == BAD, -1.0, 0.0))
    names = tuple(f"blue at row {down:+d}, column {right:+d}" for down, right in around)
    return Landscape(
        wander(reward.reshape(size, size), noise, prior), features, names, blue[:, :, None].copy()
    )
