"""Demonstrations of one group as a likelihood at temperature 1: in a finite problem, and on a network."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from maxentrl.data.trajectories import Trajectories
from maxentrl.data.trips import Trips
from maxentrl.infer.first_passage import Goal
from maxentrl.irl import mce, routes
from maxentrl.irl.route_evidence import evidence
from maxentrl.irl.sensitivity import Evidence, Model, Paths, Plan, derivatives, objective, path_scores
from maxentrl.models.network import Network
from maxentrl.models.tabular import TabularMDP


class Table(NamedTuple):
    """One group in a finite problem. weights: [N]; paths: padded so that all groups have one shape."""

    model: Model
    evidence: Evidence
    paths: Paths
    weights: np.ndarray

    @property
    def decisions(self) -> float:
        return float(np.asarray(self.evidence.decisions).sum())

    def value(self, eta: np.ndarray) -> tuple[float, Plan]:
        found, plan = objective(self.model, self.evidence, eta)
        return float(found), plan

    def slope(self, memo: Plan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = derivatives(self.model, self.evidence, memo)
        return np.asarray(found.gradient), np.asarray(found.information), np.asarray(found.fisher)

    def scores(self, memo: Plan) -> np.ndarray:
        single = np.asarray(path_scores(self.model, memo, self.paths))
        return single[: len(self.weights)] * self.weights[:, None]


def table_parts(
    mdp: TabularMDP, model: Model, demos: Trajectories, which, horizon: int | None
) -> list[Table]:
    """Each group as a part. One shape for all: what is compiled for one serves the others."""
    long, wide = demos.longest if horizon is None else horizon, int(np.bincount(which).max())
    parts = []
    for g in range(int(which.max()) + 1):
        own = demos.take(which == g)
        seen, _ = mce.see(mdp, own, float(model.discount), horizon, "likelihood")
        assert seen.paths is not None
        room = [(0, long - len(seen.paths.states)), (0, wide - own.count)]
        paths = Paths(*(np.pad(table, room, constant_values=-1) for table in seen.paths))
        parts.append(Table(model, seen.evidence, paths, own.weights))
    return parts


class Roads(NamedTuple):
    """One group on a network."""

    whole: routes.Likelihood

    @property
    def decisions(self) -> float:
        return float(self.whole.known.observed.sum())

    def value(self, eta: np.ndarray) -> tuple[float, Any]:
        return self.whole.value(eta)

    def slope(self, memo: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sums = self.whole.moments(memo)
        gradient = self.whole.total - self.whole.known.counts @ sums.pair_features
        return gradient, sums.curvature, sums.curvature

    def scores(self, memo: Any) -> np.ndarray:
        known, sums = self.whole.known, self.whole.moments(memo)
        return (self.whole.paths - sums.pair_features[known.pair]) * known.trips.weights[:, None]


def road_parts(
    network: Network, columns: np.ndarray, trips: Trips, which, goal: Goal, closed: np.ndarray
) -> list[Roads]:
    """Each group as a part. closed: [E], -inf where an arc is closed, and else 0."""
    parts = (trips.take(which == g) for g in range(int(which.max()) + 1))
    is_open = np.isfinite(closed)
    return [
        Roads(routes.Likelihood(evidence(network, part, goal, is_open), closed, columns, 0.0))
        for part in parts
    ]
