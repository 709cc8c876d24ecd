"""Environments written in JAX: acting, stepping and learning of a seed are one function, for one compiled program."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from maxentrl.core.contracts import Agent, Env, Transition
from maxentrl.core.spaces import Space, flat, to_units
from maxentrl.learn import tally as tallies
from maxentrl.learn.tally import Tally


class Running(NamedTuple):
    """A run of one seed between two iterations: all that decides what comes next.

    agent: the agent's state. env: the states of its N environments. observation: float32 [N, d].
    score, length: [N], return and steps of the episodes under way.
    key, iteration: of the run. tally: since the last row.
    """

    agent: Any
    env: Any
    observation: jax.Array
    score: jax.Array
    length: jax.Array
    key: jax.Array
    iteration: jax.Array
    tally: Tally


def spaces(env: Env) -> tuple[Space, Space]:
    """Observation and action space of an environment that says what they are."""
    assert env.observation is not None and env.action is not None, env.name
    return env.observation, env.action


def begin(agent: Agent, env: Env, key) -> Running:
    """A run of one seed before its first step."""
    first, second, key = jax.random.split(key, 3)
    state = agent.init(first, *spaces(env))
    env_state, seen = jax.vmap(env.reset)(jax.random.split(second, agent.environments))
    count = agent.environments
    observation = flat(spaces(env)[0], seen)
    infos = jax.eval_shape(
        lambda s, o: _iteration(
            agent, env, s, env_state, o, jnp.zeros(count), jnp.zeros(count, jnp.int32), key
        )[-2],
        state,
        observation,
    )
    zero = jnp.zeros(count)
    return Running(
        state,
        env_state,
        observation,
        zero,
        zero.astype(jnp.int32),
        key,
        jnp.zeros((), jnp.int32),
        tallies.nothing(infos),
    )


def advance(agent: Agent, env: Env, running: Running, iterations) -> Running:
    """`iterations` times: T steps of N environments, then an update. A loop, so that their number is no new program."""

    def one(_, now: Running) -> Running:
        key, here = jax.random.split(now.key)
        state, env_state, observation, score, length, lived, info, over = _iteration(
            agent, env, now.agent, now.env, now.observation, now.score, now.length, here
        )
        tally = tallies.updated(now.tally, now.iteration, info, lived)
        tally = tallies.with_episodes(tally, over[0], over[1], over[2])
        return Running(state, env_state, observation, score, length, key, now.iteration + 1, tally)

    return jax.lax.fori_loop(0, iterations, one, running)


def evaluate(agent: Agent, env: Env, state, keys, limit: int) -> jax.Array:
    """Returns of the agent's most likely actions, one episode from each key [E]; at most `limit` steps long."""
    observation_space, action_space = spaces(env)

    def step(now):
        t, env_state, observation, score, alive, key = now
        key, here = jax.random.split(key)
        action = to_units(action_space, agent.mode(state, observation))
        env_state, answer = jax.vmap(env.step)(jax.random.split(here, len(keys)), env_state, action)
        score = score + jnp.where(alive, answer.reward, 0.0)
        alive = alive & ~(answer.terminated | answer.truncated)
        return t + 1, env_state, flat(observation_space, answer.observation), score, alive, key

    env_state, seen = jax.vmap(env.reset)(keys)
    start = (
        0,
        env_state,
        flat(observation_space, seen),
        jnp.zeros(len(keys)),
        jnp.ones(len(keys), bool),
        keys[0],
    )
    end = jax.lax.while_loop(lambda now: jnp.any(now[4]) & (now[0] < limit), step, start)
    return end[3]


def _iteration(agent: Agent, env: Env, state, env_state, observation, score, length, key):
    """T steps and an update of one seed; also which episodes ended, with their returns and lengths."""
    observation_space, action_space = spaces(env)
    count = agent.environments
    acting, learning = jax.random.split(key)

    def step(now, key):
        env_state, observation, score, length = now
        choose, move, anew = jax.random.split(key, 3)
        action = agent.act(state, choose, observation)
        reached, answer = jax.vmap(env.step)(
            jax.random.split(move, count), env_state, to_units(action_space, action)
        )
        seen = flat(observation_space, answer.observation)
        over = answer.terminated | answer.truncated
        score, length = score + answer.reward, length + 1
        fresh_state, fresh = jax.vmap(env.reset)(jax.random.split(anew, count))
        env_next = jax.tree.map(lambda new, old: jnp.where(_like(over, new), new, old), fresh_state, reached)
        observation_next = jnp.where(over[:, None], flat(observation_space, fresh), seen)
        lived = Transition(
            observation,
            action,
            answer.reward,
            seen,
            answer.terminated,
            answer.truncated,
            jnp.ones(count, bool),
        )
        carry = (env_next, observation_next, jnp.where(over, 0.0, score), jnp.where(over, 0, length))
        return carry, (lived, (over, score, length))

    carry = (env_state, observation, score, length)
    if agent.steps == 1:
        carry, one = step(carry, acting)
        lived, over = jax.tree.map(lambda x: x[None], one)
    else:
        carry, (lived, over) = jax.lax.scan(step, carry, jax.random.split(acting, agent.steps))
    state, info = agent.update(state, learning, lived)
    return state, *carry, lived, info, over


def _like(flags, array) -> jax.Array:
    return flags.reshape(flags.shape + (1,) * (np.ndim(array) - 1))
