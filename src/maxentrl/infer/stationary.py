"""The stationary fixed point V = backup(V), certified, and differentiable by the implicit function theorem.

The backup T is monotone and convex. Newton's method on V = T(V) is soft policy iteration: from any start its iterates
rise towards V* and stay below it. The answer is never trusted because a solver stopped: it is bounded by two numbers
that one or two further backups prove.

- discount < 1, given dynamics: T(V + c) = T(V) + discount c, so with d = T(V) - V and f = discount / (1 - discount)
  T(V) + f min(d, 0) <= V* <= T(V) + f max(d, 0)   (MacQueen 1966; the zeros stand for terminal states).
- otherwise: if T(U) <= U and T(L) >= L with L <= U, a fixed point lies between. U and L are V +- c phi, where phi is
  the expected remaining life under the tilted chain, and both inequalities are checked by computing T.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Integer

from maxentrl.core.soft import temperature_kind
from maxentrl.core.types import Array, Scalar, Temperatures
from maxentrl.infer import backup as one
from maxentrl.infer.linear import chain, policy_chain, resolvent, solve_chain
from maxentrl.infer.modified_policy_iteration import Neighbour, modified_policy_iteration
from maxentrl.infer.shared_successors import SharedSuccessors
from maxentrl.models.tabular import TabularMDP
from maxentrl.models.transition import Sparse

PLAIN = 4
"""Plain backups offered as the alternative to each Newton step."""

STALLS = 40
"""Consecutive steps that fail to halve the residual before the search gives up."""

ENCLOSURES = 40
"""Doublings of the enclosure before the answer is declared unproven."""

LIFTS = 10_000
"""Backups spent on raising an upper bound along tied actions."""


class FixedPoint(NamedTuple):
    """v [S]; error_bound []: proven bound on max |v - V*|, inf when nothing could be proven; sweeps []: backups done;
    converged []: whether the bound reached the tolerance."""

    v: Float[Array, "S"]
    error_bound: Float[Array, ""]
    sweeps: Integer[Array, ""]
    converged: Bool[Array, ""]


class Problem(NamedTuple):
    """All that the fixed point depends on, and is differentiated by."""

    mdp: TabularMDP
    temperatures: Temperatures
    discount: Scalar


def fixed_point(
    problem: Problem,
    *,
    tolerance: float | jax.Array,
    max_sweeps: int | jax.Array,
    discounted: bool,
    shared: SharedSuccessors | None = None,
) -> FixedPoint:
    """V* of a stationary problem with its certificate; gradients by the implicit function theorem, to any order.

    `discounted` says that the discount is known to be below 1. Successor lists under given dynamics then go to
    `modified_policy_iteration`, anything else to Newton's method.
    """
    own = problem._replace(discount=jnp.asarray(problem.discount, problem.mdp.dtype))
    if discounted and takes_iteration(problem.mdp, problem.temperatures):
        answer = _iterate(_held(problem), tolerance, max_sweeps, shared)
    else:
        answer = _newton(_held(own), tolerance, max_sweeps)
    return answer._replace(v=implicit(own, answer.v))


def _held(problem: Problem) -> Problem:
    """The same as a constant to differentiation."""
    return jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_array(leaf) else leaf, problem)


def takes_iteration(mdp: TabularMDP, temperatures: Temperatures) -> bool:
    """Whether `modified_policy_iteration` knows this kind of problem: successor lists, given dynamics."""
    return isinstance(mdp.transition, Sparse) and temperature_kind(temperatures.state) == "mean"


def _iterate(
    problem: Problem,
    tolerance: float | jax.Array,
    max_sweeps: int | jax.Array,
    shared: SharedSuccessors | None,
) -> FixedPoint:
    """Modified policy iteration, in float64 whatever the format of the problem."""
    mdp, temperatures, discount = problem
    kind = temperature_kind(temperatures.action)

    # A batch is solved one problem after the other, each in its own number of sweeps, which on a CPU is fastest, and
    # from its neighbour's values if they fit. The rule looks at arguments alone: nothing traced may be closed over.
    @jax.custom_batching.custom_vmap
    def run(start, *arguments):
        mdp, discount, temperature, shared, *limits = arguments
        return modified_policy_iteration(mdp, discount, temperature, start, *limits, kind=kind, shared=shared)

    @run.def_vmap
    def in_turn(size, batched, start, *arguments):
        own, common = eqx.partition(list(arguments), list(batched[1:]))

        def following(neighbour, mine):
            problem, *rest = eqx.combine(mine, common)
            outcome = run(neighbour, problem, *rest)
            return Neighbour(outcome.v, problem.reward), outcome

        begin = jax.tree.map(lambda x, many: x[0] if many else x, start, batched[0])
        if start is None:
            begin = Neighbour(jnp.zeros(mdp.states), jnp.full(mdp.reward.shape, jnp.inf))
        outcomes = jax.lax.scan(following, begin, own, length=size)[1]
        return outcomes, jax.tree.map(lambda _: True, outcomes)

    alpha = temperatures.action if kind == "soft" else 1.0
    numbers = jnp.asarray(discount, float), jnp.asarray(alpha, float)
    limits = jnp.asarray(tolerance, float), jnp.asarray(max_sweeps)
    arrays, shared = jax.tree.map(jnp.asarray, (mdp.bare(), shared))
    found = run(None, arrays, *numbers, shared, *limits)
    v = found.v.astype(mdp.dtype)
    bound = found.error_bound + jnp.max(jnp.abs(v.astype(float) - found.v))
    return FixedPoint(v, bound.astype(mdp.dtype), found.sweeps, bound <= tolerance)


@eqx.filter_custom_jvp
def implicit(problem: Problem, v):
    """`v` itself, with the derivative that a fixed point v = backup(v) has: dv = (I - dT/dv)^{-1} dT.

    The derivative calls this function again, so that it can itself be differentiated.
    """
    return v


@implicit.def_jvp
def _(primals, tangents):
    problem, v = primals
    v = implicit(problem, v)

    def once(problem: Problem):
        return one.backup(problem.mdp, v, problem.temperatures, problem.discount)[1]

    _, pushed = eqx.filter_jvp(once, (problem,), (tangents[0],))
    if pushed is None:
        return v, jnp.zeros_like(v)
    m = chain(problem.mdp, v, problem.temperatures, problem.discount)
    return v, resolvent(m, pushed, refuse=False)


def _newton(problem: Problem, tolerance: float | jax.Array, max_sweeps: int | jax.Array) -> FixedPoint:
    """Newton's method; a step that does not help is replaced by plain backups. Runs down to rounding."""
    mdp, temperatures, discount = problem
    rounding = rounding_of(problem)

    live = jnp.where(mdp.terminal, 0.0, jnp.ones(mdp.states, mdp.dtype))

    # Linear systems and backups take longest to compile, so each is written once: the round after the last step solves
    # the same system for the remaining life, which the certificate needs. `backed` is the backup of v.
    def step(state):
        reached, _, _ = state
        v, backed, residual, sweeps, stalls = reached
        searching = (residual > rounding(v)) & (sweeps < max_sweeps) & (stalls < STALLS)
        wanted = jnp.where(searching, backed - v, live)
        solved = solve_chain(chain(mdp, v, temperatures, discount), wanted)
        swept = jax.lax.fori_loop(1, PLAIN, lambda _, u: _backup(problem, u), backed)
        both = jnp.stack([v + solved, swept])
        backed_both = _backups(problem, both)
        gap_tried, gap_swept = jnp.max(jnp.abs(backed_both - both), 1)
        # An exact Newton iterate from any start satisfies T(v) >= v, though its residual may grow at first.
        rises = jnp.all(backed_both[0] >= both[0] - rounding(both[0])) & (jnp.mean(solved) > 0)
        take = jnp.isfinite(gap_tried) & ((gap_tried < gap_swept) | rises)
        residual_new = jnp.where(take, gap_tried, gap_swept)
        stalls = jnp.where(residual_new < 0.5 * residual, 0, stalls + 1)
        new = jnp.where(take, *both), jnp.where(take, *backed_both), residual_new, sweeps + PLAIN + 1, stalls
        return jax.tree.map(lambda x, y: jnp.where(searching, x, y), new, reached), solved, searching

    start = _prior_value(problem)
    backed = _backup(problem, start)
    begin = start, backed, jnp.max(jnp.abs(backed - start)), jnp.asarray(1), jnp.asarray(0)
    (v, backed, _, sweeps, _), life, _ = jax.lax.while_loop(
        lambda state: state[2], step, (begin, live, jnp.asarray(True))
    )
    v, bound = certify(problem, v, backed, life)
    return FixedPoint(v, bound, sweeps, bound <= tolerance)


def certify(problem: Problem, v, backed, life) -> tuple[Array, Array]:
    """A proven enclosure of V* around the guess v: the best midpoint [S] and max |midpoint - V*|, inf if unproven.

    Args:
        v, backed: [S], the guess and its backup. life: [S], the expected remaining life under the tilted chain at v.
    """
    enclosed, bound = _enclosure(problem, v, backed, life)
    if temperature_kind(problem.temperatures.state) != "mean":
        return enclosed, bound
    centred, span_bound = _span(problem, v, backed)
    return jnp.where(span_bound <= bound, centred, enclosed), jnp.minimum(span_bound, bound)


def _span(problem: Problem, v, w):
    """The bounds of MacQueen from v and its backup w, for given dynamics and discount < 1."""
    mdp, _, discount = problem
    change = jnp.where(mdp.terminal, 0.0, w - v)
    low, high = jnp.min(change), jnp.max(change)
    left = jnp.maximum(1.0 - discount, jnp.finfo(w.dtype).tiny)
    factor = discount / left
    centred = jnp.where(mdp.terminal, 0.0, w + factor * (low + high) / 2)
    bound = factor * (high - low) / 2 + rounding_of(problem)(centred) / left
    return centred, jnp.where((discount < 1) & jnp.isfinite(bound), bound, jnp.inf)


def _enclosure(problem: Problem, v, backed, phi):
    """Grow v +- c phi until one backup proves both; phi is the expected remaining life under the tilted chain."""
    mdp, temperatures, _ = problem
    live = jnp.where(mdp.terminal, 0.0, jnp.ones_like(v))
    sane = jnp.all(jnp.isfinite(v) & jnp.isfinite(phi) & (phi >= 0.5 * live))
    phi = jnp.where(sane, phi, live)
    rounding = rounding_of(problem)
    first = 2.0 * (jnp.max(jnp.abs(backed - v)) + rounding(v))
    first = jnp.where(jnp.isfinite(first), first, 1.0)

    def proven(high, low):
        over, under = _backups(problem, jnp.stack([high, low]))
        falls, rises = over + rounding(high) <= high, under - rounding(low) >= low
        return jnp.all((falls & rises) | mdp.terminal)

    # The loop begins one doubling early and tests in its body, so that the test is compiled once.
    c, found, _ = jax.lax.while_loop(
        lambda state: ~state[1] & (state[2] <= ENCLOSURES),
        lambda state: (2 * state[0], proven(v + 2 * state[0] * phi, v - 2 * state[0] * phi), state[2] + 1),
        (first / 2, jnp.asarray(False), jnp.asarray(0)),
    )
    bound = jnp.where(sane & found, c * jnp.max(phi), jnp.inf)
    if "max" in map(temperature_kind, temperatures):
        # An action that ties with the best may lead a longer way, on which phi is too small: raise it there.
        high = _raise(problem, v + first * phi)
        enclosed = sane & proven(high, v - first * phi)
        width = jnp.maximum(jnp.max(high - v), first * jnp.max(phi))
        bound = jnp.where(jnp.isinf(bound) & enclosed, width, bound)
    return v, bound


def _raise(problem: Problem, high):
    """Lift an upper guess to what one backup of it asks for, until it asks for no more."""

    rounding = rounding_of(problem)

    def lift(state):
        high, count = state
        asked = _backup(problem, high) + 2.0 * rounding(high)
        return jnp.where(problem.mdp.terminal, high, jnp.maximum(high, asked)), count + 1

    def unproven(state):
        high, count = state
        proven = (_backup(problem, high) + rounding(high) <= high) | problem.mdp.terminal
        return ~jnp.all(proven) & (count < LIFTS)

    return jax.lax.while_loop(unproven, lift, (high, jnp.asarray(0)))[0]


def _backup(problem: Problem, v):
    return one.backup(problem.mdp, v, problem.temperatures, problem.discount)[1]


def _backups(problem: Problem, messages):
    """The backup of each of some messages [n, S], one after the other."""
    return jax.lax.map(lambda v: _backup(problem, v), messages)


def rounding_of(problem: Problem) -> Callable[[Array], Array]:
    """A bound on the rounding error of one backup at v, as a function of v: a few units in the last place of what is
    summed."""
    largest = 1.0 + jnp.max(jnp.abs(problem.mdp.reward))
    # temperature * log(sum) loses temperature * eps, however small the value.
    for temperature in problem.temperatures:
        if temperature_kind(temperature) == "soft":
            largest += jnp.asarray(temperature)
    return lambda v: 16 * jnp.finfo(v.dtype).eps * (largest + jnp.max(jnp.abs(v)))


def _prior_value(problem: Problem):
    """The value of the prior policy under the given dynamics: a start that is proper wherever the problem is."""
    mdp, _, discount = problem
    average = Temperatures(jnp.inf, jnp.inf)
    zero = jnp.zeros(mdp.states, mdp.dtype)
    log_prior = jax.nn.log_softmax(jnp.where(mdp.terminal[:, None], 0.0, mdp.log_prior), axis=1)
    gain = one.backup(mdp.with_prior(log_prior), zero, average, discount)[1]
    value = solve_chain(policy_chain(mdp, log_prior.T, discount), gain)
    return jnp.where(jnp.all(jnp.isfinite(value)), value, zero)
