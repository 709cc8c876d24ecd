"""From the end of a search to an estimate of a network's rewards: errors, warnings, and what it was made from."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from maxentrl.infer.first_passage import Sums
from maxentrl.irl.estimate import (
    Estimate,
    covariances,
    explain_clusters,
    explain_directions,
    usual_kind,
)
from maxentrl.irl.fitting import explain_search
from maxentrl.irl.identity import Identity, fingerprint
from maxentrl.irl.newton import Maximum
from maxentrl.irl.route_evidence import Evidence, explain_copies, log_uniform


@runtime_checkable
class RouteLikelihood(Protocol):
    """What is known at the end of a search. Features and offset are divided by the temperature.

    paths: [N, K] summed features of each trip. fixed: [N] summed offset of each trip.
    columns: K arrays that tell features apart. table: [m, K] features where trips could go.
    """

    known: Evidence
    l2: float

    @property
    def paths(self) -> np.ndarray: ...
    @property
    def fixed(self) -> np.ndarray: ...
    @property
    def columns(self) -> list[np.ndarray]: ...
    @property
    def table(self) -> np.ndarray: ...
    def log_weight(self, w: np.ndarray) -> np.ndarray: ...
    def moments(self, memo, /) -> Sums: ...
    def slope(self, w: np.ndarray, memo, /) -> tuple[np.ndarray, np.ndarray]: ...


def record(
    whole: RouteLikelihood,
    best: Maximum,
    names: tuple[str, ...],
    scale: np.ndarray,
    blind: np.ndarray,
    temperature: float,
    method: str = "recursive logit",
) -> Estimate:
    """The estimate at the end of a search.

    Args:
        scale: [K] typical size of each weight. blind: [m, K] directions on which no trip depends.
    """
    known, trips, w = whole.known, whole.known.trips, best.argument
    sums = whole.moments(best.memo)
    gradient, information = whole.slope(w, best.memo)
    scores = (whole.paths - sums.pair_features[known.pair]) * trips.weights[:, None]
    log_path = whole.paths @ w + whole.fixed - sums.log_values[known.pair]
    clusters = np.arange(trips.count)
    if trips.groups is not None:
        clusters = np.unique(np.array(trips.groups), return_inverse=True)[1].reshape(-1)
    spread = covariances(information, scores, clusters, scale)
    used = whole.table[:, None] * temperature
    warnings = explain_directions(blind, names, used, np.ones(used.shape[:2], bool))
    warnings += explain_search(best, blind, sums.curvature, scale)
    found, robust = int(clusters.max()) + 1, trips.groups is not None
    warnings += explain_clusters(found, len(names), robust)
    copies = explain_copies(known, log_path)
    warnings += [copies] if copies else []
    return Estimate(
        method=f"{method}, {len(known.asked.goals)} goals ({known.asked.goal}), temperature {temperature:g}",
        names=names,
        weights=w,
        reward=whole.log_weight(w) * temperature,
        log_likelihood=float(trips.weights @ log_path),
        log_likelihood_uniform=float(trips.weights @ log_uniform(known)),
        gradient_norm=float(np.linalg.norm(gradient)),
        converged=best.converged,
        verdict=best.verdict,
        interrupted=best.interrupted,
        covariances=spread,
        kind=usual_kind(robust, found, len(names)),
        trajectories=trips.count,
        steps=float(trips.weights[known.trip].sum()),
        settings={"temperature": float(temperature), "goal": known.asked.goal, "l2": whole.l2},
        warnings=tuple(warnings),
        fisher=sums.curvature,
        identity=Identity(
            fingerprint(trips.links, trips.bounds, trips.weights),
            tuple(fingerprint(column * temperature) for column in whole.columns),
            fingerprint(whole.log_weight(np.zeros(len(names))) * temperature + 0.0),  # not -0.0
            fingerprint(known.asked.network.arc_from, known.asked.network.arc_to),
        ),
    )
