"""Problems of our own, each also a simulator."""

from maxentrl.core.contracts import Env
from maxentrl.envs.binaryworld import binaryworld
from maxentrl.envs.chain import chain
from maxentrl.envs.gridworld import gridworld
from maxentrl.envs.landscape import Landscape
from maxentrl.envs.lottery import lottery
from maxentrl.envs.objectworld import objectworld
from maxentrl.envs.random_mdp import random_mdp
from maxentrl.envs.simulate import simulate
from maxentrl.models.sources import load_problem

PROBLEMS = {"chain": chain, "gridworld": gridworld, "lottery": lottery, "random_mdp": random_mdp}
"""Our own problems by name."""


def make(name: str) -> Env:
    """A simulator by name: one of our own with default settings, a problem file, or a tabular Gymnasium id.

    For other settings, `simulate(gridworld(..., slip=0.1))`.
    """
    return simulate(PROBLEMS[name]() if name in PROBLEMS else load_problem(name))


__all__ = [
    "PROBLEMS",
    "Landscape",
    "binaryworld",
    "chain",
    "gridworld",
    "lottery",
    "make",
    "objectworld",
    "random_mdp",
    "simulate",
]
