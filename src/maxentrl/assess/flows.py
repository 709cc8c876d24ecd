"""Predicted flows against observed ones: where a model sends people, and where they went."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.stats import chi2

from maxentrl.core.check import InputError

FEW = 5.0
"""Expected visits below which a cell is pooled: its standardised difference is far from normal."""

CAVEAT = (
    "The visits of one journey depend on each other, so counts are not Poisson: paths that are walked together make the sum "
    "of squares larger than chance alone would, places that a journey visits at most once make it smaller. Read it to "
    "compare models on the same journeys and to find the cells that are off; the p-value is a rough guide, and on the "
    "journeys that the weights were fitted to it is too kind."
)


@dataclasses.dataclass(frozen=True, eq=False)
class FlowComparison:
    """Observed and predicted visits, cell by cell, and in sum.

    observed, expected: [C] visits. standardised: [C], (observed - expected) / standard deviation; 0 for a cell that
        neither expects nor sees anything.
    chi_square: sum of (observed - expected)^2 / expected over the cells that expect at least 5 visits and one cell that
        pools the rest. degrees: those cells, less the weights that were fitted. p_value: of the chi-square distribution.
    correlation: between observed and expected. share_misplaced: half the sum of |observed - expected| over the visits
        observed: how much of the traffic would have to be moved.
    caveat: what the sum of squares cannot say.
    """

    observed: np.ndarray
    expected: np.ndarray
    standardised: np.ndarray
    chi_square: float
    degrees: int
    p_value: float
    correlation: float
    share_misplaced: float
    caveat: str = CAVEAT

    def largest(self, count: int = 10) -> np.ndarray:
        """The cells that are most off, in standard deviations, largest first."""
        return np.argsort(-np.abs(self.standardised), kind="stable")[:count]


def compare_flows(observed, expected, *, variance=None, fitted: int = 0) -> FlowComparison:
    """Compare observed visits with predicted ones.

    Args:
        observed: visits of each cell (state, arc or choice), in any shape; or [N, C] for N journeys one by one when
            `expected` is [C]: the deviation is then the one between journeys, which makes no assumption on how visits of
            one journey hang together. Where all journeys agree it is the least that whole numbers with the expected
            mean can have: the binomial one in a cell that a journey visits at most once.
        expected: predicted visits of each cell over all journeys, in the shape of the cells: for instance the number of
            journeys times `expected_flows(...).actions`, with the journeys' own starts as the start distribution.
        variance: of the counts, in the same shape; the expected counts (Poisson) unless given, or found from journeys.
        fitted: weights that were estimated from these same visits.

    Raises:
        InputError: for shapes that do not fit, or numbers that are negative or not finite.
    """
    predicted = np.asarray(expected, np.float64)
    table = np.asarray(observed, np.float64)
    by_journey = table.ndim == 2 and predicted.ndim == 1 and table.shape[1] == len(predicted)
    if table.shape != predicted.shape and not by_journey:
        raise InputError(
            f"observed must have the shape of expected, {predicted.shape}, or one such row for each journey; "
            f"got {table.shape}."
        )
    for name, values in (("observed", table), ("expected", predicted)):
        if not (np.isfinite(values) & (values >= 0)).all():
            raise InputError(f"{name} must hold visits, numbers of at least 0.")
    if by_journey and len(table) < 2:
        raise InputError("a deviation between journeys needs at least 2 of them; got 1.")
    seen = (table.sum(0) if by_journey else table).ravel()
    predicted = predicted.ravel()
    if variance is not None:
        spread = np.asarray(variance, np.float64).ravel()
        if spread.shape != seen.shape or not (np.isfinite(spread) & (spread >= 0)).all():
            raise InputError("variance must hold one number of at least 0 for each cell.")
    elif by_journey:
        part = np.modf(predicted / len(table))[0]
        spread = len(table) * np.where(np.ptp(table, 0) > 0, table.var(0, ddof=1), part * (1 - part))
    else:
        spread = predicted
    if seen.sum() == 0:
        raise InputError("observed holds no visits; there is nothing to compare.")
    gap = seen - predicted
    # A cell that no journey, or every journey, visits for certain: any other number is infinitely far off.
    standardised = np.where(
        spread > 0, gap / np.sqrt(np.where(spread > 0, spread, 1.0)), np.copysign(np.inf, gap)
    )
    standardised = np.where(np.abs(gap) <= 1e-12 * np.maximum(predicted, seen), 0.0, standardised)
    large = predicted >= FEW
    squares = float(np.sum(gap[large] ** 2 / predicted[large]))
    cells = int(large.sum())
    rest = float(predicted[~large].sum())
    if rest > 0:
        squares, cells = squares + float(gap[~large].sum()) ** 2 / rest, cells + 1
    elif seen[~large].any():
        squares = np.inf
    degrees = max(cells - fitted, 0)
    varied = np.ptp(seen) > 0 and np.ptp(predicted) > 0
    return FlowComparison(
        observed=seen,
        expected=predicted,
        standardised=standardised,
        chi_square=squares,
        degrees=degrees,
        p_value=float(chi2.sf(squares, degrees)) if degrees else float("nan"),
        correlation=float(np.corrcoef(seen, predicted)[0, 1]) if varied else float("nan"),
        share_misplaced=float(np.abs(gap).sum() / 2 / seen.sum()),
    )
