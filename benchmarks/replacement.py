"""Fit a replacement problem of 200 states at discount 0.9999: the classical stress test of a patient agent.

A machine has 50 levels of wear and runs under one of 4 loads. Each month it is kept or replaced. Keeping wears it by 0
to 3 levels, the more the heavier the load; replacing makes it new; loads wander. Rewards: a price of replacing, and the
price of running a worn machine, linear and squared. (In the manner of Rust 1987, with numbers of our own.)

    python -m benchmarks.replacement
"""

from __future__ import annotations

import sys
import time

import numpy as np

from benchmarks import measure

LEVELS, LOADS, DISCOUNT, MACHINES, MONTHS = 50, 4, 0.9999, 200, 120
NAMES = ("replacing", "wear", "wear squared")
TRUE = np.array([-6.0, -2.0, -3.0])
BAR = 5.0


def problem() -> tuple[np.ndarray, np.ndarray]:
    """Transition [S, 2, S] and features [S, 2, 3]; state = level * LOADS + load; action 1 replaces."""
    states = LEVELS * LOADS
    transition, features = np.zeros((states, 2, states)), np.zeros((states, 2, 3))
    wander = 0.8 * np.eye(LOADS) + 0.2 / LOADS
    for level in range(LEVELS):
        for load in range(LOADS):
            s = level * LOADS + load
            wears = np.array([0.5 - 0.1 * load, 0.3, 0.15 + 0.05 * load, 0.05 + 0.05 * load])
            for next_load in range(LOADS):
                for step, chance in enumerate(wears):
                    worn, new = min(level + step, LEVELS - 1), min(step, LEVELS - 1)
                    transition[s, 0, worn * LOADS + next_load] += chance * wander[load, next_load]
                    transition[s, 1, new * LOADS + next_load] += chance * wander[load, next_load]
            worn = level / (LEVELS - 1)
            features[s, 0, 1:] = worn, worn**2
            features[s, 1, 0] = 1.0
    return transition, features


def main() -> None:
    chosen = measure.parser(__doc__, "replacement.txt").parse_args()
    if not chosen.child:
        print(measure.child("benchmarks.replacement", ["--child", *sys.argv[1:]]), end="")
        return
    import jax

    from maxentrl import TabularMDP, solve
    from maxentrl.irl import mce, sample_trajectories

    transition, features = problem()
    mdp = TabularMDP(transition, np.zeros(features.shape[:2]))
    plan = solve(mdp.with_reward(features @ TRUE), temperature=1.0, discount=DISCOUNT)
    key = jax.random.key(0, impl="threefry2x32")
    demos = sample_trajectories(mdp, plan.log_policy, key=key, count=MACHINES, horizon=MONTHS)
    taken, found = [], None
    for _ in range(1 + chosen.rounds):
        start = time.perf_counter()
        found = mce.fit(mdp, features, demos, discount=DISCOUNT, feature_names=NAMES)
        taken.append(time.perf_counter() - start)
    assert found is not None
    off = np.abs(found.weights - TRUE) / found.standard_errors
    notes = [
        f"{mdp.states} states, 2 actions, discount {DISCOUNT}, {demos.steps} decisions of {MACHINES} machines",
        f"bar: a fit in less than {BAR:g} s on one core, the first of a process too, which compiles",
    ]
    rows = [
        [name, f"{true:.3f}", f"{w:.3f}", f"{e:.3f}", f"{z:.2f}"]
        for name, true, w, e, z in zip(NAMES, TRUE, found.weights, found.standard_errors, off, strict=True)
    ]
    measure.write(
        chosen.out,
        [
            *measure.header("benchmarks.replacement " + " ".join(sys.argv[2:]), notes),
            f"the first fit, with compilation, {taken[0]:.2f} s, {'passed' if taken[0] < BAR else 'FAILED'}; "
            f"any other {np.median(taken[1:]):.3f} s",
            f"{found.verdict} gradient norm {found.gradient_norm:.1e}",
            *found.warnings,
            "",
            *measure.table(["weight", "true", "estimate", "std. error", "errors off"], rows),
        ],
    )


if __name__ == "__main__":
    main()
