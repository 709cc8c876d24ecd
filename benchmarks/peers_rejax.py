"""Rejax, which trains inside one compiled program. Run by its own interpreter; nothing of ours is imported.

python -m benchmarks.peers_rejax {update,training,start_up,start_up_whole} [CASE COUNT]
"""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks.agent_cases import BATCH, CAPACITY, TRAININGS, WARMUP
from benchmarks.turns import serve, versions_of

PACKAGES = ("rejax", "gymnax", "jax", "flax", "numpy")


def sac(hidden: int, learning_rate: float, steps: int) -> Any:
    import rejax

    return rejax.SAC.create(
        env="Pendulum-v1",
        agent_kwargs={"activation": "relu"},
        hidden_layer_sizes=(hidden, hidden),
        num_envs=1,
        buffer_size=CAPACITY,
        fill_buffer=WARMUP,
        batch_size=BATCH,
        learning_rate=learning_rate,
        num_epochs=1,
        total_timesteps=steps,
        eval_freq=steps,
        gamma=0.99,
        polyak=0.995,
        skip_initial_evaluation=True,
    )


def iterations(learner, count: int):
    """A compiled program of `count` steps, each with its gradient step; without rejax's evaluations."""
    import jax

    return jax.jit(
        lambda state: jax.lax.fori_loop(0, count, lambda _, now: learner.train_iteration(now), state),
        donate_argnums=0,
    )


def training(case: str, seconds: float):
    import jax

    given = TRAININGS[case]
    learner = sac(given.hidden, given.learning_rate, 10_000)
    state = jax.jit(learner.init_state)(jax.random.PRNGKey(0))
    program = iterations(learner, 200)
    start = time.perf_counter()
    state = jax.block_until_ready(program(state))
    first = time.perf_counter() - start
    start = time.perf_counter()
    state = jax.block_until_ready(program(state))
    calls = max(1, round(seconds / (time.perf_counter() - start)))

    def turn() -> float:
        nonlocal state
        for _ in range(calls):
            state = jax.block_until_ready(program(state))
        return 200 * calls

    return {"first": first, "block": 200 * calls, "versions": versions_of(*PACKAGES)}, turn


def start_up(whole: bool) -> None:
    """Import, build, and train until the first gradient step is done; or as documented, with its evaluation."""
    import jax

    learner = sac(256, 1e-3, WARMUP + 1)
    if whole:
        jax.block_until_ready(jax.jit(learner.train)(jax.random.PRNGKey(0)))
        return
    state = jax.jit(learner.init_state)(jax.random.PRNGKey(0))
    jax.block_until_ready(iterations(learner, WARMUP + 1)(state))


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "training":
        serve(lambda: training(rest[0], float(rest[1])))
    else:
        start_up(what == "start_up_whole")
