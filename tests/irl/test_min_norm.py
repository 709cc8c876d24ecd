"""Small quadratic programs are solved exactly: their optimality conditions hold, and others agree."""

import numpy as np
import pytest
from scipy.optimize import minimize, nnls

from maxentrl import InfeasibleError, InputError
from maxentrl.irl.min_norm import minimise, nearest_in_hull, project


def nearest_by_least_squares(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The nearest mixture by another theorem: min |P'x|^2 + (sum x - 1)^2 over x >= 0 has the same direction."""
    away = points - target
    scale = np.abs(away).max()
    x, _ = nnls(np.vstack([away.T / scale, np.ones(len(points))]), np.append(np.zeros(len(target)), 1.0))
    return x / x.sum()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("count", "size"), [(1, 3), (2, 1), (5, 3), (30, 4), (12, 12), (40, 20)])
def test_the_nearest_mixture_is_that_of_another_algorithm_and_meets_its_conditions(seed, count, size):
    rng = np.random.default_rng(seed)
    points, target = rng.normal(size=(count, size)) + 0.5, 0.3 * rng.normal(size=size)
    weights = nearest_in_hull(points, target)
    assert (weights >= 0).all() and weights.sum() == pytest.approx(1, abs=1e-12)
    rest = target - weights @ points
    other = nearest_by_least_squares(points, target)
    # Distances, not squares, agree to rounding of the data.
    assert np.linalg.norm(rest) == pytest.approx(np.linalg.norm(target - other @ points), abs=1e-9)
    # No vertex lies further along the residual than the mixture itself (the variational inequality).
    assert (points @ rest <= weights @ points @ rest + 1e-10).all()
    used = weights > 0
    np.testing.assert_allclose(points[used] @ rest, weights @ points @ rest, atol=1e-10)


def test_copies_and_points_on_one_line_do_no_harm():
    line = np.outer(np.arange(6.0), [1.0, 2.0])
    points = np.concatenate([line, line, line[:1]])
    weights = nearest_in_hull(points, np.array([3.0, 4.0]))
    # The foot of the perpendicular on the line through (1, 2) is 11/5 of it.
    np.testing.assert_allclose(weights @ points, 11 / 5 * np.array([1.0, 2.0]), atol=1e-12)


def test_a_target_inside_the_hull_is_reached():
    points = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
    np.testing.assert_allclose(nearest_in_hull(points, np.array([0.7, 1.1])) @ points, [0.7, 1.1], atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_several_simplices_with_a_linear_term_agree_with_a_general_solver(seed):
    rng = np.random.default_rng(seed)
    rows, linear = rng.normal(size=(12, 3)), rng.normal(size=12)
    groups, totals = np.repeat([0, 1, 2, -1], 3), np.array([1.0, 0.5, 2.0])
    linear[9:] -= 3  # entries without a group stay bounded
    rows = np.concatenate([rows, np.eye(12)[:, 9:]], 1)
    found = minimise(rows, linear, groups, totals)

    def objective(x):
        return 0.5 * np.sum((x @ rows) ** 2) - linear @ x

    other = minimize(
        objective,
        np.append(np.repeat(totals / 3, 3), np.zeros(3)),
        jac=lambda x: rows @ (x @ rows) - linear,
        bounds=[(0, None)] * 12,
        constraints=[
            {"type": "eq", "fun": lambda x, g=g: x[groups == g].sum() - totals[g]} for g in range(3)
        ],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    # Never above the other's answer but by its own tolerance; the proven gap is rounding.
    assert objective(found.x) <= other.fun + 1e-9 and other.fun - objective(found.x) < 1e-6
    assert abs(found.gap) < 1e-11
    np.testing.assert_allclose([found.x[groups == g].sum() for g in range(3)], totals, atol=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_a_projection_is_feasible_and_its_multipliers_have_one_sign(seed):
    rng = np.random.default_rng(seed)
    normals, point = rng.normal(size=(40, 4)), 3 * rng.normal(size=4)
    limits = rng.uniform(0.1, 1, 40)
    x = project(point, normals, limits)
    slack = limits - normals @ x
    assert slack.min() > -1e-10
    # What was moved is a combination, with coefficients of at least 0, of the rows that hold exactly.
    tight = slack < 1e-9
    _, left = nnls(normals[tight].T, point - x)
    assert left < 1e-9


def test_a_point_that_is_allowed_stays():
    point = np.array([0.2, -0.1])
    np.testing.assert_array_equal(project(point, np.eye(2), np.ones(2)), point)


def test_contradictory_limits_are_refused():
    with pytest.raises(InfeasibleError, match="no minimum: its objective falls for ever"):
        project(np.zeros(1), np.array([[1.0], [-1.0]]), np.array([-1.0, -1.0]))


def test_points_and_target_of_different_lengths_are_refused():
    with pytest.raises(InputError, match=r"points must be \[J, K\]"):
        nearest_in_hull(np.zeros((2, 3)), np.zeros(2))
