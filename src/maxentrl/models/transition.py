"""Transition probabilities: full tables and successor lists, and the checks they pass."""

from __future__ import annotations

import equinox as eqx
import numpy as np
from jaxtyping import Float, Integer

from maxentrl.core.check import InputError
from maxentrl.core.precision import aligned
from maxentrl.core.types import Array
from maxentrl.models.arrivals import Arrivals

SUM_TOLERANCE = {"float64": 1e-9, "float32": 1e-5}
"""How far a row of probabilities may miss 1 before it is refused; nearer rows are rescaled to sum to 1."""

CACHE_LINE = 8
"""Numbers of the working precision that a processor fetches together."""


class Dense(eqx.Module):
    """Transition probabilities as a full table, `probability[s, a, s_next]`, shape [S, A, S]."""

    probability: Float[Array, "S A S"]

    @property
    def shape(self) -> tuple[int, int]:
        """(S, A)."""
        return self.probability.shape[0], self.probability.shape[1]


class Sparse(eqx.Module):
    """Transition probabilities as padded successor lists, state last.

    successor: int32 [A, K, S]; the k-th state that can follow action a in state s. Padding points anywhere.
    probability: [A, K, S]; its probability; 0 for padding.
    local: whether neighbouring states mostly have neighbouring successors. It decides nothing but how arrays
        are walked through (see infer/sweep.py); found out by `is_local` when a `TabularMDP` is made.
    arrivals: the same entries in order of arrival, where somebody made them; mass is then sent forward faster.
    """

    successor: Integer[Array, "A K S"]
    probability: Float[Array, "A K S"]
    local: bool = eqx.field(static=True, default=False)
    arrivals: Arrivals | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(S, A)."""
        return self.probability.shape[2], self.probability.shape[0]


Transition = Dense | Sparse


def is_local(successor: np.ndarray) -> bool:
    """Whether the successors [A, K, S] of states s and s + 1 are mostly within a cache line of each other."""
    stride = max(1, successor.shape[2] // 10_000)
    step = successor[:, :, 1::stride].astype(np.int64) - successor[:, :, :-1:stride]
    return step.size > 0 and bool(np.mean(np.abs(step) <= CACHE_LINE) >= 0.5)


def as_transition(transition, dtype: str) -> Transition:
    """A copy of one of the accepted spellings as `Dense` or `Sparse`, whichever of the two it is."""
    if isinstance(transition, Dense):
        return Dense(aligned(floats(transition.probability, "transition", dtype)))
    if isinstance(transition, Sparse):
        return _sparse(transition.successor, transition.probability, dtype, (0, 1, 2))
    # A nested list of a two-state table also has length 2, but its halves have two axes.
    if isinstance(transition, tuple | list) and len(transition) == 2 and np.ndim(transition[0]) != 2:
        successor, probability = transition
        return _sparse(successor, probability, dtype, (1, 2, 0))
    table = floats(transition, "transition", dtype)
    if table.ndim != 3 or table.shape[0] != table.shape[2] or min(table.shape) == 0:
        raise InputError(
            f"transition must have shape [S, A, S], or be a pair of [S, A, K] arrays; got {table.shape}."
        )
    return Dense(aligned(table))


def _sparse(successor, probability, dtype: str, axes: tuple[int, int, int]) -> Sparse:
    successor, probability = np.asarray(successor), floats(probability, "probability", dtype)
    if successor.dtype.kind not in "iu":
        raise InputError(f"successor must hold whole numbers; got {successor.dtype}.")
    if successor.ndim != 3 or successor.shape != probability.shape:
        raise InputError(
            "transition as successor lists must be two arrays of one shape [S, A, K]; "
            f"got successor {successor.shape} and probability {probability.shape}."
        )
    if min(successor.shape) == 0:
        raise InputError(
            f"transition must have at least one state, action and successor; got {successor.shape}."
        )
    successor, probability = successor.transpose(axes), probability.transpose(axes)
    states = successor.shape[2]
    far = (successor < 0) | (successor >= states)
    if far.any():
        a, k, s = np.argwhere(far)[0]
        raise InputError(
            f"successors must be states 0 to {states - 1}; entry {k} of row (state {s}, action {a}) is "
            f"{successor[a, k, s]} ({int(far.sum())} out of range in all)."
        )
    successor = aligned(successor, np.int32)
    return Sparse(successor, aligned(probability), is_local(successor))


def floats(values, name: str, dtype: str) -> np.ndarray:
    """`values` as numbers of this format."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name} must hold numbers; got {array.dtype}.")
    return array.astype(dtype, copy=False)


def check_transition(transition: Transition, live: np.ndarray) -> None:
    """Rows of the `live` pairs [S, A] hold probabilities and sum to 1; others are cleared. Works in place."""
    p = np.asarray(transition.probability)
    sparse = isinstance(transition, Sparse)
    axis, rows = (1, live.T) if sparse else (2, live)
    inside = np.expand_dims(rows, axis)
    if not live.all():
        np.copyto(p, 0, where=~inside)
    wrong = ~(p >= 0)
    if wrong.any():
        where = np.argwhere(wrong)[0]
        s, a = (where[2], where[0]) if sparse else where[:2]
        raise InputError(
            "transition probabilities must be numbers in [0, 1]; row "
            f"(state {s}, action {a}) holds {p[tuple(where)]}."
        )
    del wrong
    total = p.sum(axis)
    off = rows & ~(np.abs(total - 1) <= SUM_TOLERANCE[p.dtype.name])
    if off.any():
        first = np.argwhere(off.T if sparse else off)[0]
        s, a = first
        found = total[a, s] if sparse else total[s, a]
        raise InputError(
            f"transition rows must sum to 1; row (state {s}, action {a}) sums to {found:.10g} "
            f"({int(off.sum())} such rows in all)."
        )
    # What is off by rounding alone is left as it is, so that a problem written and read again is the same
    # problem.
    if (rows & (np.abs(total - 1) > 4 * np.finfo(p.dtype).eps * p.shape[axis])).any():
        p /= np.expand_dims(np.where(rows, total, 1), axis)
