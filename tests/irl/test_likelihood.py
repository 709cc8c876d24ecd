"""The likelihood of demonstrations under a reward table: its gradient is demonstrations minus expectations."""

import itertools

import jax
import numpy as np
import pytest

from irl.worlds import CLOCKS, A, S, demonstrate, flow, policy, world
from maxentrl import InputError, TabularMDP, posterior, solve
from maxentrl.core.precision import in_double_precision
from maxentrl.data import trajectories_from_arrays
from maxentrl.irl import maxent, visits
from maxentrl.irl.likelihood import log_likelihood

TRUE = np.array([0.2, -0.5, 0.6])


def central(value, reward, direction, step=1e-5):
    """Error step^2 times a third derivative, and rounding of 1e-16 / step: about 1e-10 of the value."""
    return (float(value(reward + step * direction)) - float(value(reward - step * direction))) / (2 * step)


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("clock", CLOCKS)
def test_with_given_dynamics_the_gradient_is_demonstrations_minus_expectations(clock, deterministic):
    mdp, features = world(21, ends=clock == "first exit", deterministic=deterministic)
    settings = CLOCKS[clock]
    expert = 10 * flow(mdp, policy(mdp, features, TRUE, **settings), np.asarray(mdp.initial), **settings)
    weights = np.array([0.1, 0.2, 0.7])
    reward = features @ weights
    expected = 10 * flow(
        mdp, policy(mdp, features, weights, temperature=0.8, **settings), np.asarray(mdp.initial), **settings
    )

    def value(r):
        return log_likelihood(mdp, r, expert, temperature=0.8, **settings)

    gradient = np.asarray(in_double_precision(jax.grad(value))(reward))
    by_hand = (expert - expected) / 0.8
    by_hand = by_hand.sum(0) if by_hand.ndim == 3 else by_hand
    # The values are known to 1e-9 in units of reward; the expectations sum about a hundred of them.
    np.testing.assert_allclose(gradient, by_hand, atol=1e-7)
    direction = np.random.default_rng(0).normal(size=reward.shape)
    direction[np.asarray(mdp.terminal)] = 0
    assert central(value, reward, direction) == pytest.approx(float((gradient * direction).sum()), rel=1e-6)


@pytest.mark.parametrize("deterministic", [False, True])
def test_with_posterior_dynamics_the_gradient_subtracts_the_posterior_marginals(deterministic):
    mdp, features = world(22, deterministic=deterministic)
    mdp = mdp.with_initial(np.eye(S)[2])
    demos = demonstrate(mdp, features, TRUE, {"horizon": 5}, seed=0, count=20)
    reward = features @ np.array([0.3, -0.1, 0.2])

    def value(r):
        return log_likelihood(mdp, r, demos, temperature=0.7, horizon=5, dynamics="posterior")

    found = posterior(mdp.with_reward(reward), temperature=0.7, horizon=5)
    counts = np.zeros((S, A))
    np.add.at(counts, (demos.states, demos.actions), 1)
    by_hand = (counts - 20 * np.exp(np.asarray(found.log_state_action)).sum(0)) / 0.7
    gradient = np.asarray(in_double_precision(jax.grad(value))(reward))
    # A scan of five steps in float64.
    np.testing.assert_allclose(gradient, by_hand, atol=1e-11)
    direction = np.random.default_rng(0).normal(size=reward.shape)
    assert central(value, reward, direction) == pytest.approx(float((gradient * direction).sum()), rel=1e-7)


@pytest.mark.parametrize("seen", [1, 2, 3])
def test_the_probabilities_of_all_that_can_be_seen_of_a_posterior_trajectory_sum_to_one_for_each_start(seen):
    """Also when the recording was cut after 1 or 2 of 3 steps. Two states and two actions, every path."""
    rng = np.random.default_rng(3)
    mdp = TabularMDP(
        rng.dirichlet(np.ones(2), (2, 2)), rng.normal(size=(2, 2)), initial=rng.dirichlet(np.ones(2))
    )
    paths = list(itertools.product(range(2), repeat=2 * seen + 1))
    total = 0.0
    for path in paths:
        # state, action, state, action, ..., last state
        demo = trajectories_from_arrays([path[0::2]], [path[1::2]])
        total += np.exp(log_likelihood(mdp, mdp.reward, demo, horizon=3, dynamics="posterior"))
    # Up to 128 terms, each to rounding; one for each of the two starts.
    assert total == pytest.approx(2.0, abs=1e-13)


def test_ends_and_cuts_of_discounted_posterior_trajectories_sum_to_one_for_each_start():
    """Each path of one or two steps that ended there by the discount, or went on from a third state unseen."""
    rng = np.random.default_rng(4)
    mdp = TabularMDP(rng.dirichlet(np.ones(2), (2, 2)), 0.1 * rng.normal(size=(2, 2)))
    total = 0.0
    for path in itertools.product(range(2), repeat=5):
        seen = [([path[0::2]], [path[1::2]]), ([path[0:4:2]], [path[1::2]])]
        seen += [([path[:1]], [path[1:2]])] * (path[2:] == (0, 0, 0))
        for states, actions in seen if path[4] == 0 else seen[:1]:
            demo = trajectories_from_arrays(states, actions)
            total += np.exp(log_likelihood(mdp, mdp.reward, demo, discount=0.6, dynamics="posterior"))
    # Values to 1e-9.
    assert total == pytest.approx(2.0, abs=1e-7)


def test_a_path_to_the_end_has_its_boltzmann_weight_under_a_stationary_posterior():
    """First exit: p(tau | O) = prod P rho exp(r / temperature) / Z(start), written out for one path."""
    mdp, features = world(23, ends=True)
    reward = features @ TRUE
    states, actions = [0, 3, 1, 5], [2, 0, 1]
    demo = trajectories_from_arrays([states], [actions])
    found = log_likelihood(mdp, reward, demo, temperature=0.9, discount=1.0, dynamics="posterior")
    p, plan = (
        np.asarray(mdp.transition_matrix()),
        solve(mdp.with_reward(reward), temperature=0.9, discount=1.0, dynamics="posterior", tolerance=1e-11),
    )
    by_hand = -plan.v[0] / 0.9
    for s, a, s_next in zip(states, actions, states[1:], strict=False):
        by_hand += reward[s, a] / 0.9 - np.log(A) + np.log(p[s, a, s_next])
    # Values to 1e-9, over the temperature.
    assert float(found) == pytest.approx(by_hand, abs=3e-9)


def test_given_and_posterior_dynamics_agree_where_moves_are_certain():
    mdp, features = world(24, deterministic=True)
    reward = features @ TRUE
    demos = demonstrate(mdp, features, TRUE, {"horizon": 6}, seed=1, count=10)
    given = log_likelihood(mdp, reward, demos, horizon=6)
    whole = log_likelihood(mdp, reward, demos, horizon=6, dynamics="posterior")
    assert float(whole) == pytest.approx(float(given), abs=1e-11)


def test_an_action_that_costs_everything_is_as_good_as_forbidden():
    mdp, features = world(24, deterministic=True)
    reward = np.where(np.arange(A) == 1, -np.inf, features @ TRUE)
    states = np.asarray(mdp.transition_matrix()).argmax(-1)
    first, second = 0, int(states[0, 0])
    demo = trajectories_from_arrays(
        [[first, second]], [[0, 2]], next_states=[[second, int(states[second, 2])]]
    )

    def value(r, dynamics):
        return log_likelihood(mdp, r, demo, horizon=2, dynamics=dynamics)

    given, whole = (float(value(reward, dynamics)) for dynamics in ("given", "posterior"))
    assert whole == pytest.approx(given, abs=1e-12)
    slopes = [
        in_double_precision(jax.grad(lambda r, d=d: value(r, d)))(reward) for d in ("given", "posterior")
    ]
    assert np.isfinite(slopes[1]).all()
    np.testing.assert_allclose(slopes[1], slopes[0], atol=1e-12)


def test_counts_and_trajectories_are_as_likely_where_moves_are_certain():
    mdp, features = world(24, deterministic=True)
    demos = demonstrate(mdp, features, TRUE, {"horizon": 6}, seed=1, count=10)
    counts = visits(mdp, demos, 6).decisions
    found = [
        log_likelihood(mdp, features @ TRUE, d, horizon=6, dynamics="posterior") for d in (demos, counts)
    ]
    assert float(found[0]) == pytest.approx(float(found[1]), abs=1e-11)


def test_an_end_that_is_certain_need_not_be_recorded():
    """`maxent.fit` and the likelihood of a table judge ends alike: one chain, whose last state ends it."""
    chain = np.eye(4)[np.minimum(np.arange(4)[:, None] + [1, 0], 3)]
    mdp = TabularMDP(chain, np.zeros((4, 2)), terminal=np.arange(4) == 3)
    demo = trajectories_from_arrays([[0, 1, 1, 2]], [[0, 1, 0, 0]])
    features = -np.ones((4, 2, 1))
    found = maxent.fit(mdp, features, demo, discount=1.0, start=[1.0])
    same = log_likelihood(mdp, found.reward, demo, discount=1.0, dynamics="posterior")
    assert float(same) == pytest.approx(found.log_likelihood, abs=1e-8)


def test_what_posterior_dynamics_cannot_be_asked_is_refused():
    mdp, features = world(25)
    demos = demonstrate(mdp, features, TRUE, {"horizon": 4}, seed=1, count=3)
    reward = features @ TRUE
    with pytest.raises(InputError, match="visit counts do not say how many began"):
        log_likelihood(mdp, reward, np.ones((S, A)), discount=0.9, dynamics="posterior")
    unknown = trajectories_from_arrays(demos.states, demos.actions)
    with pytest.raises(InputError, match="trajectory '0' is cut off after 4 steps and does not say where"):
        log_likelihood(mdp, reward, unknown, horizon=9, dynamics="posterior")
    with pytest.raises(InputError, match=r"temperature must lie in \(0, inf\)"):
        log_likelihood(mdp, reward, demos, horizon=4, temperature=0.0)
    with pytest.raises(InputError, match="give a discount below 1, a horizon, or"):
        log_likelihood(mdp, reward, demos)
