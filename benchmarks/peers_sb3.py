"""Stable-Baselines3 and SBX, which share an interface. Run by their own interpreters; nothing of ours is imported.

python -m benchmarks.peers_sb3 {sb3,sbx} {update,training,start_up} CASE [COUNT]
"""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks.agent_cases import BATCH, CAPACITY, DQN, SIZES, TRAININGS, WARMUP
from benchmarks.measure import cores
from benchmarks.turns import serve, versions_of

PACKAGES = ("stable_baselines3", "sbx-rl", "torch", "jax", "flax", "gymnasium", "mujoco", "numpy")


def library(name: str) -> Any:
    import torch

    torch.set_num_threads(cores())
    if name == "sb3":
        import stable_baselines3

        return stable_baselines3
    import sbx

    return sbx


def device(name: str) -> dict[str, str]:
    return {"device": "cpu"} if name == "sb3" else {}


def sac(name: str, env, hidden: int, learning_rate: float, capacity: int = CAPACITY) -> Any:
    return library(name).SAC(
        "MlpPolicy",
        env,
        seed=0,
        verbose=0,
        batch_size=BATCH,
        learning_starts=WARMUP,
        train_freq=1,
        gradient_steps=1,
        buffer_size=capacity,
        learning_rate=learning_rate,
        policy_kwargs={"net_arch": [hidden, hidden]},
        **device(name),
    )


def dqn(name: str, env) -> Any:
    return library(name).DQN(
        "MlpPolicy",
        env,
        seed=0,
        verbose=0,
        learning_rate=DQN["learning_rate"],
        batch_size=DQN["batch"],
        buffer_size=CAPACITY,
        learning_starts=DQN["warmup"],
        target_update_interval=10,
        train_freq=DQN["every"],
        gradient_steps=DQN["updates"],
        exploration_fraction=0.16,
        exploration_final_eps=0.04,
        policy_kwargs={"net_arch": [DQN["hidden"]] * 2},
        **device(name),
    )


def update(name: str, case: str, count: int):
    """Gradient steps with batches drawn from a memory of 10 000 random steps, `count` of them in one call."""
    import gymnasium
    import numpy as np
    from stable_baselines3.common.logger import configure

    size = SIZES[case]

    class Nowhere(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-10, 10, (size.seen,), np.float32)
        action_space = gymnasium.spaces.Box(-1, 1, (size.done,), np.float32)

    model = sac(name, Nowhere(), size.hidden, 3e-4, 10_000)
    model.set_logger(configure(None, []))
    rng = np.random.default_rng(0)
    for _ in range(10_000):
        seen, after = rng.normal(size=(2, 1, size.seen)).astype(np.float32)
        action = rng.uniform(-1, 1, (1, size.done)).astype(np.float32)
        model.replay_buffer.add(seen, after, action, rng.normal(size=1), np.zeros(1, bool), [{}])
    start = time.perf_counter()
    model.train(count, BATCH)
    first = time.perf_counter() - start
    start = time.perf_counter()
    model.train(count, BATCH)
    calls = max(1, round(0.5 / (time.perf_counter() - start)))

    def turn() -> float:
        for _ in range(calls):
            model.train(count, BATCH)
        return calls * count

    return {"first": first, "versions": versions_of(*PACKAGES)}, turn


def training(name: str, case: str, seconds: float):
    """Steps of `learn`, in blocks of about so many seconds, once everything has been compiled."""
    import gymnasium

    given = TRAININGS[case]
    env = gymnasium.make(given.env)
    model = dqn(name, env) if "dqn" in case else sac(name, env, given.hidden, given.learning_rate)
    warm = 1000 + 2 * DQN["every"] if "dqn" in case else WARMUP + 200
    start = time.perf_counter()
    # The schedule of exploration is over from here on, as for most of a training.
    model.learn(warm, log_interval=1000)
    first = time.perf_counter() - start
    block = DQN["every"] if "dqn" in case else 100
    start = time.perf_counter()
    model.learn(block, log_interval=1000, reset_num_timesteps=False)
    steps = block * max(1, round(seconds / (time.perf_counter() - start)))

    def turn() -> float:
        before = model.num_timesteps
        model.learn(steps, log_interval=1000, reset_num_timesteps=False)
        return model.num_timesteps - before

    return {"first": first, "block": steps, "versions": versions_of(*PACKAGES)}, turn


def start_up(name: str) -> None:
    """Import, build, and train until the first gradient step is done."""
    import gymnasium

    model = sac(name, gymnasium.make("Pendulum-v1"), 256, 1e-3)
    model.learn(WARMUP + 1, log_interval=1000)
    assert model._n_updates >= 1


if __name__ == "__main__":
    name, what, *rest = sys.argv[1:]
    if what == "update":
        serve(lambda: update(name, rest[0], int(rest[1])))
    elif what == "training":
        serve(lambda: training(name, rest[0], float(rest[1])))
    else:
        start_up(name)
