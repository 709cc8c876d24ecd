"""What every estimate is compared with: choosing at random, and doing what was done before."""

from __future__ import annotations

import math

import numpy as np

from maxentrl.core.check import InputError
from maxentrl.data.trajectories import Trajectories
from maxentrl.irl.demonstrations import check_demonstrations, check_visits
from maxentrl.irl.reward import choices
from maxentrl.models.tabular import TabularMDP


def uniform_policy(mdp: TabularMDP) -> np.ndarray:
    """log pi(a|s) [S, A], nats: every allowed action alike."""
    return behaviour_cloning(mdp, np.where(choices(mdp), 1.0, 0.0))


def behaviour_cloning(
    mdp: TabularMDP, demos: Trajectories | np.ndarray, *, smoothing: float = 1.0
) -> np.ndarray:
    """log pi(a|s) [S, A], nats: shares of the recorded decisions, each allowed action seen `smoothing` times more.

        pi(a|s) = (decisions(s,a) + smoothing) / sum_b (decisions(s,b) + smoothing)

    Where nothing was seen it is uniform over the allowed actions; terminal states and forbidden actions are -inf.

    Args:
        demos: `Trajectories`, or weighted visit counts [S, A].
        smoothing: at least 0 (Laplace: 1). At 0 what was never done has probability zero.
    """
    if not (smoothing >= 0 and math.isfinite(smoothing)):
        raise InputError(f"smoothing must be a number of at least 0; got {smoothing}.")
    allowed = choices(mdp)
    if isinstance(demos, Trajectories):
        check_demonstrations(mdp, demos)
        counts, (i, t) = np.zeros(allowed.shape), np.nonzero(demos.recorded)
        np.add.at(counts, (demos.states[i, t], demos.actions[i, t]), demos.weights[i])
    else:
        counts = check_visits(mdp, demos, None)
    counts = np.where(allowed, counts + smoothing, 0.0)
    counts = np.where(allowed & (counts.sum(1, keepdims=True) == 0), 1.0, counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(counts > 0, np.log(counts) - np.log(counts.sum(1, keepdims=True)), -np.inf)
