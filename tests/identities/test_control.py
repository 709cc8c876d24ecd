"""What is true of every soft-optimal plan, whatever computed it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import maxentrl
from maxentrl import TabularMDP
from maxentrl.infer.policy import soft_policy_iteration
from oracles import all_deterministic_policies
from problems import as_mdp, random_problem

S, A = 6, 3
TEMPERATURE, DISCOUNT = 0.6, 0.9
SEEDS = range(4)


def problem_of(seed: int, **kinds):
    return random_problem(np.random.default_rng(seed), S, A, 1, terminal=seed % 2 == 0, **kinds)


def some_policy(rng, problem):
    p = rng.dirichlet(np.ones(A), S) * np.isfinite(problem["log_prior"])
    with np.errstate(divide="ignore"):
        return np.log(p / p.sum(-1, keepdims=True))


def kl(log_p, log_q):
    on = log_p > -np.inf
    return np.where(on, np.exp(log_p) * (np.where(on, log_p, 0) - np.where(on, log_q, 0)), 0).sum(-1)


def plan_of(mdp, **settings):
    return maxentrl.solve(mdp, **{"temperature": TEMPERATURE, "discount": DISCOUNT, **settings})


@pytest.mark.parametrize(
    "kinds", [{}, {"forbidden": True}, {"counting": True}], ids=["plain", "forbidden", "counting"]
)
def test_what_a_policy_loses_is_its_discounted_divergence_from_the_soft_optimal_one(kinds):
    """J(pi*) - J(pi) = temperature * sum over visits of KL(pi || pi*), for every policy."""
    for seed in SEEDS:
        problem = problem_of(seed, **kinds)
        mdp = as_mdp(problem)
        log_policy, plan = some_policy(np.random.default_rng(seed), problem), plan_of(mdp)
        value = maxentrl.evaluate(mdp, log_policy, temperature=TEMPERATURE, discount=DISCOUNT)
        visits = maxentrl.occupancy(mdp, log_policy, discount=DISCOUNT).sum(1)
        lost = TEMPERATURE * visits @ kl(log_policy, plan.log_policy)
        np.testing.assert_allclose(problem["initial"] @ (plan.v - value), lost, rtol=1e-9)


def test_the_soft_optimal_policy_evaluated_with_its_divergence_cost_is_worth_the_message():
    for seed in SEEDS:
        mdp = as_mdp(problem_of(seed))
        plan = plan_of(mdp)
        value = maxentrl.evaluate(mdp, plan.log_policy, temperature=TEMPERATURE, discount=DISCOUNT)
        np.testing.assert_allclose(value, plan.v, atol=plan.error_bound + 1e-12)


def test_soft_policy_iteration_raises_every_value_at_every_step():
    """Each step is Newton's on the soft Bellman residual, from below: a handful of steps, none
    of them down.
    """
    for seed in SEEDS:
        problem = problem_of(seed)
        start = some_policy(np.random.default_rng(seed), problem)
        mdp = as_mdp(problem)
        log_policy, values = soft_policy_iteration(mdp, start, temperature=TEMPERATURE, discount=DISCOUNT)
        steps = np.diff(values, axis=0)
        assert np.all(steps >= -1e-11)
        assert len(values) <= 10
        plan = plan_of(mdp)
        np.testing.assert_allclose(values[-1], plan.v, atol=1e-10 + plan.error_bound)
        live = ~problem["terminal"]
        np.testing.assert_allclose(np.exp(log_policy[live]), np.exp(plan.log_policy[live]), atol=1e-9)


def test_the_gradient_of_the_objective_is_zero_at_the_soft_optimal_policy():
    problem = problem_of(1)
    mdp = as_mdp(problem)

    def objective(logits):
        value = maxentrl.evaluate(
            mdp, jax.nn.log_softmax(logits, 1), temperature=TEMPERATURE, discount=DISCOUNT
        )
        return jnp.sum(jnp.asarray(problem["initial"]) * value)

    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(objective))
        best = np.asarray(gradient(jnp.asarray(plan_of(mdp).log_policy)))
        other = np.asarray(gradient(jnp.zeros((S, A))))
    assert np.abs(best).max() < 1e-10
    assert np.abs(other).max() > 1e-2


def test_potential_shaping_moves_values_by_the_potential_and_leaves_the_policy():
    """r + discount E[phi(s')] - phi(s), with phi = 0 where the process ends: V - phi and the same pi."""
    for seed in SEEDS:
        problem = problem_of(seed)
        potential = np.where(problem["terminal"], 0, np.random.default_rng(seed).normal(size=S))
        mdp = as_mdp(problem)
        shaped = mdp.with_reward(
            np.asarray(mdp.reward) + DISCOUNT * problem["transition"] @ potential - potential[:, None]
        )
        plan, moved = plan_of(mdp), plan_of(shaped)
        np.testing.assert_allclose(moved.v, plan.v - potential, atol=1e-9)
        live = ~problem["terminal"]
        np.testing.assert_allclose(moved.log_policy[live], plan.log_policy[live], atol=1e-8)


def test_at_temperature_zero_the_plan_is_the_best_of_all_deterministic_policies():
    """All A^S of them, evaluated one by one; and small temperatures come down to it within t log A / (1 -
    discount).
    """
    states, actions = 5, 2
    problem = random_problem(np.random.default_rng(3), states, actions, 1)
    mdp, p, r = as_mdp(problem), problem["transition"], problem["reward"][0]
    rows = np.arange(states)
    values = [
        np.linalg.solve(np.eye(states) - DISCOUNT * p[rows, list(policy)], r[rows, list(policy)])
        for policy in all_deterministic_policies(states, actions)
    ]
    hard = plan_of(mdp, temperature=0.0)
    np.testing.assert_allclose(hard.v, np.max(values, axis=0), atol=hard.error_bound + 1e-12)
    soft = plan_of(mdp, temperature=1e-3)
    assert np.all(soft.v <= hard.v + 1e-9)
    assert np.all(soft.v >= hard.v - 1e-3 * math.log(actions) / (1 - DISCOUNT) - 1e-9)


def test_at_infinite_temperature_the_plan_is_the_value_of_the_prior():
    problem = problem_of(1)
    mdp = as_mdp(problem)
    expected = np.linalg.solve(
        np.eye(S) - DISCOUNT * problem["transition"].mean(1), problem["reward"][0].mean(1)
    )
    np.testing.assert_allclose(plan_of(mdp, temperature=math.inf).v, expected, rtol=1e-9)
    # The next term in 1 / temperature is the variance of Q / (2 temperature) each step, below 1e-4 here.
    np.testing.assert_allclose(plan_of(mdp, temperature=1e6).v, expected, atol=1e-4)


def test_soft_values_lie_between_the_prior_and_the_hard_maximum():
    """Prior convention: V_prior <= V_soft <= V_hard. Counting: V_hard <= V_soft <= V_hard + t log A / (1 -
    discount).
    """
    for seed in SEEDS:
        mdp = as_mdp(problem_of(seed))
        hard, prior = plan_of(mdp, temperature=0.0).v, plan_of(mdp, temperature=math.inf).v
        soft, counting = plan_of(mdp).v, plan_of(mdp.with_prior("counting")).v
        slack = 1e-9
        assert np.all(prior <= soft + slack)
        assert np.all(soft <= hard + slack)
        assert np.all(hard <= counting + slack)
        assert np.all(counting <= hard + TEMPERATURE * math.log(A) / (1 - DISCOUNT) + slack)


def test_reward_and_prior_are_exchangeable():
    """(r, rho) and (r + t log rho, counting) have the same values and policies; Q moves by t log rho."""
    rng = np.random.default_rng(0)
    for dynamics in ("given", "posterior"):
        problem = random_problem(rng, S, A, 1)
        problem["reward"] -= 3
        log_prior = np.log(rng.dirichlet(np.ones(A), S))
        mdp = as_mdp(problem).with_prior(log_prior)
        moved = mdp.with_prior("counting").with_reward(np.asarray(mdp.reward) + TEMPERATURE * log_prior)
        one, two = plan_of(mdp, dynamics=dynamics), plan_of(moved, dynamics=dynamics)
        np.testing.assert_allclose(one.v, two.v, rtol=1e-9)
        np.testing.assert_allclose(one.log_policy, two.log_policy, rtol=1e-8)
        np.testing.assert_allclose(two.q - one.q, TEMPERATURE * log_prior, atol=1e-9)


def test_the_counting_prior_adds_a_constant_while_nothing_ends():
    """t log A a step: t log A / (1 - discount) in all, and the same policy."""
    mdp = as_mdp(problem_of(1))
    normalised, counting = plan_of(mdp), plan_of(mdp.with_prior("counting"))
    constant = TEMPERATURE * math.log(A) / (1 - DISCOUNT)
    np.testing.assert_allclose(counting.v, normalised.v + constant, rtol=1e-9)
    np.testing.assert_allclose(counting.log_policy, normalised.log_policy, atol=1e-9)


@pytest.mark.parametrize("dynamics", ["given", "posterior"])
def test_scaling_rewards_and_temperature_together_changes_nothing_but_units(dynamics):
    problem = problem_of(1)
    problem["reward"] -= problem["reward"].max()
    mdp, scale = as_mdp(problem), 8.0
    plan = plan_of(mdp, dynamics=dynamics)
    scaled = plan_of(
        mdp.with_reward(scale * np.asarray(mdp.reward)), temperature=scale * TEMPERATURE, dynamics=dynamics
    )
    np.testing.assert_allclose(scaled.v, scale * plan.v, rtol=1e-9)
    np.testing.assert_allclose(scaled.log_policy, plan.log_policy, atol=1e-8)


def test_path_consistency_holds_along_each_path_of_a_deterministic_world_and_in_mean_otherwise():
    """V(s) - discount V(s') = r - t log(pi / rho) at the soft optimum (Nachum et al. 2017, equation 10)."""
    for deterministic in (True, False):
        problem = problem_of(1, deterministic=deterministic)
        plan = plan_of(as_mdp(problem))
        paid = problem["reward"][0] - TEMPERATURE * (plan.log_policy - problem["log_prior"])
        residual = plan.v[:, None, None] - DISCOUNT * plan.v - paid[..., None]
        reached = problem["transition"] > 0
        np.testing.assert_allclose((problem["transition"] * residual).sum(-1), 0, atol=1e-9)
        if deterministic:
            np.testing.assert_allclose(residual[reached], 0, atol=1e-9)
        else:
            assert np.abs(residual[reached]).max() > 0.1


def test_a_linearly_solvable_problem_is_a_soft_backup_whose_prior_is_the_passive_dynamics():
    """Actions name the next state, the prior is pbar: z = exp(q) pbar z for z = exp(v) (Todorov 2006)."""
    states = 5
    rng = np.random.default_rng(0)
    passive = rng.dirichlet(np.ones(states), states)
    cost = rng.uniform(0.1, 1, states)
    live = np.arange(states) < states - 1
    mdp = TabularMDP(
        np.broadcast_to(np.eye(states), (states, states, states)),
        np.broadcast_to(-cost[:, None], (states, states)),
        prior=np.log(passive),
        terminal=~live,
    )
    m = np.exp(-cost)[:, None] * passive
    z = np.linalg.solve(np.eye(states - 1) - m[:-1, :-1], m[:-1, -1])
    plan = maxentrl.solve(mdp, temperature=1.0, discount=1.0)
    np.testing.assert_allclose(plan.v, np.append(np.log(z), 0), atol=plan.error_bound + 1e-12)


def test_a_truncated_record_keeps_its_future_and_a_terminated_one_does_not():
    """Reward 1 for ever is 1 / (1 - discount); the same process that ends after T steps is the
    partial sum.
    """
    forever = TabularMDP([[[1.0]]], [[1.0]])
    np.testing.assert_allclose(plan_of(forever).v, [1 / (1 - DISCOUNT)], rtol=1e-9)
    ended = maxentrl.solve(forever, temperature=TEMPERATURE, discount=DISCOUNT, horizon=7)
    np.testing.assert_allclose(ended.v[0], [(1 - DISCOUNT**7) / (1 - DISCOUNT)], rtol=1e-12)
