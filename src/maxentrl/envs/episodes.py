"""One Gymnasium environment, episode by episode: all it answers is checked, and an episode can be lived again."""

from __future__ import annotations

import hashlib
import struct
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from maxentrl.core.check import InputError
from maxentrl.core.spaces import Space
from maxentrl.core.words import told
from maxentrl.envs.layout import Layout, action_space, check_finite, flatten, layout, native_actions

DIGEST = 8
"""Bytes that are kept of each step, to tell whether it comes out the same again."""

GREATEST = float(np.finfo(np.float32).max)


class Answer(NamedTuple):
    """What came of one action: observation float32 [d], and the rest as in `core.contracts.Step`."""

    observation: np.ndarray
    reward: float
    terminated: bool
    truncated: bool


class Past(NamedTuple):
    """The episode under way: which one, what was done in it [t] or [t, *shape], and digests of what was seen [t + 1, 8]."""

    episode: int
    actions: np.ndarray
    digests: np.ndarray


class Episodes:
    """An environment whose episodes are numbered, and each begun from a seed of its own.

    The seed of an episode follows from the base seed, the place of the environment among others, and the number of
    the episode: `numpy.random.SeedSequence(base, spawn_key=(place, episode))`, 31 bits of it. So seed, episode and
    actions are enough to come back to any step of an environment that repeats itself.
    """

    def __init__(self, env: gymnasium.Env, name: str, place: int = 0):
        self.env, self.place = env, place
        self.name = name
        self.layout: Layout = layout(env.observation_space)
        self.action: Space = action_space(env.action_space)
        self.episode, self.time = 0, 0
        self._done, self._seen = bytearray(), bytearray()
        self._row = np.zeros(())

    @property
    def where(self) -> str:
        """The step in hand, for messages."""
        return f"environment {self.place} ({self.name}), episode {self.episode}, step {self.time}"

    def begin(self, seed: int, episode: int) -> np.ndarray:
        """The first observation [d] of an episode; seed is the base seed.

        Raises:
            InputError: naming environment, episode and step, for whatever the environment raises, and an observation
                that is none of its space, or not finite.
        """
        self.episode, self.time = episode, 0
        self._done.clear()
        self._seen.clear()
        try:
            answer = self.env.reset(seed=episode_seed(seed, self.place, episode))
        except Exception as error:
            raise InputError(f"{self.where}: reset failed with {told(error)}.") from error
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise InputError(
                f"{self.where}: reset must return (observation, info); it returned {_kind(answer)}."
            )
        row = self._look(answer[0])
        self._remember(row)
        return row

    def step(self, action: np.ndarray | np.generic, native: Any) -> Answer:
        """One step.

        Args:
            action: [] or [*shape], in the environment's units, to be remembered.
            native: the same in the type that the environment wants; see `native_actions`.

        Raises:
            InputError: as `begin` does, and for a reward that is no finite number.
        """
        self.time += 1
        try:
            answer = self.env.step(native)
        except Exception as error:
            raise InputError(f"{self.where}: step failed with {told(error)}.") from error
        if not isinstance(answer, tuple) or len(answer) != 5:
            raise InputError(
                f"{self.where}: step must return (observation, reward, terminated, truncated, info); it returned "
                f"{_kind(answer)}."
            )
        row = self._look(answer[0])
        reward = self._reward(answer[1])
        terminated, truncated = bool(answer[2]), bool(answer[3])
        self._done += action.tobytes()
        self._remember(row, struct.pack("<f??", reward, terminated, truncated))
        return Answer(row, reward, terminated, truncated)

    def past(self) -> Past:
        """What `relive` needs to come back to this very step."""
        actions = np.frombuffer(bytes(self._done), np.int32 if self._discrete else np.float32)
        digests = np.frombuffer(bytes(self._seen), np.uint8).reshape(-1, DIGEST)
        if not self._discrete:
            actions = actions.reshape(-1, *self.env.action_space.shape or ())
        return Past(self.episode, actions, digests)

    def relive(self, seed: int, past: Past) -> np.ndarray:
        """The episode up to where it was left, with everything seen compared. Returns the observation there [d].

        Raises:
            InputError: naming the first step at which something else was seen.
        """
        row = self.begin(seed, past.episode)
        self._compare(past)
        for action in past.actions:
            native = native_actions(self.env.action_space, action[None], 1)[0]
            row = self.step(action, native).observation
            self._compare(past)
        return row

    @property
    def _discrete(self) -> bool:
        return isinstance(self.env.action_space, gymnasium.spaces.Discrete)

    def _look(self, observation: Any) -> np.ndarray:
        try:
            row = flatten(self.layout, observation)
            check_finite(self.layout, row)
        except InputError as error:
            raise InputError(f"{self.where}: {error}") from None
        return row

    def _reward(self, reward: Any) -> float:
        try:
            value = reward.item() if isinstance(reward, np.ndarray) else float(reward)
        except (TypeError, ValueError):
            raise InputError(f"{self.where}: the reward must be one number; it is {_kind(reward)}.") from None
        # Not the other way round: comparisons with NaN are false.
        if not -GREATEST <= value <= GREATEST:
            raise InputError(f"{self.where}: the reward is {value}; rewards must be finite in float32.")
        return value

    def _remember(self, row: np.ndarray, more: bytes = b"") -> None:
        self._seen += hashlib.blake2b(row.tobytes() + more, digest_size=DIGEST).digest()

    def _compare(self, past: Past) -> None:
        if self._seen[-DIGEST:] != past.digests[self.time].tobytes():
            raise InputError(
                f"{self.where}: this environment does not repeat itself: after the same seed and the same actions it "
                "answers something else, so a run in it cannot be continued bit for bit."
            )


def episode_seed(seed: int, place: int, episode: int) -> int:
    """The seed of one episode of one environment, in [0, 2^31)."""
    return int(np.random.SeedSequence(seed, spawn_key=(place, episode)).generate_state(1)[0] >> 1)


def check_seed(seed: int) -> None:
    """A base seed is a whole number in [0, 2^32).

    Raises:
        InputError: if it is not.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise InputError(f"a seed must be a whole number in [0, 2^32); got {seed!r}.")


def _kind(value: Any) -> str:
    """What something is, in few words."""
    if isinstance(value, tuple | list | np.ndarray):
        return (
            f"a {type(value).__name__} of {np.size(value) if isinstance(value, np.ndarray) else len(value)}"
        )
    return f"a {type(value).__name__}" if value is not None else "nothing"
