"""Messages over a finite horizon for tables: `backward`, `forward`, `evaluate`, `occupancy`.

The loop over time is one scan; memory grows with T S. Time runs t = 0 .. T-1 in arrays; the action at T-1 is
followed by no transition that matters, so the message after the end is `final_value`, 0 unless given.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from maxentrl.core.check import is_concrete
from maxentrl.core.machine import cores
from maxentrl.core.soft import kl, safe_log
from maxentrl.core.types import Scalar, Temperatures
from maxentrl.infer import backup as one
from maxentrl.infer import sending
from maxentrl.models.tabular import TabularMDP
from maxentrl.models.transition import Dense

LONG, LARGE = 16, 1 << 20
"""Steps and entries of successor lists from which a copy in order of arrival is worth the time it takes to make."""


def prepared(mdp: TabularMDP, horizon: int, *, weighted: bool) -> TabularMDP:
    """The problem, ready to send mass forward `horizon` times.

    `weighted`: whether all steps send with the same weights. They are then part of the copy, and each step gathers
    from one number per state; otherwise from one per action, which on a single core is no faster than to scatter.
    """
    lists = mdp.transition
    if not is_concrete(mdp) or isinstance(lists, Dense) or horizon < LONG or lists.probability.size < LARGE:
        return mdp
    return mdp.with_arrivals(weighted=weighted) if weighted or cores() > 1 else mdp


def rewards_in_time(mdp: TabularMDP):
    """The reward as something to scan over: None when it stays the same, else [T, S, A]."""
    return mdp.reward if mdp.reward.ndim == 3 else None


def backward(
    mdp: TabularMDP, temperatures: Temperatures, horizon: int, discount: Scalar = 1.0, final_value=None
):
    """Backward messages V [T+1, S], in units of reward: V[t] is temperature * log p(O_{t:T} | s_t).

    V[t] = backup(V[t+1]); Levine (2018), equations 4-9, with the temperature written out.
    """
    last = jnp.zeros(mdp.states, mdp.dtype) if final_value is None else jnp.asarray(final_value, mdp.dtype)
    last = jnp.where(mdp.terminal, 0.0, last)

    common = one.prepared(mdp, temperatures) if mdp.reward.ndim == 2 else None

    def step(v_next, reward):
        v = one.value_backup(mdp, v_next, temperatures, discount, reward, common)
        return v, v

    _, messages = jax.lax.scan(step, last, rewards_in_time(mdp), length=horizon, reverse=True)
    return jnp.concatenate([messages, last[None]])


def action_values(mdp: TabularMDP, v, state_temperature: Scalar, discount: Scalar = 1.0):
    """Q [T, A, S] from messages V [T+1, S]."""

    def step(_, inputs):
        v_next, reward = inputs
        return None, one.action_values(mdp, v_next, state_temperature, discount, reward)

    return jax.lax.scan(step, None, (v[1:], rewards_in_time(mdp)))[1]


def forward(mdp: TabularMDP, temperature: Scalar, horizon: int, discount: Scalar = 1.0):
    """Forward messages log p(s_t, O_{1:t-1}) [T, S] in the optimality model; -inf where nothing arrives.

    a_1 = p0;  a_{t+1}(s') = discount sum_{s,a} a_t(s) rho(a|s) exp(r_t(s,a)/temperature) P(s'|s,a).
    The actions are not normalised before they are sent on: that would drop p(O_t | s_t). What has reached a
    terminal state stays there.
    """
    log_initial = safe_log(mdp.initial)
    log_prior = jnp.where(mdp.terminal, -jnp.inf, jnp.asarray(mdp.log_prior).T)
    log_discount = jnp.log(jnp.asarray(discount, mdp.dtype))

    def common(reward):
        return sending.sending(mdp.transition, log_prior + jnp.asarray(reward).T / temperature)

    always = common(mdp.reward) if mdp.reward.ndim == 2 else None

    ends = jnp.any(jnp.asarray(mdp.terminal))

    def step(log_a, reward):
        arriving = (
            sending.send(mdp.transition, log_a, common(reward) if always is None else always) + log_discount
        )
        # Two more logarithms per state, where nothing ever stays, would be an eighth of the step.
        after = jax.lax.cond(
            ends,
            lambda: jnp.logaddexp(arriving, jnp.where(mdp.terminal, log_a, -jnp.inf)),
            lambda: arriving,
        )
        return after, log_a

    return jax.lax.scan(step, log_initial, rewards_in_time(mdp), length=horizon)[1]


def occupancy(mdp: TabularMDP, log_policy, discount: Scalar = 1.0):
    """Discounted state-action marginals [T, A, S] of a policy [T, A, S] from the start, given dynamics.

    mu_t(s,a) = discount^t Pr(s_t = s, a_t = a); terminal states hold no actions.
    """

    def step(d, log_pi):
        mass = jnp.where(mdp.terminal, 0.0, d * jnp.exp(log_pi))
        return discount * sending.push(mdp.transition, mass), mass

    return jax.lax.scan(step, jnp.asarray(mdp.initial), log_policy)[1]


def evaluate(mdp: TabularMDP, log_policy, temperature: Scalar, discount: Scalar = 1.0, final_value=None):
    """Soft values V [T+1, S] of any policy [T, A, S] under the given dynamics.

    V_t = E_pi[ r_t + discount E[V_{t+1}] ] - temperature KL(pi_t || rho). At temperature 0 the KL is not
    counted.
    """
    last = jnp.zeros(mdp.states, mdp.dtype) if final_value is None else jnp.asarray(final_value, mdp.dtype)
    last = jnp.where(mdp.terminal, 0.0, last)

    def step(v_next, inputs):
        log_pi, reward = inputs
        v = policy_backup(mdp, v_next, log_pi, temperature, discount, reward)
        return v, v

    _, values = jax.lax.scan(step, last, (log_policy, rewards_in_time(mdp)), reverse=True)
    return jnp.concatenate([values, last[None]])


def policy_backup(mdp: TabularMDP, v, log_pi, temperature: Scalar, discount: Scalar, reward=None):
    """E_pi[Q] - temperature KL(pi || rho) [S], for one step of the policy [A, S] under the given dynamics."""
    q = one.action_values(mdp, v, jnp.inf, discount, reward)
    value = jnp.sum(jnp.where(log_pi > -jnp.inf, jnp.exp(log_pi) * q, 0.0), 0)
    return jnp.where(mdp.terminal, 0.0, value - policy_cost(mdp, log_pi, temperature))


def policy_cost(mdp: TabularMDP, log_pi, temperature: Scalar):
    """temperature KL(pi || rho) [S]: what a policy pays for leaving its prior; nothing at temperature 0."""
    return temperature * kl(log_pi, jnp.asarray(mdp.log_prior).T, axis=0)
