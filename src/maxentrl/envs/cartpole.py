"""A pole on a cart, kept upright by pushing the cart left or right."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from maxentrl.core.contracts import Env, Step
from maxentrl.core.spaces import Discrete, box
from maxentrl.envs.limited import check_positive, limited

CART, POLE, FORCE, TIME_STEP = 1.0, 0.1, 10.0, 0.02
"""Kilograms, kilograms, newtons, seconds."""

EDGE, TILT = 2.4, 12 * 2 * math.pi / 360
"""Beyond this place, metres, or this angle, radians, the episode is over."""


def cartpole(*, gravity: float = 9.8, length: float = 0.5, limit: int | None = 500) -> Env:
    """Gymnasium's CartPole-v1: 1 for every step, until the pole falls or the cart leaves the track.

    With force F = -10 (action 0) or 10 (action 1), masses M = 1 (cart) and m = 0.1 (pole), l = length:

        pushed = (F + m l angle_speed^2 sin(angle)) / (M + m)
        angle_acceleration = (g sin(angle) - cos(angle) pushed) / (l (4/3 - m cos(angle)^2 / (M + m)))
        acceleration = pushed - m l angle_acceleration cos(angle) / (M + m)

    in Euler steps of 0.02 seconds. Terminated where |place| > 2.4 metres or |angle| > 12 degrees; a step that
    falls still pays 1. It starts with all four numbers in [-0.05, 0.05].

    Args:
        gravity: metres per second squared. length: half of the pole's, metres.
        limit: steps in an episode, or None.

    Returns:
        An `Env`: state and observation float32 [4], place, speed, angle, angle's speed; actions 0 and 1.

    Raises:
        InputError: for a setting that is not above 0.

    Source: Barto, Sutton & Anderson (1983); Gymnasium 1.x, classic_control/cartpole.py.
    """
    check_positive("cartpole", gravity=gravity, length=length)

    def reset(key):
        state = jax.random.uniform(key, (4,), jnp.float32, -0.05, 0.05)
        return state, state

    def step(key, state, action):
        _, speed, angle, turning = state
        sine, cosine = jnp.sin(angle), jnp.cos(angle)
        force = jnp.where(action == 1, FORCE, -FORCE)
        pushed = (force + POLE * length * turning**2 * sine) / (CART + POLE)
        turned = (gravity * sine - cosine * pushed) / (length * (4 / 3 - POLE * cosine**2 / (CART + POLE)))
        sped = pushed - POLE * length * turned * cosine / (CART + POLE)
        state = state + TIME_STEP * jnp.stack([speed, sped, turning, turned])
        fallen = (jnp.abs(state[0]) > EDGE) | (jnp.abs(state[2]) > TILT)
        return state, Step(state, jnp.ones((), jnp.float32), fallen, jnp.zeros((), bool))

    bound = np.array([2 * EDGE, np.inf, 2 * TILT, np.inf], np.float32)
    return limited(Env(reset, step, box(-bound, bound), Discrete(2), name="cartpole"), limit)
