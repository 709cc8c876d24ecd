"""From nothing to the first gradient step of soft actor-critic on a pendulum: import, build, compile, 101 steps.

Each time a fresh interpreter on one core; seconds of its own time on the core. "whole" trains as the documentation of
each says, with the evaluation that comes with it. Interpreters of the peers: MAXENTRL_SB3, MAXENTRL_SBX, MAXENTRL_REJAX.

    python -m benchmarks.start_up
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

from benchmarks import measure
from benchmarks.agent_cases import BATCH, CAPACITY, WARMUP, interpreter
from benchmarks.turns import ROOT, median

CANDIDATES = {
    "ours": ("ours", ["benchmarks.start_up", "--child", "steps"]),
    "ours, whole": ("ours", ["benchmarks.start_up", "--child", "whole"]),
    "SB3": ("sb3", ["benchmarks.peers_sb3", "sb3", "start_up"]),
    "SBX": ("sbx", ["benchmarks.peers_sb3", "sbx", "start_up"]),
    "rejax": ("rejax", ["benchmarks.peers_rejax", "start_up"]),
    "rejax, whole": ("rejax", ["benchmarks.peers_rejax", "start_up_whole"]),
}
BARS = (("ours", "rejax"), ("ours, whole", "rejax, whole"))
BAR = 0.5
"""Of the seconds of rejax."""


def ours(whole: bool) -> None:
    from maxentrl.agents.sac import SACSettings, sac
    from maxentrl.envs.pendulum import pendulum
    from maxentrl.learn.loop import Schedule, train
    from maxentrl.learn.worlds import compiled_world

    agent = sac(SACSettings(batch=BATCH, capacity=CAPACITY, warmup=WARMUP, learning_rate=1e-3))
    world = compiled_world(agent, pendulum(), (0,), range(10))
    if whole:
        train(world, Schedule(WARMUP + 1), (0,), lambda row: None)
        return
    (tally,) = world.tallies(world.advance(world.begin(), WARMUP + 1))
    assert tally.updates >= 1


def once(name: str) -> tuple[float, float, float]:
    """Seconds on the core, seconds on the clock, and MB at the most, of one process."""
    peer, arguments = CANDIDATES[name]
    command, surroundings = measure.on_cores(interpreter(peer), arguments)
    silent = None if os.environ.get("MAXENTRL_BENCH_LOUD") else subprocess.DEVNULL
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=surroundings, stdout=silent, stderr=silent)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{name} failed with status {os.waitstatus_to_exitcode(status)}")
    return used.ru_utime + used.ru_stime, time.perf_counter() - begin, used.ru_maxrss / 1024


def main() -> None:
    options = measure.parser(__doc__, "start_up.txt")
    options.set_defaults(rounds=3)
    options.add_argument("what", nargs="?")
    chosen = options.parse_args()
    if chosen.child:
        ours(chosen.what == "whole")
        return
    found: dict[str, list[tuple[float, float, float]]] = {}
    missing = {
        name: "no interpreter given" for name, (peer, _) in CANDIDATES.items() if not interpreter(peer)
    }
    order = random.Random(0)
    for _ in range(chosen.rounds):
        for name in order.sample(list(CANDIDATES), len(CANDIDATES)):
            if name in missing:
                continue
            try:
                measured = once(name)
                found.setdefault(name, []).append(measured)
            except (OSError, RuntimeError) as met:
                missing[name] = str(met)
            print(name, found.get(name, [])[-1:], file=sys.stderr)
    taken = {name: median([row[0] for row in found[name]]) for name in CANDIDATES if name in found}
    rows = [
        [
            name,
            f"{seconds:.1f}",
            f"{min(row[0] for row in found[name]):.1f}-{max(row[0] for row in found[name]):.1f}",
            f"{median([row[1] for row in found[name]]):.1f}",
            f"{max(row[2] for row in found[name]):.0f}",
        ]
        for name, seconds in taken.items()
    ]
    verdicts = []
    for mine, theirs in BARS:
        if mine in taken and theirs in taken:
            share = taken[mine] / taken[theirs]
            verdicts.append(
                f"{mine} takes {share:.2f} of {theirs}; bar {BAR:g}: {'met' if share <= BAR else 'MISSED'}"
            )
    notes = [
        f"two hidden layers of 256, batch {BATCH}, memory of {CAPACITY}; {chosen.rounds} fresh processes each, in turn, "
        "on one core; medians",
        f"caches of compiled programs: {os.environ.get('JAX_COMPILATION_CACHE_DIR', 'none')}",
        *(f"{name} was not run: {why}" for name, why in missing.items()),
    ]
    heads = ["candidate", "core s", "range", "clock s", "peak MB"]
    measure.write(
        chosen.out,
        [
            *measure.header("benchmarks.start_up " + " ".join(sys.argv[1:]), notes),
            *measure.table(heads, rows),
            "",
            *verdicts,
        ],
    )


if __name__ == "__main__":
    main()
