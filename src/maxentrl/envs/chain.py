"""A corridor with a small reward near and a big one far away."""

from __future__ import annotations

import numpy as np

from maxentrl.core.check import InputError
from maxentrl.models.tabular import TabularMDP


def chain(
    length: int = 10,
    *,
    left_reward: float = 0.1,
    right_reward: float = 1.0,
    exit_reward: float | None = None,
) -> TabularMDP:
    """A row of states, walked left or right, that rewards pressing against either end.

        r(0, left) = left_reward,  r(length - 1, right) = right_reward,  0 elsewhere

    The walk starts at the left end, where the small reward is. With `exit_reward` there is a third action
    that leads from anywhere to a terminal state and pays that much once: a living reward in disguise then
    shows at once, as staying or as leaving.

    Args:
        length: number of states in the row, at least 1.
        left_reward, right_reward: per step, in units of reward.
        exit_reward: paid once for leaving, in units of reward; None for a chain that cannot be left.

    Returns:
        A `TabularMDP` with actions left, right (and exit); the terminal state, if any, is the last one.

    Raises:
        InputError: for a length below 1.
    """
    if length < 1:
        raise InputError(f"length must be at least 1 state; got {length}.")
    place = np.arange(length)
    successor = np.stack([np.maximum(place - 1, 0), np.minimum(place + 1, length - 1)], 1)
    reward = np.zeros((length, 2))
    reward[0, 0] = left_reward
    reward[-1, 1] = right_reward
    names = ("left", "right")
    leaving = exit_reward is not None
    if leaving:
        successor = np.pad(np.column_stack([successor, np.full(length, length)]), ((0, 1), (0, 0)))
        reward = np.pad(np.column_stack([reward, np.full(length, exit_reward)]), ((0, 1), (0, 0)))
        names = (*names, "exit")
    return TabularMDP(
        (successor[:, :, None], np.ones((*successor.shape, 1))),
        reward,
        initial=np.arange(len(successor)) == 0,
        terminal=np.arange(len(successor)) == length,
        action_names=names,
        coordinates=np.stack([np.arange(len(successor)), np.zeros(len(successor))], 1),
    )
