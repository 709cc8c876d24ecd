"""Soft Q-learning with a network, a memory and a target network. Its limit at temperature 0 is DQN.

Convention: as in `soft_q`, the prior over actions is uniform and normalised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from maxentrl.agents.in_range import check_finite_temperature, check_numbers, check_share
from maxentrl.agents.soft_q import log_policy, soft_value
from maxentrl.agents.suitable import check_discrete
from maxentrl.core.check import InputError, check_discount
from maxentrl.core.contracts import Agent, Transition
from maxentrl.core.distributions import chosen
from maxentrl.core.soft import entropy, kl, tilt
from maxentrl.core.spaces import Discrete, Space, width
from maxentrl.learn.adam import Adam, at_rest, descend, falling
from maxentrl.learn.nets import forward, mlp
from maxentrl.learn.replay import Learner, about_target, from_memory, mean_of
from maxentrl.learn.targets import copied_every, polyak


@dataclass(frozen=True)
class SoftDQNSettings:
    """Settings of soft DQN.

    temperature: in units of reward, in [0, inf). At 0 it is DQN, and acts by `epsilon`. A good one is about the reward
        of a step: then states from which little care is needed are worth more than those where each action matters,
        which leads away from danger long before it is near, and the learned policy stays good.
    discount: in [0, 1].
    learning_rate: of Adam.
    decay: gradient steps over which the learning rate falls linearly to 0, after which nothing is learned any more;
        None keeps it. With a budget that is known, learning that comes to rest is what keeps a solved task solved.
    hidden: widths of the hidden layers; () is a linear map, and a table where observations are discrete.
    batch: steps drawn from memory for one gradient step.
    capacity: steps the memory holds.
    warmup: steps of uniform actions before the first gradient step.
    updates: gradient steps after every `steps` x `environments` steps.
    steps: steps of every environment that are handed over at once.
    environments: how many are acted in side by side.
    target_rate: in (0, 1], by how much of the difference the target network follows at every gradient step.
    target_interval: gradient steps between copies of the network to the target, instead of `target_rate`; None: none.
    huber: errors beyond it, in units of reward, count linearly; None squares all.
    double: whether the next action is chosen by the network and only judged by its target (van Hasselt et al. 2016).
    epsilon: in [0, 1], the chance of a uniform action instead of a best one, at temperature 0 only.
    epsilon_decay: gradient steps over which that chance falls from 1 to `epsilon`.
    """

    temperature: float = 1.0
    discount: float = 0.99
    learning_rate: float = 1e-3
    decay: int | None = None
    hidden: tuple[int, ...] = (64, 64)
    batch: int = 128
    capacity: int = 100_000
    warmup: int = 1000
    updates: int = 2
    steps: int = 1
    environments: int = 4
    target_rate: float = 0.02
    target_interval: int | None = None
    huber: float | None = None
    double: bool = False
    epsilon: float = 0.05
    epsilon_decay: int = 5000


class SoftDQN(NamedTuple):
    """online, target: layers of the network that learns, and of the one that follows it.

    optimiser: Adam's state. made: int32 [], gradient steps so far.
    """

    online: Any
    target: Any
    optimiser: Adam
    made: jax.Array


def soft_dqn(settings: SoftDQNSettings = SoftDQNSettings()) -> Agent:
    """The agent. Observations may be anything flat; actions are discrete.

        loss = mean over a batch of l( Q(s, a) - y ),   y = r + discount (1 - terminated) V_target(s')

    with l(e) = e^2 / 2, or Huber's, and the target y held constant. It acts with pi = rho exp((Q - V) / temperature).
    The most likely action is the one that is best under the network that learns.

    info of `update`: loss, entropy and temperature of the policy, value_gap (mean of Q - y), q (mean Q), target and
    target_spread (mean and standard deviation of y).

    Raises:
        InputError: for settings out of range.

    Source: Mnih et al. (2015) at temperature 0; Levine (2018), section 4.2. Departures: the target network follows
    smoothly, unless `target_interval` is given; Adam instead of RMSProp.
    """
    return from_memory("soft_dqn", settings, partial(check_discrete, "soft_dqn"), learner(settings))


def learner(settings: SoftDQNSettings) -> Learner:
    """What soft DQN makes of single batches.

    Raises:
        InputError: for settings out of range.
    """
    _check_settings(settings)
    temperature = settings.temperature

    def init(key, observation: Space, action: Space) -> SoftDQN:
        assert isinstance(action, Discrete)
        layers = mlp((width(observation), *settings.hidden, action.count)).init(key)
        return SoftDQN(layers, jax.tree.map(jnp.copy, layers), at_rest(layers), jnp.zeros((), jnp.int32))

    def exploring(state: SoftDQN):
        gone = jnp.minimum(state.made / settings.epsilon_decay, 1.0) if settings.epsilon_decay else 1.0
        return 1.0 + gone * (settings.epsilon - 1.0)

    def log_pi(state: SoftDQN, seen) -> jax.Array:
        return log_policy(values(state.online, seen), temperature, exploring(state))

    def act(state: SoftDQN, key, seen):
        return jax.random.categorical(key, log_pi(state, seen)).astype(jnp.int32)

    def mode(state: SoftDQN, seen):
        return jnp.argmax(values(state.online, seen), -1).astype(jnp.int32)

    def log_density(state: SoftDQN, seen, action):
        return chosen(log_pi(state, seen), action)

    def uniform(state: SoftDQN, key, seen):
        return jax.random.randint(key, seen.shape[:1], 0, state.online[-1].bias.shape[-1], jnp.int32)

    def learn(state: SoftDQN, key, batch: Transition):
        y = targets(
            state.target,
            state.online if settings.double else state.target,
            batch,
            temperature,
            settings.discount,
        )
        (loss, q), slope = jax.value_and_grad(q_loss, has_aux=True)(state.online, batch, y, settings.huber)
        held = chosen(q, batch.action)
        info = {
            "loss": loss,
            "entropy": mean_of(entropy(log_policy(q, temperature, exploring(state))), batch.valid),
            "temperature": jnp.asarray(temperature, q.dtype),
            "value_gap": mean_of(held - y, batch.valid),
            "q": mean_of(held, batch.valid),
            **about_target(y, batch.valid),
        }
        rate = falling(settings.learning_rate, state.made, settings.decay)
        online, memory = descend(slope, state.optimiser, state.online, rate)
        made = state.made + 1
        if settings.target_interval is None:
            target = polyak(state.target, online, settings.target_rate)
        else:
            target = copied_every(state.target, online, made, settings.target_interval)
        return SoftDQN(online, target, memory, made), info

    return Learner(init, act, mode, log_density, uniform, learn)


def values(layers, seen) -> jax.Array:
    """Q(s, .) [B, A] of observations [B, d]."""
    return forward(layers, seen)


def targets(judge, chooser, batch: Transition, temperature: float, discount: float) -> jax.Array:
    """y [B] = r + discount (1 - terminated) { E_pi[ Q_judge(s', .) ] - temperature KL(pi || rho) }.

    pi is the soft-optimal policy of the network `chooser`. Where both are one network the braces hold its soft value,
    exactly; at temperature 0 and with two, they hold Q_judge(s', argmax Q_chooser), the target of double DQN.
    """
    judged = values(judge, batch.next_observation)
    if chooser is judge:
        follows = soft_value(judged, temperature)
    else:
        log_rho = jnp.asarray(-math.log(judged.shape[-1]), judged.dtype)
        log_pi = tilt(values(chooser, batch.next_observation), log_rho, temperature)
        follows = jnp.sum(jnp.exp(log_pi) * judged, -1) - temperature * kl(log_pi, log_rho)
    return batch.reward + jnp.where(batch.terminated, 0.0, discount * follows)


def q_loss(layers, batch: Transition, y, huber: float | None) -> tuple[jax.Array, jax.Array]:
    """mean l( Q(s, a) - y ) of valid steps, y [B] constant: half the square, or Huber's loss, linear beyond `huber`.

    With it Q(s, .) [B, A].
    """
    q = values(layers, batch.observation)
    size = jnp.abs(chosen(q, batch.action) - y)
    near = size if huber is None else jnp.minimum(size, huber)
    each = near * (size - 0.5 * near)

    return mean_of(each, batch.valid), q


def _check_settings(settings: SoftDQNSettings) -> None:
    check_finite_temperature("soft_dqn", settings.temperature)
    check_discount(settings.discount)
    for what in ("epsilon", "target_rate"):
        check_share(f"soft_dqn: {what}", getattr(settings, what))
    check_numbers("soft_dqn", settings, {"epsilon_decay": 0}, {"learning_rate": 0, "target_rate": 0})
    for what in ("decay", "target_interval"):
        if getattr(settings, what) is not None:
            check_numbers("soft_dqn", settings, {what: 1}, {})
    if settings.huber is not None:
        check_numbers("soft_dqn", settings, {}, {"huber": 0})
    if any(wide < 1 for wide in settings.hidden):
        raise InputError(f"soft_dqn: hidden must hold widths of at least 1; got {settings.hidden}.")
