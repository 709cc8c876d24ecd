"""Predicted flows against observed ones."""

import numpy as np
import pytest

from maxentrl import InputError
from maxentrl.assess import compare_flows


def test_counts_that_are_poisson_have_normal_differences_and_a_uniform_p_value():
    rng = np.random.default_rng(0)
    expected = rng.uniform(20, 200, size=40)
    found = [compare_flows(rng.poisson(expected), expected) for _ in range(400)]
    z = np.concatenate([x.standardised for x in found])
    # Mean 0 and variance 1 within five standard errors of 16,000 values.
    assert abs(z.mean()) < 5 / np.sqrt(z.size) and abs(z.var() - 1) < 5 * np.sqrt(2 / z.size)
    p = np.array([x.p_value for x in found])
    assert abs(np.mean(p < 0.1) - 0.1) < 5 * np.sqrt(0.1 * 0.9 / 400)
    assert found[0].degrees == 40 and found[0].correlation > 0.9


def test_the_sum_of_squares_is_pearson_s_with_the_small_cells_pooled():
    found = compare_flows([[12.0, 3.0], [0.0, 4.0]], [[10.0, 2.0], [0.0, 3.0]], fitted=1)
    assert found.chi_square == pytest.approx(4 / 10 + (7 - 5) ** 2 / 5)
    assert found.degrees == 1 and found.observed.tolist() == [12, 3, 0, 4]
    np.testing.assert_allclose(found.standardised, [2 / np.sqrt(10), 1 / np.sqrt(2), 0, 1 / np.sqrt(3)])
    assert found.share_misplaced == pytest.approx(4 / 2 / 19)
    assert found.largest(2).tolist() == [1, 0]
    assert "not Poisson" in found.caveat


def test_journeys_that_share_their_paths_are_less_surprising_one_by_one_than_cell_by_cell():
    # Each journey visits a cell five times or never: counts vary five times as much as independent visits.
    rng = np.random.default_rng(1)
    journeys = 5.0 * (rng.random((400, 6)) < 0.3)
    expected = np.full(6, 400 * 1.5 + 7)
    by_journey, by_cell = compare_flows(journeys, expected), compare_flows(journeys.sum(0), expected)
    ratio = by_cell.standardised / by_journey.standardised
    # Variance 25 * 0.3 * 0.7 against a mean of 1.5; the sample variance of 400 within five standard errors.
    np.testing.assert_allclose(ratio, np.sqrt(25 * 0.21 / 1.5), rtol=0.25)
    np.testing.assert_array_equal(by_journey.observed, by_cell.observed)
    given = compare_flows(journeys.sum(0), expected, variance=expected * 25 * 0.21 / 1.5)
    np.testing.assert_allclose(given.standardised * np.sqrt(25 * 0.21 / 1.5), by_cell.standardised)


def test_a_cell_on_which_all_journeys_agree_is_measured_by_the_model_s_own_deviation():
    rng = np.random.default_rng(2)
    # Start and goal are visited by all fifty, though the model lets some journeys fail; nobody visits the fourth.
    journeys = np.column_stack([np.ones(50), rng.random(50) < 0.5, np.full(50, 2.0), np.zeros((50, 2))])
    found = compare_flows(journeys, [49.9, 10.0, 99.0, 0.5, 0.0])
    # A mean of 1.98 in whole numbers: 2 visits in 98 of 100 cases and 1 in the others, at least.
    model = np.sqrt(50 * np.array([0.998 * 0.002, 0.98 * 0.02, 0.01 * 0.99]))
    np.testing.assert_allclose(found.standardised[[0, 2, 3]], [0.1 / model[0], 1 / model[1], -0.5 / model[2]])
    assert found.largest(1).tolist() == [1] and found.standardised[4] == 0
    certain = compare_flows(np.ones((50, 2)), [50.0, 0.0])
    assert certain.standardised.tolist() == [0, np.inf]


def test_a_visit_where_none_can_be_is_infinitely_surprising():
    found = compare_flows([10.0, 1.0], [10.0, 0.0])
    assert found.standardised.tolist() == [0, np.inf] and found.chi_square == np.inf and found.p_value == 0


def test_with_nothing_left_to_test_there_is_no_p_value():
    found = compare_flows([10.0, 10.0], [10.0, 10.0], fitted=2)
    assert found.degrees == 0 and np.isnan(found.p_value) and np.isnan(found.correlation)
    assert found.share_misplaced == 0


def test_bad_input_is_one_sentence():
    with pytest.raises(InputError, match=r"observed must have the shape of expected, \(2,\)"):
        compare_flows([1.0], [1.0, 2.0])
    with pytest.raises(InputError, match="expected must hold visits, numbers of at least 0"):
        compare_flows([1.0], [-1.0])
    with pytest.raises(InputError, match="at least 2 of them; got 1"):
        compare_flows([[1.0, 2.0]], [1.0, 2.0])
    with pytest.raises(InputError, match="observed holds no visits"):
        compare_flows([0.0], [1.0])
    with pytest.raises(InputError, match="variance must hold one number"):
        compare_flows([1.0], [1.0], variance=[-1.0])
