"""Objectworld: what a cell is worth depends on how near it is to objects of two colours, and on both at once."""

from __future__ import annotations

import jax
import numpy as np

from maxentrl.core.check import InputError
from maxentrl.envs.landscape import Landscape, check_grid, wander

NEAR_FIRST, NEAR_SECOND = 3.0, 2.0
"""Cells: how near an object of the first and of the second outer colour counts."""


def objectworld(
    size: int = 32,
    *,
    key: jax.Array,
    objects: int = 50,
    colours: int = 2,
    noise: float = 0.3,
    prior="counting",
) -> Landscape:
    """A square strewn with objects, each with an outer and an inner colour.

        r(s) = +1  within 3 cells of outer colour 0 and within 2 cells of outer colour 1
               -1  within 3 cells of outer colour 0 only
                0  elsewhere

    Distances are Euclidean. The reward is no linear function of the features, and no sum over them; the inner
    colours and the outer colours above 1 only distract.

    Args:
        size: cells along each side.
        key: of `jax.random`, for the positions and the colours.
        objects: how many, in different cells.
        colours: how many, at least 2. Every outer colour occurs when there are objects enough.
        noise: in [0, 1]: chance that a move is replaced by one of the five at random.
        prior: action prior, as for `TabularMDP`; counting, as in the literature on this problem.

    Returns:
        A `Landscape`. features [S, 2 colours]: the distance, in cells, to the nearest object of each outer
        colour, then of each inner colour; where a colour does not occur, twice the size. map [H, W, 2
        colours]: 1 where such an object lies.

    Raises:
        InputError: for more objects than cells, fewer than 2 colours, noise outside [0, 1].

    Source: Levine, Popovic & Koltun (2011), section 6.1; there the grid is 32 x 32 with discount 0.9.
    """
    check_grid(size, noise)
    if not 1 <= objects <= size * size:
        raise InputError(f"objects must be between 1 and the number of cells, {size * size}; got {objects}.")
    if colours < 2:
        raise InputError(f"colours must be at least 2; got {colours}.")
    for_place, for_outer, for_inner = jax.random.split(key, 3)
    place = np.asarray(jax.random.permutation(for_place, size * size))[:objects]
    # Dealt in turn and shuffled, so that no colour is missing by chance.
    dealt = np.arange(objects) % colours
    colour = [np.asarray(jax.random.permutation(k, dealt)) for k in (for_outer, for_inner)]
    row, column = np.divmod(np.arange(size * size), size)
    # Whole squares, so that a distance of exactly 2 or 3 cells is found to be that.
    squared = (row[:, None] - row[place]) ** 2 + (column[:, None] - column[place]) ** 2
    distance, drawn, names = [], [], []
    for which, layer in zip(("outer", "inner"), colour, strict=True):
        for c in range(colours):
            own = layer == c
            nearest = squared[:, own].min(1, initial=4 * size * size)
            distance.append(np.sqrt(nearest.astype(float)))
            drawn.append(np.bincount(place[own], minlength=size * size).astype(float))
            names.append(f"distance to {which} colour {c}")
    features = np.stack(distance, 1)
    first, second = features[:, 0] <= NEAR_FIRST, features[:, 1] <= NEAR_SECOND
    reward = np.where(first, np.where(second, 1.0, -1.0), 0.0)
    return Landscape(
        wander(reward.reshape(size, size), noise, prior),
        features,
        tuple(names),
        np.stack(drawn, 1).reshape(size, size, -1),
    )
