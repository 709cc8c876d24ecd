"""Soft actor-critic for a few discrete actions: every mean over actions is a sum.

    target  y = r + discount (1 - terminated) V(s'),   V(s) = sum_a pi(a|s) [min_i Q_i(s, a) - temperature log (A pi(a|s))]
    critics     sum_i mean (Q_i(s, a) - y)^2 / 2
    policy      mean of -V(s), with the critics held
    temperature mean of log temperature (H(pi(.|s)) - target entropy)

V takes the slow critics in the target. Entropy is paid for relative to the uniform policy, -KL(pi || 1/A) = H - log A,
so that an episode which lasts is not worth more for that alone; Christodoulou pays H, which shifts the reward of each
step by temperature log A.
Source: Christodoulou (2019), "Soft actor-critic for discrete action settings".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from maxentrl.agents.sac import (
    SACState,
    about_targets,
    begun,
    bootstrapped,
    check_settings,
    check_temperature_bounds,
    for_each,
)
from maxentrl.agents.suitable import check_discrete
from maxentrl.core.check import InputError
from maxentrl.core.contracts import Agent, Transition
from maxentrl.core.distributions import chosen
from maxentrl.core.soft import entropy
from maxentrl.core.spaces import Space, width
from maxentrl.learn.adam import descend
from maxentrl.learn.nets import forward, mlp
from maxentrl.learn.replay import Learner, from_memory, mean_of
from maxentrl.learn.targets import polyak


@dataclass(frozen=True)
class DiscreteSACSettings:
    """What discrete soft actor-critic can be told.

    discount: in [0, 1].
    temperature: in units of reward; None learns it.
    target_ratio: the entropy that a learned temperature keeps up, in units of log A, that of the uniform policy.
        The paper's is 0.98, which few actions reach only at temperatures that drown the reward.
    temperature_bounds: a learned temperature stays between these; it starts at 1, or at the nearer bound.
    hidden: widths of the hidden layers, of policy and critics alike; none: linear, and a table where states are one-hot.
    learning_rate: of Adam, for all.
    target_rate: the share of the way that the slow critics go towards the critics at each gradient step.
    batch: steps drawn for one gradient step.
    capacity: steps remembered.
    warmup: steps of uniform actions before the first gradient step.
    updates: gradient steps after every `steps` x `environments` steps.
    steps, environments: how much is lived between gradient steps, and in how many environments side by side.
    """

    discount: float = 0.99
    temperature: float | None = None
    target_ratio: float = 0.5
    temperature_bounds: tuple[float, float] = (math.exp(-10), math.exp(2))
    hidden: tuple[int, ...] = (256, 256)
    learning_rate: float = 3e-4
    target_rate: float = 0.005
    batch: int = 256
    capacity: int = 1_000_000
    warmup: int = 1000
    updates: int = 1
    steps: int = 1
    environments: int = 1


def soft_value(values, log_policy, temperature) -> jax.Array:
    """sum_a pi(a|s) [min_i Q_i(s, a) - temperature log (A pi(a|s))] [B]; values [i, B, A], log_policy [B, A]."""
    count = log_policy.shape[-1]
    free = jnp.min(values, 0) - temperature * (log_policy + math.log(count))
    return jnp.sum(jnp.exp(log_policy) * free, -1)


def action_values(critics, observation) -> jax.Array:
    """Q_i(s, .) of every critic [i, B, A]."""
    return jax.vmap(forward)(critics, for_each(critics, observation))


def log_probabilities(policy, observation) -> jax.Array:
    """log pi(.|s) [B, A]."""
    return jax.nn.log_softmax(forward(policy, observation))


def critic_loss(critics, batch: Transition, target) -> tuple[jax.Array, jax.Array]:
    """sum_i mean (Q_i(s, a) - y)^2 / 2, and Q(s, a) [i, B]."""
    values = jax.vmap(chosen, (0, None))(action_values(critics, batch.observation), batch.action)
    return 0.5 * jnp.sum(mean_of((values - target) ** 2, batch.valid)), values


def policy_loss(policy, values, temperature, batch: Transition):
    """mean of -V(s) with the critics' values [i, B, A] held, and with it log pi [B, A] and V [B].

    Up to what the policy does not move this is temperature KL(pi || exp(Q / temperature) / Z).
    """
    log_policy = log_probabilities(policy, batch.observation)
    value = soft_value(values, log_policy, temperature)
    return -mean_of(value, batch.valid), (log_policy, value)


def temperature_loss(log_temperature, entropies, target_entropy, valid) -> jax.Array:
    """mean of log temperature (H(pi(.|s)) - target entropy): with too little entropy the temperature rises."""
    return mean_of(log_temperature * (entropies - target_entropy), valid)


def discrete_sac(settings: DiscreteSACSettings = DiscreteSACSettings()) -> Agent:
    """Soft actor-critic with exact means over discrete actions, as in the words at the top of this file.

    info of `update`: critic_loss, policy_loss, entropy, temperature, value (mean V), target and target_spread (mean
    and standard deviation of y), value_gap (mean of min_i Q_i - y: what the critics hold beyond what they are told),
    critics_apart (mean |Q_1 - Q_2|), and target_out_of_reach: 1 where the learned temperature sits at a bound because
    the entropy is still off its target, and 0 elsewhere; the temperature adds up how far the entropy is off, so that a
    target which cannot be reached drives it there.

    Raises:
        InputError: for settings out of range; `check` raises it where actions are not discrete.
    """
    return from_memory("discrete_sac", settings, partial(check_discrete, "discrete_sac"), learner(settings))


def learner(settings: DiscreteSACSettings) -> Learner:
    """What makes one gradient step of discrete soft actor-critic from a batch, wherever that comes from."""
    check_settings("discrete_sac", settings)
    check_temperature_bounds("discrete_sac", settings.temperature_bounds)
    if not 0 < settings.target_ratio < 1:
        raise InputError(
            f"discrete_sac: target_ratio must lie in (0, 1), as no policy has more entropy than the uniform one; "
            f"got {settings.target_ratio}."
        )
    rate = settings.learning_rate
    low, high = (math.log(bound) for bound in settings.temperature_bounds)

    def init(key, observation: Space, action: Space) -> SACState:
        sizes = (width(observation), *settings.hidden, width(action))
        keys = jax.random.split(key, 3)
        policy = mlp(sizes, last=0.01).init(keys[2])
        return begun(policy, jax.vmap(mlp(sizes).init)(keys[:2]), settings)

    def learn(state: SACState, key, batch: Transition):
        del key  # nothing is sampled
        temperature = jnp.exp(state.log_temperature)

        log_policy = log_probabilities(state.policy, batch.next_observation)
        values = action_values(state.slow_critics, batch.next_observation)
        target = bootstrapped(batch, soft_value(values, log_policy, temperature), settings.discount)

        (loss, values), gradient = jax.value_and_grad(critic_loss, has_aux=True)(state.critics, batch, target)
        critics, critics_adam = descend(gradient, state.critics_adam, state.critics, rate)

        (loss_policy, (log_policy, value)), gradient = jax.value_and_grad(policy_loss, has_aux=True)(
            state.policy, action_values(critics, batch.observation), temperature, batch
        )
        policy, policy_adam = descend(gradient, state.policy_adam, state.policy, rate)

        entropies = entropy(log_policy)
        log_temperature, temperature_adam = state.log_temperature, state.temperature_adam
        stuck = jnp.zeros(())
        if settings.temperature is None:
            wanted = settings.target_ratio * math.log(log_policy.shape[-1])
            gradient = jax.grad(temperature_loss)(log_temperature, entropies, wanted, batch.valid)
            log_temperature, temperature_adam = descend(gradient, temperature_adam, log_temperature, rate)
            log_temperature = jnp.clip(log_temperature, low, high)
            stuck = jnp.where(
                gradient < 0, log_temperature >= high, (gradient > 0) & (log_temperature <= low)
            ).astype(jnp.float32)

        info = {
            "critic_loss": loss,
            "policy_loss": loss_policy,
            "entropy": mean_of(entropies, batch.valid),
            "temperature": temperature,
            "value": mean_of(value, batch.valid),
            **about_targets(target, values, batch.valid),
            "target_out_of_reach": stuck,
        }
        slow_critics = polyak(state.slow_critics, critics, settings.target_rate)
        return SACState(
            policy, critics, slow_critics, log_temperature, policy_adam, critics_adam, temperature_adam
        ), info

    def act(state, key, observation):
        return jax.random.categorical(key, forward(state.policy, observation)).astype(jnp.int32)

    def mode(state, observation):
        return jnp.argmax(forward(state.policy, observation), -1).astype(jnp.int32)

    def uniform(state, key, observation):
        count = state.policy[-1].bias.shape[-1]
        return jax.random.randint(key, observation.shape[:-1], 0, count, jnp.int32)

    def log_density(state, observation, action):
        return chosen(log_probabilities(state.policy, observation), action)

    return Learner(init, act, mode, log_density, uniform, learn)
