"""The link-size model: rewards of a road network where ways that overlap are known to (`link_size` has the feature)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maxentrl.core.check import InputError, check_penalty
from maxentrl.data.trips import Trips
from maxentrl.infer.first_passage import Goal, Sums
from maxentrl.infer.side_by_side import plan
from maxentrl.irl import routes
from maxentrl.irl.estimate import Estimate, null_directions
from maxentrl.irl.fitting import check_start
from maxentrl.irl.link_size import LinkSizes, link_sizes, sized_sweep
from maxentrl.irl.newton import Maximum, check_max_steps, maximise
from maxentrl.irl.route_evidence import Evidence, check_arc_rewards, evidence
from maxentrl.irl.route_record import record
from maxentrl.models.network import Network

NAME = "link size"


def fit(
    network: Network,
    features,
    trips: Trips,
    sized_by,
    *,
    least: float = 1e-8,
    goal: Goal = "forced",
    start=None,
    temperature: float = 1.0,
    feature_names: Sequence[str] | None = None,
    l2: float = 0.0,
    max_steps: int = 100,
) -> Estimate:
    """Estimate the weights of r(arc) = sum_k weights_k features_k(arc) + weight_LS LS(link entered; origin, goal).

    The estimate holds K + 1 weights, that of the link size last; its reward [E] is without link sizes.

    Args:
        network, features, trips, temperature, feature_names, l2, max_steps: as for `routes.fit`.
        sized_by: [K] fixed weights under which the expected visits are computed that make link sizes.
        least: link sizes below it count as zero.
        goal: goals must be links that nothing leaves, or "optional".
        start: [K + 1] feasible weights; unless given, those that `routes.fit` finds without link sizes.
    """
    table, names = routes.check_arc_features(network, features, feature_names)
    check_penalty(l2)
    check_max_steps(max_steps)
    check_arc_rewards(network, np.zeros(network.arcs), temperature)
    if NAME in names:
        raise InputError(f"the name {NAME!r} is taken by the link size itself; rename that feature.")
    known = evidence(network, trips, goal)
    sizes = link_sizes(known, table @ check_start(sized_by, names), temperature=temperature, least=least)
    whole = SizedLikelihood(known, table / temperature, sizes, temperature, l2)
    begin, stopped = check_start(start, (*names, NAME)), None
    if start is None:
        plain = routes.fit(
            network, features, trips, goal=goal, temperature=temperature, l2=l2, max_steps=max_steps
        )
        begin = np.append(plain.weights, 0.0)
        stopped = plain.verdict if plain.interrupted else None
    level, memo = whole.value(begin)
    if not np.isfinite(level):
        raise InputError("the starting weights have no finite solution; leave out start.")
    largest = np.append(np.abs(table[known.asked.arcs]).max(0, initial=0.0), 1.0)
    scale = routes.typical_weights(known, largest, temperature)
    told = whole.moments(memo).curvature
    if stopped is None:
        best = maximise(whole.value, whole.slope, begin, scale, max_steps)
    else:
        best = Maximum(begin, level, memo, False, stopped, True)
    blind = null_directions(told + whole.moments(best.memo).curvature, scale)
    return record(whole, best, (*names, NAME), scale, blind, temperature, "recursive logit with link size")


class SizedLikelihood:
    """The penalised log-likelihood as a function of K + 1 weights.

    features: [E, K], divided by the temperature. sizes: as `link_sizes` gives them; kept divided by it too.
    """

    def __init__(
        self, known: Evidence, features: np.ndarray, sizes: LinkSizes, temperature: float, l2: float
    ):
        self.known, self.features, self.l2 = known, features, l2
        self.sizes = LinkSizes(sizes.links, [size / temperature for size in sizes.sizes])
        asked = known.asked
        self.plan = plan(asked.states, asked.leaves, asked.enters)
        self.shared = np.ascontiguousarray(features[asked.arcs])
        new = np.full(asked.network.links, -1)
        new[asked.links] = np.arange(asked.states)
        entered = new[asked.network.arc_to[known.arcs]]
        met, line = np.zeros(len(known.arcs)), np.zeros(asked.states)
        order = np.argsort(known.pair[known.trip], kind="stable")
        ends = np.searchsorted(known.pair[known.trip][order], np.arange(len(known.counts) + 1))
        for p, (used, size) in enumerate(zip(*self.sizes, strict=True)):
            line[used] = size
            steps = order[ends[p] : ends[p + 1]]
            met[steps] = line[entered[steps]]
            line[used] = 0.0
        own = [np.bincount(known.trip, x[known.arcs]) for x in features.T]
        self.paths = np.stack([*own, np.bincount(known.trip, met)], 1)
        self.total = known.trips.weights @ self.paths
        self._value: tuple[np.ndarray, float, Sums | None] = (np.zeros(0), 0.0, None)

    @property
    def fixed(self) -> np.ndarray:
        return np.zeros(self.known.trips.count)

    @property
    def columns(self) -> list[np.ndarray]:
        """K arrays [E], and the link sizes of all pairs."""
        return [*self.features.T, np.concatenate(self.sizes.sizes)]

    @property
    def table(self) -> np.ndarray:
        """[m, K + 1]: features where trips could go. The link size differs by pair; the largest stands for it."""
        most = np.zeros(self.known.asked.states)
        for used, size in zip(*self.sizes, strict=True):
            most[used] = np.maximum(most[used], size)
        return np.column_stack([self.shared, most[self.known.asked.enters]])

    def log_weight(self, w: np.ndarray) -> np.ndarray:
        """[E]: reward / temperature, without link sizes."""
        return self.features @ w[:-1]

    def value(self, w: np.ndarray) -> tuple[float, Sums | None]:
        """-inf where there is no finite solution. Moments are made at once: most steps are taken."""
        if not np.array_equal(w, self._value[0]):
            asked, counts = self.known.asked, self.known.counts
            log_weight, weight = self.shared @ w[:-1], float(w[-1])
            found = sized_sweep(
                asked, self.plan, log_weight, self.sizes, weight, counts, self.shared, moments=True
            )
            sums = None if found is None else found[2]
            level = -np.inf
            if sums is not None:
                level = float(self.total @ w - counts @ sums.log_values - self.l2 / 2 * w @ w)
            self._value = w, level, sums
        return self._value[1:]

    def moments(self, memo: Sums | None) -> Sums:
        """All sums at weights whose value was finite."""
        assert memo is not None
        return memo

    def slope(self, w: np.ndarray, memo: Sums) -> tuple[np.ndarray, np.ndarray]:
        """Gradient [K + 1], and minus the second derivative."""
        expected = self.known.counts @ memo.pair_features
        return self.total - expected - self.l2 * w, memo.curvature + self.l2 * np.eye(len(w))
