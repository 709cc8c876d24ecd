"""Soft actor-critic in its first form: a network for V beside the two critics, and a temperature that is given.

    value    mean (V(s) - [min_i Q_i(s, a) - temperature log pi(a|s)])^2 / 2
    critics  sum_i mean (Q_i(s, a) - [r + discount (1 - terminated) Vslow(s')])^2 / 2
    policy   mean [temperature log pi(a|s) - min_i Q_i(s, a)],    a = f(noise; s)

where the actions of the first and of the last line are drawn anew from the policy, and are the same; all three
gradients are taken at the same parameters. Then the slow value follows. Actions lie in [-1, 1]^m, and densities are
with respect to Lebesgue measure there.
Source: Haarnoja et al. (2018a), "Soft actor-critic: off-policy maximum entropy deep reinforcement learning", equations
5-13. Their temperature is 1 and rewards are scaled; a reward scale c is a temperature 1 / c here. Their code takes
Q_1 alone for the policy and penalises its mean and log_std; the paper does not, nor do we.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from maxentrl.agents.normal_policy import DENSITIES, acting
from maxentrl.agents.sac import (
    about_targets,
    bootstrapped,
    check_settings,
    continuous,
    critic_loss,
    policy_loss,
    values_of_actions,
)
from maxentrl.core.contracts import Agent, Transition
from maxentrl.core.spaces import Space, width
from maxentrl.learn.adam import Adam, at_rest, descend
from maxentrl.learn.nets import forward, mlp
from maxentrl.learn.replay import Learner, mean_of
from maxentrl.learn.targets import polyak


@dataclass(frozen=True)
class SACv1Settings:
    """What the first form of soft actor-critic can be told.

    discount: in [0, 1].
    temperature: in units of reward.
    hidden: widths of the hidden layers, of policy, critics and value alike.
    learning_rate: of Adam, for all.
    target_rate: the share of the way that the slow value goes towards the value at each gradient step.
    policy: "tanh_normal", whose actions lie in [-1, 1], or "normal", which is not squashed: for problems whose
        solution is a normal density. Environments clip its actions to their bounds.
    batch: steps drawn for one gradient step.
    capacity: steps remembered.
    warmup: steps of uniform actions before the first gradient step.
    updates: gradient steps after every `steps` x `environments` steps.
    steps, environments: how much is lived between gradient steps, and in how many environments side by side.
    """

    discount: float = 0.99
    temperature: float = 0.2
    hidden: tuple[int, ...] = (256, 256)
    learning_rate: float = 3e-4
    target_rate: float = 0.005
    policy: str = "tanh_normal"
    batch: int = 256
    capacity: int = 1_000_000
    warmup: int = 1000
    updates: int = 1
    steps: int = 1
    environments: int = 1


class SACv1State(NamedTuple):
    """policy, value, slow_value: layers. critics: layers of two, arrays [2, ...]. The others: Adam's."""

    policy: Any
    critics: Any
    value: Any
    slow_value: Any
    policy_adam: Adam
    critics_adam: Adam
    value_adam: Adam


def value_loss(value, batch: Transition, implied) -> tuple[jax.Array, jax.Array]:
    """mean (V(s) - what the critics imply)^2 / 2, and V [B]."""
    held = forward(value, batch.observation)[..., 0]
    return 0.5 * mean_of((held - implied) ** 2, batch.valid), held


def sac_v1(settings: SACv1Settings = SACv1Settings()) -> Agent:
    """Soft actor-critic with a network for the value, as in the words at the top of this file.

    info of `update`: critic_loss, policy_loss, value_loss, entropy, temperature, value (mean V of the network),
    target and target_spread (mean and standard deviation of the critics' targets), value_gap (mean of V minus what
    the critics imply, min_i Q_i - temperature log pi: 0 once all has converged) and critics_apart (mean |Q_1 - Q_2|).

    Raises:
        InputError: for settings out of range; `check` raises it for spaces without bounds or with discrete actions.
    """
    return continuous("sac_v1", settings, learner(settings))


def learner(settings: SACv1Settings) -> Learner:
    """What makes one gradient step of the first form from a batch, wherever that comes from."""
    check_settings("sac_v1", settings)
    density, rate = DENSITIES[settings.policy], settings.learning_rate

    def init(key, observation: Space, action: Space) -> SACv1State:
        seen, done = width(observation), width(action)
        critic = mlp((seen + done, *settings.hidden, 1))
        keys = jax.random.split(key, 4)
        policy = mlp((seen, *settings.hidden, 2 * done), last=0.01).init(keys[2])
        critics = jax.vmap(critic.init)(keys[:2])
        value = mlp((seen, *settings.hidden, 1)).init(keys[3])
        slow_value = jax.tree.map(jnp.array, value)
        return SACv1State(
            policy, critics, value, slow_value, at_rest(policy), at_rest(critics), at_rest(value)
        )

    def learn(state: SACv1State, key, batch: Transition) -> tuple[SACv1State, dict[str, jax.Array]]:
        target = bootstrapped(
            batch, forward(state.slow_value, batch.next_observation)[..., 0], settings.discount
        )
        (loss, values), gradient = jax.value_and_grad(critic_loss, has_aux=True)(state.critics, batch, target)
        critics, critics_adam = descend(gradient, state.critics_adam, state.critics, rate)

        noise = jax.random.normal(key, batch.action.shape, batch.action.dtype)
        (loss_policy, (log_density, implied)), gradient = jax.value_and_grad(policy_loss, has_aux=True)(
            state.policy,
            partial(values_of_actions, state.critics),
            density,
            settings.temperature,
            noise,
            batch,
        )
        policy, policy_adam = descend(gradient, state.policy_adam, state.policy, rate)

        (loss_value, held), gradient = jax.value_and_grad(value_loss, has_aux=True)(
            state.value, batch, implied
        )
        value, value_adam = descend(gradient, state.value_adam, state.value, rate)

        info = {
            "critic_loss": loss,
            "policy_loss": loss_policy,
            "value_loss": loss_value,
            "entropy": -mean_of(log_density, batch.valid),
            "temperature": jnp.asarray(settings.temperature),
            "value": mean_of(held, batch.valid),
            **about_targets(target, values, batch.valid),
            "value_gap": mean_of(held - implied, batch.valid),
        }
        slow_value = polyak(state.slow_value, value, settings.target_rate)
        return SACv1State(policy, critics, value, slow_value, policy_adam, critics_adam, value_adam), info

    return acting(density, init, learn)
