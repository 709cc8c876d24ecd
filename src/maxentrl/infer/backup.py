"""The soft Bellman backup with two temperatures, for full tables and for successor lists.

    Q(s, a) = r(s, a) + lme of V at t_state, over { s', weight discount P(s'|s,a); the end, weight 1 - discount }
    V(s)    = lme of Q(s, .) at t_action, over rho(.|s)

The discount is the chance to go on: with probability 1 - discount the process ends with value 0 (Levine 2018,
section 2.5). At t_state = inf this is the familiar r + discount * E[V]; at a finite t_state it is the exact
message of that graphical model. V is 0 at terminal states. Messages are [S]; anything per state and action is
[A, S] here.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from maxentrl.core.soft import Kind, lme, safe_log, temperature_kind, tilt
from maxentrl.core.types import Scalar, Temperatures
from maxentrl.infer import sweep
from maxentrl.models.tabular import TabularMDP
from maxentrl.models.transition import Dense, Sparse, Transition


def backup(mdp: TabularMDP, v, temperatures: Temperatures, discount: Scalar = 1.0, reward=None):
    """One backup of the message `v` [S]: returns Q [A, S] and the new V [S].

    `reward` [S, A] stands in for the reward of the problem (one time step of a reward that changes).
    Where V alone is wanted, `value_backup` is several times faster.
    """
    q = action_values(mdp, v, temperatures.state, discount, reward)
    v_new = lme(q, mdp.log_prior.T, temperatures.action, axis=0)
    return q, jnp.where(mdp.terminal, 0.0, v_new)


def value_backup(
    mdp: TabularMDP,
    v,
    temperatures: Temperatures,
    discount: Scalar = 1.0,
    reward=None,
    payoff: sweep.Payoff | None = None,
):
    """The new V [S] of `backup` alone, by the fastest route there is; derivatives are those of `backup`.

    `payoff` is what `prepared` made of the same reward and temperatures: worth it for more than one backup.
    """
    reward = jnp.asarray(mdp.reward if reward is None else reward)
    if _sweeps(mdp, temperatures):
        kind, temperature = temperature_kind(temperatures.action), jnp.asarray(temperatures.action, mdp.dtype)
        payoff = prepared(mdp, temperatures, reward) if payoff is None else payoff
        return _sweep(
            kind, mdp.bare(), reward, jnp.asarray(v), temperature, jnp.asarray(discount, mdp.dtype), payoff
        )
    return backup(mdp, v, temperatures, discount, reward)[1]


def prepared(mdp: TabularMDP, temperatures: Temperatures, reward=None) -> sweep.Payoff | None:
    """What all sweeps with this reward [S, A] have in common; None where no sweep is made."""
    if not _sweeps(mdp, temperatures):
        return None
    kind, temperature = temperature_kind(temperatures.action), jnp.asarray(temperatures.action, mdp.dtype)
    reward = jnp.asarray(mdp.reward if reward is None else reward)
    return sweep.payoff(reward, jnp.asarray(mdp.log_prior), temperature, kind)


def _sweeps(mdp: TabularMDP, temperatures: Temperatures) -> bool:
    return isinstance(mdp.transition, Sparse) and temperature_kind(temperatures.state) == "mean"


def _sweep_value(kind: Kind, mdp: TabularMDP, reward, v, temperature, discount, payoff: sweep.Payoff):
    model: Sparse = mdp.transition  # pyright: ignore[reportAssignmentType]
    new = sweep.value(
        jnp.asarray(model.successor),
        jnp.asarray(model.probability),
        payoff,
        v,
        temperature,
        discount,
        kind=kind,
        local=model.local,
    )
    return jnp.where(mdp.terminal, 0.0, new)


def _sweep_derivative(kind: Kind, primals, tangents):
    """sum_a pi(a|s) dQ(s, a), and what the prior and the temperature add: the derivative that `backup` has.

    The payoff is a function of the other arguments, so that its tangent says nothing that theirs do not.

    Value and policy come from one table of Q: a reverse pass over a horizon then finds all it needs, [T, A,
    S].
    """
    mdp, reward, v, temperature, discount, _ = primals
    d_mdp, d_reward, d_v, d_temperature, d_discount, _ = tangents
    transition, log_prior = mdp.transition, jnp.asarray(mdp.log_prior).T
    q = action_values(mdp, v, jnp.inf, discount, reward)
    if kind == "soft":
        allowed = log_prior > -jnp.inf
        score = q + temperature * jnp.where(allowed, log_prior, 0.0)
        top = jax.lax.stop_gradient(jnp.max(score, 0, where=allowed, initial=jnp.finfo(q.dtype).min / 4))
        weight = jnp.where(allowed, jnp.exp(jnp.where(allowed, score - top, 0.0) / temperature), 0.0)
        total = jnp.where(mdp.terminal, 1.0, jnp.sum(weight, 0))
        pi, v_new = weight / total, jnp.where(mdp.terminal, 0.0, top + temperature * jnp.log(total))
    else:
        pi = jnp.exp(log_prior if kind == "mean" else tilt(q, log_prior, 0.0, axis=0))
        v_new = _sweep(kind, *primals)

    change = jnp.zeros_like(q)
    if _varies(d_reward):
        change += d_reward.T
    if _varies(d_v):
        change += discount * expectation(transition, d_v)
    if _varies(d_discount):
        change += d_discount * expectation(transition, v)
    if _varies(d_mdp.transition.probability):
        change += discount * expectation(Sparse(transition.successor, d_mdp.transition.probability), v)
    if _varies(d_mdp.log_prior) and kind != "max":
        slope = q if kind == "mean" else temperature
        change += jnp.where(log_prior > -jnp.inf, slope * d_mdp.log_prior.T, 0.0)
    total = jnp.sum(pi * change, 0)
    if _varies(d_temperature) and kind == "soft":
        total += d_temperature * (v_new - jnp.sum(pi * q, 0)) / temperature
    return v_new, jnp.where(mdp.terminal, 0.0, total)


_sweep = jax.custom_jvp(_sweep_value, nondiff_argnums=(0,))
_sweep.defjvp(_sweep_derivative, symbolic_zeros=True)


def _varies(tangent) -> bool:
    return not isinstance(tangent, jax.custom_derivatives.SymbolicZero)


def action_values(
    mdp: TabularMDP, v, state_temperature: Scalar, discount: Scalar = 1.0, reward=None
) -> jax.Array:
    """Q [A, S]: the step over next states, plus the reward."""
    reward = mdp.reward if reward is None else reward
    return jnp.asarray(reward).T + look_ahead(mdp.transition, v, state_temperature, discount)


def start_value(mdp: TabularMDP, v, state_temperature: Scalar) -> jax.Array:
    """The value [] before the start state is known: lme of v [S] over the start distribution."""
    v, initial = jnp.asarray(v), jnp.asarray(mdp.initial)
    if temperature_kind(state_temperature) == "mean":
        return jnp.sum(initial * v)
    return lme(v, safe_log(initial), state_temperature)


def log_policy(mdp: TabularMDP, q, action_temperature: Scalar) -> jax.Array:
    """log pi(a|s) [A, S] = log rho + (Q - V) / temperature, normalised; the prior at terminal states."""
    q, log_prior = (jnp.where(mdp.terminal, 0.0, x) for x in (q, jnp.asarray(mdp.log_prior).T))
    return tilt(q, log_prior, action_temperature, axis=0)


def look_ahead(transition: Transition, v, temperature: Scalar, discount: Scalar = 1.0) -> jax.Array:
    """[A, S]: lme over the next state (weight discount P) and over the end (weight 1 - discount, value 0)."""
    v = jnp.asarray(v)
    discount = jnp.asarray(discount, v.dtype)
    if temperature_kind(temperature) == "mean":
        return discount * expectation(transition, v)
    if isinstance(transition, Dense):
        ahead = lme(v, safe_log(transition.probability), temperature, axis=-1).T
    else:
        ahead = lme(
            sweep.taken(v, jnp.asarray(transition.successor)),
            safe_log(transition.probability),
            temperature,
            axis=1,
        )
    return _or_end(_onward(ahead), temperature, discount)


def _onward(ahead):
    """Rows without successors, -inf, belong to actions that are never taken."""
    return jnp.where(ahead == -jnp.inf, 0.0, ahead)


def _or_end(ahead, temperature: Scalar, discount):
    """lme over going on, `ahead` with weight discount, and the end, 0 with weight 1 - discount.

    Shifted by the larger of the two, and with no logarithm of either weight: its derivative in the discount is finite
    at 0 and at 1 too.
    """
    discount = jnp.asarray(discount, ahead.dtype)
    if temperature_kind(temperature) == "max":
        log_weight = jnp.log(jnp.stack([discount, 1.0 - discount]))[:, None, None]
        return lme(jnp.stack([ahead, jnp.zeros_like(ahead)]), log_weight, temperature, axis=0)
    better = ahead > 0
    shrunk = jnp.exp(jnp.where(better, -ahead, ahead) / temperature)
    total = jnp.where(better, discount + (1.0 - discount) * shrunk, 1.0 - discount + discount * shrunk)
    # Where all weight is on the worse one and its ratio underflows, it is the answer itself.
    none = total == 0
    value = temperature * jnp.log(jnp.where(none, 1.0, total)) + jnp.where(better, ahead, 0.0)
    return jnp.where(none, jnp.where(better, 0.0, ahead), value)


def expectation(transition: Transition, v) -> jax.Array:
    """E[V(s') | s, a] as [A, S]."""
    v = jnp.asarray(v)
    if isinstance(transition, Dense):
        # Not `@`, which names the number format: transposed where 64-bit types are off, it would warn.
        return jax.lax.dot_general(jnp.asarray(transition.probability), v, (((2,), (0,)), ((), ()))).T
    successor, probability = jnp.asarray(transition.successor), jnp.asarray(transition.probability)

    def term(k):
        return probability[:, k] * sweep.taken(v, successor[:, k])

    return sweep.accumulate(lambda k, total: total + term(k), 1, successor.shape[1], term(0))


def tilted_dynamics(transition: Transition, v_next, temperature: Scalar, discount: Scalar = 1.0):
    """log P(s'|s,a) exp((V(s') - V_ahead(s,a)) / temperature): Dense or Sparse of log-probabilities.

    With discount < 1 the rows sum to the probability of going on.
    """
    log_p = safe_log(transition.probability)
    log_discount = jnp.log(jnp.asarray(discount, log_p.dtype))
    dense = isinstance(transition, Dense)
    if temperature_kind(temperature) == "mean":
        tilted = log_p + log_discount
    else:
        v_next = jnp.asarray(v_next)
        reached = v_next if dense else sweep.taken(v_next, jnp.asarray(transition.successor))
        axis = -1 if dense else 1
        among = tilt(reached, log_p, temperature, axis)
        ahead = lme(reached, log_p, temperature, axis)
        ahead = _onward(ahead)
        if temperature_kind(temperature) == "max":
            log_weight = jnp.stack([log_discount, jnp.log1p(-jnp.asarray(discount, log_p.dtype))])[
                :, None, None
            ]
            goes_on = tilt(jnp.stack([ahead, jnp.zeros_like(ahead)]), log_weight, temperature, axis=0)[0]
        else:
            goes_on = log_discount + (ahead - _or_end(ahead, temperature, discount)) / temperature
        tilted = among + jnp.expand_dims(goes_on, axis)
    return Dense(tilted) if dense else Sparse(transition.successor, tilted)
