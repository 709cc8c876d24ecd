"""Rewards of road networks as whole jobs, from files of arcs and trips to a run folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from maxentrl.app import irl_temperatures, maps_routes, pages
from maxentrl.app.options import Aside, Change
from maxentrl.app.recipes import kept_warnings, record_estimate
from maxentrl.app.record import Run, recording
from maxentrl.app.road_files import Job, open_all
from maxentrl.app.route_results import (
    Heat,
    beginning,
    identification,
    record_flows,
    record_scores,
    record_what_if,
)
from maxentrl.core.check import InputError, check_choice
from maxentrl.data.split import By
from maxentrl.infer.first_passage import Goal
from maxentrl.irl import deep_routes, routes
from maxentrl.irl.ascent import Progress, Training
from maxentrl.irl.deep_estimate import DeepEstimate
from maxentrl.irl.estimate import Estimate
from maxentrl.irl.networks import DEPTH, WIDTH, RewardNetwork
from maxentrl.irl.temperature_estimate import Temperatures
from maxentrl.irl.temperatures import fit_routes

TOLD = 25
"""Steps of training between two lines about them."""

Say = Callable[[str], object]
"""Receives one line about what is being done."""


class RoutesRecovered(NamedTuple):
    """folder: the run; estimate: `Estimate`, `Temperatures` or `DeepEstimate`; converged: to the optimum or not; answer:
    all numbers of the report."""

    folder: Path
    estimate: Any
    converged: bool
    answer: dict[str, Any]

    @property
    def interrupted(self) -> bool:
        """Whether somebody stopped the search."""
        return self.estimate.interrupted

    def summary(self) -> str:
        """Lines to print."""
        lines = [self.estimate.summary()]
        scores = self.answer["scores"]
        put = "put aside" if scores["on"] == "test" else "of the fit"
        for row in scores["rows"]:
            known = math.isfinite(row["low"])
            interval = f"{row['low']:.4f} to {row['high']:.4f}" if known else "not known"
            lines.append(
                f"{row['name']}: {round(row['per_trip'], 6) + 0.0:.6f} nats per trip {put} (95 % interval {interval})"
            )
        changed = self.answer["what_if"]
        if changed is not None:
            lines.append(
                f"after the change {changed['trips_lost']:g} of {changed['trips']:g} trips cannot arrive; links per "
                f"trip {changed['links_per_trip_before']:.4g}, then {changed['links_per_trip_after']:.4g}"
            )
        return "\n".join(lines)


def irl_mce(
    problem: str | Path,
    demos: str | Path,
    features: str | Path | None = None,
    *,
    out: str | Path,
    temperature: float = 1.0,
    temperatures: Literal["given", "free"] = "given",
    goal: Goal = "forced",
    links: str | Path | None = None,
    start: Sequence[float] | None = None,
    l2: float = 0.0,
    test: float | str | Path | None = None,
    split: str | Path | None = None,
    by: By = "trajectory",
    seed: int = 0,
    close_arc: Sequence[str] = (),
    move_goal: Sequence[str] = (),
    say: Say = lambda line: None,
) -> RoutesRecovered:
    """Recover a reward of roads, linear in features of arcs, from trips, and write a run folder.

    Args:
        problem: CSV with a row per arc: the columns from and to, and possibly features.
        demos: CSV of trips; see `maxentrl.data.trips`. The last link of a trip is its goal.
        features: names of columns of `problem` with commas between them; or a file, with or without a colon and
            names of its columns; all columns but from and to unless given.
        temperature: of the drivers, in (0, inf), units of reward.
        temperatures: "free" estimates one for each group of drivers (`maxentrl.irl.temperatures.fit_routes`); the first
            in alphabetical order keeps the one that is given.
        goal: "forced" when a trip ends on its first arrival at its goal, "optional" when stopping is a choice.
        links: CSV with a row per link, with places for the maps.
        start: weights at which the search begins, in the order of the features. l2: penalty; see `routes.fit`.
        test: a share of the trips to put aside, or another file of trips, to see whether the reward foretells them.
        split: CSV with the columns trip and split (train or test), instead of a share.
        by: "group" puts whole groups aside. seed: of the share.
        close_arc, move_goal: "FROM,TO" each: what if this arc were closed, if this goal were elsewhere?
        out: the run folder. say: told what is being done.

    Raises:
        InputError: for bad input, before anything is written.
        InfeasibleError: where no weights have a finite solution; the message names the loop that is to blame.
    """
    settings = {
        "problem": str(problem),
        "demos": str(demos),
        "features": None if features is None else str(features),
        "temperature": temperature,
        "temperatures": temperatures,
        "goal": goal,
        "links": None if links is None else str(links),
        "start": None if start is None else [float(value) for value in start],
        "l2": l2,
        "test": None if test is None else str(test),
        "split": None if split is None else str(split),
        "by": by,
        "seed": seed,
        "close_arc": tuple(close_arc),
        "move_goal": tuple(move_goal),
    }
    check_choice(temperatures, ("given", "free"), "temperatures")
    if temperatures == "free":
        changes = Change(close_arc=tuple(close_arc), move_goal=tuple(move_goal))
        irl_temperatures.check(l2, "likelihood", Aside(by=by), changes)
    with recording(out, "irl mce", settings, pages.page) as run, kept_warnings(run):
        job = open_all(
            run, problem, demos, features, links, goal, (test, split, by, seed), close_arc, move_goal
        )
        if temperatures == "free":
            irl_temperatures.check_drivers(job.parts.train, job.parts.test)
        say(job.work)
        fit = _fit_free if temperatures == "free" else _fit
        found = fit(job, goal, temperature, start, l2)
        free = isinstance(found, Temperatures)
        estimate, heat = (found.weights, found.named) if free else (found, temperature)
        run.manifest["answer"] = {
            **record_estimate(run, estimate),
            "beginning": beginning(job.roads, job.parts, goal, temperature, start),
            "identification": identification(job.roads, estimate, temperature),
        }
        run.documents["estimate"] = found.to_dict()
        if free:
            irl_temperatures.record(run, found)
        say("trips foretold, and flows")
        fitted = len(estimate.names) + estimate.free_temperatures
        _record(run, job, {"linear reward": estimate.reward}, goal, heat, fitted)
        say("pictures and report")
    return RoutesRecovered(Path(out), found, bool(found.converged), run.manifest["answer"])


def irl_deep(
    problem: str | Path,
    demos: str | Path,
    features: str | Path | None = None,
    *,
    out: str | Path,
    temperature: float = 1.0,
    goal: Goal = "forced",
    links: str | Path | None = None,
    test: float | str | Path | None = None,
    split: str | Path | None = None,
    by: By = "trajectory",
    seed: int = 0,
    validation: float | None = 0.1,
    hidden: Sequence[int] = (WIDTH,) * DEPTH,
    steps: int = 500,
    members: int = 1,
    l2: float = 0.0,
    start: Sequence[float] | None = None,
    close_arc: Sequence[str] = (),
    move_goal: Sequence[str] = (),
    say: Say = lambda line: None,
) -> RoutesRecovered:
    """Train a network to be the reward of arcs, beginning at the linear reward, and write a run folder.

    Args:
        validation: share of the trips of the fit that decide when to stop, unless `split` labels some "validation";
            None for none.
        hidden: units of each hidden layer, all alike. steps: of gradient, at most.
        members: networks trained from different keys.
        l2, start: of the linear reward.
        Others as for `irl_mce`.

    Raises:
        InputError: for bad input, before anything is written.
        InfeasibleError: where no weights of a linear reward, at which the training begins, have a finite solution.
    """
    settings = {
        "problem": str(problem),
        "demos": str(demos),
        "features": None if features is None else str(features),
        "temperature": temperature,
        "goal": goal,
        "links": None if links is None else str(links),
        "test": None if test is None else str(test),
        "split": None if split is None else str(split),
        "by": by,
        "seed": seed,
        "validation": validation,
        "hidden": list(hidden),
        "steps": steps,
        "members": members,
        "l2": l2,
        "start": None if start is None else [float(value) for value in start],
        "close_arc": tuple(close_arc),
        "move_goal": tuple(move_goal),
    }
    if not hidden or len(set(hidden)) > 1 or min(hidden) < 1:
        raise InputError(
            f"hidden layers must be alike, of at least one unit; got {', '.join(map(str, hidden))}."
        )
    training = Training(max_steps=steps)
    with recording(out, "irl deep-maxent", settings, pages.page) as run, kept_warnings(run):
        apart = (test, split, by, seed)
        job = open_all(run, problem, demos, features, links, goal, apart, close_arc, move_goal, validation)
        say(job.work)
        linear = _fit(job, goal, temperature, start, l2)

        def told(now: Progress) -> None:
            if linear.interrupted:
                raise KeyboardInterrupt
            _tell(say, now, steps)

        estimate = deep_routes.fit(
            job.roads.network,
            job.roads.features,
            job.parts.train,
            key=jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), 2),
            reward=lambda key: RewardNetwork(job.roads.features, key, width=hidden[0], depth=len(hidden)),
            goal=goal,
            temperature=temperature,
            offset=linear.reward,
            validation=job.parts.validation,
            training=training,
            members=members,
            progress=told,
        )
        run.manifest["answer"] = _record_deep(run, estimate, linear)
        say("trips foretold, and flows")
        found = {"deep reward": estimate.reward, "linear reward": linear.reward}
        _record(run, job, found, goal, temperature, 0)
        say("pictures and report")
    return RoutesRecovered(Path(out), estimate, bool(estimate.converged), run.manifest["answer"])


def _fit(job: Job, goal: Goal, temperature: float, start: Sequence[float] | None, l2: float) -> Estimate:
    roads = job.roads
    return routes.fit(
        roads.network,
        roads.features,
        job.parts.train,
        goal=goal,
        start=start,
        temperature=temperature,
        feature_names=roads.names,
        l2=l2,
    )


def _fit_free(
    job: Job, goal: Goal, temperature: float, start: Sequence[float] | None, l2: float
) -> Temperatures:
    """A penalty was refused before."""
    roads, trips = job.roads, job.parts.train
    return fit_routes(
        roads.network,
        roads.features,
        trips,
        goal=goal,
        start=start,
        temperature=temperature,
        feature_names=roads.names,
    )


def _record(
    run: Run, job: Job, rewards: dict[str, np.ndarray], goal: Goal, temperature: Heat, fitted: int
) -> None:
    """What the first of these rewards [E] says of trips and flows."""
    first = next(iter(rewards.values()))
    run.arrays["reward"] = first
    answer = run.manifest["answer"]
    answer["scores"] = record_scores(run, job.roads, job.parts, rewards, goal, temperature)
    answer["flows"] = record_flows(run, job.roads, job.parts, first, goal, temperature, fitted)
    # Changes are refused where temperatures are estimated.
    answer["what_if"] = (
        None
        if isinstance(temperature, Mapping)
        else record_what_if(run, job.roads, job.demand, job.changes, first, goal, temperature)
    )


def _record_deep(run: Run, estimate: DeepEstimate, linear: Estimate) -> dict[str, Any]:
    """Networks, rewards and histories as arrays and picture; returns the numbers."""
    run.manifest["seeds"] |= {"networks": run.manifest["settings"]["seed"]}
    run.folders["network"] = estimate.save
    run.documents["estimate"] = estimate.to_dict()
    run.arrays |= {"rewards": estimate.rewards, "linear_reward": linear.reward}
    for number, member in enumerate(estimate.members):
        for step, value in enumerate(member.train.tolist()):
            checked = {} if member.validation is None else {"validation": float(member.validation[step])}
            run.rows.append({"member": number, "step": step, "train": value, **checked})
    for sentence in (*linear.warnings, *estimate.warnings):
        run.warn(sentence[0].upper() + sentence[1:])
    run.pictures["training"] = maps_routes.training(
        [(m.train, m.validation, m.best_step) for m in estimate.members],
        linear.log_likelihood / estimate.steps,
    )
    return {**estimate.to_dict(), "linear": linear.to_dict(), "trajectories": linear.trajectories}


def _tell(say: Say, now: Progress, max_steps: int) -> None:
    if now.step % TOLD == 0:
        checked = "" if now.validation is None else f", validation {now.validation:.5f}"
        say(f"network {now.member + 1}, step {now.step} of {max_steps}: {now.train:.5f} a decision{checked}")
