"""One sweep of the value alone over successor lists, under the given dynamics, leaving no table of Q behind.

    V(s) = lme over rho(.|s) of r(s, .) + discount sum_k p_k V(s'_k)

It says nothing that `backup` does not say, only faster, and it borrows its derivative from there. What
decides the speed on a CPU (benchmarks/results/backup.txt has the figures):

- All successors of one action are summed in one pass over states, successors unrolled: XLA then reads every
  array front to back and leaves out all temporary tables.
- Where neighbouring states have neighbouring successors, or V is small, all actions go through one single
  pass: each array is read once and nothing but V is written. Elsewhere so many streams and scattered reads
  of V push each other out of the caches: one pass per action, each summed to its look-ahead, and a last
  pass over these.
- Indices are written successor[a, k], never successor[a][k]: XLA copies the inner list before it is read.
- The maximum over actions comes first, then one exponential for each. A running maximum and sum saves one of
  them, but XLA then computes every look-ahead several times.
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


def expect(successor, probability, v, action):
    """sum_k p_k V(s'_k) [S] for one action; successor and probability are [A, K, S]."""

    def add(k, total):
        return total + probability[action, k] * take(v, successor[action, k])

    return accumulate(add, 1, probability.shape[1], probability[action, 0] * take(v, successor[action, 0]))


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
        ahead = [expect(successor, probability, v, a) for a in range(actions)]
    else:
        each = jnp.arange(actions, dtype=jnp.int32)
        ahead = lax.map(lambda a: expect(successor, probability, v, a), each)

    def q(a):
        return reward[:, a] + discount * ahead[a]

    return _over_actions(q, log_prior, temperature, kind, actions)


def _over_actions(q, log_prior, temperature, kind: Kind, actions: int):
    """lme over actions of q(a) [S].

    Right, and smooth, in every branch: when JAX differentiates a scan twice it may look past a custom
    derivative, and then it differentiates this.
    """
    largest = jnp.finfo(log_prior.dtype).max

    def total(term):
        return accumulate(lambda a, sum_so_far: sum_so_far + term(a), 1, actions, term(0))

    def highest(term):
        return accumulate(lambda a, top: jnp.maximum(top, term(a)), 1, actions, term(0))

    if kind == "mean":
        log_rho = jnp.maximum(log_prior, -largest)
        return total(lambda a: jnp.exp(log_rho[:, a]) * q(a))
    if kind == "max":
        top = highest(lambda a: jnp.where(log_prior[:, a] > -jnp.inf, q(a), -largest))
        return jnp.where(top > -largest, top, -jnp.inf)

    # Far below any log-weight that matters, and far enough from the end of the format to be divided.
    never = -(largest**0.75)

    def score(a):
        return q(a) + temperature * jnp.maximum(log_prior[:, a], never)

    top = lax.stop_gradient(highest(score))
    new = top + temperature * jnp.log(total(lambda a: jnp.exp((score(a) - top) / temperature)))
    return jnp.where(top > temperature * never / 2, new, -jnp.inf)
