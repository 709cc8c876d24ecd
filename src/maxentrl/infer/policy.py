"""What any policy is worth: values, occupancies, its evidence bound, and improvement until none is left."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from maxentrl.core.check import (
    InputError,
    check_count,
    check_discount,
    check_horizon,
    check_shape,
    check_temperature,
    check_tolerance,
    is_concrete,
)
from maxentrl.core.precision import in_double_precision
from maxentrl.core.soft import temperature_kind
from maxentrl.core.types import Array, Scalar
from maxentrl.core.words import many
from maxentrl.infer import backup as one
from maxentrl.infer import tabular
from maxentrl.infer.first_exit import require_exit
from maxentrl.infer.linear import policy_chain, resolvent
from maxentrl.infer.posterior import check_reward_length, posterior
from maxentrl.models.tabular import TabularMDP


class Bound(NamedTuple):
    """How much of the evidence a policy explains.

    evidence_bound: E[sum r / temperature] - KL(pi || rho), nats.
    gap: log p(O) minus the bound, nats: the divergence of the policy's trajectories from the posterior.
    """

    evidence_bound: Float[Array, ""]
    gap: Float[Array, ""]


@in_double_precision
def evaluate(
    mdp: TabularMDP,
    log_policy: Array,
    *,
    temperature: Scalar,
    discount: Scalar = 1.0,
    horizon: int | None = None,
) -> Float[Array, "*times S"]:
    """Soft value of any policy, given dynamics: V = E_pi[ r + discount V' ] - temperature KL(pi || rho).

    Args:
        log_policy: log pi(a|s), [S, A], or [T, S, A] over a finite horizon ([S, A] is repeated); -inf for forbidden
            actions.
        temperature: in [0, inf), units of reward; 0 counts reward alone.
        discount, horizon: as for `solve`.

    Returns:
        [S], or [T+1, S] over a finite horizon, in units of reward.

    Source: Haarnoja et al. (2018), equations 2-3, with the KL to the prior in place of minus the entropy.
    """
    check_temperature(temperature)
    if temperature_kind(temperature) == "mean":
        raise InputError(
            "evaluate needs a finite temperature: at inf every policy but the prior is worth -inf."
        )
    log_pi = _policy(mdp, log_policy, discount, horizon)
    if horizon is not None:
        return _value_in_time(
            mdp.bare(), log_pi, *(jnp.asarray(x, mdp.dtype) for x in (temperature, discount))
        )
    gain = tabular.policy_backup(mdp, jnp.zeros(mdp.states, mdp.dtype), log_pi, temperature, discount)
    return resolvent(policy_chain(mdp, log_pi, discount), gain)


@in_double_precision
def occupancy(
    mdp: TabularMDP, log_policy: Array, *, discount: Scalar = 1.0, horizon: int | None = None
) -> Float[Array, "*T S A"]:
    """Expected discounted visits of each state and action from the start, under the given dynamics.

    mu_t(s, a) = discount^t Pr(s_t = s, a_t = a): [T, S, A] over a finite horizon, and summed over all time,
    [S, A], without one. The sum is 1 / (1 - discount) when nothing terminates; with discount 1 (first exit)
    it is the expected number of steps.
    """
    log_pi = _policy(mdp, log_policy, discount, horizon)
    if horizon is not None:
        ready = tabular.prepared(mdp.bare(), horizon, weighted=False)
        return _occupancy_in_time(ready, log_pi, jnp.asarray(discount, mdp.dtype)).swapaxes(1, 2)
    visits = resolvent(policy_chain(mdp, log_pi, discount), mdp.initial, transpose=True)
    return jnp.where(mdp.terminal, 0.0, visits * jnp.exp(log_pi)).T


@in_double_precision
def evidence_bound(
    mdp: TabularMDP, log_policy: Array, *, temperature: Scalar, horizon: int, discount: Scalar = 1.0
) -> Bound:
    """How much of the evidence a policy explains: log p(O) = bound + KL( q_pi(tau) || p(tau | O) ).

    q_pi rolls the policy out under the given start and dynamics. The gap is zero only where the posterior
    itself needs no luck (Levine 2018, section 3).
    """
    exact = posterior(mdp, temperature=temperature, horizon=horizon, discount=discount).log_evidence
    value = evaluate(mdp, log_policy, temperature=temperature, discount=discount, horizon=horizon)
    bound = jnp.sum(jnp.asarray(mdp.initial) * jnp.asarray(value)[0]) / temperature
    return Bound(bound, jnp.asarray(exact) - bound)


@in_double_precision
def soft_policy_iteration(
    mdp: TabularMDP,
    log_policy: Array | None = None,
    *,
    temperature: Scalar,
    discount: Scalar,
    tolerance: float = 1e-10,
    max_steps: int = 1000,
) -> tuple[Array, list[Array]]:
    """Alternate exact evaluation and improvement pi <- rho exp(Q / temperature) / Z; no value ever falls.

    Returns the last log-policy [S, A] and the values [S] of each policy on the way, its own last (Haarnoja et al.
    2018, theorem 1). It is Newton's method on the soft Bellman equation; `solve` is the way to get the answer
    alone.

    Warns:
        UserWarning: when the values still changed by more than the tolerance after `max_steps` evaluations.
    """
    check_temperature(temperature)
    check_tolerance(tolerance)
    check_count(max_steps, "max_steps")
    log_pi = (
        one.log_policy(mdp, jnp.zeros((mdp.actions, mdp.states), mdp.dtype), 1.0).T
        if log_policy is None
        else log_policy
    )
    values = [evaluate(mdp, log_pi, temperature=temperature, discount=discount)]
    change = math.inf
    while change > tolerance and len(values) < max_steps:
        q = one.action_values(mdp, values[-1], math.inf, discount)
        log_pi = one.log_policy(mdp, q, temperature).T
        values.append(evaluate(mdp, log_pi, temperature=temperature, discount=discount))
        change = float(jnp.max(jnp.abs(values[-1] - values[-2])))
    if change > tolerance:
        warnings.warn(
            f"the tolerance {tolerance:g} was not reached in {many(len(values), 'evaluation')}: the values last "
            f"changed by {change:.3g}.",
            stacklevel=3,
        )
    return log_pi, values


# A scan outside jit is compiled anew at every call.
_occupancy_in_time = eqx.filter_jit(tabular.occupancy)
_value_in_time = eqx.filter_jit(tabular.evaluate)


def _policy(mdp: TabularMDP, log_policy: Array, discount: Scalar, horizon: int | None) -> jax.Array:
    """The policy as [A, S] or [T, A, S], checked where it can be looked at."""
    check_discount(discount)
    check_horizon(horizon)
    check_reward_length(mdp, horizon)
    log_pi = jnp.asarray(log_policy, mdp.dtype)
    if log_pi.ndim == 3:
        if horizon is None:
            raise InputError("a policy in time, [T, S, A], needs a horizon; got horizon None.")
        check_shape(log_pi, (horizon, mdp.states, mdp.actions), "log_policy", "[T, S, A]")
    else:
        check_shape(log_pi, (mdp.states, mdp.actions), "log_policy", "[S, A]")
    if is_concrete(log_pi, mdp.terminal, mdp.log_prior):
        _check_rows(mdp, log_pi)
    if horizon is None and is_concrete(log_pi, mdp, discount) and float(discount) == 1.0:
        require_exit(eqx.tree_at(lambda m: m.log_prior, mdp, log_pi))
    if horizon is not None and log_pi.ndim == 2:
        log_pi = jnp.broadcast_to(log_pi, (horizon, *log_pi.shape))
    return log_pi.swapaxes(-1, -2)


def _check_rows(mdp: TabularMDP, log_pi: jax.Array) -> None:
    """In live states the policy [..., S, A] sums to 1 over actions and leaves out the forbidden ones."""
    live = ~np.asarray(mdp.terminal)
    total = np.asarray(jnp.sum(jnp.exp(log_pi), -1))
    off = ~(np.abs(total - 1) <= 1e-5) & live
    if off.any():
        where = [int(i) for i in np.argwhere(off)[0]]
        raise InputError(f"log_policy rows must sum to 1; row {where} sums to {total[tuple(where)]:.6g}.")
    barred = np.asarray(log_pi > -jnp.inf) & (live[:, None] & np.isneginf(np.asarray(mdp.log_prior)))
    if barred.any():
        first = tuple(int(i) for i in np.argwhere(barred)[0])
        state, action = first[-2:]
        raise InputError(
            f"log_policy must be -inf where an action is forbidden; at state {mdp.state_name(state)}, "
            f"action {mdp.action_name(action)} it is {float(log_pi[first]):.6g}."
        )
