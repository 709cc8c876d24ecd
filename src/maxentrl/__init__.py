"""Reinforcement learning, planning and inverse reinforcement learning as probabilistic inference."""

from maxentrl.core.check import InfeasibleError, InputError
from maxentrl.core.soft import lme, tilt
from maxentrl.infer.policy import evaluate, evidence_bound, occupancy
from maxentrl.infer.posterior import Posterior, posterior
from maxentrl.infer.solution import Solution, solve
from maxentrl.models.tabular import Dense, Sparse, TabularMDP

__version__ = "0.1.0"

__all__ = [
    "Dense",
    "InfeasibleError",
    "InputError",
    "Posterior",
    "Solution",
    "Sparse",
    "TabularMDP",
    "evaluate",
    "evidence_bound",
    "lme",
    "occupancy",
    "posterior",
    "solve",
    "tilt",
]
