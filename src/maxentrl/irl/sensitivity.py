"""How a likelihood of demonstrations moves with a linear reward: value, gradient, information, scores; exactly.

Write f for the features, V for the soft value, and E for the expectation over the next state s', under the
dynamics that the demonstrator is thought to have. Then

    G(s)      = dV/dw = sum_a pi(a|s) (f(s,a) + E[G(s')])      features ahead
    z(s,a,s') = (f(s,a) + G(s') - G(s)) / temperature          score of a decision and of where it led

Every likelihood here is (decisions . (r + temperature log rho) - begun . V) / temperature and a constant, for
recorded counts of decisions, and for `begun`, which says where they begin without having been led to. Hence,
with lambda the visits that the model expects when it starts from `begun`,

    d / d reward  = (decisions - lambda pi) / temperature            demonstrations minus expectations
    - d2 / dw dw  = sum_s lambda(s) sum_(a,s') pi(a|s) p(s'|s,a) z z'        information

Given dynamics (maximum causal entropy): E is discount * E_P, the score of a decision is E[z | s, a], and
begun = visits - discount * arrivals. If arrivals are those that the model expects after the recorded
decisions, this is the conditional likelihood; if they are the ones that were recorded, it is the matching of
moments. The two differ by `surprise`, recorded minus expected arrivals, which is zero in a deterministic world
and zero on average in any.

Posterior dynamics (maximum entropy): E is over the tilted dynamics, and begun counts the starts of trajectories
(minus the places where some were cut off). The information is then the covariance of feature sums under the
posterior.

Ziebart (2010), theorem 6.4 and algorithm 9.3, for the causal gradient; the information follows from the same
flow. Stationary values are a fixed point, so all derivatives here are those of the implicit function theorem:
one linear solve each.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer

from maxentrl.core.types import Array, Dynamics
from maxentrl.infer import backup as one
from maxentrl.infer import sending
from maxentrl.infer.linear import policy_chain, resolvent
from maxentrl.infer.solution import Solution, solve
from maxentrl.models.tabular import TabularMDP
from maxentrl.models.transition import Transition

TOLERANCE = 1e-9
"""Asked of the values, in units of reward: they are inside a likelihood that is compared with its
neighbours."""


class Model(eqx.Module):
    """A reward offset + features . weights in a world.

    features: [A, S, K], zero where they do not matter. offset: [S, A]. dynamics: "given" or "posterior".
    """

    mdp: TabularMDP
    features: Float[Array, "A S K"]
    offset: Float[Array, "S A"]
    temperature: jax.Array
    discount: jax.Array
    horizon: int | None = eqx.field(static=True)
    dynamics: Dynamics = eqx.field(static=True, default="given")

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
            dynamics=self.dynamics,
            tolerance=TOLERANCE,
        )


class Evidence(NamedTuple):
    """What was seen.

    decisions: [A, S] or [T, A, S] weighted counts. begun: [S] or [T, S], where they begin (see above).
    surprise: [S] or [T, S], recorded minus expected arrivals after them; under given dynamics only.
    """

    decisions: Float[Array, "*T A S"]
    begun: Float[Array, "*T S"]
    surprise: Float[Array, "*T S"] | None


ENDED = -2
"""In `Paths`: the process ended by the discount, and was worth nothing from then on."""


class Paths(NamedTuple):
    """Steps one by one, time first, -1 where there is none. next_states is -1 wherever its luck shall not
    count, and `ENDED` where the process ended."""

    states: Integer[Array, "T N"]
    actions: Integer[Array, "T N"]
    next_states: Integer[Array, "T N"]


class Plan(NamedTuple):
    """What the derivatives need: v [*times, S] and log_policy [*T, A, S]."""

    v: Float[Array, "*times S"]
    log_policy: Float[Array, "*T A S"]


class Derivatives(NamedTuple):
    """gradient [K]; information [K, K]: minus the second derivative; fisher [K, K]: what the visited states
    could tell, the information if each had been begun in; ahead [S, K]: features ahead, G, of a stationary future."""

    gradient: Float[Array, " K"]
    information: Float[Array, "K K"]
    fisher: Float[Array, "K K"]
    ahead: Float[Array, "S K"] | None = None


class Moves(NamedTuple):
    """Where actions lead: probabilities `transition`, all times `factor`."""

    transition: Transition
    factor: jax.Array

    def ahead(self, values) -> jax.Array:
        """E[values(s')] of [S, K], as [A, S, K]."""
        return self.factor * jax.vmap(lambda g: one.expectation(self.transition, g), 1, 2)(values)

    def push(self, mass) -> jax.Array:
        """Where a mass [A, S] arrives, [S]."""
        return self.factor * sending.push(self.transition, mass)


def moves(model: Model, v_next) -> Moves:
    """The dynamics that the demonstrator is thought to have, when v_next [S] follows."""
    if model.dynamics == "given":
        return Moves(model.mdp.transition, model.discount)
    tilted = one.tilted_dynamics(model.mdp.transition, v_next, model.temperature, model.discount)
    return Moves(jax.tree.map(_exponential, tilted), jnp.ones_like(model.discount))


def _exponential(leaf):
    """exp of the log-probabilities of a transition; its integers, the successors, stay."""
    return jnp.exp(leaf) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


@eqx.filter_jit
def objective(model: Model, evidence: Evidence, weights) -> tuple[jax.Array, Plan]:
    """The log-likelihood up to a constant (and with matched moments, what stands for it); -inf where no finite
    value exists."""
    plan = model.solve(weights)
    v, log_pi = jnp.asarray(plan.v), jnp.asarray(plan.log_policy).swapaxes(-1, -2)
    decisions = jnp.asarray(evidence.decisions)
    if model.dynamics == "given":
        # Written with the policy: values would cancel, and with them the digits, at discounts close to 1.
        total = jnp.sum(jnp.where(decisions > 0, decisions * log_pi, 0.0))
        v_next = v if model.horizon is None else v[1:]
        total += model.discount * jnp.sum(jnp.asarray(evidence.surprise) * v_next) / model.temperature
    else:
        gain = model.reward(weights) / model.temperature + model.mdp.log_prior
        v_now = v if model.horizon is None else v[:-1]
        total = jnp.sum(jnp.where(decisions > 0, decisions * gain.T, 0.0))
        total -= jnp.sum(evidence.begun * v_now) / model.temperature
    good = jnp.isfinite(plan.error_bound) & jnp.isfinite(total)
    return jnp.where(good, total, -jnp.inf), Plan(v, log_pi)


@eqx.filter_jit
def derivatives(model: Model, evidence: Evidence, plan: Plan) -> Derivatives:
    """Gradient and information of `objective` at the plan it returned."""
    work = _stationary if model.horizon is None else _finite
    return work(model, evidence, plan)


@eqx.filter_jit
def expected_arrivals(mdp: TabularMDP, decisions) -> jax.Array:
    """Where decisions [A, S] or [T, A, S] lead on average: [S] or [T, S]."""
    flat = jnp.asarray(decisions).reshape(-1, mdp.actions, mdp.states)
    arrivals = jax.lax.map(lambda mass: sending.push(mdp.transition, mass), flat)
    return arrivals.reshape(*decisions.shape[:-2], mdp.states)


def expected_flow(model: Model, evidence: Evidence, plan: Plan) -> jax.Array:
    """lambda pi, [A, S] or [T, A, S]: the decisions that the model expects, begun where the recorded ones
    began."""
    policy = _probability(model, plan.log_policy)
    if model.horizon is None:
        return resolvent(_chain(model, plan), evidence.begun, transpose=True) * policy

    def step(carried, inputs):
        begun, pi, v_next = inputs
        flow = (begun + carried) * pi
        return moves(model, v_next).push(flow), flow

    start = jnp.zeros(model.mdp.states, policy.dtype)
    return jax.lax.scan(step, start, (jnp.asarray(evidence.begun), policy, plan.v[1:]))[1]


def _probability(model: Model, log_policy) -> jax.Array:
    """pi, 0 in terminal states."""
    return jnp.where(model.mdp.terminal, 0.0, jnp.exp(log_policy))


def _chain(model: Model, plan: Plan) -> Transition:
    """The chain of states under the policy, over a stationary future."""
    transition, factor = moves(model, plan.v)
    mdp = eqx.tree_at(lambda m: m.transition, model.mdp, transition)
    return policy_chain(mdp, plan.log_policy, factor)


def _stationary(model: Model, evidence: Evidence, plan: Plan) -> Derivatives:
    decisions, policy = jnp.asarray(evidence.decisions), _probability(model, plan.log_policy)
    ahead = _far_ahead(model, plan)
    expected, score, move = _score(model, plan, ahead)
    flow = expected_flow(model, evidence, plan)
    return Derivatives(
        gradient=jnp.einsum("as,ask->k", decisions - flow, model.features) / model.temperature,
        information=_spread(model, move, flow, score, expected, ahead),
        fisher=_spread(model, move, decisions.sum(0) * policy, score, expected, ahead),
        ahead=ahead,
    )


def _far_ahead(model: Model, plan: Plan) -> jax.Array:
    """G [S, K] of a stationary future."""
    source = jnp.einsum("as,ask->sk", _probability(model, plan.log_policy), model.features)
    chain = _chain(model, plan)
    return jax.vmap(lambda b: resolvent(chain, b), 1, 1)(source)


def _score(model: Model, plan: Plan, ahead):
    """E[G'] and E[z] [A, S, K], and the dynamics, of a stationary future."""
    move = moves(model, plan.v)
    expected = move.ahead(ahead)
    return expected, (model.features + expected - ahead) / model.temperature, move


def _step_ahead(model: Model, ahead_next, log_pi, v_next):
    """The same for the step before: G_t from G_{t+1}."""
    move, policy = moves(model, v_next), _probability(model, log_pi)
    expected = move.ahead(ahead_next)
    ahead = jnp.einsum("as,ask->sk", policy, model.features + expected)
    return ahead, expected, (model.features + expected - ahead) / model.temperature, move


def _finite(model: Model, evidence: Evidence, plan: Plan) -> Derivatives:
    decisions = jnp.asarray(evidence.decisions)
    flow = expected_flow(model, evidence, plan)
    count = model.features.shape[2]

    def step(carried, inputs):
        ahead_next, information, fisher = carried
        decided, flowing, log_pi, v_next = inputs
        ahead, expected, score, move = _step_ahead(model, ahead_next, log_pi, v_next)
        seen = decided.sum(0) * _probability(model, log_pi)
        information += _spread(model, move, flowing, score, expected, ahead_next)
        fisher += _spread(model, move, seen, score, expected, ahead_next)
        return (ahead, information, fisher), None

    square = jnp.zeros((count, count), model.features.dtype)
    start = (jnp.zeros((model.mdp.states, count), square.dtype), square, square)
    inputs = (decisions, flow, plan.log_policy, plan.v[1:])
    (_, information, fisher), _ = jax.lax.scan(step, start, inputs, reverse=True)
    gradient = jnp.einsum("tas,ask->k", decisions - flow, model.features) / model.temperature
    return Derivatives(gradient, information, fisher)


@eqx.filter_jit
def path_scores(model: Model, plan: Plan, paths: Paths, ahead=None) -> jax.Array:
    """[N, K]: the derivative of the log-likelihood of each path; weighted, they sum to the gradient.

    ahead: what `derivatives` found, which spares a linear solve.
    """
    start = jnp.zeros((paths.states.shape[1], model.features.shape[2]), model.features.dtype)
    if model.horizon is None:
        ahead = _far_ahead(model, plan) if ahead is None else ahead
        expected, score, move = _score(model, plan, ahead)

        def repeat(total, at):
            return total + _path_scores(model, score, expected, move.factor * ahead, at), None

        return jax.lax.scan(repeat, start, paths)[0]

    def step(carried, inputs):
        ahead_next, scores = carried
        log_pi, v_next, at = inputs
        ahead, expected, score, move = _step_ahead(model, ahead_next, log_pi, v_next)
        return (ahead, scores + _path_scores(model, score, expected, move.factor * ahead_next, at)), None

    nothing = jnp.zeros((model.mdp.states, start.shape[1]), start.dtype)
    inputs = (plan.log_policy, plan.v[1:], paths)
    return jax.lax.scan(step, (nothing, start), inputs, reverse=True)[0][1]


def _path_scores(model: Model, score, expected, reached, at: Paths) -> jax.Array:
    """[N, K]: the scores of one step of each path, with the luck of where it led: reached [S, K] over expected
    [A, S, K]."""
    here = jnp.where((at.states >= 0)[:, None], score[at.actions, at.states], 0.0)
    found = jnp.where((at.next_states >= 0)[:, None], reached[at.next_states], 0.0)
    luck = (found - expected[at.actions, at.states]) / model.temperature
    return here + jnp.where((at.next_states != -1)[:, None], luck, 0.0)


def _spread(model: Model, move: Moves, weight, score, expected, ahead_next) -> jax.Array:
    """Sum over decisions of weight [A, S] E[z z'], [K, K]. Under given dynamics z does not depend on the next
    state: what a likelihood of decisions scores is E[z | s, a]."""
    decided = _outer(weight, score)
    if model.dynamics == "given":
        return decided
    luck = _outer(move.push(weight), ahead_next) - _outer(weight, expected)
    return decided + luck / model.temperature**2


def _outer(weight, score) -> jax.Array:
    """Sum of weight [...] score score' [..., K], [K, K]."""
    flat = score.reshape(-1, score.shape[-1])
    return flat.T @ (weight.reshape(-1, 1) * flat)
