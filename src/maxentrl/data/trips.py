"""Trips on a network: sequences of links, each ending at its goal.

CSV, one row per step; columns by name and in any order, others are passed over:
    trip    which trip the row belongs to
    link    the link's name in the network
    step    optional: whole numbers that rise by 1; unless given, rows are in order of time
    weight  optional: how much the trip counts, the same number in all its rows
    group   optional: who made the trip (a driver, a day), the same in all its rows
or one row per trip:
    links   the names of the links in order, separated by spaces
    trip    optional: its name; the rows are counted from 0 unless given
    weight, group   as above
The last link of a trip is its goal.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from maxentrl.core.check import InputError, check_shape, selected
from maxentrl.core.tables import Source, as_numbers, read_columns
from maxentrl.data.trajectories import LARGEST

SHOWN = 8
"""Known names listed in a message; the rest are counted."""


@runtime_checkable
class Links(Protocol):
    """What a file of trips is read against: the names of links."""

    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def index(self) -> dict[str, int]: ...


@dataclasses.dataclass(frozen=True, eq=False)
class Trips:
    """N trips, written one after the other. Build it with `trips_from_sequences` or `read_trips`.

    links: int32 [total]; the links of the first trip, then those of the second, and so on.
    bounds: int64 [N + 1]; trip i is links[bounds[i]:bounds[i + 1]], at least two links.
    weights: float64 [N]; how much each trip counts; 1 unless given.
    ids: N names, for messages; "0", "1", ... unless given.
    groups: N names of who made each trip, or None: what standard errors are clustered by.
    source: the file and row of each of `links`, or None.
    """

    links: np.ndarray
    bounds: np.ndarray
    weights: np.ndarray
    ids: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    source: Source | None = None

    @property
    def count(self) -> int:
        """Number of trips N."""
        return len(self.ids)

    @property
    def steps(self) -> int:
        """Number of decisions in all: each link but the last of a trip is one."""
        return len(self.links) - self.count

    @property
    def origins(self) -> np.ndarray:
        """[N]: the first link of each trip."""
        return self.links[self.bounds[:-1]]

    @property
    def goals(self) -> np.ndarray:
        """[N]: the last link of each trip."""
        return self.links[self.bounds[1:] - 1]

    @property
    def trip_of_link(self) -> np.ndarray:
        """[total]: the trip to which each of `links` belongs."""
        return np.repeat(np.arange(self.count), np.diff(self.bounds))

    def sequence(self, trip: int | np.integer) -> np.ndarray:
        """The links of one trip."""
        return self.links[self.bounds[trip] : self.bounds[trip + 1]]

    def take(self, rows) -> Trips:
        """The trips with these row numbers (or a truth value for each), in this order."""
        rows = selected(rows, self.count, "trip")
        places = np.concatenate([np.arange(int(self.bounds[i]), int(self.bounds[i + 1])) for i in rows])
        source = self.source
        if source is not None and source.rows is not None:
            source = source._replace(rows=source.rows[places])
        return Trips(
            links=self.links[places],
            bounds=np.concatenate([[0], np.cumsum(np.diff(self.bounds)[rows])]),
            weights=self.weights[rows],
            ids=tuple(self.ids[i] for i in rows),
            groups=None if self.groups is None else tuple(self.groups[i] for i in rows),
            source=source,
        )


def trips_from_sequences(
    sequences: Iterable[Sequence[int | np.integer] | np.ndarray],
    *,
    weights=None,
    ids: Sequence[object] | None = None,
    groups: Sequence[object] | None = None,
) -> Trips:
    """Trips from the numbers of their links.

    Args:
        sequences: N sequences of at least two links; the last is the goal.
        weights: [N] positive numbers. ids: N different names. groups: N names.

    Raises:
        InputError: for no trip, a trip without a step, lengths that differ, numbers that 32 bits cannot hold, weights
            that are not positive.
    """
    rows = [np.asarray(sequence) for sequence in sequences]
    if not rows:
        raise InputError("the trips are empty; at least one is needed.")
    names = tuple(map(str, range(len(rows)) if ids is None else ids))
    for given, what in ((names, "ids"), (groups, "groups"), (weights, "weights")):
        if given is not None and len(given) != len(rows):
            raise InputError(f"{what} must hold one entry per trip ({len(rows)}); got {len(given)}.")
    if len(set(names)) != len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise InputError(f"ids must differ from each other; {twice!r} occurs more than once.")
    for name, row in zip(names, rows, strict=True):
        if row.ndim != 1 or row.dtype.kind not in "iu" or (row < 0).any():
            raise InputError(
                f"trip {name!r} must be a sequence of link numbers; got {row.dtype} {row.shape}."
            )
    short = [name for name, row in zip(names, rows, strict=True) if len(row) < 2]
    if short:
        raise InputError(
            f"a trip needs at least two links, its origin and its goal; trip {short[0]!r} has fewer "
            f"({len(short)} such trips in all)."
        )
    counted = np.ones(len(rows)) if weights is None else np.asarray(weights, np.float64)
    check_shape(counted, (len(rows),), "weights", "[N]")
    wrong = ~((counted > 0) & np.isfinite(counted))
    if wrong.any():
        i = int(wrong.argmax())
        raise InputError(f"weights must be positive numbers; trip {names[i]!r} has weight {counted[i]}.")
    links, bounds = np.concatenate(rows), np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    if links.max() > LARGEST:
        i = int((links > LARGEST).argmax())
        name, link = names[int(np.searchsorted(bounds, i, "right")) - 1], int(links[i])
        raise InputError(f"link numbers must be at most {LARGEST}; trip {name!r} has {link}.")
    return Trips(
        links=links.astype(np.int32),
        bounds=bounds.astype(np.int64),
        weights=counted,
        ids=names,
        groups=None if groups is None else tuple(map(str, groups)),
    )


def read_trips(path: str | os.PathLike[str], network: Links) -> Trips:
    """Read trips from a .csv or .csv.gz file; the module's docstring names the columns of both forms.

    Raises:
        InputError: for a file that is missing, malformed or empty, and for the first unknown link, with its
            row.
    """
    columns, rows = read_columns(path, (), "trips")
    if "links" in columns:
        return _one_row_per_trip(Path(path), columns, rows, network)
    if not {"trip", "link"} <= set(columns):
        raise InputError(
            f"{Path(path).name} must have the columns trip and link (one row per step), or links (one row per "
            f"trip); it has {', '.join(columns)}."
        )
    return _one_row_per_step(Path(path), columns, rows, network)


def _one_row_per_trip(path: Path, columns, rows: np.ndarray, network: Links) -> Trips:
    words = [cell.split() for cell in columns["links"]]
    where = np.repeat(rows, [len(row) for row in words])
    flat = _numbers([word for row in words for word in row], where, path, network)
    bounds = np.concatenate([[0], np.cumsum([len(row) for row in words])])
    weights = columns.get("weight")
    trips = trips_from_sequences(
        [flat[a:b] for a, b in itertools.pairwise(bounds)],
        ids=columns.get("trip"),
        weights=None if weights is None else as_numbers(weights, "weight", path, rows),
        groups=columns.get("group"),
    )
    return dataclasses.replace(trips, source=Source(path.name, where))


def _one_row_per_step(path: Path, columns, rows: np.ndarray, network: Links) -> Trips:
    index: dict[str, int] = {}
    trip = np.array([index.setdefault(name, len(index)) for name in columns["trip"]])
    names = list(index)
    links = _numbers(columns["link"], rows, path, network)
    order = np.argsort(trip, kind="stable")
    if "step" in columns:
        step = as_numbers(columns["step"], "step", path, rows)
        order = np.lexsort((step, trip))
        jump = (np.diff(step[order]) != 1) & (np.diff(trip[order]) == 0)
        if jump.any():
            i, j = order[int(jump.argmax())], order[int(jump.argmax()) + 1]
            raise InputError(
                f"{path.name}, row {rows[j]}: in trip {names[trip[j]]!r} step {step[i]:g} is followed by "
                f"{step[j]:g}; it must rise by 1."
            )
    bounds = np.concatenate([[0], np.cumsum(np.bincount(trip))])
    weights = _shared(columns.get("weight"), trip, names, "weight", path)
    trips = trips_from_sequences(
        [links[order][a:b] for a, b in itertools.pairwise(bounds)],
        ids=names,
        weights=None
        if weights is None
        else as_numbers(weights, "weight", path, rows[np.unique(trip, True)[1]]),
        groups=_shared(columns.get("group"), trip, names, "group", path),
    )
    return dataclasses.replace(trips, source=Source(path.name, rows[order]))


def _numbers(names: Sequence[str], rows: np.ndarray, path: Path, network: Links) -> np.ndarray:
    found = np.array([network.index.get(name, -1) for name in names], np.int32)
    unknown = found < 0
    if unknown.any():
        i, known = int(unknown.argmax()), len(network.ids)
        more = f" and {known - SHOWN} more" if known > SHOWN else ""
        raise InputError(
            f"{path.name}, row {rows[i]}: unknown link {names[i]!r}; known are "
            f"{', '.join(network.ids[:SHOWN])}{more} ({int(unknown.sum())} unknown in all)."
        )
    return found


def _shared(cells, trip: np.ndarray, names: list[str], what: str, path: Path) -> list[str] | None:
    """One value per trip, which all its rows must repeat."""
    if cells is None:
        return None
    value: dict[int, str] = {}
    for i, cell in zip(trip.tolist(), cells, strict=True):
        if value.setdefault(i, cell) != cell:
            raise InputError(
                f"{path.name}: trip {names[i]!r} has more than one {what}: {value[i]!r} and {cell!r}."
            )
    return [value[i] for i in range(len(names))]
