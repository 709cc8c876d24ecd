"""Policies' densities: the normal, the normal squashed by tanh, and the categorical; all in nats.

Written for one state: the last axis holds the dimensions of an action, or the actions; leading axes are batches.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

EDGE = 1.0 - 1e-6
"""How near to the bounds an action is still told apart from them: about the spacing of float32 at 1, times 10."""


def normal_log_density(mean, log_std, x) -> jax.Array:
    """sum_i log N(x_i; mean_i, exp(log_std_i)^2)."""
    z = (x - mean) * jnp.exp(-log_std)
    return jnp.sum(-0.5 * (z * z + jnp.log(2 * jnp.pi)) - log_std, -1)


def log_squash(u) -> jax.Array:
    """sum_i log(1 - tanh(u_i)^2) = sum_i 2 (log 2 - u_i - softplus(-2 u_i)), exact for any u_i."""
    return jnp.sum(2.0 * (jnp.log(2.0) - u - jax.nn.softplus(-2.0 * u)), -1)


def tanh_normal(noise, mean, log_std) -> tuple[jax.Array, jax.Array]:
    """a = tanh(u), u = mean + exp(log_std) noise, and log pi(a) = log N(u) - sum log(1 - tanh(u)^2), for normal noise.

    Reparameterised: both are differentiable in mean and log_std. u is kept, as it cannot be had back from a near the
    bounds. Source: Haarnoja et al. (2018), appendix C.
    """
    u, log_normal = normal(noise, mean, log_std)
    return jnp.tanh(u), log_normal - log_squash(u)


def normal(noise, mean, log_std) -> tuple[jax.Array, jax.Array]:
    """u = mean + exp(log_std) noise, and its log N(u), for normal noise; both differentiable in mean and log_std."""
    log_density = jnp.sum(-0.5 * (noise * noise + jnp.log(2 * jnp.pi)) - log_std, -1)
    return mean + jnp.exp(log_std) * noise, log_density


def tanh_normal_sample(key, mean, log_std) -> tuple[jax.Array, jax.Array]:
    """`tanh_normal` of noise drawn here."""
    return tanh_normal(jax.random.normal(key, mean.shape, mean.dtype), mean, log_std)


def tanh_normal_log_density(mean, log_std, action) -> jax.Array:
    """log pi(a) of an action in [-1, 1]. One on the bound is moved inside by 1e-6: there u is beyond float32."""
    u = jnp.arctanh(jnp.clip(action, -EDGE, EDGE))
    return normal_log_density(mean, log_std, u) - log_squash(u)


def chosen(table, action) -> jax.Array:
    """table[..., action], for an action each."""
    return jnp.take_along_axis(table, action[..., None], -1)[..., 0]
