"""What all likelihood fits of a linear reward have in common: the checks, the climb, and the record of what was
found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from maxentrl.core.check import (
    InfeasibleError,
    InputError,
    check_penalty,
    check_shape,
    check_temperature,
)
from maxentrl.core.soft import temperature_kind
from maxentrl.core.types import Dynamics, Scalar
from maxentrl.data.trajectories import Trajectories
from maxentrl.infer.solution import solve
from maxentrl.irl.best_response import check_clock
from maxentrl.irl.demonstrations import explain_copies
from maxentrl.irl.estimate import (
    Estimate,
    covariances,
    explain_clusters,
    explain_directions,
    null_directions,
    usual_kind,
)
from maxentrl.irl.identity import Identity, fingerprint
from maxentrl.irl.newton import Maximum, check_max_steps, maximise
from maxentrl.irl.reward import check_features, check_offset, choices
from maxentrl.irl.sensitivity import (
    Derivatives,
    Evidence,
    Model,
    Paths,
    Plan,
    derivatives,
    objective,
    path_scores,
)
from maxentrl.models.precision import problem_in_float64
from maxentrl.models.tabular import TabularMDP


class Task(NamedTuple):
    """A linear reward to be fitted, checked. table: features [S, A, K]. forbidden: bool [S, A], what the offset forbids."""

    mdp: TabularMDP
    model: Model
    table: np.ndarray
    names: tuple[str, ...]
    l2: float
    max_steps: int
    forbidden: np.ndarray

    def scale(self, total: float) -> np.ndarray:
        """[K] one typical change of each weight: it turns a typical decision by about one nat, shared by all
        `total` decisions."""
        largest = np.abs(self.table).max((0, 1))
        return float(self.model.temperature) / (np.sqrt(total) * np.where(largest > 0, largest, 1.0))


class Seen(NamedTuple):
    """Demonstrations as a fit needs them.

    demos: trajectories, or the table of counts that stands for them. paths: their steps one by one, for the
    scores, if they are trajectories. log_constant: [N], what the log-likelihood of each holds that no reward
    changes; [1] for counts.
    """

    demos: Trajectories | np.ndarray
    evidence: Evidence
    paths: Paths | None
    log_constant: np.ndarray

    @property
    def decisions(self) -> np.ndarray:
        """Weighted counts [S, A] or [T, S, A]."""
        return np.asarray(self.evidence.decisions).swapaxes(-1, -2)

    @property
    def weights(self) -> np.ndarray:
        """How much each counts [N]; [1] for counts, which hold their weights."""
        return self.demos.weights if isinstance(self.demos, Trajectories) else np.ones(1)


class Climbed(NamedTuple):
    """A maximum with its derivatives (penalty included), the directions [m, K] that do nothing, and the Fisher
    information [K, K] around the maximum."""

    best: Maximum
    last: Derivatives
    gradient: np.ndarray
    information: np.ndarray
    scale: np.ndarray
    blind: np.ndarray
    around: np.ndarray


def check_setting(temperature, discount, horizon, l2: float = 0.0) -> float:
    """Temperature in (0, inf), a discount or a horizon, a penalty that is not negative. Returns the discount."""
    check_temperature(temperature)
    if temperature_kind(temperature) != "soft":
        raise InputError(
            f"temperature must lie in (0, inf): a policy is estimated from its randomness; got {temperature}."
        )
    check_penalty(l2)
    return check_clock(discount, horizon)


def pose(
    mdp: TabularMDP,
    features,
    feature_names: Sequence[str] | None,
    offset,
    *,
    temperature: Scalar,
    discount: Scalar | None,
    horizon: int | None,
    dynamics: Dynamics,
    l2: float,
    max_steps: int,
) -> Task:
    """Check all that is given beside the demonstrations."""
    discount = check_setting(temperature, discount, horizon, l2)
    check_max_steps(max_steps)
    base = check_offset(mdp, offset)
    # A likelihood is compared with its neighbours to many digits.
    mdp = problem_in_float64(mdp).with_reward(base)
    table, names = check_features(mdp, features, feature_names)
    model = linear_model(mdp, table, temperature, discount, horizon, dynamics)
    forbidden = np.isneginf(base) & ~np.asarray(mdp.terminal)[:, None]
    return Task(mdp, model, table, names, l2, max_steps, forbidden)


def linear_model(
    mdp: TabularMDP,
    table: np.ndarray,
    temperature,
    discount,
    horizon: int | None,
    dynamics: Dynamics = "given",
) -> Model:
    """The reward of `mdp`, which is in float64, plus features [S, A, K] . weights."""
    world = mdp.bare()
    return Model(
        mdp=world,
        features=jnp.asarray(np.ascontiguousarray(table.transpose(1, 0, 2))),
        offset=world.reward,
        temperature=jnp.asarray(temperature, float),
        discount=jnp.asarray(discount, float),
        horizon=horizon,
        dynamics=dynamics,
    )


def upright(demos: Trajectories, next_states: np.ndarray, horizon: int | None) -> Paths:
    """Steps with time first, padded to the horizon."""
    rest = 0 if horizon is None else horizon - demos.longest
    tables = (demos.states, demos.actions, next_states)
    return Paths(*(np.pad(x, ((0, 0), (0, rest)), constant_values=-1).T for x in tables))


def check_start(start, names: tuple[str, ...]) -> np.ndarray:
    """The weights [K] at which a search begins; 0 unless given."""
    begin = np.zeros(len(names)) if start is None else np.asarray(start, float)
    check_shape(begin, (len(names),), "start", "[K]")
    if not np.isfinite(begin).all():
        raise InputError(
            f"start must hold numbers; the weight of {names[int((~np.isfinite(begin)).argmax())]} is not one."
        )
    return begin


def climb(task: Task, seen: Seen, begin: np.ndarray) -> Climbed:
    """The most likely weights, by Newton's method on the exact gradient and information."""
    model, evidence, l2 = task.model, seen.evidence, task.l2
    ridge = l2 * np.eye(len(task.names))
    scale = task.scale(float(seen.decisions.sum()))

    def value(w: np.ndarray) -> tuple[float, Plan]:
        found, plan = objective(model, evidence, w)
        return float(found) - l2 / 2 * float(w @ w), plan

    def slope(w: np.ndarray, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
        d = derivatives(model, evidence, plan)
        return np.asarray(d.gradient) - l2 * w, np.asarray(d.information) + ridge

    first, plan = value(begin)
    if not math.isfinite(first):
        refuse_start(model, begin)
    told = np.asarray(derivatives(model, evidence, plan).fisher)
    best = maximise(value, slope, begin, scale, task.max_steps)
    last = derivatives(model, evidence, best.memo)
    gradient = np.asarray(last.gradient) - l2 * best.argument

    def fisher(w: np.ndarray) -> np.ndarray:
        found, plan = objective(model, evidence, w)
        exists = math.isfinite(float(found))
        return np.asarray(derivatives(model, evidence, plan).fisher) if exists else np.zeros_like(ridge)

    # A direction does nothing if it does so at all weights. At single ones features may cancel, or decisions be
    # certain.
    around = np.asarray(last.fisher)
    if len(null_directions(around, scale)):
        around = (around + fisher(best.argument + scale * np.linspace(0.5, 1, len(scale)))) / 2
    told = told + around
    if begin.any() and len(null_directions(told, scale)):
        told = told + fisher(np.zeros_like(begin))
    blind = null_directions(told, scale)
    return Climbed(best, last, gradient, np.asarray(last.information) + ridge, scale, blind, around)


def refuse_start(model: Model, begin: np.ndarray) -> None:
    """Say why the problem cannot be solved at the starting weights."""
    try:
        mdp = model.mdp.with_reward(np.asarray(model.reward(begin)))
        temperature, discount = float(model.temperature), float(model.discount)
        horizon, dynamics = model.horizon, model.dynamics
        solve(mdp, temperature=temperature, discount=discount, horizon=horizon, dynamics=dynamics)
    except InfeasibleError as error:
        raise InfeasibleError(
            f"at the starting weights {error} Give other starting weights (start)."
        ) from error
    raise InfeasibleError(
        "the log-likelihood of the demonstrations is not finite at the starting weights; give others."
    )


def record(
    task: Task,
    seen: Seen,
    found: Climbed,
    *,
    method: str,
    settings: dict[str, float | int | str | None],
    log_likelihood: float,
    log_transitions: np.ndarray,
    robust: bool,
    spread: dict[str, np.ndarray] | None = None,
) -> Estimate:
    """The estimate with its standard errors, and with the sentences that must be read first.

    Args:
        log_likelihood: of the demonstrations at the maximum, nats, constants included.
        log_transitions: [N] summed log-probability of the transitions of each trajectory under the estimate.
        robust: whether the sandwich is the kind of standard error to use.
        spread: covariances by kind, where they are not those of a likelihood.
    """
    demos, best, decisions = seen.demos, found.best, seen.decisions
    mdp, count = task.mdp, len(task.names)
    trajectories = isinstance(demos, Trajectories)
    groups = clusters(demos) if trajectories else None
    found_clusters = 0 if groups is None else int(groups.max()) + 1
    if spread is None:
        scores = None
        if trajectories and seen.paths is not None:
            single = path_scores(task.model, best.memo, seen.paths, found.last.ahead)
            scores = np.asarray(single) * demos.weights[:, None]
        spread = covariances(found.information, scores, groups, found.scale)
    allowed = choices(mdp)
    log_choices = np.log(np.maximum(allowed.sum(1), 1))
    total = float(decisions.sum())
    uniform = -float(decisions.sum(-1).reshape(-1, mdp.states).sum(0) @ log_choices)
    warnings = explain_directions(found.blind, task.names, task.table, allowed)
    warnings += explain_search(found.best, found.blind, found.around, found.scale)
    if trajectories and groups is not None:
        log_policy = np.asarray(best.memo.log_policy).swapaxes(-1, -2)
        warnings += explain_clusters(found_clusters, count, robust and "hessian" in spread)
        copies = explain_copies(demos, log_policy, log_transitions)
        warnings += [copies] if copies else []
    return Estimate(
        method=method,
        names=task.names,
        weights=best.argument,
        reward=np.where(task.forbidden, -np.inf, np.asarray(task.model.offset) + task.table @ best.argument),
        log_likelihood=log_likelihood,
        log_likelihood_uniform=uniform + float(seen.weights @ seen.log_constant),
        gradient_norm=float(np.linalg.norm(found.gradient)),
        converged=best.converged,
        verdict=best.verdict,
        interrupted=best.interrupted,
        covariances=spread,
        kind=usual_kind(robust, found_clusters, count) if "hessian" in spread else "sandwich",
        trajectories=demos.count if trajectories else None,
        steps=total,
        settings=settings,
        warnings=tuple(warnings),
        identity=identity(task, demos),
        fisher=np.asarray(found.last.fisher),
    )


def clusters(demos: Trajectories) -> np.ndarray:
    """[N] whole numbers: the group of each trajectory; each is its own where there are no groups."""
    if demos.groups is None:
        return np.arange(demos.count)
    return np.unique(np.array(demos.groups), return_inverse=True)[1]


def identity(task: Task, demos: Trajectories | np.ndarray) -> Identity:
    """Hashes by which estimates can be told to come from the same demonstrations, features and world."""
    if isinstance(demos, Trajectories):
        tables = (demos.states, demos.actions, demos.next_states, demos.lengths, demos.weights)
    else:
        tables = (np.asarray(demos, float),)
    columns = tuple(fingerprint(task.table[..., k]) for k in range(len(task.names)))
    # What follows successors and probabilities is the same entries in another order.
    world = (*jax.tree.leaves(task.mdp.transition)[:2], task.mdp.log_prior, task.mdp.terminal)
    offset = fingerprint(np.asarray(task.model.offset))
    return Identity(fingerprint(*tables), columns, offset, fingerprint(*map(np.asarray, world)))


def explain_search(best: Maximum, blind: np.ndarray, fisher: np.ndarray, scale: np.ndarray) -> list[str]:
    """Sentences on a search that did not converge, or that ran to where decisions are no longer random.

    Args:
        blind: [m, K] directions that do nothing anywhere. fisher: [K, K] around the end of the search.
    """
    warnings = [] if best.converged else [best.verdict]
    if len(null_directions(fisher, scale)) > len(blind):
        warnings.append(
            "some decisions are explained so perfectly that the best weights are infinite (separation): "
            "the search stopped where the likelihood no longer rises, and neither these weights nor their "
            "standard errors mean anything."
        )
    return warnings


def setting_in_words(temperature, discount, horizon: int | None) -> str:
    """The clock and the temperature, for the name of a method."""
    if horizon is not None:
        rest = "" if float(discount) == 1 else f", discount {float(discount):g}"
        return f"horizon {horizon}{rest}, temperature {float(temperature):g}"
    kind = "first exit" if float(discount) == 1 else f"discount {float(discount):g}"
    return f"{kind}, temperature {float(temperature):g}"
