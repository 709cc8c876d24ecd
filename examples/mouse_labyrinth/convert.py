"""From mice in a labyrinth (Rosenberg et al. 2021) to the tables that `maxentrl irl mce` reads.

    python convert.py DATA --out FOLDER

DATA holds trajectories.csv (columns traj, t, state, action; states 0 to 126, actions 0 to 3) and split.csv (traj,
split: train or val). The labyrinth is a binary tree: with x = state + 1, left leads to 2x - 1, right to 2x, reverse to
floor(x / 2) - 1, and staying stays; left and right stay too at the 64 ends. There is one feature per state, so the
reward is a map, held by a penalty.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

STATES = 127
FIRST_END = 63
ACTIONS = ("left", "right", "reverse", "stay")


def successor(state: int, action: int) -> int:
    """Where an action leads; from home, reverse stays."""
    x = state + 1
    if action < 2:
        return 2 * x - 1 + action if state < FIRST_END else state
    return max(x // 2 - 1, 0) if action == 2 else state


def convert(data: Path, out: Path) -> None:
    """Write problem.csv, features.csv, train.csv and val.csv."""
    problem = [
        [s, name, successor(s, a), 1, 0, int(s == 0)] for s in range(STATES) for a, name in enumerate(ACTIONS)
    ]
    names = [f"at {s}" for s in range(STATES)]
    table = [[s, *(int(s == k) for k in range(STATES))] for s in range(STATES)]
    with (data / "split.csv").open(newline="") as file:
        part = {row["traj"]: row["split"] for row in csv.DictReader(file)}
    demos: dict[str, list] = {"train": [], "val": []}
    with (data / "trajectories.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            s, a = int(row["state"]), int(row["action"])
            demos[part[row["traj"]]].append([row["traj"], row["t"], s, ACTIONS[a], successor(s, a)])
    out.mkdir(parents=True, exist_ok=True)
    write(out / "problem.csv", ["state", "action", "next_state", "probability", "reward", "start"], problem)
    write(out / "features.csv", ["state", *names], table)
    for name, rows in demos.items():
        write(out / f"{name}.csv", ["trajectory", "t", "state", "action", "next_state"], rows)


def write(path: Path, header: list[str], rows: list[list]) -> None:
    """One table."""
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with trajectories.csv and split.csv")
    parser.add_argument("--out", type=Path, default=Path("mouse"), help="folder for the tables")
    chosen = parser.parse_args()
    convert(chosen.data, chosen.out)
