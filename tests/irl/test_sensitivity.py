"""The gradient is demonstrations minus expectations, by four routes; information and scores follow."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from irl.worlds import CLOCKS, A, K, S, begun, demonstrate, flow, policy, world
from maxentrl import solve
from maxentrl.core.precision import in_double_precision
from maxentrl.irl import visits
from maxentrl.irl.fitting import linear_model
from maxentrl.irl.mce import log_likelihood, see
from maxentrl.irl.sensitivity import derivatives, objective, path_scores

W = np.array([0.5, -0.8, 0.3])
TRUE = np.array([0.2, -0.5, 0.6])
# Rounding in a solve of six states, and in a sum of some hundred decisions.
EXACT = {"rtol": 1e-8, "atol": 1e-9}


@in_double_precision
def study(mdp, features, demos, clock, loss="likelihood", w=W):
    """The objective and its derivatives at w."""
    discount, horizon = clock.get("discount", 1.0), clock.get("horizon")
    model = linear_model(mdp, features, 1.0, discount, horizon)
    seen, _ = see(mdp, demos, discount, horizon, loss)
    value, plan = objective(model, seen.evidence, w)
    return float(value), derivatives(model, seen.evidence, plan)


@in_double_precision
def scores(mdp, features, demos, clock, loss, given=False) -> np.ndarray:
    """Scores of all paths, with the features ahead that `derivatives` found, or with their own."""
    discount, horizon = clock.get("discount", 1.0), clock.get("horizon")
    model = linear_model(mdp, features, 1.0, discount, horizon)
    seen, _ = see(mdp, demos, discount, horizon, loss)
    plan = objective(model, seen.evidence, W)[1]
    ahead = derivatives(model, seen.evidence, plan).ahead if given else None
    return np.asarray(path_scores(model, plan, seen.paths, ahead))


@in_double_precision
def by_autodiff(mdp, features, decisions, clock):
    return _slope(mdp.bare(), jnp.asarray(features), jnp.asarray(decisions), jnp.asarray(W), clock)


@eqx.filter_jit
def _slope(mdp, features, decisions, w, clock):
    return jax.grad(lambda w: log_likelihood(mdp.with_reward(features @ w), decisions, **clock))(w)


def by_differences(value, step=1e-4):
    """Fourth-order central differences: error about 1e-4**4 and 1e-13 of the value over the step."""
    rows = []
    for e in np.eye(K) * step:
        rows.append((8 * (value(W + e) - value(W - e)) - value(W + 2 * e) + value(W - 2 * e)) / (12 * step))
    return np.array(rows)


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("deterministic", [False, True])
def test_autodiff_through_the_solver_equals_the_flow_and_central_differences(clock, deterministic):
    mdp, features = world(1, ends=clock == "first exit", deterministic=deterministic)
    settings = CLOCKS[clock]
    demos = demonstrate(mdp, features, TRUE, settings, seed=1, count=20)
    _, found = study(mdp, features, demos, settings)
    counts = visits(mdp, demos, settings.get("horizon")).decisions
    np.testing.assert_allclose(found.gradient, by_autodiff(mdp, features, counts, settings), **EXACT)
    differences = by_differences(lambda w: study(mdp, features, demos, settings, w=w)[0])
    np.testing.assert_allclose(found.gradient, differences, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("clock", CLOCKS)
def test_for_exact_occupancies_the_gradient_is_demonstrations_minus_expectations(clock):
    mdp, features = world(2, ends=clock == "first exit")
    settings = CLOCKS[clock]
    expert = flow(mdp, policy(mdp, features, TRUE, **settings), np.asarray(mdp.initial), **settings)
    learner = flow(mdp, policy(mdp, features, W, **settings), np.asarray(mdp.initial), **settings)
    difference = np.einsum("tsa,sak->k", (expert - learner).reshape(-1, S, A), features)
    np.testing.assert_allclose(study(mdp, features, expert, settings)[1].gradient, difference, **EXACT)
    np.testing.assert_allclose(by_autodiff(mdp, features, expert, settings), difference, **EXACT)


def test_for_complete_demonstrations_of_a_deterministic_world_too():
    mdp, features = world(3, ends=True, deterministic=True)
    settings = CLOCKS["first exit"]
    demos = demonstrate(mdp, features, TRUE, settings, seed=2, count=20, steps=400)
    assert np.all(demos.next_states[np.arange(20), demos.lengths - 1] == S - 1)
    counts = visits(mdp, demos).decisions
    expected = flow(mdp, policy(mdp, features, W, **settings), begun(demos), **settings)
    difference = np.einsum("sa,sak->k", counts - expected, features)
    for loss in ("likelihood", "moments"):
        np.testing.assert_allclose(
            study(mdp, features, demos, settings, loss)[1].gradient, difference, **EXACT
        )


@pytest.mark.parametrize("clock", CLOCKS)
def test_moments_and_likelihood_differ_by_the_luck_of_the_transitions(clock):
    mdp, features = world(4, ends=clock == "first exit")
    settings = CLOCKS[clock]
    demos = demonstrate(mdp, features, TRUE, settings, seed=3, count=1)
    likelihood, moments = (
        study(mdp, features, demos, settings, loss)[1] for loss in ("likelihood", "moments")
    )

    def values(w):
        v = np.asarray(solve(mdp.with_reward(features @ w), temperature=1.0, tolerance=1e-9, **settings).v)
        return v if v.ndim == 2 else np.broadcast_to(v, (demos.longest + 1, S))

    slope = np.moveaxis(by_differences(values), 0, -1)
    p, luck = np.asarray(mdp.transition_matrix()), np.zeros(K)
    for t in range(demos.steps):
        s, a, s_next = (x[0, t] for x in (demos.states, demos.actions, demos.next_states))
        luck += settings.get("discount", 1.0) * (slope[t + 1, s_next] - p[s, a] @ slope[t + 1])
    difference = np.asarray(moments.gradient) - np.asarray(likelihood.gradient)
    np.testing.assert_allclose(difference, luck, rtol=1e-8, atol=1e-9)
    assert np.abs(difference).max() > 0.1


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("loss", ["likelihood", "moments"])
def test_the_information_is_minus_the_slope_of_the_gradient_and_the_scores_sum_to_it(clock, loss):
    mdp, features = world(5, ends=clock == "first exit")
    settings = CLOCKS[clock]
    demos = demonstrate(mdp, features, TRUE, settings, seed=4, count=20)
    _, found = study(mdp, features, demos, settings, loss)
    slope = by_differences(lambda w: np.asarray(study(mdp, features, demos, settings, loss, w)[1].gradient))
    np.testing.assert_allclose(found.information, -slope, rtol=1e-8, atol=1e-7)
    for given in (False, True):
        single = scores(mdp, features, demos, settings, loss, given)
        np.testing.assert_allclose(single.sum(0), found.gradient, **EXACT)


def test_the_moments_of_a_discounted_trajectory_start_again_at_each_state_it_visits():
    """Expectations begin at the start and, with weight 1 - discount, at every later state."""
    mdp, features = world(6)
    settings = CLOCKS["discounted"]
    demos = demonstrate(mdp, features, TRUE, settings, seed=5, count=20)
    left = np.bincount(demos.states.ravel(), minlength=S) - 0.9 * np.bincount(
        demos.next_states.ravel(), minlength=S
    )
    expected = flow(mdp, policy(mdp, features, W, **settings), left, **settings)
    counts = visits(mdp, demos).decisions
    found = study(mdp, features, demos, settings, "moments")[1].gradient
    np.testing.assert_allclose(found, np.einsum("sa,sak->k", counts - expected, features), **EXACT)
