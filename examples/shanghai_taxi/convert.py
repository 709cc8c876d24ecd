"""Make the tables that maxentrl reads from the Shanghai taxi routes.

    python examples/shanghai_taxi/convert.py FOLDER [--size 10000] [--out OUT]

FOLDER holds the files described in README.md. Written to OUT:
    network.csv  from, to, and features of each arc: those of the link entered, and the turn
    links.csv    link, x, y: the middle of each link, in degrees of longitude and latitude
    train.csv    links (separated by spaces): the training sample of the first fold, of the size asked for
    test.csv     trip, links: the test trips of the first fold
"""

from __future__ import annotations

import argparse
import csv
import gzip
from pathlib import Path

TURNS = {"left": {5, 6, 7}, "right": {1, 2, 3}, "uturn": {4}}
ROADS = ("primary", "tertiary", "secondary")


def read(path: Path) -> list[dict[str, str]]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, header: list[str], rows) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("folder", type=Path, help="where the downloaded files are")
    options.add_argument("--size", type=int, choices=(100, 1000, 10000), default=10000, help="training trips")
    options.add_argument("--out", type=Path, default=Path("shanghai"), help="where the tables go")
    chosen = options.parse_args()
    folder, out = chosen.folder, chosen.out
    out.mkdir(parents=True, exist_ok=True)

    links = {row["link"]: row for row in read(folder / "links.csv")}
    places = [
        [name] + [(float(row[f"from_{axis}"]) + float(row[f"to_{axis}"])) / 2 for axis in ("lon", "lat")]
        for name, row in links.items()
    ]
    write(out / "links.csv", ["link", "x", "y"], places)
    arcs = []
    for row in read(folder / "transitions.csv"):
        entered, turn = links[row["to_link"]], int(row["action"])
        arcs.append(
            [row["from_link"], row["to_link"], float(entered["length_m"]) / 100, 1]
            + [int(turn in sector) for sector in TURNS.values()]
            + [int(entered["highway"] == road) for road in ROADS]
        )
    write(out / "network.csv", ["from", "to", "length", "const", *TURNS, *ROADS], arcs)
    train = read(folder / f"train_cv0_size{chosen.size}.csv.gz")
    write(out / "train.csv", ["links"], ([row["links"]] for row in train))
    trips = read(folder / "trips.csv.gz")
    test = ([row["trip"], row["links"]] for row in trips if row["test_fold"] == "0")
    write(out / "test.csv", ["trip", "links"], test)


if __name__ == "__main__":
    main()
