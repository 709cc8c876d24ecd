"""Small problems with demonstrations, as files."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from maxentrl import TabularMDP, envs, save_problem, solve, write_trajectories
from maxentrl.data import Trajectories
from maxentrl.irl import sample_trajectories

FIELD = """
    S..G
    .#..
    ....
"""
"""A field of eleven cells; the goal is a terminal state."""
STEP, MUD = -1.0, -3.0


def field() -> TabularMDP:
    """The field, where a step costs 1 and mud on the short way 3 more; paths to the goal, discount 1."""
    mdp = envs.gridworld(FIELD, goals={"G": 0.0}, step_reward=0.0)
    return mdp.with_reward(features(mdp) @ np.array([STEP, MUD]))


def features(mdp: TabularMDP) -> np.ndarray:
    """[S, A, 2]: each step, and mud in the third cell of the first row."""
    place = np.asarray(mdp.coordinates)
    by_state = np.stack([np.ones(mdp.states), (place == [2, 0]).all(1)], 1).astype(float)
    return np.repeat(by_state[:, None], mdp.actions, 1)


def walks(mdp: TabularMDP, count: int, seed: int = 0) -> Trajectories:
    """Demonstrations of the soft-optimal policy at temperature 1, from the start to the goal."""
    plan = solve(mdp, temperature=1.0, discount=1.0)
    key = jax.random.key(seed, impl="threefry2x32")
    return sample_trajectories(mdp, plan.log_policy, key=key, count=count, horizon=200)


def write_field(folder: Path, count: int = 60) -> Trajectories:
    """problem.npz, trips.csv, features.npz and features.csv in a folder; returns the demonstrations."""
    mdp = field()
    save_problem(mdp, folder / "problem.npz")
    demos = walks(mdp, count)
    write_trajectories(folder / "trips.csv", demos)
    np.savez(folder / "features.npz", features=features(mdp), names=np.array(["step", "mud"]))
    return demos
