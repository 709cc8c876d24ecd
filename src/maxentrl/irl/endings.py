"""How recordings end, where that is part of what is explained: under posterior dynamics.

A trajectory ends in a terminal state, at the horizon, or, with probability 1 - discount a step, anywhere. One that
stops in a live state before the horizon was cut off there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from maxentrl.core.check import InputError
from maxentrl.core.words import many
from maxentrl.data.trajectories import Trajectories
from maxentrl.irl.demonstrations import check_demonstrations
from maxentrl.irl.sensitivity import ENDED
from maxentrl.models.tabular import TabularMDP
from maxentrl.models.transition import Dense


class Endings(NamedTuple):
    """next_states: [N, T], also where an unknown last one is certain; `ENDED` where the discount ended the process.
    starts: [S], weighted count of the trajectories that begin in each state. cut: [S] or [T+1, S], of those that were
    cut off (at that time). log_constant: [N], what the log-likelihood of each holds beside priors and rewards, nats.
    """

    next_states: np.ndarray
    starts: np.ndarray
    cut: np.ndarray
    log_constant: np.ndarray


def check_goes_on(discount: float) -> None:
    """At discount 0 the process ends after one step, whatever is done: there is nothing to explain."""
    if float(discount) == 0:
        raise InputError(
            "posterior dynamics need a discount above 0: nothing can be recorded after one step."
        )


def endings(mdp: TabularMDP, demos: Trajectories, discount: float, horizon: int | None) -> Endings:
    """Where each of these demonstrations ends and how.

    Raises:
        InputError: for demonstrations that cannot have happened, and for one that is cut off without saying where.
    """
    log_p = check_demonstrations(mdp, demos)
    rows, last = np.arange(demos.count), demos.lengths - 1
    # With a discount, an unknown end is the end; without one, it may still be certain.
    next_states = _fill(mdp, demos) if discount == 1 else demos.next_states.copy()
    reached = next_states[rows, last]
    early = np.ones(demos.count, bool) if horizon is None else demos.lengths < horizon
    lost = early & (reached < 0)
    if lost.any() and discount == 1:
        i = int(lost.argmax())
        raise InputError(
            f"trajectory {demos.ids[i]!r} is cut off after {many(int(demos.lengths[i]), 'step')} and does not say where its "
            f"last action led, which is part of what is explained here ({int(lost.sum())} such trajectories "
            "in all); give next_state, or a row without an action."
        )
    next_states[rows[lost], last[lost]] = ENDED
    off = early & (reached >= 0) & ~np.asarray(mdp.terminal)[np.maximum(reached, 0)]
    times = 1 if horizon is None else horizon + 1
    when = np.minimum(demos.lengths[off], times - 1)
    cut = np.bincount(when * mdp.states + reached[off], demos.weights[off], minlength=times * mdp.states)
    cut = cut.reshape(times, mdp.states).astype(float)
    with np.errstate(divide="ignore"):
        goes_on, ends = np.log(discount), np.log1p(-discount)
    return Endings(
        next_states=next_states,
        starts=np.bincount(demos.states[:, 0], demos.weights, minlength=mdp.states),
        cut=cut[0] if horizon is None else cut,
        log_constant=log_p.sum(1)
        + np.where(next_states >= 0, goes_on, 0.0).sum(1)
        + np.where(lost, ends, 0.0),
    )


def _fill(mdp: TabularMDP, demos: Trajectories) -> np.ndarray:
    """next_states, with an unknown last one filled in where only one state can follow."""
    next_states, rows = demos.next_states.copy(), np.arange(demos.count)
    last = demos.lengths - 1
    s, a = demos.states[rows, last], demos.actions[rows, last]
    if isinstance(mdp.transition, Dense):
        probability = np.asarray(mdp.transition.probability)[s, a]
        best, certain = probability.argmax(-1), (probability > 0).sum(-1) == 1
    else:
        probability = np.asarray(mdp.transition.probability)[a, :, s]
        slot, certain = probability.argmax(-1), (probability > 0).sum(-1) == 1
        best = np.asarray(mdp.transition.successor)[a, slot, s]
    fill = certain & (next_states[rows, last] < 0)
    next_states[rows[fill], last[fill]] = best[fill]
    return next_states
