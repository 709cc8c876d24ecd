"""Reinforcement learning, planning and inverse reinforcement learning as probabilistic inference.

Names are imported when they are first used, so that the command line can answer before JAX is loaded.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maxentrl import agents, assess, envs, irl
    from maxentrl.app.saved_agents import load_agent
    from maxentrl.app.training import train
    from maxentrl.core.check import InfeasibleError, InputError
    from maxentrl.core.soft import lme, tilt
    from maxentrl.data import Trajectories, read_trajectories, write_trajectories
    from maxentrl.infer.policy import evaluate, evidence_bound, occupancy
    from maxentrl.infer.posterior import Posterior, posterior
    from maxentrl.infer.solution import Solution, solve
    from maxentrl.models.sources import load_problem, save_problem
    from maxentrl.models.tabular import TabularMDP
    from maxentrl.models.transition import Dense, Sparse

__version__ = "0.1.0"

__all__ = [
    "Dense",
    "InfeasibleError",
    "InputError",
    "Posterior",
    "Solution",
    "Sparse",
    "TabularMDP",
    "Trajectories",
    "agents",
    "assess",
    "envs",
    "evaluate",
    "evidence_bound",
    "irl",
    "lme",
    "load_agent",
    "load_problem",
    "occupancy",
    "posterior",
    "read_trajectories",
    "save_problem",
    "solve",
    "tilt",
    "train",
    "write_trajectories",
]

_HOMES = {
    "maxentrl.app.saved_agents": ("load_agent",),
    "maxentrl.app.training": ("train",),
    "maxentrl.core.check": ("InfeasibleError", "InputError"),
    "maxentrl.core.soft": ("lme", "tilt"),
    "maxentrl.data": ("Trajectories", "read_trajectories", "write_trajectories"),
    "maxentrl.infer.policy": ("evaluate", "evidence_bound", "occupancy"),
    "maxentrl.infer.posterior": ("Posterior", "posterior"),
    "maxentrl.infer.solution": ("Solution", "solve"),
    "maxentrl.models.sources": ("load_problem", "save_problem"),
    "maxentrl.models.tabular": ("TabularMDP",),
    "maxentrl.models.transition": ("Dense", "Sparse"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_ROOMS = ("agents", "assess", "envs", "irl")


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return importlib.import_module(f"maxentrl.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'maxentrl' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
