"""Pictures of one episode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np

from maxentrl.core.check import InputError
from maxentrl.envs.episodes import Episodes, check_seed
from maxentrl.envs.layout import native_actions
from maxentrl.envs.loading import heard, load, make


def film(
    name: str | Callable[..., Any],
    arguments: Mapping[str, Any] | None,
    act: Callable[[np.ndarray], Any],
    seed: int,
    count: int,
    longest: int = 1000,
) -> list[np.ndarray] | None:
    """Frames of one episode at even distances, the first and the last among them.

    Args:
        name, arguments: as in `outside`; made anew, with render_mode="rgb_array".
        act: observation float32 [1, d] -> action [1] or [1, m], in the environment's units.
        seed: base seed of the episode, as of environment 0 of `Separate.reset`.
        count: the most frames to return, at least 1.
        longest: steps after which an episode that does not end is left.

    Returns:
        Frames, uint8 [height, width, 3]; fewer than count where the episode is shorter. None where the environment
        does not render, or cannot here: rendering needs packages, and often a display, that training does without.
    """
    check_seed(seed)
    with heard([]):
        env = _rendering(name, arguments or {})
    if env is None:
        return None
    episodes = Episodes(env, str(name))
    kept: list[np.ndarray] = []
    every = 1
    try:
        row = episodes.begin(seed, 0)
        with heard([]):
            kept.append(_frame(env))
        for time in range(1, longest + 1):
            action = np.asarray(act(row[None]))
            answer = episodes.step(action[0], native_actions(env.action_space, action, 1)[0])
            row, over = answer.observation, answer.terminated or answer.truncated or time == longest
            if time % every == 0 or over:
                with heard([]):
                    kept.append(_frame(env))
            if over:
                break
            # How long the episode will be is not known, and frames are large: never more than twice as many are held.
            if len(kept) > 2 * count:
                kept, every = kept[::2], 2 * every
    except _CannotRender:
        return None
    finally:
        env.close()
    return [kept[i] for i in np.unique(np.linspace(0, len(kept) - 1, count).round().astype(int))]


class _CannotRender(Exception):
    """There are no pictures here, for whatever reason."""


def _rendering(name: str | Callable[..., Any], arguments: Mapping[str, Any]) -> gymnasium.Env | None:
    arguments = {**arguments, "render_mode": "rgb_array"}
    try:
        env = load(name, arguments) if isinstance(name, str) else make(name, str(name), arguments)
    except InputError:
        return None
    return env if isinstance(env, gymnasium.Env) and env.render_mode == "rgb_array" else None


def _frame(env: gymnasium.Env) -> np.ndarray:
    try:
        frame = np.asarray(env.render())
    except Exception as error:  # packages, displays and drivers fail in ways of their own
        raise _CannotRender from error
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise _CannotRender
    return frame.copy()
