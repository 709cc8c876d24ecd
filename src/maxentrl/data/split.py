"""Demonstrations to fit and demonstrations to test: by trajectory, by who made them, by label or by name."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import numpy as np

from maxentrl.core.check import InputError, check_choice
from maxentrl.core.tables import read_columns
from maxentrl.data.trajectories import Trajectories

By = Literal["trajectory", "group"]
"""What is never torn apart: a trajectory, or all trajectories of a group."""


class Split(NamedTuple):
    """Two sets of demonstrations without a trajectory in common."""

    train: Trajectories
    test: Trajectories


def split(demos: Trajectories, *, test: float, key: jax.Array, by: By = "trajectory") -> Split:
    """Put a share of the demonstrations aside, at random; the same key makes the same split.

    Args:
        test: share in (0, 1) of the trajectories (or groups) for testing, rounded to a whole number of at least
            one, and at least one is left for training.
        key: of `jax.random`.
        by: "group" keeps all trajectories of a group together, so that the test is on strangers.
    """
    chosen = aside(demos.count, demos.groups, test=test, key=key, by=by)
    return Split(demos.take(~chosen), demos.take(chosen))


def aside(
    count: int, groups: Sequence[str] | None = None, *, test: float, key: jax.Array, by: By = "trajectory"
) -> np.ndarray:
    """bool [N]: which of N demonstrations are put aside; arguments as for `split`."""
    if not 0 < test < 1:
        raise InputError(f"the share of test demonstrations must lie in (0, 1); got {test}.")
    which, units = _units(count, groups, by)
    if units < 2:
        raise InputError(f"a split needs at least two of each {by}; there is {units}.")
    taken = min(max(round(test * units), 1), units - 1)
    return np.isin(which, np.asarray(jax.random.permutation(key, units))[:taken])


def split_by_ids(demos: Trajectories, test: Collection[str]) -> Split:
    """Put the trajectories with these names aside.

    Raises:
        InputError: for a name that no trajectory has, or if nothing is left on one side.
    """
    names = {str(name) for name in test}
    unknown = sorted(names - set(demos.ids))
    if unknown:
        raise InputError(f"no trajectory is called {unknown[0]!r} ({len(unknown)} such names in all).")
    chosen = np.array([name in names for name in demos.ids])
    if chosen.all() or not chosen.any():
        raise InputError("a split must leave at least one trajectory on each side.")
    return Split(demos.take(~chosen), demos.take(chosen))


def split_by_label(demos: Trajectories, labels: Mapping[str, str]) -> dict[str, Trajectories]:
    """The demonstrations under each label, for instance "train" and "test".

    Args:
        labels: the label of each trajectory, by its id; see `read_labels`.

    Raises:
        InputError: for a trajectory without a label.
    """
    missing = [name for name in demos.ids if name not in labels]
    if missing:
        raise InputError(f"trajectory {missing[0]!r} has no label ({len(missing)} such trajectories in all).")
    found = np.array([labels[name] for name in demos.ids])
    return {str(label): demos.take(found == label) for label in dict.fromkeys(found.tolist())}


def read_labels(
    path: str | os.PathLike[str], *, column: str = "split", trajectory: str = "trajectory"
) -> dict[str, str]:
    """The label of each trajectory from two columns of a CSV file: one row each, or all rows of one alike.

    Args:
        column: holds the labels. trajectory: holds the ids.
    """
    columns, rows = read_columns(path, (trajectory, column), "labels")
    labels: dict[str, str] = {}
    for name, label, row in zip(columns[trajectory], columns[column], rows, strict=True):
        if labels.setdefault(name, label) != label:
            raise InputError(f"{Path(path).name}, row {row}: trajectory {name!r} has more than one label.")
    return labels


def folds(
    trajectories: int,
    groups: Sequence[str] | None = None,
    *,
    count: int,
    key: jax.Array,
    by: By = "trajectory",
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Row numbers (train, test) of each of `count` folds; each trajectory is in one test set.

    Args:
        trajectories: how many there are. groups: who made each, needed with by="group".
        count: at least 2, and no more than there are trajectories (or groups).
    """
    which, units = _units(trajectories, groups, by)
    if not 2 <= count <= units:
        raise InputError(f"the number of folds must lie between 2 and {units}, one {by} each; got {count}.")
    order = np.asarray(jax.random.permutation(key, units))
    place = np.empty(units, int)
    place[order] = np.arange(units) % count
    fold = place[which]
    for k in range(count):
        yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)


def _units(trajectories: int, groups: Sequence[str] | None, by: By) -> tuple[np.ndarray, int]:
    """The unit [N] that each trajectory belongs to, and how many there are."""
    check_choice(by, ("trajectory", "group"), "by")
    if by == "trajectory":
        return np.arange(trajectories), trajectories
    if groups is None:
        raise InputError("these demonstrations have no groups to split by.")
    names, which = np.unique(np.array(groups), return_inverse=True)
    return which, len(names)
