"""Approximate policy evaluation: (I - discount P) y = x, matrix-free, for a caller that certifies what it makes of y.

Plain sweeps damp whatever is transported along trajectories. What they leave lives on nearly closed classes of states,
on which P h is almost h; one minimal-residual step after each block of sweeps removes those few slow modes. Where that
is not enough, BiCGStab takes over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Apply = Callable[[jax.Array], jax.Array]
"""x -> discount P x, zero at terminal states."""

BLOCK = 10
"""Sweeps between two looks at the residual."""

DECREASE = 0.8
"""A minimal-residual step is taken when it shrinks the sup norm of the residual by this factor."""


FAST, QUICK = 0.1, 0.02
"""Where a block of sweeps shrinks the residual by the first factor the chain mixes fast: constants apart, an error of
the values is then a few residuals and not 1 / (1 - discount) of them, and the second relative residual is enough."""


class Evaluated(NamedTuple):
    """y [S] and the constant `shift` [] to be added to it; the residual left [S]; products with P used []; whether the
    residual is small enough."""

    y: jax.Array
    shift: jax.Array
    residual: jax.Array
    used: jax.Array
    enough: jax.Array


class _Sweeping(NamedTuple):
    y: jax.Array
    x: jax.Array  # residual: right-hand side - (I - discount P) y
    shift: jax.Array
    z: jax.Array  # directions [m, S]
    bz: jax.Array  # (I - discount P) z, orthonormal rows
    stored: jax.Array
    used: jax.Array
    size: jax.Array
    enough: jax.Array


def sweep(apply: Apply, x, discount, closed, *, limit, enough, directions: int) -> Evaluated:
    """Solve by sweeps, with minimal-residual steps over `directions` kept directions when that is positive.

    The steps are those of the generalised conjugate residual method (Eisenstat, Elman & Schultz 1983), restarted by
    overwriting the oldest direction.

    Args:
        x: right-hand side [S], of sup norm at most 1.
        closed: bool []; no terminal state, so that a constant is solved exactly: (I - discount P) c = (1 - discount) c.
        limit: [] most products with P.
        enough: [] sup norm of the residual at which to stop.
    """
    gain = (1.0 / (1.0 - discount)).astype(x.dtype)
    block = BLOCK if directions else BLOCK // 2

    def step(_, state):
        return state[0] + state[1], apply(state[1])

    def correct(c: _Sweeping) -> _Sweeping:
        """One minimal-residual step over the newest residual and the kept directions; one sweep if that is no help."""
        ahead = apply(c.x)
        d = c.x - ahead
        along = c.bz @ d
        d, e = d - along @ c.bz, c.x - along @ c.z
        norm = jnp.sqrt(jnp.vdot(d, d))
        norm = jnp.where(norm > 0.0, norm, 1.0)
        d, e = d / norm, e / norm
        along, length = c.bz @ c.x, jnp.vdot(d, c.x)
        rest = c.x - length * d - along @ c.bz
        accept = jnp.max(jnp.abs(rest)) < DECREASE * jnp.max(jnp.abs(c.x))
        slot = c.stored % directions

        # A branch would copy all rows; writing one row, perhaps unchanged, copies none.
        def keep(rows, new):
            return rows.at[slot].set(jnp.where(accept, new, rows[slot]))

        return c._replace(
            y=c.y + jnp.where(accept, length * e + along @ c.z, c.x),
            x=jnp.where(accept, rest, ahead),
            z=keep(c.z, e),
            bz=keep(c.bz, d),
            stored=c.stored + accept.astype(jnp.int32),
            used=c.used + 1,
        )

    def body(c: _Sweeping) -> _Sweeping:
        steps = jnp.minimum(block, limit - c.used)
        y, x = lax.fori_loop(0, steps, step, (c.y, c.x))
        low, high = jnp.min(x), jnp.max(x)
        middle = jnp.where(closed, (low + high) / 2, 0.0).astype(x.dtype)
        size = jnp.maximum(high - middle, middle - low)
        c = c._replace(y=y, x=x - middle, shift=c.shift + middle * gain, used=c.used + steps)
        if directions:
            c = correct(c)
            size = jnp.max(jnp.abs(c.x))
        fast = (size < FAST * c.size) & (size < QUICK)
        return c._replace(size=size, enough=(size <= enough) | fast)

    rows = jnp.zeros((directions, x.size), x.dtype)
    zero, one = jnp.int32(0), jnp.ones((), x.dtype)
    start = _Sweeping(jnp.zeros_like(x), x, jnp.zeros((), x.dtype), rows, rows, zero, zero, one, limit <= 0)
    end = lax.while_loop(lambda c: ~c.enough & (c.used < limit), body, start)
    return Evaluated(end.y + end.x, end.shift, apply(end.x), end.used + 1, end.enough)


class _Krylov(NamedTuple):
    """State of BiCGStab in the usual notation; `best` is the iterate of smallest residual, `size` its sup norm."""

    y: jax.Array
    r: jax.Array
    p: jax.Array
    v: jax.Array
    rho: jax.Array
    alpha: jax.Array
    omega: jax.Array
    best: jax.Array
    size: jax.Array
    steps: jax.Array
    active: jax.Array


def bicgstab(apply: Apply, b, *, limit, enough) -> tuple[jax.Array, jax.Array]:
    """BiCGStab (van der Vorst 1992), stopped in the sup norm: the best iterate [S], and the products used [].

    A breakdown, or a number that is not finite, ends the search; the best iterate is kept, 0 if nothing was better.
    """

    def body(c: _Krylov) -> _Krylov:
        rho = jnp.vdot(b, c.r)
        p = c.r + rho / c.rho * (c.alpha / c.omega) * (c.p - c.omega * c.v)
        v = p - apply(p)
        alpha = rho / jnp.vdot(b, v)
        half = c.r - alpha * v
        t = half - apply(half)
        omega = jnp.vdot(t, half) / jnp.vdot(t, t)
        y = c.y + alpha * p + omega * half
        r = half - omega * t
        size = jnp.max(jnp.abs(r))
        steps = c.steps + 1
        better = size < c.size  # false for NaN
        sound = jnp.isfinite(size) & jnp.isfinite(omega) & (omega != 0.0) & (rho != 0.0)
        best, least = jnp.where(better, y, c.best), jnp.where(better, size, c.size)
        return _Krylov(
            y, r, p, v, rho, alpha, omega, best, least, steps, sound & (size > enough) & (2 * steps < limit)
        )

    zero, unit, size = jnp.zeros_like(b), jnp.ones((), b.dtype), jnp.max(jnp.abs(b))
    active = (size > enough) & (limit > 1)
    start = _Krylov(zero, b, zero, zero, unit, unit, unit, zero, size, jnp.int32(0), active)
    end = lax.while_loop(lambda c: c.active, body, start)
    return end.best, 2 * end.steps
