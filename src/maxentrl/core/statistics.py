"""What can be said of a handful of runs: the middle of them, how sure it is, and whether one kind beats another."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from maxentrl.core.check import InputError

RESAMPLES = 2000
"""Bootstrap samples behind an interval."""


class Estimate(NamedTuple):
    """A number with the ends of its 95 % interval; these are NaN where there is no spread to tell them from."""

    value: float
    lower: float
    upper: float


def interquartile_mean(scores, axis: int = -1) -> np.ndarray:
    """The mean of the middle half: of n scores, the floor(n / 4) lowest and as many highest are left out.

    Args:
        scores: numbers, at least one along `axis`. A NaN among them makes their mean NaN.

    Source: Agarwal et al. (2021), "Deep reinforcement learning at the edge of the statistical precipice".
    """
    scores = np.sort(np.moveaxis(np.asarray(scores, np.float64), axis, -1), -1)
    n = scores.shape[-1]
    if n == 0:
        raise InputError("an interquartile mean needs at least one score.")
    cut = n // 4
    middle = scores[..., cut : n - cut].mean(-1)
    return np.where(np.isnan(scores[..., -1]), np.nan, middle)  # sorted, a NaN comes last


def with_interval(scores, *, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """The interquartile mean of scores [n], with a 95 % percentile bootstrap interval over them.

    With a single score there is no spread, and the interval is NaN.
    """
    scores = _scores(scores)
    if len(scores) == 1:
        return Estimate(float(scores[0]), np.nan, np.nan)
    drawn = np.random.default_rng(seed).integers(len(scores), size=(resamples, len(scores)))
    return Estimate(float(interquartile_mean(scores)), *_ends(interquartile_mean(scores[drawn])))


def curve_with_interval(scores, *, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """Interquartile means [T] of scores [T, n], and ends of their intervals: [3, T].

    Whole runs are drawn, the same ones at all times. The ends are NaN for a single run.
    """
    scores = np.asarray(scores, np.float64)
    count = scores.shape[1]
    middle = interquartile_mean(scores)
    if count == 1:
        return np.stack([middle, np.full(len(scores), np.nan), np.full(len(scores), np.nan)])
    drawn = np.random.default_rng(seed).integers(count, size=(resamples, count))
    ends = [_ends(interquartile_mean(row[drawn])) for row in scores]
    return np.concatenate([middle[None], np.array(ends).T])


def probability_of_improvement(x, y, *, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """P(X > Y) + P(X = Y) / 2 for a run of each kind drawn at random, with a 95 % bootstrap interval.

    Both kinds are resampled, each from its own runs (stratified). Above 1/2: x is the better one.

    Args:
        x, y: scores [n], [m]; with fewer than two of either the interval is NaN.

    Source: Agarwal et al. (2021), section 4.3; Mann and Whitney (1947).
    """
    x, y = _scores(x), _scores(y)
    wins = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    if min(len(x), len(y)) < 2:
        return Estimate(float(wins.mean()), np.nan, np.nan)
    random = np.random.default_rng(seed)
    rows = random.integers(len(x), size=(resamples, len(x)))
    columns = random.integers(len(y), size=(resamples, len(y)))
    drawn = np.array([wins[np.ix_(i, j)].mean() for i, j in zip(rows, columns, strict=True)])
    return Estimate(float(wins.mean()), *_ends(drawn))


def ratio_with_interval(totals, sizes, confidence: float) -> tuple[float, float, tuple[float, float]]:
    """sum of totals / sum of sizes over n independent clusters, its standard error, and its interval.

        error = sqrt(n / (n - 1) * sum of (total - ratio * size)^2) / sum of sizes

    The interval is symmetric and normal. With one cluster the error is infinite. A ratio of -inf (something of
    probability zero was seen) is so whatever else is drawn: both ends are it, and the error is infinite.

    Args:
        totals, sizes: [n]. confidence: of the interval, in (0, 1).
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence must lie in (0, 1); got {confidence}.")
    totals, sizes = np.asarray(totals, np.float64), np.asarray(sizes, np.float64)
    ratio, count = float(totals.sum() / sizes.sum()), len(totals)
    if not math.isfinite(ratio):
        return ratio, math.inf, (ratio, ratio)
    error = math.inf
    if count > 1:
        rest = totals - ratio * sizes
        error = math.sqrt(count / (count - 1) * float(rest @ rest)) / float(sizes.sum())
    width = float(norm.ppf(0.5 + confidence / 2)) * error
    return ratio, error, (ratio - width, ratio + width)


def _scores(scores) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1 or len(scores) == 0:
        raise InputError(f"scores must be a list of at least one number; got shape {scores.shape}.")
    return scores


def _ends(samples) -> tuple[float, float]:
    lower, upper = np.quantile(samples, [0.025, 0.975])
    return float(lower), float(upper)
