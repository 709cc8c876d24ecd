"""Policy gradients with entropy: the true soft one, and the well-known bonus that is not its gradient.

    soft_pg            climbs J = E sum_t discount^t [ r_t - temperature (log pi(a_t|s_t) - log rho) ]: what a step is
                       worth includes the entropy of all later steps
    entropy_bonus_pg   adds temperature * grad entropy at the states visited to the gradient of rewards alone

All else is shared: only the reward that returns are made of differs. Convention: rho is the uniform prior, normalised,
where actions are discrete; where they are continuous it is Lebesgue's measure on [-1, 1]^m (log rho = 0), and the
policy is a normal squashed by tanh, since the entropy of a normal that is cut at the bounds could grow for ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from maxentrl.agents.in_range import check_finite_temperature, check_numbers, check_share
from maxentrl.agents.normal_policy import LOG_STD
from maxentrl.core.check import InputError, check_discount
from maxentrl.core.contracts import Agent, Transition
from maxentrl.core.distributions import chosen, tanh_normal_log_density, tanh_normal_sample
from maxentrl.core.soft import kl
from maxentrl.core.spaces import Discrete, Space, check_bounded, width
from maxentrl.learn.adam import Adam, at_rest, descend, falling
from maxentrl.learn.nets import forward, mlp
from maxentrl.learn.replay import about_target, mean_of
from maxentrl.learn.returns import lambda_returns


@dataclass(frozen=True)
class SoftPGSettings:
    """Settings of both policy gradients.

    temperature: in units of reward, in [0, inf).
    discount: in [0, 1].
    trace: lambda in [0, 1] of the returns; 1 waits for what really followed, 0 trusts the value network.
    learning_rate: of Adam, for both networks.
    decay: gradient steps over which the learning rate falls linearly to 0, after which nothing is learned any more;
        None keeps it.
    hidden: widths of the hidden layers of both networks, with tanh between; () is a linear map.
    steps: steps of every environment between two updates.
    environments: how many are acted in side by side.
    epochs: how often each step is learned from.
    minibatches: parts that an epoch is divided into, a gradient step each; must divide `steps` x `environments`.
    clip: how far the ratio of new to old probability may leave 1 before a step counts no more. None: never.
    normalise: whether advantages are taken less their mean, and the loss is divided by their spread, so that the size of
        the gradient does not depend on the units of reward.
    max_norm: of a gradient, of each network; a longer one is shortened to it. None: never.

    With epochs = 1, minibatches = 1, clip = None and no normalise the step is the plain gradient. More of them is a
    departure: then the objective is the clipped surrogate of Schulman et al. (2017), of the soft advantages.

    Where actions are continuous, log pi of what was done is taken from the action itself, which is told apart from a
    bound up to 1e-6 only: of a policy that presses against a bound returns count too little entropy cost.
    """

    temperature: float = 0.3
    discount: float = 0.99
    trace: float = 0.98
    learning_rate: float = 1e-3
    decay: int | None = None
    hidden: tuple[int, ...] = (64, 64)
    steps: int = 128
    environments: int = 16
    epochs: int = 10
    minibatches: int = 8
    clip: float | None = 0.2
    normalise: bool = True
    max_norm: float | None = 0.5


@dataclass(frozen=True)
class EntropyBonusPGSettings(SoftPGSettings):
    """Settings of the entropy bonus: those of `SoftPGSettings`, whose temperature is here the weight of the bonus."""


class Policy(NamedTuple):
    """layers: of the network. log_std: [m], the same in all states; None where actions are discrete."""

    layers: Any
    log_std: jax.Array | None


class SoftPG(NamedTuple):
    """policy, value: what is learned. optimisers: Adam's states, one for each. made: int32 [], gradient steps."""

    policy: Policy
    value: Any
    optimisers: tuple[Adam, Adam]
    made: jax.Array


class Judged(NamedTuple):
    """Steps [B] with what is to be learned from them.

    advantage: Q(s, a) - V(s) in units of reward; it holds the entropy of later steps, or none at all, but never that
        of its own step, which the loss adds exactly. log_old: log pi(a|s) when it was done.
    returned: the target of the value.
    """

    observation: jax.Array
    action: jax.Array
    valid: jax.Array
    log_old: jax.Array
    advantage: jax.Array
    returned: jax.Array


def soft_pg(settings: SoftPGSettings = SoftPGSettings()) -> Agent:
    """The true soft policy gradient.

        grad J = E sum_t grad log pi(a_t|s_t) [ Q_soft(s_t, a_t) - temperature (log pi - log rho) - V_soft(s_t) ]

    where Q_soft holds all later entropies: returns are made of r - temperature (log pi - log rho). The entropy of the
    step itself is not sampled but differentiated as it is, which has the same mean and less noise. As everywhere,
    states are weighted as visited, without the factor discount^t.

    Raises:
        InputError: for settings out of range.

    Source: Levine (2018), section 4.1; Schulman, Chen and Abbeel (2017), section 3; returns of Schulman et al. (2016).
    """
    return _agent("soft_pg", settings, soft_reward)


def entropy_bonus_pg(settings: EntropyBonusPGSettings = EntropyBonusPGSettings()) -> Agent:
    """The entropy bonus of Mnih et al. (2016): hard advantages + temperature * grad entropy at the states visited.

    It is not the gradient of J, nor in general of anything: it looks for entropy now, and does not go where entropy
    can be had later. Use `soft_pg` unless a result with the bonus is to be repeated.

    Raises:
        InputError: for settings out of range.
    """
    return _agent("entropy_bonus_pg", settings, hard_reward)


def soft_reward(reward, log_ratio, temperature):
    """r - temperature (log pi - log rho)."""
    return reward - temperature * log_ratio


def hard_reward(reward, log_ratio, temperature):
    """r alone."""
    return reward


def judge(
    lived: Transition, log_old, log_rho, value, value_next, *, temperature: float, discount: float, trace: float,
    counted: Callable[[Any, Any, float], jax.Array],
) -> Judged:  # fmt: skip
    """Advantages and targets [T, N] of steps [T, N]; `counted` says what their returns are made of.

    The returns of soft rewards hold the entropy of their own step too; in the advantage it is given back.
    """
    log_ratio = log_old - log_rho
    reward = counted(lived.reward, log_ratio, temperature)
    over_time = jax.vmap(
        lambda *rows: lambda_returns(*rows, discount=discount, trace=trace), in_axes=1, out_axes=1
    )
    returned = over_time(reward, value_next, lived.terminated, lived.truncated, lived.valid)
    advantage = returned + (lived.reward - reward) - value
    return Judged(lived.observation, lived.action, lived.valid, log_old, advantage, returned)


def policy_loss(policy: Policy, key, batch: Judged, temperature, clip: float | None):
    """Mean over valid steps of - min(ratio A, clipped ratio A) + temperature KL(pi || rho), ratio = pi / pi_old.

    At pi = pi_old its gradient is minus that of the objective. KL is exact where actions are discrete, and one
    reparameterised sample where they are not.
    """
    log_new, divergence = _describe(policy, key, batch.observation, batch.action)
    ratio = jnp.exp(log_new - batch.log_old)
    gain = ratio * batch.advantage
    if clip is not None:
        gain = jnp.minimum(gain, jnp.clip(ratio, 1.0 - clip, 1.0 + clip) * batch.advantage)
    return mean_of(temperature * divergence - gain, batch.valid), {
        "divergence_from_prior": mean_of(divergence, batch.valid),
        "moved": mean_of(ratio - 1.0 - (log_new - batch.log_old), batch.valid),
    }


def value_loss(layers, batch: Judged) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Half the mean squared error of V against the returns; with it what the log says of both."""
    error = _value(layers, batch.observation) - batch.returned
    info = {"value_gap": mean_of(error, batch.valid), **about_target(batch.returned, batch.valid)}
    return 0.5 * mean_of(error**2, batch.valid), info


def _agent(name: str, settings: SoftPGSettings, counted: Callable[[Any, Any, float], jax.Array]) -> Agent:
    _check_settings(name, settings)
    temperature, rows = settings.temperature, settings.steps * settings.environments

    def init(key, observation: Space, action: Space) -> SoftPG:
        for_policy, for_value = jax.random.split(key)
        outputs = width(action)
        layers = mlp((width(observation), *settings.hidden, outputs), last=0.01).init(for_policy)
        value = mlp((width(observation), *settings.hidden, 1)).init(for_value)
        policy: Any = Policy(layers, None if isinstance(action, Discrete) else jnp.zeros(outputs))
        return SoftPG(policy, value, (at_rest(policy), at_rest(value)), jnp.zeros((), jnp.int32))

    def act(state: SoftPG, key, seen):
        out = _network(state.policy.layers, seen)
        if state.policy.log_std is None:
            return jax.random.categorical(key, out).astype(jnp.int32)
        return tanh_normal_sample(key, out, _log_std(state.policy, out))[0]

    def mode(state: SoftPG, seen):
        out = _network(state.policy.layers, seen)
        return jnp.argmax(out, -1).astype(jnp.int32) if state.policy.log_std is None else jnp.tanh(out)

    def log_density(state: SoftPG, seen, action):
        return log_policy(state.policy, seen, action)

    def update(state: SoftPG, key, lived: Transition):
        log_old = jax.vmap(lambda seen, action: log_policy(state.policy, seen, action))(
            lived.observation, lived.action
        )
        value, value_next = (
            jax.vmap(lambda seen: _value(state.value, seen))(seen)
            for seen in (lived.observation, lived.next_observation)
        )
        judged = judge(
            lived, log_old, log_prior(state.policy), value, value_next, temperature=temperature,
            discount=settings.discount, trace=settings.trace, counted=counted,
        )  # fmt: skip
        scale = 1.0 / (spread(judged) + 1e-8) if settings.normalise else 1.0
        judged = judged._replace(advantage=scale * (judged.advantage - settings.normalise * middle(judged)))
        flat = jax.tree.map(lambda x: x.reshape(rows, *x.shape[2:]), judged)

        def once(state: SoftPG, given):
            key, batch = given
            loss = jax.value_and_grad(policy_loss, has_aux=True)
            (_, info), slope = loss(state.policy, key, batch, scale * temperature, settings.clip)
            (error, about), slope_value = jax.value_and_grad(value_loss, has_aux=True)(state.value, batch)
            rate = falling(settings.learning_rate, state.made, settings.decay)
            slope, slope_value = (_shortened(x, settings.max_norm) for x in (slope, slope_value))
            policy, first = descend(slope, state.optimisers[0], state.policy, rate, 1e-5)
            value, second = descend(slope_value, state.optimisers[1], state.value, rate, 1e-5)
            return SoftPG(policy, value, (first, second), state.made + 1), {
                "value_loss": error,
                "entropy": -log_prior(state.policy) - info["divergence_from_prior"],
                "temperature": jnp.asarray(temperature, error.dtype),
                **about,
                **info,
            }

        def epoch(state: SoftPG, key):
            shuffle, inside = jax.random.split(key)
            order = jax.random.permutation(shuffle, rows).reshape(settings.minibatches, -1)
            batches = jax.tree.map(lambda x: x[order], flat)
            return jax.lax.scan(once, state, (jax.random.split(inside, settings.minibatches), batches))

        state, infos = jax.lax.scan(epoch, state, jax.random.split(key, settings.epochs))
        made = jnp.full((), float(settings.epochs * settings.minibatches))
        return state, {"updates": made, **{name: jnp.mean(x) for name, x in infos.items()}}

    def check(observation: Space, action: Space) -> None:
        check_bounded(action, f"{name}: the action space")

    return Agent(
        name, settings, check, init, act, mode, log_density, update, settings.steps, settings.environments
    )


def log_policy(policy: Policy, seen, action) -> jax.Array:
    """log pi(a|s) [B] of observations [B, d] and actions [B] or [B, m]."""
    out = _network(policy.layers, seen)
    if policy.log_std is None:
        return chosen(jax.nn.log_softmax(out), action)
    return tanh_normal_log_density(out, _log_std(policy, out), action)


def log_prior(policy: Policy) -> float:
    """log rho: -log A where actions are discrete, 0 where they are not."""
    return -math.log(policy.layers[-1].bias.shape[-1]) if policy.log_std is None else 0.0


def middle(batch: Judged) -> jax.Array:
    """Mean of the advantages of valid steps."""
    return mean_of(batch.advantage.ravel(), batch.valid.ravel())


def spread(batch: Judged) -> jax.Array:
    """Their standard deviation."""
    square = (batch.advantage - middle(batch)) ** 2
    return jnp.sqrt(mean_of(square.ravel(), batch.valid.ravel()))


def _describe(policy: Policy, key, seen, action) -> tuple[jax.Array, jax.Array]:
    """log pi(a|s) [B] and KL(pi(.|s) || rho) [B]."""
    out = _network(policy.layers, seen)
    if policy.log_std is None:
        log_pi = jax.nn.log_softmax(out)
        return chosen(log_pi, action), kl(log_pi, jnp.asarray(log_prior(policy), out.dtype))
    log_std = _log_std(policy, out)
    return tanh_normal_log_density(out, log_std, action), tanh_normal_sample(key, out, log_std)[1]


def _network(layers, seen) -> jax.Array:
    return forward(layers, seen, jnp.tanh)


def _value(layers, seen) -> jax.Array:
    return _network(layers, seen)[..., 0]


def _log_std(policy: Policy, like) -> jax.Array:
    return jnp.broadcast_to(jnp.clip(policy.log_std, *LOG_STD), like.shape)


def _shortened(slope, longest: float | None):
    """A gradient of the same direction, no longer than `longest`; None leaves it."""
    if longest is None:
        return slope
    length = jnp.sqrt(sum(jnp.sum(x * x) for x in jax.tree.leaves(slope)))
    return jax.tree.map(lambda x: x * jnp.where(length > longest, longest / length, 1.0), slope)


def _check_settings(name: str, settings: SoftPGSettings) -> None:
    check_finite_temperature(name, settings.temperature)
    check_discount(settings.discount)
    check_share(f"{name}: trace", settings.trace)
    counts = ("steps", "environments", "epochs", "minibatches")
    check_numbers(name, settings, dict.fromkeys(counts, 1), {"learning_rate": 0})
    for what in ("decay", "clip", "max_norm"):
        if getattr(settings, what) is not None:
            check_numbers(name, settings, {}, {what: 0})
    if any(wide < 1 for wide in settings.hidden):
        raise InputError(f"{name}: hidden must hold widths of at least 1; got {settings.hidden}.")
    if settings.steps * settings.environments % settings.minibatches:
        raise InputError(
            f"{name}: minibatches must divide steps x environments, {settings.steps * settings.environments}; "
            f"got {settings.minibatches}."
        )
