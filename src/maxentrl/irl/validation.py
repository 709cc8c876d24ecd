"""Does the reward say anything about decisions it was not fitted to, and does it need all its features?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from scipy.stats import chi2

from maxentrl.core.check import InputError, check_shape
from maxentrl.core.precision import in_double_precision
from maxentrl.core.statistics import ratio_with_interval
from maxentrl.core.words import many
from maxentrl.data.split import By, folds
from maxentrl.data.trajectories import Trajectories
from maxentrl.data.trips import Trips
from maxentrl.infer.solution import solve
from maxentrl.irl.baselines import behaviour_cloning, uniform_policy
from maxentrl.irl.deep_estimate import DeepEstimate
from maxentrl.irl.demonstrations import check_demonstrations
from maxentrl.irl.estimate import Estimate
from maxentrl.models.tabular import TabularMDP

Value = TypeVar("Value")


class HeldOut(NamedTuple):
    """How well a policy foretells decisions.

    log_likelihood: sum of weight * log pi(a|s), nats. per_decision: the same over the weighted number of
    `decisions`. standard_error: of per_decision, as a ratio of sums over independent clusters; inf for one
    cluster. interval: of per_decision, at `confidence`, symmetric and normal. Where a decision has probability
    zero, both are -inf, and so are the ends of the interval.
    clusters: trajectories, or groups of them where groups are given.
    """

    name: str
    log_likelihood: float
    decisions: float
    per_decision: float
    standard_error: float
    interval: tuple[float, float]
    confidence: float
    clusters: int

    def __str__(self) -> str:
        low, high = self.interval
        scored = f"{self.name}: {self.log_likelihood:.6f} over {many(self.decisions, 'decision')}"
        if self.log_likelihood == -math.inf:
            return f"{scored}: some of them have probability zero"
        return (
            f"{scored}, {self.per_decision:.6f} each "
            f"({100 * self.confidence:g} % interval {low:.6f} to {high:.6f})"
        )


class Ratio(NamedTuple):
    """A likelihood-ratio test. statistic: 2 (log-likelihood of the large model - of the small one); degrees: of
    freedom; p_value: the chance of a statistic at least as large if the small model is true."""

    statistic: float
    degrees: int
    p_value: float

    def __str__(self) -> str:
        degrees = f"{many(self.degrees, 'degree')} of freedom"
        return f"likelihood ratio {self.statistic:.4f}, {degrees}, p = {self.p_value:.4g}"


@in_double_precision
def policy_of(mdp: TabularMDP, estimate: Estimate | DeepEstimate) -> np.ndarray:
    """log pi(a|s) of an estimate, [S, A] or [T, S, A]: planned with its reward, in a problem that may be another."""
    settings = estimate.settings
    if settings["temperature"] is None:
        raise InputError(
            "this estimate has no one temperature: take that of a group (Temperatures.of), or all (Temperatures.policies)."
        )
    plan = solve(
        mdp.with_reward(estimate.reward),
        temperature=settings["temperature"],  # pyright: ignore[reportArgumentType]
        discount=settings["discount"],  # pyright: ignore[reportArgumentType]
        horizon=settings["horizon"],  # pyright: ignore[reportArgumentType]
        dynamics="posterior" if settings.get("dynamics") == "posterior" else "given",
        tolerance=1e-9,
    )
    return np.asarray(plan.log_policy)


Policy = np.ndarray | Mapping[str, np.ndarray]
"""log pi(a|s), [S, A] or [T, S, A]; or one for each group of demonstrators, by name."""


def log_likelihoods(demos: Trajectories, log_policy: Policy) -> np.ndarray:
    """[N]: log pi of the decisions of each trajectory, unweighted."""
    if isinstance(log_policy, Mapping):
        single = np.zeros(demos.count)
        for rows, policy in by_group(demos, log_policy):
            single[rows] = log_likelihoods(demos.take(rows), policy)
        return single
    log_pi = np.asarray(log_policy)
    i, t = np.nonzero(demos.recorded)
    s, a = demos.states[i, t], demos.actions[i, t]
    if log_pi.ndim == 3 and demos.longest > len(log_pi):
        k = int(demos.lengths.argmax())
        raise InputError(
            f"demonstrations must not be longer than the policy's {many(len(log_pi), 'step')}; "
            f"trajectory {demos.ids[k]!r} has {demos.lengths[k]}."
        )
    return np.bincount(i, log_pi[t, s, a] if log_pi.ndim == 3 else log_pi[s, a], minlength=demos.count)


def by_group(
    demos: Trajectories | Trips, policies: Mapping[str, Value]
) -> Iterator[tuple[np.ndarray, Value]]:
    """The rows [n] of each group in turn, and what is known of it.

    Where only one thing is known, it is known of all demonstrations without groups.

    Raises:
        InputError: for a group of which nothing is known, and where groups are needed and there are none.
    """
    names = demos.groups
    if names is None and len(policies) > 1:
        raise InputError("the demonstrations have no groups, and each group has a temperature of its own.")
    groups = np.array(names if names is not None else demos.count * tuple(policies))
    for group in np.unique(groups).tolist():
        if group not in policies:
            raise InputError(
                f"the demonstrations hold the group {group!r}, of which there were none to fit, so that its temperature "
                "is not known."
            )
        yield np.flatnonzero(groups == group), policies[group]


def score(
    mdp: TabularMDP,
    log_policy: Policy,
    demos: Trajectories,
    *,
    name: str = "policy",
    confidence: float = 0.95,
) -> HeldOut:
    """The log-likelihood of the decisions of demonstrations under any policy, with its interval.

    Args:
        log_policy: [S, A] or [T, S, A], nats; or one for each group, by name.
        demos: other demonstrations than those it came from, if it shall mean anything.
        confidence: of the interval, in (0, 1).
    """
    check_demonstrations(mdp, demos)
    for policy in log_policy.values() if isinstance(log_policy, Mapping) else (log_policy,):
        log_pi = np.asarray(policy)
        one = log_pi[0] if log_pi.ndim == 3 else log_pi
        check_shape(one, (mdp.states, mdp.actions), "log_policy", "[S, A]")
    return _scored(demos, log_likelihoods(demos, log_policy), name, confidence)


def _scored(demos: Trajectories, single: np.ndarray, name: str, confidence: float) -> HeldOut:
    which = np.arange(demos.count)
    if demos.groups is not None:
        which = np.unique(np.array(demos.groups), return_inverse=True)[1]
    total = np.bincount(which, demos.weights * single)
    steps = np.bincount(which, demos.weights * demos.lengths)
    each, error, interval = ratio_with_interval(total, steps, confidence)
    return HeldOut(
        name, float(total.sum()), float(steps.sum()), each, error, interval, confidence, len(total)
    )


def held_out(
    mdp: TabularMDP, estimate: Estimate | DeepEstimate, demos: Trajectories, *, confidence: float = 0.95
) -> HeldOut:
    """The log-likelihood that an estimate gives to the decisions of other demonstrations.

    Only decisions are scored, sum log pi(a|s), whatever the estimate was fitted to, so that all methods and
    baselines can be compared.
    """
    return score(mdp, policy_of(mdp, estimate), demos, name=estimate.method, confidence=confidence)


def compare(
    mdp: TabularMDP,
    estimate: Estimate | DeepEstimate,
    train: Trajectories,
    test: Trajectories,
    *,
    confidence: float = 0.95,
) -> tuple[HeldOut, HeldOut, HeldOut]:
    """Held-out likelihood of an estimate, of behaviour cloning with Laplace smoothing, and of random choice."""
    cloned = score(mdp, behaviour_cloning(mdp, train), test, name="behaviour cloning", confidence=confidence)
    random = score(mdp, uniform_policy(mdp), test, name="random choice", confidence=confidence)
    return held_out(mdp, estimate, test, confidence=confidence), cloned, random


def cross_validate(
    mdp: TabularMDP,
    fit: Callable[[Trajectories], Any],
    demos: Trajectories,
    *,
    count: int = 5,
    key: jax.Array,
    by: By = "trajectory",
    confidence: float = 0.95,
) -> tuple[HeldOut, tuple[HeldOut, ...]]:
    """Each trajectory foretold by a policy fitted without it: in all, and fold by fold.

    Args:
        fit: training demonstrations -> an estimate, or a policy log pi [S, A] or [T, S, A], or one for each group.
        count: of folds, at least 2. key: of `jax.random`. by: what is never torn apart, see `folds`.

    Returns:
        All held-out decisions together, and each fold alone. The interval of the whole treats trajectories as
        independent, though the fits of the folds share their data.

    Raises:
        KeyboardInterrupt: when somebody stopped a fit: folds that are missing cannot be made up for.
    """
    single, parts = np.zeros(demos.count), []
    name = "cross validation"
    for k, (train, test) in enumerate(folds(demos.count, demos.groups, count=count, key=key, by=by)):
        made = fit(demos.take(train))
        if getattr(made, "interrupted", False):
            raise KeyboardInterrupt
        log_policy = policy_of(mdp, made) if isinstance(made, Estimate | DeepEstimate) else made
        held = demos.take(test)
        parts.append(score(mdp, log_policy, held, name=f"fold {k + 1}", confidence=confidence))
        single[test] = log_likelihoods(held, log_policy)
    return _scored(demos, single, name, confidence), tuple(parts)


def likelihood_ratio(small: Estimate, large: Estimate) -> Ratio:
    """Test whether the features that `large` has and `small` has not are needed (Wilks 1938).

    Both must come from the same demonstrations in the same world by the same method, without a penalty, and the
    features of `small` must be among those of `large`. Trajectories are taken for independent, and the model for right.

    Raises:
        InputError: when the two cannot be compared, saying why.
    """
    if small.identity is None or large.identity is None:
        raise InputError("these estimates do not know what they were made from, so nothing can be tested.")
    if small.identity.data != large.identity.data:
        raise InputError("the two estimates were made from different demonstrations.")
    if small.identity.world != large.identity.world:
        raise InputError(
            "the two estimates were made in different worlds: transitions, prior or terminal states differ, or the "
            "network."
        )
    if (small.method, small.settings) != (large.method, large.settings):
        odd = [k for k in small.settings if small.settings[k] != large.settings.get(k)]
        raise InputError(
            f"the two estimates were made in different ways: {', '.join(odd) or 'the method'} differs."
        )
    if small.settings.get("l2") or small.settings.get("loss") == "moments":
        raise InputError(
            "a likelihood-ratio test needs estimates that maximise a likelihood, without a penalty."
        )
    missing = [
        name
        for name, column in zip(small.names, small.identity.columns, strict=True)
        if column not in large.identity.columns
    ]
    if missing or small.identity.offset != large.identity.offset:
        what = (
            f"{', '.join(missing)} of the small model is not in the large one"
            if missing
            else "offsets differ"
        )
        raise InputError(f"the models are not nested: {what}.")
    degrees = len(large.names) - len(small.names)
    if degrees < 1:
        raise InputError("the models are not nested: the large one has no feature that the small one lacks.")
    for estimate, which in ((small, "small"), (large, "large")):
        if not estimate.converged:
            raise InputError(f"the {which} model did not converge, so its likelihood is not the largest.")
        if not np.isfinite(estimate.standard_errors_of("hessian")).all():
            raise InputError(
                f"the {which} model has weights that are not identified, and would count them as free; drop features."
            )
    statistic = max(2 * (large.log_likelihood - small.log_likelihood), 0.0)
    return Ratio(statistic, degrees, float(chi2.sf(statistic, degrees)))
