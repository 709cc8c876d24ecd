"""The record of an estimate: its numbers, its covariances, its sentences."""

import json

import numpy as np
import pytest

from maxentrl import InputError
from maxentrl.irl.estimate import (
    Estimate,
    covariances,
    explain_direction,
    explain_directions,
    null_directions,
)

ALL = np.ones((4, 2), bool)


def estimate(**changes) -> Estimate:
    fields = {
        "method": "maximum causal entropy, discount 0.9, temperature 1, likelihood",
        "names": ("time", "turn"),
        "weights": np.array([-2.0, 0.5]),
        "reward": np.zeros((4, 2)),
        "log_likelihood": -100.0,
        "log_likelihood_uniform": -150.0,
        "gradient_norm": 1e-12,
        "converged": True,
        "verdict": "converged in 4 Newton steps.",
        "covariances": {"hessian": np.diag([0.25, np.inf])},
        "kind": "hessian",
        "trajectories": 10,
        "steps": 200,
        "settings": {"discount": 0.9},
        "warnings": ("the weight of turn is not identified.",),
    }
    return Estimate(**(fields | changes))


def test_derived_numbers_follow_their_definitions():
    found = estimate()
    assert found.named == {"time": -2.0, "turn": 0.5}
    assert found.standard_errors.tolist() == [0.5, np.inf] and found.t_values.tolist() == [-4.0, 0.0]
    assert found.aic == 204.0
    np.testing.assert_allclose(found.bic, 2 * np.log(200) + 200, rtol=1e-15)


def test_a_kind_of_error_that_is_not_known_is_refused():
    with pytest.raises(InputError, match="kind must be one of hessian; got 'sandwich'"):
        estimate().standard_errors_of("sandwich")


def test_the_summary_holds_names_numbers_and_warnings():
    text = estimate().summary()
    for part in ("time", "-2", "0.5", "-4.00", "inf", "10 trajectories", "200 decisions", "inverse Hessian"):
        assert part in text
    assert text.endswith("warning: the weight of turn is not identified.")


def test_the_dictionary_is_json_and_holds_no_infinity():
    kept = json.loads(json.dumps(estimate().to_dict(), allow_nan=False))
    assert kept["standard_errors"] == {"hessian": [0.5, None]}
    assert kept["weights"] == {"time": -2.0, "turn": 0.5}
    kept = json.loads(json.dumps(estimate(log_likelihood=-np.inf).to_dict(), allow_nan=False))
    assert kept["log_likelihood"] is None and kept["aic"] is None and kept["bic"] is None


def test_the_three_covariances_agree_where_information_equals_the_outer_product_of_scores():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(50, 3))
    found = covariances(scores.T @ scores, scores, np.arange(50), np.ones(3))
    for kind in ("outer", "sandwich"):
        np.testing.assert_allclose(found[kind], found["hessian"], rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(found["hessian"], np.linalg.inv(scores.T @ scores), rtol=1e-9, atol=1e-15)


def test_scores_of_one_cluster_are_summed_before_they_are_squared():
    rng = np.random.default_rng(1)
    scores, clusters = rng.normal(size=(40, 2)), np.arange(40) % 10
    summed = scores.reshape(4, 10, 2).sum(0)
    found = covariances(np.eye(2), scores, clusters, np.ones(2))
    np.testing.assert_allclose(found["sandwich"], summed.T @ summed, rtol=1e-9)


def test_a_direction_without_information_takes_its_features_with_it_and_leaves_the_others():
    axes = np.array([[1, 1, 0], [1, -1, 0], [0, 0, np.sqrt(2)]]) / np.sqrt(2)
    found = covariances(axes.T @ np.diag([4.0, 0, 1]) @ axes, None, None, np.ones(3))["hessian"]
    assert np.isinf(found[0, 0]) and np.isinf(found[1, 1])
    np.testing.assert_allclose(found[2, 2], 1, rtol=1e-12)


def test_null_directions_are_given_in_as_few_features_as_can_be():
    """a = b in information, and c has none: two directions, not two mixtures of them."""
    fisher = np.zeros((4, 4))
    fisher[:2, :2] = [[1, 1], [1, 1]]
    fisher[3, 3] = 1
    found = null_directions(fisher, np.ones(4))
    rows = sorted(np.round(np.abs(found), 9).tolist())
    assert rows == [[0, 0, 1, 0], [1, 1, 0, 0]]
    assert len(null_directions(np.eye(3), np.ones(3))) == 0
    assert len(null_directions(np.zeros((2, 2)), np.ones(2))) == 2


@pytest.mark.parametrize(
    ("direction", "table", "sentence"),
    [
        ([1.0, 0.0], np.zeros((4, 2, 2)), "the weight of a is not identified: it is zero for every choice"),
        (
            [1.0, 0.0],
            np.ones((4, 2, 2)),
            "the weight of a is not identified: it is the same for every choice",
        ),
        ([1.0, -0.5], np.arange(8).reshape(4, 2, 1) * [1, 2], "a - 0.5 b of the weights .* collinear"),
        (
            [1.0, 1.0],
            np.arange(16).reshape(4, 2, 2),
            r"the direction a \+ b of the weights .* change no policy",
        ),
    ],
)
def test_the_reason_for_a_null_direction_is_given(direction, table, sentence):
    with pytest.raises(ValueError, match=sentence):
        raise ValueError(explain_direction(np.array(direction), ("a", "b"), table, ALL))


def test_many_directions_are_counted_and_the_plainest_are_listed():
    names = tuple("abcdefghi")
    sentences = explain_directions(np.eye(9)[::-1], names, np.zeros((4, 2, 9)), ALL)
    assert len(sentences) == 4 and sentences[-1].startswith(
        "9 directions of the 9 weights are not identified"
    )
    wide = explain_directions(np.ones((1, 9)), names, np.zeros((4, 2, 9)), ALL)
    assert "a + b + c + d + e + f + ... (9 features)" in wide[0]
