"""The search finds maxima, stays where the objective exists, and says when it did not arrive."""

import numpy as np
import pytest

from maxentrl.irl.newton import maximise


def quadratic(curvature, top):
    def value(w):
        return -0.5 * float((w - top) @ curvature @ (w - top)), None

    return value, lambda w, _: (-curvature @ (w - top), curvature)


def test_a_quadratic_takes_one_step():
    value, slopes = quadratic(np.diag([2.0, 1e-4]), np.array([1.0, 2.0]))
    found = maximise(value, slopes, np.zeros(2), np.ones(2), 5)
    assert found.converged and found.verdict == "converged in 1 Newton step."
    np.testing.assert_allclose(found.argument, [1, 2], rtol=1e-9)


def test_a_flat_direction_is_left_where_it_was():
    value, slopes = quadratic(np.diag([2.0, 0.0]), np.array([1.0, 0.0]))
    found = maximise(value, slopes, np.array([0.0, 7.0]), np.ones(2), 5)
    np.testing.assert_allclose(found.argument, [1, 7], rtol=1e-9)


def test_a_step_out_of_the_domain_is_halved():
    """log(w) - w from 10: Newton's step leads to -80."""

    def value(w):
        return (float(np.log(w[0]) - w[0]) if w[0] > 0 else -np.inf), None

    found = maximise(value, lambda w, _: (1 / w - 1, np.diag(w**-2)), np.array([10.0]), np.ones(1), 50)
    assert found.converged
    np.testing.assert_allclose(found.argument, [1], rtol=1e-9)


def test_where_the_objective_is_not_concave_the_search_still_climbs():
    """cos(w) from 3, where it is convex."""
    found = maximise(
        lambda w: (float(np.cos(w[0])), None),
        lambda w, _: (-np.sin(w), np.diag(np.cos(w))),
        np.array([3.0]),
        np.ones(1),
        50,
    )
    np.testing.assert_allclose(np.cos(found.argument), 1, atol=1e-12)


def test_a_minimum_and_a_saddle_are_left_for_a_maximum():
    """cos(w) from its minimum at 0 less itself; x^2 - x^4 - y^2 from its saddle at 0, whose maxima are x = +-1/sqrt(2)."""
    bottom = maximise(
        lambda w: (float(-np.cos(w[0])), None),
        lambda w, _: (np.sin(w), np.diag(-np.cos(w))),
        np.zeros(1),
        np.ones(1),
        50,
    )
    np.testing.assert_allclose(np.cos(bottom.argument), -1, atol=1e-12)
    saddle = maximise(
        lambda w: (float(w[0] ** 2 - w[0] ** 4 - w[1] ** 2), None),
        lambda w, _: (
            np.array([2 * w[0] - 4 * w[0] ** 3, -2 * w[1]]),
            np.diag([12 * w[0] ** 2 - 2, 2.0]),
        ),
        np.zeros(2),
        np.ones(2),
        50,
    )
    assert bottom.converged and saddle.converged
    np.testing.assert_allclose(np.abs(saddle.argument), [0.5**0.5, 0], atol=1e-9)


def test_a_minimum_is_not_called_converged_when_no_step_is_left():
    found = maximise(
        lambda w: (float(-np.cos(w[0])), None),
        lambda w, _: (np.sin(w), np.diag(-np.cos(w))),
        np.zeros(1),
        np.ones(1),
        0,
    )
    assert not found.converged and found.verdict.startswith("not converged: 0 Newton steps were taken")


def test_a_search_that_is_stopped_keeps_the_last_step_it_took():
    """Newton's method for 2 cosh w from 3, which takes steps of about 1 at first; stopped at its third slope."""
    calls = []

    def slopes(w, _):
        calls.append(w)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return -2 * np.sinh(w), np.diag(2 * np.cosh(w))

    found = maximise(lambda w: (-2 * float(np.cosh(w[0])), w), slopes, np.array([3.0]), np.ones(1), 50)
    assert found.interrupted and not found.converged
    assert found.verdict.startswith("interrupted after 2 Newton steps: the best weights so far are kept")
    first = 3 - np.tanh(3.0)
    # tanh twice, in float64.
    np.testing.assert_allclose(found.argument, first - np.tanh(first), rtol=1e-12)
    np.testing.assert_array_equal(found.memo, found.argument)


def test_a_search_that_is_stopped_before_it_knows_anything_is_interrupted_for_its_caller_too():
    def value(w):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        maximise(value, lambda w, _: (w, np.eye(1)), np.zeros(1), np.ones(1), 5)


def test_running_out_of_steps_is_said():
    value, slopes = quadratic(np.eye(1), np.array([1.0]))
    found = maximise(value, slopes, np.zeros(1), np.ones(1), 0)
    assert not found.converged and found.verdict.startswith("not converged: 0 Newton steps were taken")


def test_a_gradient_that_contradicts_the_objective_ends_the_search():
    value, _ = quadratic(np.eye(1), np.array([1.0]))
    found = maximise(value, lambda w, _: (w - 1, np.eye(1)), np.zeros(1), np.ones(1), 5)
    assert not found.converged and "no step uphill was found" in found.verdict
    # Halving ends at rounding.
    np.testing.assert_allclose(found.argument, [0], atol=1e-15)
