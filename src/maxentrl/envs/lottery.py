"""The smallest problem on which exact inference is too optimistic to be followed."""

from __future__ import annotations

import numpy as np

from maxentrl.core.check import InputError
from maxentrl.models.tabular import TabularMDP


def lottery(*, prize: float = 4.0, loss: float = -4.0, chance: float = 0.05) -> TabularMDP:
    """A safe action that pays nothing; a risky one that wins `prize` with probability `chance`, else `loss`.

    The outcome is a state of its own, and pays when it is collected: two steps in all. At temperature 1,
    horizon 2 (or discount 1 without horizon) and default numbers the risky action has probability
        posterior dynamics:  x / (1 + x),  x = chance e^prize + (1 - chance) e^loss,          0.733
        given dynamics:      x / (1 + x),  x = exp(chance * prize + (1 - chance) * loss),     0.027
    Exact inference would bet on luck that it cannot bring about.

    Args:
        prize, loss: in units of reward.
        chance: probability of the prize, in [0, 1].

    Returns:
        A `TabularMDP` with states start, won, lost, end and actions safe, risky, collect; only what makes
        sense in a state is allowed there, so that the prior and the counting convention agree.

    Raises:
        InputError: for a chance outside [0, 1].
    """
    if not 0 <= chance <= 1:
        raise InputError(f"chance must be a probability in [0, 1]; got {chance}.")
    start, won, lost, end = range(4)
    safe, risky, collect = range(3)
    transition = np.zeros((4, 3, 4))
    transition[start, safe, end] = 1
    transition[start, risky, [won, lost]] = chance, 1 - chance
    transition[[won, lost], collect, end] = 1
    reward = np.full((4, 3), -np.inf)
    reward[start, [safe, risky]] = 0
    reward[[won, lost], collect] = prize, loss
    return TabularMDP(
        transition,
        reward,
        initial=np.arange(4) == start,
        terminal=np.arange(4) == end,
        state_names=("start", "won", "lost", "end"),
        action_names=("safe", "risky", "collect"),
        coordinates=[[0, 1], [1, 0], [1, 2], [2, 1]],
    )
