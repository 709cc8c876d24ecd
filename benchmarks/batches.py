"""Eight rewards on the same transitions as one program, against one: stationary solves at discount 0.99.

Close rewards start from their neighbour's values; unrelated ones are solved one after the other.

    python -m benchmarks.batches
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys

import numpy as np

from benchmarks import measure, problems

TOLERANCE = 1e-6
KINDS = ("close", "unrelated")
"""Rewards of a batch: one and its neighbours (a tenth of its range apart), or its entries shuffled each time."""


def batch(states: int, family: str, temperature: float, kind: str, rounds: int) -> dict[str, list[float]]:
    """Eight rewards on the same transitions as one vmap, against one alone: close to each other, or unrelated."""
    import jax
    import jax.numpy as jnp

    import maxentrl as me

    arrays = problems.FAMILIES[family](states)
    mdp = me.TabularMDP((arrays.successor, arrays.probability), arrays.reward, prior="counting")
    rng = np.random.default_rng(1)
    shape = (8, *arrays.reward.shape)
    close = arrays.reward + 0.1 * rng.random(shape)
    rewards = close if kind == "close" else rng.permuted(np.broadcast_to(arrays.reward, shape), axis=1)
    with jax.enable_x64(True):
        many = jnp.asarray(rewards)

        def plan(reward):
            return me.solve(
                mdp.with_reward(reward), temperature=temperature, discount=0.99, tolerance=TOLERANCE
            ).v

        alone, together = jax.jit(plan), jax.jit(jax.vmap(plan))
        calls = {
            "alone": lambda: [jax.block_until_ready(alone(reward)) for reward in many],
            "together": lambda: jax.block_until_ready(together(many)),
        }
        return measure.interleaved(calls, rounds)


def main() -> None:
    options = measure.parser(__doc__, "batches.txt")
    options.add_argument("--processes", type=int, default=3, help="runs put together, for each cell")
    options.add_argument("what", nargs="*", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.child:
        states, family, temperature, kind = chosen.what
        print(json.dumps(batch(int(states), family, float(temperature), kind, chosen.rounds)))
        return
    rows = []
    for states, family, temperature, kind in itertools.product(
        (10_000, 100_000), problems.FAMILIES, (0.0, 1.0), KINDS
    ):
        asked = ["--child", "--rounds", chosen.rounds, states, family, temperature, kind]
        runs = [
            json.loads(measure.child("benchmarks.batches", asked, cores=None))
            for _ in range(chosen.processes)
        ]
        one, eight = (float(np.median([s for run in runs for s in run[k]])) for k in ("alone", "together"))
        taken = f"{one / 8:.4f}", f"{eight:.4f}", f"{eight / one * 8:.2f}"
        rows.append([family, states, f"{temperature:g}", kind, *taken])
        print(*rows[-1], file=sys.stderr, flush=True)
    heads = ["successors", "states", "temperature", "rewards", "one s (mean of 8)", "eight s", "eight / one"]
    notes = [
        f"medians of {chosen.processes} x {chosen.rounds} rounds: in turn one after the other and all eight as one "
        "program, in processes one after the other"
    ]
    command = "benchmarks.batches " + " ".join(sys.argv[1:])
    measure.write(chosen.out, [*measure.header(command, notes), *measure.table(heads, rows)])


if __name__ == "__main__":
    main()
