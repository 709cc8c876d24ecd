"""Apprenticeship learning and maximum margin planning as whole jobs: from tables to a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from maxentrl.app import irl_parts, pages, plots_irl
from maxentrl.app.inputs import Opened, open_all
from maxentrl.app.irl_runs import Recovered, Say
from maxentrl.app.options import ASIDE, Aside, Clock, Files, Maps, settings
from maxentrl.app.predicted import decisions_of
from maxentrl.app.recipes import kept_warnings
from maxentrl.app.record import Run, recording
from maxentrl.core.check import InputError
from maxentrl.core.words import many
from maxentrl.infer.solution import solve
from maxentrl.irl import apprenticeship as learning
from maxentrl.irl import max_margin as planning
from maxentrl.irl.apprenticeship import Apprentice
from maxentrl.irl.baselines import behaviour_cloning, uniform_policy
from maxentrl.irl.best_response import demonstrated, log_policy
from maxentrl.irl.max_margin import Example, MaxMargin

DRAWN = 4
"""Maps of which a picture is made."""


def apprenticeship(
    files: Files,
    clock: Clock,
    aside: Aside = ASIDE,
    *,
    method: learning.Method = "max-margin",
    tolerance: float = 1e-3,
    steps: int = 100,
    say: Say = lambda line: None,
) -> Recovered:
    """Find a mixture of policies that does as well as the expert, and write a run folder.

    Args:
        files, clock, aside: see `app.options`.
        method, tolerance, steps: as for `maxentrl.irl.apprenticeship.fit` (max_iterations).

    Raises:
        InputError: for bad input, before anything is written.
    """
    asked = settings(files, clock, aside, method=method, tolerance=tolerance, steps=steps)
    with recording(files.out, "irl apprenticeship", asked, pages.page) as run, kept_warnings(run):
        if files.offset is not None:
            raise InputError(
                "--offset is not for apprenticeship learning, which finds policies and no reward."
            )
        opened = open_all(run, files.problem, files.demos, files.features, aside)
        say(f"matching {len(opened.names)} feature expectations of {opened.train.count} demonstrations")
        found = learning.fit(
            opened.mdp,
            opened.features,
            opened.train,
            discount=clock.discount,
            horizon=clock.horizon,
            method=method,
            feature_names=opened.names,
            tolerance=tolerance,
            max_iterations=steps,
        )
        run.manifest["answer"] |= _record_apprentice(run, found)
        mix = np.flatnonzero(found.mixture)
        policies = [(float(found.mixture[j]), log_policy(found.policies[j], opened.mdp.actions)) for j in mix]
        run.manifest["answer"]["agreement"] = _agreement(opened, policies, "mixture")
        if opened.test is not None:
            run.manifest["answer"]["test_margin"] = _test_margin(opened, found)
        say("where it leads")
        parts = [(share, irl_parts.flows_of(opened, policy, patience=1)) for share, policy in policies]
        flows = (
            None
            if any(p is None for _, p in parts)
            else sum(share * p for share, p in parts if p is not None)
        )
        irl_parts.record_flows(run, opened, flows if isinstance(flows, np.ndarray) else None)
        say("pictures and report")
    return Recovered(Path(files.out), found, bool(found.converged))


def _record_apprentice(run: Run, found: Apprentice) -> dict[str, Any]:
    run.arrays |= {
        "policies": found.policies,
        "mixture": found.mixture,
        "weights": found.weights,
        "expectations": found.expectations,
        "expert": found.expert,
        "reached": found.reached,
    }
    for i in range(len(found.mixture)):
        run.rows.append(
            {
                "policy": i + 1,
                "margin": float(found.margins[i]),
                "bound": float(found.bounds[i]),
                "share": float(found.mixture[i]),
            }
        )
    single = found.expectations[found.best]
    run.pictures["margins"] = plots_irl.margins(found.margins, found.bounds, found.tolerance)
    run.pictures["expectations"] = plots_irl.expectations(found.names, found.expert, found.reached, single)
    run.documents["estimate"] = found.to_dict()
    for sentence in found.warnings:
        run.warn(sentence[0].upper() + sentence[1:])
    rows = zip(found.names, found.expert, found.reached, single, strict=True)
    return {
        "method": found.method,
        "expectations": [
            {"feature": name, "expert": float(e), "mixture": float(m), "best": float(b)}
            for name, e, m, b in rows
        ],
        "margin": found.margin,
        "best_margin": found.best_margin,
        "policies": len(found.mixture),
        "mixed": int(np.count_nonzero(found.mixture)),
        "tolerance": found.tolerance,
        "converged": found.converged,
        "interrupted": found.interrupted,
        "verdict": found.verdict,
    }


def _test_margin(opened: Opened, found: Apprentice) -> dict[str, float]:
    """How far the mixture, and the demonstrations it was fitted to, are from those that were put aside."""
    clock = {"discount": found.settings["discount"], "horizon": found.settings["horizon"]}
    seen = demonstrated(opened.mdp, opened.test, **clock)  # pyright: ignore[reportArgumentType]
    expected = np.einsum("sa,sak->k", seen.visits, opened.features)
    return {
        "mixture": float(np.linalg.norm(expected - found.reached)),
        "fitted": float(np.linalg.norm(expected - found.expert)),
    }


def max_margin(
    maps: Maps,
    clock: Clock,
    aside: Aside = ASIDE,
    *,
    method: planning.Method = "qp",
    regularisation: float = 1e-2,
    ceiling: float | None = None,
    tolerance: float = 1e-3,
    steps: int = 500,
    say: Say = lambda line: None,
) -> Recovered:
    """Fit a reward under which demonstrations on several maps beat all else, and write a run folder.

    Args:
        maps, clock, aside: see `app.options`; the share, or the labels, hold for each map.
        method, regularisation, ceiling, tolerance, steps: as for `maxentrl.irl.max_margin.fit` (max_iterations).

    Raises:
        InputError: for bad input, before anything is written.
    """
    asked = settings(
        maps,
        clock,
        aside,
        method=method,
        regularisation=regularisation,
        ceiling=ceiling,
        tolerance=tolerance,
        steps=steps,
    )
    with recording(maps.out, "irl max-margin", asked, pages.page) as run, kept_warnings(run):
        opened = _open_maps(run, maps, aside)
        names = _titles(opened)
        examples = [
            Example(one.mdp, one.features, one.train, name=name)
            for one, name in zip(opened, names, strict=True)
        ]
        say(f"fitting {many(len(opened[0].names), 'weight')} on {many(len(opened), 'map')}")
        found = planning.fit(
            examples,
            discount=clock.discount,
            horizon=clock.horizon,
            method=method,
            regularisation=regularisation,
            ceiling=ceiling,
            feature_names=opened[0].names,
            tolerance=tolerance,
            max_iterations=steps,
        )
        run.manifest["answer"] |= _record_margin(run, found)
        say("where it leads")
        run.manifest["answer"]["maps"] = [
            _record_one_map(run, one, name, found, clock, i)
            for i, (one, name) in enumerate(zip(opened, names, strict=True))
        ]
        say("pictures and report")
    return Recovered(Path(maps.out), found, bool(found.converged))


def _open_maps(run: Run, maps: Maps, aside: Aside) -> list[Opened]:
    counts = {len(maps.problem), len(maps.demos), len(maps.features)}
    if len(counts) > 1 or 0 in counts:
        raise InputError(
            "give --problem, --demos and --features once for each map, in the same order; "
            f"got {len(maps.problem)}, {len(maps.demos)} and {len(maps.features)} of them."
        )
    opened = []
    for i, (problem, demos, features) in enumerate(zip(maps.problem, maps.demos, maps.features, strict=True)):
        one = open_all(run, problem, demos, features, aside, number=i if len(maps.problem) > 1 else None)
        if opened and one.names != opened[0].names:
            raise InputError(
                f"every map must have the same features in the same order; {features} has "
                f"{', '.join(one.names)}, and the first map {', '.join(opened[0].names)}."
            )
        opened.append(one)
    return opened


def _titles(opened: list[Opened]) -> list[str]:
    """A name for each map: its problem's, behind its number where there are several."""
    if len(opened) == 1:
        return [opened[0].title]
    return [f"map {i + 1}, {one.title}" for i, one in enumerate(opened)]


def _record_margin(run: Run, found: MaxMargin) -> dict[str, Any]:
    run.arrays |= {"weights": found.weights, "history": found.history}
    run.rows += [
        {"evaluation": i + 1, "objective": float(x), "above_bound": float(x - found.bound)}
        for i, x in enumerate(found.history)
    ]
    run.pictures["gap"] = plots_irl.gap(found.history, found.bound)
    run.documents["estimate"] = answer = found.to_dict()
    for sentence in found.warnings:
        run.warn(sentence[0].upper() + sentence[1:])
    rows = [{"feature": name, "weight": weight} for name, weight in found.named.items()]
    kept = ("method", "objective", "bound", "converged", "interrupted", "verdict")
    return {key: answer[key] for key in kept} | {
        "weights": rows,
        "gap": found.gap,
        "evaluations": len(found.history),
    }


def _record_one_map(
    run: Run, opened: Opened, name: str, found: MaxMargin, clock: Clock, number: int
) -> dict[str, Any]:
    """The plan on one map: its loss, how often it does what was done, and where it leads."""
    reward = opened.features @ found.weights
    plan = solve(
        opened.mdp.with_reward(reward), temperature=0.0, discount=clock.discount, horizon=clock.horizon
    )
    policy = np.asarray(plan.log_policy)
    if number < DRAWN:
        irl_parts.record_map(run, opened.mdp, reward, policy, f"reward-{number + 1}")
    flows = irl_parts.record_flows(
        run, opened, irl_parts.flows_of(opened, policy, patience=1), f"flows-{number + 1}"
    )
    facts = {
        "name": name,
        "slack": float(found.slacks[number]),
        "loss": float(found.losses[number]),
        "agreement": _agreement(opened, [(1.0, policy)], "plan"),
        "share_misplaced": flows.get("share_misplaced"),
        "correlation": flows.get("correlation"),
    }
    if opened.test is not None:
        held = [Example(opened.mdp, opened.features, opened.test)]
        loss = planning.planned_loss(held, found.weights, discount=clock.discount, horizon=clock.horizon)
        facts["test_loss"] = float(loss[0])
    return facts


def _agreement(opened: Opened, policies: list[tuple[float, np.ndarray]], name: str) -> dict[str, Any]:
    """The mean probability that a policy gives to what was done, beside those of cloning and of chance.

    A policy without chance gives probability 0 to a single decision that it would not make, so its log-likelihood
    says nothing.
    """
    demos, part = (opened.train, irl_parts.SEEN) if opened.test is None else (opened.test, irl_parts.HELD_OUT)
    i, t = np.nonzero(demos.recorded)
    s, a, weight = demos.states[i, t], demos.actions[i, t], demos.weights[i]

    def mean(policy: np.ndarray) -> float:
        table = np.asarray(policy)
        return float(np.average(np.exp(table[t, s, a] if table.ndim == 3 else table[s, a]), weights=weight))

    return {
        "part": part,
        "decisions": float(decisions_of(opened.mdp, demos).sum()),
        "rows": [
            {"name": name, "probability": sum(share * mean(policy) for share, policy in policies)},
            {"name": "behaviour cloning", "probability": mean(behaviour_cloning(opened.mdp, opened.train))},
            {"name": "random choice", "probability": mean(uniform_policy(opened.mdp))},
        ],
    }
