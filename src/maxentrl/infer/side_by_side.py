"""Many matrices that differ on the diagonal only, eliminated side by side.

With one M >= 0 and a diagonal of its own for each of some lanes, solve

    (diag(d_i) - M) x_i = b_i    and    (diag(d_i) - M)^T f_i = c_i        for every lane i.

One order of elimination serves all of them, so that what is filled in is known beforehand. Two states can be eliminated
at once where neither has an entry in the other's row or column: states are put in levels, and each level is a few array
operations on [entries, lanes]. With v for the entries of the triangles, kept with their sign turned, and
p for the pivots,

    v_ij = m_ij + sum_k v_ik v_kj / p_k,        p_i = d_i - m_ii - sum_k v_ik v_ki / p_k,      k before i and j.

A matrix of this kind is a nonsingular M-matrix, that is, its inverse is finite and nonnegative, exactly when all pivots
are positive (Berman & Plemmons 1994, theorem 6.2.3); all else is a sum of nonnegative numbers.

Source: Duff, Erisman & Reid (2017), Direct Methods for Sparse Matrices, chapters 9 and 10; elimination by levels after
Anderson & Saad (1989).
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from maxentrl.infer.first_passage import ELIMINATION, SMALLEST_PIVOT


class Products(NamedTuple):
    """Sums of products: `total` @ (one.take(first) * other.take(second)) belongs to the rows `here`."""

    here: slice
    first: np.ndarray
    second: np.ndarray
    total: sp.csr_matrix


class Plan(NamedTuple):
    """An order of elimination, and what it fills in. Entries are numbered by level: first pivots, then the triangles.

    place: [n] position of each state; levels are runs of positions. entry: [m] the entry that each arc is part of.
    entries: how many. fill: for each level, products of entries for its entries.
    pivots: for each level, which of its entries (and which positions) are pivots.
    lower: for each level, its entries below the diagonal, and the positions of their columns.
    down, up: substitution, with entries and positions; and with the transposed triangles.
    """

    place: np.ndarray
    entry: np.ndarray
    entries: int
    fill: list[Products]
    pivots: list[tuple[slice, slice]]
    lower: list[tuple[slice, np.ndarray]]
    down: list[Products]
    up: list[Products]
    transposed_down: list[Products]
    transposed_up: list[Products]


class Eliminated(NamedTuple):
    """values: [entries, lanes] of the triangles. share: [n, lanes] 1 / pivot, by position."""

    plan: Plan
    values: np.ndarray
    share: np.ndarray


def plan(size: int, leaves: np.ndarray, enters: np.ndarray) -> Plan:
    """Prepare to eliminate the states 0..size - 1 of a matrix with entries at (leaves, enters) [m]."""
    place, below, right = _fill_in(size, leaves, enters)
    levels = _levels(below, right)
    moved = np.empty(size, int)
    moved[np.argsort(levels, kind="stable")] = np.arange(size)
    place, bounds = moved[place], np.searchsorted(np.sort(levels), np.arange(levels.max(initial=-1) + 2))

    # Entries by level; in it pivots (0), then those above (1) and below (2) the diagonal.
    pivots = np.arange(size)
    row, ahead = _pairs(moved, right)
    column, behind = _pairs(moved, below)
    rows, columns = np.concatenate([pivots, row, behind]), np.concatenate([pivots, ahead, column])
    kind = np.repeat([0, 1, 2], [size, len(row), len(column)])
    part = 3 * (np.searchsorted(bounds, np.minimum(rows, columns), side="right") - 1) + kind
    order = np.lexsort((columns, rows, part))
    rows, columns, kind, part = rows[order], columns[order], kind[order], part[order]
    starts = np.searchsorted(part, np.arange(3 * len(bounds) - 2))
    key = rows * size + columns
    by_key = np.argsort(key)

    def find(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        return by_key[np.searchsorted(key[by_key], i * size + j)]

    above, under = np.flatnonzero(kind == 1), np.flatnonzero(kind == 2)
    first, second = _meetings(columns[under], rows[above], size)
    first, second = under[first], above[second]
    spans = [slice(a, b) for a, b in pairwise(starts[::3])]
    runs = [slice(a, b) for a, b in pairwise(bounds)]
    return Plan(
        place=place,
        entry=find(place[leaves], place[enters]),
        entries=len(rows),
        fill=_products(spans, find(rows[first], columns[second]), first, second),
        pivots=[(slice(a, b), run) for a, b, run in zip(starts[:-1:3], starts[1::3], runs, strict=True)],
        lower=[(slice(a, b), columns[a:b]) for a, b in zip(starts[2::3], starts[3::3], strict=True)],
        down=_products(runs, rows[under], under, columns[under]),
        up=_products(runs, rows[above], above, columns[above])[::-1],
        transposed_down=_products(runs, columns[above], above, rows[above]),
        transposed_up=_products(runs, columns[under], under, rows[under])[::-1],
    )


def _pairs(moved: np.ndarray, side: list[set[int]]) -> tuple[np.ndarray, np.ndarray]:
    """(k, i) for all i in side[k], in new positions."""
    k = np.repeat(np.arange(len(side)), [len(found) for found in side])
    return moved[k], moved[np.array([i for found in side for i in found], int)]


def _meetings(columns: np.ndarray, rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """All (i, j) with columns[i] == rows[j]."""
    by_row = np.argsort(rows, kind="stable")
    ends = np.searchsorted(rows[by_row], np.arange(size + 1))
    many = np.diff(ends)[columns]
    begin = ends[columns] - np.cumsum(many) + many
    return np.repeat(np.arange(len(columns)), many), by_row[np.arange(many.sum()) + np.repeat(begin, many)]


def _fill_in(size: int, leaves: np.ndarray, enters: np.ndarray) -> tuple[np.ndarray, list, list]:
    """A position for each state; and for each position the later ones with an entry in its column, and in its row."""
    degree = np.bincount(leaves, minlength=size)
    dominant = sp.csc_matrix((-0.5 / degree[leaves], (leaves, enters)), shape=(size, size))
    place = splu((dominant + sp.identity(size)).tocsc(), **ELIMINATION).perm_c
    below: list[set[int]] = [set() for _ in range(size)]
    right: list[set[int]] = [set() for _ in range(size)]
    for i, j in zip(place[leaves].tolist(), place[enters].tolist(), strict=True):
        if i > j:
            below[j].add(i)
        elif i < j:
            right[i].add(j)
    for k in range(size):
        for i in below[k]:
            for j in right[k]:
                if i > j:
                    below[j].add(i)
                elif i < j:
                    right[i].add(j)
    return place, below, right


def _levels(below: list, right: list) -> np.ndarray:
    """The level of each position: after all that change its row or column."""
    levels = [0] * len(below)
    for k, (rows, columns) in enumerate(zip(below, right, strict=True)):
        after = levels[k] + 1
        for i in rows | columns:
            levels[i] = max(levels[i], after)
    return np.array(levels, int)


def _products(
    spans: list[slice], target: np.ndarray, first: np.ndarray, second: np.ndarray
) -> list[Products]:
    """Products (first, second) summed into targets, for each span of these."""
    order = np.argsort(target, kind="stable")
    target, first, second = target[order], first[order], second[order]
    found = []
    for span in spans:
        ends = np.searchsorted(target, np.arange(span.start, span.stop + 1))
        here = slice(ends[0], ends[-1])
        count = ends[-1] - ends[0]
        total = sp.csr_matrix(
            (np.ones(count), np.arange(count), ends - ends[0]), shape=(len(ends) - 1, count)
        )
        found.append(Products(span, first[here], second[here], total))
    return found


def eliminate(plan: Plan, weight: np.ndarray, diagonal: np.ndarray) -> Eliminated | None:
    """Factorise diag(d) - M for every lane; None unless all of them are M-matrices.

    Args:
        weight: [m] entries of M, not negative. diagonal: [n, lanes] d.
    """
    start = np.bincount(plan.entry, weight, minlength=plan.entries)[:, None]
    values, share = np.empty((plan.entries, diagonal.shape[1])), np.empty(diagonal.shape)
    own = np.empty(diagonal.shape)
    own[plan.place] = diagonal
    for fill, (pivots, run), (lower, columns) in zip(plan.fill, plan.pivots, plan.lower, strict=True):
        values[fill.here] = fill.total @ (values.take(fill.first, 0) * values.take(fill.second, 0))
        values[fill.here] += start[fill.here]
        left = own[run] - values[pivots]
        if not (left > SMALLEST_PIVOT * own[run]).all():
            return None
        share[run] = 1 / left
        values[lower] *= share.take(columns, 0)
    return Eliminated(plan, values, share)


def solve(eliminated: Eliminated, right: np.ndarray, *, transposed: bool = False) -> np.ndarray:
    """x [n, lanes], where (diag(d) - M) x = right in every lane, or the same with the transposed matrices."""
    plan, values, share = eliminated
    x = np.empty(right.shape)
    x[plan.place] = right
    for down in plan.transposed_down if transposed else plan.down:
        x[down.here] += down.total @ (values.take(down.first, 0) * x.take(down.second, 0))
        if transposed:
            x[down.here] *= share[down.here]
    for up in plan.transposed_up if transposed else plan.up:
        x[up.here] += up.total @ (values.take(up.first, 0) * x.take(up.second, 0))
        if not transposed:
            x[up.here] *= share[up.here]
    return x.take(plan.place, 0)
