"""The middle of scores and how sure it is, against SciPy and against what is known exactly."""

import numpy as np
import pytest
import scipy.stats

from maxentrl.core.check import InputError
from maxentrl.core.statistics import (
    curve_with_interval,
    interquartile_mean,
    probability_of_improvement,
    with_interval,
)

SCORES = np.random.default_rng(0).normal(size=(6, 32))


def test_a_score_that_is_no_number_is_not_trimmed_away_as_the_best():
    assert np.isnan(interquartile_mean([1.0, 2.0, 3.0, np.nan]))
    np.testing.assert_array_equal(interquartile_mean([[1.0, np.nan], [1.0, 3.0]]), [np.nan, 2.0])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 10, 32])
def test_the_interquartile_mean_is_the_mean_trimmed_by_a_quarter_on_both_sides(count):
    scores = SCORES[:, :count]
    # Two sums of the same at most 32 numbers of size up to 3, perhaps in another order.
    np.testing.assert_allclose(
        interquartile_mean(scores), scipy.stats.trim_mean(scores, 0.25, axis=1), rtol=0, atol=1e-14
    )


def test_the_interval_is_a_percentile_bootstrap_over_scores():
    found = with_interval(SCORES[0])
    theirs = scipy.stats.bootstrap(
        (SCORES[0],), lambda x, axis: scipy.stats.trim_mean(x, 0.25, axis=axis), method="percentile", n_resamples=4000,
        rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    # The 2.5 % point of 2000 samples has a standard error of about sqrt(0.025 * 0.975 / 2000) / density = 0.06 sigma.
    spread = (theirs.high - theirs.low) / 3.92
    np.testing.assert_allclose([found.lower, found.upper], [theirs.low, theirs.high], atol=4 * 0.06 * spread)
    assert with_interval(SCORES[0]) == found


def test_a_single_run_has_no_interval():
    assert np.isnan(with_interval([3.0])[1:]).all() and with_interval([3.0]).value == 3.0
    curve = curve_with_interval(SCORES[:, :1])
    np.testing.assert_array_equal(curve[0], SCORES[:, 0])
    assert np.isnan(curve[1:]).all()
    assert np.isnan(probability_of_improvement([1.0], [0.0, 2.0]).lower)


def test_a_curve_has_at_each_time_the_interval_of_its_scores():
    curve = curve_with_interval(SCORES)
    for row, column in zip(SCORES, curve.T, strict=True):
        np.testing.assert_allclose(column, with_interval(row), rtol=0, atol=1e-14)


def test_the_probability_of_improvement_is_the_share_of_pairs_and_that_of_the_rank_sum_test():
    x, y = SCORES[0, :9], SCORES[1, :14] + 0.3
    pairs = [(a > b) + 0.5 * (a == b) for a in x for b in y]
    found = probability_of_improvement(x, y)
    assert found.value == pytest.approx(np.mean(pairs), rel=1e-15)
    assert found.value == pytest.approx(scipy.stats.mannwhitneyu(x, y).statistic / (9 * 14), rel=1e-15)
    assert found.lower <= found.value <= found.upper
    other = probability_of_improvement(y, x)
    assert found.value + other.value == pytest.approx(1.0, rel=1e-15)
    assert probability_of_improvement([1, 1], [1, 1]) == (0.5, 0.5, 0.5)
    assert probability_of_improvement([2, 3], [0, 1]) == (1.0, 1.0, 1.0)


def test_scores_that_are_none_are_refused():
    for scores in ([], [[1.0]]):
        with pytest.raises(InputError, match="scores must be a list of at least one number"):
            with_interval(scores)
    with pytest.raises(InputError, match="at least one score"):
        interquartile_mean([])
