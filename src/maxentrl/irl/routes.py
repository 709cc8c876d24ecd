"""Rewards of a road network from trips to hundreds of goals: maximum causal entropy where moves are certain.

The model is the recursive logit: a driver at a link chooses the next one with probability proportional to
exp((reward of the arc + V of the next link) / temperature), with V = 0 at the goal of the trip and nothing
discounted. A trip with rewards r has log-probability (sum r - V(origin)) / temperature. `infer.first_passage` has
the sums over ways; here they become an estimate.

Where moves are certain, the log-likelihood is concave in the weights on the set where V is finite; that set is
convex and open; and the log-likelihood falls without bound towards its edge wherever loops are on the way
(log-sum-exp; Kingman 1961 for the spectral radius). So Newton steps, halved until the likelihood rises, need no
other guard.

Source: Fosgerau, Frejinger & Karlstrom (2013); Ziebart (2010), chapter 6.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maxentrl.core.check import InfeasibleError, InputError, check_penalty, check_shape
from maxentrl.data.trips import Trips
from maxentrl.infer.first_passage import Factors, Goal, Sums, factorise, sweep
from maxentrl.infer.loops import loop_growth, why_infinite
from maxentrl.irl.estimate import Estimate, null_directions
from maxentrl.irl.fitting import check_start
from maxentrl.irl.newton import Maximum, check_max_steps, maximise
from maxentrl.irl.route_evidence import (
    OUT_OF_RANGE,
    Evidence,
    arc_gradient,
    check_arc_rewards,
    evidence,
    expected_flows,
    trip_log_likelihood,
)
from maxentrl.irl.route_record import record
from maxentrl.models.network import Network

__all__ = ["arc_gradient", "evidence", "expected_flows", "fit", "log_likelihood"]

MANY = 64
"""From so many goals on, the first Newton steps use every eighth of them."""

THIN = 8

SAFE = 0.9
"""Spectral radius aimed at when the starting weights are infeasible."""

ATTEMPTS = 50


def fit(
    network: Network,
    features,
    trips: Trips,
    *,
    goal: Goal = "forced",
    start=None,
    offset=None,
    temperature: float = 1.0,
    feature_names: Sequence[str] | None = None,
    l2: float = 0.0,
    max_steps: int = 100,
) -> Estimate:
    """Estimate the weights of a linear reward r(arc) = offset(arc) + sum_k weights_k features_k(arc).

    Args:
        network: links and arcs. Each trip is explained on all of it, with its own goal.
        features: [E, K], of arcs. Features of the link entered are `table[network.arc_to]`.
        trips: the demonstrations; the last link of each is its goal.
        goal: "forced" when a trip ends on its first arrival at its goal; "optional" when stopping there is a
            choice. The same for goals that nothing leaves (`models.network` says more).
        start: [K] weights at which the search starts; 0 unless given. Where the rewards they make have no finite
            solution, the search first moves to some that have.
        offset: [E] fixed part of the reward; 0 unless given; -inf closes an arc. Weights that are known go in
            here; features whose weights are tied are added up.
        temperature: of the drivers, in (0, inf), units of reward. Weights and temperature are not identified
            together.
        feature_names: K names; "0", "1", ... unless given.
        l2: the penalty (l2 / 2) sum weights^2 is subtracted from the log-likelihood of all trips together.
        max_steps: Newton steps after which the search stops and says so.

    Returns:
        An `Estimate` whose reward is [E], the reward of each arc. Its clusters are trips, or their groups. Ctrl-C
        ends the search, and the best weights so far are returned, marked as interrupted.

    Raises:
        InputError: for shapes that do not fit, features that are not finite, trips that the network does not
            allow.
        InfeasibleError: when no weights with a finite solution are found; the message says what stands in the
            way at the starting weights.
    """
    table, names = check_arc_features(network, features, feature_names)
    fixed = np.zeros(network.arcs) if offset is None else offset
    base = check_arc_rewards(network, fixed, temperature, "offset")
    check_penalty(l2)
    check_max_steps(max_steps)
    begin = check_start(start, names)
    known = evidence(network, trips, goal, np.isfinite(base))
    whole = Likelihood(known, base, table / temperature, l2)

    largest = np.abs(table[known.asked.arcs]).max(0, initial=0.0)
    scale = typical_weights(known, largest, temperature)
    begin = _make_feasible(whole, begin, temperature)
    begin, told, stopped = _warm_start(whole, begin, scale, max_steps)
    if stopped is None:
        best = maximise(whole.value, whole.slope, begin, scale, max_steps)
    else:
        best = Maximum(begin, *whole.value(begin), False, stopped, True)
    blind = null_directions(told + whole.moments(best.memo).curvature, scale)
    return record(whole, best, names, scale, blind, temperature)


def log_likelihood(
    network: Network,
    weights,
    features,
    trips: Trips,
    *,
    goal: Goal = "forced",
    offset=None,
    temperature: float = 1.0,
) -> np.ndarray:
    """Log-probability of each trip [N], nats, under given weights: for held-out trips. Weights of trips are not
    applied.

    Args:
        weights: [K]. Others as for `fit`.

    Raises:
        InfeasibleError: where these weights have no finite solution.
    """
    table, names = check_arc_features(network, features, None)
    weights = np.asarray(weights, np.float64)
    check_shape(weights, (len(names),), "weights", "[K]")
    base = np.zeros(network.arcs) if offset is None else np.asarray(offset, np.float64)
    check_shape(base, (network.arcs,), "offset", "[E]")
    return trip_log_likelihood(network, base + table @ weights, trips, goal=goal, temperature=temperature)


class Likelihood:
    """The penalised log-likelihood of trips as a function of weights, and its derivatives.

    offset: [E], features: [E, K]; both divided by the temperature.
    """

    def __init__(self, known: Evidence, offset: np.ndarray, features: np.ndarray, l2: float):
        self.known, self.l2, self.offset, self.features = known, l2, offset, features
        self.arcs = known.asked.arcs
        self.base, self.table = offset[self.arcs], np.ascontiguousarray(features[self.arcs])
        self.total = known.observed @ features
        taken = known.observed > 0
        self.constant = float(known.observed[taken] @ offset[taken])
        if not np.isfinite(self.constant):
            raise InputError("some trips use arcs that the offset closes (-inf).")
        self._value: tuple[np.ndarray, float, Factors | None] = (np.zeros(0), 0.0, None)
        self._moments: tuple[Factors, Sums] | None = None

    @property
    def paths(self) -> np.ndarray:
        """[N, K]: summed features of each trip."""
        return np.stack([np.bincount(self.known.trip, x[self.known.arcs]) for x in self.features.T], 1)

    @property
    def fixed(self) -> np.ndarray:
        """[N]: summed offset of each trip."""
        return np.bincount(self.known.trip, self.offset[self.known.arcs])

    @property
    def columns(self) -> list[np.ndarray]:
        """K arrays [E]: the features, one by one."""
        return list(self.features.T)

    def log_weight(self, w: np.ndarray) -> np.ndarray:
        """[E]: reward / temperature."""
        return self.offset + self.features @ w

    def factors(self, w: np.ndarray) -> Factors | None:
        with np.errstate(over="ignore", invalid="ignore"):
            return factorise(self.known.asked, self.base + self.table @ w)

    def value(self, w: np.ndarray) -> tuple[float, Factors | None]:
        """-inf where there is no finite solution (then without factors), or where it leaves the number format.

        The last answer is kept: searches that follow each other begin where the one before ended.
        """
        if not np.array_equal(w, self._value[0]):
            factors, level = self.factors(w), -np.inf
            sums = None if factors is None else sweep(self.known.asked, factors)
            if sums is not None:
                level = self.constant + self.total @ w - self.known.counts @ sums.log_values
                level = float(level - self.l2 / 2 * w @ w)
            self._value = w, level, factors
        return self._value[1:]

    def slope(self, w: np.ndarray, factors: Factors) -> tuple[np.ndarray, np.ndarray]:
        """Gradient [K], and minus the second derivative [K, K]."""
        sums = self.moments(factors)
        expected = self.known.counts @ sums.pair_features
        return self.total - expected - self.l2 * w, sums.curvature + self.l2 * np.eye(len(w))

    def moments(self, factors: Factors | None) -> Sums:
        """All sums at weights whose value was finite, and had these factors; the last ones are kept."""
        if self._moments is None or self._moments[0] is not factors:
            assert factors is not None
            sums = sweep(self.known.asked, factors, self.known.counts, self.table)
            assert sums is not None
            self._moments = factors, sums
        return self._moments[1]

    def part(self, trips: np.ndarray) -> Likelihood:
        """The likelihood of some of the trips."""
        asked = self.known.asked
        chosen = evidence(asked.network, self.known.trips.take(trips), asked.goal, np.isfinite(self.offset))
        return Likelihood(chosen, self.offset, self.features, self.l2)


def typical_weights(known: Evidence, largest: np.ndarray, temperature: float) -> np.ndarray:
    """[K]: what the trips leave open of each weight, roughly. largest: [K], of the features' absolute values."""
    decisions = float(known.trips.weights[known.trip].sum())
    return temperature / (np.sqrt(decisions) * np.where(largest > 0, largest, 1.0))


def _warm_start(
    whole: Likelihood, begin: np.ndarray, scale: np.ndarray, max_steps: int
) -> tuple[np.ndarray, np.ndarray, str | None]:
    """Weights to begin with, near the best where there are many goals: a few goals know the weights well enough
    to spare the many the first steps. Also what trips told [K, K] of the weights given; and the verdict, where somebody
    stopped the search here.

    Args:
        begin: feasible weights.
    """
    known = whole.known
    if len(known.asked.goals) >= MANY:
        goals = np.unique(known.trips.goals)[::THIN]
        part = whole.part(np.isin(known.trips.goals, goals))
        level, memo = part.value(begin)
        # What a few goals tell apart, all do. Loops of all are loops that a few may avoid, so that the weights
        # which are best for these need not be feasible for those.
        told = part.moments(memo).curvature if np.isfinite(level) else np.zeros((len(begin),) * 2)
        if not len(null_directions(told, scale)):
            near = maximise(part.value, part.slope, begin, scale, max_steps, enough=1.0)
            stopped = near.verdict if near.interrupted else None
            if whole.value(near.argument)[0] > whole.value(begin)[0]:
                return near.argument, told, stopped
            if stopped is not None:
                return begin, told, stopped
    return begin, whole.moments(whole.value(begin)[1]).curvature, None


def _make_feasible(whole: Likelihood, begin: np.ndarray, temperature: float) -> np.ndarray:
    """Weights at which the likelihood exists. Where loops grow, step down the slope of the log spectral radius;
    where values leave the number format, halve."""
    w, asked = begin, whole.known.asked
    square = (whole.table**2).mean(0)
    width = 1 / np.where(square > 0, square, np.inf)
    for _ in range(ATTEMPTS):
        level, factors = whole.value(w)
        if np.isfinite(level):
            return w
        if factors is not None:
            w = w / 2
            continue
        growth = loop_growth(asked, whole.base + whole.table @ w)
        slope = growth.share @ whole.table
        drop = float(slope @ (width * slope))
        if not np.isfinite(growth.log_radius) or drop <= 0:
            break
        w = w - (growth.log_radius - np.log(SAFE)) / drop * width * slope
    factors = whole.factors(begin)
    reason = (
        OUT_OF_RANGE
        if factors is not None
        else why_infinite(asked, whole.base + whole.table @ begin, temperature)
    )
    raise InfeasibleError(
        f"no weights with a finite solution were found. At the starting weights, {reason} "
        "Give other starting weights (start), or features that make every loop cost something."
    )


def check_arc_features(network: Network, features, feature_names) -> tuple[np.ndarray, tuple[str, ...]]:
    table = np.asarray(features)
    if table.dtype.kind not in "fiub":
        raise InputError(f"features must be numbers [E, K]; got {table.dtype} {table.shape}.")
    if table.ndim == 2 and len(table) == network.links != network.arcs:
        raise InputError(
            f"features must be of arcs [E, K] = ({network.arcs}, any); {table.shape} is one row per link: "
            "features of the link entered are table[network.arc_to]."
        )
    check_shape(table, (network.arcs, None), "features", "[E, K]")
    names = tuple(map(str, range(table.shape[1]) if feature_names is None else feature_names))
    if not names or len(names) != table.shape[1] or len(set(names)) != len(names):
        raise InputError(
            f"feature_names must be {table.shape[1]} different names, at least one; got {', '.join(names)}."
        )
    wrong = ~np.isfinite(table)
    if wrong.any():
        e, k = np.argwhere(wrong)[0]
        raise InputError(
            f"features must be finite; feature {names[k]} of the arc from {network.ids[network.arc_from[e]]} to "
            f"{network.ids[network.arc_to[e]]} is {table[e, k]} ({int(wrong.sum())} such entries in all)."
        )
    return table.astype(np.float64), names
