"""At the edges: other number formats, temperatures near the limits, values that are no numbers, probabilities of zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import maxentrl as me
from maxentrl.core.soft import lme, tilt
from maxentrl.envs import random_mdp

PLANS = {
    "soft": dict(temperature=0.5, horizon=6),
    "posterior": dict(temperature=0.5, horizon=6, dynamics="posterior"),
    "hard": dict(temperature=0.0, horizon=6),
    "stationary": dict(temperature=0.5, discount=0.9),
}


def random_problem(kind: str) -> me.TabularMDP:
    return random_mdp(6, 3, seed=1, branching=None if kind == "dense" else 2)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("plan", PLANS)
def test_gradients_are_the_same_outside_a_float64_scope(kind, plan):
    mdp, asked = random_problem(kind), PLANS[plan]

    def start(reward):
        return me.solve(mdp.with_reward(reward), **asked).start_value

    narrow = jax.grad(start)(jnp.asarray(mdp.reward, jnp.float32))
    with jax.enable_x64(True):
        wide = jax.grad(start)(jnp.asarray(np.asarray(mdp.reward, np.float32), float))
    np.testing.assert_allclose(np.asarray(narrow), np.asarray(wide), atol=1e-5)
    assert np.asarray(wide).sum() > 1  # the expected number of steps


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_the_slope_of_the_evidence_outside_a_float64_scope_is_the_posterior(kind):
    mdp = random_problem(kind)

    def evidence(reward):
        return me.posterior(mdp.with_reward(reward), temperature=0.5, horizon=4).log_evidence

    found = jax.jit(jax.grad(evidence))(jnp.asarray(mdp.reward, jnp.float32))
    visits = np.exp(me.posterior(mdp, temperature=0.5, horizon=4).log_state_action).sum(0)
    np.testing.assert_allclose(found, visits / 0.5, atol=1e-5)


@pytest.mark.parametrize("discount", [0.9, 0.9999])
def test_a_sparse_float32_problem_is_as_close_to_the_truth_as_its_bound_says(discount):
    mdp = random_mdp(400, 3, seed=2, branching=4, dtype="float32")
    lists = mdp.transition
    probability = np.asarray(lists.probability, float)
    rows = probability / probability.sum(1, keepdims=True)
    v = np.full(mdp.states, 1.0 / (1.0 - discount))
    for _ in range(60):  # policy iteration, by matrices
        q = np.asarray(mdp.reward, float).T + 1.0 + discount * (rows * v[lists.successor]).sum(1)
        best = q.argmax(0)
        matrix = np.zeros((mdp.states, mdp.states))
        np.add.at(
            matrix,
            (np.arange(mdp.states)[:, None], lists.successor[best, :, np.arange(mdp.states)]),
            rows[best, :, np.arange(mdp.states)],
        )
        v = np.linalg.solve(
            np.eye(mdp.states) - discount * matrix,
            np.asarray(mdp.reward, float)[np.arange(mdp.states), best] + 1.0,
        )
    plan = me.solve(
        mdp.with_reward(np.asarray(mdp.reward) + 1.0), temperature=0.0, discount=discount, tolerance=1e-2
    )
    reward_rounding = 1e-7 / (1.0 - discount)
    assert np.max(np.abs(np.asarray(plan.v, float) - v)) <= float(plan.error_bound) + reward_rounding


def test_a_nan_stays_a_nan():
    with jax.enable_x64(True):
        x = jnp.asarray([np.nan, 1.0, 2.0])
        for temperature in (0.0, 0.3, np.inf):
            assert np.isnan(lme(x, jnp.log(jnp.full(3, 1 / 3)), temperature))
        assert np.all(np.isnan(tilt(x)))
        assert np.all(np.isnan(tilt(x, temperature=0.0)))


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("asked", [dict(discount=0.9), dict(horizon=3)])
def test_a_reward_that_is_no_number_gives_no_plan(kind, asked):
    mdp = random_problem(kind)
    reward = jnp.asarray(mdp.reward, jnp.float32).at[0, 0].set(jnp.nan)
    plan = jax.jit(lambda r: me.solve(mdp.with_reward(r), temperature=1.0, **asked))(reward)
    assert not bool(plan.converged)
    assert not np.isfinite(plan.error_bound) or np.isnan(np.asarray(plan.v)).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_temperatures_too_small_or_large_for_the_format_are_the_limits(kind, dtype):
    mdp = random_mdp(6, 3, seed=1, branching=None if kind == "dense" else 2, dtype=dtype)
    for temperature, limit in ((1e-310, 0.0), (1e-50 if dtype == "float32" else 5e-324, 0.0)):
        plan = me.solve(mdp, temperature=temperature, horizon=3)
        np.testing.assert_array_equal(plan.v, me.solve(mdp, temperature=limit, horizon=3).v)
    if dtype == "float32":
        plan = me.solve(mdp, temperature=1e300, horizon=3)
        np.testing.assert_array_equal(plan.v, me.solve(mdp, temperature=np.inf, horizon=3).v)


@pytest.mark.parametrize("temperature", [1e6, 1e12, 1e17])
def test_what_large_temperatures_round_away_is_in_the_bound(temperature):
    mdp = random_mdp(20, 3, seed=0)
    plan = me.solve(mdp, temperature=temperature, horizon=10)
    mean = me.solve(mdp, temperature=np.inf, horizon=10)
    # Of second order in the rewards: lme - mean <= range^2 / (8 temperature) a step, values included.
    nearly = 10 * (np.ptp(np.asarray(mean.v)) + np.ptp(np.asarray(mdp.reward))) ** 2 / (8 * temperature)
    assert np.max(np.abs(plan.v - np.asarray(mean.v))) <= float(plan.error_bound) + nearly
    assert float(me.solve(mdp, temperature=1.0, horizon=10).error_bound) < 1e-11


def test_traced_temperatures_at_their_limits_are_not_called_converged():
    mdp = random_problem("dense")
    plans = jax.vmap(lambda t: me.solve(mdp, temperature=t, horizon=2))(jnp.asarray([0.0, 1.0, np.inf]))
    assert np.array_equal(plans.converged, np.isfinite(plans.v).all((1, 2)))
    assert bool(plans.converged[1])


def test_probabilities_of_zero_have_finite_gradients():
    with jax.enable_x64(True):
        mdp = random_problem("dense")
        probability = jnp.asarray(mdp.transition.probability).at[0, 0, :].set(0).at[0, 0, 1].set(1.0)

        def value(p, initial, discount, dynamics):
            changed = mdp._replace(transition=me.Dense(p), initial=initial)
            return me.solve(
                changed, temperature=0.5, horizon=4, discount=discount, dynamics=dynamics
            ).start_value

        initial = jnp.zeros(mdp.states).at[2].set(1.0)
        for dynamics in ("given", "posterior"):
            for discount in (0.0, 0.5, 1.0):
                slopes = jax.grad(value, (0, 1, 2))(probability, initial, discount, dynamics)
                assert all(bool(jnp.all(jnp.isfinite(s))) for s in slopes)
                step = 1e-6 if discount < 1 else -1e-6
                moved = (value(probability, initial, discount + step, dynamics)
                         - value(probability, initial, discount, dynamics)) / step  # fmt: skip
                # A difference to one side: off by step times the second derivative, of order 10.
                np.testing.assert_allclose(slopes[2], moved, atol=1e-4)
        v = me.solve(mdp._replace(transition=me.Dense(probability)),
                     temperature=0.5, horizon=4).v[0]  # fmt: skip
        slope = jax.grad(value, 1)(probability, initial, 1.0, "given")
        np.testing.assert_allclose(slope, v, rtol=1e-12)


def test_a_batch_whose_terminal_states_differ_is_bounded_all_the_same():
    states, rng = 300, np.random.default_rng(0)
    successor = np.zeros((states, 2, 1), int)
    rewards = rng.normal(size=(2, states, 2))
    rewards[0, 0] = 5.0
    rewards[1] = rewards[0] + 0.01
    mdp = me.TabularMDP((successor, np.ones((states, 2, 1))), rewards[0])
    ends = np.zeros((2, states), bool)
    ends[1, 0] = True

    def plan(reward, terminal):
        return me.solve(
            mdp.with_reward(reward)._replace(terminal=terminal), temperature=0.0, discount=0.9, tolerance=3.0
        )

    plans = jax.vmap(plan)(jnp.asarray(rewards, jnp.float32), jnp.asarray(ends))
    away = np.max(rewards[1], 1)  # everything leads to state 0, which ends at once
    away[0] = 0.0
    assert np.max(np.abs(np.asarray(plans.v[1]) - away)) <= float(plans.error_bound[1]) + 1e-6


def test_the_mean_of_a_loss_without_bound_is_one():
    x, log_weight = np.array([1.0, -np.inf, 2.0]), np.log([0.5, 0.25, 0.25])
    assert lme(x, log_weight, np.inf) == -np.inf
    assert lme(x, np.array([np.log(0.5), -np.inf, np.log(0.5)]), np.inf) == pytest.approx(1.5)


def test_the_last_step_has_no_next_one():
    found = me.posterior(random_problem("dense"), temperature=1.0, horizon=4)
    found.log_pairs(2)
    for t in (-1, 3):
        with pytest.raises(
            me.InputError, match=f"t must be a step that has a next one, from 0 to 2; got {t}"
        ):
            found.log_pairs(t)
