"""Is a run that is killed, at any moment, and resumed, the same run?

Claim: `maxentrl train` that is killed with SIGKILL, again and again, and started with --resume each time, leaves the
files of a run that was not, byte for byte; only timing.json differs. For each agent the whole run is made once. Then it
is made again and killed after a time that is drawn evenly from the seconds that the whole run took, until it has been
killed as often as asked; a run that came to its end is compared, and the next one begins. Checkpoints are so frequent
that many kills meet one being written: those left a part of a file behind, and are counted.

Passed: every run that came to its end has the bytes of the whole run, and no --resume was refused.

    python reproductions/kills.py --kills 50 --out reproductions/results/kills.txt
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import learning
import numpy as np

SEEDS = (0, 1)
"""Two, as several seeds of an environment in JAX are trained by several threads."""
COMMON = [
    "--seeds",
    ",".join(map(str, SEEDS)),
    "--evaluations",
    "2",
    "--log-every",
    "100",
    "--evaluate-every",
    "500",
]
CASES = {
    "soft_q": ["--env", "chain", "--steps", "4000", "--checkpoint-every", "100"],
    "soft_dqn": ["--env", "cartpole", "--steps", "3000", "--checkpoint-every", "100", "--warmup", "100"],
    "soft_pg": ["--env", "cartpole", "--steps", "8192", "--checkpoint-every", "1024"],
    "discrete_sac": ["--env", "cartpole", "--steps", "2000", "--checkpoint-every", "100", "--warmup", "100"],
    "sac": ["--env", "pendulum", "--steps", "2000", "--checkpoint-every", "100", "--warmup", "100"],
    "sac_v1": ["--env", "pendulum", "--steps", "2000", "--checkpoint-every", "100", "--warmup", "100"],
    "sac, Gymnasium": ["--env", "Pendulum-v1", "--steps", "1500", "--checkpoint-every", "100", "--warmup", "100"],
}  # fmt: skip
SMALL = ["--hidden", "16,16"]


def command(case: str, out: Path, *more: str) -> list[str]:
    agent = case.split(",")[0]
    small = [] if agent == "soft_q" else SMALL
    return [str(Path(sys.executable).with_name("maxentrl")), "train", agent, *CASES[case], *COMMON, *small,
            "--out", str(out), *more]  # fmt: skip


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but timing.json, by its path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "timing.json"
    }


def killed(case: str, place: Path, kills: int, rng: np.random.Generator) -> list[str]:
    """One row: agent, kills, of these while writing, runs compared, of these equal, refused."""
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(place / "compiled")}
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "env": environment}
    whole, out = place / "whole", place / "killed"
    for folder in (
        place / "first",
        whole,
    ):  # the first fills the cache of compiled programs; the second is timed
        begin = time.perf_counter()
        subprocess.run(command(case, folder), check=True, **quiet)
        length = time.perf_counter() - begin
    wanted, done = contents(whole), 0
    same_twice = contents(place / "first") == wanted
    writing = compared = equal = refused = 0
    while done < kills:
        begun = (out / "checkpoints").is_dir()
        process = subprocess.Popen(command(case, out, *(["--resume"] if begun else [])), **quiet)
        try:
            _, said = process.communicate(timeout=rng.uniform(0.3, 1.0) * length)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            done += 1
            writing += bool(list(out.rglob("*.partial")))
            if not (out / "checkpoints").is_dir():
                shutil.rmtree(out, ignore_errors=True)
            continue
        if process.returncode:
            refused += 1
            print(case, said.decode(), file=sys.stderr, flush=True)
            shutil.rmtree(out, ignore_errors=True)
            continue
        compared, equal = compared + 1, equal + (contents(out) == wanted)
        if contents(out) != wanted:
            differ = sorted(k for k in {**wanted, **contents(out)} if wanted.get(k) != contents(out).get(k))
            print(case, "differs in", differ, file=sys.stderr, flush=True)
        shutil.rmtree(out)
    if out.is_dir():  # the last one may be unfinished: to its end, undisturbed
        again = ["--resume"] if (out / "checkpoints").is_dir() else []
        subprocess.run(command(case, out, *again), check=True, **quiet)
        compared, equal = compared + 1, equal + (contents(out) == wanted)
    passed = same_twice and equal == compared and not refused
    return [case, str(done), str(writing), str(compared), str(equal), str(refused), "yes" if same_twice else "NO",
            "passed" if passed else "FAILED"]  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--out", type=Path)
    options.add_argument("--kills", type=int, default=50, help="for each agent")
    options.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    given = options.parse_args()
    rng = np.random.default_rng(0)
    rows: list[list[str]] = []
    for case in given.cases:
        with tempfile.TemporaryDirectory() as place:
            rows.append(killed(case, Path(place), given.kills, rng))
        text = table(rows)
        print(text, file=sys.stderr, flush=True)
        if given.out:
            given.out.write_text(text)


def table(rows: list[list[str]]) -> str:
    heads = [
        "agent",
        "kills",
        "while writing",
        "runs compared",
        "the same bytes",
        "refused",
        "same twice",
        "bar",
    ]
    width = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    lines = learning.header("Killed and resumed", SEEDS, starts=False)
    lines += [
        "  ".join(c.ljust(w) for c, w in zip(row, width, strict=True)).rstrip() for row in [heads, *rows]
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
