"""From the panel of Keane & Wolpin (1997) to the three tables that `maxentrl irl mce` reads.

    python convert.py PANEL --out FOLDER

PANEL is panel.csv.gz (or .csv) with the columns person, age, schooling_years, choice: yearly choices (1 school,
2 home, 3 white collar, 4 blue collar, 5 military). A state is the completed years of schooling, 7 to 20 (more count
as 20), and last year's choice; decisions are those at ages 16 to 26, and time is age - 16. School adds a year. People
leave the panel at different ages: what was not observed is not scored.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from pathlib import Path

AGES = range(16, 27)
YEARS = range(7, 21)
CHOICES = {1: "school", 2: "home", 3: "white collar", 4: "blue collar", 5: "military"}
FEATURES = (
    "school",
    "school after 12 years",
    "school after 16 years",
    "back to school",
    "white collar",
    "white collar x years",
    "blue collar",
    "blue collar x years",
    "military",
    "same job",
    "home again",
)


def state(years: int, last: int) -> str:
    """The name of a state."""
    return f"{min(years, YEARS[-1])} years, {CHOICES[last]}"


def features(years: int, last: int, action: int) -> list[int]:
    """The eleven features of a choice, in the order of FEATURES."""
    school, white, blue = action == 1, action == 3, action == 4
    return [
        *(int(school and this) for this in (True, years >= 12, years >= 16, last != 1)),
        int(white),
        (years - 12) * white,
        int(blue),
        (years - 12) * blue,
        int(action == 5),
        int(action == last and action >= 3),
        int(action == last == 2),
    ]


def read_panel(path: Path) -> dict[str, dict[int, tuple[int, int]]]:
    """(schooling years, choice) of each person at each age."""
    people: dict[str, dict[int, tuple[int, int]]] = {}
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="") as file:
        for row in csv.DictReader(file):
            year = (int(row["schooling_years"]), int(row["choice"]))
            people.setdefault(row["person"], {})[int(row["age"])] = year
    return people


def convert(panel: Path, out: Path) -> None:
    """Write problem.csv, features.csv and demos.csv."""
    demos, starts = [], dict.fromkeys((state(y, last) for y in YEARS for last in CHOICES), 0)
    for person, life in read_panel(panel).items():
        for age in AGES:
            if age not in life or age - 1 not in life:
                break
            (years, action), last = life[age], life[age - 1][1]
            here, there = state(years, last), state(years + (action == 1), action)
            demos.append([person, age - AGES[0], here, CHOICES[action], there])
            starts[here] += age == AGES[0]
    total = sum(starts.values())
    problem, table = [], []
    for years in YEARS:
        for last in CHOICES:
            here = state(years, last)
            for action, name in CHOICES.items():
                there = state(years + (action == 1), action)
                problem.append([here, name, there, 1, 0, starts[here] / total])
                table.append([here, name, *features(years, last, action)])
    out.mkdir(parents=True, exist_ok=True)
    write(out / "problem.csv", ["state", "action", "next_state", "probability", "reward", "start"], problem)
    write(out / "features.csv", ["state", "action", *FEATURES], table)
    write(out / "demos.csv", ["trajectory", "t", "state", "action", "next_state"], demos)


def write(path: Path, header: list[str], rows: list[list]) -> None:
    """One table."""
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("panel", type=Path, help="panel.csv.gz")
    parser.add_argument("--out", type=Path, default=Path("career"), help="folder for the three tables")
    chosen = parser.parse_args()
    convert(chosen.panel, chosen.out)
