"""Demonstrations: what was seen, decided and reached, step by step, for many trajectories of different
lengths."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from maxentrl.core.check import InputError, check_memory, selected
from maxentrl.core.tables import Source
from maxentrl.core.words import many

LARGEST = np.iinfo(np.int32).max
"""State, action or link number that can be stored."""


@dataclasses.dataclass(frozen=True, eq=False)
class Trajectories:
    """N recorded trajectories, padded with -1 to the longest. Build it with `trajectories_from_arrays` or a
    reader.

    states: int32 [N, T]; the state at each step.
    actions: int32 [N, T]; the action taken there.
    next_states: int32 [N, T]; the state reached, also after the last action; -1 where nobody recorded it.
    lengths: int64 [N]; the number of actions of each trajectory, at least 1. The first is taken at time 0.
    weights: float64 [N]; how much each trajectory counts; 1 unless given.
    ids: N names, for messages and for splitting; "0", "1", ... unless given.
    groups: N names of whoever made each trajectory (a person, an animal, a day), or None: what standard
        errors are clustered by.
    source: the file and row of each step, or None.
    """

    states: np.ndarray
    actions: np.ndarray
    next_states: np.ndarray
    lengths: np.ndarray
    weights: np.ndarray
    ids: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    source: Source | None = None

    @property
    def count(self) -> int:
        """Number of trajectories N."""
        return len(self.lengths)

    @property
    def longest(self) -> int:
        """Number of steps T of the longest trajectory."""
        return self.states.shape[1]

    @property
    def steps(self) -> int:
        """Number of recorded decisions in all."""
        return int(self.lengths.sum())

    @property
    def recorded(self) -> np.ndarray:
        """bool [N, T]: where there is a step, and not padding."""
        return np.arange(self.longest) < self.lengths[:, None]

    def take(self, rows) -> Trajectories:
        """The trajectories with these row numbers (or a truth value for each), in this order."""
        rows = selected(rows, self.count, "trajectory")
        longest = int(self.lengths[rows].max())
        source = self.source
        if source is not None and source.rows is not None:
            source = source._replace(rows=source.rows[rows, :longest])
        return Trajectories(
            states=self.states[rows, :longest],
            actions=self.actions[rows, :longest],
            next_states=self.next_states[rows, :longest],
            lengths=self.lengths[rows],
            weights=self.weights[rows],
            ids=tuple(self.ids[row] for row in rows),
            groups=None if self.groups is None else tuple(self.groups[row] for row in rows),
            source=source,
        )

    def __repr__(self) -> str:
        return f"Trajectories(count={self.count}, steps={self.steps}, longest={self.longest})"


def trajectories_from_arrays(
    states,
    actions,
    *,
    lengths=None,
    next_states=None,
    weights=None,
    ids: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
) -> Trajectories:
    """Build `Trajectories` from padded arrays.

    Args:
        states: whole numbers [N, T] or [N, T+1], padded with -1. A state after the last action of a row is
            the one that it led to.
        actions: whole numbers [N, T].
        lengths: [N] actions of each trajectory; unless given, up to the first negative action.
        next_states: [N, T] states reached; unless given, the next state of the same row. -1 where unknown.
        weights: [N] positive numbers; 1 unless given.
        ids: N different names.
        groups: N names of the demonstrators.

    Raises:
        InputError: for shapes that do not fit, no trajectories, a trajectory without a step, negative numbers
            inside a trajectory, numbers that 32 bits cannot hold, weights that are not positive numbers, names
            that repeat, or a `next_states` that contradicts the state recorded at the next step.
    """
    states, actions = _whole(states, "states"), _whole(actions, "actions")
    if actions.ndim != 2 or states.ndim != 2 or len(states) != len(actions):
        raise InputError(f"states and actions must be [N, T] arrays; got {states.shape} and {actions.shape}.")
    count, longest = actions.shape
    if count == 0 or longest == 0:
        raise InputError("the demonstrations are empty: there is no trajectory with a step in them.")
    if states.shape[1] not in (longest, longest + 1):
        raise InputError(
            f"states must have as many columns as actions, or one more; "
            f"got {states.shape} and {actions.shape}."
        )
    names = _names(ids, count)
    lengths = _lengths(lengths, actions, names)
    recorded = np.arange(longest) < lengths[:, None]
    for name, array in (("state", states[:, :longest]), ("action", actions)):
        wrong = recorded & (array < 0)
        if wrong.any():
            i, t = np.argwhere(wrong)[0]
            raise InputError(
                f"trajectory {names[i]!r} has {many(int(lengths[i]), 'step')}, but at step {t} its {name} is "
                f"{array[i, t]}; negative numbers are padding."
            )
    following = np.full((count, longest + 1), -1, np.int32)
    following[:, : states.shape[1]] = states
    # The state after the last action is where it led; whatever stands behind that is padding.
    following = np.where(np.arange(longest + 1) <= lengths[:, None], following, -1)[:, 1:]
    if next_states is not None:
        following = _reached(_whole(next_states, "next_states"), following, recorded, names)

    def padded(table):
        return np.where(recorded, np.maximum(table, -1), -1)[:, : lengths.max()].astype(np.int32)

    return Trajectories(
        states=padded(states[:, :longest]),
        actions=padded(actions),
        next_states=padded(following),
        lengths=lengths,
        weights=_weights(weights, names),
        ids=names,
        groups=_groups(groups, count),
    )


def trajectories_from_steps(
    trajectory: np.ndarray,
    state: np.ndarray,
    action: np.ndarray,
    next_state: np.ndarray,
    *,
    ids: Sequence[str],
    weights=None,
    groups: Sequence[str] | None = None,
    source: Source | None = None,
) -> Trajectories:
    """Build `Trajectories` from one row per step, sorted by trajectory and then by time.

    Args:
        trajectory: [R] row number of the trajectory, from 0, without gaps, not decreasing.
        state, action, next_state: [R] whole numbers; next_state is -1 where unknown: the state of the next
            step of the same trajectory is then taken.
        ids, weights, groups: one per trajectory, as in `trajectories_from_arrays`.
        source: the file that the steps were read from, with [R] rows.
    """
    if len(trajectory) == 0:
        raise InputError("the demonstrations are empty: there is no step in them.")
    lengths = np.bincount(trajectory, minlength=len(ids))
    longest = int(lengths.max())
    check_memory(
        4 * 8 * len(lengths) * longest,
        f"{len(lengths)} trajectories padded to the longest one ({longest} steps)",
        "cut the longest trajectories into pieces",
    )
    first = np.cumsum(lengths) - lengths
    step = np.arange(len(trajectory)) - first[trajectory]

    def padded(values):
        table = np.full((len(lengths), longest), -1, np.int64)
        table[trajectory, step] = values
        return table

    demos = trajectories_from_arrays(
        padded(state),
        padded(action),
        lengths=lengths,
        next_states=padded(next_state),
        weights=weights,
        ids=ids,
        groups=groups,
    )
    if source is None or source.rows is None:
        return dataclasses.replace(demos, source=source)
    return dataclasses.replace(demos, source=source._replace(rows=padded(source.rows)))


def _whole(values, name: str) -> np.ndarray:
    """int64; what the 32 bits that they are stored in cannot hold is refused, as it would come back as another."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise InputError(f"{name} must hold whole numbers; got {array.dtype}.")
    wrong = (array > LARGEST) | (array < -LARGEST)
    if wrong.any():
        at = tuple(np.argwhere(wrong)[0].tolist())
        raise InputError(f"{name} must hold numbers of at most {LARGEST}; entry {list(at)} is {array[at]}.")
    return array.astype(np.int64)


def _lengths(lengths, actions: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    longest = actions.shape[1]
    if lengths is None:
        ended = actions < 0
        lengths = np.where(ended.any(1), ended.argmax(1), longest)
    lengths = _whole(lengths, "lengths")
    if lengths.shape != (len(actions),):
        raise InputError(
            f"lengths must hold one number per trajectory ({len(actions)}); got shape {lengths.shape}."
        )
    wrong = (lengths < 1) | (lengths > longest)
    if wrong.any():
        i = int(wrong.argmax())
        raise InputError(
            f"a trajectory must have between 1 and {longest} steps; trajectory {names[i]!r} has {lengths[i]} "
            f"({int(wrong.sum())} such trajectories in all)."
        )
    return lengths


def _reached(
    given: np.ndarray, following: np.ndarray, recorded: np.ndarray, names: tuple[str, ...]
) -> np.ndarray:
    """The states that were reached, from `next_states` where given and from the next step otherwise."""
    if given.shape != following.shape:
        raise InputError(f"next_states must have the shape of actions, {following.shape}; got {given.shape}.")
    torn = recorded & (given >= 0) & (following >= 0) & (given != following)
    if torn.any():
        i, t = np.argwhere(torn)[0]
        raise InputError(
            f"trajectory {names[i]!r} says at step {t} that state {given[i, t]} came next, "
            f"but its next step is in state {following[i, t]} ({int(torn.sum())} such steps in all)."
        )
    return np.where(given >= 0, given, following)


def _weights(weights, names: tuple[str, ...]) -> np.ndarray:
    if weights is None:
        return np.ones(len(names))
    array = np.asarray(weights)
    if array.dtype.kind not in "fiub" or array.shape != (len(names),):
        raise InputError(
            f"weights must hold one number per trajectory ({len(names)}); got {array.dtype} {array.shape}."
        )
    wrong = ~((array > 0) & np.isfinite(array))
    if wrong.any():
        i = int(wrong.argmax())
        raise InputError(f"weights must be positive numbers; trajectory {names[i]!r} has weight {array[i]}.")
    return array.astype(np.float64)


def _names(ids, count: int) -> tuple[str, ...]:
    if ids is None:
        return tuple(map(str, range(count)))
    names = tuple(map(str, ids))
    if len(names) != count:
        raise InputError(f"ids must hold one name per trajectory ({count}); got {len(names)}.")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"ids must differ from each other; {name!r} occurs more than once.")
        seen.add(name)
    return names


def _groups(groups, count: int) -> tuple[str, ...] | None:
    if groups is None:
        return None
    if len(groups) != count:
        raise InputError(f"groups must hold one name per trajectory ({count}); got {len(groups)}.")
    return tuple(map(str, groups))
