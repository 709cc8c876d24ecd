"""Elimination side by side gives what dense inverses give, lane by lane, and accepts M-matrices only."""

import numpy as np
import pytest

from maxentrl.infer.side_by_side import eliminate, plan, solve

SIZE, LANES = 40, 5


def some_matrices(seed):
    """A sparse M >= 0 with loops at states, arcs given twice and states that nothing leaves; and diagonals."""
    rng = np.random.default_rng(seed)
    leaves, enters = rng.integers(0, SIZE - 3, 110), rng.integers(0, SIZE, 110)
    leaves, enters = np.append(leaves, leaves[:4]), np.append(enters, enters[:4])
    weight = rng.uniform(0.05, 0.4, len(leaves))
    matrix = np.zeros((SIZE, SIZE))
    np.add.at(matrix, (leaves, enters), weight)
    return leaves, enters, weight, matrix, rng.uniform(0.9, 1.5, (SIZE, LANES)), rng


def test_each_lane_solves_its_own_matrix_and_its_transpose():
    for seed in range(10):
        leaves, enters, weight, matrix, diagonal, rng = some_matrices(seed)
        diagonal += matrix.sum(1)[:, None]
        found = eliminate(plan(SIZE, leaves, enters), weight, diagonal)
        assert found is not None
        right = rng.uniform(-1, 1, (SIZE, LANES))
        ahead, behind = solve(found, right), solve(found, right, transposed=True)
        for i in range(LANES):
            dense = np.diag(diagonal[:, i]) - matrix
            # Rounding: the matrices dominate their diagonals, with condition numbers below 100.
            np.testing.assert_allclose(ahead[:, i], np.linalg.solve(dense, right[:, i]), atol=1e-13)
            np.testing.assert_allclose(behind[:, i], np.linalg.solve(dense.T, right[:, i]), atol=1e-13)


def test_matrices_are_accepted_exactly_when_every_spectral_radius_is_below_one():
    accepted = 0
    for seed in range(100):
        leaves, enters, weight, matrix, diagonal, rng = some_matrices(seed)
        weight = weight * rng.uniform(0.5, 3)
        matrix *= weight[0] / some_matrices(seed)[2][0]
        radius = max(np.abs(np.linalg.eigvals(matrix / diagonal[:, [i]])).max() for i in range(LANES))
        found = eliminate(plan(SIZE, leaves, enters), weight, diagonal)
        assert (found is not None) == (radius < 1)
        accepted += found is not None
    assert 20 < accepted < 80


def test_entries_far_below_the_largest_keep_all_their_digits():
    """A road of 60 links, each worth 1e-5, with no other way: 1e-295 at its far end, to rounding."""
    at = np.arange(60)
    found = eliminate(plan(61, at, at + 1), np.full(60, 1e-5), np.ones((61, 1)))
    assert found is not None
    right = np.zeros((61, 1))
    right[-1] = 1
    expected = 1e-5 ** np.arange(60, -1, -1.0)
    # One rounding per product.
    assert solve(found, right)[:, 0] == pytest.approx(expected, rel=61 * np.finfo(float).eps, abs=0)
