"""Demonstrations and features for a recovered reward: files to read, demonstrations to put aside."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from maxentrl.app.options import Aside
from maxentrl.app.problems import open_problem, read_features
from maxentrl.app.record import Run, array_hash, file_hash
from maxentrl.core.check import InputError
from maxentrl.data import Trajectories, read_trajectories
from maxentrl.data.minari_files import read_minari
from maxentrl.data.split import read_labels, split, split_by_label
from maxentrl.irl.demonstrations import check_demonstrations
from maxentrl.irl.inspection import inspect_demonstrations
from maxentrl.models.tabular import TabularMDP

MINARI = re.compile(r"[\w./-]+-v\d+")
"""How Minari names data sets."""


class Parts(NamedTuple):
    """Demonstrations to fit, to decide when to stop, and to test; the last two may be absent."""

    train: Any
    validation: Any
    test: Any


class Opened(NamedTuple):
    """A problem with features [S, A, K], their names, and demonstrations. title: the problem's name."""

    mdp: TabularMDP
    names: tuple[str, ...]
    features: np.ndarray
    train: Trajectories
    validation: Trajectories | None
    test: Trajectories | None
    title: str

    @property
    def all(self) -> list[Trajectories]:
        """All demonstrations that there are."""
        return [part for part in (self.train, self.validation, self.test) if part is not None]


def open_all(
    run: Run,
    problem: str | Path | TabularMDP,
    demos: str | Path,
    features: str | Path | None,
    aside: Aside,
    *,
    prior: Any = None,
    validation: float | None = None,
    number: int | None = None,
) -> Opened:
    """Read everything, and note in the run what it was and what the demonstrations hold.

    Args:
        prior: replaces the problem's, unless None.
        validation: share of the demonstrations that are not for testing, to put aside for validation.
        number: of the map, where there are several.

    Raises:
        InputError: for files that are missing, malformed, or do not fit each other.
    """
    which = "" if number is None else f" {number + 1}"
    source = open_problem(problem)
    mdp = source.mdp if prior is None else source.mdp.with_prior(prior)
    if features is None:
        raise InputError(
            f"give --features: a table of what the reward may depend on in {source.title}, .csv or .npz."
        )
    inputs = {f"problem{which}": source.sha256, f"features{which}": ""}
    table, digest = read_demos(demos, mdp)
    names, values = read_features(features, mdp)
    inputs |= {f"demonstrations{which}": digest, f"features{which}": file_hash(features)}
    parts, more, drawn = divide(
        table,
        lambda path: read_demos(path, mdp),
        aside,
        validation=validation,
    )
    run.manifest["inputs"] |= inputs | {f"{name}{which}": digest for name, digest in more.items()}
    if not number:
        run.manifest["problem"] = source.facts()
    if drawn:
        run.manifest["seeds"]["demonstrations put aside"] = aside.seed
    for name, part in (("validation", parts.validation), ("test", parts.test)):
        if part is not None:
            try:
                check_demonstrations(mdp, part)
            except InputError as error:
                raise InputError(f"among the demonstrations for {name}, {error}") from error
    opened = Opened(mdp, names, values, *parts, source.title)
    _look_through(run, opened, number)
    return opened


def read_demos(path: str | Path, mdp: TabularMDP) -> tuple[Trajectories, str]:
    """Demonstrations from a table or a Minari data set, and their SHA-256."""
    text = str(path)
    if Path(text).is_file() or text.lower().endswith((".csv", ".csv.gz", ".npz")):
        return read_trajectories(text, mdp), file_hash(text)
    if Path(text).is_dir() or MINARI.fullmatch(text):
        table = read_minari(text, mdp)
        return table, array_hash(table.states, table.actions, table.lengths)
    raise InputError(
        f"no demonstrations at {text}: neither a .csv, .csv.gz or .npz file, nor a Minari data set."
    )


def read_offset(path: str | Path | None, mdp: TabularMDP, run: Run) -> np.ndarray | None:
    """The fixed part of the reward [S, A]: a table of one column, like one of features."""
    if path is None:
        return None
    names, values = read_features(path, mdp)
    if len(names) != 1:
        raise InputError(f"the offset {path} must hold one column of numbers; it has {', '.join(names)}.")
    run.manifest["inputs"]["offset"] = file_hash(path)
    return values[..., 0]


def divide(
    demos: Any,
    read: Callable[[str], tuple[Any, str]],
    aside: Aside,
    *,
    validation: float | None = None,
    column: str = "trajectory",
) -> tuple[Parts, dict[str, str], bool]:
    """Demonstrations to fit and those put aside, the SHA-256 of further files, and whether anything was drawn at random.

    Args:
        demos: what can be split (see `data.split`).
        read: reads more of them from a file.
        aside: a share, another file, or labels. validation: share of what is then left, unless labels say which.
        column: of the labels' file, that holds the names.

    Raises:
        InputError: for two answers to one question, a file or a share that cannot be used, and labels other than
            train, validation and test.
    """
    key = jax.random.key(aside.seed, impl="threefry2x32")
    checked, held, inputs, drawn = None, None, {}, False
    if aside.split is not None:
        if aside.test is not None:
            raise InputError(
                "give --test or --split, not both: each says which demonstrations are put aside."
            )
        found = split_by_label(demos, read_labels(aside.split, trajectory=column))
        inputs["split"] = file_hash(aside.split)
        odd = [label for label in found if label not in Parts._fields]
        if odd or "train" not in found:
            raise InputError(
                f"{aside.split.name} must call each {column} train, validation or test, and at least one train; "
                f"found are {', '.join(map(repr, found))}."
            )
        demos, checked, held = found["train"], found.get("validation"), found.get("test")
    elif aside.test is not None:
        share = _share(aside.test)
        if share is None:
            held, inputs["test demonstrations"] = read(aside.test)
        else:
            drawn = True
            demos, held = split(demos, test=share, key=jax.random.fold_in(key, 0), by=aside.by)
    if validation is not None and checked is None:
        drawn = True
        demos, checked = split(demos, test=validation, key=jax.random.fold_in(key, 1), by=aside.by)
    return Parts(demos, checked, held), inputs, drawn


def _share(text: str) -> float | None:
    """The share that this is, or None where it must be a file."""
    try:
        return float(text)
    except ValueError:
        return None


def _look_through(run: Run, opened: Opened, number: int | None) -> None:
    """What the demonstrations hold, part by part, as sentences of the run."""
    known = run.manifest["answer"].setdefault("demonstrations", [])
    for name, part in zip(Parts._fields, opened[3:6], strict=True):
        if part is None:
            continue
        facts = inspect_demonstrations(opened.mdp, part)
        words = {"train": "fitted to", "validation": "validation", "test": "test"}[name]
        known.append(
            {
                "map": None if number is None else f"map {number + 1}, {opened.title}",
                "part": words,
                "trajectories": facts.trajectories,
                "steps": facts.steps,
                "cut_off": facts.cut_off,
                "sentences": list(facts.sentences),
            }
        )
