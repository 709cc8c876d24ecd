"""How time is taken: candidates in turn, round by round, so that a noisy machine disturbs all alike.

A table is text: what was run, on what, with which versions; then one row per case, of medians.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "numba", "quantecon", "pymdptoolbox", "imitation", "torch")


def interleaved(
    candidates: dict[str, Callable[[], object]], rounds: int = 9, least: float = 0.02
) -> dict[str, list[float]]:
    """Seconds per call of each candidate in each round. A first call warms up (and compiles), untimed.

    Each round has an order of its own: whoever follows one that has just given much memory back to the system must
    fetch its pages anew, and that shall not always be the same one.

    least: seconds a timed block lasts at least; short calls are repeated inside it.
    """
    import numpy as np

    repeats = {}
    for name, call in candidates.items():
        call()
        start = time.perf_counter()
        call()
        repeats[name] = max(1, round(least / max(time.perf_counter() - start, 1e-9)))
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        for name in rng.permutation(list(candidates)):
            call, start = candidates[name], time.perf_counter()
            for _ in range(repeats[name]):
                call()
            taken[name].append((time.perf_counter() - start) / repeats[name])
    return taken


def first_call(call: Callable[[], object]) -> float:
    """Seconds of the first call: trace, compile and run."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def triad(numbers: int = 20_000_000) -> float:
    """Memory bandwidth in GB/s: a[i] = b[i] + s c[i], three arrays counted, on all cores of this process."""
    import numba
    import numpy as np

    threads = len(os.sched_getaffinity(0))

    @numba.njit(parallel=threads > 1, fastmath=True)
    def run(a, b, c, s):
        for i in numba.prange(a.size):
            a[i] = b[i] + s * c[i]

    a, b, c = np.zeros(numbers), np.ones(numbers), np.ones(numbers)
    seconds = interleaved({"triad": lambda: run(a, b, c, 3.0)}, rounds=7)["triad"]
    return 24 * numbers / float(np.median(seconds)) / 1e9


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def on_cores(
    interpreter: str, arguments: Iterable[object], count: int | None = 1
) -> tuple[list[str], dict[str, str]]:
    """A command on the last `count` cores, or on all, and its surroundings: from its first moment on it sees no others,
    so that nothing in it starts more threads.
    """
    allowed = sorted(os.sched_getaffinity(0))
    last = allowed[-count:] if count else allowed
    command = ["taskset", "--cpu-list", ",".join(map(str, last)), interpreter, "-m", *map(str, arguments)]
    return command, os.environ | dict.fromkeys(THREADS, str(len(last)))


def parser(description: str | None, out: str) -> argparse.ArgumentParser:
    """The options every benchmark has."""
    options = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    options.add_argument("--out", type=Path, default=RESULTS / out, help="the table to write")
    options.add_argument("--rounds", type=int, default=9, help="timed rounds per cell")
    options.add_argument("--cores", type=int, nargs="+", default=[1, cores()], help="cores, one run each")
    options.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return options


def header(command: str, notes: Iterable[str] = ()) -> list[str]:
    """Command, machine and versions, as the first lines of a table."""
    model = platform.processor() or platform.machine()
    try:
        info = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    versions = [f"python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    lines = [
        f"command   python -m {command}",
        f"machine   {model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end",
        f"versions  {', '.join(versions)}",
    ]
    return [*lines, *(f"note      {note}" for note in notes), ""]


def table(heads: list[str], rows: list[list[str]]) -> list[str]:
    """Columns aligned: text to the left, numbers to the right."""
    width = [max(len(str(row[i])) for row in [heads, *rows]) for i in range(len(heads))]

    def line(row):
        cells = [
            str(c).ljust(w) if i == 0 else str(c).rjust(w)
            for i, (c, w) in enumerate(zip(row, width, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return [line(heads), line(["-" * w for w in width]), *(line(row) for row in rows)]


def write(path: Path, lines: Iterable[str]) -> None:
    """Write a table whole, and show it."""
    text = "\n".join(lines) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)
    print(text)


def child(
    module: str, arguments: Iterable[object], interpreter: str = sys.executable, cores: int | None = 1
) -> str:
    """Run a module in its own interpreter and return what it printed; its progress goes to standard error.

    cores: how many it may use; None for all.
    """
    command, surroundings = on_cores(interpreter, [module, *arguments], cores)
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
        env=surroundings,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} failed with status {done.returncode}")
    return done.stdout


def on_each_core_count(
    module: str,
    description: str | None,
    sizes: Iterable[int],
    run: Callable[[list[int], int], dict],
    report: Callable[[list[dict], str], Iterable[str]],
    processes: int = 1,
) -> None:
    """The command line of a benchmark whose cells are run once per number of cores, each in its own process.

    processes: how many, one after the other, for each number of cores: their rounds are put together, so that no
        process's luck with its threads and its memory decides.
    """
    options = parser(description, f"{module.split('.')[-1]}.txt")
    options.add_argument("--sizes", type=lambda x: int(float(x)), nargs="+", default=list(sizes))
    options.add_argument("--processes", type=int, default=processes, help="runs put together, for each")
    chosen = options.parse_args()
    if chosen.child:
        print(json.dumps(run(chosen.sizes, chosen.rounds)))
        return
    same = ["--child", "--rounds", chosen.rounds, "--sizes", *chosen.sizes]
    runs = []
    for n in sorted(set(chosen.cores)):
        parts = [json.loads(child(module, same, cores=n)) for _ in range(chosen.processes)]
        for cells in zip(*(part["cells"] for part in parts), strict=True):
            for name, taken in cells[0]["taken"].items():
                taken += [seconds for cell in cells[1:] for seconds in cell["taken"][name]]
        runs.append(parts[0])
    write(chosen.out, report(runs, f"{module} " + " ".join(sys.argv[1:])))
