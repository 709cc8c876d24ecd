"""Messages over a finite horizon at the ends of their range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import maxentrl
from problems import as_mdp, random_problem

S, A = 4, 2
LONG = 10_000
EPS = np.finfo(np.float64).eps


def problem_of(scale: float):
    problem = random_problem(np.random.default_rng(0), S, A, 1)
    return {
        **problem,
        "reward": scale * np.sign(problem["reward"]) * np.random.default_rng(1).random((1, S, A)),
    }


def extended_precision(problem, temperature: float, horizon: int, dynamics: str):
    """V at the start of `horizon` steps, by a plain recursion in extended precision."""
    wide = np.longdouble
    p, r = problem["transition"].astype(wide), problem["reward"][0].astype(wide)
    v = np.zeros(S, wide)
    for _ in range(horizon):
        if dynamics == "given":
            q = r + p @ v
        else:
            top = v.max()
            q = r + top + temperature * np.log(p @ np.exp((v - top) / temperature))
        top = q.max(1)
        v = top + temperature * np.log(np.exp((q - top[:, None]) / temperature).mean(1))
    return v.astype(float)


@pytest.mark.parametrize("dynamics", ["given", "posterior"])
def test_rewards_of_ten_thousand_over_ten_thousand_steps_are_right(dynamics):
    for scale in (1e-4, 1.0, 1e4):
        problem = problem_of(scale)
        plan = maxentrl.solve(as_mdp(problem), temperature=1.0, horizon=LONG, dynamics=dynamics)
        assert np.all(np.isfinite(plan.v))
        expected = extended_precision(problem, 1.0, LONG, dynamics)
        # Each step adds a few units in the last place of the largest value.
        np.testing.assert_allclose(plan.v[0], expected, atol=8 * EPS * LONG * max(np.abs(expected).max(), 1))


def test_a_hard_maximum_over_ten_thousand_steps_is_right():
    problem = problem_of(1e4)
    v = np.zeros(S)
    for _ in range(LONG):
        v = (problem["reward"][0] + problem["transition"] @ v).max(1)
    plan = maxentrl.solve(as_mdp(problem), temperature=0.0, horizon=LONG)
    np.testing.assert_allclose(plan.v[0], v, rtol=8 * EPS * LONG)


@pytest.mark.parametrize("dynamics", ["given", "posterior"])
def test_marginals_of_extreme_problems_are_probabilities(dynamics):
    for scale in (1.0, 1e4):
        post = maxentrl.posterior(as_mdp(problem_of(scale)), temperature=1.0, horizon=LONG, dynamics=dynamics)
        for log_p, axes in ((post.log_state, 1), (post.log_state_action, (1, 2)), (post.log_policy, 2)):
            assert not np.any(np.isnan(log_p))
            # Each step may lose a few units in the last place of the messages that it subtracts.
            loss = 8 * EPS * LONG * (1 + np.abs(post.v).max())
            np.testing.assert_allclose(np.exp(log_p).sum(axes), 1, atol=loss)
        assert not np.any(np.isnan(post.log_forward))
        assert np.isfinite(post.log_evidence)


def test_forward_messages_of_a_long_horizon_give_the_same_evidence_at_every_time():
    """log p(O) = log sum_s exp(log a_t(s) + V_t(s) / temperature) for every t."""
    post = maxentrl.posterior(as_mdp(problem_of(1.0)), temperature=1.0, horizon=LONG)
    score = post.log_forward + post.v[:-1]
    top = score.max(1)
    evidence = top + np.log(np.exp(score - top[:, None]).sum(1))
    np.testing.assert_allclose(evidence, post.log_evidence, rtol=8 * EPS * LONG)


def test_single_precision_messages_agree_to_their_precision():
    problem, horizon = random_problem(np.random.default_rng(2), S, A, 50), 50
    double = maxentrl.posterior(as_mdp(problem), temperature=0.7, horizon=horizon)
    single = maxentrl.posterior(as_mdp(problem, dtype="float32"), temperature=0.7, horizon=horizon)
    assert single.v.dtype == np.float32
    slack = 8 * np.finfo(np.float32).eps * horizon
    np.testing.assert_allclose(single.v, double.v, rtol=0, atol=slack * np.abs(double.v).max())
    np.testing.assert_allclose(
        np.exp(single.log_state_action), np.exp(double.log_state_action), atol=slack * 50
    )


def test_the_gradient_through_tied_actions_is_shared_over_a_finite_horizon():
    """Two actions that are the same: the hard maximum sends half of the gradient to each, under jit, never
    NaN.
    """
    mdp = maxentrl.TabularMDP(np.ones((1, 2, 1)), np.zeros((1, 2)))

    def value(reward):
        return maxentrl.solve(mdp.with_reward(reward), temperature=0.0, horizon=3).start_value

    with jax.enable_x64(True):
        gradient = np.asarray(jax.jit(jax.grad(value))(jnp.zeros((1, 2))))
    np.testing.assert_array_equal(gradient, [[1.5, 1.5]])
