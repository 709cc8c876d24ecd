"""Whole training, on one core and on all: environment, acting, memory and gradient steps, in steps per second.

Batch 256 and one gradient step a step after 100 steps for soft actor-critic; the RL zoo's CartPole settings for DQN.
Against SB3, SBX, rejax and a loop of torch in CleanRL's manner, each in its own process with its own interpreter
(MAXENTRL_SB3, MAXENTRL_SBX, MAXENTRL_REJAX; ours for HalfCheetah: MAXENTRL_OURS, where this one lacks MuJoCo). They take
turns of some seconds each, once everything is compiled and warm; what came before is the column "first s". Ours runs in
`learn.loop.train`, as every training does; its pendulum and cartpole are those in JAX, except where it says Gymnasium.

    python -m benchmarks.training
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Sequence

from benchmarks import measure
from benchmarks.agent_cases import BATCH, CAPACITY, DQN, TRAININGS, WARMUP, interpreter
from benchmarks.turns import Worker, median, serve, spread, take_turns, versions_of

BARS = {
    "pendulum 2x64": {"SB3": 12.0, "SBX": 3.5},
    "pendulum 2x256": {"SB3": 2.4, "SBX": 1.35},
    "half cheetah 2x256": {"SB3": 1.9, "SBX": 1.1},
    "cartpole dqn 2x256": {"SB3": 4.0},
}
"""How many times the steps per second of a peer ours shall make."""
SEEDS = 4
"""How many seeds ours trains side by side, beside one; its steps are then those of all."""
MEMORY_BAR = 1.2
"""How many times SBX's peak memory ours may use."""


def agent_of(case: str):
    from maxentrl.agents.sac import SACSettings, sac
    from maxentrl.agents.soft_dqn import SoftDQNSettings, soft_dqn

    given = TRAININGS[case]
    if "dqn" in case:
        return soft_dqn(
            SoftDQNSettings(
                learning_rate=DQN["learning_rate"],
                hidden=(DQN["hidden"],) * 2,
                batch=DQN["batch"],
                capacity=CAPACITY,
                warmup=DQN["warmup"],
                updates=DQN["updates"],
                steps=DQN["every"],
                environments=1,
                # The peers' target is the network as it was before each round of gradient steps.
                target_interval=DQN["updates"],
            )
        )
    return sac(
        SACSettings(
            hidden=(given.hidden,) * 2,
            batch=BATCH,
            capacity=CAPACITY,
            warmup=WARMUP,
            learning_rate=given.learning_rate,
        )
    )


def world_of(case: str, outside: bool, seeds: int = 1):
    """The agent's world; in JAX, or stepped by Gymnasium."""
    from maxentrl.learn.worlds import compiled_world, outer_world

    agent = agent_of(case)
    if not outside:
        from maxentrl.envs.cartpole import cartpole
        from maxentrl.envs.pendulum import pendulum

        return compiled_world(agent, cartpole() if "cartpole" in case else pendulum(), range(seeds), (1,))
    from maxentrl.envs.outside import outside as stepped

    return outer_world(agent, lambda count: stepped(TRAININGS[case].env, count), (0,), (1,))


class Paced:
    """A training in a thread of its own that goes on only while a turn lasts."""

    def __init__(self, world, seeds: Sequence[int], seconds: float, warm: int):
        self.world, self.seeds, self.seconds = world, tuple(seeds), seconds
        self.go, self.rest, self.until, self.at = threading.Event(), threading.Event(), 0.0, 0
        self.failed: BaseException | None = None
        self.begun = time.perf_counter()
        self.warm = warm
        threading.Thread(target=self.run, daemon=True).start()
        self.wait()

    def run(self) -> None:
        from maxentrl.learn.loop import Schedule, train

        never = 10**9
        try:
            schedule = Schedule(never, 1000, never, never)
            train(self.world, schedule, self.seeds, lambda row: None, watch=self.watch)
        except BaseException as met:
            self.failed = met
            self.rest.set()
            raise

    def watch(self, progress) -> None:
        self.at = progress.step
        if self.at < self.warm or time.perf_counter() < self.until:
            return
        self.rest.set()
        self.go.wait()
        self.go.clear()

    def wait(self) -> None:
        self.rest.wait()
        self.rest.clear()
        if self.failed is not None:
            raise self.failed

    def turn(self) -> float:
        before, self.until = self.at, time.perf_counter() + self.seconds
        self.go.set()
        self.wait()
        return self.at - before


def ours(case: str, seconds: float, what: str):
    """what: "inside", one seed or `SEEDS` of them side by side ("seeds"), or "outside"."""
    seeds = SEEDS if what == "seeds" else 1
    world = world_of(case, what == "outside", seeds)
    # The loop doubles its pieces from one step on, and has found their length by then.
    paced = Paced(world, range(seeds), seconds, 4 * DQN["warmup"] if "dqn" in case else WARMUP + 400)
    about = {"first": time.perf_counter() - paced.begun, "block": paced.at}
    versions = versions_of("jax", "jaxlib", "gymnasium", "mujoco", "numpy")
    return {**about, "versions": versions}, lambda: seeds * paced.turn()


def candidates(case: str, seconds: float) -> dict[str, tuple[str, list[str]]]:
    module, length = "benchmarks.training", str(seconds)
    found: dict[str, tuple[str, list[str]]] = {}
    if "cheetah" not in case:
        found["ours"] = (interpreter("ours"), [module, "--child", "inside", case, length])
        found[f"ours, {SEEDS} seeds"] = (interpreter("ours"), [module, "--child", "seeds", case, length])
    found["ours, Gymnasium"] = (interpreter("ours"), [module, "--child", "outside", case, length])
    for name, peer in (("SB3", "sb3"), ("SBX", "sbx")):
        found[name] = (interpreter(peer), ["benchmarks.peers_sb3", peer, "training", case, length])
    if "pendulum" in case:
        found["rejax"] = (interpreter("rejax"), ["benchmarks.peers_rejax", "training", case, length])
    if "dqn" not in case:
        found["torch as in CleanRL"] = (
            interpreter("sb3"),
            ["benchmarks.peers_cleanrl", "training", case, length],
        )
    return found


def rows(case: str, count: int, workers: dict[str, Worker]) -> tuple[list[list[str]], list[str]]:
    """The table's rows, and a sentence for each bar, of a case on `count` cores."""
    where = f"{case} on {count} core{'s' if count > 1 else ''}"
    rates = {name: median(worker.rates()) for name, worker in workers.items()}
    mine = next((name for name in ("ours", "ours, Gymnasium") if name in rates), None)
    found, verdicts = [], []
    for name, worker in workers.items():
        each = worker.rates()
        times = f"{rates[mine] / rates[name]:.2f}" if mine and not name.startswith("ours") else ""
        found.append(
            [
                case,
                str(count),
                name,
                f"{rates[name]:.4g}",
                spread(each),
                times,
                f"{worker.peak_mb:.0f}",
                f"{worker.about['first']:.1f}",
            ]
        )
    if mine is None:
        return found, [f"{where}: ours did not run"]
    for peer, bar in BARS[case].items():
        if peer in rates:
            ratio = rates[mine] / rates[peer]
            verdicts.append(
                f"{where}: {mine} makes {ratio:.2f} x the steps of {peer}; bar {bar:g}: "
                f"{'met' if ratio >= bar else 'MISSED'}"
            )
    if "SBX" in workers:
        ratio = workers[mine].peak_mb / workers["SBX"].peak_mb
        verdicts.append(
            f"{where}: {mine} takes {ratio:.2f} x the memory of SBX; bar {MEMORY_BAR:g}: "
            f"{'met' if ratio <= MEMORY_BAR else 'MISSED'}"
        )
    return found, verdicts


def main() -> None:
    options = measure.parser(__doc__, "training.txt")
    options.set_defaults(rounds=5)
    options.add_argument("--cases", nargs="+", default=list(TRAININGS), choices=list(TRAININGS))
    options.add_argument("--seconds", type=float, default=2.0, help="of a turn, about")
    options.add_argument("what", nargs="*")
    chosen = options.parse_args()
    if chosen.child:
        what, case, seconds = chosen.what
        serve(lambda: ours(case, float(seconds), what))
        return
    lines, verdicts, versions, missing, lowest = [], [], {}, {}, 1.0
    heads = ["case", "cores", "candidate", "steps/s", "range", "ours / it", "peak MB", "first s"]
    for case, count in itertools.product(chosen.cases, sorted(set(chosen.cores))):
        print(f"{case}, cores: {count}", file=sys.stderr)
        workers, failed = take_turns(candidates(case, chosen.seconds), chosen.rounds, count=count)
        found, said = rows(case, count, workers)
        lines, verdicts = lines + found, verdicts + said
        missing |= {f"{case}, cores {count}, {name}": why for name, why in failed.items()}
        for name, worker in workers.items():
            versions.setdefault(name, worker.about.get("versions", {}))
            if count == 1:
                lowest = min(lowest, *(turn["share"] for turn in worker.turns))
        notes = [
            f"one environment, batch {BATCH}, memory of {CAPACITY}, a gradient step a step after {WARMUP} steps; DQN: "
            f"batch {DQN['batch']}, {DQN['updates']} gradient steps after every {DQN['every']} steps, from "
            f"{DQN['warmup']} on",
            f"medians of {chosen.rounds} turns of about {chosen.seconds:g} s, processes in turn; on one core seconds "
            f"are those of the process on it, of which every turn had at least {lowest:.0%}, on more those of the clock",
            "first s: on the clock, from the built agent through compilation and the first some hundred steps (DQN: "
            "some thousand)",
            "peak MB: of the whole process",
            f"ours, {SEEDS} seeds: steps of all of them together, side by side; everyone else trains one",
            *(
                f"{name}: " + ", ".join(f"{k} {v}" for k, v in about.items())
                for name, about in versions.items()
            ),
            *(f"{name} was not run: {why}" for name, why in missing.items()),
        ]
        command = "benchmarks.training " + " ".join(sys.argv[1:])
        measure.write(
            chosen.out,
            [*measure.header(command, notes), *measure.table(heads, lines), "", *verdicts],
        )


if __name__ == "__main__":
    main()
