"""Where a policy sends those whose demonstrations began somewhere and lasted a while."""

from __future__ import annotations

import numpy as np

from maxentrl.assess.shaping import Choices
from maxentrl.data.trajectories import Trajectories
from maxentrl.models.tabular import TabularMDP

LOST = 1e-6
"""Share of the journeys whose end is not awaited."""

PATIENCE = 20
"""Times the length of the longest demonstration, after which journeys that do not end are no longer followed, where
policies leave something to chance, so that journeys end sooner or later."""

TABLE = 2e7
"""Numbers held at once; beyond, nothing is predicted."""


def decisions_of(mdp: TabularMDP, demos: Trajectories) -> np.ndarray:
    """Weighted number of times [S, A] that each decision was taken."""
    i, t = np.nonzero(demos.recorded)
    counts = np.zeros((mdp.states, mdp.actions))
    np.add.at(counts, (demos.states[i, t], demos.actions[i, t]), demos.weights[i])
    return counts


def predicted_decisions(
    mdp: TabularMDP, log_policy: np.ndarray, demos: Trajectories, patience: int = PATIENCE
) -> np.ndarray | None:
    """Expected number of times [S, A] that each decision is taken, by journeys that begin where demonstrations do.

    Each is followed until it ends in a terminal state, and no longer than it could have been recorded: a
    demonstration that was cut off, for as long as it lasted; the others, if some were cut off, for as long as the
    longest one.

    Args:
        log_policy: [S, A], or [T, S, A] over a finite horizon.
        patience: times the length of the longest demonstration after which journeys are no longer followed; 1 for
            plans without chance, which may go in circles for ever.

    Returns:
        None where the prediction would take too much memory.
    """
    choices = Choices(mdp)
    chance = np.exp(np.asarray(log_policy, np.float64))[..., choices.state, choices.action]
    last = demos.next_states[np.arange(demos.count), demos.lengths - 1]
    ended = (last >= 0) & np.asarray(mdp.terminal)[np.maximum(last, 0)]
    longest = demos.longest
    limits = np.where(ended, longest, demos.lengths)
    if ended.all():
        longest = patience * longest
        limits = np.full(demos.count, longest)
    if chance.ndim == 2:
        longest = min(longest, len(chance))
        limits = np.minimum(limits, longest)
    groups, which = np.unique(limits, return_inverse=True)
    if chance.ndim == 2 and len(groups) * mdp.states > TABLE:
        return None
    start = np.zeros((len(groups), mdp.states))
    np.add.at(start, (which, demos.states[:, 0]), demos.weights)
    forward = choices.flow.T.tocsr()
    if chance.ndim == 1 and len(groups) > 1:
        visits = _from_the_end(choices, forward, chance, start, groups)
        return choices.table(visits[choices.state] * chance)
    total, now = np.zeros(len(choices.state)), start.T
    enough = LOST * float(demos.weights.sum())
    live = ~np.asarray(mdp.terminal)
    for t in range(longest):
        taken = now[choices.state] * (chance[t] if chance.ndim == 2 else chance)[:, None]
        total += taken.sum(1)
        now = (forward @ taken) * (groups > t + 1)
        if now[live].sum() <= enough:
            break
    return choices.table(total)


def _from_the_end(choices: Choices, forward, chance, start, groups) -> np.ndarray:
    """Visits [S], sum over t of (those still followed at t) P^t, by Horner's rule: one vector is carried."""
    visits, k, begun = np.zeros(start.shape[1]), len(groups), np.zeros(start.shape[1])
    for t in range(int(groups[-1]) - 1, -1, -1):
        while k and groups[k - 1] > t:
            k -= 1
            begun += start[k]
        visits = begun + forward @ (visits[choices.state] * chance)
    return visits


def is_deterministic(mdp: TabularMDP) -> bool:
    """Whether every choice leads to one state."""
    flow = Choices(mdp).flow
    return flow.nnz == len(flow.indptr) - 1
