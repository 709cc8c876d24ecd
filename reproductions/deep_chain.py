"""A small reward near, a large one far: does learning at a temperature find the far one, where hard learning does not?

Claim: Haarnoja et al. (2017, section 5.3) and Levine (2018): soft policies explore, because they stay random where
rewards do not speak. Changed: a table of 10 states in a row instead of networks. The left end, where every episode
starts, pays 0.1 a step; the right end pays 1. The random walk needs some 90 steps to the far end, and whoever turns
to the near reward with chance 1 - epsilon / 2 needs exponentially many in the length.

Said before running: `soft_q` at temperatures 0.05, 0.1, 0.2, 0.3 and 0.5, and at temperature 0 with epsilon 0.05,
0.1, 0.3, 0.5 and 1 (an epsilon of 1 is the random walk itself, from which Q-learning learns all the same); all else
equal: discount 0.99, power 0.6, episodes of 100 steps, 100 000 steps, seeds 0 to 9. Two metrics: the return of training
episodes in the last quarter, at most 91, and the share of seeds whose most likely actions walk to the far end when all
is over. Passed: the best temperature's return is above that of the best epsilon, and their 95 % intervals do not touch.
Tried before, on seeds 100 and 101: 20 states, episodes of 200 steps, 60 000 steps and power 0.7, where temperatures up to
0.3 had not found the far end by then; the rest of that was not run.

    python reproductions/deep_chain.py --seeds 0 1 2 3 4 5 6 7 8 9 --out reproductions/results/deep_chain.txt
"""

from __future__ import annotations

import learning
import numpy as np

from maxentrl.agents.soft_q import SoftQSettings, soft_q
from maxentrl.envs.chain import chain
from maxentrl.envs.simulate import simulate

LENGTH, LIMIT, STEPS, EVERY = 10, 100, 100_000, 25_000
BEST = LIMIT - LENGTH + 1
TEMPERATURES, EPSILONS = (0.05, 0.1, 0.2, 0.3, 0.5), (0.05, 0.1, 0.3, 0.5, 1.0)


def main() -> None:
    options = learning.parser(__doc__)
    options.set_defaults(seeds=list(range(10)))
    given = options.parse_args()
    env = simulate(chain(LENGTH), limit=LIMIT, name="chain")
    lines = learning.header(
        f"A chain of {LENGTH} states: return of training episodes in the last quarter", given.seeds
    )
    lines += [
        f"at most {BEST}; mean over seeds [95 % bootstrap interval]; share of seeds that walk to the far end",
        "",
    ]
    best: dict[str, tuple[float, float, float]] = {}
    for kind, values in (("temperature", TEMPERATURES), ("epsilon", EPSILONS)):
        for value in values:
            settings = SoftQSettings(
                temperature=value if kind == "temperature" else 0.0,
                epsilon=value if kind == "epsilon" else 0.1,
                discount=0.99,
                power=0.6,
            )
            found = learning.curves(soft_q(settings), env, given.seeds, STEPS, EVERY)
            last = found.lived[:, -1]
            share = float(np.mean(found.returns[:, -1] > 0.9 * BEST))
            lines.append(f"{kind:<12} {value:<5g} {learning.said(last):<28} {share:.0%}")
            best[kind] = max(best.get(kind, (-np.inf, -np.inf, -np.inf)), learning.interval(last))
            print(lines[-1], flush=True)
    passed = best["temperature"][1] > best["epsilon"][2]
    lines += [
        "",
        f"best temperature {best['temperature'][0]:.1f} against best epsilon {best['epsilon'][0]:.1f}: "
        f"{'passed' if passed else 'FAILED'}",
    ]
    learning.write(lines, given.out)


if __name__ == "__main__":
    main()
