"""Gymnasium environments, one's own or registered ones, side by side, as learners are told of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np

from maxentrl.core.check import InputError
from maxentrl.core.contracts import Arrived, Outside
from maxentrl.core.spaces import Box, Space
from maxentrl.envs.episodes import DIGEST, Episodes, Past, check_seed
from maxentrl.envs.layout import check_layout, native_actions
from maxentrl.envs.loading import called, examine, heard, load, make
from maxentrl.envs.together import Together


def outside(
    env: str | Callable[..., Any] | gymnasium.vector.VectorEnv,
    count: int = 1,
    arguments: Mapping[str, Any] | None = None,
    check: bool = True,
) -> Outside:
    """Environments stepped from Python, for `learn.train`.

    Args:
        env: a Gymnasium id or `module:Name` (see `load`), a function or class that makes a new environment at each
            call, or a vector environment, such as one of Gymnasium's whose environments have a process each.
        count: N, how many act side by side; one after the other, in this process. A vector environment brings its
            own; a function or class that makes one is told it as `num_envs`.
        arguments: handed to whatever makes the environment.
        check: try one environment, which is then thrown away, before the others are used (see `loading.examine`). What
            it says without being wrong is in `remarks`.

    Returns:
        `Separate` environments, whose runs can be continued bit for bit if they repeat themselves; or environments
        `Together`, for a vector environment, whose runs cannot.

    Raises:
        InputError: what `load` and `examine` raise; for a count below 1 or other than that of a vector environment;
            for a function that makes the same environment twice.
    """
    remarks: list[str] = []
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InputError(f"count must be a whole number of environments, at least 1; got {count!r}.")
    if isinstance(env, gymnasium.vector.VectorEnv):
        if arguments:
            raise InputError("a vector environment is made already, so it takes no arguments.")
        return _together(env, count)
    if isinstance(env, gymnasium.Env):
        raise InputError(
            "give a function that makes a new environment at each call instead of one environment that is made."
        )
    if not isinstance(env, str) and not callable(env):
        raise InputError(
            f"env must be a Gymnasium id, module:Name, a function that makes an environment, or a vector environment; "
            f"got a {type(env).__name__}."
        )

    def another():
        if isinstance(env, str):
            return load(env, arguments, count)
        return make(env, getattr(env, "__name__", type(env).__name__), arguments or {}, count)

    with heard(remarks):
        first = another()
        if isinstance(first, gymnasium.vector.VectorEnv):
            return _together(first, count)
        made = [first, *(another() for _ in range(count if check else count - 1))]
    name = env if isinstance(env, str) else called(first)
    if len({id(each.unwrapped) for each in made}) < len(made):
        raise InputError(
            f"{name}: the function gave the same environment twice; it must make a new one each time."
        )
    if any(
        (each.observation_space, each.action_space) != (first.observation_space, first.action_space)
        for each in made
    ):
        raise InputError(f"{name}: environments that act side by side must have the same spaces.")
    if check:
        tried = made.pop()
        remarks += [words for words in examine(tried, name) if words not in remarks]
        tried.close()
    return Separate(made, name, remarks)


def _together(env: gymnasium.vector.VectorEnv, count: int) -> Together:
    if count not in (1, env.num_envs):
        raise InputError(
            f"the vector environment {called(env)} has {env.num_envs} environments, and {count} were asked for."
        )
    return Together(env)


class Separate:
    """N single environments, one after the other; an `Outside`. An episode that ends is followed by the next at once.

    observation, action, count, limit, name: as in `Outside`. layout: where each part of an observation went.
    remarks: what was odd about the environment when it was tried.
    """

    def __init__(self, envs: list[gymnasium.Env], name: str, remarks: list[str] | None = None):
        self.name, self.count = name, len(envs)
        self.remarks = tuple(remarks or ())
        self.episodes = [Episodes(env, name, place) for place, env in enumerate(envs)]
        self.layout, self.action = self.episodes[0].layout, self.episodes[0].action
        self.observation: Space = self.layout.space
        self.limit = _limit(envs[0])
        self._space = envs[0].action_space
        self._seed: int | None = None

    def reset(self, seed: int) -> np.ndarray:
        check_seed(seed)
        self._seed = int(seed)
        return np.stack([each.begin(self._seed, 0) for each in self.episodes])

    def step(self, action: np.ndarray) -> Arrived:
        seed = self._begun()
        native = native_actions(self._space, action, self.count)
        action = np.asarray(action, np.float32 if isinstance(self.action, Box) else np.int32)
        observation = np.empty((self.count, self.layout.width), np.float32)
        reached = np.empty_like(observation)
        reward = np.empty(self.count, np.float32)
        terminated, truncated = np.empty(self.count, bool), np.empty(self.count, bool)
        for i, each in enumerate(self.episodes):
            reached[i], reward[i], terminated[i], truncated[i] = each.step(action[i], native[i])
            over = terminated[i] or truncated[i]
            observation[i] = each.begin(seed, each.episode + 1) if over else reached[i]
        return Arrived(observation, reached, reward, terminated, truncated, np.ones(self.count, bool))

    def save(self) -> dict[str, np.ndarray]:
        """The base seed, the number of each episode under way, what was done in it, and digests of what was seen.

        Everything in types that JAX keeps; "layout" is JSON as bytes.
        """
        seed, past = self._begun(), [each.past() for each in self.episodes]
        return {
            "seed": np.asarray(seed, np.uint32),
            "episodes": np.asarray([each.episode for each in past], np.int32),
            "steps": np.asarray([len(each.actions) for each in past], np.int32),
            "actions": np.concatenate([each.actions for each in past]),
            "digests": np.concatenate([each.digests for each in past]),
            "layout": np.frombuffer(json.dumps(self.layout.record()).encode(), np.uint8),
        }

    def restore(self, saved: Mapping[str, np.ndarray]) -> np.ndarray:
        """Begin the episodes that were under way again, and do in them what was done, comparing all that is seen.

        Raises:
            InputError: if it was saved by other environments, or if one of them does not repeat itself.
        """
        seed, past = self._read(saved)
        self._seed = seed
        return np.stack([each.relive(seed, what) for each, what in zip(self.episodes, past, strict=True)])

    def close(self) -> None:
        for each in self.episodes:
            each.env.close()

    def _begun(self) -> int:
        if self._seed is None:
            raise InputError(f"{self.name} must be reset, with a seed, before its first step.")
        return self._seed

    def _read(self, saved: Mapping[str, np.ndarray]) -> tuple[int, list[Past]]:
        """What `save` gave, if these environments can have given it."""
        found = {key: np.asarray(value) for key, value in saved.items()}
        missing = {"seed", "episodes", "steps", "actions", "digests", "layout"} - set(found)
        if missing:
            raise InputError(f"what was saved of {self.name} lacks {', '.join(sorted(missing))}.")
        try:
            recorded = json.loads(found["layout"].tobytes())
        except ValueError:
            raise InputError(f"what was saved of {self.name} holds a layout that is no JSON.") from None
        if not isinstance(recorded, list) or not all(isinstance(part, dict) for part in recorded):
            raise InputError(f"what was saved of {self.name} holds a layout that is no list of parts.")
        check_layout(self.layout, recorded)
        episodes, steps = found["episodes"], found["steps"]
        if episodes.shape != (self.count,):
            raise InputError(
                f"what was saved is of {episodes.size} environments, and {self.name} has {self.count} here."
            )
        inner = self.action.shape if isinstance(self.action, Box) else ()
        shape = (int(steps.sum()), *inner)
        kind = np.float32 if isinstance(self.action, Box) else np.int32
        if found["actions"].shape != shape or found["actions"].dtype != kind:
            raise InputError(
                f"what was saved of {self.name} holds actions of shape {found['actions'].shape} and type "
                f"{found['actions'].dtype}, where {shape} and {np.dtype(kind)} belong."
            )
        digests, wanted = found["digests"], (int(steps.sum()) + self.count, DIGEST)
        if steps.shape != episodes.shape or digests.shape != wanted or digests.dtype != np.uint8:
            raise InputError(f"what was saved of {self.name} holds digests that do not fit its actions.")
        cuts = np.cumsum(steps)[:-1]
        return int(found["seed"]), [
            Past(int(episode), actions, seen)
            for episode, actions, seen in zip(
                episodes,
                np.split(found["actions"], cuts),
                np.split(digests, np.cumsum(steps + 1)[:-1]),
                strict=True,
            )
        ]


def _limit(env: gymnasium.Env) -> int | None:
    """The time limit: of the outermost wrapper that sets one, or what the environment was registered with."""
    inner: Any = env
    while isinstance(inner, gymnasium.Wrapper):
        if isinstance(inner, gymnasium.wrappers.TimeLimit):
            return int(inner._max_episode_steps)
        inner = inner.env
    return env.spec.max_episode_steps if env.spec else None
