"""The problems that are timed: four actions, four successors, local or scattered; small full tables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SEED = 0


class Arrays(NamedTuple):
    """Successor lists [S, A, K] with probabilities, rewards [S, A] and a start distribution [S]."""

    successor: np.ndarray
    probability: np.ndarray
    reward: np.ndarray
    initial: np.ndarray


def slippery_grid(states: int, dtype=np.float64, seed: int = SEED) -> Arrays:
    """A square map with sticky walls: the step 0.8, each side step 0.05, no step 0.1; one goal in 1000."""
    rng = np.random.default_rng(seed)
    width = int(np.sqrt(states))
    here = np.arange(states, dtype=np.int32)
    column = here % width
    up = np.where(here >= width, here - width, here)
    down = np.where(here + width < states, here + width, here)
    left = np.where(column > 0, here - 1, here)
    right = np.where((column < width - 1) & (here + 1 < states), here + 1, here)
    around = [up, right, down, left]
    lists = [[around[a], around[(a + 1) % 4], around[a - 1], here] for a in range(4)]
    successor = np.array(lists, np.int32).transpose(2, 0, 1)
    probability = np.broadcast_to(np.array([0.8, 0.05, 0.05, 0.1], dtype), successor.shape)
    goal = rng.random(states) < 1e-3
    reward = np.where(goal, 1.0, -0.02)[:, None] + 0.01 * rng.random((states, 4))
    return Arrays(successor, probability, reward.astype(dtype), np.full(states, 1 / states, dtype))


def scattered(states: int, dtype=np.float64, seed: int = SEED, actions: int = 4, count: int = 4) -> Arrays:
    """Successors anywhere, probabilities uniform on the simplex, rewards uniform in [0, 1]."""
    rng = np.random.default_rng(seed)
    shape = (states, actions, count)
    successor = rng.integers(0, states, shape, dtype=np.int32)
    weight = rng.standard_exponential(shape)
    probability = (weight / weight.sum(-1, keepdims=True)).astype(dtype)
    return Arrays(
        successor, probability, rng.random(shape[:2]).astype(dtype), np.full(states, 1 / states, dtype)
    )


FAMILIES = {"local": slippery_grid, "scattered": scattered}


class StateReward(NamedTuple):
    """A full transition table [S, A, S], a reward per state [S] and a start [S]: what a dense peer needs."""

    transition: np.ndarray
    reward: np.ndarray
    initial: np.ndarray


def small_grid(side: int, slip: float = 0.1) -> StateReward:
    """side x side cells; with probability `slip` the step goes to one of its sides; start in a corner."""
    moves = ((-1, 0), (0, 1), (1, 0), (0, -1))
    transition = np.zeros((side**2, 4, side**2))
    for cell in range(side**2):
        for action in range(4):
            for turn, chance in ((0, 1 - slip), (1, slip / 2), (3, slip / 2)):
                step = moves[(action + turn) % 4]
                row, column = cell // side + step[0], cell % side + step[1]
                inside = 0 <= row < side and 0 <= column < side
                transition[cell, action, row * side + column if inside else cell] += chance
    reward, initial = np.zeros(side**2), np.zeros(side**2)
    reward[-1], reward[side // 2 * side + side // 2], initial[0] = 1.0, -0.5, 1.0
    return StateReward(transition, reward, initial)


def small_scattered(states: int, seed: int = SEED) -> StateReward:
    """Four random successors for each of four actions, in dense form; start anywhere."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, states, (states, 4, 4))
    weight = rng.dirichlet(np.ones(4), (states, 4))
    transition = np.zeros((states, 4, states))
    state, action = np.ogrid[:states, :4]
    for k in range(4):
        np.add.at(transition, (state, action, target[..., k]), weight[..., k])
    return StateReward(transition, 0.3 * rng.normal(size=states), rng.dirichlet(np.ones(states)))


def successor_lists(transition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A full table [S, A, S] as padded lists: successor and probability [S, A, K]."""
    count = int((transition > 0).sum(-1).max())
    order = np.argsort(-transition, axis=-1, kind="stable")[..., :count]
    return order.astype(np.int32), np.take_along_axis(transition, order, -1)
