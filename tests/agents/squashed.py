"""Normals squashed by tanh, by quadrature in NumPy: the oracle of agents that draw actions from them."""

import numpy as np
from scipy.optimize import brentq, minimize

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(100)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def reward_and_entropy(reward, mean, log_std):
    """E[reward(tanh u)] and the entropy of tanh u, for u ~ N(mean, exp(log_std)^2)."""
    u = mean + np.exp(log_std) * NODES
    entropy = 0.5 * np.log(2 * np.pi * np.e) + log_std + WEIGHTS @ np.log(1 / np.cosh(u) ** 2)
    return WEIGHTS @ reward(np.tanh(u)), entropy


def best(reward, temperature):
    """(mean, log_std) with the largest E[reward] + temperature entropy, and that."""

    def loss(x):
        mean, entropy = reward_and_entropy(reward, *x)
        return -(mean + temperature * entropy)

    starts = [
        minimize(loss, start, method="BFGS", tol=1e-10) for start in ([0.0, -0.5], [0.5, 0.0], [-0.5, 0.0])
    ]
    found = min(starts, key=lambda one: one.fun)
    return found.x, -found.fun


def temperature_of(reward, entropy):
    """The temperature at which the best squashed normal has this entropy."""
    return brentq(
        lambda t: reward_and_entropy(reward, *best(reward, t)[0])[1] - entropy, 1e-2, 10.0, xtol=1e-6
    )
