"""Mass sent one step on, the transpose of what a backup expects: as plain numbers (`push`), in logs (`log_push`, `send`)."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from maxentrl.core.soft import lme, safe_log
from maxentrl.infer import sweep
from maxentrl.models.arrivals import Arrivals
from maxentrl.models.transition import Dense, Sparse, Transition


def push(transition: Transition, mass) -> jax.Array:
    """Send mass [A, S] one step on: sum over (s, a) of mass(s, a) P(s'|s,a) [S]; `expectation` transposed."""
    mass = jnp.asarray(mass)
    if isinstance(transition, Dense):
        return jax.lax.dot_general(jnp.asarray(transition.probability), mass, (((0, 1), (1, 0)), ((), ())))
    if transition.arrivals is not None:
        return transition.arrivals.collect(mass)
    actions, count, states = transition.probability.shape
    flat = (actions * count, states)
    successor, probability = (
        jnp.asarray(transition.successor).reshape(flat),
        jnp.asarray(transition.probability).reshape(flat),
    )

    def add(i, arrived):
        # One list at a time: the flow of all lists together would be a table as large as the transitions.
        flow = probability[i] * mass[i // count]
        return arrived.at[successor[i]].add(flow, mode="promise_in_bounds", wrap_negative_indices=False)

    return sweep.accumulate(
        add, 0, actions * count, jnp.zeros(states, jnp.result_type(probability, mass)), unroll=0
    )


def log_push(transition: Transition, log_mass) -> jax.Array:
    """`push` in logs: log sum_(s,a) exp(log_mass) P(s'|s,a), safe at any range; -inf where nothing arrives.

    Where the masses and probabilities span no more than the number format can hold, one `push` of their
    ratios to the largest is exact. Only beyond that does each arriving sum need its own largest term.
    """
    if isinstance(transition, Dense):
        return lme(log_mass.T[:, :, None], safe_log(transition.probability), 1.0, axis=(0, 1))
    log_mass, probability = jnp.asarray(log_mass), jnp.asarray(transition.probability)
    top = jax.lax.stop_gradient(jnp.max(log_mass))
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    # Half of the format's range for the masses, half for the probabilities. XLA is fast at `any`, not `min`.
    half = 0.45 * jnp.log(jnp.finfo(log_mass.dtype).tiny)
    rare = jnp.any((probability > 0) & (probability < jnp.exp(half)))
    held = ~rare & ~jnp.any((log_mass > -jnp.inf) & (log_mass - top < half))

    def together(log_mass):
        possible = log_mass > -jnp.inf
        mass = jnp.where(possible, jnp.exp(jnp.where(possible, log_mass, top) - top), 0.0)
        total = push(transition, mass)
        return jnp.where(total > 0, top + jnp.log(jnp.where(total > 0, total, 1.0)), -jnp.inf)

    return jax.lax.cond(held, together, functools.partial(_log_push_apart, transition), log_mass)


class Sending(NamedTuple):
    """What every step of a forward message has in common: log_weight [A, S], and the same as plain numbers.

    weight: exp(log_weight - top) [A, S]; top []; held: whether weights and probabilities are far from underflow.
    arrivals: with these weights in them, where the transitions have some.
    """

    log_weight: jax.Array
    weight: jax.Array
    top: jax.Array
    held: jax.Array
    arrivals: Arrivals | None


def sending(transition: Transition, log_weight) -> Sending:
    """Prepare `send` for log-weights [A, S]."""
    possible = log_weight > -jnp.inf
    top = jax.lax.stop_gradient(jnp.max(log_weight))
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    weight = jnp.where(possible, jnp.exp(jnp.where(possible, log_weight, top) - top), 0.0)
    probability, third = jnp.asarray(transition.probability), _third(log_weight.dtype)
    rare = jnp.any((probability > 0) & (probability < jnp.exp(third)))
    held = ~rare & ~jnp.any(possible & (log_weight - top < third))
    turned = (
        transition.arrivals.weighted(weight)
        if isinstance(transition, Sparse) and transition.arrivals
        else None
    )
    return Sending(log_weight, weight, top, held, turned)


def send(transition: Transition, log_a, common: Sending) -> jax.Array:
    """log sum_(s,a) exp(log_a(s) + log_weight(s,a)) P(s'|s,a) [S]: `log_push` with one exponential per state."""
    if isinstance(transition, Dense):
        return log_push(transition, log_a + common.log_weight)
    top = jax.lax.stop_gradient(jnp.max(log_a))
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    possible = log_a > -jnp.inf
    held = common.held & ~jnp.any(possible & (log_a - top < _third(log_a.dtype)))

    def together(log_a):
        a = jnp.where(possible, jnp.exp(jnp.where(possible, log_a, top) - top), 0.0)
        total = common.arrivals.collect(a) if common.arrivals else push(transition, a * common.weight)
        return jnp.where(total > 0, top + common.top + jnp.log(jnp.where(total > 0, total, 1.0)), -jnp.inf)

    def apart(log_a):
        return _log_push_apart(transition, log_a + common.log_weight)

    return jax.lax.cond(held, together, apart, log_a)


def _third(dtype):
    """A third of the range of the number format, in nats: for messages, for weights and for probabilities."""
    return 0.3 * jnp.log(jnp.finfo(dtype).tiny)


def _log_push_apart(transition: Sparse, log_mass):
    """`log_push` with each sum shifted by its own largest term."""
    log_flow = log_mass[:, None, :] + safe_log(transition.probability)
    nothing = jnp.full(log_mass.shape[1], -jnp.inf, log_flow.dtype)
    top = jax.lax.stop_gradient(nothing.at[transition.successor].max(log_flow))
    finite = jnp.where(jnp.isfinite(top), top, 0.0)
    total = jnp.zeros_like(top).at[transition.successor].add(jnp.exp(log_flow - finite[transition.successor]))
    return jnp.where(total > 0, finite + jnp.log(jnp.where(total > 0, total, 1.0)), -jnp.inf)
