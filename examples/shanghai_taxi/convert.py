"""Make the tables that maxentrl reads from the Shanghai taxi routes.

    python examples/shanghai_taxi/convert.py FOLDER [--size 10000] [--out OUT]

FOLDER holds the files described in README.md. Written to OUT:
    network.csv  from, to, and features of each arc: those of the link entered, and the turn
    links.csv    link, x, y (its middle), from_x, from_y, to_x, to_y (its ends): kilometres east and north of the
                 middle of the network, for maps
    train.csv    links (separated by spaces): the training sample of the first fold, of the size asked for
    test.csv     trip, links: the test trips of the first fold
"""

from __future__ import annotations

import argparse
import csv
import gzip
import math
from pathlib import Path

TURNS = {"left": {5, 6, 7}, "right": {1, 2, 3}, "uturn": {4}}
ROADS = ("primary", "tertiary", "secondary")


def read(path: Path) -> list[dict[str, str]]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, header: list[str], rows) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def places(links: dict[str, dict[str, str]]):
    """Middle, beginning and end of each link in kilometres; the earth is flat for as far as a town goes."""
    lon, lat = (
        [float(row[f"{end}_{axis}"]) for row in links.values() for end in ("from", "to")]
        for axis in ("lon", "lat")
    )
    middle = sum(lon) / len(lon), sum(lat) / len(lat)
    degree = math.radians(1) * 6371.0  # one of latitude
    for name, row in links.items():
        x, y = (
            [(float(row[f"{end}_{axis}"]) - zero) * size for end in ("from", "to")]
            for axis, zero, size in (
                ("lon", middle[0], degree * math.cos(math.radians(middle[1]))),
                ("lat", middle[1], degree),
            )
        )
        yield [name, *(f"{value:.4f}" for value in (sum(x) / 2, sum(y) / 2, x[0], y[0], x[1], y[1]))]


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("folder", type=Path, help="where the downloaded files are")
    options.add_argument("--size", type=int, choices=(100, 1000, 10000), default=10000, help="training trips")
    options.add_argument("--out", type=Path, default=Path("shanghai"), help="where the tables go")
    chosen = options.parse_args()
    folder, out = chosen.folder, chosen.out
    out.mkdir(parents=True, exist_ok=True)

    links = {row["link"]: row for row in read(folder / "links.csv")}
    header = ["link", "x", "y", "from_x", "from_y", "to_x", "to_y"]
    write(out / "links.csv", header, places(links))
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
