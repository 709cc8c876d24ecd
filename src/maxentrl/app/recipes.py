"""Whole jobs as functions, from a problem to a run folder: what the command line and notebooks call."""

from __future__ import annotations

import contextlib
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from maxentrl.app import pages, plots
from maxentrl.app.problems import Source, open_problem
from maxentrl.app.record import Run, recording
from maxentrl.app.report import foremost
from maxentrl.core.check import InputError
from maxentrl.core.soft import temperature_kind
from maxentrl.core.types import Dynamics
from maxentrl.core.words import many
from maxentrl.infer.policy import evidence_bound, occupancy
from maxentrl.infer.posterior import posterior
from maxentrl.infer.solution import Solution, solve
from maxentrl.irl import Estimate
from maxentrl.models.tabular import TabularMDP

Say = Callable[[str], object]
"""Receives one line about what is being done."""


class Planned(NamedTuple):
    """folder: the run; answer: its numbers; solution: the plan; converged: within the tolerance or not."""

    folder: Path
    answer: dict[str, Any]
    solution: Solution
    converged: bool


def plan(
    problem: str | Path | TabularMDP,
    *,
    temperature: float,
    out: str | Path,
    discount: float | None = None,
    horizon: int | None = None,
    dynamics: Dynamics = "given",
    prior: Literal["uniform", "counting"] | None = None,
    state_temperature: float | None = None,
    sweep: Sequence[float] = (),
    say: Say = lambda line: None,
) -> Planned:
    """Solve a problem and write a run folder: values, policy, certificate, visits, pictures and a report.

    Args:
        problem: gridworld, chain or lottery; a Gymnasium id; a path to .npz or .csv; or a `TabularMDP`.
        temperature, discount, horizon, dynamics, state_temperature: as for `maxentrl.solve`.
        prior: replaces the action prior of the problem; None keeps it.
        sweep: temperatures at which the plan is computed again, to compare; the state temperature goes along.
        out: the run folder.
        say: told what is being done.

    Raises:
        InputError: for bad input, before anything is written.
    """
    settings = {
        "problem": str(problem) if not isinstance(problem, TabularMDP) else "arrays",
        "temperature": temperature,
        "discount": discount,
        "horizon": horizon,
        "dynamics": dynamics,
        "prior": prior,
        "state_temperature": state_temperature,
        "sweep": list(sweep),
    }
    with recording(out, "plan", settings, pages.page) as run, kept_warnings(run):
        source = open_problem(problem)
        mdp = source.mdp if prior is None else source.mdp.with_prior(prior)
        record_problem(run, source)
        asked = {
            "discount": discount,
            "horizon": horizon,
            "dynamics": dynamics,
            "state_temperature": state_temperature,
        }
        say(f"planning on {source.title}: {many(mdp.states, 'state')}, {many(mdp.actions, 'action')}")
        solution = solve(mdp, temperature=temperature, **asked)
        answer = record_plan(run, solution)
        soft = temperature_kind(temperature) == "soft"
        if soft and horizon is not None and dynamics == "posterior" and state_temperature is None:
            say("messages forward and backward")
            answer |= record_messages(run, mdp, temperature, horizon, 1.0 if discount is None else discount)
        run.manifest["answer"] = answer
        if sweep:
            run.rows, hard = sweep_rows(mdp, sweep, asked, say)
            run.pictures["sweep"] = plots.sweep(run.rows, hard, temperature)
        else:
            run.rows = [{"temperature": temperature, **answer}]
        say("pictures and report")
    return Planned(Path(out), answer, solution, bool(solution.converged))


def record_problem(run: Run, source: Source) -> None:
    """Note which problem it was, and the hash of its numbers."""
    run.manifest["problem"] = source.facts()
    run.manifest["inputs"]["problem"] = source.sha256


def record_plan(run: Run, solution: Solution) -> dict[str, Any]:
    """Arrays, certificate and map of a plan; returns its numbers."""
    mdp = solution.mdp
    answer, visits = measures(solution)
    log_policy = np.asarray(solution.log_policy)
    run.arrays |= {"v": np.asarray(solution.v), "log_policy": log_policy, "visits": visits}
    run.manifest["certificate"] = {
        "error_bound": float(solution.error_bound),
        "sweeps": int(solution.sweeps),
        "converged": bool(solution.converged),
        "number_format": mdp.dtype.name,
    }
    first = solution.horizon is not None
    v = np.asarray(solution.v)[0] if first else np.asarray(solution.v)
    run.pictures["plan"] = plots.plan(mdp, v, log_policy[0] if first else log_policy, visits)
    return answer


def record_messages(
    run: Run, mdp: TabularMDP, temperature: float, horizon: int, discount: float
) -> dict[str, Any]:
    """Messages, marginals, their picture half-way; returns the evidence and what policies explain of it."""
    exact = posterior(mdp, temperature=temperature, horizon=horizon, discount=discount)
    control = posterior(mdp, temperature=temperature, horizon=horizon, discount=discount, dynamics="given")
    own = evidence_bound(mdp, exact.log_policy, temperature=temperature, horizon=horizon, discount=discount)
    best = evidence_bound(
        mdp, control.log_policy, temperature=temperature, horizon=horizon, discount=discount
    )
    run.arrays |= {
        "log_forward": np.asarray(exact.log_forward),
        "log_backward": np.asarray(exact.v) / temperature,
        "log_state": np.asarray(exact.log_state),
    }
    run.pictures["messages"] = picture_of_messages(mdp, exact, horizon)
    return {
        "log_evidence": float(exact.log_evidence),
        "evidence_bound": float(own.evidence_bound),
        "best_evidence_bound": float(best.evidence_bound),
    }


def picture_of_messages(mdp: TabularMDP, exact, horizon: int) -> bytes:
    """Forward message, backward message and marginal at the middle of the horizon."""
    middle = horizon // 2
    backward = np.asarray(exact.v)[middle] / float(exact.temperatures.action)
    forward, state = np.asarray(exact.log_forward)[middle], np.asarray(exact.log_state)[middle]
    return plots.messages(mdp, forward, backward, state, middle, horizon)


def record_estimate(run: Run, estimate: Estimate, truth=None) -> dict[str, Any]:
    """Arrays and picture of an estimate; returns its numbers."""
    errors = estimate.standard_errors
    run.arrays |= {"weights": estimate.weights, "reward": estimate.reward}
    run.arrays |= {f"covariance_{kind}": table for kind, table in estimate.covariances.items()}
    seen = foremost(estimate.t_values)
    run.pictures["weights"] = plots.weights(
        [estimate.names[k] for k in seen],
        estimate.weights[seen],
        errors[seen],
        None if truth is None else np.asarray(truth)[seen],
    )
    for sentence in estimate.warnings:
        run.warn(sentence[0].upper() + sentence[1:])
    rows = [
        {"feature": name, "weight": float(w), "standard_error": float(e), "t_value": float(t)}
        for name, w, e, t in zip(estimate.names, estimate.weights, errors, estimate.t_values, strict=True)
    ]
    for row, value in zip(rows, [] if truth is None else truth, strict=False):
        row["true"] = float(value)
    run.rows.extend(rows)
    return {**estimate.to_dict(), "weights": rows}


def measures(solution: Solution) -> tuple[dict[str, Any], np.ndarray]:
    """The numbers of a plan, and the expected visits of each state [S] under the dynamics as they are.

    expected_reward and divergence (the KL cost, nats) are those of the policy under the given dynamics,
    summed over discounted visits; given_value = expected_reward - temperature * divergence is its real worth.
    """
    mdp, temperature = solution.mdp, float(solution.temperatures.action)
    log_policy = np.asarray(solution.log_policy)
    answer: dict[str, Any] = {"start_value": float(solution.start_value)}
    try:
        visits = np.asarray(occupancy(mdp, log_policy, discount=solution.discount, horizon=solution.horizon))
    except RuntimeError:
        warnings.warn(
            "The visits of this policy do not add up to a finite number under the given dynamics, so its "
            "expected reward is not reported.",
            stacklevel=2,
        )
        return answer | {"policy_entropy": math.nan, "expected_reward": math.nan}, np.zeros(mdp.states)
    by_state = visits.sum(-1)
    divergence = _surprise(visits, log_policy - np.where(visits > 0, np.asarray(mdp.log_prior), 0.0))
    answer["policy_entropy"] = -_surprise(visits, log_policy) / max(float(visits.sum()), 1e-300)
    answer["expected_reward"] = float(np.sum(visits * np.asarray(mdp.reward)))
    answer["divergence"] = divergence
    if temperature_kind(temperature) == "soft":
        answer["given_value"] = answer["expected_reward"] - temperature * divergence
    return answer, by_state if by_state.ndim == 1 else by_state.sum(0)


def _surprise(visits: np.ndarray, log_ratio: np.ndarray) -> float:
    """sum visits * log_ratio where there are visits; in NumPy, as JAX would narrow it to float32 here."""
    return float(np.sum(visits * np.where(visits > 0, log_ratio, 0.0)))


def sweep_rows(
    mdp: TabularMDP, temperatures: Sequence[float], asked: dict[str, Any], say: Say = lambda line: None
) -> tuple[list[dict[str, Any]], float | None]:
    """One row of numbers per temperature, and the hard value at temperature 0 where that exists."""
    rows = []
    for temperature in temperatures:
        say(f"temperature {temperature:g}")
        try:
            solution = solve(mdp, temperature=temperature, **asked)
        except InputError as error:
            warnings.warn(f"At temperature {temperature:g} there is no answer: {error}", stacklevel=2)
            continue
        bound = {"error_bound": float(solution.error_bound), "sweeps": int(solution.sweeps)}
        rows.append({"temperature": temperature, **measures(solution)[0], **bound})
    try:
        hard = float(solve(mdp, temperature=0.0, **asked).start_value)
    except InputError:
        hard = None
    return rows, hard


@contextlib.contextmanager
def kept_warnings(run: Run) -> Iterator[None]:
    """Warnings meant for the user become sentences of the run; the others go where they always go."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        for warning in caught:
            if issubclass(warning.category, UserWarning):
                run.warn(re.sub(r"\x1b\[\d*m", "", str(warning.message)))
    for warning in caught:
        if not issubclass(warning.category, UserWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
