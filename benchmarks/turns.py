"""Candidates in processes of their own, each with its own interpreter, that take turns on the same cores.

A worker prepares (imports, builds, compiles), says so in a line of JSON, and from then on works once for every line it
reads. While one works the others sleep. On one core time is that of the process on it, so that what else runs on the
machine takes nothing from a candidate but its caches; on several it is that of the clock. Nothing but the standard
library is needed here, so that peers can use it too.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import cores, on_cores

ROOT = Path(__file__).parent.parent


def peak_mb() -> float:
    """The most memory this process has had in use so far, in MB; of this program alone, not of who started it."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def serve(prepare: Callable[[], tuple[dict[str, Any], Callable[[], float]]]) -> None:
    """A worker's whole life.

    prepare: () -> (what to say about it, turn); turn: () -> how much work was done. Whatever they print goes to
        standard error.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    about, turn = prepare()
    print(json.dumps({**about, "peak_mb": peak_mb()}), file=answers, flush=True)
    for _ in sys.stdin:
        begin, used = time.perf_counter(), time.process_time()
        done = turn()
        elapsed, used = time.perf_counter() - begin, time.process_time() - used
        seconds = used if cores() == 1 else elapsed
        print(
            json.dumps({"done": done, "seconds": seconds, "share": used / elapsed, "peak_mb": peak_mb()}),
            file=answers,
            flush=True,
        )


class Worker:
    """One candidate. `about` is what it said when it was ready, `turns` what each turn took."""

    def __init__(self, interpreter: str, arguments: list[str], count: int = 1):
        self.turns: list[dict[str, float]] = []
        command, surroundings = on_cores(interpreter, arguments, count)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not os.environ.get("MAXENTRL_BENCH_LOUD") else None,
            text=True,
            cwd=ROOT,
            env=surroundings,
        )
        self.about = self._answer()

    def turn(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.turns.append(self._answer())

    def end(self) -> None:
        self.process.communicate()

    def rates(self) -> list[float]:
        """Work done per second, of each turn."""
        return [turn["done"] / turn["seconds"] for turn in self.turns]

    @property
    def peak_mb(self) -> float:
        return max(self.about["peak_mb"], *(turn["peak_mb"] for turn in self.turns))

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(map(str, self.process.args))} ended early")  # pyright: ignore
        return json.loads(line)


def take_turns(
    candidates: dict[str, tuple[str, list[str]]], rounds: int, unmeasured: int = 1, count: int = 1
) -> tuple[dict[str, Worker], dict[str, str]]:
    """Workers by name after `rounds` rounds, each in an order of its own, and why others did not run.

    candidates: interpreter and module with arguments, by name. They are prepared one after the other.
    unmeasured: rounds before the first that counts.
    count: how many cores they share.
    """
    workers, failed = {}, {}
    for name, (interpreter, arguments) in candidates.items():
        if not interpreter:
            failed[name] = "no interpreter given"
            continue
        try:
            workers[name] = Worker(interpreter, arguments, count)
            print(f"  {name}: {workers[name].about}", file=sys.stderr, flush=True)
        except (OSError, RuntimeError) as met:
            failed[name] = str(met)
    order = random.Random(0)
    try:
        for n in range(unmeasured + rounds):
            for name in order.sample(list(workers), len(workers)):
                workers[name].turn()
            if n == unmeasured - 1:
                for worker in workers.values():
                    worker.turns.clear()
    finally:
        for worker in workers.values():
            worker.end()
    return workers, failed


def median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else 0.5 * (ordered[middle - 1] + ordered[middle])


def spread(values: list[float]) -> str:
    """Smallest and largest."""
    return f"{min(values):.4g}-{max(values):.4g}"


def versions_of(*packages: str) -> dict[str, str]:
    """Of what is installed among these."""
    import importlib.metadata

    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
