"""Small quadratic programs over simplices, solved exactly: the nearest point of a convex hull, and its kin.

    minimise  1/2 |sum_j x_j rows_j|^2 - linear . x    over x >= 0 whose entries in group g sum to totals_g

With one group and no linear term the answer is the point of a convex hull nearest to the origin, and the
method is Wolfe's (1976): keep a few rows (a corral) on which the problem is solved exactly, let in the row
that promises most, and drop those that would become negative. It ends after finitely many steps with the
exact answer, because no corral comes twice. Several groups, rows without a group and a linear term change
nothing in this; it is then the active-set method of textbooks (Nocedal & Wright 2006, section 16.5).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from maxentrl.core.check import InfeasibleError, InputError

ROUNDING = 1e-12
"""Relative size below which a promise, or a direction's curvature, is taken for rounding."""


class Minimum(NamedTuple):
    """x [J]: the answer. gap: proven bound on how far the objective at x is above its minimum (inf when a row
    without a group still promises something); it is about rounding unless the search was cut short.
    """

    x: np.ndarray
    gap: float


def nearest_in_hull(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Weights [J] of the mixture of `points` [J, K] that is nearest to `target` [K]: at least 0, summing to 1.

    Source: Wolfe (1976), Finding the nearest point in a polytope.
    """
    points, target = np.asarray(points, float), np.asarray(target, float)
    if points.ndim != 2 or target.shape != points.shape[1:] or len(points) == 0:
        raise InputError(
            f"points must be [J, K], with at least one, and target [K]; got {points.shape} and {target.shape}."
        )
    return minimise(points - target, np.zeros(len(points)), np.zeros(len(points), int), np.ones(1)).x


def project(point: np.ndarray, normals: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """The point [K] nearest to `point` among those with normals [R, K] . x <= limits [R].

    Its dual has one number at least 0 for each row: x = point - sum of them times the normals. Rows are let in
    as they are violated, so many of them cost little.

    Raises:
        InfeasibleError: when no point satisfies all rows.
    """
    x, held = np.asarray(point, float), np.zeros(0, int)
    scale = np.abs(normals).max(1, initial=0.0) * (1 + np.abs(x).max(initial=0.0)) + np.abs(limits)
    while True:
        excess = (normals @ x - limits) / np.where(scale > 0, scale, 1.0)
        excess[held] = 0.0
        if not (excess > ROUNDING).any():
            return x
        held = np.append(held, int(excess.argmax()))
        found = minimise(
            normals[held], normals[held] @ point - limits[held], np.full(len(held), -1), np.zeros(0)
        )
        x = point - found.x @ normals[held]


def minimise(
    rows: np.ndarray,
    linear: np.ndarray,
    groups: np.ndarray,
    totals: np.ndarray,
    start: np.ndarray | None = None,
) -> Minimum:
    """Solve the quadratic program of this module.

    Args:
        rows: [J, D]. linear: [J].
        groups: whole numbers [J], the group of each entry of x; -1 for entries that are only at least 0.
        totals: [G], the positive sum of each group.
        start: [J], where the search begins; it must satisfy the constraints. Unless given, each group is put
            on its first entry.

    Raises:
        InfeasibleError: when the objective falls for ever (entries without a group only): the problem of which
            this is the dual then has no solution.
    """
    x = _begin(groups, totals) if start is None else np.array(start, float)
    held = x > 0
    size = np.linalg.norm(rows, axis=1)
    for _ in range(50 * (len(rows) + rows.shape[1] + 10)):
        gradient = rows @ (x @ rows) - linear
        promise = gradient - _level(gradient, x, groups, totals)
        scale = size * np.linalg.norm(x @ rows) + np.abs(linear)
        worst = ROUNDING * max(float(scale.max(initial=0.0)), np.finfo(float).tiny)
        outside = np.where(held, np.inf, promise)
        if not (outside < -worst).any():
            break
        held[int(outside.argmin())] = True
        x, held = _settle(rows, linear, groups, x, held)
    return Minimum(x, _gap(rows @ (x @ rows) - linear, x, groups, totals))


def _begin(groups: np.ndarray, totals: np.ndarray) -> np.ndarray:
    x = np.zeros(len(groups))
    for g, total in enumerate(totals):
        x[int((groups == g).argmax())] = total
    return x


def _level(gradient: np.ndarray, x: np.ndarray, groups: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """[J]: what the gradient is, on average, where the group of each entry has its mass; 0 without a group."""
    inside = groups >= 0
    level = np.bincount(groups[inside], (gradient * x)[inside], minlength=len(totals)) / totals
    return np.where(inside, np.append(level, 0.0)[groups], 0.0)


def _gap(gradient: np.ndarray, x: np.ndarray, groups: np.ndarray, totals: np.ndarray) -> float:
    """gradient . (x - y) at its largest over all y allowed: convexity makes it a bound on what is left."""
    free = groups < 0
    steepest = np.full(len(totals), np.inf)
    np.minimum.at(steepest, groups[~free], gradient[~free])
    if (gradient[free] < -1e-9 * (1 + np.abs(gradient).max(initial=0.0))).any():
        return float("inf")
    return float(gradient @ x - steepest @ totals)


def _settle(rows, linear, groups, x: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The minimum over the held entries alone; those that would become negative on the way are let go."""
    held = held.copy()
    while True:
        corral = np.flatnonzero(held)
        step, exact = _direction(rows[corral], linear[corral], groups[corral], x, corral)
        falling = step < 0
        if not exact and not falling.any():
            raise InfeasibleError("the quadratic program has no minimum: its objective falls for ever.")
        room = np.full(len(corral), np.inf)
        with np.errstate(over="ignore"):  # a step of nothing never arrives
            room[falling] = x[corral][falling] / -step[falling]
        longest = float(room.min(initial=np.inf))
        if exact and longest >= 1:
            x = x.copy()
            x[corral] = np.maximum(x[corral] + step, 0.0)
            return x, held
        x = x.copy()
        x[corral] = np.maximum(x[corral] + longest * step, 0.0)
        gone = corral[room <= longest]
        x[gone] = 0.0
        held[gone] = False


def _direction(rows, linear, groups, x: np.ndarray, corral: np.ndarray) -> tuple[np.ndarray, bool]:
    """From x to the minimum over the corral, signs aside, within the groups' sums; or, where the objective is
    not bounded below there, a direction along which it falls for ever (and False).
    """
    mass = x[corral]
    basis = []
    for j in range(len(corral)):
        direction = np.zeros(len(corral))
        direction[j] = 1.0
        if groups[j] >= 0:
            mates = np.flatnonzero(groups == groups[j])
            pivot = mates[int(mass[mates].argmax())]
            if pivot == j:
                continue
            direction[pivot] = -1.0
        basis.append(direction)
    if not basis:
        return np.zeros(len(corral)), True
    within = np.array(basis)
    slope = within @ (linear - rows @ (mass @ rows))
    left, stretch, _ = np.linalg.svd(within @ rows, full_matrices=True)
    stretch = np.append(stretch, np.zeros(len(left) - len(stretch)))
    curved = stretch > ROUNDING * max(float(np.abs(rows).max(initial=0.0)), np.finfo(float).tiny)
    along = left.T @ slope
    size = np.linalg.norm(within @ rows, axis=1).max() * np.linalg.norm(mass @ rows) + np.abs(linear).max()
    if (np.abs(along[~curved]) > 1e-10 * size).any():
        return (left[:, ~curved] @ along[~curved]) @ within, False
    return (left[:, curved] @ (along[curved] / stretch[curved] ** 2)) @ within, True
