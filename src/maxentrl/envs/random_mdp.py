"""Random problems of any size, for tests and timings."""

from __future__ import annotations

from typing import Literal

import numpy as np

from maxentrl.core.check import InputError, check_memory
from maxentrl.models.tabular import TabularMDP


def random_mdp(
    states: int = 20,
    actions: int = 3,
    *,
    branching: int | None = None,
    forbidden: float = 0.0,
    terminal: int = 0,
    seed: int = 0,
    dtype: Literal["float64", "float32"] = "float64",
) -> TabularMDP:
    """A problem with normal rewards and transition rows uniform on the simplex (Dirichlet with weights 1).

    Args:
        states, actions: how many, at least 1.
        branching: different successors of each state and action, drawn uniformly; the rows are successor
            lists then. 1 gives deterministic dynamics. None gives a dense table in which every state can
            follow.
        forbidden: probability, in [0, 1], that an action is forbidden in a state; one of them is always
            spared.
        terminal: the last so many states are terminal.
        seed: of NumPy's default generator; equal arguments give equal problems.
        dtype: "float64" or "float32".

    Raises:
        InputError: for numbers out of range, or a table larger than the memory at hand.
    """
    for name, value in (("states", states), ("actions", actions)):
        if value < 1:
            raise InputError(f"{name} must be at least 1; got {value}.")
    if branching is not None and not 1 <= branching <= states:
        raise InputError(f"branching must lie between 1 and the number of states, {states}; got {branching}.")
    if not 0 <= forbidden <= 1:
        raise InputError(f"forbidden must be a probability in [0, 1]; got {forbidden}.")
    if not 0 <= terminal < states:
        raise InputError(f"terminal must leave at least one of {states} states live; got {terminal}.")
    if seed < 0:
        raise InputError(f"seed must be at least 0; got {seed}.")
    width = states if branching is None else branching
    entry = np.dtype(dtype).itemsize * 4 + (0 if branching is None else 16)
    check_memory(
        states * actions * width * entry, f"a random problem of {states} states", "choose fewer successors"
    )

    random = np.random.default_rng(seed)
    probability = random.standard_exponential((states, actions, width), np.dtype(dtype))
    probability /= probability.sum(2, keepdims=True)
    reward = random.standard_normal((states, actions), np.dtype(dtype))
    if forbidden:
        barred = random.random((states, actions)) < forbidden
        barred[np.arange(states), random.integers(actions, size=states)] = False
        reward[barred] = -np.inf
    return TabularMDP(
        probability if branching is None else (_distinct(random, states, actions, branching), probability),
        reward,
        terminal=np.arange(states) >= states - terminal,
        dtype=dtype,
    )


def _distinct(random: np.random.Generator, states: int, actions: int, count: int) -> np.ndarray:
    """Uniformly random sets of `count` different states, int32 [S, A, count], by Floyd's algorithm.

    For k = 0 .. count-1, with j = S - count + k: draw t from 0 .. j; add t, or j if t is already in.
    Bentley & Floyd (1987). All S A sets are drawn side by side, without rejection.
    """
    chosen = np.empty((states, actions, count), np.int32)
    for k in range(count):
        last = states - count + k
        drawn = random.integers(last + 1, size=(states, actions), dtype=np.int32)
        taken = (chosen[:, :, :k] == drawn[:, :, None]).any(2)
        chosen[:, :, k] = np.where(taken, last, drawn)
    return chosen
