"""Time limits and the checks of settings, the same for every environment."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from maxentrl.core.check import InputError
from maxentrl.core.contracts import Env


class Limited(NamedTuple):
    """inner: the state of the environment itself. steps: int32 [], taken since the last reset."""

    inner: Any
    steps: jax.Array


def limited(env: Env, limit: int | None) -> Env:
    """The environment with a time limit: its state counts steps, and the last one that counts is truncated.

    A step that ends the process just then is terminated and truncated both, as in Gymnasium.

    Args:
        env: an environment.
        limit: steps in an episode, at least 1; None for no limit, which changes nothing.

    Raises:
        InputError: for a limit that is no whole number of at least 1.
    """
    if limit is None:
        return env
    if isinstance(limit, bool) or not isinstance(limit, int | np.integer) or limit < 1:
        raise InputError(
            f"{env.name}: limit must be a whole number of steps, at least 1, or None for no limit; got {limit!r}."
        )

    def reset(key):
        inner, observation = env.reset(key)
        return Limited(inner, jnp.zeros((), jnp.int32)), observation

    def step(key, state, action):
        inner, now = env.step(key, state.inner, action)
        steps = state.steps + 1
        return Limited(inner, steps), now._replace(truncated=now.truncated | (steps >= limit))

    return env._replace(reset=reset, step=step, limit=limit)


def check_positive(env: str, **settings: float) -> None:
    """These settings of an environment are finite numbers above 0."""
    for name, value in settings.items():
        if not 0 < value < math.inf:
            raise InputError(f"{env}: {name} must be a finite number above 0; got {value}.")


def check_not_negative(env: str, **settings: float) -> None:
    """These settings of an environment are finite numbers of at least 0."""
    for name, value in settings.items():
        if not 0 <= value < math.inf:
            raise InputError(f"{env}: {name} must be a finite number of at least 0; got {value}.")
