"""Linear rewards from likelihoods as whole jobs: from tables to a run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from maxentrl.app import irl_parts, irl_temperatures, pages
from maxentrl.app.inputs import Opened, open_all, read_offset
from maxentrl.app.irl_parts import Setting
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
from maxentrl.app.predicted import is_deterministic
from maxentrl.app.recipes import kept_warnings, record_estimate
from maxentrl.app.record import Run, recording
from maxentrl.core.check import InputError, check_choice
from maxentrl.irl import maxent as maximum_entropy
from maxentrl.irl import mce as causal
from maxentrl.irl import temperatures as by_group
from maxentrl.irl.temperature_estimate import Temperatures
from maxentrl.irl.validation import Policy, policy_of

Temperature = Literal["given", "free"]

Say = Callable[[str], object]
"""Receives one line about what is being done."""


class Recovered(NamedTuple):
    """folder: the run; estimate: what was found and how sure it is; converged: to the optimum or not."""

    folder: Path
    estimate: Any
    converged: bool

    def summary(self) -> str:
        """Lines to print."""
        return self.estimate.summary()


def mce(
    files: Files,
    clock: Clock,
    who: Demonstrator = DEMONSTRATOR,
    aside: Aside = ASIDE,
    change: Change = CHANGE,
    *,
    l2: float = 0.0,
    start: Sequence[float] | None = None,
    loss: causal.Loss = "likelihood",
    temperatures: Temperature = "given",
    say: Say = lambda line: None,
) -> Recovered:
    """Recover a reward, linear in features, by maximum causal entropy, and write a run folder.

    Args:
        files, clock, who, aside, change: see `app.options`.
        l2, start, loss: as for `maxentrl.irl.mce.fit`.
        temperatures: "free" estimates one for each group of demonstrators (`maxentrl.irl.temperatures.fit`).
        say: told what is being done.

    Raises:
        InputError: for bad input, before anything is written.
    """
    check_choice(temperatures, ("given", "free"), "temperatures")
    more = {"l2": l2, "start": start, "loss": loss}
    asked = settings(
        files, clock, who, aside, change, **more | {"start": _plain(start)}, temperatures=temperatures
    )
    if temperatures == "free":
        irl_temperatures.check(l2, loss, aside, change)
        return _linear(
            "irl mce", by_group.fit, asked, files, clock, who, aside, change, {"start": start}, say
        )
    return _linear("irl mce", causal.fit, asked, files, clock, who, aside, change, more, say)


def maxent(
    files: Files,
    clock: Clock,
    who: Demonstrator = DEMONSTRATOR,
    aside: Aside = ASIDE,
    change: Change = CHANGE,
    *,
    l2: float = 0.0,
    start: Sequence[float] | None = None,
    method: Literal["exact", "ziebart2008"] = "exact",
    say: Say = lambda line: None,
) -> Recovered:
    """Recover a reward, linear in features, by maximum entropy over whole trajectories, and write a run folder.

    Args: as for `mce`; method as for `maxentrl.irl.maxent.fit`.
    """
    asked = settings(files, clock, who, aside, change, l2=l2, start=_plain(start), method=method)
    more = {"l2": l2, "start": start, "method": method}
    return _linear("irl maxent", maximum_entropy.fit, asked, files, clock, who, aside, change, more, say)


def _plain(start: Sequence[float] | None) -> list[float] | None:
    return None if start is None else list(start)


def _linear(kind, fit, asked, files, clock, who, aside, change, more, say: Say) -> Recovered:
    with recording(files.out, kind, asked, pages.page) as run, kept_warnings(run):
        opened = open_all(run, files.problem, files.demos, files.features, aside, prior=who.prior)
        offset = read_offset(files.offset, opened.mdp, run)
        setting = setting_of(clock, who)
        irl_parts.warn_of_journeys(run, opened, setting)
        check_change(opened, change, "posterior" if kind == "irl maxent" else "given", offset)
        say(f"fitting {len(opened.names)} weights to {opened.train.count} demonstrations")
        found = fit(
            opened.mdp,
            opened.features,
            opened.train,
            temperature=who.temperature,
            discount=clock.discount,
            horizon=clock.horizon,
            feature_names=opened.names,
            offset=offset,
            **more,
        )
        estimate = found.weights if isinstance(found, Temperatures) else found
        run.manifest["answer"] |= record_estimate(run, estimate)
        run.documents["estimate"] = found.to_dict()
        say("how well it foretells, and what it predicts")
        if isinstance(found, Temperatures):
            irl_temperatures.record(run, found)
            log_policy = found.policies(opened.mdp)
        else:
            log_policy = policy_of(opened.mdp, estimate)
        record_linear(
            run, opened, estimate, log_policy, setting, change, offset, posterior=kind == "irl maxent"
        )
        say("pictures and report")
    return Recovered(Path(files.out), found, bool(found.converged))


def record_linear(
    run: Run,
    opened: Opened,
    estimate,
    log_policy: Policy,
    setting: Setting,
    change: Change,
    offset,
    *,
    posterior,
) -> None:
    """Everything that a page on a linear reward says beside its weights."""
    irl_parts.record_scores(run, opened, log_policy, estimate.method.split(",")[0])
    if not posterior or is_deterministic(opened.mdp):
        irl_parts.record_identification(run, opened, estimate, setting, log_policy)
    irl_parts.record_flows(run, opened, irl_parts.flows_of(opened, log_policy))
    irl_parts.record_map(run, opened.mdp, estimate.reward, log_policy)
    after = irl_parts.changed(opened, estimate.reward, estimate.weights, change, offset)
    if after is not None:
        irl_parts.record_change(run, opened, estimate.reward, after, setting)


def setting_of(clock: Clock, who: Demonstrator) -> Setting:
    """The demonstrator's temperature, discount and horizon; they are checked by the fit."""
    return Setting(who.temperature, 1.0 if clock.discount is None else clock.discount, clock.horizon)


def check_change(opened: Opened, change: Change, dynamics: str, offset) -> None:
    """Refuse a change that cannot be made before anything is fitted.

    Raises:
        InputError: for states and actions that the problem does not have; for posterior dynamics in a world of
            chance, where a change has no one meaning.
    """
    if change.asked and dynamics == "posterior" and not is_deterministic(opened.mdp):
        raise InputError(
            "flows in a changed world are predicted under the dynamics as they are, and posterior dynamics bend "
            "them: recover the reward with irl mce to use --close-arc or --move-goal in a world of chance."
        )
    irl_parts.changed(opened, np.zeros((opened.mdp.states, opened.mdp.actions)), None, change, offset)
