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
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from maxentrl.core.soft import Kind
from maxentrl.infer import evaluation
from maxentrl.infer import lists as sparse
from maxentrl.infer.shared_successors import SharedSuccessors
from maxentrl.models.tabular import TabularMDP

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

FIRST_LOOK = 20
"""Sweeps before BiCGStab under a policy that wanders: values then spread by diffusion, over sqrt(n) states in n sweeps."""

LOOSE, FORCING = 0.1, 0.3
"""Relative residuals at which evaluations stop: at most the first; FORCING * (1 - discount) when more is worth it, since
an error of the values is up to 1 / (1 - discount) residuals."""

PATIENCE, DIRECTIONS = 4, 4
"""Evaluations in a row that may fail to raise the lower bound; directions kept for minimal-residual steps."""


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


class Neighbour(NamedTuple):
    """Another problem with the same transitions: its values v [S] and its reward [S, A]."""

    v: jax.Array
    reward: jax.Array


class Outcome(NamedTuple):
    """v [S], proven to within error_bound []; sweeps []: backups taken."""

    v: jax.Array
    error_bound: jax.Array
    sweeps: jax.Array


def modified_policy_iteration(
    mdp: TabularMDP,
    discount,
    temperature,
    start: Neighbour | None,
    tolerance,
    max_sweeps,
    *,
    kind: Kind,
    shared: SharedSuccessors | None,
) -> Outcome:
    """Solve V = lme over actions of (reward + discount E[V']), V = 0 at terminal states, in float64.

    Args:
        mdp: a problem with successor lists and one reward for all times.
        discount: [] in [0, 1). temperature: [] in (0, inf), looked at when kind is "soft".
        start: the answer to another reward, from which to begin if the rewards are close.
        tolerance: half-width of the bounds at which to stop; they stop earlier where rounding forbids more.
        max_sweeps: most backups.
        kind: which limit the action temperature is in.
        shared: `shared_successors(successor)`, worth its while when kind is not "max" and graphs are local.
    """
    m = sparse.lists(mdp, discount, temperature, kind, shared)
    states = m.live.size
    least = jnp.min(jnp.where(m.live & jnp.isfinite(m.reward), m.reward, jnp.inf))
    least = jnp.where(jnp.all(m.live), least / (1.0 - m.discount), 0.0)
    constant = jnp.where(m.live & jnp.isfinite(least), least, 0.0)
    v = constant if start is None else jnp.where(_near(mdp, start), jnp.where(m.live, start.v, 0.0), constant)
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


def _near(mdp: TabularMDP, start: Neighbour):
    """Whether the rewards differ by less than a constant guess would be wrong by: what a backup changes unevenly."""
    told = (mdp.log_prior > -jnp.inf) & ~mdp.terminal[:, None]
    to_zero = jnp.where(jnp.any(mdp.terminal), 0.0, jnp.inf)
    low = jnp.minimum(jnp.min(jnp.where(told, mdp.reward, jnp.inf)), to_zero)
    high = jnp.maximum(jnp.max(jnp.where(told, mdp.reward, -jnp.inf)), -to_zero)
    apart = jnp.max(jnp.where(told, jnp.abs(mdp.reward - start.reward), 0.0))
    return (2.0 * apart < high - low) & jnp.all(jnp.isfinite(start.v))


def _round(m: sparse.Lists, c: Round, kind: Kind, tolerance) -> Round:
    """One backup with its bounds, then one evaluation of its policy, short or thorough."""
    states = m.live.size
    w, policy = sparse.backup(m, c.v, kind)
    change = w - c.v
    low, high = jnp.min(change), jnp.max(change)
    factor = m.discount / (1.0 - m.discount)
    middle = (low + high) / 2
    rounding = sparse.rounding(m, kind, jnp.max(jnp.abs(w)) + factor * jnp.abs(middle))
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
        jnp.where(c.sweeps == 0, states, sparse.changed(policy, c.policy, kind))
        if kind != "mean"
        else jnp.int32(0)
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
        chain = sparse.chain(m, policy, kind, dtype)
        return lambda x: sparse.product(chain, x), ((change - centre) / size).astype(dtype)

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
        some = jnp.minimum(limit, jnp.where(sparse.wanders(policy, kind), FIRST_LOOK, SMOOTHING))
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
