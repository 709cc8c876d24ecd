"""Newton's method for a likelihood that may not exist everywhere: what cannot be evaluated is never stepped
on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from maxentrl.core.check import InputError
from maxentrl.core.words import many, noun

FLAT = 1e-10
"""Curvature, relative to the largest in scaled coordinates, below which a direction counts as flat."""

LEAST = 1e-4
"""The largest curvature in scaled coordinates, below which `FLAT` is no longer relative to it."""

HALVINGS = 60

UPWARD, SMALLER = 1e-7, 10
"""Upward curvature, relative to the largest, from which on it is none of rounding; how often a step along it is
halved."""


class Maximum(NamedTuple):
    """Where the search ended. argument [K], value, memo (what `value` returned beside it), converged, one sentence,
    and whether somebody stopped it."""

    argument: np.ndarray
    value: float
    memo: Any
    converged: bool
    verdict: str
    interrupted: bool = False


def check_max_steps(max_steps: int) -> None:
    """A number of Newton steps is a whole one, at least 0."""
    if isinstance(max_steps, bool) or not isinstance(max_steps, int | np.integer) or max_steps < 0:
        raise InputError(f"max_steps must be a whole number of Newton steps, at least 0; got {max_steps!r}.")


def maximise(
    value: Callable[[np.ndarray], tuple[float, Any]],
    derivatives: Callable[[np.ndarray, Any], tuple[np.ndarray, np.ndarray]],
    start: np.ndarray,
    scale: np.ndarray,
    max_steps: int,
    enough: float = 0.0,
) -> Maximum:
    """Climb from `start`, which must be feasible, by Newton steps with halving.

    Args:
        value: w -> (objective, memo); -inf where the objective does not exist.
        derivatives: (w, memo) -> (gradient [K], minus the second derivative [K, K]).
        start: [K].
        scale: [K] typical size of each weight: what makes the curvatures comparable.
        max_steps: Newton steps after which the search stops and says so.
        enough: a promised gain that is small enough to stop at, for a search that only prepares another.

    Curvatures are taken by absolute value, so that the step climbs where the objective is not concave, and
    nearly flat directions count as slightly curved, so that the step stays finite (Nocedal & Wright 2006,
    section 3.4). The search ends when the quadratic model promises no gain that the number format could show; where
    the objective curves upwards there, at a minimum or a saddle, it goes on from a higher point beside it.

    Ctrl-C ends it too, and the weights of the last step taken are returned. A compiled evaluation is not left half-way:
    the search ends as soon as it returns. Before the first one there is nothing to keep, and KeyboardInterrupt reaches
    the caller.
    """
    w, promise, taken = np.asarray(start, float), np.inf, 0
    best, memo = value(start)
    try:
        for taken in range(max_steps + 1):
            gradient, information = derivatives(w, memo)
            step = _direction(np.asarray(gradient), np.asarray(information), scale)
            promise = float(np.asarray(gradient) @ step)
            resolution = 64 * np.finfo(float).eps * (1 + abs(best))
            if promise <= max(resolution, enough):
                beside = _beside(value, w, best, np.asarray(information), scale)
                if beside is not None:
                    promise = 2 * (beside[1] - best)
                    if taken == max_steps:
                        break
                    w, best, memo = beside
                    continue
                # Convergence is quadratic: one more step leaves nothing but rounding in the gradient.
                last, last_memo = value(w + step)
                if last >= best - resolution:
                    w, best, memo = w + step, last, last_memo
                return Maximum(w, best, memo, True, f"converged in {newton_steps(taken)}.")
            if taken == max_steps:
                break
            size = 1.0
            for _ in range(HALVINGS):
                tried, tried_memo = value(w + size * step)
                if tried >= best + 1e-4 * size * promise:
                    break
                size /= 2
            else:
                reason = (
                    f"no step uphill was found, though the objective should rise by about {promise / 2:.2g}"
                )
                return Maximum(
                    w, best, memo, False, f"not converged: {reason}; the best weights found are kept."
                )
            w, best, memo = w + size * step, tried, tried_memo
    except KeyboardInterrupt:
        return Maximum(w, best, memo, False, interrupted_after(taken), True)
    rise = f"the next would raise the objective by about {promise / 2:.2g}"
    return Maximum(w, best, memo, False, f"{stopped_after(max_steps)}, and {rise}.")


def interrupted_after(steps: int) -> str:
    """The verdict on a search that somebody stopped."""
    return (
        f"interrupted after {newton_steps(steps)}: the best weights so far are kept, and as "
        "they are no maximum, their standard errors mean nothing."
    )


def stopped_after(steps: int) -> str:
    """The beginning of the verdict on a search that made all the steps it was allowed."""
    return f"not converged: {newton_steps(steps)} {noun(steps, 'was', 'were')} taken"


def newton_steps(count: int) -> str:
    """So many Newton steps, in words."""
    return many(count, "Newton step")


def _beside(
    value: Callable[[np.ndarray], tuple[float, Any]],
    w: np.ndarray,
    best: float,
    information: np.ndarray,
    scale: np.ndarray,
) -> tuple[np.ndarray, float, Any] | None:
    """(argument, value, memo) of a higher point along the axis that curves upwards most; None where none does."""
    curvature, axes = np.linalg.eigh(information * np.outer(scale, scale))
    if curvature[0] >= -UPWARD * np.abs(curvature).max():
        return None
    step = scale * axes[:, 0] / np.sqrt(-curvature[0])
    for size in 0.5 ** np.arange(SMALLER):
        for tried in (w + size * step, w - size * step):
            found, memo = value(tried)
            # The quadratic model rises by size^2 / 2.
            if found >= best + size**2 / 8:
                return tried, found, memo
    return None


def _direction(gradient: np.ndarray, information: np.ndarray, scale: np.ndarray) -> np.ndarray:
    curvature, axes = np.linalg.eigh(information * np.outer(scale, scale))
    size = np.abs(curvature)
    # Where nothing curves (a policy that has lost its randomness), the gradient alone must do, by a long step.
    size = np.maximum(size, FLAT * size.max()) if size.max() > FLAT * LEAST else np.full(len(size), LEAST)
    return scale * (axes @ ((axes.T @ (scale * gradient)) / size))
