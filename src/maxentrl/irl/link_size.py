"""A feature of its own for each pair of origin and goal: how much of the traffic between them uses a link.

Ways that share links are similar, and the plain model counts them as if they were different. The link size of link a
for the pair (o, g) is the expected number of visits to it under fixed rewards,

    LS(a) = N[o, a] z[a] / z[o],

and a weight on it (negative, where sharing is made up for) gives each pair a reward of its own:
r(k, a) = w . x(k, a) + w_LS LS(a). So each pair has a matrix of its own too, M D with M = exp(w . x) and
D = diag(exp(w_LS LS)). Multiplied by D^{-1} from the right, I - M D becomes

    B = D^{-1} - M,      z = (I - M D)^{-1} e_g = D^{-1} y,      B y = e_g,

and pairs differ on the diagonal only: they are eliminated side by side, exactly, and each certifies itself.
For the derivatives, with f = B^{-T} e_o (trips / y[o]), trips on an arc are f[k] M[k, a] y[a], and z[o] moves with
the weight of a feature x by B^{-1} (M x) y.

Source: Fosgerau, Frejinger & Karlstrom (2013), section 4.2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from maxentrl.core.check import InputError
from maxentrl.infer.first_passage import (
    BLOCK,
    LARGEST,
    SMALLEST,
    Passages,
    Sums,
    gather,
    transposed,
    weighted,
)
from maxentrl.infer.side_by_side import Plan, eliminate, solve
from maxentrl.irl.route_evidence import Evidence, certify, check_arc_rewards

LANES = 64
"""Pairs eliminated side by side: enough that calls cost little beside arithmetic, few enough for the cache."""


class LinkSizes(NamedTuple):
    """links: for each of P pairs, the links it uses (numbers in `Passages`). sizes: their link sizes."""

    links: list[np.ndarray]
    sizes: list[np.ndarray]


def link_sizes(known: Evidence, arc_rewards, *, temperature: float = 1.0, least: float = 1e-8) -> LinkSizes:
    """Link sizes of each pair of origin and goal among some trips.

    Args:
        known: `evidence(network, trips, goal)`.
        arc_rewards: [E], the fixed rewards under which visits are expected.
        temperature: in (0, inf), units of reward.
        least: sizes below it count as zero. Links that nothing leaves have size zero: every trip enters one, once.
    """
    if not least > 0:
        raise InputError(f"least must be a number above 0; got {least}.")
    asked = known.asked
    if (asked.stop >= 0).any():
        raise InputError(
            'link sizes are made for goals that nothing leaves, or for goal="optional"; '
            f"{int((asked.stop >= 0).sum())} pairs of origin and goal have another."
        )
    log_weight = check_arc_rewards(asked.network, arc_rewards, temperature)
    factors = certify(asked, log_weight, temperature)
    backward = transposed(asked, factors)
    final = asked.network.final[asked.links]
    pairs = len(asked.pair)
    found = LinkSizes([np.zeros(0, int)] * pairs, [np.zeros(0)] * pairs)
    for here in _blocks(pairs, BLOCK):
        rows, goals = asked.rows[asked.pair[here]], asked.goals[asked.columns[asked.pair[here]]]
        ahead = factors.solver.solve(unit(asked.states, goals))
        behind = backward.solve(unit(asked.states, rows))
        visits = behind * ahead / ahead[rows, np.arange(len(rows))]
        visits[final] = 0.0
        for i, p in enumerate(here):
            used = np.flatnonzero(visits[:, i] > least)
            found.links[p], found.sizes[p] = used, visits[used, i]
    return found


def _blocks(pairs: int, size: int) -> list[np.ndarray]:
    return [np.arange(s, min(s + size, pairs)) for s in range(0, pairs, size)]


def unit(size: int, rows: np.ndarray) -> np.ndarray:
    columns = np.zeros((size, len(rows)), order="F")
    columns[rows, np.arange(len(rows))] = 1
    return columns


def sized_sweep(
    asked: Passages,
    plan: Plan,
    log_weight: np.ndarray,
    sizes: LinkSizes,
    weight: float,
    counts: np.ndarray,
    features: np.ndarray,
    *,
    moments: bool = False,
) -> tuple[np.ndarray, np.ndarray, Sums | None] | None:
    """Log-values and expected features where each pair has the reward weight * LS on top.

    Args:
        plan: `plan(asked.states, asked.leaves, asked.enters)`, the same for all weights.
        log_weight: [m], of the rewards that all pairs share. weight: of the link sizes (all divided by the
            temperature).
        counts: [P]. features: [m, K]. The link size comes last among the K + 1 features.
        moments: whether the moments of each pair are wanted too.

    Returns:
        log z [P]; expected features [K + 1], summed over trips; and with moments `Sums`, whose flows are all trips'.
        None where a pair has no finite value, or one that leaves the number format.
    """
    largest = abs(weight) * max((size.max(initial=0.0) for size in sizes.sizes), default=0.0)
    if not (log_weight.max(initial=-np.inf) <= LARGEST and largest <= LARGEST):
        return None
    arc_weight = np.exp(log_weight)
    matrix, returning = weighted(asked, arc_weight), weighted(asked, arc_weight).T.tocsr()
    kinds, arcs, pairs = features.shape[1], len(asked.arcs), len(asked.pair)
    tilted = [weighted(asked, arc_weight * features[:, k]) for k in range(kinds if moments else 0)]
    origins, goals = asked.rows[asked.pair], asked.goals[asked.columns[asked.pair]]
    log_values, slope = np.empty(pairs), np.zeros((pairs, kinds + 1))
    flow, sized, moved = np.zeros(arcs), np.zeros(arcs), np.zeros((kinds + 1, arcs))
    # Of the link size, whose values differ by pair, the moments with each feature and with itself.
    first, crossed, square = 0.0, np.zeros(kinds + 1), 0.0
    for here in _blocks(pairs, LANES):
        start = origins[here], np.arange(len(here))
        size = np.zeros((asked.states, len(here)))
        for i, p in enumerate(here):
            size[sizes.links[p], i] = sizes.sizes[p]
        eliminated = eliminate(plan, arc_weight, np.exp(-weight * size))
        if eliminated is None:
            return None
        ahead = solve(eliminated, unit(asked.states, goals[here]))
        entry = ahead[start]
        if not ((entry > SMALLEST) & (entry < 1 / SMALLEST)).all():
            return None
        log_values[here] = np.log(entry) - weight * size[start]
        behind = solve(
            eliminated, unit(asked.states, origins[here]) * (counts[here] / entry), transposed=True
        )
        gather(asked, behind, ahead, flow)
        # Times y, the visits to each link by an arc; the origin's own start has no arc, and no reward.
        met = size * (returning @ behind)
        first += np.vdot(met, ahead)
        if not moments:
            continue
        gather(asked, behind, ahead * size, sized)
        square += np.vdot(met, size * ahead)
        for k in range(kinds + 1):
            change = solve(eliminated, tilted[k] @ ahead if k < kinds else matrix @ (ahead * size))
            slope[here, k] = change[start] / entry
            gather(asked, behind, change, moved[k])
            crossed[k] += np.vdot(met, change)
    expected = np.append((arc_weight * flow) @ features, first)
    if not moments:
        return log_values, expected, None
    flow = arc_weight * flow
    edge = features.T @ (arc_weight * sized)
    cross = np.vstack([features.T @ (arc_weight * moved).T, crossed])
    second = np.block([[features.T @ (flow[:, None] * features), edge[:, None]], [edge[None], square]])
    curvature = second + cross + cross.T - slope.T @ (counts[:, None] * slope)
    return log_values, expected, Sums(log_values, flow, slope, curvature)
