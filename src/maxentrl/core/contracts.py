"""The contracts between those who learn and what they learn in: small tuples of pure functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from maxentrl.core.spaces import Space


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
    """A simulator as a pair of pure functions, ready for `jit`, `vmap` and `scan`. It does not reset itself.

    On a CPU the seeds of a run are threads: one that calls back into Python is entered by several at once.

    reset: key -> (state, observation).
    step: (key, state, action) -> (state, Step); the action is in the environment's own units.
    observation, action: their spaces, where they are known.
    limit: steps after which `step` answers `truncated`, or None.
    name: as it is called in messages and files.
    """

    reset: Callable[[jax.Array], tuple[Any, Any]]
    step: Callable[[jax.Array, Any, Any], tuple[Any, Step]]
    observation: Space | None = None
    action: Space | None = None
    limit: int | None = None
    name: str = "environment"


class Transition(NamedTuple):
    """What one step, or an array of steps, was: all that learners are told. Leading axes agree.

    observation, next_observation: float32 [..., d], flat (see `core.spaces.flat`); the next one is what was truly
        reached, also where an episode ended, never the first one of the next episode.
    action: int32 [...], or float32 [..., m] in the agent's units, [-1, 1].
    reward: float32 [...].
    terminated, truncated: bool [...], as in `Step`. Only `terminated` says that nothing follows.
    valid: bool [...]; false for rows that no one lived through (see `Arrived`): nothing is to be learned from them.
    """

    observation: Any
    action: Any
    reward: Any
    next_observation: Any
    terminated: Any
    truncated: Any
    valid: Any


class Agent(NamedTuple):
    """A learner as a handful of pure functions; what it has learned is a state, a tree of arrays, handed in and out.

    N environments act side by side, and T steps of each are handed over at once.

    name: as the command line and messages call it.
    settings: a frozen dataclass of numbers and words.
    check: (observation space, action space) -> None; raises InputError where this agent cannot act.
    init: (key, observation space, action space) -> state.
    act: (state, key, observation [N, d]) -> action [N] or [N, m]; drawn as in training.
    mode: (state, observation [N, d]) -> the most likely action.
    log_density: (state, observation [N, d], action) -> log pi(a|s) [N] in the agent's units; of the policy that the
        agent has learned, which `act` follows once warm-up is over.
    update: (state, key, Transition [T, N, ...]) -> (state, info). info holds scalars by name: "updates", how many
        gradient steps were made, and averages over them, 0 where there were none.
    steps: T. environments: N.
    """

    name: str
    settings: Any
    check: Callable[[Space, Space], None]
    init: Callable[[jax.Array, Space, Space], Any]
    act: Callable[[Any, jax.Array, Any], Any]
    mode: Callable[[Any, Any], Any]
    log_density: Callable[[Any, Any, Any], Any]
    update: Callable[[Any, jax.Array, Transition], tuple[Any, dict[str, jax.Array]]]
    steps: int = 1
    environments: int = 1


class Arrived(NamedTuple):
    """What N environments outside of JAX answer to one action each, as NumPy arrays.

    observation: float32 [N, d], of the next step to take: of the new episode where one ended.
    next_observation: float32 [N, d], of what was truly reached.
    reward: float32 [N]. terminated, truncated: bool [N].
    valid: bool [N]; false where nothing was done because the environment used the step for a reset.
    """

    observation: np.ndarray
    next_observation: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    valid: np.ndarray


@runtime_checkable
class Outside(Protocol):
    """N environments that are stepped from Python, each reset when its episode ends.

    observation, action: the spaces of one of them, in its own units; count: N; limit, name: as in `Env`. Observations
        are flat (see `core.spaces.flat`).
    """

    observation: Space
    action: Space
    count: int
    limit: int | None
    name: str

    def reset(self, seed: int) -> np.ndarray:
        """Begin anew; every later episode's seed follows from this one. Returns observations [N, d]."""
        ...

    def step(self, action: np.ndarray) -> Arrived:
        """One step of all, actions [N] or [N, *shape] in the environment's units."""
        ...

    def save(self) -> dict[str, np.ndarray]:
        """All that `restore` needs to come back to this very step."""
        ...

    def restore(self, saved: dict[str, np.ndarray]) -> np.ndarray:
        """Come back to where `save` was called. Returns observations [N, d]; raises InputError where it cannot."""
        ...

    def close(self) -> None: ...
