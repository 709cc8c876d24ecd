"""The posterior over trajectories, given that every step was optimal: messages, marginals, dynamics, samples.

    p(tau, O) = p0(s_1) prod_t rho(a_t|s_t) exp(r_t(s_t,a_t) / temperature) P(s_{t+1}|s_t,a_t)

With `dynamics="posterior"` this is exact inference: start, policy and dynamics are all tilted towards reward,
so in a stochastic world the answer is optimistic. With `dynamics="given"` the start and the dynamics are held
at what they are and only the policy is fitted: the variational answer, whose log evidence is a lower bound
(Levine 2018, sections 2-3).
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer

from maxentrl.core.check import (
    InputError,
    check_choice,
    check_discount,
    check_horizon,
    check_temperature,
    is_concrete,
)
from maxentrl.core.precision import in_double_precision
from maxentrl.core.soft import safe_log, temperature_kind, tilt
from maxentrl.core.types import Array, Dynamics, Scalar, Temperatures
from maxentrl.core.words import many
from maxentrl.infer import backup as one
from maxentrl.infer import sending, tabular
from maxentrl.models.tabular import TabularMDP
from maxentrl.models.transition import Dense, Sparse, Transition


class Posterior(eqx.Module):
    """What is known about a trajectory of T steps once all of it was optimal.

    log_evidence: log p(O_{1:T}), nats; with given dynamics the evidence lower bound of the best policy.
    v: backward messages [T+1, S], in units of reward: log p(O_{t:T} | s_t) * temperature.
    log_forward: forward messages log p(s_t, O_{1:t-1}) [T, S], nats.
    log_policy: log pi_t(a | s) [T, S, A].
    log_initial: log of the start distribution [S], tilted when the dynamics are.
    log_state: log p(s_t | O_{1:T}) [T, S]. A discount below 1 lets trajectories end: the rows then sum to the
        probability of not having ended; what has reached a terminal state is counted there.
    log_state_action: log p(s_t, a_t | O_{1:T}) [T, S, A]; terminal states hold no actions.
    """

    mdp: TabularMDP
    temperatures: Temperatures
    discount: Scalar
    log_evidence: Float[Array, ""]
    log_forward: Float[Array, "T S"]
    v: Float[Array, "T+1 S"]
    log_policy: Float[Array, "T S A"]
    log_initial: Float[Array, "S"]
    log_state: Float[Array, "T S"]
    log_state_action: Float[Array, "T S A"]

    @in_double_precision
    def log_dynamics(self, t: int | Integer[Array, ""]) -> Transition:
        """log p(s_{t+1} | s_t, a_t, O) as `Dense` [S, A, S] or `Sparse` [A, K, S] log-probabilities.

        t runs from 0 to T-2. With given dynamics these are the logs of the transition probabilities.

        Raises:
            InputError: for any other t.
        """
        last = self.log_policy.shape[-3] - 2
        if is_concrete(t) and not 0 <= int(t) <= last:
            raise InputError(f"t must be a step that has a next one, from 0 to {last}; got {t}.")
        return one.tilted_dynamics(self.mdp.transition, self.v[t + 1], self.temperatures.state, self.discount)

    @in_double_precision
    def log_pairs(self, t: int | Integer[Array, ""]) -> Transition:
        """log p(s_t, a_t, s_{t+1} | O), laid out as `log_dynamics`."""
        dynamics, mass = self.log_dynamics(t), jnp.asarray(self.log_state_action[t])
        if isinstance(dynamics, Dense):
            return Dense(mass[:, :, None] + dynamics.probability)
        return Sparse(dynamics.successor, mass.T[:, None, :] + dynamics.probability)

    @in_double_precision
    def sample(
        self, key: jax.Array, count: int
    ) -> tuple[Integer[Array, "count T"], Integer[Array, "count T"], Integer[Array, "count"]]:
        """Draw `count` trajectories exactly: states [count, T], actions [count, T], lengths [count] in steps.

        A trajectory ends at a terminal state or with the discount; entries past its length are -1.
        """
        return _sample(eqx.tree_at(lambda post: post.mdp, self, self.mdp.bare()), key, count)


@in_double_precision
def posterior(
    mdp: TabularMDP,
    *,
    temperature: Scalar,
    horizon: int,
    dynamics: Dynamics = "posterior",
    discount: Scalar = 1.0,
) -> Posterior:
    """Exact inference in the optimality model over `horizon` steps.

    Args:
        mdp: the problem; its reward may change with time, [T, S, A].
        temperature: in (0, inf), units of reward: log p(O | s, a) = reward / temperature.
        horizon: T, steps.
        dynamics: "posterior" for exact (optimistic) inference; "given" for control under the dynamics as they
            are.
        discount: the chance, in [0, 1], that the process goes on after each step.

    Returns:
        A `Posterior`. d log_evidence / d reward[t] is exp(log_state_action[t]) / temperature.

    Raises:
        InputError: for a temperature of 0 or inf (the posterior is a limit there: use `solve`), a bad
            horizon, a reward whose length in time is not the horizon.

    Source: Levine (2018), equations 4-14, with forward messages as in Rabiner (1989).
    """
    check_temperature(temperature)
    if temperature_kind(temperature) != "soft":
        raise InputError(
            f"posterior needs a temperature in (0, inf); got {temperature}. The limits are answered by solve."
        )
    if horizon is None:
        raise InputError("posterior needs a horizon: a whole number of steps, at least 1; got None.")
    check_horizon(horizon)
    check_discount(discount)
    check_choice(dynamics, ("given", "posterior"), "dynamics")
    check_reward_length(mdp, horizon)
    mdp.check_memory(horizon, copies=1 + mdp.actions)
    run = _posterior_given if dynamics == "given" else _posterior_tilted
    ready = tabular.prepared(mdp.bare(), horizon, weighted=mdp.reward.ndim == 2)
    found = run(ready, jnp.asarray(temperature, mdp.dtype), jnp.asarray(discount, mdp.dtype), horizon)
    return eqx.tree_at(lambda post: post.mdp, found, mdp)


def check_reward_length(mdp: TabularMDP, horizon: int | None) -> None:
    """A reward that changes with time covers exactly the horizon."""
    if mdp.reward.ndim == 3 and horizon is None:
        raise InputError(
            "a reward that changes with time, [T, S, A], needs a finite horizon; got horizon None."
        )
    if mdp.reward.ndim == 3 and mdp.reward.shape[0] != horizon:
        raise InputError(f"reward covers {many(mdp.reward.shape[0], 'step')}, but the horizon is {horizon}.")


@eqx.filter_jit
def _posterior_given(mdp, temperature, discount, horizon):
    return _messages(mdp, Temperatures(temperature, jnp.inf), discount, horizon)


@eqx.filter_jit
def _posterior_tilted(mdp, temperature, discount, horizon):
    return _messages(mdp, Temperatures(temperature, temperature), discount, horizon)


def _messages(mdp: TabularMDP, temperatures: Temperatures, discount, horizon: int) -> Posterior:
    temperature = temperatures.action
    v = tabular.backward(mdp, temperatures, horizon, discount)
    q = tabular.action_values(mdp, v, temperatures.state, discount)
    log_pi = jax.vmap(lambda q_t: one.log_policy(mdp, q_t, temperature))(q)
    log_evidence = one.start_value(mdp, v[0], temperatures.state) / temperature
    log_initial = tilt(v[0], safe_log(mdp.initial), temperatures.state, axis=0)
    log_state, log_state_action = roll_out(mdp, log_initial, log_pi, v, temperatures.state, discount)
    return Posterior(
        mdp=mdp,
        temperatures=temperatures,
        discount=discount,
        log_evidence=log_evidence,
        v=v,
        log_forward=tabular.forward(mdp, temperature, horizon, discount),
        log_policy=log_pi.swapaxes(1, 2),
        log_initial=log_initial,
        log_state=log_state,
        log_state_action=log_state_action.swapaxes(1, 2),
    )


def roll_out(
    mdp: TabularMDP, log_initial: Array, log_pi: Array, v: Array, state_temperature: Scalar, discount: Scalar
) -> tuple[jax.Array, jax.Array]:
    """Marginals log p(s_t) [T, S] and log p(s_t, a_t) [T, A, S], sent forward with these dynamics."""

    def step(log_d, inputs):
        log_pi_t, v_next = inputs
        log_mass = jnp.where(mdp.terminal, -jnp.inf, log_d + log_pi_t)
        arriving = _push_tilted(mdp.transition, log_mass, v_next, state_temperature, discount)
        log_d_next = jnp.logaddexp(arriving, jnp.where(mdp.terminal, log_d, -jnp.inf))
        return log_d_next, (log_d, log_mass)

    return jax.lax.scan(step, log_initial, (log_pi, v[1:]))[1]


def _push_tilted(transition, log_mass, v_next, state_temperature, discount):
    """`log_push` through tilted dynamics P exp((V' - V_ahead) / t): tilt what leaves, then what arrives."""
    if temperature_kind(state_temperature) == "mean":
        return sending.log_push(transition, log_mass) + jnp.log(jnp.asarray(discount, log_mass.dtype))
    ahead = one.look_ahead(transition, v_next, state_temperature, discount)
    sent = sending.log_push(transition, log_mass - ahead / state_temperature)
    return sent + jnp.asarray(v_next) / state_temperature + jnp.log(jnp.asarray(discount, log_mass.dtype))


@eqx.filter_jit
def _sample(post: Posterior, key, count: int):
    mdp, horizon = post.mdp, post.log_policy.shape[0]

    def dynamics_row(v_next, state, action):
        if isinstance(mdp.transition, Dense):
            log_p = jnp.log(jnp.asarray(mdp.transition.probability)[state, action])
            reached = jnp.arange(mdp.states, dtype=jnp.int32)
        else:
            log_p = jnp.log(jnp.asarray(mdp.transition.probability)[action, :, state])
            reached = jnp.asarray(mdp.transition.successor)[action, :, state]
        score = (
            log_p
            if temperature_kind(post.temperatures.state) == "mean"
            else (log_p + jnp.asarray(v_next)[reached] / post.temperatures.state)
        )
        score = jnp.where(
            log_p > -jnp.inf, score + jnp.log(jnp.asarray(post.discount, score.dtype)), -jnp.inf
        )
        end = jnp.log1p(-jnp.asarray(post.discount, score.dtype))
        return jnp.append(score, end), jnp.append(reached, jnp.int32(-1))

    def one_trajectory(key):
        first, rest = jax.random.split(key)
        start = _choose(first, jnp.asarray(post.log_initial))

        def step(state, inputs):
            key, log_pi, v_next = inputs
            alive = (state >= 0) & ~jnp.asarray(mdp.terminal)[state]
            for_action, for_state = jax.random.split(key)
            action = _choose(for_action, jnp.asarray(log_pi)[state])
            score, reached = dynamics_row(v_next, state, action)
            state_next = jnp.where(alive, reached[_choose(for_state, score)], -1)
            return state_next, (jnp.where(alive, state, -1), jnp.where(alive, action, -1))

        keys = jax.random.split(rest, horizon)
        _, (states, actions) = jax.lax.scan(
            step, start, (keys, jnp.asarray(post.log_policy), jnp.asarray(post.v[1:]))
        )
        return states, actions, jnp.sum(actions >= 0)

    return jax.vmap(one_trajectory)(jax.random.split(key, count))


def _choose(key, score):
    """An index drawn with probability exp(score) / sum, int32, by inverting the cumulative sum.

    The uniform number has 53 bits from two 32-bit draws: 64-bit draws do not survive a `jit` from outside the
    float64 scope, and 32 bits would never see what is rarer than 2^-32. It is below 1, so what is impossible
    is never drawn.
    """
    high, low = jax.random.bits(key, (2,), jnp.uint32).astype(jnp.float64)
    uniform = high * 2.0**-32 + jnp.floor(low * 2.0**-11) * 2.0**-53
    top = jnp.max(score)
    total = jnp.cumsum(jnp.exp(score - jnp.where(jnp.isfinite(top), top, 0.0)).astype(jnp.float64))
    return jnp.sum(total <= uniform * total[-1], dtype=jnp.int32)
