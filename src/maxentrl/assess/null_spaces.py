"""Directions of weights to which something is blind: null spaces, one within the other, in few features each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from maxentrl.core.check import InputError, check_shape

Kind = Literal["zero", "collinear", "constant", "shaping", "unseen"]

NULL = 1e-8
"""Change of the reward that matters, relative to the features, below which a direction counts as shaping. Rounding
leaves about 1e-16 / (1 - discount)."""

FLAT = 1e-10
"""Information per decision, relative to the best known direction, below which a direction counts as unseen."""

NAMED = 6
"""Features or states listed in a sentence; the rest are counted."""


def length(matrix: np.ndarray) -> float:
    """The largest singular value."""
    return float(np.linalg.norm(np.linalg.qr(matrix, mode="r"), 2)) if matrix.size else 0.0


def null_rows(matrix: np.ndarray, reference: float) -> np.ndarray:
    """Orthonormal rows [m, K] that this matrix [N, K] sends to less than NULL * reference."""
    _, size, axes = np.linalg.svd(np.linalg.qr(matrix, mode="r"))
    size = np.concatenate([size, np.zeros(len(axes) - len(size))])
    return axes[size <= NULL * reference]


def flat_rows(information: np.ndarray, never: np.ndarray) -> np.ndarray:
    """Orthonormal rows in which the information per decision is flat, beside those that no data can tell."""
    others = np.linalg.svd(never)[2][len(never) :] if len(never) else np.eye(len(information))
    if not len(others):
        return others
    curvature, axes = np.linalg.eigh(others @ information @ others.T)
    # The same floor as the estimator's: a direction worth less than 1e-14 nats a decision is not known by any
    # comparison.
    return axes[:, curvature <= FLAT * max(float(curvature[-1]), 1e-4)].T @ others


def nested_basis(levels: list[tuple[Kind, np.ndarray]]) -> Iterator[tuple[Kind, np.ndarray]]:
    """(kind, row) of a basis of nested spaces, each row in the first that holds it and in few coordinates.

    Gauss-Jordan elimination with full pivoting, level by level, leaves each row in as few features as a basis can have.
    """
    done: list[tuple[int, np.ndarray]] = []
    for kind, space in levels:
        rows = space.copy()
        for column, row in done:
            rows -= np.outer(rows[:, column], row)
        taken = [column for column, _ in done]
        fresh: list[int] = []
        for _ in range(len(space) - len(done)):
            free = np.abs(rows)
            free[fresh] = 0
            free[:, taken] = 0
            i, column = (int(x) for x in np.unravel_index(int(free.argmax()), free.shape))
            rows[i] /= rows[i, column]
            others = np.arange(len(rows)) != i
            rows[others] -= np.outer(rows[others, column], rows[i])
            fresh.append(i)
            taken.append(column)
        for i, column in zip(fresh, taken[len(done) :], strict=True):
            rows[i] = np.where(np.abs(rows[i]) > 1e-6, rows[i], 0.0)
            done.append((column, rows[i]))
            yield kind, rows[i]


def typical(table: np.ndarray) -> np.ndarray:
    """[K]: the change of each weight that changes some reward by 1, from features [N, K]; 1 for a feature of zeros."""
    largest = np.abs(table).max(0, initial=0.0)
    return 1 / np.where(largest > 0, largest, 1.0)


def directions(
    levels: list[tuple[Kind, np.ndarray]], scale: np.ndarray, fisher, decisions: float, temperature: float
) -> Iterator[tuple[Kind, np.ndarray]]:
    """(kind, weights [K], the largest 1) of what is not identified.

    Args:
        levels: nested spaces of weights in units of `scale` [K], the last of them all that no data can tell.
        fisher: [K, K] information of the weights in some data, or None: then nothing is "unseen".
        decisions: how many it sums over, more than 0. temperature: of the demonstrator.

    Raises:
        InputError: for a fisher that has another shape or is not finite, or no decisions.
    """
    if fisher is not None:
        matrix, count = np.asarray(fisher, np.float64), len(scale)
        check_shape(matrix, (count, count), "fisher", "[K, K]")
        if not np.isfinite(matrix).all():
            raise InputError(f"fisher must be finite; {int((~np.isfinite(matrix)).sum())} entries are not.")
        if not 0 < decisions < np.inf:
            raise InputError(f"decisions must be a positive number; got {decisions}.")
        per_decision = matrix * np.outer(scale, scale) * (float(temperature) ** 2 / float(decisions))
        never = levels[-1][1]
        levels = [*levels, ("unseen", np.concatenate([never, flat_rows(per_decision, never)]))]
    for kind, row in nested_basis(levels):
        weights = row * scale
        several = np.count_nonzero(weights) > 1
        yield (
            "collinear" if kind == "zero" and several else kind,
            weights / weights[np.abs(weights).argmax()],
        )


def in_words(names: Sequence[str], weights: np.ndarray) -> str:
    """A direction [K] of the weights as the subject of a sentence."""
    involved = np.flatnonzero(weights)
    if len(involved) == 1:
        return f"the weight of {names[involved[0]]}"
    terms = " ".join(
        f"{'-' if weights[k] < 0 else '+'} {'' if abs(weights[k]) == 1 else f'{abs(weights[k]):.4g} '}{names[k]}"
        for k in involved[:NAMED]
    ).removeprefix("+ ")
    more = f" and {len(involved) - NAMED} more features" if len(involved) > NAMED else ""
    return f"the direction {terms}{more} of the weights"
