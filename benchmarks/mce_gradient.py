"""Value and gradient of the finite-horizon log-likelihood, against one step of `imitation`'s tabular MCE.

Both sides: one reward per state; maximum causal entropy (counting prior, temperature 1); one core. Ours
differentiates the log partition function through `infer.tabular.backward` in float64, on successor lists; the
log-likelihood of demonstrations is their reward minus it. The peer computes the partition, the occupancy, the
gradient and an Adam step on its dense table, in its own interpreter (--peer, or MAXENTRL_IMITATION).
"""

from __future__ import annotations

import json
import os
import sys
import time

from benchmarks import measure

CASES = {"grid 10x10": 50, "grid 30x30": 100, "scattered 500": 50, "scattered 2000": 50}


def problem(case: str):
    from benchmarks.problems import small_grid, small_scattered

    return (
        small_grid(int(case.split("x")[1]))
        if case.startswith("grid")
        else small_scattered(int(case.split()[1]))
    )


def ours(rounds: int) -> dict:
    import jax
    import jax.numpy as jnp
    import numpy as np

    from benchmarks.problems import successor_lists
    from maxentrl import TabularMDP
    from maxentrl.core.types import Temperatures
    from maxentrl.infer import tabular

    jax.config.update("jax_enable_x64", True)
    found = {}
    for case, horizon in CASES.items():
        given = problem(case)
        reward = np.repeat(given.reward[:, None], 4, 1)
        host = TabularMDP(successor_lists(given.transition), reward, prior="counting", initial=given.initial)
        mdp = jax.tree.map(jnp.asarray, host.bare())

        def log_partition(r, mdp, horizon=horizon):
            model = mdp.with_reward(jnp.broadcast_to(r[:, None], mdp.reward.shape))
            return mdp.initial @ tabular.backward(model, Temperatures(1.0, jnp.inf), horizon)[0]

        gradient = jax.jit(jax.value_and_grad(log_partition))
        r = jnp.asarray(given.reward)

        def call(gradient=gradient, mdp=mdp, r=r):
            return jax.block_until_ready(gradient(r, mdp))

        first = measure.first_call(call)
        taken = measure.interleaved({"ours": call}, rounds)["ours"]
        found[case] = {"first": first, "taken": taken, "visits": np.asarray(call()[1]).tolist()}
    return found


def peer(rounds: int) -> dict:
    import contextlib
    import io
    import warnings

    warnings.filterwarnings("ignore")
    import numpy as np
    import torch
    from imitation.algorithms import mce_irl
    from imitation.rewards import reward_nets
    from seals import base_envs

    torch.set_num_threads(1)
    found = {}
    for case, horizon in CASES.items():
        given = problem(case)
        states = len(given.reward)
        env = base_envs.TabularModelPOMDP(
            transition_matrix=given.transition,
            observation_matrix=np.eye(states, dtype=np.float32),
            reward_matrix=given.reward,
            horizon=horizon,
            initial_state_dist=given.initial,
        )
        _, _, policy = mce_irl.mce_partition_fh(env, reward=given.reward)
        visits, total = mce_irl.mce_occupancy_measures(env, reward=given.reward, pi=policy)

        class StateReward(reward_nets.RewardNet):
            def __init__(self, env=env, states=states):
                super().__init__(env.observation_space, env.action_space)
                self.weight = torch.nn.Parameter(torch.zeros(states, dtype=torch.float32))

            def forward(self, state, action, state_next, done):
                return state @ self.weight

        with contextlib.redirect_stdout(io.StringIO()):
            learner = mce_irl.MCEIRL(
                total, env, StateReward(), rng=np.random.default_rng(0), log_interval=None
            )
        seen = torch.as_tensor(env.observation_matrix, dtype=torch.float32)
        taken = []
        for _ in range(max(3, rounds // 2)):
            start = time.perf_counter()
            learner._train_step(seen)
            taken.append(time.perf_counter() - start)
        found[case] = {"taken": taken, "visits": visits[:horizon].sum(0).tolist()}
    return found


def report(mine: dict, theirs: dict | str, command: str) -> list[str]:
    import numpy as np

    lines = measure.header(
        command,
        [
            "median ms per gradient; one core; compile time not counted; the two run one after the other",
            "bar: factor >= 60 at grid 30x30, >= 90 at scattered 2000",
            "difference: largest difference between our gradient and the peer's expected visits",
        ],
    )
    rows = []
    for case, horizon in CASES.items():
        own = float(np.median(mine[case]["taken"])) * 1e3
        row = [f"{case}, T={horizon}", f"{own:.2f}"]
        if isinstance(theirs, str):
            rows.append([*row, "-", "-", "-", f"{mine[case]['first']:.1f}"])
            continue
        other = float(np.median(theirs[case]["taken"])) * 1e3
        off = np.max(np.abs(np.array(mine[case]["visits"]) - np.array(theirs[case]["visits"])))
        rows.append([*row, f"{other:.1f}", f"{other / own:.0f}", f"{off:.1e}", f"{mine[case]['first']:.1f}"])
    lines += measure.table(["case", "maxentrl", "imitation", "factor", "difference", "first call s"], rows)
    if isinstance(theirs, str):
        lines += ["", f"imitation was not run: {theirs}"]
    else:
        lines += ["", f"peer: {theirs['versions']}"]
    return lines


def main() -> None:
    options = measure.parser(__doc__, "mce_gradient.txt")
    options.add_argument(
        "--peer",
        default=os.environ.get("MAXENTRL_IMITATION"),
        help="the Python interpreter that has imitation",
    )
    options.add_argument("--side", choices=("ours", "peer"), help="run one side only, and print it as JSON")
    chosen = options.parse_args()
    if chosen.side:
        found = ours(chosen.rounds) if chosen.side == "ours" else peer(chosen.rounds)
        if chosen.side == "peer":
            found["versions"] = measure.header("")[2].removeprefix("versions").strip()
        print(json.dumps(found))
        return
    rounds = ["--rounds", chosen.rounds]
    mine = json.loads(measure.child("benchmarks.mce_gradient", ["--side", "ours", *rounds]))
    theirs: dict | str = "give its interpreter with --peer, or in MAXENTRL_IMITATION"
    if chosen.peer:
        try:
            theirs = json.loads(
                measure.child("benchmarks.mce_gradient", ["--side", "peer", *rounds], chosen.peer)
            )
        except (RuntimeError, OSError) as problem_met:
            theirs = str(problem_met)
    measure.write(chosen.out, report(mine, theirs, "benchmarks.mce_gradient " + " ".join(sys.argv[1:])))


if __name__ == "__main__":
    main()
