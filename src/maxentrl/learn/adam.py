"""Adam, the optimiser of all agents."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

FIRST, SECOND = 0.9, 0.999
"""How much of the running means is kept at each step, of gradients and of their squares."""

SMALL = 10_000
"""Parameters of at most so many numbers are laid end to end, as every array that a program is handed costs it time; to
copy larger ones to one place in each step would cost more. Files of agents and checkpoints depend on it.
"""


class Adam(NamedTuple):
    """first, second: running means of the gradient and of its square, as `laid` has them. made: int32 [], steps."""

    first: tuple[jax.Array, ...]
    second: tuple[jax.Array, ...]
    made: jax.Array


def at_rest(parameters) -> Adam:
    """Before the first step."""
    like = laid(parameters)
    return Adam(
        jax.tree.map(jnp.zeros_like, like), jax.tree.map(jnp.zeros_like, like), jnp.zeros((), jnp.int32)
    )


def laid(tree) -> tuple[jax.Array, ...]:
    """The arrays of a tree, all of one type: first the small ones, end to end, then each large one as it is."""
    leaves = jax.tree.leaves(tree)
    small = [x.reshape(-1) for x in leaves if x.size <= SMALL]
    # The barrier keeps the compiler from looking up, for each number anew, which array it is from.
    together = jax.lax.optimization_barrier(jnp.concatenate(small)) if small else jnp.zeros(0)
    return together, *(x for x in leaves if x.size > SMALL)


def apart(arrays: tuple[jax.Array, ...], like) -> Any:
    """What `laid` made of a tree of the form of `like`, in that form again."""
    leaves, form = jax.tree.flatten(like)
    together, large = arrays[0], iter(arrays[1:])
    ends = itertools.accumulate(x.size if x.size <= SMALL else 0 for x in leaves)
    parts = [
        together[end - x.size : end].reshape(x.shape) if x.size <= SMALL else next(large)
        for x, end in zip(leaves, ends, strict=True)
    ]
    return jax.tree.unflatten(form, parts)


def descend(gradient, adam: Adam, parameters, rate, epsilon: float = 1e-8) -> tuple[Any, Adam]:
    """One step downhill: (parameters, Adam's state).

        p - rate m' / (sqrt(v') + epsilon),   m' = m / (1 - 0.9^t),   v' = v / (1 - 0.999^t)

    written with both corrections in two numbers, the pace and epsilon, instead of two divisions for every parameter.

    Args:
        gradient: shaped as the parameters.
        rate: the learning rate, a number or an array [].

    Source: Kingma and Ba (2015), algorithm 1 and the end of section 2.
    """
    made = adam.made + 1
    held = jnp.sqrt(1.0 - SECOND**made)
    pace, least = rate * held / (1.0 - FIRST**made), epsilon * held
    slopes = laid(gradient)
    first = jax.tree.map(lambda m, g: FIRST * m + (1.0 - FIRST) * g, adam.first, slopes)
    second = jax.tree.map(lambda v, g: SECOND * v + (1.0 - SECOND) * g * g, adam.second, slopes)
    moved = jax.tree.map(
        lambda p, m, v: p - pace * m / (jnp.sqrt(v) + least),
        parameters,
        apart(first, parameters),
        apart(second, parameters),
    )
    return moved, Adam(first, second, made)


def falling(rate: float, made, decay: int | None) -> jax.Array | float:
    """The learning rate after `made` steps: it falls linearly to 0 over `decay` of them; None keeps it."""
    return rate if decay is None else rate * jnp.maximum(1.0 - made / decay, 0.0)
