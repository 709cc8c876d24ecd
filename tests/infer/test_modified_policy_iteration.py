"""The sparse solver is held against dense linear algebra: policy iteration written here, in NumPy alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import maxentrl as me
from maxentrl.infer import evaluation
from maxentrl.infer.shared_successors import shared_successors

STATES, ACTIONS, COUNT = 300, 3, 3
TOLERANCE = 1e-6


def lists(rng, local: bool):
    """Successor lists [S, A, K] with a padded slot here and there, and probabilities."""
    if local:
        here = np.arange(STATES)[:, None, None]
        successor = np.clip(here + rng.integers(-1, 2, (STATES, ACTIONS, COUNT)), 0, STATES - 1)
    else:
        successor = rng.integers(0, STATES, (STATES, ACTIONS, COUNT))
    probability = rng.dirichlet(np.ones(COUNT), (STATES, ACTIONS))
    padded = rng.random((STATES, ACTIONS)) < 0.2
    probability[padded, 0] += probability[padded, 2]
    probability[padded, 2] = 0.0
    return successor, probability


def model(seed: int, local: bool, ends: bool, prior="uniform", dtype="float64"):
    rng = np.random.default_rng(seed)
    reward = rng.normal(size=(STATES, ACTIONS))
    reward[rng.random((STATES, ACTIONS)) < 0.1] = -np.inf
    reward[:, 0] = rng.normal(size=STATES)
    terminal = np.arange(STATES) % 97 == 5 if ends else np.zeros(STATES, bool)
    return me.TabularMDP(lists(rng, local), reward, terminal=terminal, prior=prior, dtype=dtype)


def exact(mdp, temperature: float, discount: float) -> np.ndarray:
    """Soft policy iteration with dense solves, to rounding."""
    table = np.zeros((STATES, ACTIONS, STATES))
    successor, probability = np.asarray(mdp.transition.successor), np.asarray(mdp.transition.probability)
    for a in range(ACTIONS):
        for k in range(COUNT):
            np.add.at(table, (np.arange(STATES), a, successor[a, k]), probability[a, k])
    live, reward, log_prior = ~np.asarray(mdp.terminal), np.asarray(mdp.reward), np.asarray(mdp.log_prior)
    v = np.zeros(STATES)
    for _ in range(100):
        q = np.where(np.isneginf(log_prior), -np.inf, reward + discount * table @ v)
        if temperature == 0:
            pi = np.eye(ACTIONS)[q.argmax(1)]
            bonus = np.zeros(STATES)
        elif np.isinf(temperature):
            pi, bonus = np.exp(log_prior), np.zeros(STATES)
        else:
            score = log_prior + q / temperature
            score -= score.max(1, keepdims=True)
            pi = np.exp(score) / np.exp(score).sum(1, keepdims=True)
            with np.errstate(divide="ignore", invalid="ignore"):
                bonus = -temperature * np.where(pi > 0, pi * (np.log(pi) - log_prior), 0).sum(1)
        gain = np.where(live, np.where(pi > 0, pi * reward, 0).sum(1) + bonus, 0)
        flow = np.einsum("sa,sat->st", pi, table) * live[:, None]
        new = np.linalg.solve(np.eye(STATES) - discount * flow, gain)
        if np.abs(new - v).max() < 1e-13 * (1 + np.abs(new).max()):
            return new
        v = new
    return v


@pytest.mark.parametrize("temperature", [0.0, 0.01, 1.0, np.inf])
@pytest.mark.parametrize("local", [True, False])
def test_the_bound_holds_and_reaches_the_tolerance(temperature, local):
    for seed, (ends, discount) in enumerate(
        [(False, 0.0), (False, 0.9), (True, 0.99), (False, 0.999), (True, 0.9999)]
    ):
        mdp = model(seed, local, ends)
        plan = me.solve(mdp, temperature=temperature, discount=discount, tolerance=TOLERANCE)
        assert plan.converged and plan.error_bound <= TOLERANCE
        assert np.abs(plan.v - exact(mdp, temperature, discount)).max() <= plan.error_bound
        assert (plan.v[np.asarray(mdp.terminal)] == 0).all()


def test_problems_in_single_precision_are_solved_in_double_and_rounded():
    double = model(0, False, True)
    mdp = model(0, False, True, dtype="float32")
    plan = me.solve(mdp, temperature=0.5, discount=0.9, tolerance=TOLERANCE)
    assert plan.v.dtype == np.float32
    # The problem itself was rounded, once per reward and probability; its values move by at most 1 / (1 - discount) of that.
    off = np.abs(plan.v - exact(double, 0.5, 0.9)).max()
    assert off <= plan.error_bound + 10 * COUNT * np.finfo(np.float32).eps * (5 + np.abs(plan.v).max())


def test_a_batch_of_rewards_is_solved_as_each_alone_and_the_gradient_is_the_occupancy():
    mdp = model(3, True, False)
    rewards = np.random.default_rng(0).normal(size=(3, STATES, ACTIONS))
    with jax.enable_x64(True):

        def value(reward):
            solved = me.solve(mdp.with_reward(reward), temperature=0.5, discount=0.9, tolerance=1e-9)
            return solved.start_value

        together = jax.vmap(value)(jnp.asarray(rewards))
        slope = jax.grad(value)(jnp.asarray(rewards[0]))
    alone = [
        float(me.solve(mdp.with_reward(r), temperature=0.5, discount=0.9, tolerance=1e-9).start_value)
        for r in rewards
    ]
    np.testing.assert_allclose(together, alone, rtol=0, atol=2e-9)
    plan = me.solve(mdp.with_reward(rewards[0]), temperature=0.5, discount=0.9, tolerance=1e-9)
    visits = me.occupancy(mdp, plan.log_policy, discount=0.9)
    # Values are known to 1e-9, the policy hence to 2e-9 / temperature.
    np.testing.assert_allclose(slope, visits, rtol=0, atol=1e-7)


@pytest.mark.parametrize("ends", [False, True])
def test_a_batch_of_close_rewards_begins_each_at_its_neighbours_values_and_proves_every_answer(ends):
    mdp = model(5, True, ends)
    close = np.asarray(mdp.reward) + 1e-3 * np.random.default_rng(1).normal(size=(2, 3, STATES, ACTIONS))

    def plan(reward):
        solved = me.solve(mdp.with_reward(reward), temperature=0.0, discount=0.99, tolerance=TOLERANCE)
        return solved.v, solved.error_bound, solved.sweeps

    with jax.enable_x64(True):
        found = jax.jit(jax.vmap(jax.vmap(plan)))(jnp.asarray(close))
    values, bounds, sweeps = map(np.asarray, found)
    for at in np.ndindex(2, 3):
        off = np.abs(values[at] - exact(mdp.with_reward(close[at]), 0.0, 0.99)).max()
        assert off <= bounds[at] <= TOLERANCE
    assert (sweeps[:, 1:] < sweeps[0, 0]).all()


def test_a_batch_of_discounts_is_solved_and_proven():
    mdp = model(6, False, False)
    with jax.enable_x64(True):
        discounts = jnp.array([0.5, 0.99, 0.9])
        many = jax.vmap(lambda d: me.solve(mdp, temperature=1.0, discount=d, tolerance=TOLERANCE))(discounts)
    values, bounds = np.asarray(many.v), np.asarray(many.error_bound)
    for discount, v, bound in zip((0.5, 0.99, 0.9), values, bounds, strict=True):
        assert np.abs(v - exact(mdp, 1.0, discount)).max() <= bound <= TOLERANCE


def test_shared_successors_say_where_every_entry_leads():
    successor, _ = lists(np.random.default_rng(0), True)
    successor = successor.transpose(1, 2, 0)
    shared = shared_successors(successor)
    assert shared is not None and shared.successor.shape[0] <= 3
    led = np.take_along_axis(shared.successor[None], shared.slot.reshape(1, -1, STATES).astype(int), axis=1)
    np.testing.assert_array_equal(led.reshape(successor.shape), successor)
    scattered, _ = lists(np.random.default_rng(0), False)
    assert shared_successors(scattered.transpose(1, 2, 0)) is None


@pytest.mark.parametrize("directions", [0, 4])
def test_evaluation_leaves_the_residual_that_it_reports(directions):
    rng = np.random.default_rng(0)
    chain, discount = rng.dirichlet(np.full(40, 0.05), 40), 0.99
    with jax.enable_x64(True):
        matrix, right = jnp.asarray(chain), jnp.asarray(rng.uniform(-1, 1, 40))

        def apply(x):
            return discount * matrix @ x

        found = evaluation.sweep(
            apply, right, jnp.asarray(discount), True, limit=2000, enough=1e-9, directions=directions
        )
        y = found.y + found.shift
        np.testing.assert_allclose(right - (y - apply(y)), found.residual, rtol=0, atol=1e-11)
        better, _ = evaluation.bicgstab(apply, right, limit=2000, enough=1e-9)
        assert float(jnp.max(jnp.abs(right - (better - apply(better))))) <= 1.1e-9


def test_a_long_cycle_that_sweeps_cannot_certify_is_left_to_newtons_method():
    states = 400
    around = (np.arange(states) + 1) % states
    reward = np.random.default_rng(0).random((states, 1))
    mdp = me.TabularMDP((around[:, None, None], np.ones((states, 1, 1))), reward)
    plan = me.solve(mdp, temperature=0, discount=0.9999)
    powers = 0.9999 ** np.arange(states)
    first = float(powers @ reward[:, 0]) / (1 - 0.9999**states)
    assert plan.converged and abs(plan.v[0] - first) <= plan.error_bound
