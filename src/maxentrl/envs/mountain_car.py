"""A car in a valley, too weak to drive up its hill without a run-up."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from maxentrl.core.contracts import Env, Step
from maxentrl.core.spaces import Discrete, box
from maxentrl.envs.limited import check_positive, limited

LEFT, RIGHT, SPEED, GRAVITY = -1.2, 0.6, 0.07, 0.0025
"""The ends of the road, the largest speed, and how strongly a slope pulls, all per step."""


class Car(NamedTuple):
    """place, speed: float32 []; the valley's floor is at -pi / 6."""

    place: jax.Array
    speed: jax.Array


def mountain_car(*, power: float = 0.0015, goal: float = 0.45, limit: int | None = 999) -> Env:
    """Gymnasium's MountainCarContinuous-v0: 100 for reaching the goal, less the force that it took.

        speed' = clip(speed + power clip(a, -1, 1) - 0.0025 cos(3 place), -0.07, 0.07)
        place' = clip(place + speed', -1.2, 0.6);   speed' = 0 where the left end stops the car
        r      = 100 [place' >= goal and speed' >= 0] - 0.1 a^2

    Terminated at the goal. It starts at rest, at a place in [-0.6, -0.4].

    Args:
        power: what full force adds to the speed in one step. goal: a place.
        limit: steps in an episode, or None.

    Returns:
        An `Env`: observation (place, speed), action [1] in [-1, 1].

    Raises:
        InputError: for a power that is not above 0.

    Source: Moore (1990); Gymnasium 1.x, classic_control/continuous_mountain_car.py.
    """
    check_positive("mountain_car", power=power)

    def step(key, state, action):
        state, reached = _drive(state, power * jnp.clip(action[0], -1.0, 1.0), goal)
        reward = jnp.where(reached, 100.0, 0.0) - 0.1 * action[0] ** 2
        return state, Step(jnp.stack(state), reward, reached, jnp.zeros((), bool))

    return limited(Env(_reset, step, _road(), box(-1.0, 1.0, (1,)), name="mountain_car"), limit)


def mountain_car_discrete(*, power: float = 0.001, goal: float = 0.5, limit: int | None = 200) -> Env:
    """Gymnasium's MountainCar-v0: -1 for every step until the goal; actions left, none, right.

    As `mountain_car`, with the force -1, 0 or 1.

    Args:
        power: what full force adds to the speed in one step. goal: a place.
        limit: steps in an episode, or None.

    Returns:
        An `Env`: observation (place, speed), actions 0, 1, 2.

    Raises:
        InputError: for a power that is not above 0.

    Source: Moore (1990); Gymnasium 1.x, classic_control/mountain_car.py.
    """
    check_positive("mountain_car_discrete", power=power)

    def step(key, state, action):
        state, reached = _drive(state, power * (action - 1), goal)
        return state, Step(jnp.stack(state), -jnp.ones((), jnp.float32), reached, jnp.zeros((), bool))

    return limited(Env(_reset, step, _road(), Discrete(3), name="mountain_car_discrete"), limit)


def _reset(key):
    state = Car(jax.random.uniform(key, (), jnp.float32, -0.6, -0.4), jnp.zeros((), jnp.float32))
    return state, jnp.stack(state)


def _drive(state: Car, push, goal: float) -> tuple[Car, jax.Array]:
    speed = jnp.clip(state.speed + push - GRAVITY * jnp.cos(3 * state.place), -SPEED, SPEED)
    place = jnp.clip(state.place + speed, LEFT, RIGHT)
    speed = jnp.where((place == jnp.float32(LEFT)) & (speed < 0), 0.0, speed)
    return Car(place, speed), (place >= goal) & (speed >= 0)


def _road():
    return box([LEFT, -SPEED], [RIGHT, SPEED])
