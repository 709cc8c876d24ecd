"""A pendulum to be swung up and held there, by a motor too weak to lift it."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from maxentrl.core.contracts import Env, Step
from maxentrl.core.spaces import box
from maxentrl.envs.limited import check_positive, limited

TIME_STEP, TORQUE, SPEED = 0.05, 2.0, 8.0
"""Seconds; the largest torque, newton metres; the largest speed, radians per second."""


class Pendulum(NamedTuple):
    """angle: float32 [], from upright, in [-pi, pi). speed: float32 [], radians per second."""

    angle: jax.Array
    speed: jax.Array


def pendulum(
    *, gravity: float = 10.0, mass: float = 1.0, length: float = 1.0, limit: int | None = 200
) -> Env:
    """Gymnasium's Pendulum-v1: a rod on a hinge, driven by a torque u in [-2, 2]; angle 0 is upright.

        speed' = clip(speed + (3 g / (2 l) sin(angle) + 3 u / (m l^2)) dt, -8, 8),   angle' = angle + speed' dt
        r      = -(angle^2 + 0.1 speed^2 + 0.001 u^2),   at the state before the step, angle in [-pi, pi)

    It starts at any angle with a speed in [-1, 1], never terminates, and is truncated at the limit.

    Args:
        gravity: metres per second squared. mass: kilograms. length: metres.
        limit: steps of 1/20 second in an episode, or None.

    Returns:
        An `Env`: observation (cos angle, sin angle, speed), action [1].

    Raises:
        InputError: for a setting that is not above 0.

    Source: Gymnasium 1.x, classic_control/pendulum.py; there the angle is not kept within one turn, which changes
    no observation.
    """
    check_positive("pendulum", gravity=gravity, mass=mass, length=length)
    pull, push = 3 * gravity / (2 * length), 3 / (mass * length**2)

    def reset(key):
        high = jnp.array([math.pi, 1.0], jnp.float32)
        angle, speed = jax.random.uniform(key, (2,), jnp.float32, -high, high)
        state = Pendulum(angle, speed)
        return state, _observe(state)

    def step(key, state, action):
        angle, speed = state
        torque = jnp.clip(action[0], -TORQUE, TORQUE)
        reward = -(angle**2 + 0.1 * speed**2 + 0.001 * torque**2)
        speed = jnp.clip(speed + (pull * jnp.sin(angle) + push * torque) * TIME_STEP, -SPEED, SPEED)
        angle = jnp.mod(angle + speed * TIME_STEP + math.pi, 2 * math.pi) - math.pi
        state = Pendulum(angle, speed)
        never = jnp.zeros((), bool)
        return state, Step(_observe(state), reward, never, never)

    observation = box([-1.0, -1.0, -SPEED], [1.0, 1.0, SPEED])
    env = Env(reset, step, observation, box(-TORQUE, TORQUE, (1,)), name="pendulum")
    return limited(env, limit)


def _observe(state: Pendulum) -> jax.Array:
    return jnp.stack([jnp.cos(state.angle), jnp.sin(state.angle), state.speed])
