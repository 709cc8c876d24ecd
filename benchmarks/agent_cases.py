"""What all candidates of the benchmarks of agents are told, ours and the peers. Nothing but the standard library."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

INTERPRETERS = {"sb3": "MAXENTRL_SB3", "sbx": "MAXENTRL_SBX", "rejax": "MAXENTRL_REJAX"}
"""Where the interpreters of the peers are found. CleanRL's loop runs in the one of sb3."""

BATCH, CAPACITY, WARMUP = 256, 100_000, 100
DQN = {"batch": 64, "warmup": 1000, "every": 256, "updates": 128, "learning_rate": 2.3e-3, "hidden": 256}
"""The settings of the RL zoo for CartPole-v1."""


class Size(NamedTuple):
    """Numbers in an observation, in an action, and in a hidden layer."""

    seen: int
    done: int
    hidden: int


SIZES = {
    "pendulum 2x256": Size(3, 1, 256),
    "half cheetah 2x256": Size(17, 6, 256),
    "pendulum 2x64": Size(3, 1, 64),
}


class Training(NamedTuple):
    """A Gymnasium environment, the width of both hidden layers, and Adam's learning rate."""

    env: str
    hidden: int
    learning_rate: float


TRAININGS = {
    "pendulum 2x64": Training("Pendulum-v1", 64, 1e-3),
    "pendulum 2x256": Training("Pendulum-v1", 256, 1e-3),
    "half cheetah 2x256": Training("HalfCheetah-v5", 256, 3e-4),
    "cartpole dqn 2x256": Training("CartPole-v1", 256, DQN["learning_rate"]),
}


def flops(size: Size, batch: int = BATCH) -> float:
    """Operations in the matrix products of one gradient step, two for each product and sum.

    Forward f, weights' gradients f and inputs' gradients f; inputs' gradients of first layers only where a is one.
    """
    seen, done, hidden = size
    policy = seen * hidden + hidden**2 + hidden * 2 * done
    critic = (seen + done) * hidden + hidden**2 + hidden
    target = policy + 2 * critic
    critics = 2 * (3 * critic - (seen + done) * hidden)
    actor = policy + (2 * policy - seen * hidden) + 2 * (2 * critic - seen * hidden)
    return 2.0 * batch * (target + critics + actor)


def interpreter(peer: str) -> str:
    """Of a peer, or of this process; "" where none was given."""
    if peer == "ours":
        return os.environ.get("MAXENTRL_OURS", sys.executable)
    return os.environ.get(INTERPRETERS[peer], "")
