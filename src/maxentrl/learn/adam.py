"""Adam, the optimiser of all agents."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

FIRST, SECOND = 0.9, 0.999
"""How much of the running means is kept at each step, of gradients and of their squares."""


class Adam(NamedTuple):
    """first, second: running means of the gradient and of its square, shaped as the parameters. made: int32 [], steps."""

    first: Any
    second: Any
    made: jax.Array


def at_rest(parameters) -> Adam:
    """Before the first step."""
    return Adam(
        jax.tree.map(jnp.zeros_like, parameters),
        jax.tree.map(jnp.zeros_like, parameters),
        jnp.zeros((), jnp.int32),
    )


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
    first = jax.tree.map(lambda m, g: FIRST * m + (1.0 - FIRST) * g, adam.first, gradient)
    second = jax.tree.map(lambda v, g: SECOND * v + (1.0 - SECOND) * g * g, adam.second, gradient)
    moved = jax.tree.map(lambda p, m, v: p - pace * m / (jnp.sqrt(v) + least), parameters, first, second)
    return moved, Adam(first, second, made)


def falling(rate: float, made, decay: int | None) -> jax.Array | float:
    """The learning rate after `made` steps: it falls linearly to 0 over `decay` of them; None keeps it."""
    return rate if decay is None else rate * jnp.maximum(1.0 - made / decay, 0.0)
