"""Markov chains M whose mass dies out, and linear systems (I - M) x = b in them: policy evaluation, its transpose."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import lu_factor, lu_solve
from jax.scipy.sparse.linalg import bicgstab

from maxentrl.core.soft import lme, temperature_kind, tilt
from maxentrl.core.types import Array, Scalar, Temperatures
from maxentrl.infer.backup import action_values, expectation, tilted_dynamics
from maxentrl.infer.sending import push
from maxentrl.models.tabular import TabularMDP
from maxentrl.models.transition import Dense, Sparse, Transition

DIRECT = 1024
"""Up to this many states the system is factorised; beyond, it is solved matrix-free."""

RESTARTS = 30
SWEEPS = 20_000


def chain(mdp: TabularMDP, v, temperatures: Temperatures, discount: Scalar = 1.0) -> Transition:
    """The derivative of the backup at `v`: the chain of the tilted policy and dynamics, as a `Transition`
    of one action.

    d backup(v)[s] / d v[s'] = sum_a pi(a|s) discount P_tilted(s'|s,a); rows of terminal states are empty.
    Its matrix product is `expectation(chain, x)[0]`, its transpose `push(chain, x[None])`.
    """
    q = action_values(mdp, v, temperatures.state, discount)
    log_pi = tilt(q, jnp.asarray(mdp.log_prior).T, temperatures.action, axis=0)
    if temperature_kind(temperatures.state) == "mean":
        return policy_chain(mdp, log_pi, discount)
    log_pi = jnp.where(mdp.terminal, -jnp.inf, log_pi)
    tilted = tilted_dynamics(mdp.transition, v, temperatures.state, discount)
    if isinstance(tilted, Dense):
        return Dense(jnp.exp(lme(log_pi.T[:, :, None] + tilted.probability, None, 1.0, axis=1))[:, None])
    return _one_list(tilted.successor, jnp.exp(log_pi[:, None, :] + tilted.probability))


def policy_chain(mdp: TabularMDP, log_pi, discount: Scalar) -> Transition:
    """discount P_pi as a one-action `Transition`, from log pi [A, S] and the given dynamics."""
    weight = discount * jnp.where(mdp.terminal, 0.0, jnp.exp(log_pi))
    if isinstance(mdp.transition, Dense):
        return Dense(
            jax.lax.dot_general(
                weight, jnp.asarray(mdp.transition.probability), (((0,), (1,)), ((1,), (0,)))
            )[:, None]
        )
    return _one_list(mdp.transition.successor, weight[:, None, :] * mdp.transition.probability)


def _one_list(successor, weight) -> Sparse:
    """The lists of all actions [A, K, S] one after the other, as those of one action."""
    flat = (1, weight.shape[0] * weight.shape[1], weight.shape[2])
    return Sparse(jnp.asarray(successor).reshape(flat), weight.reshape(flat))


@eqx.filter_jit
def resolvent(chain: Transition, b: Array, *, transpose: bool = False, refuse: bool = True) -> jax.Array:
    """x [S] with x = b + M x (or x = b + M^T x), where M is a one-action `Transition`.

    With M = discount P_pi and b the reward it is the value of the policy; transposed, with b the start
    distribution, its discounted state occupancy. Differentiable to any order. Direct up to `DIRECT` states;
    beyond, BiCGStab with restarts and plain sweeps as the last resort.

    Raises:
        RuntimeError: (from compiled code too) when no small relative residual is reached, 1e-7 by iteration: mass
            does not die out, or does so too slowly. Without `refuse` the answer is then NaN, as it is for a NaN in M or b.
    """
    return _solve(chain, b, transpose, _refuse if refuse else _unknown)


def solve_chain(chain: Transition, b: Array) -> jax.Array:
    """`resolvent` without the refusal, for callers that check the answer themselves: it may be anything."""
    return _solve(chain, b, False, lambda apply, x, b, tolerance: x)


def _solve(chain: Transition, b, transpose: bool, checked) -> jax.Array:
    b = jnp.asarray(b)

    def forward(x):
        return x - expectation(chain, x)[0]

    def backward(x):
        return x - push(chain, x[None])

    if b.shape[0] <= DIRECT:
        system = jnp.eye(b.shape[0], dtype=b.dtype) - matrix(chain)
        factors = lu_factor(jax.lax.stop_gradient(system))

        # Rounding leaves a residual of about eps |x|, so that this refuses where only few digits of x are right.
        def solve(apply, b, transposed):
            return checked(apply, lu_solve(factors, b, int(transposed)), b, 1e-3)
    else:
        tolerance = max(1e-7, 1e4 * float(jnp.finfo(b.dtype).eps))

        def solve(apply, b, transposed):
            return checked(apply, _iterate(apply, b), b, tolerance)

    return jax.lax.custom_linear_solve(
        backward if transpose else forward,
        b,
        lambda apply, b: solve(apply, b, transpose),
        lambda apply, b: solve(apply, b, not transpose),
    )


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


def _solves(apply, x, b, tolerance: float):
    return jnp.max(jnp.abs(b - apply(x))) <= tolerance * jnp.max(jnp.abs(b))


def _unknown(apply, x, b, tolerance: float):
    return jnp.where(_solves(apply, x, b, tolerance), x, jnp.nan)


def _refuse(apply, x, b, tolerance: float):
    known = jnp.all(jnp.isfinite(apply(jnp.ones_like(b)) + b))
    return eqx.error_if(
        x,
        known & ~_solves(apply, x, b, tolerance),
        "a linear system in the policy's Markov chain did not converge: its mass does not die out, or too "
        "slowly.",
    )
