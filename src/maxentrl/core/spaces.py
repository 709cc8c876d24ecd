"""What can be observed and what can be done: a number among a few, or an array within bounds.

Agents act in their own units: a number in [0, count) where actions are discrete, and otherwise a flat array in [-1, 1],
whatever the units and the shape that the environment has. Entropies and log-densities then mean the same in every
environment. `to_units` and `from_units` are the way there and back; a log-density per unit of the environment is lower
by `log_scale`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np

from maxentrl.core.check import InputError


@dataclass(frozen=True)
class Discrete:
    """A whole number in [start, start + count)."""

    count: int
    start: int = 0


class Box(NamedTuple):
    """An array of floats; low and high have its shape, and may be infinite where it is observed."""

    low: np.ndarray
    high: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self.low)


Space: TypeAlias = Discrete | Box


def box(low, high, shape: tuple[int, ...] | None = None) -> Box:
    """A `Box` of float32 from numbers or arrays.

    Raises:
        InputError: unless low < high everywhere.
    """
    low, high = (np.asarray(bound, np.float32) for bound in (low, high))
    shape = np.broadcast_shapes(low.shape, high.shape) if shape is None else shape
    low, high = (np.broadcast_to(bound, shape) for bound in (low, high))
    if not np.all(low < high):
        where = tuple(int(i) for i in np.argwhere(~(low < high))[0])
        raise InputError(
            f"a box needs low < high in every entry; entry {where} has {low[where]} and {high[where]}."
        )
    return Box(low, high)


def check_bounded(space: Space, name: str = "the action space") -> None:
    """Actions lie in a box with finite bounds, or are discrete.

    Raises:
        InputError: naming the first entry without a bound.
    """
    if isinstance(space, Discrete):
        return
    with np.errstate(over="ignore", invalid="ignore"):
        free = ~np.isfinite(space.high - space.low)  # as free as without bounds, if their distance overflows
    if free.any():
        where = tuple(int(i) for i in np.argwhere(free)[0])
        raise InputError(
            f"{name} must have finite bounds, as actions are scaled to them; entry {where} lies in "
            f"[{space.low[where]}, {space.high[where]}]."
        )


def same(space: Space, other: Space) -> bool:
    """Whether two spaces are one."""
    if isinstance(space, Discrete) or isinstance(other, Discrete):
        return space == other
    return np.array_equal(space.low, other.low) and np.array_equal(space.high, other.high)


def to_units(space: Space, action):
    """Actions of an agent, [...] or [..., m], in the units and the shape of the environment, [..., *shape].

    That is start + action, or low + (action + 1) / 2 (high - low).
    """
    if isinstance(space, Discrete):
        return action + space.start
    xp = np if isinstance(action, np.ndarray) else jnp
    action = action.reshape(*action.shape[:-1], *space.shape)
    return xp.clip(space.low + 0.5 * (action + 1.0) * (space.high - space.low), space.low, space.high)


def from_units(space: Space, action):
    """Actions of the environment, [..., *shape], in the agent's units: in [0, count), or [..., m] in [-1, 1]."""
    if isinstance(space, Discrete):
        return action - space.start
    action = 2.0 * (action - space.low) / (space.high - space.low) - 1.0
    return action.reshape(*action.shape[: action.ndim - len(space.shape)], width(space))


def log_scale(space: Space) -> float:
    """log of how much of the environment's units one unit of the agent's is worth: sum of log((high - low) / 2)."""
    if isinstance(space, Discrete):
        return 0.0
    return float(np.sum(np.log((space.high.astype(np.float64) - space.low) / 2)))


def width(space: Space) -> int:
    """How many numbers an observation, or an action, is when it is laid out flat; one-hot where discrete."""
    return space.count if isinstance(space, Discrete) else math.prod(space.shape)


def flat(space: Space, values):
    """Observations of this space as rows of floats [..., width]: one-hot where discrete."""
    if isinstance(space, Discrete):
        places = jnp.arange(space.start, space.start + space.count)
        return (jnp.asarray(values)[..., None] == places).astype(jnp.float32)
    values = jnp.asarray(values, jnp.float32)
    return values.reshape(*values.shape[: values.ndim - len(space.shape)], width(space))
