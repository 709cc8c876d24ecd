"""A point between four goals that are equally good: a policy that keeps its options open goes to all of them."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from maxentrl.core.contracts import Env, Step
from maxentrl.core.spaces import box
from maxentrl.envs.limited import check_not_negative, limited

HALF, NEAR = 7.0, 1.0
"""The field is [-7, 7]^2; a goal is reached within this distance."""

GOALS = ((5.0, 0.0), (-5.0, 0.0), (0.0, 5.0), (0.0, -5.0))
"""Where the goals are."""


def multigoal(
    *,
    action_weight: float = 30.0,
    goal_reward: float = 10.0,
    start_deviation: float = 0.1,
    limit: int | None = 30,
) -> Env:
    """Haarnoja's point in the plane with four goals, at (5, 0), (-5, 0), (0, 5), (0, -5).

        s' = clip(s + a, -7, 7),   a in [-1, 1]^2
        r  = -action_weight ||a||^2 - min over goals g of ||s' - g||^2 + goal_reward [min over g of ||s' - g|| < 1]

    Terminated within 1 of a goal. It starts at N(0, start_deviation^2) in both directions.

    Args:
        action_weight: of the squared action. goal_reward: paid once. Both in units of reward.
        start_deviation: standard deviation of the start.
        limit: steps in an episode, or None.

    Returns:
        An `Env`: state and observation are the place, float32 [2]; action [2].

    Raises:
        InputError: for a weight or deviation that is negative.

    Source: Haarnoja, Tang, Abbeel & Levine (2017), and their code, multigoal.py: the reward is paid at the place
    that is reached, and an episode is 30 steps long.
    """
    check_not_negative("multigoal", action_weight=action_weight, start_deviation=start_deviation)

    def reset(key):
        place = jnp.clip(start_deviation * jax.random.normal(key, (2,), jnp.float32), -HALF, HALF)
        return place, place

    def step(key, place, action):
        action = jnp.clip(action, -1.0, 1.0)
        place = jnp.clip(place + action, -HALF, HALF)
        nearest = jnp.min(jnp.sum((place - jnp.array(GOALS, jnp.float32)) ** 2, -1))
        reached = nearest < NEAR**2
        reward = -action_weight * jnp.sum(action**2) - nearest + jnp.where(reached, goal_reward, 0.0)
        return place, Step(place, reward, reached, jnp.zeros((), bool))

    env = Env(reset, step, box(-HALF, HALF, (2,)), box(-1.0, 1.0, (2,)), name="multigoal")
    return limited(env, limit)
