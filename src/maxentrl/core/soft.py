"""The one operation of this library, the prior-weighted log-mean-exp, and what follows from it.

    lme(x, log_w, temp) = temp * log sum_i w_i exp(x_i / temp)

It climbs from the mean under w (temp -> inf) to the maximum over the support of w (temp -> 0). It is
monotone, convex, 1-Lipschitz in the sup norm, and moves with constants: lme(x + c) = lme(x) + c for
normalised w. Its gradient is the tilted distribution w_i exp(x_i / temp) / Z, and its dual is max_p <p, x> -
temp KL(p || w). Planning, messages, evidence and free energies in this library are calls of this function.

Kolmogorov (1930) and Nagumo (1930) for the mean; Donsker & Varadhan (1975) for the dual.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from maxentrl.core.types import Array, Scalar

Kind = Literal["max", "soft", "mean"]
Axis = int | tuple[int, ...]


def temperature_kind(temperature: Scalar) -> Kind:
    """Which limit a temperature asks for: `max` at 0, `mean` at inf, `soft` between.

    The choice is made while tracing. A traced temperature counts as soft and must be positive and finite.
    """
    if isinstance(temperature, Tracer):
        return "soft"
    value = float(temperature)
    return "max" if value == 0.0 else "mean" if np.isposinf(value) else "soft"


def lme(x: Array, log_weight: Array | None = None, temperature: Scalar = 1.0, axis: Axis = -1) -> jax.Array:
    """Log-mean-exp of `x` under weights `w = exp(log_weight)`: temp * log sum_i w_i exp(x_i / temp).

    Args:
        x: values, in units of reward; -inf is allowed.
        log_weight: log-weights in nats, broadcast against `x`; -inf removes an entry; `None` counts every
            entry once (the counting measure, log-weight 0).
        temperature: in units of reward, in [0, inf]. At 0 the maximum over the support, at inf the mean
            (which needs normalised weights).
        axis: the axis, or axes, summed over.

    Returns:
        `x` without `axis`. Where no entry is left the value is -inf and the gradient zero, and so at inf where one
        with weight is -inf. The gradient is `exp(tilt(...))` wherever the value is finite: at temperature 0 it is
        shared among tied maxima in proportion to their weights, as in the limit, so it is never NaN. A NaN in `x`
        makes the value NaN.
    """
    weighted = True if log_weight is None else jnp.asarray(log_weight) != -jnp.inf
    lost = (jnp.asarray(x) == -jnp.inf) & weighted
    x, log_weight, allowed = _prepare(x, log_weight)
    kind = temperature_kind(temperature)
    if kind == "mean":
        total = jnp.sum(jnp.where(allowed, jnp.exp(log_weight) * x, 0.0), axis)
        return jnp.where(jnp.any(allowed, axis) & ~jnp.any(lost, axis), total, -jnp.inf)
    # The shift is a constant to differentiation: the value does not depend on it.
    top = jnp.max(jnp.where(allowed, jax.lax.stop_gradient(x), -jnp.inf), axis, keepdims=True)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    if kind == "max":
        share = jax.lax.stop_gradient(jnp.exp(tilt(x, jnp.where(allowed, log_weight, -jnp.inf), 0.0, axis)))
        best = jnp.squeeze(top, axis) + jnp.sum(jnp.where(allowed, share * (x - top), 0.0), axis)
        return jnp.where(jnp.any(allowed, axis), best, -jnp.inf)
    log_total = _log_sum_exp((x - top) / temperature + log_weight, allowed, axis)
    some = log_total != -jnp.inf
    # The inner `where` keeps the temperature's own gradient, which is log_total, from being infinite where
    # nothing is left.
    return jnp.where(some, jnp.squeeze(top, axis) + temperature * jnp.where(some, log_total, 0.0), -jnp.inf)


def tilt(x: Array, log_weight: Array | None = None, temperature: Scalar = 1.0, axis: Axis = -1) -> jax.Array:
    """Log of the tilted distribution log( w_i exp(x_i / temp) / Z ): the gradient of `lme`, in nats.

    Arguments as for `lme`. At temperature 0 it is `w` restricted to the maxima, at inf it is `w`, each
    normalised. Entries without weight are -inf, and so is a slice in which no entry is left.
    """
    x, log_weight, allowed = _prepare(x, log_weight)
    kind = temperature_kind(temperature)
    top = jnp.max(jnp.where(allowed, jax.lax.stop_gradient(x), -jnp.inf), axis, keepdims=True)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    if kind == "max":
        log_weight = jnp.where(jnp.isnan(x), x, log_weight)
        # A compiler may compute x twice and round it differently, so that nothing reaches the top: one entry always stays.
        allowed = allowed & ((x >= top) | jnp.isnan(x) | _first_largest(x, allowed, axis))
        score = log_weight
    elif kind == "mean":
        score = log_weight
    else:
        score = (x - top) / temperature + log_weight
    log_total = jnp.expand_dims(_log_sum_exp(score, allowed, axis), axis)
    return jnp.where(allowed, score - jnp.where(log_total == -jnp.inf, 0.0, log_total), -jnp.inf)


def entropy(log_p: Array, axis: Axis = -1) -> jax.Array:
    """Entropy -sum_i p_i log p_i in nats, with 0 log 0 = 0."""
    possible = log_p > -jnp.inf
    safe = jnp.where(possible, log_p, 0.0)
    return -jnp.sum(jnp.where(possible, jnp.exp(safe) * safe, 0.0), axis)


def kl(log_p: Array, log_q: Array, axis: Axis = -1) -> jax.Array:
    """Kullback-Leibler divergence sum_i p_i (log p_i - log q_i) in nats, with 0 log 0 = 0.

    `log_q` may be unnormalised (the counting measure, 0, gives minus the entropy). It is +inf where p puts
    mass that q forbids.
    """
    possible = log_p > -jnp.inf
    safe_p = jnp.where(possible, log_p, 0.0)
    safe_q = jnp.where(possible, log_q, 0.0)
    forbidden = possible & (log_q == -jnp.inf)
    terms = jnp.where(
        possible & ~forbidden, jnp.exp(safe_p) * (safe_p - jnp.where(forbidden, 0.0, safe_q)), 0.0
    )
    return jnp.sum(jnp.where(forbidden, jnp.inf, terms), axis)


def safe_log(p: Array) -> jax.Array:
    """log p, -inf at 0; differentiated as if what is 0 stayed 0, so that no gradient is NaN."""
    p = jnp.asarray(p)
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1)), -jnp.inf)


def _prepare(x, log_weight):
    """Broadcast, and put harmless zeros where an entry is excluded, so that no gradient meets an infinity."""
    x = jnp.asarray(x)
    x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.result_type(float))
    log_weight = jnp.zeros_like(x) if log_weight is None else jnp.asarray(log_weight, x.dtype)
    x, log_weight = jnp.broadcast_arrays(x, log_weight)
    allowed = (x != -jnp.inf) & (log_weight != -jnp.inf)
    return jnp.where(allowed, x, 0.0), jnp.where(allowed, log_weight, 0.0), allowed


def _first_largest(x, allowed, axis: Axis):
    """Marks one entry of every slice: the first of the largest that are allowed."""
    axes = (axis,) if isinstance(axis, int) else axis
    last = range(-len(axes), 0)
    moved = jnp.moveaxis(jnp.where(allowed, x, -jnp.inf), axes, last)
    flat = moved.reshape(*moved.shape[: x.ndim - len(axes)], -1)
    index = jnp.broadcast_to(jnp.arange(flat.shape[-1], dtype=jnp.int32), flat.shape)
    # Not `argmax`: it fails where a program is traced with 64 bits and lowered without.
    _, first = jax.lax.reduce(
        (jax.lax.stop_gradient(flat), index),
        (jnp.array(-jnp.inf, flat.dtype), jnp.array(flat.shape[-1], jnp.int32)),
        _larger_then_earlier,
        (flat.ndim - 1,),
    )
    marked = index == first[..., None]
    return jnp.moveaxis(marked.reshape(moved.shape), last, axes)


def _larger_then_earlier(one, other):
    """Of two entries (value, index): the larger value, and of equal ones the earlier."""
    (x, i), (y, j) = one, other
    other_wins = (y > x) | ((y == x) & (j < i))
    return jnp.where(other_wins, y, x), jnp.where(other_wins, j, i)


def _log_sum_exp(score, allowed, axis):
    """log sum exp over the allowed entries; -inf with zero gradient where there is none."""
    top = jnp.max(jnp.where(allowed, jax.lax.stop_gradient(score), -jnp.inf), axis, keepdims=True)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    total = jnp.sum(jnp.where(allowed, jnp.exp(jnp.where(allowed, score - top, 0.0)), 0.0), axis)
    some = total != 0
    return jnp.where(some, jnp.squeeze(top, axis) + jnp.log(jnp.where(some, total, 1.0)), -jnp.inf)
