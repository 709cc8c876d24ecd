"""One sweep of the value alone over successor lists, under the given dynamics, leaving no table of Q behind.

    V(s) = lme over rho(.|s) of r(s, .) + discount sum_k p_k V(s'_k)

It says nothing that `backup` does not say, only faster, and it borrows its derivative from there. What
decides the speed on a CPU (benchmarks/results/backup.txt has the figures):

- All successors of one action are summed in one pass over states, successors unrolled: XLA then reads every
  array front to back and leaves out all temporary tables.
- Where neighbouring states have neighbouring successors, or V is small, all actions go through one single
  pass: each array is read once and nothing but V is written. Elsewhere so many streams and scattered reads
  of V push each other out of the caches: one pass per action, each summed to its score, reward
  included, and a last pass over these.
- Indices are written successor[a, k], never successor[a][k]: XLA copies the inner list before it is read.
- The maximum over actions and the sum of exponentials below it run together: of each two, the higher is never
  exponentiated, which leaves one exponential fewer than there are actions. Written otherwise (two sums to choose from,
  or `minimum` and `maximum`), XLA computes every score several times.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from maxentrl.core.soft import Kind
from maxentrl.models.arrivals import take

UNROLL = 16
"""Successors, or actions, up to this number are written out; more are a loop, which keeps programs small."""

FUSED = 64
"""The most entries of one state (actions times successors) for which all actions are fused into one pass."""

SMALL = 1 << 17
"""Bytes of V up to which scattered reads of it are cheap: well inside a core's own cache."""


def taken(v, index):
    """`take`, to be differentiated: with its transpose made here and now.

    A gradient is transposed when the float64 scope in which it was traced has been left, and JAX transposes its own
    gather into the format that is then in force. Of a linear system it is told how to solve the transpose: for the
    matrix G of the gather, the inverse of [[1, 0], [-G, 1]] is [[1, 0], [G, 1]].
    """
    states, flat = v.shape[0], index.reshape(-1)

    def scatter(y):
        return (
            jnp.zeros(states, y.dtype).at[flat].add(y, mode="promise_in_bounds", wrap_negative_indices=False)
        )

    both = lax.custom_linear_solve(
        lambda z: jnp.concatenate([z[:states], z[states:] - take(z[:states], flat)]),
        jnp.concatenate([v, jnp.zeros(flat.shape, v.dtype)]),
        solve=lambda _, z: jnp.concatenate([z[:states], z[states:] + take(z[:states], flat)]),
        transpose_solve=lambda _, z: jnp.concatenate([z[:states] + scatter(z[states:]), z[states:]]),
    )
    return both[states:].reshape(index.shape)


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


def _apart(function, actions: int, probability, v):
    """function(a) [S] of every action a, each in a pass of its own."""
    if actions > UNROLL:
        return lax.map(function, jnp.arange(actions, dtype=jnp.int32))
    # The branch is always taken, as no probability is negative. It keeps apart the passes that XLA would fuse, and
    # leaves each to all cores, which a loop that fills a table does not.
    return [lax.cond(probability[0, 0, 0] >= 0.0, lambda a=a: function(a), lambda: v) for a in range(actions)]


class Payoff(NamedTuple):
    """What an action pays at once, with what its prior adds: the same in every sweep, so made once for many.

    pay: the A actions one after the other, [S] each: reward + temperature * log_prior; the reward alone for the
        maximum (far below all others where forbidden) and the mean. One table [A, S] when there are many actions.
    weight: for the mean, rho in the same form.
    """

    pay: tuple[jax.Array, ...] | jax.Array
    weight: tuple[jax.Array, ...] | jax.Array | None


def payoff(reward, log_prior, temperature, kind: Kind) -> Payoff:
    """From reward and log_prior [S, A], and the temperature of the actions, which only "soft" looks at."""
    largest = jnp.finfo(log_prior.dtype).max

    def pay(a):
        if kind == "max":
            return jnp.where(log_prior[:, a] > -jnp.inf, reward[:, a], -largest / 2)
        if kind == "mean":
            return reward[:, a]
        return reward[:, a] + temperature * jnp.maximum(log_prior[:, a], _never(log_prior.dtype))

    def each(make):
        actions = reward.shape[1]
        if actions <= UNROLL:
            return tuple(make(a) for a in range(actions))
        return lax.map(make, jnp.arange(actions, dtype=jnp.int32))

    if kind != "mean":
        return Payoff(each(pay), None)
    return Payoff(each(pay), each(lambda a: jnp.exp(jnp.maximum(log_prior[:, a], -largest))))


def value(successor, probability, payoff: Payoff, v, temperature, discount, *, kind: Kind, local: bool):
    """The new V [S]; -inf where every action is forbidden.

    Args:
        successor, probability: [A, K, S], as in `Sparse`.
        payoff: of this kind and temperature.
        v: [S], finite.
        temperature: of the actions, a number in (0, inf); not looked at unless `kind` is "soft".
        discount: in [0, 1].
        kind: which limit the temperature is in.
        local: whether neighbouring states have neighbouring successors, as `Sparse.local`.
    """
    actions, count, states = probability.shape

    def score(a):
        return payoff.pay[a] + discount * expect(successor, probability, v, a)

    short = actions <= UNROLL and actions * count <= FUSED
    if short and (local or states * v.dtype.itemsize <= SMALL):
        scores = [score(a) for a in range(actions)]
    else:
        scores = _apart(score, actions, probability, v)
    return _over_actions(scores, payoff.weight, temperature, kind, actions, v.dtype)


def _over_actions(scores, weight, temperature, kind: Kind, actions: int, dtype):
    """lme over actions [S], from their scores.

    Right, and smooth, in every branch, ties included: when JAX differentiates a scan twice it may look past a custom
    derivative, and then it differentiates this.
    """
    if kind == "mean":
        return accumulate(
            lambda a, sum_so_far: sum_so_far + weight[a] * scores[a], 1, actions, weight[0] * scores[0]
        )
    if kind == "max":
        top = accumulate(lambda a, best: jnp.maximum(best, scores[a]), 1, actions, scores[0])
        return jnp.where(top <= -jnp.finfo(dtype).max / 4, -jnp.inf, top)

    def add(a, so_far):
        """The next action joins the highest score and the sum of exp((score - highest) / temperature)."""
        (top, total), score = so_far, scores[a]
        below = top >= score
        high, low = jnp.where(below, top, score), jnp.where(below, score, top)
        shrunk = jnp.exp(-jnp.where(high == -jnp.inf, 0, high - low) / temperature)
        return high, jnp.where(below, total, 1) + jnp.where(below, 1, total) * shrunk

    top, total = accumulate(add, 1, actions, (scores[0], jnp.ones_like(scores[0])))
    new = top + temperature * jnp.log(total)
    return jnp.where(new <= temperature * _never(dtype) / 2, -jnp.inf, new)


def _never(dtype):
    """A log-weight far below any that matters, and far enough from the end of the format to be divided."""
    return -(jnp.finfo(dtype).max ** 0.75)
