"""A feature of its own for each pair of origin and goal: how much of the traffic between them uses a link.

Ways that share links are similar, and the plain model counts them as if they were different. The link size of link a
for the pair (o, g) is the expected number of visits to it under fixed rewards,

    LS(a) = N[o, a] z[a] / z[o],

and a weight on it (negative, where sharing is made up for) gives each pair a reward of its own:
r(k, a) = w . x(k, a) + w_LS LS(a). So each pair has a matrix of its own too, M D with M = exp(w . x) and
D = diag(exp(w_LS LS)); but D differs from the identity only on the links that the pair uses. With E = I - D and C
those links,

    A = I - M D = (I - M) + M E,      A^{-1} r = N (r - M E x_C),      (I + (N - I) E)_CC x_C = (N r)_C :

one dense system per pair, of some hundred links, and two sparse ones in blocks of pairs. Most links in C have tiny sizes:
the dense system is of the others only, and refinement (solve, look at what is left over, solve for that) puts the tiny
ones right to the last digits.

Source: Fosgerau, Frejinger & Karlstrom (2013), section 4.2; Woodbury's identity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import get_lapack_funcs

from maxentrl.core.check import InputError, check_memory
from maxentrl.infer.first_passage import (
    BLOCK,
    SMALLEST,
    Factors,
    Passages,
    Sums,
    gather,
    transposed,
    weighted,
)
from maxentrl.irl.route_evidence import Evidence, certify, check_arc_rewards

# The plain functions: their wrappers take longer than a system of a hundred links.
dgetrf, dgetrs = get_lapack_funcs(("getrf", "getrs"), dtype=np.float64)

LARGE = 1e-3
"""Link sizes above it are solved for densely; those below are put right by refinement."""

REFINEMENTS = 30

SETTLED = 1e-5
"""Relative change of each entry at which refinement ends. Each round takes off three digits where `LARGE` is 1e-3, so
that about 1e-8 is left in the worst entry, and rounding in most."""


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
    for here in _blocks(pairs):
        rows, goals = asked.rows[asked.pair[here]], asked.goals[asked.columns[asked.pair[here]]]
        ahead = factors.solver.solve(unit(asked.states, goals))
        behind = backward.solve(unit(asked.states, rows))
        visits = behind * ahead / ahead[rows, np.arange(len(rows))]
        visits[final] = 0.0
        for i, p in enumerate(here):
            used = np.flatnonzero(visits[:, i] > least)
            found.links[p], found.sizes[p] = used, visits[used, i]
    return found


def _blocks(pairs: int) -> list[np.ndarray]:
    return [np.arange(s, min(s + BLOCK, pairs)) for s in range(0, pairs, BLOCK)]


def unit(size: int, rows: np.ndarray) -> np.ndarray:
    columns = np.zeros((size, len(rows)), order="F")
    columns[rows, np.arange(len(rows))] = 1
    return columns


def green(asked: Passages, factors: Factors) -> np.ndarray:
    """N = (I - M)^{-1} [states, states], all of it."""
    check_memory(
        8 * asked.states**2, f"the inverse for {asked.states} links", "link sizes need a smaller network"
    )
    whole = np.empty((asked.states, asked.states), order="F")
    for s in range(0, asked.states, BLOCK):
        columns = np.arange(s, min(s + BLOCK, asked.states))
        whole[:, columns] = factors.solver.solve(unit(asked.states, columns))
    return whole


class Block(NamedTuple):
    """Some pairs, with their matrices A. size, less: [states, pairs] link sizes, and 1 - exp(weight * size).
    used, systems: for each, the links with large sizes and the LU factors of the dense system on them.
    origins, goals: in `Passages`."""

    size: np.ndarray
    less: np.ndarray
    used: list[np.ndarray]
    systems: list
    origins: np.ndarray
    goals: np.ndarray


class SizedProblem:
    """One evaluation: weights of arcs, and of link sizes, for all pairs."""

    def __init__(self, asked: Passages, factors: Factors, sizes: LinkSizes, weight: float):
        self.asked, self.factors, self.sizes, self.weight = asked, factors, sizes, weight
        self.matrix = weighted(asked, factors.weight)
        self.returning = self.matrix.T.tocsr()
        self.backward = transposed(asked, factors)
        self.green = green(asked, factors)

    def block(self, pairs: np.ndarray) -> Block:
        """Factorise what is dense in the matrices of some pairs."""
        asked, entries = self.asked, self.asked.pair[pairs]
        size, used, systems = np.zeros((asked.states, len(pairs))), [], []
        for i, p in enumerate(pairs):
            size[self.sizes.links[p], i] = self.sizes.sizes[p]
            large = self.sizes.sizes[p] > LARGE
            links = self.sizes.links[p][large]
            inner = self.green[links[:, None], links]
            inner[np.diag_indices(len(links))] -= 1
            inner *= -np.expm1(self.weight * self.sizes.sizes[p][large])
            inner[np.diag_indices(len(links))] += 1
            used.append(links)
            systems.append(dgetrf(inner, overwrite_a=True)[:2] if len(links) else None)
        goals = asked.goals[asked.columns[entries]]
        return Block(size, -np.expm1(self.weight * size), used, systems, asked.rows[entries], goals)

    def solve(self, block: Block, right: np.ndarray, scale: np.ndarray | float = 0.0) -> np.ndarray | None:
        """A^{-1} right for each pair, [states, pairs]; None where it does not settle.

        scale: the size of entries, where they can be of either sign and cancel.
        """

        def nearly(right):
            first = self.factors.solver.solve(np.asfortranarray(right))
            charged = np.zeros_like(right)
            for i, (links, lu) in enumerate(zip(block.used, block.systems, strict=True)):
                if lu is not None:
                    inner = dgetrs(*lu, first[links, i])[0]
                    charged[links, i] = block.less[links, i] * inner
            return self.factors.solver.solve(np.asfortranarray(right - self.matrix @ charged))

        return _refine(nearly, lambda x: x - self.matrix @ (x * (1 - block.less)), right, scale)

    def solve_transposed(self, block: Block, right: np.ndarray) -> np.ndarray | None:
        """A^{-T} right for each pair."""

        def nearly(right):
            first = self.backward.solve(np.asfortranarray(right)) - right
            charged = np.zeros_like(right)
            for i, (links, lu) in enumerate(zip(block.used, block.systems, strict=True)):
                if lu is not None:
                    inner = block.less[links, i] * first[links, i]
                    charged[links, i] = dgetrs(*lu, inner, trans=1)[0]
            return self.backward.solve(np.asfortranarray(right - charged))

        return _refine(nearly, lambda f: f - (1 - block.less) * (self.returning @ f), right, 0.0)


def _refine(
    nearly: Callable, matrix: Callable, right: np.ndarray, scale: np.ndarray | float
) -> np.ndarray | None:
    """Solve with the large sizes, and put right what the small ones change, until only rounding is left."""
    found = nearly(right)
    for _ in range(REFINEMENTS):
        change = nearly(right - matrix(found))
        found = found + change
        # Entries differ by many powers of ten; each must settle by itself.
        if (np.abs(change) <= SETTLED * (np.abs(found) + scale)).all():
            return np.ascontiguousarray(found)
    return None


def sized_sweep(
    asked: Passages,
    factors: Factors,
    sizes: LinkSizes,
    weight: float,
    counts: np.ndarray,
    features: np.ndarray,
    *,
    moments: bool = False,
) -> tuple[np.ndarray, np.ndarray, Sums | None] | None:
    """Log-values and expected features where each pair has the reward weight * LS on top.

    Args:
        factors: of the rewards that all pairs share. weight: of the link sizes (all divided by the temperature).
        counts: [P]. features: [m, K]. The link size comes last among the K + 1 features.
        moments: whether the moments of each pair are wanted too.

    Returns:
        log z [P]; expected features [K + 1], summed over trips; and with moments `Sums`, whose flows are all trips'.
        None where a pair has no finite value, or one that leaves the number format.
    """
    problem = SizedProblem(asked, factors, sizes, weight)
    kinds, arcs, pairs = features.shape[1], len(asked.arcs), len(asked.pair)
    tilted = [weighted(asked, factors.weight * features[:, k]) for k in range(kinds if moments else 0)]
    log_values, slope = np.empty(pairs), np.zeros((pairs, kinds + 1))
    flow, sized, square = (np.zeros(arcs) for _ in range(3))
    moved, tipped = (np.zeros((kinds + 1, arcs)) for _ in range(2))
    for here in _blocks(pairs):
        block, place = problem.block(here), np.arange(len(here))
        # Where sizes are rewarded, A is an M-matrix exactly when A x = 1 has a positive solution.
        proof = problem.solve(block, np.ones_like(block.size)) if weight > 0 else np.ones(1)
        ahead = problem.solve(block, unit(asked.states, block.goals))
        if ahead is None or proof is None or not (proof > 0).all():
            return None
        entry = ahead[block.origins, place]
        if not ((entry > SMALLEST) & (entry < 1 / SMALLEST)).all():
            return None
        log_values[here] = np.log(entry)
        behind = problem.solve_transposed(block, unit(asked.states, block.origins) * (counts[here] / entry))
        if behind is None:
            return None
        onward = ahead * (1 - block.less)
        gather(asked, behind, onward, flow)
        gather(asked, behind, onward * block.size, sized)
        if not moments:
            continue
        gather(asked, behind, onward * block.size**2, square)
        for k in range(kinds + 1):
            right = tilted[k] @ onward if k < kinds else problem.matrix @ (onward * block.size)
            change = problem.solve(block, right, ahead)
            if change is None:
                return None
            slope[here, k] = change[block.origins, place] / entry
            bent = change * (1 - block.less)
            gather(asked, behind, bent, moved[k])
            gather(asked, behind, bent * block.size, tipped[k])
    flow, sized, square = factors.weight * flow, factors.weight * sized, factors.weight * square
    expected = np.append(flow @ features, sized.sum())
    if not moments:
        return log_values, expected, None
    cross = np.vstack([features.T @ (factors.weight * moved).T, (factors.weight * tipped).sum(1)[None]])
    edge = features.T @ sized
    second = np.block([[features.T @ (flow[:, None] * features), edge[:, None]], [edge[None], square.sum()]])
    curvature = second + cross + cross.T - slope.T @ (counts[:, None] * slope)
    return log_values, expected, Sums(log_values, flow, slope, curvature)
