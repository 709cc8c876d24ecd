"""The fixed point for successor lists under given dynamics and discount < 1: modified policy iteration, certified.

Each round backs up once, W = TV, in float64, and reads the bounds of MacQueen (1966) off the change,

    W + f min(W - V) <= V* <= W + f max(W - V),     f = discount / (1 - discount),

which hold for any V: nothing else in this file has to be trusted. Then it improves V by evaluating the policy of W
(Puterman & Shin 1978), in one of two ways.

- While fronts of changing decisions cross the states, each backup moves them by about one state however well the policy
  is evaluated: a few sweeps in float32 are enough.
- Once the policy has settled, it is evaluated to the accuracy that the discount asks for: sweeps with minimal-residual
  steps, then BiCGStab (`evaluation`).

Exact policy iteration never lowers the mean of the lower bound, so evaluations are judged by it: after several that
did not raise it, the search resumes from the best iterate, with plain sweeps for a while. In the long run that is plain
modified policy iteration, which converges; for the accelerated rounds this is a safeguard and not a proof.

The file is a little longer than others because the settings, each with its reason, stand beside the one loop they steer.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from maxentrl.core.soft import Kind
from maxentrl.infer import evaluation
from maxentrl.infer.shared_successors import SharedSuccessors
from maxentrl.infer.sweep import accumulate, expect

WRITTEN_OUT = 32
"""Actions times successors up to which a backup is written out; beyond, loops keep the program small."""

INITIAL_SWEEPS, FRONT_SWEEPS = 20, 5
"""Sweeps of a round while the policy is far from settled, and while a front of changes is moving."""

SETTLED, NEARLY = 0.02, 1e-3
"""Shares of states that change their action: below the first the policy is evaluated, below the second thoroughly."""

FRONT_SHARE, FRONT_FLOOR = 0.2, 1e-4
"""A front moves while the changes exceed this share of their peak since the last evaluation, and this one of states."""

FRONT_BUDGET, BACKUP_COST = 3, 8
"""What may be spent on fronts between evaluations, relative to the last one; what a backup costs, in sweeps."""

SMOOTHING, EARLY_PRODUCTS, MOST_PRODUCTS = 100, 200, 2000
"""Sweeps of an evaluation before BiCGStab; most products of one before and after the policy has nearly settled."""

LOOSE, FORCING = 0.1, 0.3
"""Relative residuals at which evaluations stop: at most the first; FORCING * (1 - discount) when more is worth it, since
an error of the values is up to 1 / (1 - discount) residuals."""

PATIENCE, DIRECTIONS = 4, 4
"""Evaluations in a row that may fail to raise the lower bound; directions kept for minimal-residual steps."""


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


class Round(NamedTuple):
    """What is carried from one round to the next."""

    v: jax.Array
    policy: jax.Array  # greedy action [S], or action probabilities [A, S] in float32, of the previous backup
    best: jax.Array  # midpoint of the tightest bounds so far
    bound: jax.Array  # half their width
    sweeps: jax.Array
    products: jax.Array
    evaluations: jax.Array
    peak: jax.Array  # most changed states since the last evaluation
    budget: jax.Array  # what may still be spent on fronts before the next evaluation
    lower: jax.Array  # best mean lower bound
    safe: jax.Array  # backup that gave it
    failures: jax.Array  # evaluations in a row that did not raise it
    wait: jax.Array  # backup before which no evaluation is begun
    evaluated: jax.Array  # whether the last round was an evaluation
    done: jax.Array


class Outcome(NamedTuple):
    """v [S], proven to within error_bound []; sweeps []: backups taken."""

    v: jax.Array
    error_bound: jax.Array
    sweeps: jax.Array


def modified_policy_iteration(
    successor,
    probability,
    reward,
    log_prior,
    terminal,
    discount,
    temperature,
    *,
    kind: Kind,
    shared: SharedSuccessors | None,
    tolerance,
    max_sweeps,
) -> Outcome:
    """Solve V = lme over actions of (reward + discount E[V']), V = 0 at terminal states.

    Args:
        successor, probability: [A, K, S]. reward, log_prior: [S, A]. terminal: bool [S].
        discount: [] in [0, 1). temperature: [] in (0, inf), looked at when kind is "soft".
        kind: which limit the action temperature is in.
        shared: `shared_successors(successor)`, worth its while when kind is not "max" and graphs are local.
        tolerance: half-width of the bounds at which to stop; they stop earlier where rounding forbids more.
        max_sweeps: most backups.
    """
    m = _lists(successor, probability, reward, log_prior, terminal, discount, temperature, kind, shared)
    states = m.live.size
    start = jnp.min(jnp.where(m.live & jnp.isfinite(m.reward), m.reward, jnp.inf))
    start = jnp.where(jnp.all(m.live), start / (1.0 - m.discount), 0.0)
    v = jnp.where(m.live & jnp.isfinite(start), start, 0.0)
    policy = jnp.zeros(states, jnp.int32) if kind == "max" else jnp.zeros(m.reward.shape, jnp.float32)
    zero, no = jnp.int32(0), jnp.asarray(False)
    infinite = jnp.asarray(jnp.inf, v.dtype)
    first = Round(v, policy, v, infinite, zero, zero, zero, zero, zero, -infinite, v, zero, zero, no, no)
    limit = jnp.asarray(jnp.minimum(max_sweeps, 2**30), jnp.int32)
    last = lax.while_loop(
        lambda c: ~c.done & (c.sweeps < limit),
        lambda c: _round(m, c, kind, jnp.asarray(tolerance, v.dtype)),
        first,
    )
    return Outcome(last.best, last.bound, last.sweeps)


def _lists(successor, probability, reward, log_prior, terminal, discount, temperature, kind, shared) -> Lists:
    """The problem with the prior in the reward."""
    reward, log_prior, probability = jnp.asarray(reward).T, jnp.asarray(log_prior).T, jnp.asarray(probability)
    allowed = log_prior > -jnp.inf
    temperature = jnp.asarray(temperature, reward.dtype)
    action_weight = None
    if kind == "mean":
        action_weight = jnp.exp(log_prior)
        reward = jnp.where(allowed, reward, 0.0)
    else:
        bonus = temperature * jnp.where(allowed, log_prior, 0.0) if kind == "soft" else 0.0
        reward = jnp.where(allowed, reward + bonus, -jnp.inf)
    live = ~jnp.asarray(terminal)
    successor = jnp.asarray(successor, jnp.int32)
    discount = jnp.asarray(discount, reward.dtype)
    return Lists(successor, probability, reward, live, discount, temperature, action_weight, shared)


def _round(m: Lists, c: Round, kind: Kind, tolerance) -> Round:
    """One backup with its bounds, then one evaluation of its policy, short or thorough."""
    states = m.live.size
    w, policy = _backup(m, c.v, kind)
    change = w - c.v
    low, high = jnp.min(change), jnp.max(change)
    factor = m.discount / (1.0 - m.discount)
    middle = (low + high) / 2
    rounding = _rounding(m, kind, jnp.max(jnp.abs(w)) + factor * jnp.abs(middle))
    spread = factor * (high - low) / 2
    finite = jnp.isfinite(spread + rounding)
    bound = jnp.where(finite, spread + rounding, jnp.inf)
    best = jnp.where(bound < c.bound, jnp.where(m.live, w + factor * middle, 0.0), c.best)
    done = finite & ((bound <= tolerance) | (spread <= 0.25 * rounding))
    sweeps = c.sweeps + 1

    lower = jnp.mean(w) + factor * low
    raised = finite & (lower > c.lower)
    safe = jnp.where(raised, w, c.safe)
    failures = jnp.where(c.evaluated, jnp.where(raised, 0, c.failures + 1), c.failures)
    restart = ~finite | (c.evaluated & (failures > PATIENCE) & ~raised)
    failures = jnp.where(finite, failures, jnp.maximum(failures, PATIENCE + 1))
    pause = jnp.left_shift(4, jnp.minimum(failures - PATIENCE, 20))
    wait = jnp.where(restart, sweeps + pause, c.wait)

    changed = (
        jnp.where(c.sweeps == 0, states, _changed(policy, c.policy, kind)) if kind != "mean" else jnp.int32(0)
    )
    peak = jnp.maximum(c.peak, changed)
    front = (changed > FRONT_SHARE * peak) & (changed > FRONT_FLOOR * states) & (c.budget > 0)
    front = jnp.where(c.evaluations == 0, changed > SETTLED * states, front)
    evaluate = ~front & (sweeps >= wait) & ~restart & ~done
    short = jnp.where(front & (c.evaluations > 0), FRONT_SWEEPS, INITIAL_SWEEPS)
    longest = jnp.where(changed > NEARLY * states, EARLY_PRODUCTS, MOST_PRODUCTS)
    limit = jnp.where(evaluate, jnp.clip(c.products, EARLY_PRODUCTS, longest), short).astype(jnp.int32)

    # Centred and scaled to 1, so that float32 neither overflows nor underflows.
    closed = jnp.all(m.live)
    centre = jnp.where(closed, middle, 0.0)
    size = jnp.maximum(high - centre, centre - low)
    size = jnp.where(size > 0.0, size, 1.0)

    def right_side(dtype):
        successor, weight = _transition(m, policy, kind, dtype)
        return lambda x: _product(successor, weight, x), ((change - centre) / size).astype(dtype)

    def corrected(y, shift):
        constant = shift.astype(w.dtype) * size + centre * (1.0 + factor)
        return jnp.where(m.live, c.v + (y.astype(w.dtype) * size + constant), 0.0)

    def glance():
        apply, x = right_side(jnp.float32)
        found = evaluation.sweep(apply, x, m.discount, closed, limit=limit, enough=LOOSE, directions=0)
        return corrected(found.y, found.shift), found.used

    def study():
        enough = jnp.clip(0.3 * tolerance / (1.0 + factor) / size, FORCING * (1.0 - m.discount), LOOSE)
        apply, x = right_side(jnp.float32)
        some = jnp.minimum(limit, SMOOTHING)
        found = evaluation.sweep(
            apply, x, m.discount, closed, limit=some, enough=enough, directions=DIRECTIONS
        )
        y, shift = found.y.astype(w.dtype), found.shift.astype(w.dtype)

        def thoroughly():
            apply, x = right_side(w.dtype)
            residual = x - (y - apply(y)) - shift * (1.0 - m.discount)
            rest, more = evaluation.bicgstab(apply, residual, limit=limit - found.used, enough=enough)
            return corrected(y + rest, shift), found.used + more

        return lax.cond(found.enough, lambda: (corrected(y, shift), found.used), thoroughly)

    v, used = lax.cond(
        restart | done, lambda: (safe, jnp.int32(0)), lambda: lax.cond(evaluate, study, glance)
    )
    spent = used + BACKUP_COST
    budget = jnp.where(evaluate, FRONT_BUDGET * jnp.maximum(spent, SMOOTHING), c.budget - spent)
    return Round(
        v=v,
        policy=policy if kind == "max" else policy.astype(jnp.float32),
        best=best,
        bound=jnp.minimum(bound, c.bound),
        sweeps=sweeps,
        products=c.products + used,
        evaluations=c.evaluations + evaluate,
        peak=jnp.where(evaluate, 0, peak).astype(jnp.int32),
        budget=budget.astype(jnp.int32),
        lower=jnp.where(raised, lower, c.lower),
        safe=safe,
        failures=failures,
        wait=wait,
        evaluated=evaluate,
        done=done,
    )


def _rounding(m: Lists, kind: Kind, largest):
    """A bound on the rounding of one backup at values up to `largest`, amplified as the bounds amplify a change."""
    actions, count, _ = m.probability.shape
    rewards = jnp.max(jnp.where(m.live & jnp.isfinite(m.reward), jnp.abs(m.reward), 0.0))
    logs = 4.0 * (actions + 4) * m.temperature if kind == "soft" else 0.0
    unit = jnp.finfo(m.reward.dtype).eps / 2 / (1.0 - m.discount)
    return unit * ((count + actions + 6) * (rewards + largest) + logs)


def _changed(policy, before, kind: Kind):
    """How many states [] act differently: another best action, or probabilities moved by more than a tenth."""
    if kind == "max":
        return jnp.sum((policy != before).astype(jnp.int32), dtype=jnp.int32)
    moved = accumulate(
        lambda a, total: total + jnp.abs(policy[a] - before[a]), 0, len(policy), jnp.zeros_like(policy[0])
    )
    return jnp.sum((moved > 0.2).astype(jnp.int32), dtype=jnp.int32)


def _action_values(m: Lists, v):
    """Q: a list of A arrays [S], or one [A, S] where lists would make too large a program."""

    def value(a):
        return m.reward[a] + m.discount * expect(m.successor, m.probability, v, a)

    actions = len(m.reward)
    if not _written_out(m):
        return lax.map(value, jnp.arange(actions, dtype=jnp.int32))
    # The branch is always taken. Without it XLA splits every gather off its sum, because the sums are read twice.
    return lax.cond(m.discount >= 0.0, lambda: [value(a) for a in range(actions)], lambda: [v] * actions)


def _backup(m: Lists, v, kind: Kind):
    """TV [S] and the policy that attains it: action [S] (max), or action probabilities [A, S]."""
    q, actions = _action_values(m, v), len(m.reward)
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


def _transition(m: Lists, policy, kind: Kind, dtype):
    """successor and weight [G, L, S], so that discount P x = sum_gl weight[g, l] x[successor[g, l]], 0 where terminal."""
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

        return _each(chosen, count, m)[None], _each(weight, count, m)[None]
    if m.shared is not None:
        slot = jnp.asarray(m.shared.slot)

        def merged(u):
            def add(a, y):
                entries = (
                    (slot[a, k] == u).astype(dtype) * m.probability[a, k].astype(dtype) for k in range(count)
                )
                return y + share(a) * sum(entries)

            return scale * accumulate(add, 0, actions, zero)

        return jnp.asarray(m.shared.successor)[None], _each(merged, m.shared.successor.shape[0], m)[None]
    return m.successor, (scale * policy.astype(dtype))[:, None] * m.probability.astype(dtype)


def _product(successor, weight, x):
    """discount P x [S]. A pass per group: the lists of all actions at once would push each other out of the caches."""
    first = expect(successor, weight, x, 0)
    return lax.fori_loop(1, len(weight), lambda g, y: y + expect(successor, weight, x, g), first)


def _each(make, count: int, m: Lists):
    """make(k) for all k, stacked."""
    if _written_out(m):
        return jnp.stack([make(k) for k in range(count)])
    return lax.map(make, jnp.arange(count, dtype=jnp.int32))


def _written_out(m: Lists) -> bool:
    return m.probability.shape[0] * m.probability.shape[1] <= WRITTEN_OUT
