"""A memory of steps, and how an agent that learns from single batches becomes one that learns from it.

One step is one row of floats, and the memory one array of rows: to store a step is to write one place, and to draw a
batch is to gather whole rows. Whole numbers below 2^24 are exact in float32, so that discrete actions lie there too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from maxentrl.core.check import InputError
from maxentrl.core.contracts import Agent, Transition
from maxentrl.core.spaces import Discrete, Space, width


class Memory(NamedTuple):
    """rows: float32 [capacity, width]; written: int32 [], how many steps were ever stored."""

    rows: jax.Array
    written: jax.Array


def empty(capacity: int, like: Transition) -> Memory:
    """A memory for steps whose fields have the shapes of `like`, a single step."""
    return Memory(jnp.zeros((capacity, _pack(like, 0).shape[-1])), jnp.zeros((), jnp.int32))


def store(memory: Memory, steps: Transition) -> Memory:
    """Write steps [n, ...] behind the last ones, over the oldest; rows that are not valid leave no trace."""
    rows = _pack(steps, 1)
    capacity, n = len(memory.rows), len(rows)
    if n == 1:
        at = memory.written % capacity
        old = jax.lax.dynamic_slice_in_dim(memory.rows, at, 1)
        new = jax.lax.dynamic_update_slice_in_dim(
            memory.rows, jnp.where(steps.valid[:, None], rows, old), at, 0
        )
        return Memory(new, memory.written + steps.valid[0].astype(jnp.int32))
    place = jnp.cumsum(steps.valid) - 1
    at = jnp.where(steps.valid, (memory.written + place) % capacity, capacity)
    return Memory(
        memory.rows.at[at].set(rows, mode="drop"), memory.written + jnp.sum(steps.valid, dtype=jnp.int32)
    )


def draw(memory: Memory, key, count: int, like: Transition) -> Transition:
    """`count` steps, each any of those stored with equal chance (up to 1 part in 2^32 / stored), with replacement."""
    held = jnp.clip(memory.written, 1, len(memory.rows)).astype(jnp.uint32)
    rows = memory.rows.at[jax.random.bits(key, (count,)) % held].get(mode="promise_in_bounds")
    return _unpack(rows, like)


def mean_of(values, valid) -> jax.Array:
    """Mean over the rows that were lived through; values [..., B]."""
    return jnp.sum(jnp.where(valid, values, 0.0), -1) / jnp.maximum(jnp.sum(valid), 1)


def about_target(target, valid) -> dict[str, jax.Array]:
    """What the log says of targets [B]: their mean and standard deviation."""
    mean = mean_of(target, valid)
    return {"target": mean, "target_spread": jnp.sqrt(mean_of((target - mean) ** 2, valid))}


def one_step(observation: Space, action: Space) -> Transition:
    """A step of zeros, for its shapes."""
    seen, flag = jnp.zeros(width(observation)), jnp.zeros((), bool)
    done = jnp.zeros((), jnp.int32) if isinstance(action, Discrete) else jnp.zeros(width(action))
    return Transition(seen, done, jnp.zeros(()), seen, flag, flag, flag)


class Learner(NamedTuple):
    """An agent that learns from one batch of steps, wherever they come from.

    init: (key, observation space, action space) -> state.
    act, mode, log_density: as in `Agent`.
    uniform: (state, key, observation [N, d]) -> actions drawn evenly from all.
    learn: (state, key, Transition [B, ...]) -> (state, info): one gradient step.
    """

    init: Callable[[jax.Array, Space, Space], Any]
    act: Callable[[Any, jax.Array, Any], Any]
    mode: Callable[[Any, Any], Any]
    log_density: Callable[[Any, Any, Any], Any]
    uniform: Callable[[Any, jax.Array, Any], Any]
    learn: Callable[[Any, jax.Array, Transition], tuple[Any, dict[str, jax.Array]]]


class Remembering(NamedTuple):
    """learner: what is learned. memory: what was lived. seen: int32 [], steps so far."""

    learner: Any
    memory: Memory
    seen: jax.Array


@runtime_checkable
class MemorySettings(Protocol):
    """What the settings of an agent with a memory say of it; the words are those of `off_policy`."""

    @property
    def capacity(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def warmup(self) -> int: ...
    @property
    def updates(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def environments(self) -> int: ...


def from_memory(
    name: str, settings: MemorySettings, check: Callable[[Space, Space], None], learner: Learner
) -> Agent:
    """The `Agent` of `off_policy` whose counts stand in its settings."""
    return off_policy(
        name,
        settings,
        check,
        learner,
        capacity=settings.capacity,
        batch=settings.batch,
        warmup=settings.warmup,
        updates=settings.updates,
        steps=settings.steps,
        environments=settings.environments,
    )


def off_policy(
    name: str,
    settings: Any,
    check: Callable[[Space, Space], None],
    learner: Learner,
    *,
    capacity: int,
    batch: int,
    warmup: int,
    updates: int = 1,
    steps: int = 1,
    environments: int = 1,
) -> Agent:
    """An `Agent` that stores what it lives and makes `updates` gradient steps from memory after every T x N steps.

    Args:
        name, settings, check: as in `Agent`.
        learner: what makes one gradient step.
        capacity: steps the memory holds.
        batch: steps drawn for one gradient step.
        warmup: steps of uniform actions before the first gradient step.
        updates: gradient steps after every `steps` x `environments` steps.

    Raises:
        InputError: for counts that make no sense together.
    """
    for what, value, least in (
        ("capacity", capacity, 1), ("batch", batch, 1), ("warmup", warmup, 0), ("updates", updates, 1),
        ("steps", steps, 1), ("environments", environments, 1),
    ):  # fmt: skip
        if value < least:
            raise InputError(f"{name}: {what} must be at least {least}; got {value}.")
    if steps * environments > capacity:
        raise InputError(
            f"{name}: {steps} steps of {environments} environments do not fit a memory of {capacity}."
        )

    learn = jax.jit(learner.learn)  # compiled as a part of what calls it; traced but once

    def init(key, observation: Space, action: Space):
        state = learner.init(key, observation, action)
        return Remembering(state, empty(capacity, one_step(observation, action)), jnp.zeros((), jnp.int32))

    def act(state: Remembering, key, observation):
        if warmup == 0:
            return learner.act(state.learner, key, observation)
        return jax.lax.cond(
            state.seen < warmup,
            lambda: learner.uniform(state.learner, key, observation),
            lambda: learner.act(state.learner, key, observation),
        )

    def update(state: Remembering, key, lived: Transition):
        like = jax.tree.map(lambda x: jnp.zeros(x.shape[2:], x.dtype), lived)
        memory = store(state.memory, jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), lived))
        seen = state.seen + jnp.sum(lived.valid, dtype=jnp.int32)

        def once(current, key):
            pick, rest = jax.random.split(key)
            return learn(current, rest, draw(memory, pick, batch, like))

        def learning(current):
            if updates == 1:
                new, info = once(current, key)
                return new, {"updates": jnp.ones(()), **info}
            new, infos = jax.lax.scan(once, current, jax.random.split(key, updates))
            return new, {
                "updates": jnp.full((), float(updates)),
                **{k: jnp.mean(x) for k, x in infos.items()},
            }

        def waiting(current):
            shapes = jax.eval_shape(learning, current)[1]
            return current, {k: jnp.zeros(x.shape, x.dtype) for k, x in shapes.items()}

        ready = (seen >= warmup) & (memory.written > 0)
        new, info = jax.lax.cond(ready, learning, waiting, state.learner)
        return Remembering(new, memory, seen), info

    return Agent(
        name,
        settings,
        check,
        init,
        act,
        lambda state, observation: learner.mode(state.learner, observation),
        lambda state, observation, action: learner.log_density(state.learner, observation, action),
        update,
        steps,
        environments,
    )


def _pack(step: Transition, leading: int) -> jax.Array:
    parts = [jnp.asarray(x, jnp.float32).reshape(*jnp.shape(x)[:leading], -1) for x in step[:-1]]
    return jnp.concatenate(parts, -1)


def _unpack(rows, like: Transition) -> Transition:
    fields, at = [], 0
    for x in like[:-1]:
        size = max(1, x.size)
        part = rows[:, at : at + size].reshape(-1, *x.shape)
        fields.append(part > 0.5 if x.dtype == bool else part.astype(x.dtype))
        at += size
    fields.append(jnp.ones(len(rows), bool))
    return Transition(*fields)
