"""One sweep of the value alone over successor lists, under the given dynamics, leaving no table of Q behind.

    V(s) = lme over rho(.|s) of r(s, .) + discount sum_k p_k V(s'_k)

It says nothing that `backup` does not say, only faster, and it borrows its derivative from there. What
decides the speed on a CPU (benchmarks/results/backup.txt has the figures):

- All successors of one action are summed in one pass over states, successors unrolled: XLA then reads every
  array front to back and leaves out all temporary tables.
- Where neighbouring states have neighbouring successors, or V is small, all actions go through one single
  pass: each array is read once and nothing but V is written. Elsewhere so many streams and scattered reads
  of V push each other out of the caches: one pass per action, each summed to its look-ahead [S], and a last
  pass over these.
  where it is higher and (m, z + e) elsewhere, e = exp(-|x - m|): one exponential for each action after the
  first.
  where it is higher and (m, z + e) elsewhere, e = exp(-|x - m|): one exponential per action but the first.
"""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp
from jax import lax

from maxentrl.core.soft import Kind

UNROLL = 16
"""Successors, or actions, up to this number are written out; more are a loop, which keeps programs small."""

FUSED = 64
"""The most entries of one state (actions times successors) for which all actions are fused into one pass."""

SMALL = 1 << 17
"""Bytes of V up to which scattered reads of it are cheap: well inside a core's own cache."""


def take(v, index):
    """v[index], for indices that were checked when the problem was made."""
    return v.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


def expect(successor, probability, v):
    """sum_k p_k V(s'_k) [...]; successor and probability are [K, ...]."""

    def add(k, total):
        return total + probability[k] * take(v, successor[k])

    return accumulate(add, 1, probability.shape[0], probability[0] * take(v, successor[0]))


def accumulate(body, first: int, last: int, start, unroll: int = UNROLL) -> Any:
    """start folded with body(i, .), i from first to last - 1: written out up to `unroll` terms, or a loop."""
    if last - first <= unroll:
        return functools.reduce(lambda total, i: body(i, total), range(first, last), start)
    return lax.fori_loop(first, last, body, start)


def value(successor, probability, reward, log_prior, v, temperature, discount, *, kind: Kind, local: bool):
    """The new V [S]; -inf where every action is forbidden.

    Args:
        successor, probability: [A, K, S], as in `Sparse`.
        reward, log_prior: [S, A].
        v: [S].
        temperature: of the actions, a number in (0, inf); not looked at unless `kind` is "soft".
        discount: in [0, 1].
        kind: which limit the temperature is in.
        local: whether neighbouring states have neighbouring successors, as `Sparse.local`.
    """
    actions, count, states = probability.shape
    short = actions <= UNROLL and actions * count <= FUSED
    if short and (local or states * v.dtype.itemsize <= SMALL):
        ahead = [expect(successor[a], probability[a], v) for a in range(actions)]
    else:
        ahead = lax.map(
            lambda a: expect(successor[a], probability[a], v), jnp.arange(actions, dtype=jnp.int32)
        )

    def q(a):
        return reward[:, a] + discount * ahead[a]

    return _over_actions(q, log_prior, temperature, kind, actions)


def _over_actions(q, log_prior, temperature, kind: Kind, actions: int):
    """lme over actions of q(a) [S].

    Each `where` below chooses between formulas that are right, and smooth, on both sides: when JAX
    differentiates a scan twice it may look past a custom derivative, and then it differentiates this.
    """
    floor = (
        jnp.finfo(log_prior.dtype).min / 4
    )  # stands for -inf, so that no difference of two infinities occurs
    if kind == "mean":

        def add(a, total):
            weight = jnp.exp(log_prior[:, a])
            return total + jnp.where(weight > 0, weight * q(a), 0.0)

        total = accumulate(add, 0, actions, jnp.zeros_like(q(0)))
        return jnp.where(jnp.any(log_prior > -jnp.inf, axis=1), total, -jnp.inf)

    def score(a):
        allowed = log_prior[:, a] > -jnp.inf
        bonus = 0.0 if kind == "max" else temperature * jnp.where(allowed, log_prior[:, a], 0.0)
        return jnp.where(allowed, q(a) + bonus, floor)

    def widen(a, state):
        x = score(a)
        if kind == "max":
            return jnp.maximum(state, x)
        m, z = state
        higher = x > m
        e = jnp.exp(jnp.where(higher, m - x, x - m) / temperature)
        return jnp.where(higher, x, m), jnp.where(higher, z * e + 1.0, z + e)

    first = score(0)
    if kind == "max":
        top = accumulate(widen, 1, actions, first)
        return jnp.where(top > floor, top, -jnp.inf)
    top, z = accumulate(widen, 1, actions, (first, jnp.ones_like(first)))
    return jnp.where(top > floor, top + temperature * jnp.log(z), -jnp.inf)
