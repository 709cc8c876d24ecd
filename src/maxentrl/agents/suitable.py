"""The spaces that an agent needs, and who can act where they are others.

With the agent's name filled in, each function here is the `check` of an `Agent`.
"""

from __future__ import annotations

from maxentrl.core.check import InputError
from maxentrl.core.spaces import Discrete, Space, check_bounded
from maxentrl.core.words import listed

DISCRETE = ("soft_dqn", "discrete_sac", "soft_pg", "entropy_bonus_pg")
"""Agents with networks that act where actions are discrete."""
CONTINUOUS = ("soft_pg", "entropy_bonus_pg", "sac", "sac_v1")
"""Agents that act where actions are arrays within bounds."""


def check_discrete(name: str, observation: Space, action: Space) -> None:
    """Actions are discrete.

    Raises:
        InputError: naming the agents that can act where they are not, or the entry without a bound, where none can.
    """
    check_bounded(action)
    if not isinstance(action, Discrete):
        raise InputError(
            f"{name} needs discrete actions, and here they are {_told(action)}; {listed(CONTINUOUS)} can act here."
        )


def check_continuous(name: str, observation: Space, action: Space) -> None:
    """Actions are arrays within finite bounds.

    Raises:
        InputError: naming the agents that can act where they are discrete, or the entry without a bound.
    """
    if isinstance(action, Discrete):
        raise InputError(
            f"{name} needs actions in a box, and here they are {_told(action)}; {listed(DISCRETE)} can act here."
        )
    check_bounded(action)


def check_tabular(name: str, observation: Space, action: Space) -> None:
    """Both spaces are discrete.

    Raises:
        InputError: naming the agents that can act where one of them is not.
    """
    check_discrete(name, observation, action)
    if not isinstance(observation, Discrete):
        raise InputError(
            f"{name} keeps a table and needs discrete observations, and here they are {_told(observation)}; "
            f"{listed(DISCRETE)} learn with networks and can act here."
        )


def _told(space: Space) -> str:
    return f"numbers below {space.count}" if isinstance(space, Discrete) else f"arrays of shape {space.shape}"
