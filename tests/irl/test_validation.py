"""Held-out likelihoods, their intervals, baselines, cross validation and nested tests."""

import numpy as np
import pytest
from scipy.stats import kstest

from irl.worlds import CLOCKS, A, S, demonstrate, key, policy, world
from maxentrl import InputError, TabularMDP, posterior
from maxentrl.data import trajectories_from_arrays
from maxentrl.irl import maxent, mce
from maxentrl.irl.baselines import behaviour_cloning, uniform_policy
from maxentrl.irl.estimate import Estimate
from maxentrl.irl.inspection import inspect_demonstrations
from maxentrl.irl.validation import compare, cross_validate, held_out, likelihood_ratio, score

TRUE = np.array([0.2, -0.5, 0.6])
MDP, FEATURES = world(1)
FINITE = CLOCKS["finite"]
DEMOS = demonstrate(MDP, FEATURES, 2 * TRUE, FINITE, seed=1, count=120)
TRAIN, TEST = DEMOS.take(np.arange(80)), DEMOS.take(np.arange(80, 120))


def test_the_held_out_likelihood_is_the_sum_of_log_choices_of_the_policy_and_a_maxent_policy_is_tilted():
    for method, log_policy in (
        (mce, lambda r: np.log(policy(MDP, r[..., None], np.ones(1), **FINITE))),
        (maxent, lambda r: np.asarray(posterior(MDP.with_reward(r), temperature=1.0, **FINITE).log_policy)),
    ):
        found = method.fit(MDP, FEATURES, TRAIN, **FINITE)
        log_pi = log_policy(found.reward)
        total = sum(
            log_pi[t, TEST.states[i, t], TEST.actions[i, t]] for i in range(TEST.count) for t in range(8)
        )
        held = held_out(MDP, found, TEST)
        np.testing.assert_allclose(held.log_likelihood, total, rtol=1e-10)
        np.testing.assert_allclose(held.per_decision, total / 320, rtol=1e-10)
        assert held.decisions == 320 and held.clusters == 40 and found.method in str(held)


def test_the_standard_error_is_that_of_a_mean_for_equal_lengths_and_groups_are_clusters():
    single = np.log(policy(MDP, FEATURES, TRUE, **FINITE))
    per = (
        np.array([sum(single[t, TEST.states[i, t], TEST.actions[i, t]] for t in range(8)) for i in range(40)])
        / 8
    )
    held = score(MDP, single, TEST)
    np.testing.assert_allclose(held.standard_error, per.std(ddof=1) / np.sqrt(40), rtol=1e-10)
    np.testing.assert_allclose(np.diff(held.interval), 2 * 1.959963985 * held.standard_error, rtol=1e-8)
    groups = [str(i % 5) for i in range(40)]
    grouped = trajectories_from_arrays(TEST.states, TEST.actions, groups=groups)
    means = np.array([per[np.arange(40) % 5 == g].mean() for g in range(5)])
    np.testing.assert_allclose(
        score(MDP, single, grouped).standard_error, means.std(ddof=1) / np.sqrt(5), rtol=1e-10
    )
    assert np.isinf(score(MDP, single, TEST.take(np.arange(1))).standard_error)


def test_intervals_of_the_held_out_likelihood_cover_its_expectation():
    """100 test sets; three binomial standard errors. Lengths differ, so that the ratio matters."""
    pi = np.log(policy(MDP, FEATURES, TRUE, discount=0.9))
    demos = demonstrate(MDP, FEATURES, TRUE, {"discount": 0.9}, seed=2, count=100 * 50)
    length = np.random.default_rng(0).integers(1, 9, demos.count)
    keep = np.arange(8) < length[:, None]
    cut = trajectories_from_arrays(np.where(keep, demos.states, -1), np.where(keep, demos.actions, -1))
    truth = score(MDP, pi, cut).per_decision
    hits = []
    for rows in np.arange(cut.count).reshape(100, 50):
        low, high = score(MDP, pi, cut.take(rows)).interval
        hits.append(low < truth < high)
    # The truth is itself estimated, from 100 times as much.
    assert abs(np.mean(hits) - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 100)


def test_behaviour_cloning_counts_and_smooths_and_random_choice_is_even():
    log_pi = behaviour_cloning(MDP, TRAIN, smoothing=0.5)
    counts = np.zeros((S, A))
    np.add.at(counts, (TRAIN.states.ravel(), TRAIN.actions.ravel()), 1.0)
    np.testing.assert_allclose(np.exp(log_pi), (counts + 0.5) / (counts + 0.5).sum(1, keepdims=True))
    np.testing.assert_allclose(behaviour_cloning(MDP, counts, smoothing=0.5), log_pi)
    np.testing.assert_allclose(uniform_policy(MDP), -np.log(A))
    offset = np.zeros((S, A))
    offset[1, 2] = -np.inf
    ends = TabularMDP(np.full((S, A, S), 1 / S), offset, terminal=np.arange(S) == 5)
    one = trajectories_from_arrays(np.array([[1, 5]]), np.array([[0]]))
    np.testing.assert_allclose(np.exp(behaviour_cloning(ends, one)[1]), [2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(
        np.exp(behaviour_cloning(ends, one, smoothing=0.0)[:2]), [[1 / 3] * 3, [1, 0, 0]]
    )
    np.testing.assert_allclose(np.exp(uniform_policy(ends)[5]), 0)
    with pytest.raises(InputError, match="smoothing must be a number of at least 0"):
        behaviour_cloning(MDP, TRAIN, smoothing=-1.0)


def test_a_decision_of_probability_zero_is_foretold_infinitely_badly_for_certain():
    cloned = behaviour_cloning(MDP, TRAIN.take(np.arange(2)), smoothing=0.0)
    for demos in (TEST, TEST.take(np.arange(1))):
        held = score(MDP, cloned, demos, name="cloning")
        assert held.per_decision == -np.inf and held.interval == (-np.inf, -np.inf)
        assert (
            str(held) == f"cloning: -inf over {8 * demos.count} decisions: some of them have probability zero"
        )


def test_the_right_reward_beats_cloning_which_beats_chance_on_decisions_not_seen():
    found = mce.fit(MDP, FEATURES, TRAIN, **FINITE)
    ours, cloned, random = compare(MDP, found, TRAIN, TEST)
    assert ours.log_likelihood > cloned.log_likelihood > random.log_likelihood
    np.testing.assert_allclose(random.per_decision, -np.log(A), rtol=1e-12)


def test_cross_validation_foretells_each_trajectory_once_from_the_others():
    def fit(train):
        assert train.count == 90
        return mce.fit(MDP, FEATURES, train, **FINITE)

    whole, parts = cross_validate(MDP, fit, DEMOS, count=4, key=key(1))
    np.testing.assert_allclose(whole.log_likelihood, sum(part.log_likelihood for part in parts), rtol=1e-12)
    assert whole.decisions == 960 and len(parts) == 4
    inside = mce.fit(MDP, FEATURES, DEMOS, **FINITE)
    # Akaike: what is fitted to is foretold too well, by about one nat per weight on each side.
    assert 0 < inside.log_likelihood - whole.log_likelihood < 20
    cloned, _ = cross_validate(MDP, lambda d: behaviour_cloning(MDP, d), DEMOS, count=4, key=key(1))
    assert cloned.log_likelihood < whole.log_likelihood


def test_the_likelihood_ratio_of_a_true_small_model_is_chi_square():
    """80 data sets in which the third weight is zero: p-values are uniform (Kolmogorov-Smirnov, level 1e-3)."""
    truth = np.array([0.2, -0.5, 0.0])
    demos = demonstrate(MDP, FEATURES, truth, {"discount": 0.9}, seed=3, count=80 * 40)
    p = []
    for rows in np.arange(demos.count).reshape(80, 40):
        part = demos.take(rows)
        large = mce.fit(MDP, FEATURES, part, discount=0.9)
        small = mce.fit(MDP, FEATURES[..., :2], part, discount=0.9)
        p.append(likelihood_ratio(small, large).p_value)
    assert kstest(p, "uniform").pvalue > 1e-3
    needed = demonstrate(MDP, FEATURES, TRUE, {"discount": 0.9}, seed=4, count=200)
    fits = [mce.fit(MDP, f, needed, discount=0.9) for f in (FEATURES[..., [2, 0]], FEATURES)]
    found = likelihood_ratio(*fits)
    assert found.degrees == 1 and found.p_value < 1e-6 and "1 degree of freedom" in str(found)


def fitted(**changes) -> Estimate:
    options = {"mdp": MDP, "demos": TRAIN, "features": FEATURES, **FINITE} | changes
    return mce.fit(options.pop("mdp"), options.pop("features"), options.pop("demos"), **options)


OTHER = TabularMDP(np.asarray(MDP.transition_matrix())[::-1], np.zeros((S, A)))


@pytest.mark.parametrize(
    ("small", "large", "sentence"),
    [
        ({"features": FEATURES[..., :2], "demos": TEST}, {}, "different demonstrations"),
        ({"features": FEATURES[..., :2], "mdp": OTHER}, {}, "made in different worlds: transitions, prior"),
        ({"features": FEATURES[..., :2], "mdp": MDP.with_prior("counting")}, {}, "made in different worlds"),
        ({"features": FEATURES[..., :2], "discount": 0.9}, {}, "made in different ways: discount differs"),
        (
            {"features": FEATURES[..., :2], "temperature": 2.0},
            {},
            "made in different ways: temperature differs",
        ),
        ({"features": FEATURES[..., :2], "l2": 1.0}, {}, "made in different ways: l2 differs"),
        ({"features": FEATURES[..., :2], "l2": 1.0}, {"l2": 1.0}, "without a penalty"),
        ({"features": FEATURES[..., :2], "loss": "moments"}, {"loss": "moments"}, "maximise a likelihood"),
        ({"features": 2 * FEATURES[..., :1]}, {}, "not nested: 0 of the small model is not in the large one"),
        ({"features": FEATURES[..., :2], "offset": np.ones((S, A))}, {}, "not nested: offsets differ"),
        ({}, {}, "no feature that the small one lacks"),
        ({"features": FEATURES[..., :2], "max_steps": 0}, {}, "small model did not converge"),
        (
            {},
            {"features": np.concatenate([FEATURES, np.ones((S, A, 1))], -1)},
            "large model has weights that are not identified",
        ),
    ],
)
def test_what_is_not_nested_or_not_a_likelihood_is_not_tested(small, large, sentence):
    with pytest.raises(InputError, match=sentence):
        likelihood_ratio(fitted(**small), fitted(**large))


def test_a_longer_demonstration_and_a_wrong_confidence_are_refused():
    long = demonstrate(MDP, FEATURES, TRUE, {"discount": 0.9}, seed=5, count=3, steps=9)
    with pytest.raises(InputError, match="not be longer than the policy's 8 steps; trajectory '0' has 9"):
        held_out(MDP, fitted(), long)
    with pytest.raises(InputError, match=r"confidence must lie in \(0, 1\)"):
        held_out(MDP, fitted(), TEST, confidence=1.0)
    with pytest.raises(InputError, match="log_policy must have shape"):
        score(MDP, np.zeros((2, 2)), TEST)


def test_an_inspection_counts_what_is_odd_and_refuses_nothing():
    transition = np.eye(4)[np.array([[1, 2], [2, 3], [3, 3], [3, 3]])]
    mdp = TabularMDP(transition, np.zeros((4, 2)), terminal=np.arange(4) == 3)
    demos = trajectories_from_arrays(
        np.array([[0, 1, 3], [0, 1, 3], [0, 1, -1], [0, 3, -1], [7, 1, -1]]),
        np.array([[0, 1], [0, 1], [0, -1], [1, -1], [0, -1]]),
        groups=["x", "x", "y", "y", "y"],
        weights=[1, 1, 1, 1, 2.0],
    )
    found = inspect_demonstrations(mdp, demos)
    assert (found.trajectories, found.steps, found.groups, found.weight) == (5, 7, 2, 6.0)
    assert found.lengths == (1, 1.0, 2) and found.visited == 2
    np.testing.assert_array_equal(found.never_visited, [False, False, True, False])
    assert (found.copies, found.cut_off, found.unknown_ends, found.impossible) == (1, 2, 0, 2)
    assert "trajectory '4', step 0: state 7" in found.first_fault
    text = " ".join(found.sentences)
    for part in (
        "5 trajectories by 2 groups with 7 steps: 1 to 2 each, median 1",
        "In 1 of 3 live states nothing was decided: 2.",
        "1 trajectory repeats an earlier one step by step, the first '1'",
        "2 trajectories end before a terminal state",
        "the problem gives this transition probability zero. The first: trajectory '3', step 0",
    ):
        assert part in text, text
    clean = inspect_demonstrations(MDP, DEMOS)
    assert clean.impossible == 0 and clean.first_fault == "" and len(clean.sentences) == 1
