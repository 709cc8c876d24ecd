"""Networks as rewards as whole jobs: from tables to a run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from maxentrl.app import irl_parts, pages, plots_irl
from maxentrl.app.inputs import open_all, read_offset
from maxentrl.app.irl_runs import Recovered, Say, check_change, setting_of
from maxentrl.app.options import (
    ASIDE,
    CHANGE,
    DEMONSTRATOR,
    Aside,
    Change,
    Clock,
    Demonstrator,
    Files,
    settings,
)
from maxentrl.app.recipes import kept_warnings
from maxentrl.app.record import Run, recording
from maxentrl.core.check import InputError
from maxentrl.core.types import Dynamics
from maxentrl.irl import deep_maxent as deep
from maxentrl.irl.ascent import Progress, Training
from maxentrl.irl.deep_estimate import DeepEstimate
from maxentrl.irl.networks import DEPTH, WIDTH, RewardNetwork
from maxentrl.irl.validation import policy_of

TOLD = 25
"""Steps between two lines about the training."""


def deep_maxent(
    files: Files,
    clock: Clock,
    who: Demonstrator = DEMONSTRATOR,
    aside: Aside = ASIDE,
    change: Change = CHANGE,
    *,
    dynamics: Dynamics = "given",
    hidden: Sequence[int] = (WIDTH,) * DEPTH,
    steps: int = 500,
    members: int = 1,
    validation: float | None = 0.1,
    say: Say = lambda line: None,
) -> Recovered:
    """Train a network to be the reward, and write a run folder.

    Args:
        files, clock, who, aside, change: see `app.options`.
        dynamics: "given" or "posterior", as for `maxentrl.irl.deep_maxent.fit`.
        hidden: units of each hidden layer, all alike. steps: gradient steps at most. members: networks.
        validation: share of the demonstrations that are not for testing, which decides when to stop; unless
            labels say which. None for none.
        say: told what is being done.

    Raises:
        InputError: for bad input, before anything is written.
    """
    asked = settings(
        files,
        clock,
        who,
        aside,
        change,
        dynamics=dynamics,
        hidden=list(hidden),
        steps=steps,
        members=members,
        validation=0.0 if validation is None else validation,
    )
    if not hidden or len(set(hidden)) > 1 or min(hidden) < 1:
        raise InputError(
            f"hidden layers must be alike, of at least one unit; got {', '.join(map(str, hidden)) or 'none'}."
        )
    training = Training(max_steps=steps)
    with recording(files.out, "irl deep-maxent", asked, pages.page) as run, kept_warnings(run):
        opened = open_all(
            run, files.problem, files.demos, files.features, aside, prior=who.prior, validation=validation
        )
        offset = read_offset(files.offset, opened.mdp, run)
        setting = setting_of(clock, who)
        irl_parts.warn_of_journeys(run, opened, setting)
        check_change(opened, change, dynamics, offset)
        run.manifest["seeds"]["networks"] = aside.seed
        say(f"training on {opened.train.count} demonstrations")
        estimate = deep.fit(
            opened.mdp,
            opened.features,
            opened.train,
            key=jax.random.fold_in(jax.random.key(aside.seed, impl="threefry2x32"), 2),
            network=lambda key: RewardNetwork(opened.features, key, width=hidden[0], depth=len(hidden)),
            temperature=who.temperature,
            discount=clock.discount,
            horizon=clock.horizon,
            dynamics=dynamics,
            offset=offset,
            validation=opened.validation,
            training=training,
            members=members,
            progress=lambda now: _tell(say, now, steps),
        )
        run.manifest["answer"] |= record_networks(run, estimate)
        say("how well it foretells, and what it predicts")
        log_policy = policy_of(opened.mdp, estimate)
        irl_parts.record_scores(run, opened, log_policy, "deep maximum entropy")
        irl_parts.record_flows(run, opened, irl_parts.flows_of(opened, log_policy))
        irl_parts.record_map(run, opened.mdp, estimate.reward, log_policy)
        run.arrays["log_policy"] = log_policy
        after = _changed(opened, estimate, change, offset)
        if after is not None:
            irl_parts.record_change(run, opened, estimate.reward, after, setting)
        say("pictures and report")
    return Recovered(Path(files.out), estimate, bool(estimate.converged))


def record_networks(run: Run, estimate: DeepEstimate) -> dict[str, Any]:
    """Networks, learning curves and rewards of an estimate; returns its numbers."""
    run.folders["network"] = estimate.save
    run.documents["estimate"] = answer = estimate.to_dict()
    run.arrays["reward"] = estimate.reward
    for i, member in enumerate(estimate.members):
        for step, value in enumerate(member.train):
            row = {"member": i, "step": step, "train": float(value)}
            if member.validation is not None:
                row["validation"] = float(member.validation[step])
            run.rows.append(row)
    found: dict[str, float] = {"networks": len(estimate.members)}
    if len(estimate.members) > 1:
        run.arrays["spread"] = estimate.spread
        found["spread"] = float(estimate.spread[estimate.allowed].mean())
        found["scale"] = float(np.std(estimate.reward[estimate.allowed]))
    for sentence in estimate.warnings:
        run.warn(sentence[0].upper() + sentence[1:])
    run.pictures["learning"] = plots_irl.learning(
        [member.train for member in estimate.members],
        [member.validation for member in estimate.members],
        [member.best_step for member in estimate.members],
    )
    return answer | found


def _changed(opened, estimate: DeepEstimate, change: Change, offset):
    """The changed problem; what a network pays in an old goal is what it says of the features there."""
    if not change.asked:
        return None
    network: Callable = estimate.network  # pyright: ignore[reportAssignmentType]
    features = opened.features
    said = np.asarray(jax.vmap(network)(features.reshape(-1, features.shape[-1]))).reshape(features.shape[:2])
    rest = said if offset is None else said + offset
    return irl_parts.changed(opened, estimate.reward, None, change, rest)


def _tell(say: Say, now: Progress, steps: int) -> None:
    if now.step % TOLD == 0:
        held = "" if now.validation is None else f", validation {now.validation:.4f}"
        say(f"network {now.member + 1}, step {now.step} of {steps}: {now.train:.4f} nats a decision{held}")
