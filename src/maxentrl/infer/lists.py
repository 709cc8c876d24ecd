"""A problem as plain arrays for the sparse solver: its backup, the policy of that backup, and products with its chain.

Everything is written for XLA on a CPU: one-hot products where a select would not vectorise, indices successor[a, k],
and programs that stay small when there are many actions or successors.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from maxentrl.core.soft import Kind
from maxentrl.infer.shared_successors import SharedSuccessors
from maxentrl.infer.sweep import accumulate, expect
from maxentrl.models.tabular import TabularMDP
from maxentrl.models.transition import Sparse

WRITTEN_OUT = 32
"""Actions times successors up to which a backup is written out; beyond, loops keep the program small."""

WANDERING = 0.5
"""A policy wanders when the squares of its probabilities sum to at most this, on average: more than two actions are
about as likely."""


class Lists(NamedTuple):
    """A problem as plain arrays. successor, probability [A, K, S]; reward [A, S], with what the prior adds, -inf where
    forbidden; live bool [S]; action_weight [A, S] for the mean; shared successors where a mixed policy profits."""

    successor: jax.Array
    probability: jax.Array
    reward: jax.Array
    live: jax.Array
    discount: jax.Array
    temperature: jax.Array
    action_weight: jax.Array | None
    shared: SharedSuccessors | None


def lists(mdp: TabularMDP, discount, temperature, kind: Kind, shared: SharedSuccessors | None) -> Lists:
    """The problem in float64, with the prior in the reward."""
    given: Sparse = mdp.transition  # pyright: ignore[reportAssignmentType]
    probability = jnp.asarray(given.probability, float)
    if given.probability.dtype != probability.dtype:
        # Rows that summed to one in a narrower format do not in float64, on which the bounds stand.
        total = jnp.sum(probability, 1, keepdims=True)
        probability = probability / jnp.where(total > 0, total, 1.0)
    reward, log_prior = (jnp.asarray(x, float).T for x in (mdp.reward, mdp.log_prior))
    discount, temperature = jnp.asarray(discount, float), jnp.asarray(temperature, float)
    allowed = log_prior > -jnp.inf
    action_weight = None
    if kind == "mean":
        action_weight = jnp.exp(log_prior)
        reward = jnp.where(allowed, reward, 0.0)
    else:
        bonus = temperature * jnp.where(allowed, log_prior, 0.0) if kind == "soft" else 0.0
        reward = jnp.where(allowed, reward + bonus, -jnp.inf)
    return Lists(
        successor=jnp.asarray(given.successor),
        probability=probability,
        reward=reward,
        live=~jnp.asarray(mdp.terminal),
        discount=discount,
        temperature=temperature,
        action_weight=action_weight,
        shared=shared,
    )


def rounding(m: Lists, kind: Kind, largest):
    """A bound on the rounding of one backup at values up to `largest`, amplified as the bounds amplify a change."""
    actions, count, _ = m.probability.shape
    rewards = jnp.max(jnp.where(m.live & jnp.isfinite(m.reward), jnp.abs(m.reward), 0.0))
    logs = 4.0 * (actions + 4) * m.temperature if kind == "soft" else 0.0
    unit = jnp.finfo(m.reward.dtype).eps / 2 / (1.0 - m.discount)
    return unit * ((count + actions + 6) * (rewards + largest) + logs)


def changed(policy, before, kind: Kind):
    """How many states [] act differently: another best action, or probabilities moved by more than a tenth."""
    if kind == "max":
        return jnp.sum((policy != before).astype(jnp.int32), dtype=jnp.int32)
    moved = accumulate(
        lambda a, total: total + jnp.abs(policy[a] - before[a]), 0, len(policy), jnp.zeros_like(policy[0])
    )
    return jnp.sum((moved > 0.2).astype(jnp.int32), dtype=jnp.int32)


def wanders(policy, kind: Kind):
    """Whether the typical choice is between more than two actions that are about as likely."""
    if kind == "max":
        return jnp.asarray(False)
    squares = accumulate(lambda a, total: total + policy[a] ** 2, 0, len(policy), jnp.zeros_like(policy[0]))
    return jnp.mean(squares) <= WANDERING


def action_values(m: Lists, v):
    """Q: a list of A arrays [S], or one [A, S] where lists would make too large a program."""

    def value(a):
        return m.reward[a] + m.discount * expect(m.successor, m.probability, v, a)

    actions = len(m.reward)
    if not _written_out(m):
        return lax.map(value, jnp.arange(actions, dtype=jnp.int32))
    # The branch is always taken. Without it XLA splits every gather off its sum, because the sums are read twice.
    return lax.cond(m.discount >= 0.0, lambda: [value(a) for a in range(actions)], lambda: [v] * actions)


def backup(m: Lists, v, kind: Kind):
    """TV [S] and the policy that attains it: action [S] (max), or action probabilities [A, S]."""
    q, actions = action_values(m, v), len(m.reward)
    if m.action_weight is not None:
        weight = m.action_weight
        return jnp.where(
            m.live, accumulate(lambda a, y: y + weight[a] * q[a], 0, actions, jnp.zeros_like(v)), 0.0
        ), weight
    top = accumulate(lambda a, y: jnp.maximum(y, q[a]), 1, actions, q[0])
    if kind == "max":
        # The last best action, as a maximum of products: a select between loaded arrays does not vectorise.
        start = jnp.zeros(v.shape, jnp.int32)
        action = accumulate(
            lambda a, y: jnp.maximum(y, a * (q[a] >= top).astype(jnp.int32)), 1, actions, start
        )
        return jnp.where(m.live, top, 0.0), action
    if _written_out(m):
        e = lax.optimization_barrier([jnp.exp((q[a] - top) / m.temperature) for a in range(actions)])
    else:
        e = jnp.exp((q - top) / m.temperature)
    total = accumulate(lambda a, y: y + e[a], 1, actions, e[0])
    policy = jnp.stack([x / total for x in e]) if isinstance(e, list) else e / total
    return jnp.where(m.live, top + m.temperature * jnp.log(total), 0.0), policy


class Chain(NamedTuple):
    """What a policy makes of the lists: discount P x = sum_g share[g] sum_l weight[g, l] x[successor[g, l]].

    successor, weight: [G, L, S]. share: [G, S], or None for 1. All of it is 0 at terminal states.
    """

    successor: jax.Array
    weight: jax.Array
    share: jax.Array | None


def chain(m: Lists, policy, kind: Kind, dtype) -> Chain:
    """The transitions under a policy, as few entries and as little new memory as can be."""
    actions, count, states = m.probability.shape
    scale = (m.discount * m.live).astype(dtype)
    zero = jnp.zeros(states, dtype)

    def share(a):
        return (policy == a).astype(dtype) if kind == "max" else policy[a].astype(dtype)

    if kind == "max":

        def weight(k):
            return scale * accumulate(
                lambda a, y: y + share(a) * m.probability[a, k].astype(dtype), 0, actions, zero
            )

        def chosen(k):
            start = jnp.zeros(states, jnp.int32)
            return accumulate(
                lambda a, y: y + (policy == a).astype(jnp.int32) * m.successor[a, k], 0, actions, start
            )

        return Chain(_each(chosen, count, m)[None], _each(weight, count, m)[None], None)
    if m.shared is not None:
        slot = jnp.asarray(m.shared.slot)

        def merged(u):
            def add(a, y):
                entries = (
                    (slot[a, k] == u).astype(dtype) * m.probability[a, k].astype(dtype) for k in range(count)
                )
                return y + share(a) * sum(entries)

            return scale * accumulate(add, 0, actions, zero)

        distinct = jnp.asarray(m.shared.successor)
        return Chain(distinct[None], _each(merged, len(distinct), m)[None], None)
    return Chain(m.successor, m.probability.astype(dtype), scale * policy.astype(dtype))


def product(p: Chain, x):
    """discount P x [S]. A pass per group: the lists of all actions at once would push each other out of the caches."""

    def group(g):
        ahead = expect(p.successor, p.weight, x, g)
        return ahead if p.share is None else p.share[g] * ahead

    return lax.fori_loop(1, len(p.weight), lambda g, y: y + group(g), group(0))


def _each(make, count: int, m: Lists):
    """make(k) for all k, stacked."""
    if _written_out(m):
        return jnp.stack([make(k) for k in range(count)])
    return lax.map(make, jnp.arange(count, dtype=jnp.int32))


def _written_out(m: Lists) -> bool:
    return m.probability.shape[0] * m.probability.shape[1] <= WRITTEN_OUT
