"""Is a pole on a cart balanced within 50 000 steps, and does it stay so to the end?

Claim: learning with entropy is stable where plain DQN is not: of five seeds of DQN that we ran (one of SB3's and one of
SBX's with the settings of the RL zoo, three of rejax's with its own) none ended above 158. Changed: nothing in the
problem, which is CartPole-v1 with its limit of 500 steps; the settings are ours, as in SETTINGS.

Said before running: `discrete_sac`, `soft_dqn` and `soft_pg`, seeds 0 to 4, an evaluation every 2500 steps. The metric
is the mean return of the most likely actions from 100 fixed start states. Passed: every seed reaches 475 within 50 000
steps, and every evaluation of its last 10 000 steps is at least 475. The table also has the worst evaluation after the
first one that was.

Chosen before, on seeds 0 to 2 in another loop, which shares the first weights of the networks with these seeds and
nothing else; seeds 3 and 4 are new. For soft_dqn: the temperature from 0.05, 0.1, 0.3 and 1, the target's rate from
0.005, 0.02 and 0.05, with and without a learning rate that falls; at temperatures below 1 some seeds stayed at 200.
soft_pg has its defaults, chosen on seeds 0 to 4 in that loop. discrete_sac had what soft_dqn has, and lost one of seeds
0 to 4 near the end; on seeds 10 to 14 half the learning rate, with and without a slower target, temperature 0.5 and
temperature 1.5 were then tried, and only the last kept all five.

    python reproductions/cartpole.py --out reproductions/results/cartpole.txt
"""

from __future__ import annotations

import time

import learning
import numpy as np

from maxentrl.agents.discrete_sac import DiscreteSACSettings, discrete_sac
from maxentrl.agents.soft_dqn import SoftDQNSettings, soft_dqn
from maxentrl.agents.soft_pg import SoftPGSettings, soft_pg
from maxentrl.envs.cartpole import cartpole

STEPS, EVERY, LAST, GOAL = 50_000, 2_500, 10_000, 475.0
SETTINGS = {
    "discrete_sac": DiscreteSACSettings(
        temperature=1.5, hidden=(64, 64), learning_rate=1e-3, batch=128, capacity=100_000,
        environments=4, updates=2, target_rate=0.02,
    ),
    "soft_dqn": SoftDQNSettings(
        temperature=1.0, hidden=(64, 64), learning_rate=1e-3, batch=128, capacity=100_000,
        environments=4, updates=2, target_rate=0.02,
    ),
    "soft_pg": SoftPGSettings(),
}  # fmt: skip
AGENTS = {"discrete_sac": discrete_sac, "soft_dqn": soft_dqn, "soft_pg": soft_pg}


def judged(steps: np.ndarray, returns: np.ndarray) -> tuple[int | None, float | None, float]:
    """Of one seed: the step of the first return of at least `GOAL`, the worst one after it, the worst near the end."""
    solved = np.flatnonzero(returns >= GOAL)
    last = float(returns[steps > steps[-1] - LAST].min())
    return (
        (int(steps[solved[0]]), float(returns[solved[0] :].min()), last)
        if len(solved)
        else (None, None, last)
    )


def main() -> None:
    options = learning.parser(__doc__)
    options.add_argument("--agents", nargs="+", default=list(AGENTS), choices=list(AGENTS))
    given = options.parse_args()
    lines = learning.header("CartPole: reached within 50 000 steps, and kept", given.seeds)
    lines += [f"settings of {name}: {SETTINGS[name]}" for name in given.agents]
    lines += [
        "",
        f"{'agent':<13} {'seed':>4} {'first >= 475':>12} {'worst after':>12} {'worst of last 10 000':>21} {'end':>6}",
    ]
    for name in given.agents:
        begin = time.perf_counter()
        found = learning.curves(AGENTS[name](SETTINGS[name]), cartpole(), given.seeds, STEPS, EVERY)
        passed = True
        for seed, returns in zip(given.seeds, found.returns, strict=True):
            first, after, last = judged(found.steps, returns)
            passed &= last >= GOAL
            lines.append(
                f"{name:<13} {seed:>4} {first or '-':>12} {'-' if after is None else f'{after:.1f}':>12} {last:>21.1f} "
                f"{returns[-1]:>6.1f}"
            )
        lines.append(
            f"{name:<13} at the end {learning.said(found.returns[:, -1])}  {'passed' if passed else 'FAILED'}"
        )
        print(f"{name}: {time.perf_counter() - begin:.0f} s", flush=True)
    learning.write(lines, given.out)


if __name__ == "__main__":
    main()
