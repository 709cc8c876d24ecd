"""Policies over continuous actions: a network for mean and log_std of a normal density, squashed by tanh or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from maxentrl.core.distributions import normal, normal_log_density, tanh_normal, tanh_normal_log_density
from maxentrl.learn.nets import Layer, forward
from maxentrl.learn.replay import Learner

LOG_STD = (-5.0, 2.0)
"""Between these the logarithm of a policy's standard deviation lies, before squashing: beyond them float32 tells no two
policies apart.
"""


class Density(NamedTuple):
    """A family of densities over actions, given mean and log_std [..., m].

    reached: (normal noise [..., m], mean, log_std) -> (action [..., m], its log-density [...]), differentiable in the
        last two.
    log_density: (mean, log_std, action) -> [...].
    centre: mean -> the action without noise: the mode where it is normal, the median where it is squashed.
    """

    reached: Callable[..., tuple[jax.Array, jax.Array]]
    log_density: Callable[..., jax.Array]
    centre: Callable[[jax.Array], jax.Array]


DENSITIES = {
    "tanh_normal": Density(tanh_normal, tanh_normal_log_density, jnp.tanh),
    "normal": Density(normal, normal_log_density, lambda mean: mean),
}


def normal_parameters(policy: tuple[Layer, ...], observation) -> tuple[jax.Array, jax.Array]:
    """mean and log_std [B, m] of the policy, log_std = low + softplus(x - low) - softplus(x - high).

    That is x in the middle and runs smoothly into `LOG_STD` on both sides: a clip would have no gradient that leads
    back.
    """
    mean, x = jnp.split(forward(policy, observation), 2, -1)
    low, high = LOG_STD
    return mean, low + jax.nn.softplus(x - low) - jax.nn.softplus(x - high)


def acting(density: Density, init, learn) -> Learner:
    """The `Learner` whose state has a `policy`, the layers of a network for mean and log_std."""

    def act(state, key, observation):
        mean, log_std = normal_parameters(state.policy, observation)
        return density.reached(jax.random.normal(key, mean.shape, mean.dtype), mean, log_std)[0]

    def mode(state, observation):
        return density.centre(normal_parameters(state.policy, observation)[0])

    def log_density(state, observation, action):
        return density.log_density(*normal_parameters(state.policy, observation), action)

    def uniform(state, key, observation):
        wide = state.policy[-1].bias.shape[-1] // 2
        return jax.random.uniform(key, (*observation.shape[:-1], wide), minval=-1.0, maxval=1.0)

    return Learner(init, act, mode, log_density, uniform, learn)
