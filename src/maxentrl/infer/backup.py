"""The soft Bellman backup with two temperatures, for full tables and for successor lists.

    Q(s, a) = r(s, a) + lme over { s' with weight discount P(s'|s,a); the end with weight 1 - discount } of V, t_state
    V(s)    = lme over rho(.|s) of Q(s, .), t_action

The discount is the chance to go on: with probability 1 - discount the process ends with value 0 (Levine 2018,
section 2.5). At t_state = inf this is the familiar r + discount * E[V]; at a finite t_state it is the exact message
of that graphical model. V is 0 at terminal states. Messages are [S]; anything per state and action is [A, S] here.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from maxentrl.core.soft import lme, temperature_kind, tilt
from maxentrl.core.types import Scalar, Temperatures
from maxentrl.models.tabular import Dense, Sparse, TabularMDP, Transition

UNROLL = 16
"""Successor lists up to this length are unrolled: XLA then fuses gathers and sums into one pass."""


def backup(mdp: TabularMDP, v, temperatures: Temperatures, discount: Scalar = 1.0, reward=None):
    """One backup of the message `v` [S]: returns Q [A, S] and the new V [S].

    `reward` [S, A] stands in for the reward of the problem (one time step of a reward that changes).
    """
    q = action_values(mdp, v, temperatures.state, discount, reward)
    v_new = lme(q, mdp.log_prior.T, temperatures.action, axis=0)
    return q, jnp.where(mdp.terminal, 0.0, v_new)


def action_values(mdp: TabularMDP, v, state_temperature: Scalar, discount: Scalar = 1.0, reward=None) -> jax.Array:
    """Q [A, S]: the step over next states, plus the reward."""
    reward = mdp.reward if reward is None else reward
    return jnp.asarray(reward).T + look_ahead(mdp.transition, v, state_temperature, discount)


def log_policy(mdp: TabularMDP, q, action_temperature: Scalar) -> jax.Array:
    """log pi(a|s) [A, S] = log rho + (Q - V) / temperature, normalised over actions; the prior at terminal states."""
    log_prior = jnp.asarray(mdp.log_prior).T
    chosen = tilt(q, log_prior, action_temperature, axis=0)
    return jnp.where(mdp.terminal, tilt(jnp.zeros_like(q), jnp.where(mdp.terminal, 0.0, log_prior), 1.0, 0), chosen)


def look_ahead(transition: Transition, v, temperature: Scalar, discount: Scalar = 1.0) -> jax.Array:
    """[A, S]: lme over the next state (weight discount P) and over the end (weight 1 - discount, value 0)."""
    kind = temperature_kind(temperature)
    if kind == "mean":
        return discount * expectation(transition, v)
    if isinstance(transition, Dense):
        ahead = lme(v, jnp.log(transition.probability), temperature, axis=-1).T
    else:
        ahead = lme(jnp.asarray(v)[transition.successor], jnp.log(transition.probability), temperature, axis=1)
    ahead = jnp.where(jnp.isfinite(ahead), ahead, 0.0)  # rows without successors belong to actions that are never taken
    log_weight = jnp.log(jnp.stack([discount, 1.0 - discount]).astype(ahead.dtype))
    both = jnp.stack([ahead, jnp.zeros_like(ahead)])
    return lme(both, log_weight[:, None, None], temperature, axis=0)


def expectation(transition: Transition, v) -> jax.Array:
    """E[V(s') | s, a] as [A, S]."""
    v = jnp.asarray(v)
    if isinstance(transition, Dense):
        return jnp.einsum("sat,t->as", transition.probability, v)
    successor, probability = jnp.asarray(transition.successor), jnp.asarray(transition.probability)

    def term(k):
        return probability[:, k] * v.at[successor[:, k]].get(mode="promise_in_bounds")

    count = successor.shape[1]
    if count <= UNROLL:
        return sum((term(k) for k in range(1, count)), term(0))
    return jax.lax.fori_loop(1, count, lambda k, total: total + term(k), term(0))


def push(transition: Transition, mass) -> jax.Array:
    """Send mass [A, S] one step on: [S], sum over (s, a) of mass(s, a) P(s'|s,a). The transpose of `expectation`."""
    if isinstance(transition, Dense):
        return jnp.einsum("sat,as->t", transition.probability, mass)
    flow = jnp.asarray(transition.probability) * mass[:, None, :]
    start = jnp.zeros(mass.shape[1], flow.dtype)
    return start.at[transition.successor].add(flow, mode="promise_in_bounds")


def log_push(transition: Transition, log_mass) -> jax.Array:
    """`push` in logs: log sum over (s, a) of exp(log_mass) P(s'|s,a), safe at any range; -inf where nothing arrives."""
    if isinstance(transition, Dense):
        return lme(log_mass.T[:, :, None], jnp.log(transition.probability), 1.0, axis=(0, 1))
    log_flow = log_mass[:, None, :] + jnp.log(transition.probability)
    nothing = jnp.full(log_mass.shape[1], -jnp.inf, log_flow.dtype)
    top = nothing.at[transition.successor].max(log_flow)
    finite = jnp.where(jnp.isfinite(top), top, 0.0)
    total = jnp.zeros_like(top).at[transition.successor].add(jnp.exp(log_flow - finite[transition.successor]))
    return jnp.where(total > 0, finite + jnp.log(jnp.where(total > 0, total, 1.0)), -jnp.inf)


def tilted_dynamics(transition: Transition, v_next, temperature: Scalar, discount: Scalar = 1.0):
    """log P(s'|s,a) exp((V(s') - V_ahead(s,a)) / temperature): Dense or Sparse of log-probabilities.

    With discount < 1 the rows sum to the probability of going on.
    """
    log_p = jnp.log(jnp.asarray(transition.probability))
    log_discount = jnp.log(jnp.asarray(discount, log_p.dtype))
    dense = isinstance(transition, Dense)
    if temperature_kind(temperature) == "mean":
        tilted = log_p + log_discount
    else:
        reached = jnp.asarray(v_next) if dense else jnp.asarray(v_next)[transition.successor]
        axis = -1 if dense else 1
        among = tilt(reached, log_p, temperature, axis)
        ahead = lme(reached, log_p, temperature, axis)
        ahead = jnp.where(jnp.isfinite(ahead), ahead, 0.0)
        log_weight = jnp.stack([log_discount, jnp.log1p(-jnp.asarray(discount, log_p.dtype))])[:, None, None]
        goes_on = tilt(jnp.stack([ahead, jnp.zeros_like(ahead)]), log_weight, temperature, axis=0)[0]
        tilted = among + jnp.expand_dims(goes_on, axis)
    return Dense(tilted) if dense else Sparse(transition.successor, tilted)


def chain(mdp: TabularMDP, v, temperatures: Temperatures, discount: Scalar = 1.0) -> Transition:
    """The derivative of the backup at `v`: the Markov chain of the tilted policy and dynamics, as a one-action `Transition`.

    d backup(v)[s] / d v[s'] = sum_a pi(a|s) discount P_tilted(s'|s,a); rows of terminal states are empty. Its matrix
    product is `expectation(chain, x)[0]`, its transpose `push(chain, x[None])`.
    """
    log_pi = log_policy(mdp, action_values(mdp, v, temperatures.state, discount), temperatures.action)
    log_pi = jnp.where(mdp.terminal, -jnp.inf, log_pi)
    tilted = tilted_dynamics(mdp.transition, v, temperatures.state, discount)
    if isinstance(tilted, Dense):
        return Dense(jnp.exp(lme(log_pi.T[:, :, None] + tilted.probability, None, 1.0, axis=1))[:, None])
    weight = jnp.exp(log_pi[:, None, :] + tilted.probability)
    flat = (1, weight.shape[0] * weight.shape[1], weight.shape[2])
    return Sparse(jnp.asarray(tilted.successor).reshape(flat), weight.reshape(flat))
