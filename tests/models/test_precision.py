"""A problem in float64, whatever format it was given in."""

import numpy as np
import pytest

from maxentrl.models.precision import problem_in_float64
from problems import as_mdp, random_problem

S, A = 30, 3


def narrow(sparse):
    problem = random_problem(np.random.default_rng(0), S, A, 1, terminal=True)
    return as_mdp(problem, sparse=sparse), as_mdp(problem, sparse=sparse, dtype="float32")


@pytest.mark.parametrize("sparse", [False, True])
def test_rows_of_float32_sum_to_one_in_float64(sparse):
    wide, single = narrow(sparse)
    found = problem_in_float64(single)
    assert {x.dtype.name for x in (found.transition.probability, found.reward, found.log_prior)} == {
        "float64"
    }
    total = found.transition_matrix().sum(-1)
    live = ~np.asarray(found.terminal)
    # Rounding of a sum of S numbers.
    np.testing.assert_allclose(total[live], 1, atol=S * np.finfo(float).eps)
    assert not total[~live].any()
    np.testing.assert_allclose(found.initial.sum(), 1, atol=S * np.finfo(float).eps)
    np.testing.assert_allclose(
        found.transition_matrix(), wide.transition_matrix(), atol=2 * np.finfo(np.float32).eps
    )
    # An order of arrival would keep the old rows.
    if sparse:
        turned = problem_in_float64(single.with_arrivals())
        assert np.array_equal(turned.transition_matrix(), found.transition_matrix())


def test_a_problem_in_float64_is_left_as_it_is():
    wide, _ = narrow(False)
    assert problem_in_float64(wide).transition.probability is wide.transition.probability
