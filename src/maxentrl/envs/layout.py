"""Observations of any Gymnasium space as one row of float32, a record of what lies where in it, and actions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from maxentrl.core.check import InputError
from maxentrl.core.spaces import Box, Discrete, Space, box, check_bounded


class Part(NamedTuple):
    """An array in an observation, and the columns that it fills.

    path: the keys and places that lead to it, () where it is the whole observation.
    shape: of the array as the environment gives it.
    start, stop: its columns in the row.
    kind: "number"; "image", bytes divided by 255; "binary"; "choice", one-hot columns for each whole number.
    first, counts: for choices, the least value of each number and how many it can take.
    low, high: float32 [stop - start], the bounds of its columns.
    """

    path: tuple[str | int, ...]
    shape: tuple[int, ...]
    start: int
    stop: int
    kind: str
    first: tuple[int, ...]
    counts: tuple[int, ...]
    low: np.ndarray
    high: np.ndarray

    @property
    def name(self) -> str:
        """As messages call it."""
        return f"the observation's {'/'.join(map(str, self.path))!r}" if self.path else "the observation"


class Layout(NamedTuple):
    """The parts of an observation, in the order of their columns."""

    parts: tuple[Part, ...]

    @property
    def width(self) -> int:
        """d, the length of a row."""
        return self.parts[-1].stop

    @property
    def bounds(self) -> Box:
        """Between which bounds the columns of a row lie."""
        return Box(
            np.concatenate([part.low for part in self.parts]),
            np.concatenate([part.high for part in self.parts]),
        )

    @property
    def space(self) -> Space:
        """What is observed: one of a few numbers, whose row is one-hot, where that is all; else a row within bounds."""
        first, *others = self.parts
        if others or len(first.counts) != 1:
            return self.bounds
        return Discrete(first.counts[0], first.first[0])

    def record(self) -> list[dict[str, Any]]:
        """The layout as it is written beside a run, in JSON; see `check_layout`."""
        return [
            {
                "path": list(part.path),
                "shape": list(part.shape),
                "columns": [part.start, part.stop],
                "kind": part.kind,
                "first": list(part.first),
                "counts": list(part.counts),
            }
            for part in self.parts
        ]


def layout(space: spaces.Space) -> Layout:
    """Where each part of an observation goes: depth first, in the order of the space.

    A Box keeps its numbers; bytes in [0, 255] are taken for an image and divided by 255. Discrete and MultiDiscrete
    become one-hot columns, MultiBinary zeros and ones. Dict and Tuple are taken apart.

    Raises:
        InputError: for any other space, and for an observation of no numbers at all.
    """
    parts: list[Part] = []
    _take_apart(space, (), parts)
    if not parts or not parts[-1].stop:
        raise InputError(f"the observation space {space} holds no numbers; agents need at least one.")
    return Layout(tuple(parts))


def _take_apart(space: spaces.Space, path: tuple[str | int, ...], parts: list[Part]) -> None:
    start = parts[-1].stop if parts else 0
    kind, first, counts = "number", (), ()
    if isinstance(space, spaces.Dict):
        for key, inner in space.spaces.items():
            _take_apart(inner, (*path, key), parts)
        return
    if isinstance(space, spaces.Tuple):
        for place, inner in enumerate(space.spaces):
            _take_apart(inner, (*path, place), parts)
        return
    if isinstance(space, spaces.Box):
        shape = space.shape
        if space.dtype == np.uint8 and np.all(space.low == 0) and np.all(space.high == 255):
            kind = "image"
    elif isinstance(space, spaces.Discrete):
        kind, shape, first, counts = "choice", (), (int(space.start),), (int(space.n),)
    elif isinstance(space, spaces.MultiDiscrete):
        kind, shape = "choice", space.nvec.shape
        first, counts = (tuple(map(int, np.ravel(each))) for each in (space.start, space.nvec))
    elif isinstance(space, spaces.MultiBinary):
        kind, shape = "binary", space.shape
    else:
        where = f" in {'/'.join(map(str, path))!r}" if path else ""
        raise InputError(
            f"observations of the kind {type(space).__name__}{where} cannot be laid out as numbers; possible are "
            "Box, Discrete, MultiBinary, MultiDiscrete, and Dict and Tuple of these."
        )
    size = sum(counts) if kind == "choice" else math.prod(shape)
    if kind == "number":
        assert isinstance(space, spaces.Box)
        with np.errstate(over="ignore"):  # bounds of float64 beyond float32 are no bounds
            low, high = (np.ravel(bound).astype(np.float32) for bound in (space.low, space.high))
    else:
        low, high = np.zeros(size, np.float32), np.ones(size, np.float32)
    parts.append(Part(path, tuple(shape), start, start + size, kind, first, counts, low, high))


def flatten(layout: Layout, observation: Any, lead: tuple[int, ...] = ()) -> np.ndarray:
    """The row of an observation, float32 [d], or the rows of a batch of them, [N, d] with lead = (N,).

    Always a new array, since environments may write their next observation where they wrote this one.

    Raises:
        InputError: where the observation is not what its space says: a part that lacks, has another shape, holds
            something other than numbers, or a choice that its space does not have.
    """
    rows = np.empty((*lead, layout.width), np.float32)
    for part in layout.parts:
        values = _array(part, observation)
        if values.shape != (*lead, *part.shape):
            raise InputError(
                f"{part.name} has shape {values.shape}, where its space has {lead + part.shape}."
            )
        kinds = "biu" if part.kind == "choice" else "biuf"
        if values.dtype.kind not in kinds:
            raise InputError(
                f"{part.name} holds values of type {values.dtype}, where its space has "
                f"{'whole numbers' if part.kind == 'choice' else 'numbers'}."
            )
        into = rows[..., part.start : part.stop]
        if part.kind == "choice":
            _one_hot(part, values.reshape(*lead, len(part.counts)), into)
        elif part.kind == "image":
            np.divide(values.reshape(into.shape), np.float32(255), out=into)
        elif values.dtype == np.float64:
            with np.errstate(over="ignore"):  # becomes inf, which whoever asked refuses by name
                into[...] = values.reshape(into.shape)
        else:
            into[...] = values.reshape(into.shape)
    return rows


def _array(part: Part, observation: Any) -> np.ndarray:
    values = observation
    for key in part.path:
        try:
            values = values[key]
        except (KeyError, IndexError, TypeError):
            raise InputError(f"{part.name} is missing.") from None
    try:
        return np.asarray(values)
    except ValueError:
        raise InputError(f"{part.name} is no array: its rows have different lengths.") from None


def _one_hot(part: Part, values: np.ndarray, into: np.ndarray) -> None:
    places = values.astype(np.int64) - np.asarray(part.first)
    counts = np.asarray(part.counts)
    wrong = (places < 0) | (places >= counts)
    if wrong.any():
        where = tuple(np.argwhere(wrong)[0])
        least, count = part.first[where[-1]], part.counts[where[-1]]
        raise InputError(
            f"{part.name} is {values[where]}, where its space has whole numbers from {least} to {least + count - 1}."
        )
    into[...] = 0
    np.put_along_axis(into, places + (np.cumsum(counts) - counts), 1, axis=-1)


def check_finite(layout: Layout, row: np.ndarray) -> None:
    """A row of numbers, none of them NaN or infinite.

    Raises:
        InputError: naming the first part, its entry, and what it holds.
    """
    if np.isfinite(row).all():
        return
    column = int(np.argmin(np.isfinite(row)))
    part = next(part for part in layout.parts if part.start <= column < part.stop)
    entry = tuple(map(int, np.unravel_index(column - part.start, part.shape)))
    where = f" in entry {entry}" if entry else ""
    raise InputError(f"{part.name} is {row[column]}{where}; observations must be finite in float32.")


def check_layout(found: Layout, recorded: Sequence[Mapping[str, Any]]) -> None:
    """Observations are laid out as those that an agent was trained on.

    Args:
        found: of the environment at hand.
        recorded: what `Layout.record` gave, perhaps through JSON and back.

    Raises:
        InputError: naming the first part that differs.
    """
    now = found.record()
    for new, old in zip(now, recorded, strict=False):
        for field, value in new.items():
            if list(np.ravel(value)) != list(np.ravel(old.get(field, ()))):
                name = "/".join(map(str, new["path"])) or "observation"
                raise InputError(
                    f"observations are laid out differently from those that were recorded: {name!r} has {field} {value}, "
                    f"and had {old.get(field)}."
                )
    if len(now) != len(recorded):
        raise InputError(
            f"observations are laid out differently from those that were recorded: they have {len(now)} parts, and had "
            f"{len(recorded)}."
        )


def action_space(space: spaces.Space) -> Space:
    """What can be done: one of a few numbers, or an array within bounds.

    Raises:
        InputError: for other kinds of spaces, for a box of whole numbers, and for one without bounds.
    """
    if isinstance(space, spaces.Discrete):
        return Discrete(int(space.n), int(space.start))
    if not isinstance(space, spaces.Box):
        raise InputError(
            f"actions of the kind {type(space).__name__} are not supported; possible are Discrete, and Box with finite "
            "bounds. A wrapper that numbers the combinations makes Discrete of MultiDiscrete and MultiBinary."
        )
    if np.dtype(space.dtype).kind != "f":
        raise InputError(
            f"a Box of actions must hold floats, and this one holds {space.dtype}; whole numbers can be had as Discrete."
        )
    with np.errstate(over="ignore"):
        bounds = Box(space.low.astype(np.float32), space.high.astype(np.float32))
    if not bounds.low.size:
        raise InputError("the action space is a Box without entries; an agent must have something to do.")
    check_bounded(bounds)
    return box(*bounds)


def native_actions(space: spaces.Space, action: np.ndarray, count: int) -> np.ndarray:
    """Actions [N] or [N, *shape] of `count` environments in the types that Gymnasium wants, and within its bounds.

    Raises:
        InputError: for another shape, a number that the space does not have, or one that is not finite.
    """
    action = np.asarray(action)
    if isinstance(space, spaces.Discrete):
        if action.shape != (count,) or action.dtype.kind not in "iu":
            raise InputError(
                f"actions must be {count} whole numbers; got shape {action.shape} of type {action.dtype}."
            )
        numbers = action.tolist()  # for a handful of numbers faster than NumPy
        first, last = int(space.start), int(space.start + space.n - 1)
        if min(numbers) < first or max(numbers) > last:
            wrong = int(np.argmax((action < first) | (action > last)))
            raise InputError(
                f"the action of environment {wrong} is {action[wrong]}; allowed are {first} to {last}."
            )
        return action.astype(space.dtype)
    assert isinstance(space, spaces.Box)
    if action.shape != (count, *space.shape):
        raise InputError(
            f"actions must have the shape of the environments and of one action, {(count, *space.shape)}; got "
            f"{action.shape}."
        )
    if not np.isfinite(action).all():
        wrong = int(np.argmin(np.isfinite(action).reshape(count, -1).all(1)))
        raise InputError(f"the action of environment {wrong} is {action[wrong]}; actions must be finite.")
    # Bounds of float64 rounded to float32 may lie outside by half a unit in the last place.
    native = action.astype(space.dtype)
    return np.minimum(np.maximum(native, space.low), space.high)
