"""Tabular soft Q-learning: one table, moved towards what each step showed, by steps that grow shorter.

Convention: the prior over actions is uniform and normalised, V = temperature * log mean_a exp(Q / temperature), so
that a step costs temperature * KL(pi || uniform), and nothing where the episode is over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from maxentrl.agents.in_range import check_finite_temperature, check_numbers, check_share
from maxentrl.agents.suitable import check_tabular
from maxentrl.core.check import InputError, check_discount
from maxentrl.core.contracts import Agent, Transition
from maxentrl.core.distributions import chosen
from maxentrl.core.soft import entropy, lme, tilt
from maxentrl.core.spaces import Discrete, Space
from maxentrl.learn.replay import mean_of


@dataclass(frozen=True)
class SoftQSettings:
    """Settings of tabular soft Q-learning.

    temperature: in units of reward, in [0, inf). At 0 it is Q-learning, and acts by `epsilon`.
    discount: in [0, 1].
    power: w in (0.5, 1]; the n-th step in the same state and action moves its entry by 1 / n^w of the error.
    epsilon: in [0, 1], the chance of a uniform action instead of a best one; only used at temperature 0, where the
        policy itself would not explore.
    steps: steps of every environment that are handed over at once.
    environments: how many are acted in side by side.
    """

    temperature: float = 0.1
    discount: float = 0.99
    power: float = 0.7
    epsilon: float = 0.1
    steps: int = 1
    environments: int = 1


class Table(NamedTuple):
    """q: [S, A], in units of reward. visits: int32 [S, A], how often each was updated."""

    q: jax.Array
    visits: jax.Array


def soft_q(settings: SoftQSettings = SoftQSettings()) -> Agent:
    """The agent. It acts where observations and actions are discrete; elsewhere `check` says who does.

        Q(s, a) += 1 / n(s, a)^w [ r + discount (1 - terminated) V(s') - Q(s, a) ]

    and it acts with pi = rho exp((Q - V) / temperature). Steps that arrive together are learned from one by one, in
    time's order.

    info of `update`: squared_error (of the target against Q), entropy and temperature of the policy, and value_gap (mean
    of Q - target).

    Raises:
        InputError: for settings out of range.

    Source: Watkins and Dayan (1992) at temperature 0; Fox, Pakman and Tishby (2016), equation 18; Levine (2018),
    section 4.2.
    """
    _check_settings(settings)
    temperature = settings.temperature

    def init(key, observation: Space, action: Space) -> Table:
        assert isinstance(observation, Discrete) and isinstance(action, Discrete)
        shape = (observation.count, action.count)
        return Table(jnp.zeros(shape), jnp.zeros(shape, jnp.int32))

    def log_pi(table: Table, seen) -> jax.Array:
        return log_policy(table.q[jnp.argmax(seen, -1)], temperature, settings.epsilon)

    def act(table: Table, key, seen):
        return jax.random.categorical(key, log_pi(table, seen)).astype(jnp.int32)

    def mode(table: Table, seen):
        return jnp.argmax(table.q[jnp.argmax(seen, -1)], -1).astype(jnp.int32)

    def log_density(table: Table, seen, action):
        return chosen(log_pi(table, seen), action)

    def update(table: Table, key, lived: Transition):
        def once(table: Table, step: Transition):
            error = td_error(table.q, step, temperature, settings.discount)
            s = jnp.argmax(step.observation)
            told = error, entropy(log_policy(table.q[s], temperature, settings.epsilon))
            count = table.visits[s, step.action] + step.valid
            rate = jnp.where(step.valid, jnp.maximum(count, 1).astype(error.dtype) ** -settings.power, 0.0)
            q = table.q.at[s, step.action].add(rate * jnp.where(step.valid, error, 0.0))
            return Table(q, table.visits.at[s, step.action].set(count)), told

        rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), lived)
        table, (errors, entropies) = jax.lax.scan(once, table, rows)
        return table, {
            "updates": jnp.sum(rows.valid, dtype=errors.dtype),
            "squared_error": mean_of(errors**2, rows.valid),
            "entropy": mean_of(entropies, rows.valid),
            "temperature": jnp.asarray(temperature, errors.dtype),
            "value_gap": -mean_of(errors, rows.valid),
        }

    return Agent(
        "soft_q", settings, partial(check_tabular, "soft_q"), init, act, mode, log_density, update, settings.steps,
        settings.environments,
    )  # fmt: skip


def td_error(q, step: Transition, temperature: float, discount: float) -> jax.Array:
    """r + discount (1 - terminated) V(s') - Q(s, a) of one step, [], for a table q [S, A].

    Its mean over s' is the soft Bellman backup minus Q, and so it is 0 for the optimum only.
    """
    value = soft_value(q[jnp.argmax(step.next_observation)], temperature)
    target = step.reward + jnp.where(step.terminated, 0.0, discount * value)
    return target - q[jnp.argmax(step.observation), step.action]


def soft_value(q, temperature: float) -> jax.Array:
    """V = temperature * log mean_a exp(q / temperature) of q [..., A]: the maximum at temperature 0."""
    return lme(q, jnp.asarray(-math.log(q.shape[-1]), q.dtype), temperature)


def log_policy(q, temperature: float, epsilon) -> jax.Array:
    """log pi [..., A] = (q - V) / temperature - log A.

    At temperature 0: the best actions, evenly, with chance 1 - epsilon, and any with chance epsilon.
    """
    log_pi = tilt(q, jnp.asarray(-math.log(q.shape[-1]), q.dtype), temperature)
    return log_pi if temperature > 0 else jnp.log((1.0 - epsilon) * jnp.exp(log_pi) + epsilon / q.shape[-1])


def _check_settings(settings: SoftQSettings) -> None:
    check_finite_temperature("soft_q", settings.temperature)
    check_discount(settings.discount)
    check_share("soft_q: epsilon", settings.epsilon)
    check_numbers("soft_q", settings, {"steps": 1, "environments": 1}, {})
    if not 0.5 < settings.power <= 1:
        raise InputError(
            f"soft_q: power must lie in (0.5, 1], or the steps do not settle; got {settings.power}."
        )
