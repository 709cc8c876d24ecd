"""Training runs side by side: how well each does, and how probable it is that one does better than another."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maxentrl.app import pages, plots_train
from maxentrl.app.record import file_hash, read_rows, recording
from maxentrl.app.train_folder import question
from maxentrl.app.train_results import curves
from maxentrl.core.check import InputError
from maxentrl.core.statistics import Estimate, curve_with_interval, probability_of_improvement, with_interval


class Trained(NamedTuple):
    """A run to compare: its name, what was asked, and its evaluations at steps [T], mean returns [T, seeds]."""

    name: str
    asked: dict[str, Any]
    steps: np.ndarray
    returns: np.ndarray


class Compared(NamedTuple):
    """names of the runs; final: the interquartile mean of each; better: (i, j, probability that i beats j)."""

    names: list[str]
    final: list[Estimate]
    better: list[tuple[int, int, Estimate]]

    def summary(self) -> str:
        """Lines to print."""
        wide = max(map(len, self.names))
        lines = [f"{n:<{wide}}  {_told(e)}" for n, e in zip(self.names, self.final, strict=True)]
        for i, j, found in self.better:
            lines.append(f"P({self.names[i]} > {self.names[j]}) = {_told(found, '.3f')}")
        return "\n".join(lines)


def compare(
    runs: Sequence[str | Path], *, out: str | Path, say: Callable[[str], object] = lambda line: None
) -> Compared:
    """Compare training runs in the same environment by their last evaluations, and write a page about it.

    Args:
        runs: their folders, two or more; a run that is not finished counts as far as it is.
        out: folder of the comparison.
        say: told what is being done.

    Raises:
        InputError: for fewer than two runs, the same one twice, runs of different environments or without an
            evaluation, and folders that are no training runs.
    """
    places = [Path(run) for run in runs]
    if len(places) < 2:
        raise InputError(f"a comparison needs two runs or more; got {len(places)}.")
    for place in places:
        if sum(other.resolve() == place.resolve() for other in places) > 1:
            raise InputError(f"{place} is given more than once.")
    found = [_read(place, name) for place, name in zip(places, _names(places), strict=True)]
    _check_same_world(found)
    settings = {"runs": tuple(run.name for run in found)}
    with recording(out, "compare", settings, pages.page) as run:
        say("resampling seeds")
        run.manifest["command"] = shlex.join(["maxentrl", "compare", *map(str, places), "--out", "again"])
        run.manifest["problem"] = {"title": f"{len(found)} runs on {found[0].asked['env']}", "source": "runs"}
        run.manifest["inputs"] = {
            f"metrics of {one.name}": file_hash(place / "metrics.jsonl")
            for one, place in zip(found, places, strict=True)
        }
        for sentence in _remarks(found):
            run.warn(sentence)
        middles = [curve_with_interval(one.returns) for one in found]
        final = [with_interval(one.returns[-1]) for one in found]
        better = [
            (i, j, probability_of_improvement(found[i].returns[-1], found[j].returns[-1]))
            for i, j in combinations(range(len(found)), 2)
        ]
        run.rows = [
            {"run": one.name, "step": int(t), "iqm": m, "lower": low, "upper": high}
            for one, middle in zip(found, middles, strict=True)
            for t, m, low, high in zip(one.steps, *middle, strict=True)
        ]
        run.manifest["answer"] = {
            "env": found[0].asked["env"],
            "runs": [
                {
                    "name": one.name,
                    "agent": one.asked["agent"],
                    "seeds": len(one.asked["seeds"]),
                    "step": int(one.steps[-1]),
                    **end._asdict(),
                }
                for one, end in zip(found, final, strict=True)
            ],
            "better": [
                {"first": found[i].name, "second": found[j].name, **each._asdict()} for i, j, each in better
            ],
            "differ": _differences(found),
        }
        run.pictures["compared"] = plots_train.compared(
            [(one.name, one.steps, middle) for one, middle in zip(found, middles, strict=True)]
        )
        run.pictures["improvements"] = plots_train.improvements(
            [
                (f"{found[i].name} > {found[j].name}", each.value, each.lower, each.upper)
                for i, j, each in better
            ]
        )
    return Compared([one.name for one in found], final, better)


def _read(place: Path, name: str) -> Trained:
    asked = question(place)["settings"]
    rows = read_rows(place) if (place / "metrics.jsonl").exists() else []
    steps, returns = curves(rows, asked["seeds"])
    if not len(steps):
        raise InputError(f"{place} has no evaluation of all its seeds yet.")
    return Trained(name, asked, steps, returns)


def _names(places: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that tell them apart."""
    full = [place.resolve().parts for place in places]
    for count in range(1, max(map(len, full)) + 1):
        names = ["/".join(parts[-count:]) for parts in full]
        if len(set(names)) == len(names):
            return names
    return [str(place) for place in places]


def _check_same_world(runs: Sequence[Trained]) -> None:
    first = runs[0]
    for run in runs[1:]:
        if (run.asked["env"], run.asked["env_args"]) != (first.asked["env"], first.asked["env_args"]):
            raise InputError(
                f"returns of different environments cannot be compared: {first.name} is on {_world(first)}, {run.name} on "
                f"{_world(run)}."
            )


def _world(run: Trained) -> str:
    arguments = ", ".join(f"{key} = {value}" for key, value in run.asked["env_args"].items())
    return f"{run.asked['env']}{f' ({arguments})' if arguments else ''}"


def _remarks(runs: Sequence[Trained]) -> list[str]:
    found = []
    if len({int(run.steps[-1]) for run in runs}) > 1:
        ends = ", ".join(f"{run.name} at step {run.steps[-1]}" for run in runs)
        found.append(f"The last evaluations are at different steps: {ends}.")
    if len({run.asked["evaluations"] for run in runs}) > 1:
        found.append("The runs were evaluated on different numbers of episodes, so not from the same starts.")
    if any(len(run.asked["seeds"]) < 5 for run in runs):
        few = ", ".join(
            f"{run.name} ({len(run.asked['seeds'])})" for run in runs if len(run.asked["seeds"]) < 5
        )
        found.append(f"With fewer than 5 seeds an interval over seeds says little: {few}.")
    return found


def _differences(runs: Sequence[Trained]) -> list[list[Any]]:
    """Settings in which the runs differ: name, then the value of each run."""
    settings = [{"agent": run.asked["agent"], **run.asked["settings"]} for run in runs]
    names = list(dict.fromkeys(name for one in settings for name in one))
    return [
        [name, *(one.get(name) for one in settings)]
        for name in names
        if any(
            one.get(name) != settings[0].get(name) or (name in one) != (name in settings[0])
            for one in settings
        )
    ]


def _told(found: Estimate, form: str = ".6g") -> str:
    if not np.isfinite(found.lower):
        return f"{found.value:{form}} (a single seed has no interval)"
    return f"{found.value:{form}} (95 % interval {found.lower:{form}} to {found.upper:{form}})"
