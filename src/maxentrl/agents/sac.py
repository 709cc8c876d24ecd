"""Soft actor-critic: two critics, a policy that is drawn towards exp(Q / temperature), a temperature that is learned.

    target  y = r + discount (1 - terminated) V(s'),    V(s') = min_i Qslow_i(s', a') - temperature log pi(a'|s')
    critics     sum_i mean (Q_i(s, a) - y)^2 / 2
    policy      mean [temperature log pi(a|s) - min_i Q_i(s, a)],    a = f(noise; s)
    temperature mean [-log temperature (log pi(a|s) + target entropy)]

in this order, from one batch; then the slow critics follow. a' and a are drawn anew from the policy of the moment.
Actions lie in [-1, 1]^m, and densities are with respect to Lebesgue measure there.
Source: Haarnoja et al. (2018b), "Soft actor-critic algorithms and applications". Both minima are as in the paper;
the authors' code takes the mean of the critics for the policy.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from maxentrl.agents.normal_policy import DENSITIES, Density, acting, normal_parameters
from maxentrl.agents.suitable import check_continuous
from maxentrl.core.check import InputError, check_choice, check_discount
from maxentrl.core.contracts import Agent, Transition
from maxentrl.core.spaces import Space, width
from maxentrl.learn.adam import Adam, at_rest, descend
from maxentrl.learn.nets import Layer, forward, forward_two, mlp
from maxentrl.learn.replay import Learner, about_target, from_memory, mean_of
from maxentrl.learn.targets import polyak


@dataclass(frozen=True)
class SACSettings:
    """What soft actor-critic can be told.

    discount: in [0, 1].
    temperature: in units of reward; None learns it.
    target_entropy: the entropy in nats that a learned temperature keeps up, in the agent's units; None: minus the
        number of action dimensions.
    temperature_bounds: a learned temperature stays between these; it starts at 1, or at the nearer bound.
    hidden: widths of the hidden layers, of policy and critics alike.
    learning_rate: of Adam, for all.
    target_rate: the share of the way that the slow critics go towards the critics at each gradient step.
    policy: "tanh_normal", whose actions lie in [-1, 1], or "normal", which is not squashed: for problems whose
        solution is a normal density. Environments clip its actions to their bounds, so that what is done at a bound has
        a chance of its own there, which the density does not know.
    batch: steps drawn for one gradient step.
    capacity: steps remembered.
    warmup: steps of uniform actions before the first gradient step.
    updates: gradient steps after every `steps` x `environments` steps.
    steps, environments: how much is lived between gradient steps, and in how many environments side by side.
    """

    discount: float = 0.99
    temperature: float | None = None
    target_entropy: float | None = None
    temperature_bounds: tuple[float, float] = (1e-4, 100.0)
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


def action_values(critics, observation, action) -> jax.Array:
    """Q_i(s, a) of every critic [i, B]."""
    x = jnp.concatenate([observation, action], -1)
    return jax.vmap(forward)(critics, for_each(critics, x))[..., 0]


def values_of_actions(critics, observation, action) -> jax.Array:
    """The same Q_i(s, a) [i, B], cheaper where their gradient is wanted in the action alone."""
    return jax.vmap(forward_two)(critics, for_each(critics, observation), for_each(critics, action))[..., 0]


def for_each(critics: Sequence[Layer], x) -> jax.Array:
    """x once for each critic [i, ...]: products of matrices side by side are faster than one matrix against several."""
    return jnp.broadcast_to(x, (len(critics[0].bias), *x.shape))


def least(values) -> jax.Array:
    """min_i Q_i [B] of values [i, B], NaN where one of them is; the derivative is that of the first of the smallest.

    That of `jnp.min` is divided by how many entries equal the minimum. Compilers may compute an entry twice and round
    it differently, so that none does, and it is 0 / 0.
    """
    return functools.reduce(lambda x, y: jnp.where((y < x) | jnp.isnan(y), y, x), values)


def soft_value(values, log_density, temperature) -> jax.Array:
    """V = min_i Q_i(s, a) - temperature log pi(a|s) [B], for a drawn from pi; values [i, B]."""
    return least(values) - temperature * log_density


def bootstrapped(batch: Transition, value_next, discount) -> jax.Array:
    """r + discount (1 - terminated) V(s') [B]: where only the recording ended, the next state keeps its value."""
    return batch.reward + discount * jnp.where(batch.terminated, 0.0, value_next)


def critic_loss(critics, batch: Transition, target) -> tuple[jax.Array, jax.Array]:
    """sum_i mean (Q_i(s, a) - y)^2 / 2, and Q [i, B]."""
    values = action_values(critics, batch.observation, batch.action)
    return 0.5 * jnp.sum(mean_of((values - target) ** 2, batch.valid)), values


def policy_loss(
    policy, values: Callable[..., jax.Array], density: Density, temperature, noise, batch: Transition
):
    """mean [temperature log pi(a|s) - min_i Q_i(s, a)], a = f(noise; s), and with it log pi [B] and V [B].

    `values` are the critics as a function: (observation, action) -> Q_i(s, a) [i, B]. Up to
    log Z(s), which the policy does not move, the loss is temperature KL(pi || exp(Q / temperature) / Z).
    """
    action, log_density = density.reached(noise, *normal_parameters(policy, batch.observation))
    value = soft_value(values(batch.observation, action), log_density, temperature)
    return -mean_of(value, batch.valid), (log_density, value)


def temperature_loss(log_temperature, log_density, target_entropy, valid) -> jax.Array:
    """mean [-log temperature (log pi(a|s) + target entropy)]: with too little entropy the temperature rises.

    The paper's loss has the temperature in place of its logarithm, the authors' code this one. Both are at rest in
    the same place; this one moves at the same pace whatever the units of reward.
    """
    return -mean_of(log_temperature * (log_density + target_entropy), valid)


class SACState(NamedTuple):
    """policy: layers. critics, slow_critics: layers of two, arrays [2, ...]. log_temperature: []. The others: Adam's."""

    policy: Any
    critics: Any
    slow_critics: Any
    log_temperature: jax.Array
    policy_adam: Adam
    critics_adam: Adam
    temperature_adam: Adam


def begun(policy, critics, settings) -> SACState:
    """The state before the first gradient step; the slow critics begin as copies of the critics."""
    low, high = (math.log(bound) for bound in settings.temperature_bounds)
    given = settings.temperature
    log_temperature = jnp.asarray(min(max(0.0, low), high) if given is None else math.log(given))
    return SACState(
        policy,
        critics,
        jax.tree.map(jnp.array, critics),
        log_temperature,
        at_rest(policy),
        at_rest(critics),
        at_rest(log_temperature),
    )


def sac(settings: SACSettings = SACSettings()) -> Agent:
    """Soft actor-critic with two critics, as in the words at the top of this file.

    info of `update`: critic_loss, policy_loss, entropy, temperature, value (mean V), target and target_spread (mean
    and standard deviation of y), value_gap (mean of min_i Q_i - y: what the critics hold beyond what they are told)
    and critics_apart (mean |Q_1 - Q_2|).

    Raises:
        InputError: for settings out of range; `check` raises it for spaces without bounds or with discrete actions.
    """
    return continuous("sac", settings, learner(settings))


def learner(settings: SACSettings) -> Learner:
    """What makes one gradient step of soft actor-critic from a batch, wherever that comes from."""
    check_settings("sac", settings)
    _check_automatic(settings)
    density, rate = DENSITIES[settings.policy], settings.learning_rate
    low, high = (math.log(bound) for bound in settings.temperature_bounds)

    def init(key, observation: Space, action: Space) -> SACState:
        seen, done = width(observation), width(action)
        critic = mlp((seen + done, *settings.hidden, 1))
        keys = jax.random.split(key, 3)
        policy = mlp((seen, *settings.hidden, 2 * done), last=0.01).init(keys[2])
        return begun(policy, jax.vmap(critic.init)(keys[:2]), settings)

    def learn(state: SACState, key, batch: Transition) -> tuple[SACState, dict[str, jax.Array]]:
        noise_next, noise_now = jax.random.normal(key, (2, *batch.action.shape), batch.action.dtype)
        temperature = jnp.exp(state.log_temperature)

        action, log_density = density.reached(
            noise_next, *normal_parameters(state.policy, batch.next_observation)
        )
        values = action_values(state.slow_critics, batch.next_observation, action)
        target = bootstrapped(batch, soft_value(values, log_density, temperature), settings.discount)

        (loss, values), gradient = jax.value_and_grad(critic_loss, has_aux=True)(state.critics, batch, target)
        critics, critics_adam = descend(gradient, state.critics_adam, state.critics, rate)

        (loss_policy, (log_density, value)), gradient = jax.value_and_grad(policy_loss, has_aux=True)(
            state.policy,
            functools.partial(values_of_actions, critics),
            density,
            temperature,
            noise_now,
            batch,
        )
        policy, policy_adam = descend(gradient, state.policy_adam, state.policy, rate)

        log_temperature, temperature_adam = state.log_temperature, state.temperature_adam
        if settings.temperature is None:
            wanted = (
                -float(batch.action.shape[-1]) if settings.target_entropy is None else settings.target_entropy
            )
            gradient = jax.grad(temperature_loss)(log_temperature, log_density, wanted, batch.valid)
            log_temperature, temperature_adam = descend(gradient, temperature_adam, log_temperature, rate)
            log_temperature = jnp.clip(log_temperature, low, high)

        info = {
            "critic_loss": loss,
            "policy_loss": loss_policy,
            "entropy": -mean_of(log_density, batch.valid),
            "temperature": temperature,
            "value": mean_of(value, batch.valid),
            **about_targets(target, values, batch.valid),
        }
        slow_critics = polyak(state.slow_critics, critics, settings.target_rate)
        return SACState(
            policy, critics, slow_critics, log_temperature, policy_adam, critics_adam, temperature_adam
        ), info

    return acting(density, init, learn)


def about_targets(target, values, valid) -> dict[str, jax.Array]:
    """What the log says of targets [B] and of the critics' values [2, B] at the same steps."""
    return {
        **about_target(target, valid),
        "value_gap": mean_of(least(values) - target, valid),
        "critics_apart": mean_of(jnp.abs(values[0] - values[1]), valid),
    }


def continuous(name: str, settings, learner: Learner) -> Agent:
    """The `Agent` that makes these gradient steps from memory, where actions are continuous."""
    return from_memory(name, settings, functools.partial(check_continuous, name), learner)


def check_settings(name: str, settings) -> None:
    """What all soft actor-critics are told lies in range.

    Raises:
        InputError: naming the setting, its value and what is allowed.
    """
    check_discount(settings.discount)
    check_choice(getattr(settings, "policy", "tanh_normal"), tuple(DENSITIES), f"{name}: policy")
    if settings.temperature is not None and not 0 < settings.temperature < math.inf:
        raise InputError(
            f"{name}: temperature must be a finite number above 0, in units of reward; got {settings.temperature}."
        )
    if not 0 < settings.learning_rate < math.inf:
        raise InputError(
            f"{name}: learning_rate must be a finite number above 0; got {settings.learning_rate}."
        )
    if not 0 < settings.target_rate <= 1:
        raise InputError(f"{name}: target_rate must lie in (0, 1]; got {settings.target_rate}.")
    if any(wide < 1 for wide in settings.hidden):
        raise InputError(f"{name}: hidden layers must be at least 1 wide; got {settings.hidden}.")


def check_temperature_bounds(name: str, bounds: tuple[float, float]) -> None:
    """0 < low < high < inf.

    Raises:
        InputError: naming the bounds.
    """
    if len(bounds) != 2 or not 0 < bounds[0] < bounds[1] < math.inf:
        raise InputError(
            f"{name}: temperature_bounds must be two numbers, finite, above 0 and in order; got {bounds}."
        )


def _check_automatic(settings: SACSettings) -> None:
    check_temperature_bounds("sac", settings.temperature_bounds)
    if settings.target_entropy is None:
        return
    if settings.temperature is not None:
        raise InputError(
            "sac: give either a temperature, which is then kept, or a target_entropy, for which it is learned; "
            f"got temperature {settings.temperature} and target_entropy {settings.target_entropy}."
        )
    if not math.isfinite(settings.target_entropy):
        raise InputError(
            f"sac: target_entropy must be a finite number of nats; got {settings.target_entropy}."
        )
