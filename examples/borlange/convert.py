"""Make the tables that maxentrl reads from the Borlänge route choice data.

    python examples/borlange/convert.py FOLDER [--out OUT]

FOLDER holds arcs.csv and trips.csv as described in README.md. Written to OUT:
    network.csv  from, to, and the features TT, LT, LC, UT of each arc
    trips.csv    trip, step, link: all trips; the last link of each is its goal
    train.csv, test.csv: trips whose number is not, or is, divisible by 5
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path


def arcs(folder: Path):
    """Features of the arcs. Those into a goal (a link above 7288, with all attributes 0) are free."""
    with (folder / "arcs.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            minutes, angle = float(row["travel_time_min"]), float(row["turn_angle_rad"])
            left = -3.1 < angle < -0.5236  # 30 degrees or more, but no u-turn
            yield [
                row["from_link"],
                row["to_link"],
                row["travel_time_min"],
                int(left),
                int(minutes > 0),
                int(abs(angle) > 3.1),
            ]


def write(path: Path, header: list[str], rows) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("folder", type=Path, help="where arcs.csv and trips.csv are")
    options.add_argument("--out", type=Path, default=Path("borlange"), help="where the tables go")
    chosen = options.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    write(chosen.out / "network.csv", ["from", "to", "TT", "LT", "LC", "UT"], arcs(chosen.folder))
    with (chosen.folder / "trips.csv").open(newline="") as file:
        steps = [[row["trip"], row["step"], row["link"]] for row in csv.DictReader(file)]
    held_out = [int(trip) % 5 == 0 for trip, *_ in steps]
    header = ["trip", "step", "link"]
    write(chosen.out / "trips.csv", header, steps)
    write(chosen.out / "train.csv", header, (s for s, out in zip(steps, held_out, strict=True) if not out))
    write(chosen.out / "test.csv", header, (s for s, out in zip(steps, held_out, strict=True) if out))


if __name__ == "__main__":
    main()
