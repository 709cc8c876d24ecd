"""Linear systems (I - M) x = b in a Markov chain M whose mass dies out: policy evaluation, its transpose."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import bicgstab

from maxentrl.core.types import Array
from maxentrl.infer.backup import expectation, push
from maxentrl.models.transition import Dense, Transition

DIRECT = 1024
"""Up to this many states the system is factorised; beyond, it is solved matrix-free."""

RESTARTS = 30
SWEEPS = 20_000


def resolvent(chain: Transition, b: Array, *, transpose: bool = False) -> jax.Array:
    """x [S] with x = b + M x (or x = b + M^T x), where M is a one-action `Transition`.

    With M = discount P_pi and b the reward it is the value of the policy; transposed, with b the start
    distribution, its discounted state occupancy. Differentiable to any order. Direct up to `DIRECT` states;
    beyond, BiCGStab with restarts and plain sweeps as the last resort.

    Raises:
        RuntimeError: (from compiled code too) when the iteration reaches no relative residual of 1e-7: mass
            does not die out, or does so too slowly.
    """
    return _solve(chain, b, transpose, _iterate_or_raise)


def solve_chain(chain: Transition, b: Array) -> jax.Array:
    """`resolvent` without the refusal, for callers that check the answer themselves: it may be anything."""
    return _solve(chain, b, False, _iterate)


def _solve(chain: Transition, b, transpose: bool, iterate) -> jax.Array:
    b = jnp.asarray(b)
    if b.shape[0] <= DIRECT:
        system = jnp.eye(b.shape[0], dtype=b.dtype) - matrix(chain)
        return jnp.linalg.solve(system.T if transpose else system, b)

    def forward(x):
        return x - expectation(chain, x)[0]

    def backward(x):
        return x - push(chain, x[None])

    return jax.lax.custom_linear_solve(backward if transpose else forward, b, iterate, iterate)


def matrix(chain: Transition) -> jax.Array:
    """M [S, S] of a one-action `Transition`."""
    if isinstance(chain, Dense):
        return jnp.asarray(chain.probability)[:, 0]
    successor, weight = jnp.asarray(chain.successor)[0], jnp.asarray(chain.probability)[0]
    states = weight.shape[1]
    return jnp.zeros((states, states), weight.dtype).at[jnp.arange(states)[None], successor].add(weight)


def _iterate(apply, b):
    """Solve apply(x) = b: restarted BiCGStab while it helps, then sweeps x <- x + residual: they contract."""
    scale = jnp.max(jnp.abs(b)) + jnp.finfo(b.dtype).tiny
    target = 64 * jnp.finfo(b.dtype).eps * scale

    def largest(residual):
        return jnp.max(jnp.abs(residual))

    def krylov(state):
        x, residual, _, count = state
        step, _ = bicgstab(apply, residual, tol=1e-6, atol=0.0, maxiter=400)
        better = x + jnp.where(jnp.isfinite(step), step, 0.0)
        new = b - apply(better)
        helped = largest(new) < 0.5 * largest(residual)
        keep = largest(new) < largest(residual)
        return jnp.where(keep, better, x), jnp.where(keep, new, residual), helped, count + 1

    def sweep(state):
        x, residual, count = state
        x = x + residual
        return x, b - apply(x), count + 1

    x, residual, _, _ = jax.lax.while_loop(
        lambda s: (largest(s[1]) > target) & s[2] & (s[3] < RESTARTS),
        krylov,
        (jnp.zeros_like(b), b, jnp.asarray(True), jnp.asarray(0)),
    )
    stalled = largest(residual) > 1e-9 * scale
    x, _, _ = jax.lax.while_loop(
        lambda s: (largest(s[1]) > 1e-12 * scale) & stalled & (s[2] < SWEEPS),
        sweep,
        (x, residual, jnp.asarray(0)),
    )
    return x


def _iterate_or_raise(apply, b):
    x = _iterate(apply, b)
    return eqx.error_if(
        x,
        ~(jnp.max(jnp.abs(b - apply(x))) <= 1e-7 * jnp.max(jnp.abs(b))),
        "a linear system in the policy's Markov chain did not converge: its mass does not die out, or too "
        "slowly.",
    )
