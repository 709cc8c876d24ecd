"""How sure derived quantities are: against closed forms, and against each other."""

import jax
import numpy as np
import pytest

from maxentrl import InputError, TabularMDP, solve
from maxentrl.assess import LinearReward, delta, ensemble, on_identified, sampled, shape
from problems import as_mdp, random_problem

S, A, K = 4, 3, 3
KEY = jax.random.key(0, impl="threefry2x32")


def model(seed=0, **clock):
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, S, A, 1)
    mdp = as_mdp(problem)
    features = rng.normal(size=(S, A, K))
    root = 0.1 * rng.normal(size=(K, K))
    clock = clock or {"discount": 0.9}
    return LinearReward(mdp, features, temperature=0.5, **clock), rng.normal(size=K), root @ root.T, problem


@pytest.mark.parametrize("clock", [{"discount": 0.9}, {"horizon": 4}])
def test_the_variance_of_the_start_value_is_that_of_the_expected_features(clock):
    reward, weights, covariance, problem = model(**clock)
    found = delta(reward.start_value, weights, covariance)
    # d start value / d weights = sum of expected features along the way, from the policy in plain NumPy.
    steps, gain = (clock["horizon"], 1.0) if "horizon" in clock else (400, 0.9)
    pi = np.exp(reward.plan(weights).log_policy)
    here, expected = problem["initial"], np.zeros(K)
    for t in range(steps):
        taken = here[:, None] * (pi if pi.ndim == 2 else pi[t])
        expected += gain**t * np.einsum("sa,sak->k", taken, reward.features)
        here = np.einsum("sa,sat->t", taken, problem["transition"])
    assert found.standard_error == pytest.approx(np.sqrt(expected @ covariance @ expected), rel=1e-8)
    assert found.upper - found.estimate == pytest.approx(1.959964 * found.standard_error, rel=1e-6)
    assert found.estimate == pytest.approx(float(reward.start_value(weights)))


def test_the_reward_itself_has_the_variance_of_a_linear_form():
    reward, weights, covariance, _ = model()
    found = delta(reward.reward, weights, covariance, level=0.5)
    variance = np.einsum("sak,kl,sal->sa", reward.features, covariance, reward.features)
    np.testing.assert_allclose(found.standard_error**2, variance, rtol=1e-12)
    np.testing.assert_allclose(found.estimate - found.lower, 0.6744898 * found.standard_error, rtol=1e-6)


@pytest.mark.parametrize("quantity", ["policy", "value", "flows"])
def test_both_roads_agree_where_the_function_is_nearly_straight(quantity):
    reward, weights, covariance, _ = model()
    covariance = covariance * 1e-4
    function = getattr(reward, quantity)
    straight = delta(function, weights, covariance)
    count = 2000
    drawn = sampled(function, weights, covariance, key=KEY, count=count)
    # Five standard errors of a standard deviation from normal draws, 1 / sqrt(2 n) of it, over some twelve entries.
    np.testing.assert_allclose(
        drawn.standard_error, straight.standard_error, rtol=5 / np.sqrt(2 * count), atol=1e-12
    )
    np.testing.assert_allclose(drawn.estimate, straight.estimate, rtol=1e-12)
    # A quantile at 2.5 % has standard error sqrt(p (1 - p) / n) / density = 2.67 / sqrt(n) deviations.
    np.testing.assert_allclose(
        (drawn.upper - drawn.lower) / (straight.upper - straight.lower),
        1,
        atol=5 * 2.67 / np.sqrt(count) / 1.96,
    )
    assert drawn.draws.shape == (count, *drawn.estimate.shape) and drawn.failed == 0


def test_flows_sum_to_the_time_alive_whatever_the_weights():
    reward, weights, covariance, _ = model()
    found = delta(lambda w: reward.flows(w).sum(), weights, covariance)
    assert found.estimate == pytest.approx(10) and found.standard_error == pytest.approx(0, abs=1e-9)


def test_what_does_not_move_along_a_lost_direction_is_known_and_what_does_is_not():
    rng = np.random.default_rng(1)
    mdp = as_mdp(random_problem(rng, S, A, 1))
    base = rng.normal(size=(S, A, 2))
    features = np.concatenate([base, shape(mdp, rng.normal(size=S), discount=0.9)[..., None]], -1)
    reward, weights = LinearReward(mdp, features, temperature=0.5, discount=0.9), rng.normal(size=3)
    information = np.zeros((3, 3))
    information[:2, :2] = np.array([[40.0, 5], [5, 20]])
    covariance = on_identified(information, [[0.0, 0.0, 2.0]])
    np.testing.assert_allclose(covariance[:2, :2], np.linalg.inv(information[:2, :2]), rtol=1e-12)
    assert not covariance[2].any()
    policy = delta(reward.policy, weights, covariance, null=[[0, 0, 1]])
    assert np.isfinite(policy.standard_error).all() and (policy.standard_error > 0).any()
    assert np.isinf(delta(reward.value, weights, covariance, null=[[0, 0, 1]]).standard_error).all()
    # The estimator's own spelling: an infinite variance.
    marked = np.where(np.eye(3)[2].astype(bool), np.inf, covariance)
    marked[2, :2] = marked[:2, 2] = np.nan
    np.testing.assert_allclose(delta(reward.policy, weights, marked).standard_error, policy.standard_error)
    assert np.isinf(delta(lambda w: w, weights, marked).standard_error).tolist() == [False, False, True]
    np.testing.assert_allclose(on_identified(np.diag([2.0, 4.0]), np.zeros((0, 2))), np.diag([0.5, 0.25]))


@pytest.mark.parametrize("quantity", ["start_value", "value", "policy", "flows"])
def test_draws_without_a_solution_are_counted_and_left_out(quantity):
    p = np.zeros((2, 2, 2))
    p[0, 0, 0] = p[0, 1, 1] = p[1, :, 1] = 1
    mdp = TabularMDP(p, np.zeros((2, 2)), terminal=[False, True])
    # Staying costs 1 on average; where a draw pays more than log 2 for it, the loop pays for itself.
    reward = LinearReward(mdp, -np.array([[1.0, 0], [0, 0]])[..., None], temperature=1.0, discount=1.0)
    found = sampled(getattr(reward, quantity), [1.0], [[4.0]], key=KEY, count=400)
    # Pr(w < -log 2) for w ~ N(1, 4), within five standard errors.
    share = 0.19854
    assert found.failed / 400 == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / 400))
    assert np.isfinite(found.draws).all() and len(found.draws) == 400 - found.failed


def test_an_offset_is_part_of_the_reward_and_forbidden_choices_are_none():
    mdp = TabularMDP(np.full((2, 2, 2), 0.5), [[0.0, -np.inf], [0.0, 0.0]])
    features = np.array([[[1.0], [np.nan]], [[0.0], [2.0]]])
    reward = LinearReward(mdp, features, offset=np.array([[3.0, 0], [0, 0]]), discount=0.9)
    np.testing.assert_allclose(reward.reward(np.array([2.0])), [[5, 0], [0, 4]])
    plan = solve(mdp.with_reward([[5.0, -np.inf], [0.0, 4.0]]), temperature=1.0, discount=0.9, tolerance=1e-9)
    np.testing.assert_allclose(reward.value([2.0]), plan.v, rtol=1e-9)


def test_the_interval_of_an_ensemble_holds_one_more_member_as_often_as_it_says():
    rng = np.random.default_rng(2)
    members = rng.normal(size=(6, 20_000))
    found = ensemble(members[:5], level=0.9)
    held = np.mean((found.lower <= members[5]) & (members[5] <= found.upper))
    assert held == pytest.approx(0.9, abs=5 * np.sqrt(0.9 * 0.1 / 20_000))
    np.testing.assert_allclose(found.standard_error, members[:5].std(0, ddof=1))


def test_bad_input_is_one_sentence():
    reward, weights, covariance, _ = model()
    with pytest.raises(InputError, match=r"covariance must have shape \[K, K\] = \(3, 3\)"):
        delta(reward.value, weights, covariance[:2, :2])
    with pytest.raises(InputError, match="information must have an inverse beside the directions in null"):
        on_identified(np.diag([1.0, 0.0, 0.0]), [[0.0, 1.0, 0.0]])
    with pytest.raises(InputError, match=r"level must lie in \(0, 1\); got 95"):
        delta(reward.value, weights, covariance, level=95)
    with pytest.raises(InputError, match="count must be at least 2 draws; got 1"):
        sampled(reward.value, weights, covariance, key=KEY, count=1)
    with pytest.raises(InputError, match="sampled needs a finite covariance"):
        sampled(reward.value, weights, np.diag([1, np.inf, 1]), key=KEY)
    for road in (delta, lambda *arguments: sampled(*arguments, key=KEY)):
        with pytest.raises(
            InputError, match="covariance must not be negative in any direction; it is -1 in one"
        ):
            road(reward.value, weights, -np.eye(3))
    with pytest.raises(InputError, match="covariance must be finite between weights whose variances are"):
        delta(reward.value, weights, np.where(np.eye(3)[::-1] > 0, np.nan, 1) + np.diag([0, 1, 0]))
    with pytest.raises(InputError, match="of 3 draws 3 have no finite answer"):
        sampled(lambda w: w * np.nan, weights, covariance, key=KEY, count=3)
    with pytest.raises(InputError, match="an ensemble needs at least 2 members; got 1"):
        ensemble(np.zeros((1, 3)))
    with pytest.raises(InputError, match="members must be finite; member 1 is not"):
        ensemble([[0.0], [np.nan]])
