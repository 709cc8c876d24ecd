"""Estimates find the truth, know how sure they are, and say when the question has no unique answer."""

import dataclasses

import numpy as np
import pytest

from irl.worlds import CLOCKS, A, K, S, demonstrate, flow, key, policy, world
from maxentrl import InfeasibleError, InputError, TabularMDP, solve
from maxentrl.data import Trajectories, trajectories_from_arrays
from maxentrl.irl import maxent, mce, sample_trajectories

TRUE = np.array([0.2, -0.5, 0.6])


@pytest.mark.parametrize("clock", CLOCKS)
def test_exact_occupancies_give_back_the_weights(clock):
    mdp, features = world(11, ends=clock == "first exit")
    settings = CLOCKS[clock]
    expert = flow(mdp, policy(mdp, features, TRUE, **settings), np.asarray(mdp.initial), **settings)
    found = mce.fit(mdp, features, 1000 * expert, **settings)
    # The gradient is known to rounding, about 1e-10 of a thousand visits; the information is about 1000.
    np.testing.assert_allclose(found.weights, TRUE, atol=1e-8)
    np.testing.assert_allclose(found.reward, features @ TRUE, atol=1e-7)
    assert found.converged and found.warnings == () and set(found.covariances) == {"hessian"}


def slices(demos: Trajectories, sets: int) -> list[Trajectories]:
    return [demos.take(rows) for rows in np.arange(demos.count).reshape(sets, -1)]


@pytest.mark.parametrize("loss", ["likelihood", "moments"])
def test_nominal_95_percent_intervals_cover_the_truth_as_often_as_they_say(loss):
    """200 data sets, 3 weights each; the bound is three binomial standard errors of 200 independent trials.

    Only the sandwich is right for moments, whose scores hold the luck of the transitions too.
    """
    mdp, features = world(12)
    settings, sets = CLOCKS["discounted"], 200
    demos = demonstrate(mdp, features, TRUE, settings, seed=1, count=60 * sets)
    inside: dict[str, list] = {}
    for part in slices(demos, sets):
        found = mce.fit(mdp, features, part, loss=loss, **settings)
        for kind in found.covariances if loss == "likelihood" else ["sandwich"]:
            inside.setdefault(kind, []).append(
                np.abs(found.weights - TRUE) < 1.96 * found.standard_errors_of(kind)
            )
    assert len(inside) == (3 if loss == "likelihood" else 1)
    for kind, hits in inside.items():
        assert abs(np.mean(hits) - 0.95) < 3 * np.sqrt(0.95 * 0.05 / sets), (kind, np.mean(hits))


def test_the_likelihood_needs_less_data_than_the_moments_in_a_stochastic_world():
    mdp, features = world(12)
    settings = CLOCKS["discounted"]
    demos = demonstrate(mdp, features, TRUE, settings, seed=2, count=60)
    likelihood, moments = (
        mce.fit(mdp, features, demos, loss=loss, **settings) for loss in ("likelihood", "moments")
    )
    assert moments.kind == "sandwich" and likelihood.kind == "hessian"
    assert np.all(moments.standard_errors > likelihood.standard_errors)


def test_a_shaping_feature_is_named_as_unidentified_and_the_others_keep_their_errors():
    mdp, features = world(13)
    potential = np.random.default_rng(0).normal(size=S)
    shaping = 0.9 * np.asarray(mdp.transition_matrix()) @ potential - potential[:, None]
    demos = demonstrate(mdp, features, TRUE, CLOCKS["discounted"], seed=3, count=30)
    wide = np.concatenate([features, shaping[..., None]], -1)
    found = mce.fit(mdp, wide, demos, discount=0.9, feature_names=["a", "b", "c", "shape"])
    assert len(found.warnings) == 1 and "the weight of shape is not identified" in found.warnings[0]
    assert "change no policy" in found.warnings[0]
    plain = mce.fit(mdp, features, demos, discount=0.9)
    np.testing.assert_allclose(found.weights[:3], plain.weights, atol=1e-6)
    for kind in plain.covariances:
        np.testing.assert_allclose(
            found.standard_errors_of(kind)[:3], plain.standard_errors_of(kind), rtol=1e-5
        )
        assert np.isinf(found.standard_errors_of(kind)[3])


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (lambda f: np.ones((S, A)), "the weight of extra is not identified: it is the same for every choice"),
        (lambda f: np.zeros((S, A)), "the weight of extra is not identified: it is zero for every choice"),
        (lambda f: f[..., 0] - 2 * f[..., 1], "not identified: the features are collinear"),
        (lambda f: 1 - f[..., 2], r"c \+ extra.* not identified: it is the same for every choice"),
    ],
)
def test_constant_and_collinear_features_are_named(extra, sentence):
    mdp, features = world(13)
    demos = demonstrate(mdp, features, TRUE, CLOCKS["discounted"], seed=3, count=30)
    wide = np.concatenate([features, extra(features)[..., None]], -1)
    found = mce.fit(mdp, wide, demos, discount=0.9, feature_names=["a", "b", "c", "extra"])
    assert len(found.warnings) == 1
    with pytest.raises(InputError, match=sentence):
        raise InputError(found.warnings[0])


def test_the_price_of_a_step_is_identified_where_something_ends_and_not_where_nothing_does():
    for ends, settings in ((True, CLOCKS["first exit"]), (False, CLOCKS["discounted"])):
        mdp, features = world(14, ends=ends)
        features = np.concatenate([features[..., :2], -np.ones((S, A, 1))], -1)
        expert = flow(mdp, policy(mdp, features, TRUE, **settings), np.asarray(mdp.initial), **settings)
        assert (mce.fit(mdp, features, expert, **settings).warnings == ()) == ends


@pytest.mark.parametrize("start", [None, [0.1], [-0.1]])
def test_weights_at_which_features_cancel_are_neither_the_maximum_nor_unidentified(start):
    """State 0 leads to a lottery of +w and -w, worth log cosh w, or to the end: P(lottery) = cosh w / (1 + cosh w)."""
    transition = np.zeros((3, 2, 3))
    transition[[0, 0, 1, 1], [0, 1, 0, 1], [1, 2, 2, 2]] = 1
    mdp = TabularMDP(transition, np.zeros((3, 2)), terminal=np.arange(3) == 2)
    features = np.zeros((3, 2, 1))
    features[1, :, 0] = 1, -1
    counts = np.array([[90.0, 10.0], [0, 0], [0, 0]])
    found = mce.fit(mdp, features, counts, discount=1.0, start=start)
    assert found.converged and found.warnings == ()
    assert abs(found.weights[0]) == pytest.approx(np.arccosh(9), abs=1e-6)
    assert found.log_likelihood == pytest.approx(90 * np.log(0.9) + 10 * np.log(0.1), abs=1e-9)
    # At even odds the maximum is where features cancel, and it is not blamed on the data.
    even = mce.fit(mdp, features, np.array([[50.0, 50.0], [0, 0], [0, 0]]), discount=1.0, start=start)
    assert even.log_likelihood == pytest.approx(-100 * np.log(2), abs=1e-9) and even.warnings == ()


def test_a_start_where_all_decisions_are_certain_does_not_make_weights_unidentified():
    mdp, features = world(13)
    demos = demonstrate(mdp, features, TRUE, CLOCKS["discounted"], seed=3, count=30)
    found = mce.fit(mdp, features, demos, discount=0.9, start=[100.0, -100.0, 100.0])
    assert found.converged and found.warnings == ()
    np.testing.assert_allclose(found.weights, mce.fit(mdp, features, demos, discount=0.9).weights, atol=1e-6)


def test_identified_random_problems_are_not_warned_about():
    for seed in range(20):
        mdp, features = world(100 + seed)
        expert = flow(mdp, policy(mdp, features, TRUE, discount=0.9), np.asarray(mdp.initial), discount=0.9)
        assert mce.fit(mdp, features, expert, discount=0.9).warnings == ()


def test_the_search_survives_weights_without_a_finite_value():
    """With the counting prior a step must cost up to log 3. From far inside, where choices are all but made,
    Newton's step leads out of the region; it is halved until it does not."""
    mdp, features = world(15, ends=True, prior="counting", deterministic=True)
    true = np.array([0.5, -0.3, 1.3])
    demos = demonstrate(mdp, features, true, CLOCKS["first exit"], seed=4, count=30, steps=300)
    fits = [
        mce.fit(mdp, features, demos, discount=1.0, start=start) for start in ([0, 0, 9.0], [0, 0, 2.0], true)
    ]
    for found in fits:
        assert found.converged
        np.testing.assert_allclose(found.weights, fits[-1].weights, atol=1e-7)
    with pytest.raises(InfeasibleError, match=r"at the starting weights .* Give other starting weights"):
        mce.fit(mdp, features, demos, discount=1.0)


def test_a_trajectory_of_weight_two_counts_as_two():
    mdp, features = world(16)
    demos = demonstrate(mdp, features, TRUE, {"horizon": 8}, seed=5, count=29)
    twice = demos.take(np.append(np.arange(29), 0))
    weighted = trajectories_from_arrays(
        demos.states, demos.actions, next_states=demos.next_states, weights=np.append(2.0, np.ones(28))
    )
    a, b = (mce.fit(mdp, features, d, horizon=8) for d in (twice, weighted))
    np.testing.assert_allclose(a.weights, b.weights, atol=1e-9)
    np.testing.assert_allclose(a.log_likelihood, b.log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(a.standard_errors_of("hessian"), b.standard_errors_of("hessian"), rtol=1e-9)
    assert a.steps == b.steps == twice.steps
    np.testing.assert_allclose(a.bic, b.bic, rtol=1e-12)


def test_copies_are_noticed_and_clustering_by_group_undoes_them():
    mdp, features = world(16)
    demos = demonstrate(mdp, features, TRUE, CLOCKS["discounted"], seed=6, count=30)
    once = mce.fit(mdp, features, demos, discount=0.9)
    assert once.warnings == ()
    rows = np.tile(np.arange(30), 2)
    copied = trajectories_from_arrays(demos.states[rows], demos.actions[rows], groups=[str(r) for r in rows])
    twice = mce.fit(mdp, features, copied, discount=0.9)
    assert any("as if all had been entered 2 times (the first: '30' of '0')" in w for w in twice.warnings)
    np.testing.assert_allclose(
        twice.standard_errors_of("hessian"), once.standard_errors_of("hessian") / np.sqrt(2), rtol=1e-6
    )
    assert twice.kind == "sandwich"
    np.testing.assert_allclose(twice.standard_errors, once.standard_errors_of("sandwich"), rtol=1e-6)


def test_scaling_the_temperature_scales_the_weights():
    mdp, features = world(17)
    demos = demonstrate(mdp, features, TRUE, CLOCKS["discounted"], seed=8, count=30)
    one, three = (mce.fit(mdp, features, demos, discount=0.9, temperature=t) for t in (1.0, 3.0))
    np.testing.assert_allclose(three.weights, 3 * one.weights, rtol=1e-7)
    np.testing.assert_allclose(three.standard_errors, 3 * one.standard_errors, rtol=1e-7)
    np.testing.assert_allclose(three.log_likelihood, one.log_likelihood, rtol=1e-10)


def test_an_offset_is_a_feature_whose_weight_is_known():
    mdp, features = world(17)
    expert = flow(mdp, policy(mdp, features, TRUE, discount=0.9), np.asarray(mdp.initial), discount=0.9)
    other = np.concatenate([features[..., 1:], world(99)[1][..., :1]], -1)
    found = mce.fit(mdp, other, expert, discount=0.9, offset=TRUE[0] * features[..., 0])
    np.testing.assert_allclose(found.weights, [*TRUE[1:], 0], atol=1e-8)


@pytest.mark.parametrize("fit", [mce.fit, maxent.fit])
def test_an_action_that_the_offset_forbids_has_the_reward_minus_infinity(fit):
    mdp, features = world(17)
    offset = np.where(np.arange(S)[:, None] + np.arange(A) == 0, -np.inf, 0.0)
    demos = demonstrate(mdp.with_reward(offset), features, TRUE, CLOCKS["discounted"], seed=4, count=30)
    found = fit(mdp, features, demos, discount=0.9, offset=offset)
    assert np.isneginf(found.reward[0, 0])
    np.testing.assert_allclose(
        np.delete(found.reward.ravel(), 0), np.delete((features @ found.weights).ravel(), 0), atol=1e-12
    )
    # Whoever plans with the reward alone leaves the action out too.
    assert np.isneginf(
        np.asarray(solve(mdp.with_reward(found.reward), temperature=1.0, discount=0.9).log_policy)[0, 0]
    )


def test_features_of_states_hold_for_every_action_there():
    mdp, features = world(18)
    demos = demonstrate(mdp, features, TRUE, CLOCKS["discounted"], seed=9, count=30)
    state = features[:, 0, :]
    one, two = (
        mce.fit(mdp, f, demos, discount=0.9) for f in (state, np.broadcast_to(state[:, None], (S, A, K)))
    )
    assert np.array_equal(one.weights, two.weights)


def test_successor_lists_and_narrow_floats_give_the_same_estimate():
    mdp, features = world(19)
    demos = demonstrate(mdp, features, TRUE, CLOCKS["discounted"], seed=10, count=30)
    p = np.asarray(mdp.transition_matrix())
    lists = (np.broadcast_to(np.arange(S), (S, A, S)), p)
    reference = mce.fit(mdp, features, demos, discount=0.9)
    sparse = mce.fit(TabularMDP(lists, np.zeros((S, A))), features, demos, discount=0.9)
    narrow = mce.fit(TabularMDP(p, np.zeros((S, A)), dtype="float32"), features, demos, discount=0.9)
    np.testing.assert_allclose(sparse.weights, reference.weights, atol=1e-9)
    # Probabilities in float32 are off by 1e-7 of themselves; the estimate is computed in float64.
    np.testing.assert_allclose(narrow.weights, reference.weights, atol=1e-5)
    assert narrow.converged


def test_a_constant_is_not_identified_in_float32_either():
    mdp, features = world(19)
    demos = demonstrate(mdp, features, TRUE, CLOCKS["discounted"], seed=10, count=30)
    narrow = TabularMDP(mdp.transition, np.zeros((S, A)), dtype="float32")
    features = np.concatenate([np.ones((S, A, 1)), features], -1)
    found = mce.fit(narrow, features, demos, discount=0.9)
    assert found.converged
    assert found.warnings[0].startswith("the weight of 0 is not identified: it is the same for every choice")


def test_a_penalty_balances_the_gradient_of_the_likelihood():
    mdp, features = world(19)
    demos = demonstrate(mdp, features, TRUE, CLOCKS["discounted"], seed=10, count=30)
    free, held = (mce.fit(mdp, features, demos, discount=0.9, l2=l2) for l2 in (0.0, 50.0))
    assert np.linalg.norm(held.weights) < np.linalg.norm(free.weights)
    h = 1e-5
    shifted = [
        mce.log_likelihood(mdp.with_reward(features @ (held.weights + e)), counts(demos), discount=0.9)
        for e in np.concatenate([np.eye(K), -np.eye(K)]) * h
    ]
    slope = (np.array(shifted[:K]) - np.array(shifted[K:])) / (2 * h)
    np.testing.assert_allclose(slope, 50 * held.weights, rtol=1e-5, atol=1e-5)


def counts(demos: Trajectories) -> np.ndarray:
    table = np.zeros((S, A))
    np.add.at(table, (demos.states[demos.recorded], demos.actions[demos.recorded]), 1.0)
    return table


def test_a_search_cut_short_says_so_and_keeps_its_best():
    mdp, features = world(19)
    demos = demonstrate(mdp, features, TRUE, CLOCKS["discounted"], seed=10, count=30)
    cut, whole = (mce.fit(mdp, features, demos, discount=0.9, max_steps=n) for n in (1, 100))
    assert not cut.converged and cut.verdict.startswith("not converged: 1 Newton step")
    assert cut.verdict in cut.warnings
    assert cut.log_likelihood_uniform < cut.log_likelihood < whole.log_likelihood


def test_choices_that_never_vary_have_infinite_weights_and_this_is_said():
    mdp, _ = world(20)
    table = np.zeros((S, A))
    table[:, 0] = 10
    only = np.zeros((S, A, K))
    only[:, 0, 0] = 1
    found = mce.fit(mdp, only, table, discount=0.9)
    assert any("separation" in w for w in found.warnings)


def test_the_likelihood_of_demonstrations_is_the_sum_of_their_log_choices():
    mdp, features = world(21)
    demos = demonstrate(mdp, features, TRUE, {"horizon": 8}, seed=11, count=30)
    found = mce.fit(mdp, features, demos, horizon=8)
    log_pi = np.asarray(solve(mdp.with_reward(found.reward), temperature=1.0, horizon=8).log_policy)
    total = sum(log_pi[t, demos.states[i, t], demos.actions[i, t]] for i in range(30) for t in range(8))
    np.testing.assert_allclose(found.log_likelihood, total, rtol=1e-12)
    np.testing.assert_allclose(found.log_likelihood_uniform, -240 * np.log(A), rtol=1e-12)


def test_trajectories_cut_off_before_the_horizon_are_no_less_right():
    mdp, features = world(22)
    whole = demonstrate(mdp, features, TRUE, {"horizon": 8}, seed=12, count=30)
    cut = trajectories_from_arrays(whole.states[:, :4], whole.actions[:, :4])
    found = mce.fit(mdp, features, cut, horizon=8)
    assert np.all(np.abs(found.weights - TRUE) < 5 * found.standard_errors)


def test_estimating_in_a_world_without_rewards_of_its_own_ignores_the_reward_it_has():
    mdp, features = world(22)
    demos = demonstrate(mdp, features, TRUE, CLOCKS["discounted"], seed=13, count=30)
    other = mdp.with_reward(np.random.default_rng(1).normal(size=(S, A)))
    assert np.array_equal(*(mce.fit(m, features, demos, discount=0.9).weights for m in (mdp, other)))


MDP, FEATURES = world(30)
DEMOS = sample_trajectories(MDP, np.log(np.full((S, A), 1 / A)), key=key(1), count=3, horizon=4)
HOLED = FEATURES.copy()
HOLED[2, 1, 0] = np.nan


@pytest.mark.parametrize(
    ("features", "demos", "options", "sentence"),
    [
        (FEATURES, DEMOS, {}, "give a discount below 1, a horizon"),
        (FEATURES, DEMOS, {"discount": 1.5}, r"discount must be one number in \[0, 1\]"),
        (FEATURES, DEMOS, {"discount": 0.9, "temperature": 0.0}, r"temperature must lie in \(0, inf\)"),
        (FEATURES, DEMOS, {"discount": 0.9, "temperature": -1.0}, "temperature must lie in"),
        (FEATURES, DEMOS, {"horizon": 0}, "horizon must be at least 1 step"),
        (FEATURES, DEMOS, {"horizon": 3}, "not be longer than the horizon of 3 steps; trajectory '0' has 4"),
        (FEATURES, DEMOS, {"discount": 0.9, "l2": -1.0}, "l2 must be a number of at least 0"),
        (FEATURES, DEMOS, {"discount": 0.9, "start": [0.0]}, r"start must have shape \[K\]"),
        (
            FEATURES,
            DEMOS,
            {"discount": 0.9, "start": [0.0, np.nan, 0.0]},
            "start must hold numbers; the weight of 1",
        ),
        (
            FEATURES,
            DEMOS,
            {"discount": 0.9, "feature_names": ["a"]},
            "feature_names must be 3 different names; got a",
        ),
        (FEATURES, DEMOS, {"discount": 0.9, "offset": np.zeros(S)}, r"offset must have shape \[S, A\]"),
        (FEATURES, DEMOS, {"discount": 0.9, "offset": np.full((S, A), np.nan)}, "reward must be finite"),
        (FEATURES[:2], DEMOS, {"discount": 0.9}, r"features must have shape \[S, A, K\] = \(6, 3, any\)"),
        (FEATURES[:2, 0], DEMOS, {"discount": 0.9}, r"features must have shape \[S, K\]"),
        (FEATURES[..., :0], DEMOS, {"discount": 0.9}, "at least one feature"),
        (FEATURES[:, 0, 0], DEMOS, {"discount": 0.9}, r"features must be numbers \[S, A, K\] or \[S, K\]"),
        (HOLED, DEMOS, {"discount": 0.9}, "feature 0 in state 2, action 1 is nan"),
        (FEATURES, DEMOS, {"discount": 1.0}, "needs terminal states"),
        (FEATURES, np.zeros((S, A)), {"discount": 0.9}, "finite, not negative, and not all zero"),
        (FEATURES, np.ones((S, A)), {"horizon": 3}, r"visit counts must have shape \[horizon, S, A\]"),
    ],
)
def test_what_cannot_be_estimated_is_refused_with_a_sentence(features, demos, options, sentence):
    with pytest.raises(InputError, match=sentence):
        mce.fit(MDP, features, demos, **options)


def test_an_unknown_loss_is_refused(as_shipped):
    with pytest.raises(InputError, match="loss must be one of likelihood, moments"):
        mce.fit(MDP, FEATURES, DEMOS, discount=0.9, loss="hinge")  # type: ignore[arg-type]


def test_visits_where_nothing_can_be_done_are_refused():
    mdp, features = world(31, ends=True)
    with pytest.raises(InputError, match=r"zero in terminal states.*state 5, action 0 has some"):
        mce.fit(mdp, features, np.ones((S, A)), discount=0.9)


def test_fewer_clusters_than_weights_are_warned_about():
    found = mce.fit(MDP, FEATURES, DEMOS.take(np.array([0, 1])), discount=0.9)
    assert any("need more clusters than weights; there are 2 and 3" in w for w in found.warnings)
    assert np.isinf(found.standard_errors_of("outer")).any()


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("loss", ["likelihood", "moments"])
def test_few_clusters_whose_scores_sum_to_zero_do_not_decide_how_sure_an_estimate_is(groups, loss):
    mdp, features = world(16)
    demos = demonstrate(mdp, features, TRUE, CLOCKS["discounted"], seed=6, count=30)
    demos = dataclasses.replace(demos, groups=tuple(str(i % groups) for i in range(30)))
    found = mce.fit(mdp, features, demos, discount=0.9, loss=loss)
    assert found.kind == "hessian"
    np.testing.assert_array_equal(found.standard_errors, found.standard_errors_of("hessian"))
    assert any("those used come from the inverse Hessian" in w for w in found.warnings)
    # As many zero directions of the sandwich as clusters are short of weights + 1.
    sandwich = found.covariances["sandwich"]
    if groups == 1:
        assert np.isinf(found.standard_errors_of("sandwich")).all()
        assert any("cannot be computed from a single one" in w for w in found.warnings)
    else:
        assert np.linalg.matrix_rank(sandwich, rtol=1e-9, hermitian=True) == groups - 1
