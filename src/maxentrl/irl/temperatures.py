"""Temperatures from demonstrations: one reward for all, and for each group of demonstrators its own randomness.

In `mce.fit` and `routes.fit` everybody decides at one temperature, which is given. Here each group (a person, an
animal, a day) has one of its own, estimated along with the weights; `temperature_search` has the derivatives. Weights
and temperatures are only known up to a common factor, which must come from somewhere:

- an offset, a part of the reward in known units (a payoff in euros, say): then every temperature is free, and one group
  is enough;
- without an offset, the first group in alphabetical order keeps the temperature that is given.

Source: Swait & Louviere (1993), who estimate the ratio of scales of several data sets in a logit, and test it; here
the choices are those of a soft planner.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import chi2

from maxentrl.core.check import InputError
from maxentrl.core.precision import in_double_precision
from maxentrl.core.types import Scalar
from maxentrl.data.trajectories import Trajectories
from maxentrl.data.trips import Trips
from maxentrl.infer.first_passage import Goal
from maxentrl.irl import mce, routes
from maxentrl.irl.estimate import Estimate
from maxentrl.irl.fitting import check_setting, check_start, linear_model
from maxentrl.irl.identity import fingerprint
from maxentrl.irl.reward import check_features, check_offset, choices
from maxentrl.irl.route_evidence import check_arc_rewards
from maxentrl.irl.temperature_estimate import Temperatures, explain_groups
from maxentrl.irl.temperature_parts import road_parts, table_parts
from maxentrl.irl.temperature_search import Part, search
from maxentrl.irl.validation import Ratio
from maxentrl.models.network import Network
from maxentrl.models.precision import problem_in_float64
from maxentrl.models.tabular import TabularMDP

OFFSET = "the offset"
"""Its name, where it stands among the features."""


@in_double_precision
def fit(
    mdp: TabularMDP,
    features,
    demos: Trajectories,
    *,
    temperature: Scalar = 1.0,
    discount: Scalar | None = None,
    horizon: int | None = None,
    feature_names: Sequence[str] | None = None,
    offset=None,
    start=None,
    max_steps: int = 100,
) -> Temperatures:
    """Estimate the weights of r(s,a) = offset(s,a) + sum_k weights_k features_k(s,a), and the temperature at which each
    group of demonstrators plans with it, by maximum causal entropy.

    Args:
        mdp, features, discount, horizon, feature_names: as for `mce.fit`.
        demos: with groups; they may be absent where there is an offset.
        temperature: without an offset, that of the first group in alphabetical order, which is not estimated; with
            one, where the search starts. In (0, inf), units of reward.
        offset: [S, A] part of the reward in known units; 0 unless given.
        start: [K] weights at which the search starts; 0 unless given.
        max_steps: Newton steps of each search (one common temperature; then one for each group).

    Returns:
        `Temperatures`, with standard errors of three kinds and the warnings in sentences. Ctrl-C ends the search, and the
        best that was found so far is returned, marked as interrupted.

    Raises:
        InputError: as `mce.fit`; where there is neither an offset nor a second group; and where the decisions do not
            depend on the offset, or go against it.
        InfeasibleError: as `mce.fit`.
    """
    if not isinstance(demos, Trajectories):
        raise InputError(f"temperatures are estimated from Trajectories; got {type(demos).__name__}.")
    factor = check_setting(temperature, discount, horizon)
    groups, which = _groups(demos)
    base = check_offset(mdp, offset)
    mdp = problem_in_float64(mdp).with_reward(base)
    table, names = check_features(mdp, features, feature_names)
    column = np.where(choices(mdp), base, 0.0)
    scaled = _Scaled(table, names, column, groups, temperature)
    known = dataclasses.replace(demos, groups=None)
    clock = {"discount": discount, "horizon": horizon}
    first = mce.fit(mdp, scaled.columns, known, **clock, **scaled.first(start), max_steps=max_steps)
    model = linear_model(
        mdp.with_reward(np.zeros_like(base)),
        scaled.columns,
        1.0,
        factor,
        horizon,
    )
    parts = table_parts(mdp, model, known, which, horizon)
    found = scaled.conclude(first, parts, demos, which, max_steps)
    return dataclasses.replace(
        found, weights=_with_reward(found.weights, base + table @ found.weights.weights)
    )


def fit_routes(
    network: Network,
    features,
    trips: Trips,
    *,
    goal: Goal = "forced",
    start=None,
    offset=None,
    temperature: float = 1.0,
    feature_names: Sequence[str] | None = None,
    max_steps: int = 100,
) -> Temperatures:
    """Estimate the weights of r(arc) = offset(arc) + sum_k weights_k features_k(arc), and the temperature of each group
    of drivers, from trips on a network.

    Args:
        network, features, goal, feature_names: as for `routes.fit`.
        trips: with groups; they may be absent where there is an offset.
        offset: [E] part of the reward in known units; 0 unless given; -inf closes an arc.
        temperature, start, max_steps: as for `fit`.

    Returns, raises: as `fit` and `routes.fit`.
    """
    groups, which = _groups(trips)
    table, names = routes.check_arc_features(network, features, feature_names)
    base = np.zeros(network.arcs) if offset is None else np.asarray(offset, np.float64)
    is_open = np.isfinite(check_arc_rewards(network, base, temperature, "offset"))
    column = np.where(is_open, base, 0.0)
    scaled = _Scaled(table, names, column, groups, temperature)
    known, closed = dataclasses.replace(trips, groups=None), np.where(is_open, 0.0, -np.inf)
    begin = scaled.first(start)
    first = routes.fit(network, scaled.columns, known, goal=goal, offset=closed, **begin, max_steps=max_steps)
    parts = road_parts(network, scaled.columns, known, which, goal, closed)
    found = scaled.conclude(first, parts, trips, which, max_steps)
    return dataclasses.replace(
        found, weights=_with_reward(found.weights, base + table @ found.weights.weights)
    )


def _with_reward(estimate: Estimate, reward: np.ndarray) -> Estimate:
    return dataclasses.replace(estimate, reward=reward)


def _groups(demos: Trajectories | Trips) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the groups, in alphabetical order, and [N] whose each demonstration is."""
    if demos.groups is None:
        return ("all",), np.zeros(demos.count, int)
    names, which = np.unique(np.array(demos.groups), return_inverse=True)
    return tuple(names.tolist()), which.reshape(-1)


class _Scaled:
    """Where the scale comes from: an offset among the columns, or one fixed temperature."""

    def __init__(self, table, names: tuple[str, ...], column: np.ndarray, groups, temperature: Scalar):
        self.names, self.groups, self.temperature = names, groups, float(temperature)
        self.pinned, self.table = bool(np.any(column)), table
        self.column = column
        self.columns = np.concatenate([table, column[..., None]], -1) if self.pinned else table
        if not self.pinned and len(groups) == 1:
            raise InputError(
                "weights and temperature are only known together, and the demonstrations are of one group: give an "
                "offset in known units (offset), or demonstrations of several groups."
            )

    def first(self, start) -> dict[str, Any]:
        """How the fit at one common temperature is asked for. With an offset it is one of weights / temperature and
        1 / temperature, at temperature 1: what is concave in these is not so in the temperature."""
        begin = check_start(start, self.names)
        if not self.pinned:
            return {"temperature": self.temperature, "feature_names": self.names, "start": begin}
        begin = np.append(begin, 1.0) / self.temperature
        return {"temperature": 1.0, "feature_names": (*self.names, OFFSET), "start": begin}

    def common(self, first: Estimate) -> tuple[np.ndarray, float]:
        """The best weights [K] and temperature when all share one."""
        if not self.pinned:
            return first.weights, self.temperature
        inverse = float(first.weights[-1])
        known = np.isfinite(first.standard_errors_of("hessian")[-1])
        if first.interrupted and not (known and inverse > 0):
            # Stopped on the way, with no temperature in hand.
            raise KeyboardInterrupt
        if not known:
            why = next((s for s in first.warnings if OFFSET in s), "separation")
            raise InputError(f"the offset does not tell the temperature: {why}")
        if inverse <= 0:
            raise InputError(
                "no temperature explains the decisions: they go against the offset, whose best weight at temperature "
                f"1 is {inverse:.4g} and should be 1 / temperature; is its sign right (rewards, not costs)?"
            )
        return first.weights[:-1] / inverse, 1 / inverse

    def conclude(self, first: Estimate, parts: Sequence[Part], demos, which, max_steps: int) -> Temperatures:
        """From the best common temperature to the record. The reward is left for the caller to fill in."""
        w, common = self.common(first)
        count, groups = len(w), self.groups
        largest = np.abs(self.table).reshape(-1, count).max(0)
        decisions = sum(part.decisions for part in parts)
        scale = common / (np.sqrt(decisions) * np.where(largest > 0, largest, 1.0))
        steps = 0 if first.interrupted else max_steps
        found = search(parts, self.columns.shape[-1], w, float(np.log(common)), scale, steps)
        if first.interrupted:
            stopped = found.best._replace(converged=False, verdict=first.verdict, interrupted=True)
            found = found._replace(best=stopped)
        best, reference = found.best, None if self.pinned else groups[0]
        warnings = [sentence for sentence in first.warnings if sentence != first.verdict]
        warnings += [] if best.converged else [best.verdict]
        warnings += explain_groups(found, groups, reference, common)
        free = len(best.argument) - count
        assert first.identity is not None
        columns, offset = first.identity.columns, first.identity.offset
        whose = first.identity._replace(
            data=f"{first.identity.data} {fingerprint(which)}",
            columns=columns[:count],
            offset=columns[count] if self.pinned else offset,
        )
        estimate = dataclasses.replace(
            first,
            method=f"{first.method.split(', temperature')[0]}, {_in_words(len(groups), self.pinned)}",
            names=self.names,
            weights=best.argument[:count],
            log_likelihood=best.value,
            gradient_norm=found.gradient_norm,
            converged=best.converged,
            verdict=best.verdict,
            interrupted=best.interrupted,
            covariances={kind: spread[:count, :count] for kind, spread in found.covariances.items()},
            settings=first.settings | {"temperature": None, "reference": reference},
            warnings=tuple(warnings),
            identity=whose,
            fisher=found.fisher,
            free_temperatures=free,
        )
        told = len(groups) - 1 - int(found.silent.sum())
        testable = best.converged and first.converged and not found.lost.any() and told > 0
        statistic = max(2 * (best.value - first.log_likelihood), 0.0)
        return Temperatures(
            weights=estimate,
            groups=groups,
            reference=reference,
            temperatures=np.exp(found.log_temperatures),
            log_errors=found.errors,
            covariances=found.covariances,
            common=common,
            common_log_likelihood=first.log_likelihood,
            test=Ratio(statistic, told, float(chi2.sf(statistic, told))) if testable else None,
        )


def _in_words(groups: int, pinned: bool) -> str:
    if groups == 1:
        return "free temperature"
    return f"{groups} temperatures" if pinned else f"{groups} temperatures, the first fixed"
