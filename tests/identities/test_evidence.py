"""Planning computes the log evidence; differentiating it infers; bounding it controls."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import maxentrl
from oracles import enumerate_posterior, roll_out_by_enumeration
from problems import as_mdp, random_problem

S, A, T = 5, 3, 4
SEEDS = range(4)


def some_policy(rng, problem, times=()):
    p = rng.dirichlet(np.ones(A), (*times, S)) * np.isfinite(problem["log_prior"])
    with np.errstate(divide="ignore"):
        return np.log(p / p.sum(-1, keepdims=True))


def problem_of(seed: int, **kinds):
    return random_problem(
        np.random.default_rng(seed), S, A, T, changing=True, terminal=seed % 2 == 0, **kinds
    )


@pytest.mark.parametrize("dynamics", ["posterior", "given"])
def test_the_derivative_of_log_evidence_is_the_occupancy(dynamics):
    """d log Z / d reward = mu / temperature: the smoothed marginals, or the visits of the control policy."""
    temperature, discount = 0.7, 0.9

    def log_evidence(mdp, reward):
        plan = maxentrl.solve(
            mdp.with_reward(reward), temperature=temperature, horizon=T, dynamics=dynamics, discount=discount
        )
        return plan.log_evidence

    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(log_evidence, argnums=1))
        for seed in SEEDS:
            mdp = as_mdp(problem_of(seed))
            post = maxentrl.posterior(
                mdp, temperature=temperature, horizon=T, dynamics=dynamics, discount=discount
            )
            found = np.asarray(gradient(mdp, jnp.asarray(mdp.reward)))
            np.testing.assert_allclose(
                found, np.exp(post.log_state_action) / temperature, rtol=1e-10, atol=1e-14
            )
            if dynamics == "given":
                visits = maxentrl.occupancy(mdp, post.log_policy, discount=discount, horizon=T)
                np.testing.assert_allclose(found, visits / temperature, rtol=1e-10, atol=1e-14)


def test_the_derivative_of_a_stationary_value_is_the_discounted_occupancy():
    def start_value(mdp, reward):
        return maxentrl.solve(mdp.with_reward(reward), temperature=0.7, discount=0.9).start_value

    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(start_value, argnums=1))
        for seed in SEEDS:
            mdp = as_mdp(random_problem(np.random.default_rng(seed), 6, A, 1, terminal=seed % 2 == 0))
            found = np.asarray(gradient(mdp, jnp.asarray(mdp.reward)))
            plan = maxentrl.solve(mdp, temperature=0.7, discount=0.9)
            visits = maxentrl.occupancy(mdp, plan.log_policy, discount=0.9)
            np.testing.assert_allclose(found, visits, rtol=1e-9, atol=1e-12)


def test_log_evidence_is_the_bound_of_any_policy_plus_its_divergence_from_the_posterior():
    """The divergence is summed here over every trajectory, in plain NumPy."""
    for seed in SEEDS:
        problem, temperature = problem_of(seed), 0.7
        log_policy = some_policy(np.random.default_rng(seed), problem, (T,))
        bound = maxentrl.evidence_bound(as_mdp(problem), log_policy, temperature=temperature, horizon=T)
        every = enumerate_posterior(problem, temperature)
        np.testing.assert_allclose(bound.evidence_bound + bound.gap, every.log_evidence, rtol=1e-12)
        np.testing.assert_allclose(bound.gap, divergence(problem, log_policy, temperature), rtol=1e-9)
        assert bound.gap >= 0


def divergence(problem, log_policy, temperature):
    """KL( q_pi(tau) || p(tau | O) ): of the start and of what each step adds, along the marginals of q_pi."""
    every = enumerate_posterior(problem, temperature)
    state, state_action, pairs = roll_out_by_enumeration(problem, np.exp(log_policy))
    live = ~problem["terminal"]

    def expected_ratio(weight, p, q):
        on = weight > 0
        return np.sum(weight[on] * (np.log(p[on]) - np.log(q[on])))

    total = expected_ratio(state[0], problem["initial"], every.initial)
    for t in range(T):
        total += expected_ratio(state_action[t][live], np.exp(log_policy[t][live]), every.policy[t][live])
        if t < T - 1:
            total += expected_ratio(pairs[t][live], problem["transition"][live], every.dynamics[t][live])
    return total


def test_with_deterministic_dynamics_and_a_known_start_the_posterior_policy_closes_the_gap():
    problem = problem_of(1, deterministic=True)
    problem["initial"] = np.eye(S)[np.argmin(problem["terminal"])]
    mdp = as_mdp(problem)
    post = maxentrl.posterior(mdp, temperature=0.7, horizon=T)
    bound = maxentrl.evidence_bound(mdp, post.log_policy, temperature=0.7, horizon=T)
    np.testing.assert_allclose(bound.gap, 0, atol=1e-13)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_forward_messages_times_backward_messages_are_the_rolled_out_marginals(sparse):
    """Two routes to p(s_t | O): a_t(s) exp(V_t(s) / temperature) / p(O), and tilting start, policy and
    dynamics.
    """
    for seed in SEEDS:
        for discount in (1.0, 0.8):
            post = maxentrl.posterior(
                as_mdp(problem_of(seed), sparse=sparse), temperature=0.7, horizon=T, discount=discount
            )
            product = post.log_forward + post.v[:-1] / 0.7 - post.log_evidence
            np.testing.assert_allclose(np.exp(product), np.exp(post.log_state), rtol=1e-11, atol=1e-300)


def test_the_optimality_model_is_never_less_hopeful_than_control():
    """V under posterior dynamics >= V under given dynamics, by Jensen; equal when dynamics are
    deterministic.
    """
    for seed in SEEDS:
        for deterministic in (False, True):
            mdp = as_mdp(problem_of(seed, deterministic=deterministic))
            hopeful = maxentrl.solve(mdp, temperature=0.7, horizon=T, dynamics="posterior").v
            sober = maxentrl.solve(mdp, temperature=0.7, horizon=T, dynamics="given").v
            assert np.all(hopeful >= sober - 1e-12)
            if deterministic:
                np.testing.assert_allclose(hopeful, sober, rtol=1e-12, atol=1e-12)


def test_the_lottery_shows_the_optimism():
    """Safe: 0. Risky: +4 with probability 0.05, else -4. Exact inference takes the risk 0.733,
    control 0.027.
    """
    transition = np.zeros((4, 2, 4))
    transition[0, 0, 1] = 1
    transition[0, 1, 2:] = [0.05, 0.95]
    transition[1:] = np.eye(4)[1:, None]
    reward = np.array([[0.0, 0.0], [0.0, 0.0], [4.0, 4.0], [-4.0, -4.0]])
    mdp = maxentrl.TabularMDP(transition, reward, initial=[1, 0, 0, 0])
    hopeful = maxentrl.posterior(mdp, temperature=1.0, horizon=2)
    sober = maxentrl.posterior(mdp, temperature=1.0, horizon=2, dynamics="given")
    hope = 0.05 * math.exp(4) + 0.95 * math.exp(-4)
    np.testing.assert_allclose(np.exp(hopeful.log_policy[0, 0, 1]), hope / (1 + hope), rtol=1e-12)
    np.testing.assert_allclose(np.exp(sober.log_policy[0, 0, 1]), 1 / (1 + math.exp(3.6)), rtol=1e-12)
    assert round(float(np.exp(hopeful.log_policy[0, 0, 1])), 3) == 0.733
    assert round(float(np.exp(sober.log_policy[0, 0, 1])), 3) == 0.027
