"""One small world in three clocks, made-up demonstrations in it, and its expectations in plain NumPy."""

from __future__ import annotations

import jax
import numpy as np

from maxentrl import TabularMDP, solve
from maxentrl.data import Trajectories
from maxentrl.irl import sample_trajectories

S, A, K = 6, 3, 3
CLOCKS = {
    "discounted": {"discount": 0.9},
    "finite": {"horizon": 8},
    "first exit": {"discount": 1.0},
}


def key(seed: int) -> jax.Array:
    return jax.random.key(seed, impl="threefry2x32")


def world(
    seed: int, *, ends: bool = False, deterministic: bool = False, **options
) -> tuple[TabularMDP, np.ndarray]:
    """A problem of 6 states and 3 actions, and features [S, A, K]. One that ends does so in its last state.

    There the last feature is the price of a step, and the others are small, so that no loop pays for itself.
    """
    rng = np.random.default_rng(seed)
    if deterministic:
        # The first action moves on by one state, so that every state can reach the end.
        reached = np.concatenate([(np.arange(S)[:, None] + 1) % S, rng.integers(S, size=(S, A - 1))], 1)
        transition = np.eye(S)[reached]
    else:
        transition = rng.dirichlet(np.ones(S), (S, A))
    initial = np.append(rng.dirichlet(np.ones(S - 1)), 0.0)
    mdp = TabularMDP(
        transition,
        np.zeros((S, A)),
        initial=initial,
        terminal=np.arange(S) == S - 1 if ends else None,
        **options,
    )
    features = rng.normal(size=(S, A, K))
    if ends:
        features = np.concatenate([0.3 * features[..., :-1], -np.ones((S, A, 1))], -1)
        features[-1] = 0
    return mdp, features


def policy(mdp: TabularMDP, features, weights, temperature: float = 1.0, **clock) -> np.ndarray:
    """pi(a|s), [S, A] or [T, S, A], soft-optimal for the linear reward."""
    plan = solve(mdp.with_reward(features @ weights), temperature=temperature, tolerance=1e-9, **clock)
    return np.exp(np.asarray(plan.log_policy))


def demonstrate(mdp, features, weights, clock: dict, seed: int, count: int, steps: int = 8) -> Trajectories:
    """Trajectories of the soft-optimal policy."""
    pi = policy(mdp, features, weights, **clock)
    with np.errstate(divide="ignore"):
        return sample_trajectories(
            mdp, np.log(pi), key=key(seed), count=count, horizon=clock.get("horizon", steps)
        )


def flow(
    mdp: TabularMDP, pi: np.ndarray, begun: np.ndarray, discount: float = 1.0, horizon: int | None = None
):
    """Expected decisions, [S, A] or [T, S, A], from how many begin where, [S] or [T, S]; by a dense solve."""
    p, live = np.asarray(mdp.transition_matrix()), ~np.asarray(mdp.terminal)
    if horizon is None:
        moves = np.einsum("sa,sat->st", pi * live[:, None], p)
        return np.linalg.solve((np.eye(S) - discount * moves).T, begun)[:, None] * pi * live[:, None]
    begun = begun if begun.ndim == 2 else np.concatenate([begun[None], np.zeros((horizon - 1, S))])
    out, carried = [], np.zeros(S)
    for t in range(horizon):
        out.append((carried + begun[t])[:, None] * pi[t] * live[:, None])
        carried = discount * np.einsum("sa,sat->t", out[-1], p)
    return np.array(out)


def begun(demos: Trajectories) -> np.ndarray:
    """[S]: how many trajectories begin in each state."""
    return np.bincount(demos.states[:, 0], demos.weights, minlength=S)
