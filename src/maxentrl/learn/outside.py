"""Environments stepped from Python: one compiled call for each step, which learns from the last and chooses the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from maxentrl.core.check import InputError
from maxentrl.core.contracts import Agent, Arrived, Outside, Transition
from maxentrl.core.spaces import to_units
from maxentrl.learn import tally as tallies
from maxentrl.learn.compiling import often, once
from maxentrl.learn.replay import one_step
from maxentrl.learn.tally import Tally


class Learning(NamedTuple):
    """What lives in the compiled program: the agent, its key, the iterations so far, and the tally."""

    agent: Any
    key: jax.Array
    iteration: jax.Array
    tally: Tally


class Running(NamedTuple):
    """A run of one seed between two iterations.

    learning: the agent's side. world: what the environments need to come back to this step.
    action: what they do next, in the agent's units. observation: float32 [N, d].
    score, length: [N], return and steps of the episodes under way.
    """

    learning: Learning
    world: dict[str, np.ndarray]
    action: np.ndarray
    observation: np.ndarray
    score: np.ndarray
    length: np.ndarray


class Programs(NamedTuple):
    """The compiled programs of an agent, shared by all seeds.

    choose: (agent state, key, observation) -> action. learn: (learning, lived) -> learning.
    turn: `learn` and the next action in one call. mode: the most likely action.
    """

    choose: Callable[..., Any]
    turn: Callable[..., Any]
    mode: Callable[..., Any]


def programs(agent: Agent) -> Programs:
    """Compiled when they are first called; the agent's arrays are changed in place."""

    def turn(learning: Learning, lived: Transition, observation):
        key, here = jax.random.split(learning.key)
        learn, act = jax.random.split(here)
        state, info = agent.update(learning.agent, learn, lived)
        tally = tallies.updated(learning.tally, learning.iteration, info, lived)
        action = agent.act(state, act, observation)
        return Learning(state, key, learning.iteration + 1, tally), action

    def choose(learning: Learning, observation):
        key, here = jax.random.split(learning.key)
        return learning._replace(key=key), agent.act(learning.agent, here, observation)

    return Programs(often(choose, donate=(0,)), often(turn, donate=(0,)), often(agent.mode))


def begin(agent: Agent, world: Outside, programs: Programs, seed: int, key) -> Running:
    """A run of one seed before its first step."""
    lived = jax.tree.map(
        lambda x: jnp.zeros((agent.steps, world.count, *x.shape), x.dtype),
        one_step(world.observation, world.action),
    )

    @once  # compiled, not for speed: a compiled program's results share no memory, as what is changed in place must not
    def first(key):
        key, here = jax.random.split(key)
        state = agent.init(here, world.observation, world.action)
        infos = jax.eval_shape(agent.update, state, key, lived)[1]
        return Learning(state, key, jnp.zeros((), jnp.int32), tallies.nothing(infos))

    learning = first(key)
    observation = world.reset(seed)
    learning, action = programs.choose(learning, observation)
    zero = np.zeros(world.count, np.float32)
    return Running(learning, world.save(), np.asarray(action), observation, zero, zero.astype(np.int32))


def advance(agent: Agent, world: Outside, programs: Programs, running: Running, iterations: int) -> Running:
    """`iterations` times: T steps of N environments, then an update. The environments stand where `running` says.

    Raises:
        InputError: what the environments raise, with the step of the run.
    """
    learning, action, observation = running.learning, running.action, running.observation
    score, length = running.score.copy(), running.length.copy()
    finished: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for _ in range(iterations):
        lived: list[Transition] = []
        for t in range(agent.steps):
            if t:
                learning, drawn = programs.choose(learning, observation)
                action = np.asarray(drawn)
            native = np.asarray(to_units(world.action, action))
            try:
                arrived = world.step(native)
            except InputError as error:
                at = (int(learning.iteration) * agent.steps + t + 1) * world.count
                raise InputError(f"step {at} of the run, {error}") from error
            lived.append(_lived(observation, action, arrived))
            observation = arrived.observation
            score += np.where(arrived.valid, arrived.reward, 0)
            length += arrived.valid
            over = arrived.terminated | arrived.truncated
            if over.any():
                finished.append((over, score.copy(), length.copy()))
                score[over], length[over] = 0, 0
        together = jax.tree.map(lambda *x: np.stack(x), *lived)
        learning, drawn = programs.turn(learning, together, observation)
        action = np.asarray(drawn)
    tally = learning.tally
    for over, scores, lengths in finished:
        tally = tallies.with_episodes(tally, over, scores, lengths)
    return Running(learning._replace(tally=tally), world.save(), action, observation, score, length)


def evaluate(world: Outside, programs: Programs, state, seed: int, limit: int) -> np.ndarray:
    """Returns of the agent's most likely actions, one episode of each environment of `world` [N]."""
    observation = world.reset(seed)
    score, alive = np.zeros(world.count), np.ones(world.count, bool)
    for _ in range(limit):
        action = np.asarray(programs.mode(state, observation))
        arrived = world.step(np.asarray(to_units(world.action, action)))
        score += np.where(alive & arrived.valid, arrived.reward, 0)
        alive &= ~(arrived.terminated | arrived.truncated)
        if not alive.any():
            break
        observation = arrived.observation
    return score


def _lived(observation, action, arrived: Arrived) -> Transition:
    return Transition(
        observation,
        action,
        arrived.reward,
        arrived.next_observation,
        arrived.terminated,
        arrived.truncated,
        arrived.valid,
    )
