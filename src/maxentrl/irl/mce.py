"""Maximum causal entropy inverse reinforcement learning: the linear reward under which the decisions are most
likely.

The demonstrator is taken to be soft-optimal under the dynamics as they are. Planning gives log pi; this
module fits the reward to it, and the gradient is demonstrations minus expectations (`sensitivity` has the
derivation).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from maxentrl.core.check import (
    InfeasibleError,
    InputError,
    check_choice,
    check_discount,
    check_horizon,
    check_shape,
    check_temperature,
)
from maxentrl.core.precision import in_double_precision
from maxentrl.core.soft import temperature_kind
from maxentrl.core.types import Scalar
from maxentrl.data.trajectories import Trajectories
from maxentrl.infer.solution import solve
from maxentrl.irl.demonstrations import check_demonstrations, check_visits, explain_copies, visits
from maxentrl.irl.estimate import Estimate, covariances, explain_directions, null_directions
from maxentrl.irl.newton import Maximum, maximise
from maxentrl.irl.reward import check_features, check_offset, choices
from maxentrl.irl.sensitivity import Evidence, Model, Paths, Plan, derivatives, expected_arrivals, objective
from maxentrl.models.tabular import TabularMDP

Loss = Literal["likelihood", "moments"]


def log_likelihood(
    mdp: TabularMDP,
    decisions,
    *,
    temperature: Scalar = 1.0,
    discount: Scalar | None = None,
    horizon: int | None = None,
):
    """Conditional log-likelihood sum_(t,s,a) decisions(t,s,a) log pi_t(a|s) [] of the soft-optimal policy,
    nats.

    Differentiable in the reward (`mdp.with_reward`), so any function that makes a reward can be trained on
    it: for exact occupancies, or deterministic dynamics, the gradient with respect to the reward is
    (decisions - occupancy) / temperature.

    Args:
        mdp: the problem with the reward in question.
        decisions: weighted counts [S, A], or [T, S, A] over a finite horizon.
        temperature, discount, horizon: as for `solve`.
    """
    plan = solve(mdp, temperature=temperature, discount=discount, horizon=horizon)
    return _seen(plan, decisions)


@in_double_precision
def _seen(plan, decisions):
    decisions = jnp.asarray(decisions)
    return jnp.sum(jnp.where(decisions > 0, decisions * jnp.asarray(plan.log_policy), 0.0))


@in_double_precision
def fit(
    mdp: TabularMDP,
    features,
    demos: Trajectories | np.ndarray,
    *,
    temperature: Scalar = 1.0,
    discount: Scalar | None = None,
    horizon: int | None = None,
    feature_names: Sequence[str] | None = None,
    offset=None,
    start=None,
    l2: float = 0.0,
    loss: Loss = "likelihood",
    max_steps: int = 100,
) -> Estimate:
    """Estimate the weights of a linear reward r(s,a) = offset(s,a) + sum_k weights_k features_k(s,a).

    Args:
        mdp: the problem. Its own reward is not used, except that -inf forbids an action. Its prior matters:
            with prior="counting" pi is proportional to exp(Q / temperature), as in most of the literature.
        features: [S, A, K]; or [S, K], features of the state in which the action is taken (not of the one it
            leads to).
        demos: `Trajectories`; or weighted visit counts, [S, A] or [T, S, A] over a finite horizon, for
            instance the exact occupancy of an expert.
        temperature: of the demonstrator, in (0, inf), units of reward. Weights and temperature are not
            identified together: doubling both changes nothing.
        discount: in [0, 1]; may be left out when a horizon is given. 1 without a horizon is the first-exit
            problem.
        horizon: steps T of a problem that ends by the clock; the policy then depends on the time.
            Demonstrations may be shorter (cut off), not longer; the first action of each is taken at time 0.
        feature_names: K names; "0", "1", ... unless given.
        offset: [S, A] fixed part of the reward; 0 unless given.
        start: [K] weights at which the search starts; 0 unless given. It must be feasible (first exit).
        l2: the penalty (l2 / 2) sum weights^2 is subtracted from the log-likelihood of all demonstrations
            together. Standard errors then describe the penalised estimate.
        loss: "likelihood" maximises the conditional likelihood of the decisions, sum log pi(a|s). "moments"
            matches the features of the demonstrations with those that the model expects when it starts where
            they start (and, with a discount, starts again with probability 1 - discount at each state they
            visit). Where dynamics are deterministic, or the counts are exact expectations, the two are the
            same. Otherwise the gradient for one demonstration differs by discount * sum_t (E[dV(s_{t+1})] -
            dV(s_{t+1})) / temperature,
            the luck of its transitions, which is zero on average: both find the truth from enough data, and
            the likelihood, which does not take luck for intention, needs less of it.
        max_steps: Newton steps after which the search stops and says so.

    Returns:
        An `Estimate`, with standard errors of three kinds and the warnings in sentences.

    Raises:
        InputError: for shapes that do not fit, features that are not finite, demonstrations that cannot have
            happened.
        InfeasibleError: when the first-exit problem has no finite solution at the starting weights.

    Source: Ziebart (2010), chapters 5, 6 and 9; for first exit, Fosgerau, Frejinger & Karlstrom (2013).
    """
    _check_setting(temperature, discount, horizon, l2, loss)
    discount = 1.0 if discount is None else discount
    mdp = mdp.with_reward(check_offset(mdp, offset))
    table, names = check_features(mdp, features, feature_names)
    count = len(names)
    model = _model(mdp, table, temperature, discount, horizon)
    evidence, paths, luck = _evidence(mdp, demos, horizon, loss)
    begin = np.zeros(count) if start is None else np.asarray(start, float)
    check_shape(begin, (count,), "start", "[K]")
    if not np.isfinite(begin).all():
        raise InputError(
            f"start must hold numbers; the weight of {names[int((~np.isfinite(begin)).argmax())]} is not one."
        )

    # One typical change of each weight: it turns a typical decision by about one nat, shared by all
    # decisions.
    decisions = np.asarray(evidence.decisions).swapaxes(-1, -2)
    total = float(decisions.sum())
    largest = np.abs(table).max((0, 1))
    scale = float(temperature) / (np.sqrt(total) * np.where(largest > 0, largest, 1.0))

    def value(w: np.ndarray) -> tuple[float, Plan]:
        found, plan = objective(model, evidence, w)
        return float(found) - l2 / 2 * float(w @ w), plan

    def slope(w: np.ndarray, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
        d = derivatives(model, evidence, plan)
        return np.asarray(d.gradient) - l2 * w, np.asarray(d.information) + l2 * np.eye(count)

    first, plan = value(begin)
    if not math.isfinite(first):
        _refuse_start(model, begin)
    blind = null_directions(np.asarray(derivatives(model, evidence, plan).fisher), scale)
    best = maximise(value, slope, begin, scale, max_steps)

    last = derivatives(model, evidence, best.memo, paths)
    gradient = np.asarray(last.gradient) - l2 * best.argument
    information = np.asarray(last.information) + l2 * np.eye(count)
    scores, clusters = None, None
    if isinstance(demos, Trajectories):
        scores = np.asarray(last.scores) * demos.weights[:, None]
        clusters = (
            np.unique(np.array(demos.groups), return_inverse=True)[1]
            if demos.groups
            else np.arange(demos.count)
        )
    log_policy = np.asarray(best.memo.log_policy).swapaxes(-1, -2)
    taken = decisions > 0
    allowed = choices(mdp)
    log_choices = np.log(np.maximum(allowed.sum(1), 1))
    spread = covariances(information, scores, clusters, scale)
    robust = loss == "moments" or (isinstance(demos, Trajectories) and demos.groups is not None)
    warnings = explain_directions(blind, names, table, allowed)
    warnings += _warn_search(best, blind, np.asarray(last.fisher), scale)
    if isinstance(demos, Trajectories) and clusters is not None:
        warnings += _warn_demonstrations(demos, log_policy, luck, clusters, count)
    return Estimate(
        method=f"maximum causal entropy, {_setting_in_words(temperature, discount, horizon)}, {loss}",
        names=names,
        weights=best.argument,
        reward=np.asarray(model.reward(best.argument)),
        log_likelihood=float(decisions[taken] @ log_policy[taken]),
        log_likelihood_uniform=-float(decisions.sum(-1).reshape(-1, mdp.states).sum(0) @ log_choices),
        gradient_norm=float(np.linalg.norm(gradient)),
        converged=best.converged,
        verdict=best.verdict,
        covariances=spread,
        kind="sandwich" if robust and "sandwich" in spread else "hessian",
        trajectories=demos.count if isinstance(demos, Trajectories) else None,
        steps=demos.steps if isinstance(demos, Trajectories) else total,
        settings={
            "temperature": float(temperature),
            "discount": float(discount),
            "horizon": horizon,
            "l2": l2,
            "loss": loss,
        },
        warnings=tuple(warnings),
    )


def _check_setting(temperature, discount, horizon, l2: float, loss: str) -> None:
    check_temperature(temperature)
    if temperature_kind(temperature) != "soft":
        raise InputError(
            f"temperature must lie in (0, inf): a policy is estimated from its randomness; got {temperature}."
        )
    check_horizon(horizon)
    if discount is None and horizon is None:
        raise InputError(
            "give a discount below 1, a horizon, or discount 1 with terminal states (first exit)."
        )
    if discount is not None:
        check_discount(discount)
    if not (l2 >= 0 and math.isfinite(l2)):
        raise InputError(f"l2 must be a number of at least 0; got {l2}.")
    check_choice(loss, ("likelihood", "moments"), "loss")


def _model(mdp: TabularMDP, table: np.ndarray, temperature, discount, horizon: int | None) -> Model:
    # A likelihood is compared with its neighbours to many digits: a problem in float32 is estimated in
    # float64 too.
    world = jax.tree.map(
        lambda x: x.astype(np.float64) if np.issubdtype(x.dtype, np.floating) else x, mdp.bare()
    )
    return Model(
        mdp=world,
        features=jnp.asarray(np.ascontiguousarray(table.transpose(1, 0, 2))),
        offset=world.reward,
        temperature=jnp.asarray(temperature, float),
        discount=jnp.asarray(discount, float),
        horizon=horizon,
    )


def _evidence(
    mdp: TabularMDP, demos, horizon: int | None, loss: str
) -> tuple[Evidence, Paths | None, np.ndarray]:
    """Counts; the steps for the scores of single trajectories; [N] log-probability of each one's
    transitions."""
    if not isinstance(demos, Trajectories):
        decisions = check_visits(mdp, demos, horizon)
        return Evidence(decisions.swapaxes(-1, -2), np.zeros(decisions.shape[:-1])), None, np.zeros(0)
    luck = check_demonstrations(mdp, demos).sum(1)
    found = visits(mdp, demos, horizon)
    decisions = np.asarray(found.decisions).swapaxes(-1, -2)
    if loss == "moments":
        surprise = found.arrivals - np.asarray(expected_arrivals(mdp.bare(), decisions))
        known = demos.next_states
    else:
        surprise, known = np.zeros_like(found.arrivals), np.full_like(demos.next_states, -1)
    rest = 0 if horizon is None else horizon - demos.longest
    upright = (
        np.pad(x, ((0, 0), (0, rest)), constant_values=-1).T for x in (demos.states, demos.actions, known)
    )
    return Evidence(decisions, surprise), Paths(*upright), luck


def _refuse_start(model: Model, begin: np.ndarray) -> None:
    """Say why the problem cannot be solved at the starting weights."""
    try:
        mdp = model.mdp.with_reward(np.asarray(model.reward(begin)))
        temperature, discount = float(model.temperature), float(model.discount)
        solve(mdp, temperature=temperature, discount=discount, horizon=model.horizon)
    except InfeasibleError as error:
        raise InfeasibleError(
            f"at the starting weights {error} Give other starting weights (start=...)."
        ) from error
    raise InfeasibleError(
        "the log-likelihood of the demonstrations is not finite at the starting weights; give others."
    )


def _warn_search(best: Maximum, blind: np.ndarray, fisher: np.ndarray, scale: np.ndarray) -> list[str]:
    warnings = [] if best.converged else [best.verdict]
    if len(null_directions(fisher, scale)) > len(blind):
        warnings.append(
            "some decisions are explained so perfectly that the best weights are infinite (separation): "
            "the search stopped where the likelihood no longer rises, and neither these weights nor their "
            "standard errors mean anything."
        )
    return warnings


def _warn_demonstrations(
    demos: Trajectories, log_policy: np.ndarray, luck: np.ndarray, clusters: np.ndarray, count: int
) -> list[str]:
    warnings = []
    found = int(clusters.max()) + 1
    if found <= count:
        warnings.append(
            "outer-product and sandwich standard errors need more clusters than weights; "
            f"there are {found} and {count}."
        )
    copies = explain_copies(demos, log_policy, luck)
    return warnings + ([copies] if copies else [])


def _setting_in_words(temperature, discount, horizon: int | None) -> str:
    if horizon is not None:
        rest = "" if float(discount) == 1 else f", discount {float(discount):g}"
        return f"horizon {horizon}{rest}, temperature {float(temperature):g}"
    kind = "first exit" if float(discount) == 1 else f"discount {float(discount):g}"
    return f"{kind}, temperature {float(temperature):g}"
