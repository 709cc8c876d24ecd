"""How the likelihood of decisions moves with a linear reward: value, gradient, information, scores; exactly.

Write f for the features and V for the soft value, temperature * log sum_a rho exp(Q / temperature). Then

    G(s)   = dV/dw         = sum_a pi(a|s) (f(s,a) + discount E[G(s')])             features ahead
    z(s,a) = d log pi / dw = (f(s,a) + discount E[G(s')] - G(s)) / temperature      score of a decision

A sum of log pi over recorded decisions is (decisions . (r + temperature log rho) - nu . V) / temperature,
where nu = visits - discount * arrivals is where decisions begin without having been led to. Hence, with
lambda the visits that the model expects when it starts from nu,

    d / d reward  = (decisions - lambda pi) / temperature           demonstrations minus expectations
    - d2 / dw dw  = sum_s lambda(s) sum_a pi(a|s) z z'              information

If arrivals are those the model expects after the recorded decisions, this is the conditional likelihood; if
they are the ones that were recorded, it is the matching of moments. The two differ by `surprise`, recorded
minus expected arrivals, which is zero in a deterministic world and zero on average in any.

Ziebart (2010), theorem 6.4 and algorithm 9.3, for the gradient; the information follows from the same flow.
The values V are a fixed point, so all derivatives here are those of the implicit function theorem: one linear
solve each.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer

from maxentrl.core.types import Array
from maxentrl.infer import backup as one
from maxentrl.infer.linear import resolvent
from maxentrl.infer.policy import policy_chain
from maxentrl.infer.solution import Solution, solve
from maxentrl.models.tabular import TabularMDP

TOLERANCE = 1e-9
"""Asked of the values, in units of reward: they are inside a likelihood that is compared with its
neighbours."""


class Model(eqx.Module):
    """A reward offset + features . weights in a world.

    features: [A, S, K], zero where they do not matter. offset: [S, A].
    """

    mdp: TabularMDP
    features: Float[Array, "A S K"]
    offset: Float[Array, "S A"]
    temperature: jax.Array
    discount: jax.Array
    horizon: int | None = eqx.field(static=True)

    def reward(self, weights) -> jax.Array:
        """[S, A]."""
        features = jnp.asarray(self.features)
        return jnp.asarray(self.offset) + jnp.einsum("ask,k->sa", features, weights)

    def solve(self, weights) -> Solution:
        """The plan under these weights."""
        mdp = self.mdp.with_reward(self.reward(weights))
        return solve(
            mdp,
            temperature=self.temperature,
            discount=self.discount,
            horizon=self.horizon,
            tolerance=TOLERANCE,
        )


class Evidence(NamedTuple):
    """What was seen. decisions: [A, S] or [T, A, S] weighted counts; surprise: [S] or [T, S], recorded minus
    expected arrivals after them."""

    decisions: Float[Array, "*T A S"]
    surprise: Float[Array, "*T S"]


class Paths(NamedTuple):
    """Steps one by one, time first, -1 where there is none. next_states is -1 wherever its surprise shall not
    count."""

    states: Integer[Array, "T N"]
    actions: Integer[Array, "T N"]
    next_states: Integer[Array, "T N"]


class Plan(NamedTuple):
    """What the derivatives need: v [*times, S] and log_policy [*T, A, S]."""

    v: Float[Array, "*times S"]
    log_policy: Float[Array, "*T A S"]


class Derivatives(NamedTuple):
    """gradient [K]; information [K, K]: minus the second derivative; fisher [K, K]: what the visited states
    could tell, sum_s visits(s) sum_a pi z z'; scores [N, K] of single paths, where asked for."""

    gradient: Float[Array, " K"]
    information: Float[Array, "K K"]
    fisher: Float[Array, "K K"]
    scores: Float[Array, "N K"] | None


@eqx.filter_jit
def objective(model: Model, evidence: Evidence, weights) -> tuple[jax.Array, Plan]:
    """The weighted log-likelihood, plus discount * surprise . V / temperature; -inf where no finite value
    exists."""
    plan = model.solve(weights)
    v, log_pi = jnp.asarray(plan.v), jnp.asarray(plan.log_policy).swapaxes(-1, -2)
    decisions = jnp.asarray(evidence.decisions)
    seen = jnp.sum(jnp.where(decisions > 0, decisions * log_pi, 0.0))
    v_next = v if model.horizon is None else v[1:]
    total = seen + model.discount * jnp.sum(evidence.surprise * v_next) / model.temperature
    good = jnp.isfinite(plan.error_bound) & jnp.isfinite(total)
    return jnp.where(good, total, -jnp.inf), Plan(v, log_pi)


@eqx.filter_jit
def derivatives(model: Model, evidence: Evidence, plan: Plan, paths: Paths | None = None) -> Derivatives:
    """Gradient, information and scores of `objective` at the plan it returned."""
    work = _stationary if model.horizon is None else _finite
    return work(model, evidence, plan, paths)


@eqx.filter_jit
def expected_arrivals(mdp: TabularMDP, decisions) -> jax.Array:
    """Where decisions [A, S] or [T, A, S] lead on average: [S] or [T, S]."""
    flat = jnp.asarray(decisions).reshape(-1, mdp.actions, mdp.states)
    arrivals = jax.lax.map(lambda mass: one.push(mdp.transition, mass), flat)
    return arrivals.reshape(*decisions.shape[:-2], mdp.states)


def expected_flow(model: Model, evidence: Evidence, plan: Plan) -> jax.Array:
    """lambda pi, [A, S] or [T, A, S]: the decisions that the model expects, begun where the recorded ones
    began."""
    mdp, decisions = model.mdp, jnp.asarray(evidence.decisions)
    policy = jnp.where(mdp.terminal, 0.0, jnp.exp(plan.log_policy))
    if model.horizon is None:
        arrivals = one.push(mdp.transition, decisions) + evidence.surprise
        begun = decisions.sum(0) - model.discount * arrivals
        chain = policy_chain(mdp, plan.log_policy, model.discount)
        return resolvent(chain, begun, transpose=True) * policy

    def step(carried, inputs):
        decided, surprise, pi = inputs
        flow = (decided.sum(0) + carried) * pi
        # What the model sends on in place of the recorded decisions; the surprise was never sent.
        return model.discount * (one.push(mdp.transition, flow - decided) - surprise), flow

    start = jnp.zeros(mdp.states, decisions.dtype)
    return jax.lax.scan(step, start, (decisions, jnp.asarray(evidence.surprise), policy))[1]


def _stationary(model: Model, evidence: Evidence, plan: Plan, paths: Paths | None) -> Derivatives:
    mdp, decisions = model.mdp, jnp.asarray(evidence.decisions)
    chain = policy_chain(mdp, plan.log_policy, model.discount)
    policy = jnp.where(mdp.terminal, 0.0, jnp.exp(plan.log_policy))
    source = jnp.einsum("as,ask->sk", policy, model.features)
    ahead = jax.vmap(lambda b: resolvent(chain, b), 1, 1)(source)
    score, expected = _score(model, ahead, ahead)
    flow = expected_flow(model, evidence, plan)
    scores = None
    if paths is not None:
        start = jnp.zeros((paths.states.shape[1], ahead.shape[1]), ahead.dtype)

        def step(total, at):
            return total + _path_scores(model, score, expected, ahead, at), None

        scores = jax.lax.scan(step, start, paths)[0]
    return Derivatives(
        gradient=jnp.einsum("as,ask->k", decisions - flow, model.features) / model.temperature,
        information=_outer(flow, score),
        fisher=_outer(decisions.sum(0) * policy, score),
        scores=scores,
    )


def _finite(model: Model, evidence: Evidence, plan: Plan, paths: Paths | None) -> Derivatives:
    decisions = jnp.asarray(evidence.decisions)
    flow = expected_flow(model, evidence, plan)
    count = model.features.shape[2]
    dtype = model.features.dtype

    def step(carried, inputs):
        ahead_next, information, fisher, scores = carried
        decided, flowing, log_pi, at = inputs
        policy = jnp.where(model.mdp.terminal, 0.0, jnp.exp(log_pi))
        ahead = jnp.einsum("as,ask->sk", policy, _ahead(model, ahead_next))
        score, expected = _score(model, ahead, ahead_next)
        information = information + _outer(flowing, score)
        fisher = fisher + _outer(decided.sum(0) * policy, score)
        if at is not None:
            scores = scores + _path_scores(model, score, expected, ahead_next, at)
        return (ahead, information, fisher, scores), None

    square = jnp.zeros((count, count), dtype)
    scores = None if paths is None else jnp.zeros((paths.states.shape[1], count), dtype)
    start = (jnp.zeros((model.mdp.states, count), dtype), square, square, scores)
    inputs = (decisions, flow, plan.log_policy, paths)
    (_, information, fisher, scores), _ = jax.lax.scan(step, start, inputs, reverse=True)
    gradient = jnp.einsum("tas,ask->k", decisions - flow, model.features) / model.temperature
    return Derivatives(gradient, information, fisher, scores)


def _ahead(model: Model, ahead_next) -> jax.Array:
    """f + discount E[G(s')] as [A, S, K]."""
    expectation = jax.vmap(lambda g: one.expectation(model.mdp.transition, g), 1, 2)(ahead_next)
    return jnp.asarray(model.features) + model.discount * expectation


def _score(model: Model, ahead, ahead_next) -> tuple[jax.Array, jax.Array]:
    """z [A, S, K], and discount E[G(s')] / temperature [A, S, K]."""
    both = _ahead(model, ahead_next)
    return (both - ahead) / model.temperature, (both - model.features) / model.temperature


def _path_scores(model: Model, score, expected, ahead_next, at: Paths) -> jax.Array:
    """[N, K]: the scores of one step of each path, with the surprise of where it led."""
    here = jnp.where((at.states >= 0)[:, None], score[at.actions, at.states], 0.0)
    reached = model.discount * ahead_next[at.next_states] / model.temperature
    luck = reached - expected[at.actions, at.states]
    return here + jnp.where((at.next_states >= 0)[:, None], luck, 0.0)


def _outer(weight, score) -> jax.Array:
    """sum over actions and states of weight z z', [K, K]."""
    flat = score.reshape(-1, score.shape[-1])
    return flat.T @ (weight.reshape(-1, 1) * flat)
