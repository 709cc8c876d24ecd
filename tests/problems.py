"""Random problems, and their three spellings: plain arrays for the oracles, dense and sparse
for the library.
"""

from __future__ import annotations

import jax
import numpy as np

from maxentrl import TabularMDP


def random_problem(
    rng: np.random.Generator,
    states: int = 5,
    actions: int = 3,
    horizon: int = 4,
    *,
    deterministic: bool = False,
    forbidden: bool = False,
    terminal: bool = False,
    counting: bool = False,
    changing: bool = False,
    scale: float = 1.0,
) -> dict:
    """A problem as `oracles` takes it. Stochastic rows hold exact zeros too, so that supports differ."""
    if deterministic:
        transition = np.eye(states)[rng.integers(states, size=(states, actions))]
    else:
        transition = rng.dirichlet(np.ones(states), (states, actions)) * (
            rng.random((states, actions, states)) < 0.7
        )
        transition[..., 0] += transition.sum(-1) == 0
        transition /= transition.sum(-1, keepdims=True)
    reward = scale * rng.normal(size=(horizon, states, actions) if changing else (1, states, actions))
    reward = np.broadcast_to(reward, (horizon, states, actions)).copy()
    allowed = np.ones((states, actions), bool)
    if forbidden:
        allowed = rng.random((states, actions)) < 0.6
        allowed[np.arange(states), rng.integers(actions, size=states)] = True
    count = 1 if counting else allowed.sum(1, keepdims=True)
    with np.errstate(divide="ignore"):
        log_prior = np.log(allowed / count)
    ends = np.zeros(states, bool)
    if terminal:
        ends[rng.choice(states, 1 + (states > 4), replace=False)] = True
    initial = rng.dirichlet(np.ones(states)) * (rng.random(states) < 0.7)
    initial[np.argmin(ends)] += 0.1
    return {
        "transition": transition,
        "reward": reward,
        "log_prior": log_prior,
        "initial": initial / initial.sum(),
        "terminal": ends,
        "counting": counting,
        "changing": changing,
    }


def successor_lists(transition):
    """[S, A, S] as padded lists (successor [S, A, S], probability [S, A, S]), each row in an order of its
    own.
    """
    successor = np.argsort(-transition, axis=-1, kind="stable")
    return successor, np.take_along_axis(transition, successor, -1)


def as_mdp(
    problem: dict, *, sparse: bool = False, changing: bool | None = None, dtype: str = "float64"
) -> TabularMDP:
    """The library's form; a reward that does not change is handed over as [S, A]."""
    changing = problem["changing"] if changing is None else changing
    reward = problem["reward"] if changing else problem["reward"][0]
    transition = problem["transition"]
    return TabularMDP(
        successor_lists(transition) if sparse else transition,
        np.where(np.isneginf(problem["log_prior"]) & ~problem["terminal"][:, None], -np.inf, reward),
        prior="counting" if problem["counting"] else "uniform",
        initial=problem["initial"],
        terminal=problem["terminal"],
        dtype=dtype,
    )


def stack(mdps: list[TabularMDP]) -> TabularMDP:
    """One batch of problems of one shape, for `vmap`."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *[mdp.bare() for mdp in mdps])


def item(tree, index: int):
    """One entry of a batch."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[index], tree)
