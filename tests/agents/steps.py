"""Steps, constant policies and standard errors for the tests of soft actor-critics."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from maxentrl.core.contracts import Transition
from maxentrl.core.spaces import box
from maxentrl.learn.nets import Layer

KEY = jax.random.key(0, impl="threefry2x32")
ONE = box(-1.0, 1.0, (1,))


def steps(observation, action, reward, next_observation, terminated=False, truncated=False):
    """Steps, all of them lived through, with the same flags."""
    flags = [jnp.full(len(reward), flag) for flag in (terminated, truncated, True)]
    return Transition(observation, action, reward, next_observation, *flags)


def constant(mean, log_std):
    """A policy that does the same in every state; log_std inverted by bisection, as its bounds are smooth."""
    low, high = -20.0, 20.0
    for _ in range(80):
        x = 0.5 * (low + high)
        value = -5.0 + np.logaddexp(0.0, x + 5.0) - np.logaddexp(0.0, x - 2.0)
        low, high = (x, high) if value < log_std else (low, x)
    return (Layer(jnp.zeros((1, 2)), jnp.array([mean, x])),)


def in_standard_errors(samples):
    """|mean| of samples [n, ...] in units of its standard error."""
    samples = np.asarray(samples)
    return np.abs(samples.mean(0)) / (samples.std(0) / math.sqrt(len(samples)))
