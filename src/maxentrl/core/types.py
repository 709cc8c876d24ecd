"""The vocabulary: names for arrays and the contracts between the floors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import numpy as np

Array: TypeAlias = jax.Array | np.ndarray
"""What a function returns: a NumPy array, or a JAX array under a transformation or in a 64-bit process."""

Scalar: TypeAlias = int | float | jax.Array | np.ndarray | np.floating
"""A number, a 0-d array, or a traced value."""

Dynamics: TypeAlias = Literal["given", "posterior"]
"""`given`: the dynamics as they are, met by control. `posterior`: imagined, and tilted by luck."""


class Temperatures(NamedTuple):
    """The two temperatures of the one backup, in units of reward, each in [0, inf].

    `action` tempers the step over actions, `state` the step over next states. (0, inf) is value iteration,
    (a, inf) maximum-entropy control, (a, a) exact message passing, (inf, inf) evaluation of the prior.
    """

    action: Scalar
    state: Scalar


class Step(NamedTuple):
    """What an environment answers to one action.

    observation: what the agent sees next.
    reward: float [].
    terminated: bool []; the process ended, and the next state has value 0.
    truncated: bool []; only the recording ended (a time limit): the next state keeps its value.
    """

    observation: Any
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array


class Env(NamedTuple):
    """A simulator as a pair of pure functions, ready for `jit`, `vmap` and `scan`.

    reset: key -> (state, observation).
    step: (key, state, action) -> (state, Step).
    """

    reset: Callable[[jax.Array], tuple[Any, Any]]
    step: Callable[[jax.Array, Any, Any], tuple[Any, Step]]
