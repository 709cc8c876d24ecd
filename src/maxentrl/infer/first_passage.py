"""Hundreds of goals on one network, from one factorisation.

Arcs are certain, nothing is discounted, and the prior counts (every arc has log-weight 0), so that exp(V) is
linear. With M[k, a] = exp(r(k, a) / temperature) on the arcs k -> a and N = (I - M)^{-1} = I + M + M^2 + ...,
N[o, g] is the summed weight of all ways from o to g, each way weighing exp(its reward / temperature). For
goal g

    z[o] = N[o, g]              when the trip may pass the goal and come back (stopping there is a choice);
    z[o] = N[o, g] / N[g, g]    when it ends on its first arrival (first passage),

V = temperature log z, and the policy is pi(a | k) = M[k, a] z[a] / z[k]. The matrix does not know the goal: one
sparse LU serves all of them. For a goal that nothing leaves, N[g, g] = 1 and the two are the same.

I - M is a nonsingular M-matrix, that is, the sum above converges, exactly when elimination without row exchanges
meets positive pivots only (Berman & Plemmons 1994, theorem 6.2.3). So the factorisation is the certificate, and
since it then only adds numbers of one sign, z has a small relative error in each entry, however small.

Derivatives. With F = (I - M)^{-T} W, where W[o, g] = count(o, g) / N[o, g], the expected number of trips on an arc
is M[k, a] sum_g F[k, g] N[a, g]: two blocks of solves whatever is to be differentiated. First passage is the same
with count -sum_o count(o, g) for the pair (g, g).

Source: Fosgerau, Frejinger & Karlstrom (2013), equations 4 to 10, for the model.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.sparse.linalg import SuperLU, splu

from maxentrl.core.check import InputError, check_choice
from maxentrl.models.network import Network

Goal = Literal["optional", "forced"]

BLOCK = 32
"""Goals solved for at once: so many columns stay in the cache."""

GATHER = 1024
"""Arcs of which products are summed at once, for the same reason."""

ELIMINATION = {
    "permc_spec": "COLAMD",
    "diag_pivot_thresh": 0.0,
    "options": {"SymmetricMode": True},
}
"""For SuperLU: a fill-reducing order, and pivots on the diagonal."""

SMALLEST_PIVOT = 1e-10
"""Below this the sign of a pivot is rounding: the problem counts as infeasible, being on the boundary."""

SMALLEST = 1e-290
"""Below this a weight is about to underflow."""

LARGEST = 700.0
"""Above this exp overflows."""


class Passages(NamedTuple):
    """What is asked of a network: P pairs of an origin and a goal, on the part of it that any of them can use.

    arcs: [m] the arcs that lie on some way from an origin to a goal, sorted by the link they leave.
    states: links that remain; they are renumbered: links [states] are their old numbers.
    leaves, enters: [m] the ends of those arcs, in new numbers.
    goals: [G] different goals, in new numbers.
    rows, columns: [Q >= P] the entries of N that are needed: a link, and a place among goals; by column.
    pair: [P] where each pair is among them. stop: [P] where its goal's own entry is, or -1 where N[g, g] = 1.
    goal: "forced" or "optional".
    """

    network: Network
    arcs: np.ndarray
    links: np.ndarray
    leaves: np.ndarray
    enters: np.ndarray
    goals: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    pair: np.ndarray
    stop: np.ndarray
    goal: Goal

    @property
    def states(self) -> int:
        return len(self.links)


class Factors(NamedTuple):
    """I - M, factorised. weight: [m] exp(reward / temperature) of the arcs in `Passages`."""

    weight: np.ndarray
    solver: SuperLU


NOT_ASKED = np.zeros(0)


class Sums(NamedTuple):
    """What `sweep` was asked for; the rest is empty.

    log_values: [P] log z of each pair, nats.
    arc_flows: [m] expected number of trips on each arc.
    pair_features: [P, K] expected sum of features along a trip of each pair.
    curvature: [K, K] minus the second derivative of -sum counts log z: the summed covariance of the features.
    """

    log_values: np.ndarray
    arc_flows: np.ndarray = NOT_ASKED
    pair_features: np.ndarray = NOT_ASKED
    curvature: np.ndarray = NOT_ASKED


def passages(network: Network, origins, goals, *, goal: Goal = "forced", is_open=None) -> Passages:
    """Prepare to ask for the ways from each origin to its goal.

    Args:
        network: the links and arcs.
        origins, goals: [P] numbers of links.
        goal: "forced" when a trip ends on its first arrival at the goal, "optional" when stopping there is a
            choice (with reward 0) and it may go on.
        is_open: bool [E], arcs that exist; all unless given.

    Raises:
        InputError: for a goal that cannot be reached from its origin.
    """
    check_choice(goal, ("optional", "forced"), "goal")
    origins, goals = np.asarray(origins, np.int64), np.asarray(goals, np.int64)
    arcs = np.arange(network.arcs) if is_open is None else np.flatnonzero(is_open)
    lost = ~reachable(network, origins, goals, is_open)
    if lost.any():
        p = int(lost.argmax())
        raise InputError(
            f"link {network.ids[goals[p]]} cannot be reached from link {network.ids[origins[p]]} "
            f"({int(lost.sum())} such pairs of origin and goal in all)."
        )
    leaves, enters = network.arc_from[arcs].astype(np.int64), network.arc_to[arcs].astype(np.int64)
    useful = reach(network.links, leaves, enters, origins) & reach(network.links, enters, leaves, goals)
    new = np.where(useful, np.cumsum(useful) - 1, -1)
    kept = useful[leaves] & useful[enters]
    arcs, leaves, enters = arcs[kept], new[leaves[kept]], new[enters[kept]]
    order = np.argsort(leaves, kind="stable")
    arcs, leaves, enters = arcs[order], leaves[order], enters[order]

    different, column = np.unique(new[goals], return_inverse=True)
    rows, columns, pair = new[origins], column, np.arange(len(origins))
    stop = np.full(len(origins), -1)
    if goal == "forced":
        left = np.isin(different, leaves)
        again = np.flatnonzero(left)
        place = np.full(len(different), -1)
        place[again] = len(origins) + np.arange(len(again))
        stop = place[column]
        rows, columns = np.concatenate([rows, different[again]]), np.concatenate([columns, again])
    order = np.argsort(columns, kind="stable")
    place = np.append(np.argsort(order), -1)
    return Passages(
        network=network,
        arcs=arcs,
        links=np.flatnonzero(useful),
        leaves=leaves,
        enters=enters,
        goals=different,
        rows=rows[order],
        columns=columns[order],
        pair=place[pair],
        stop=place[stop],
        goal=goal,
    )


def reachable(network: Network, origins, goals, is_open=None) -> np.ndarray:
    """bool [P]: whether some way leads from each origin to its goal, over open arcs."""
    arcs = np.arange(network.arcs) if is_open is None else np.flatnonzero(is_open)
    graph = _graph(network.links, network.arc_from[arcs], network.arc_to[arcs])
    parts, part = connected_components(graph, connection="strong")
    start, end = part[np.asarray(origins, np.int64)], part[np.asarray(goals, np.int64)]
    found = start == end
    # Between strongly connected parts there are no loops left, and mostly there are few parts.
    between = _graph(parts, part[network.arc_to[arcs]], part[network.arc_from[arcs]])
    for target in np.unique(end[~found]):
        asked = np.flatnonzero(~found & (end == target))
        before = breadth_first_order(between, target, return_predecessors=False)
        found[asked] = np.isin(start[asked], before)
    return found


def _graph(size: int, leaves, enters) -> sp.csr_matrix:
    return sp.csr_matrix((np.ones(len(leaves)), (leaves, enters)), shape=(size, size))


def reach(size: int, leaves: np.ndarray, enters: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """bool [size]: what can be reached from any of the seeds, themselves included."""
    seeds = np.unique(seeds)
    leaves = np.concatenate([leaves, np.full(len(seeds), size)])
    graph = _graph(size + 1, leaves, np.concatenate([enters, seeds]))
    found = np.zeros(size + 1, bool)
    found[breadth_first_order(graph, size, return_predecessors=False)] = True
    return found[:size]


def factorise(asked: Passages, log_weight: np.ndarray) -> Factors | None:
    """Factorise I - M, or return None where the sum over all ways is infinite (or beyond the number format).

    Args:
        asked: what is asked of the network.
        log_weight: [m] reward / temperature of each arc in `asked.arcs`; -inf closes it.
    """
    if np.isnan(log_weight).any() or log_weight.max(initial=-np.inf) > LARGEST:
        return None
    weight = np.exp(log_weight)
    try:
        solver = splu(_system(asked, weight), **ELIMINATION)
    except RuntimeError:
        return None
    # A row exchange means that a pivot on the diagonal was exactly zero.
    if not np.array_equal(solver.perm_r, solver.perm_c) or not (solver.U.diagonal() > SMALLEST_PIVOT).all():
        return None
    return Factors(weight, solver)


def _system(asked: Passages, weight: np.ndarray) -> sp.csc_matrix:
    """I - M."""
    size = asked.states
    return sp.identity(size, format="csc") - sp.csc_matrix(
        (weight, (asked.leaves, asked.enters)), shape=(size, size)
    )


def transposed(asked: Passages, factors: Factors) -> SuperLU:
    """Factors of (I - M)^T. SuperLU solves with the transpose of its factors one column at a time; to factorise
    again costs less than that."""
    return splu(_system(asked, factors.weight).T.tocsc(), **ELIMINATION)


def sweep(
    asked: Passages, factors: Factors, counts: np.ndarray | None = None, features: np.ndarray | None = None
) -> Sums | None:
    """log z of each pair; with counts [P], expected flows too; with features [m, K], their first and second
    moments too. None where a z leaves the number format.

    Cost: one block of solves per goal for values, one more for flows, K more for moments.
    """
    entry = np.empty(len(asked.rows))
    signed = np.zeros(len(asked.rows))
    if counts is not None:
        np.add.at(signed, asked.pair, counts)
        stopped = asked.stop >= 0
        np.subtract.at(signed, asked.stop[stopped], counts[stopped])
    flow = np.zeros(len(asked.arcs))
    kinds = 0 if features is None else features.shape[1]
    moved, slope = np.zeros((kinds, len(asked.arcs))), np.zeros((len(asked.rows), kinds))
    backward = None if counts is None else transposed(asked, factors)
    tilted = (
        [] if features is None else [weighted(asked, factors.weight * features[:, k]) for k in range(kinds)]
    )
    for start in range(0, len(asked.goals), BLOCK):
        goals = asked.goals[start : start + BLOCK]
        here = slice(*np.searchsorted(asked.columns, [start, start + len(goals)]))
        row, column = asked.rows[here], asked.columns[here] - start
        arrived = np.zeros((asked.states, len(goals)), order="F")
        arrived[goals, np.arange(len(goals))] = 1
        ahead = factors.solver.solve(arrived)
        entry[here] = ahead[row, column]
        if not ((entry[here] > SMALLEST) & (entry[here] < 1 / SMALLEST)).all():
            return None
        if backward is None:
            continue
        asks = np.zeros_like(arrived)
        np.add.at(asks, (row, column), signed[here] / entry[here])
        behind = np.ascontiguousarray(backward.solve(asks))
        ahead = np.ascontiguousarray(ahead)
        gather(asked, behind, ahead, flow)
        for k in range(kinds):
            change = np.ascontiguousarray(factors.solver.solve(np.asfortranarray(tilted[k] @ ahead)))
            slope[here, k] = change[row, column] / entry[here]
            gather(asked, behind, change, moved[k])
    log_entry = np.append(np.log(entry), 0.0)
    log_values = log_entry[asked.pair] - log_entry[asked.stop]
    if counts is None:
        return Sums(log_values)
    flow *= factors.weight
    if features is None:
        return Sums(log_values, flow)
    cross = features.T @ (factors.weight * moved).T
    second = features.T @ (flow[:, None] * features) + cross + cross.T
    means = np.append(slope, np.zeros((1, kinds)), axis=0)
    return Sums(
        log_values,
        flow,
        means[asked.pair] - means[asked.stop],
        second - slope.T @ (signed[:, None] * slope),
    )


def weighted(asked: Passages, values: np.ndarray) -> sp.csr_matrix:
    """[states, states]: values [m] at the places of the arcs."""
    return sp.csr_matrix((values, (asked.leaves, asked.enters)), shape=(asked.states, asked.states))


def gather(asked: Passages, behind: np.ndarray, ahead: np.ndarray, into: np.ndarray) -> None:
    """Add sum_g behind[leaves, g] ahead[enters, g] of each arc to `into`."""
    for s in range(0, len(into), GATHER):
        piece = slice(s, s + GATHER)
        # `take` copies whole rows, in half the time of an index in brackets.
        left, right = behind.take(asked.leaves[piece], 0), ahead.take(asked.enters[piece], 0)
        into[piece] += np.einsum("ij,ij->i", left, right)
