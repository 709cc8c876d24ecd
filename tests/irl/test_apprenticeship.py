"""Mixtures of policies match the expert: margins shrink, the geometry is right, and what is out of reach is said."""

import itertools
from typing import Any

import numpy as np
import pytest

from irl.worlds import A, K, S, demonstrate, flow, key, policy, world
from maxentrl import InputError
from maxentrl.data import trajectories_from_arrays
from maxentrl.envs import gridworld
from maxentrl.irl import apprenticeship as ap
from maxentrl.irl.best_response import best_response
from maxentrl.irl.min_norm import nearest_in_hull

TRUE = np.array([0.5, -0.3, 0.8])
CLOCKS: dict[str, dict[str, Any]] = {
    "discounted": {"discount": 0.9},
    "finite": {"horizon": 8},
    "both": {"discount": 0.9, "horizon": 8},
}
MDP, FEATURES = world(3)


def macrocells(size: int, cells: int) -> tuple:
    """A grid of size x size fields under 30 % noise, one feature for each of cells x cells squares."""
    mdp = gridworld("\n".join(["." * size] * size), goals={}, slip=0.3, step_reward=0.0)
    column, row = np.asarray(mdp.coordinates).astype(int).T
    return mdp, np.eye(cells**2)[row * cells // size * cells + column * cells // size]


def sparse_reward(rng: np.random.Generator, count: int) -> np.ndarray:
    weights = rng.uniform(size=count) * (rng.uniform(size=count) < 0.1)
    weights[int(rng.integers(count))] += 0.1
    return weights / weights.sum()


def features_of(visits: np.ndarray, features: np.ndarray) -> np.ndarray:
    """[K], summed over states, actions and, where there are any, times."""
    return np.einsum("tsa,sak->k", visits.reshape(-1, *features.shape[:2]), features)


def expert(mdp, features, weights, clock: dict) -> np.ndarray:
    """Feature expectations of a policy that is best for the weights."""
    table = features if features.ndim == 3 else np.repeat(features[:, None], mdp.actions, 1)
    clock = {"discount": 1.0, "horizon": None} | clock
    return features_of(best_response(mdp, table @ weights, tolerance=1e-6, **clock).visits, table)


def many_minded(clock: dict) -> np.ndarray:
    """Feature expectations of an expert who wants something else in each episode: no single policy matches them."""
    wishes = np.random.default_rng(2).normal(size=(8, K))
    return np.mean([expert(MDP, FEATURES, one, clock) for one in wishes], 0)


def every_policy(mdp, features, discount: float) -> np.ndarray:
    """Feature expectations [A^S, K] of all deterministic stationary policies."""
    chosen = itertools.product(range(A), repeat=S)
    return np.array(
        [
            np.einsum(
                "sa,sak->k", flow(mdp, np.eye(A)[list(one)], np.asarray(mdp.initial), discount), features
            )
            for one in chosen
        ]
    )


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("method", ["max-margin", "projection"])
def test_margins_never_grow_and_the_expert_is_matched(clock, method):
    mu = expert(MDP, FEATURES, TRUE, CLOCKS[clock])
    found = ap.fit(MDP, FEATURES, mu, method=method, start=-TRUE, **CLOCKS[clock])
    assert found.converged and "matches the expert" in found.verdict and not found.warnings
    assert (np.diff(found.margins) <= 1e-12).all()
    # The answer is the nearest mixture of all policies, which the points of the projection method need not be.
    nearest = nearest_in_hull(found.expectations, mu) @ found.expectations
    assert found.margin == pytest.approx(np.linalg.norm(nearest - mu), abs=1e-12)
    assert found.margin <= found.margins[-1] + 1e-12
    assert found.margin <= found.tolerance and found.best_margin >= found.margin - 1e-12
    assert (found.mixture >= 0).all() and found.mixture.sum() == pytest.approx(1, abs=1e-12)


def test_the_margin_is_that_of_the_quadratic_program_and_its_weights_attain_it():
    mu = many_minded(CLOCKS["discounted"])
    found = ap.fit(MDP, FEATURES, mu, start=-TRUE, discount=0.9, tolerance=1e-9)
    assert len(found.margins) >= 3
    for i in range(1, len(found.margins)):
        # max over |w| <= 1 of min over the policies so far of w . (mu_E - mu_j) is what w attains: the margin.
        ahead = found.weights[i] @ (mu - found.expectations[:i]).T
        assert np.linalg.norm(found.weights[i]) == pytest.approx(1)
        assert ahead.min() == pytest.approx(found.margins[i - 1], rel=1e-7)
        held = nearest_in_hull(found.expectations[:i], mu) > 0
        np.testing.assert_allclose(ahead[held], found.margins[i - 1], rtol=1e-6)


def test_the_projection_method_answers_with_the_nearest_mixture_which_is_never_further_than_its_own_points():
    mu = many_minded(CLOCKS["discounted"])
    found = ap.fit(MDP, FEATURES, mu, method="projection", start=-TRUE, discount=0.9, tolerance=1e-6)
    for i, margin in enumerate(found.margins, 1):
        points = found.expectations[:i]
        assert np.linalg.norm(nearest_in_hull(points, mu) @ points - mu) <= margin + 1e-12
    assert found.margin == pytest.approx(np.linalg.norm(nearest_in_hull(points, mu) @ points - mu), abs=1e-12)
    # The first two policies leave no choice: both methods are one.
    other = ap.fit(MDP, FEATURES, mu, start=-TRUE, discount=0.9, tolerance=1e-6)
    np.testing.assert_allclose(other.margins[:2], found.margins[:2], atol=1e-12)
    assert len(other.margins) <= len(found.margins)


@pytest.mark.parametrize("clock", CLOCKS)
def test_the_mixture_visits_what_its_policies_visit_on_average(clock):
    mu = many_minded(CLOCKS[clock])
    found = ap.fit(MDP, FEATURES, mu, start=-TRUE, tolerance=1e-6, **CLOCKS[clock])
    visits = np.zeros((S, A))
    for weight, one in zip(found.mixture, found.policies, strict=True):
        visits += weight * flow(MDP, np.eye(A)[one], np.asarray(MDP.initial), **CLOCKS[clock]).reshape(
            -1, S, A
        ).sum(0)
    np.testing.assert_allclose(ap.mixture_occupancy(MDP, found), visits, atol=1e-10)
    np.testing.assert_allclose(np.einsum("sa,sak->k", visits, FEATURES), found.reached, atol=1e-10)
    rewarded = MDP.with_reward(FEATURES @ TRUE)
    assert ap.mixture_value(rewarded, found) == pytest.approx(float(TRUE @ found.reached), abs=1e-10)


def test_feature_expectations_out_of_reach_are_approached_as_far_as_all_policies_together_allow():
    points = every_policy(MDP, FEATURES, 0.9)
    mu = expert(MDP, FEATURES, TRUE, CLOCKS["discounted"]) + 2 * TRUE
    distance = np.linalg.norm(nearest_in_hull(points, mu) @ points - mu)
    for method in ("max-margin", "projection"):
        found = ap.fit(MDP, FEATURES, mu, discount=0.9, method=method)
        assert found.converged and any("out of reach" in w for w in found.warnings)
        assert found.bounds[-1] <= distance + 1e-9 <= found.margin + 2e-9
        assert found.margin - found.bounds[-1] <= found.tolerance


def test_one_feature_between_its_two_extremes_is_matched_by_two_policies():
    extremes = [expert(MDP, FEATURES[..., :1], np.array([sign]), {"discount": 0.9}) for sign in (-1.0, 1.0)]
    found = ap.fit(MDP, FEATURES[..., :1], 0.3 * extremes[0] + 0.7 * extremes[1], discount=0.9)
    assert len(found.margins) <= 3 and found.margin < 1e-12
    np.testing.assert_allclose(np.abs(found.weights), 1)


@pytest.mark.parametrize("clock", ["discounted", "finite"])
def test_demonstrations_are_counted_as_policies_are(clock):
    settings = CLOCKS[clock]
    steps = settings.get("horizon", 200)
    demos = demonstrate(MDP, FEATURES, 30 * TRUE, settings, seed=5, count=2000, steps=steps)
    found = ap.fit(MDP, FEATURES, demos, **settings)
    first = np.bincount(demos.states[:, 0], minlength=S) / demos.count
    pi = policy(MDP, FEATURES, 30 * TRUE, **settings)
    exact = features_of(flow(MDP, pi, first, **settings), FEATURES)
    gamma = settings.get("discount", 1.0)
    steps = FEATURES[demos.states, demos.actions] * gamma ** np.arange(demos.longest)[:, None]
    error = steps.sum(1).std(0) / np.sqrt(demos.count)
    assert (np.abs(found.expert - exact) < 5 * error).all()  # five standard errors of the mean over episodes
    np.testing.assert_allclose(found.expert, steps.sum(1).mean(0), atol=1e-12)
    assert not any("not recorded" in w for w in found.warnings)


def test_expected_visits_say_the_same_as_their_features():
    visits = flow(MDP, policy(MDP, FEATURES, TRUE, horizon=8), np.asarray(MDP.initial), horizon=8)
    by_time = ap.fit(MDP, FEATURES, visits, horizon=8)
    summed = ap.fit(MDP, FEATURES, visits.sum(0), horizon=8)
    np.testing.assert_allclose(by_time.expert, summed.expert, atol=1e-12)
    np.testing.assert_allclose(by_time.expert, np.einsum("tsa,sak->k", visits, FEATURES), atol=1e-12)


@pytest.mark.parametrize("clock", ["discounted", "finite"])
def test_episodes_of_the_mixture_follow_one_policy_each_in_their_proportions(clock):
    mu = many_minded(CLOCKS[clock])
    found = ap.fit(MDP, FEATURES, mu, tolerance=1e-6, **CLOCKS[clock])
    demos = ap.sample_mixture(MDP, found, key=key(1), count=1000, horizon=6)
    assert demos.groups is not None and demos.count == 1000
    chosen = np.array(demos.groups).astype(int)
    share = np.bincount(chosen, minlength=len(found.mixture)) / demos.count
    error = np.sqrt(found.mixture * (1 - found.mixture) / demos.count)
    assert (np.abs(share - found.mixture) <= 5 * error).all()
    for j in np.unique(chosen):
        rows = demos.states[chosen == j]
        one = found.policies[j]
        taken = one[rows] if one.ndim == 1 else one[np.arange(6), rows]
        np.testing.assert_array_equal(demos.actions[chosen == j], taken)


def test_a_macrocell_expert_is_matched_in_value_within_thirty_policies():
    clock: dict[str, Any] = {"discount": 0.99}
    mdp, features = macrocells(32, 8)
    rng = np.random.default_rng(0)
    weights = sparse_reward(rng, 64)
    mu = expert(mdp, features, weights, clock)
    found = ap.fit(mdp, features, mu, start=rng.normal(size=64), max_iterations=30, tolerance=1e-4, **clock)
    assert (np.diff(found.margins) <= 1e-9).all() and found.margins[-1] < 0.01 * found.margins[0]
    # A margin bounds the loss of value for every reward of length 1 or less; here it is below 1 % of the value.
    loss = weights @ (mu - found.reached)
    assert loss <= np.linalg.norm(weights) * found.margin + 1e-9
    assert loss < 0.01 * (weights @ mu)


def test_a_problem_in_float32_is_matched_too():
    single, features = world(3, dtype="float32")
    mu = expert(MDP, FEATURES, TRUE, CLOCKS["discounted"])
    assert ap.fit(single, features, mu, discount=0.9, start=-TRUE).converged


def test_a_search_that_ends_too_early_says_so():
    mu = expert(MDP, FEATURES, TRUE, CLOCKS["discounted"])
    found = ap.fit(MDP, FEATURES, mu, start=-TRUE, discount=0.9, max_iterations=1)
    assert not found.converged and any("stopped after 1 policy at" in w for w in found.warnings)


def test_recordings_that_stop_early_are_warned_about():
    demos = demonstrate(MDP, FEATURES, TRUE, {"discount": 0.9}, seed=5, count=20, steps=8)
    found = ap.fit(MDP, FEATURES, demos, discount=0.9)
    # 0.9^8 = 43 % of the discounted steps come after the eighth.
    assert any("20 of 20 demonstrations stop before" in w and "43.0%" in w for w in found.warnings)


def test_expectations_that_no_episode_can_hold_are_warned_about():
    found = ap.fit(MDP, np.abs(FEATURES), np.array([1e3, 1.0, 1.0]), discount=0.9)
    assert any("feature 0 lies outside what 10 discounted steps can hold" in w for w in found.warnings)


def test_the_record_is_printed_and_turned_into_plain_types():
    mu = expert(MDP, FEATURES, TRUE, CLOCKS["discounted"])
    found = ap.fit(MDP, FEATURES, mu, discount=0.9, feature_names=["sun", "rain", "snow"])
    assert "rain" in found.summary() and "a mixture of" in found.summary()
    assert found.to_dict()["features"] == ["sun", "rain", "snow"]
    assert found.policies.dtype == np.uint8


DEMOS = demonstrate(MDP, FEATURES, TRUE, {"discount": 0.9}, seed=1, count=5, steps=4)
MU = np.ones(K)
HOLED = np.where(np.arange(S * A * K).reshape(S, A, K) == 21, np.nan, FEATURES)
STRANGE = trajectories_from_arrays(np.array([[0, 9]]), np.array([[1]]))


@pytest.mark.parametrize(
    ("features", "demos", "options", "sentence"),
    [
        (FEATURES, MU, {}, "give a discount below 1, a horizon"),
        (FEATURES, MU, {"discount": 1.0}, "with discount 1 give a horizon"),
        (FEATURES, MU, {"discount": 1.5}, r"discount must be one number in \[0, 1\]"),
        (FEATURES, MU, {"horizon": 0}, "horizon must be at least 1 step"),
        (FEATURES, MU, {"discount": 0.9, "tolerance": 0.0}, "tolerance must be a positive number"),
        (FEATURES, MU, {"discount": 0.9, "max_iterations": 0}, "max_iterations must be at least 1"),
        (FEATURES, MU, {"discount": 0.9, "start": [1.0]}, r"start must have shape \[K\]"),
        (FEATURES, MU, {"discount": 0.9, "start": [1, np.nan, 1]}, "the weight of 1 is not one"),
        (FEATURES, MU[:2], {"discount": 0.9}, r"feature expectations must have shape \[K\] = \(3\)"),
        (FEATURES, MU * np.nan, {"discount": 0.9}, "feature expectations must be finite"),
        (HOLED, MU, {"discount": 0.9}, "feature 0 in state 2, action 1 is nan"),
        (FEATURES, DEMOS, {"horizon": 3}, "not be longer than the horizon of 3 steps; trajectory '0' has 4"),
        (FEATURES, STRANGE, {"discount": 0.9}, "the problem has 6 states, 0 to 5"),
        (FEATURES, np.zeros((S, A)), {"discount": 0.9}, "finite, not negative, and not all zero"),
        (FEATURES, np.ones((S, A)), {"discount": 0.9}, "at most 10 discounted steps; they sum to 18"),
        (FEATURES, np.ones((S, A + 1)), {"discount": 0.9}, r"numbers \[S, A\] = \(6, 3\)"),
    ],
)
def test_what_cannot_be_matched_is_refused_with_a_sentence(features, demos, options, sentence):
    with pytest.raises(InputError, match=sentence):
        ap.fit(MDP, features, demos, **options)


def test_an_unknown_method_is_refused(as_shipped):
    with pytest.raises(InputError, match="method must be one of max-margin, projection"):
        ap.fit(MDP, FEATURES, MU, discount=0.9, method="svm")  # type: ignore[arg-type]


def test_visits_where_nothing_can_be_done_are_refused():
    ending, features = world(31, ends=True)
    with pytest.raises(InputError, match=r"zero in terminal states.*state 5, action 0 has some"):
        ap.fit(ending, features, np.full((S, A), 0.1), discount=0.9)


def test_samples_of_no_episode_or_beyond_the_policies_are_refused():
    found = ap.fit(MDP, FEATURES, expert(MDP, FEATURES, TRUE, {"horizon": 8}), horizon=8)
    with pytest.raises(InputError, match="count must be at least 1"):
        ap.sample_mixture(MDP, found, key=key(1), count=0, horizon=6)
    with pytest.raises(InputError, match="at most that of the policies, 8 steps; got 9"):
        ap.sample_mixture(MDP, found, key=key(1), count=1, horizon=9)
