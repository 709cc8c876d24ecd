"""Vector environments of a user's own, in each of the three ways in which they begin episodes anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from maxentrl.core.check import InputError
from maxentrl.core.contracts import Arrived
from maxentrl.core.spaces import Space
from maxentrl.core.words import told
from maxentrl.envs.episodes import check_seed, episode_seed
from maxentrl.envs.layout import action_space, check_finite, flatten, layout, native_actions
from maxentrl.envs.loading import called

NEXT_STEP, SAME_STEP, DISABLED = "NextStep", "SameStep", "Disabled"
"""When a vector environment begins anew, as Gymnasium spells it (`gymnasium.vector.AutoresetMode`)."""


class Together:
    """A vector environment of a user's own; an `Outside`. It begins episodes itself, in any of Gymnasium's three ways.

    NEXT_STEP: the step after an episode's last is used up by the reset, and comes back with valid false.
    SAME_STEP: the last observation is taken from the infos, under "final_obs".
    DISABLED: those whose episode ended are reset at once, by "reset_mask".

    A run in it cannot be continued bit for bit, since nobody but itself knows where it stands: `save` gives an empty
    dict and `restore` raises. observation, action, count, limit, name, layout, remarks: as in `Separate`.
    """

    def __init__(self, envs: gymnasium.vector.VectorEnv):
        self.envs, self.name, self.count = envs, called(envs), envs.num_envs
        self.layout = layout(envs.single_observation_space)
        self.observation: Space = self.layout.space
        self.action: Space = action_space(envs.single_action_space)
        self.limit = envs.spec.max_episode_steps if envs.spec else None
        mode = (envs.metadata or {}).get("autoreset_mode")
        self.remarks: tuple[str, ...] = (
            f"{self.name} is a vector environment, so a run in it cannot be continued bit for bit.",
        )
        if mode is None:
            mode = NEXT_STEP
            self.remarks += (
                "The vector environment does not say when it begins episodes anew (its metadata have no "
                "'autoreset_mode'); taken for the next step.",
            )
        self.mode = str(getattr(mode, "value", mode))
        if self.mode not in (NEXT_STEP, SAME_STEP, DISABLED):
            raise InputError(
                f"{self.name}: the metadata's autoreset_mode must be {NEXT_STEP}, {SAME_STEP} or {DISABLED}; "
                f"got {mode!r}."
            )
        self._over = np.zeros(self.count, bool)
        self._episode, self._time = np.zeros(self.count, int), np.zeros(self.count, int)

    def reset(self, seed: int) -> np.ndarray:
        check_seed(seed)
        self._over[:] = False
        self._episode[:], self._time[:] = 0, 0
        # Vector environments count on from the seed they are given; derived ones of two runs do not meet.
        return self._look(self._ask("reset", seed=episode_seed(seed, 0, 0) >> 1)[0])

    def step(self, action: np.ndarray) -> Arrived:
        native = native_actions(self.envs.single_action_space, action, self.count)
        lived = ~self._over if self.mode == NEXT_STEP else np.ones(self.count, bool)
        self._episode += ~lived
        self._time = np.where(lived, self._time + 1, 0)
        seen, reward, terminated, truncated, infos = self._ask("step", native)
        terminated, truncated = np.array(terminated, bool), np.array(truncated, bool)
        reward = self._rewards(reward)
        over = terminated | truncated
        if self.mode == SAME_STEP:
            reached = self._final(seen, over, infos)
            self._next(over)
            observation = self._look(seen)
        else:
            reached = observation = self._look(seen)
            if self.mode == DISABLED and over.any():
                self._next(over)
                anew = self._ask("reset", options={"reset_mask": over.copy()})[0]
                observation = np.where(over[:, None], self._look(anew), reached)
        self._over = over
        return Arrived(observation, reached, np.where(lived, reward, 0), terminated, truncated, lived)

    def save(self) -> dict[str, np.ndarray]:
        return {}

    def restore(self, saved: Mapping[str, np.ndarray]) -> np.ndarray:
        raise InputError(
            f"a run in the vector environment {self.name} cannot be continued bit for bit, because it begins its episodes "
            "by itself; give a function that makes a single environment, and a count, instead."
        )

    def close(self) -> None:
        self.envs.close()

    def _next(self, over: np.ndarray) -> None:
        self._episode += over
        self._time[over] = 0

    def _where(self, i: int) -> str:
        return f"environment {i} ({self.name}), episode {self._episode[i]}, step {self._time[i]}"

    def _rows(self, seen: Any) -> np.ndarray:
        try:
            return flatten(self.layout, seen, (self.count,))
        except InputError as error:
            raise InputError(f"{self._steps}: {error}") from None

    def _ask(self, what: str, *given: Any, **named: Any) -> Any:
        """What the environments answer to `reset` or `step`."""
        try:
            return getattr(self.envs, what)(*given, **named)
        except Exception as error:
            raise InputError(f"{self._steps}: {what} failed with {told(error)}.") from error

    @property
    def _steps(self) -> str:
        return f"{self.name}, at steps {', '.join(map(str, self._time))} of its environments"

    def _look(self, seen: Any) -> np.ndarray:
        rows = self._rows(seen)
        for i in np.flatnonzero(~np.isfinite(rows).all(1)):
            self._look_at(int(i), rows[i])
        return rows

    def _look_at(self, i: int, row: np.ndarray) -> np.ndarray:
        try:
            check_finite(self.layout, row)
        except InputError as error:
            raise InputError(f"{self._where(i)}: {error}") from None
        return row

    def _rewards(self, reward: Any) -> np.ndarray:
        with np.errstate(over="ignore"):  # becomes inf, and is refused
            reward = np.asarray(reward).astype(np.float32)
        if reward.shape != (self.count,):
            raise InputError(
                f"{self.name}: rewards must have shape ({self.count},); they have {reward.shape}."
            )
        if not np.isfinite(reward).all():
            i = int(np.argmin(np.isfinite(reward)))
            raise InputError(
                f"{self._where(i)}: the reward is {reward[i]}; rewards must be finite in float32."
            )
        return reward

    def _final(self, seen: Any, over: np.ndarray, infos: Mapping[str, Any]) -> np.ndarray:
        """What was truly reached, where the observation is of the next episode already."""
        rows = self._rows(seen)
        if not over.any():
            return rows
        final = infos.get("final_obs")
        if final is None:
            raise InputError(
                f"{self.name} says that it begins episodes anew in the same step, but its infos have no 'final_obs', "
                "without which the last observation of an episode is lost."
            )
        each = isinstance(final, np.ndarray) and final.dtype == object
        together = None if each else self._rows(final)
        for i in np.flatnonzero(over):
            try:
                row = flatten(self.layout, final[i]) if together is None else together[i]
            except InputError as error:
                raise InputError(f"{self._where(int(i))}: {error}") from None
            rows[i] = self._look_at(int(i), row)
        return rows
