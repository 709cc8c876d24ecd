"""Maximum entropy: exact in any world by enumeration, the causal estimate where nothing is left to luck."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from irl.worlds import CLOCKS, A, S, begun, demonstrate, world
from maxentrl import InfeasibleError, InputError, TabularMDP, posterior
from maxentrl.core.precision import in_double_precision
from maxentrl.data import Trajectories, trajectories_from_arrays
from maxentrl.irl import maxent, mce, visits, ziebart2008
from maxentrl.irl.fitting import linear_model
from maxentrl.irl.sensitivity import derivatives, objective, path_scores

W = np.array([0.3, -0.4, 0.8])
TRUE = np.array([0.2, -0.5, 0.6])
# Rounding in a solve of six states, and in a sum of some hundred decisions.
EXACT = {"rtol": 1e-8, "atol": 1e-9}
# An optimist lives off luck: features small enough that no discounted loop of luck pays for ever.
SMALL = 0.1


def setting(clock: str, seed: int = 1, deterministic: bool = False):
    mdp, features = world(seed, ends=clock == "first exit", deterministic=deterministic)
    return mdp, features * (SMALL if clock == "discounted" else 1.0), CLOCKS[clock]


@in_double_precision
def study(mdp, features, demos, clock, w=W, dynamics="posterior"):
    discount, horizon = clock.get("discount", 1.0), clock.get("horizon")
    model = linear_model(mdp, features, 1.0, discount, horizon, dynamics)
    seen = maxent.see(mdp, demos, discount, horizon)
    value, plan = objective(model, seen.evidence, w)
    return float(value), derivatives(model, seen.evidence, plan)


@in_double_precision
def scores(mdp, features, demos, clock) -> np.ndarray:
    discount, horizon = clock.get("discount", 1.0), clock.get("horizon")
    model = linear_model(mdp, features, 1.0, discount, horizon, "posterior")
    seen = maxent.see(mdp, demos, discount, horizon)
    return np.asarray(path_scores(model, objective(model, seen.evidence, W)[1], seen.paths))


def log_z(mdp, features, w, clock: dict, steps: int | None = None) -> np.ndarray:
    """log Z(s), by linear algebra on exp(r): nothing of the library. [S], or with a horizon [T+1, S]."""
    p, live = np.asarray(mdp.transition_matrix()), ~np.asarray(mdp.terminal)
    discount = clock.get("discount", 1.0)
    weight = np.exp(features @ w + np.asarray(mdp.log_prior)) * live[:, None]
    moves = discount * np.einsum("sa,sat->st", weight, p)
    source = np.where(live, (1 - discount) * weight.sum(1), 1.0)
    if "horizon" not in clock:
        return np.log(np.linalg.solve(np.eye(S) - moves, source))
    z = [np.ones(S)]
    for _ in range(clock["horizon"]):
        z.append(moves @ z[-1] + source)
    return np.log(z[::-1])


def oracle(mdp, features, demos: Trajectories, w, clock: dict) -> float:
    """log p of recorded trajectories given their starts, step by step; without log P, which w does not move."""
    z, horizon = log_z(mdp, features, w, clock), clock.get("horizon")
    at = z if horizon else np.broadcast_to(z, (demos.longest + 1, S))
    total = 0.0
    for i in range(demos.count):
        last = demos.lengths[i] - 1
        for t in range(last + 1):
            s, a = demos.states[i, t], demos.actions[i, t]
            total += features[s, a] @ w + np.asarray(mdp.log_prior)[s, a]
        reached = demos.next_states[i, last]
        total -= at[0][demos.states[i, 0]]
        if reached >= 0 and not mdp.terminal[reached]:
            total += at[last + 1][reached]
    return total


def by_differences(value, w=W, step=1e-3):
    """Sixth-order central differences: error about step**6, and 1e-14 of the value over the step."""
    rows = []
    for e in np.eye(len(w)) * step:
        f = [value(w + k * e) - value(w - k * e) for k in (1, 2, 3)]
        rows.append((45 * f[0] - 9 * f[1] + f[2]) / (60 * step))
    return np.array(rows)


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("deterministic", [False, True])
def test_the_gradient_is_that_of_an_independent_likelihood_and_the_information_its_slope(
    clock, deterministic
):
    """Trajectories that are complete, that ended by the discount, and that were cut off, all together."""
    mdp, features, settings = setting(clock, deterministic=deterministic)
    demos = demonstrate(mdp, features, TRUE, settings, seed=1, count=20, steps=6)
    if clock != "first exit":
        # Some are cut off, and say where; and with a discount some have ended instead.
        length = np.resize([2, 3, 6], 20)
        keep = np.arange(demos.longest) < length[:, None]
        end = np.where(clock == "discounted", -1, demos.next_states)
        last = np.arange(demos.longest) == length[:, None] - 1
        ended = last & (np.arange(20) % 2 == 0)[:, None]
        following = np.where(ended, end, demos.next_states)
        demos = trajectories_from_arrays(
            np.where(keep, demos.states, -1),
            np.where(keep, demos.actions, -1),
            next_states=np.where(keep, following, -1),
        )
    value, found = study(mdp, features, demos, settings)
    np.testing.assert_allclose(value, oracle(mdp, features, demos, W, settings), rtol=1e-10)
    slope = by_differences(lambda w: oracle(mdp, features, demos, w, settings))
    np.testing.assert_allclose(found.gradient, slope, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(scores(mdp, features, demos, settings).sum(0), found.gradient, **EXACT)
    bend = by_differences(lambda w: np.asarray(study(mdp, features, demos, settings, w)[1].gradient))
    np.testing.assert_allclose(found.information, -bend, rtol=1e-8, atol=1e-7)


@in_double_precision
def by_autodiff(mdp, features, decisions, starts, clock):
    @eqx.filter_jit
    def slope(mdp, features, decisions, starts, w):
        def value(w):
            return maxent.log_likelihood(mdp.with_reward(features @ w), decisions, starts, **clock)

        return jax.grad(value)(w)

    return np.asarray(slope(mdp.bare(), *map(jnp.asarray, (features, decisions, starts, W))))


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("deterministic", [False, True])
def test_autodiff_through_the_solver_is_demonstrations_minus_posterior_marginals(clock, deterministic):
    mdp, features, settings = setting(clock, seed=2, deterministic=deterministic)
    demos = complete(mdp, features, settings, count=20)
    counts, starts = visits(mdp, demos, settings.get("horizon")).decisions, begun(demos)
    automatic = by_autodiff(mdp, features, counts, starts, settings)
    slope = by_differences(lambda w: oracle(mdp, features, demos, w, settings))
    np.testing.assert_allclose(automatic, slope, rtol=1e-8, atol=1e-8)
    if clock == "finite":
        # Messages, forward and backward, from each start in turn.
        marginals = 0.0
        for s in np.flatnonzero(starts):
            lone = TabularMDP(np.asarray(mdp.transition_matrix()), features @ W, initial=np.eye(S)[s])
            marginals += starts[s] * np.exp(posterior(lone, temperature=1.0, **settings).log_state_action)
        np.testing.assert_allclose(automatic, np.einsum("tsa,sak->k", counts - marginals, features), **EXACT)


def complete(mdp, features, settings: dict, count: int, seed: int = 3) -> Trajectories:
    """Complete trajectories: up to the horizon, up to the end, or ended by a discount at random."""
    demos = demonstrate(mdp, features, TRUE, settings, seed=seed, count=count, steps=300)
    if settings.get("discount", 1.0) == 1.0:
        return demos
    length = np.random.default_rng(seed).geometric(1 - settings["discount"], count)
    keep = np.arange(demos.longest) < length[:, None]
    states, actions = (np.where(keep, x, -1) for x in (demos.states, demos.actions))
    return trajectories_from_arrays(states, actions)


def test_the_information_is_the_covariance_of_feature_sums_over_all_trajectories():
    """Enumerated: every path of three steps, with its posterior weight."""
    mdp, features, _ = setting("finite", seed=4)
    p, begin = np.asarray(mdp.transition_matrix()), 2
    sums, weights = [], []
    for a0, s1, a1, s2, a2 in itertools.product(range(A), range(S), range(A), range(S), range(A)):
        total = features[begin, a0] + features[s1, a1] + features[s2, a2]
        sums.append(total)
        weights.append(p[begin, a0, s1] * p[s1, a1, s2] * np.exp(total @ W))
    weights = np.array(weights) / np.sum(weights)
    mean = weights @ np.array(sums)
    off = np.array(sums) - mean
    demos = trajectories_from_arrays(np.array([[begin, 1, 3]]), np.array([[0, 1, 2]]))
    _, found = study(mdp, features, demos, {"horizon": 3})
    np.testing.assert_allclose(found.information, (weights[:, None] * off).T @ off, **EXACT)
    seen = features[begin, 0] + features[1, 1] + features[3, 2]
    np.testing.assert_allclose(found.gradient, seen - mean, **EXACT)


@pytest.mark.parametrize("clock", ["finite", "first exit"])
def test_where_nothing_is_left_to_luck_trajectories_and_decisions_give_one_estimate(clock):
    mdp, features, settings = setting(clock, seed=5, deterministic=True)
    demos = demonstrate(mdp, features, TRUE, settings, seed=4, count=120, steps=400)
    path, causal = (f.fit(mdp, features, demos, **settings) for f in (maxent, mce))
    others = [path]
    if clock == "finite":
        others.append(maxent.fit(mdp, features, demos, method="ziebart2008", **settings))
    for other in others:
        np.testing.assert_allclose(other.weights, causal.weights, atol=1e-7)
        np.testing.assert_allclose(other.log_likelihood, causal.log_likelihood, rtol=1e-10)
        np.testing.assert_allclose(
            other.standard_errors_of("sandwich"), causal.standard_errors_of("sandwich"), rtol=1e-6
        )
    for kind in causal.covariances:
        np.testing.assert_allclose(path.standard_errors_of(kind), causal.standard_errors_of(kind), rtol=1e-6)


def gamble(odds: float = 0.5) -> tuple[TabularMDP, np.ndarray]:
    """Start: a sure thing, or a gamble that leads to a prize with these odds. The feature is the prize."""
    transition = np.zeros((4, 2, 4))
    transition[0, 0, 1] = 1
    transition[0, 1, 2:] = [odds, 1 - odds]
    transition[1:, :, 1] = 1
    features = np.zeros((4, 2, 1))
    features[2] = 1.0
    mdp = TabularMDP(transition, np.zeros((4, 2)), initial=np.eye(4)[0], terminal=np.arange(4) == 1)
    return mdp, features


def test_in_a_stochastic_world_they_differ_by_the_optimism_that_the_formula_says():
    """A gambler who plays half of the time. To the planner the gamble is worth odds * w: no more than nothing.
    To the optimist it is worth log E exp(w): nothing too, but a prize that was won is a sign of interest in it,
    and so the share of prizes matters: p(prize | start) = odds e^w / (1 + odds e^w + 1 - odds)."""
    mdp, features = gamble()
    lucky = np.array([[0, 2], [0, 2], [0, 3], [0, -1], [0, -1], [0, -1]])
    actions = np.where(lucky >= 0, [[1, 0]], -1)
    actions[3:, 0] = 0
    end = np.where(
        np.arange(2) == (actions >= 0).sum(1)[:, None] - 1, 1, np.append(lucky[:, 1:], lucky[:, :1], 1)
    )
    demos = trajectories_from_arrays(lucky, actions, next_states=np.where(actions >= 0, end, -1))
    causal = mce.fit(mdp, features, demos, discount=1.0)
    path = maxent.fit(mdp, features, demos, discount=1.0)
    np.testing.assert_allclose(causal.weights, 0.0, atol=1e-8)
    # Two prizes in six: e^w / 2 = (e^w / 2 + 3 / 2) / 3.
    np.testing.assert_allclose(path.weights, np.log(1.5), atol=1e-8)
    odds = np.array([0.75, 0.5, 1.0]) / 2
    p = np.repeat(odds / odds.sum(), [2, 1, 3])
    # The second step has two equal actions, of which one was taken: it costs log 2 each time it is come to.
    np.testing.assert_allclose(path.log_likelihood, np.log(p).sum() - 3 * np.log(2), rtol=1e-9)


def test_on_data_from_a_planner_the_causal_estimate_explains_decisions_better():
    mdp, features, settings = setting("finite", seed=6)
    demos = demonstrate(mdp, features, 3 * TRUE, settings, seed=5, count=120)
    causal, path = (f.fit(mdp, features, demos, **settings) for f in (mce, maxent))
    decisions = visits(mdp, demos, 8).decisions
    tilted = np.asarray(posterior(mdp.with_reward(path.reward), temperature=1.0, **settings).log_policy)
    by_path = float(np.sum(decisions * tilted))
    by_plan = mce.log_likelihood(mdp.with_reward(path.reward), decisions, **settings)
    assert causal.log_likelihood > by_path + 5
    assert causal.log_likelihood > by_plan + 5
    assert np.all(np.abs(causal.weights - 3 * TRUE) < 4 * causal.standard_errors)
    assert np.any(np.abs(path.weights - 3 * TRUE) > 4 * path.standard_errors)


def test_the_vector_of_2008_is_the_gradient_of_neither_likelihood_in_a_stochastic_world():
    settings = CLOCKS["finite"]
    for deterministic in (True, False):
        mdp, features = world(7, deterministic=deterministic)
        demos = demonstrate(mdp, features, TRUE, settings, seed=6, count=10)
        decisions = visits(mdp, demos, 8).decisions
        path = by_differences(lambda w, m=mdp, f=features, d=demos: oracle(m, f, d, w, settings))
        causal = by_differences(lambda w, m=mdp, f=features, d=decisions: conditional(m, f, d, w))
        printed = printed_vector(mdp, features, demos, settings)
        library, jacobian = in_library(mdp, features, demos)
        np.testing.assert_allclose(library, printed, **EXACT)
        off = [np.abs(printed - g).max() for g in (path, causal)]
        assert max(off) < 1e-7 if deterministic else min(off) > 0.1, off
        # Nor of anything else: a gradient has a symmetric Jacobian.
        twist = np.abs(jacobian - jacobian.T).max()
        assert twist < 1e-8 if deterministic else twist > 0.1


def conditional(mdp, features, decisions, w) -> float:
    """sum decisions log pi of a planner over 8 steps, by soft value iteration."""
    p, v, total = np.asarray(mdp.transition_matrix()), np.zeros(S), 0.0
    for t in reversed(range(8)):
        q = features @ w + p @ v + np.asarray(mdp.log_prior)
        v = np.log(np.exp(q).sum(1))
        total += np.sum(decisions[t] * (q - v[:, None]))
    return total


@in_double_precision
def in_library(mdp, features, demos):
    model = linear_model(mdp, features, 1.0, 1.0, 8, "posterior")
    evidence = maxent.see(mdp, demos, 1.0, 8).evidence
    return (
        np.asarray(ziebart2008.vector(model, evidence, jnp.asarray(W))),
        np.asarray(ziebart2008._slope(model, evidence, jnp.asarray(W))),
    )


def printed_vector(mdp, features, demos, clock) -> np.ndarray:
    """Algorithm 1 in plain NumPy: local action probabilities Z_a / Z, and visits in the true dynamics."""
    p, weight = np.asarray(mdp.transition_matrix()), np.exp(features @ W) / A
    z = np.exp(log_z(mdp, features, W, clock))
    d, expected = begun(demos), 0.0
    for t in range(clock["horizon"]):
        pi = weight * (p @ z[t + 1])
        mass = d[:, None] * pi / pi.sum(1, keepdims=True)
        expected, d = expected + np.einsum("sa,sak->k", mass, features), np.einsum("sa,sat->t", mass, p)
    seen = features[demos.states[demos.recorded], demos.actions[demos.recorded]].sum(0)
    return seen - expected


def test_the_estimate_of_2008_makes_its_vector_zero_and_is_another_one():
    mdp, features, settings = setting("finite", seed=7)
    demos = demonstrate(mdp, features, TRUE, settings, seed=6, count=120)
    found = maxent.fit(mdp, features, demos, method="ziebart2008", **settings)
    assert found.converged and found.gradient_norm < 1e-6 and found.kind == "sandwich"
    assert "as printed in 2008" in found.method and np.all(np.isfinite(found.standard_errors))
    for other in (mce, maxent):
        assert np.abs(other.fit(mdp, features, demos, **settings).weights - found.weights).max() > 1e-2
    with pytest.raises(InputError, match="knows no discount"):
        maxent.fit(mdp, features, demos, method="ziebart2008", discount=0.9)
    short = maxent.fit(mdp, features, demos, method="ziebart2008", max_steps=1, **settings)
    assert not short.converged and short.verdict in short.warnings


@pytest.mark.parametrize("clock", ["finite", "discounted"])
def test_exact_marginals_give_back_the_weights(clock):
    mdp, features, settings = setting(clock, seed=8)
    start = np.asarray(mdp.initial)
    long = settings if clock == "finite" else {"horizon": 400, "discount": 0.9}
    total = 0.0
    for s in np.flatnonzero(start):
        lone = TabularMDP(np.asarray(mdp.transition_matrix()), features @ TRUE, initial=np.eye(S)[s])
        total += start[s] * np.exp(posterior(lone, temperature=1.0, **long).log_state_action)
    counts = 1000 * np.asarray(total)
    counts, starts = (counts, None) if clock == "finite" else (counts.sum(0), 1000 * start)
    found = maxent.fit(mdp, features, counts, starts=starts, **settings)
    # 0.9 ** 400 is 5e-19, and the gradient is known to rounding of a thousand trajectories.
    np.testing.assert_allclose(found.weights, TRUE, atol=1e-7)
    assert found.converged and found.warnings == () and set(found.covariances) == {"hessian"}


def test_the_likelihood_of_an_estimate_is_that_of_the_posterior_step_by_step():
    mdp, features, settings = setting("finite", seed=9)
    demos = demonstrate(mdp, features, TRUE, settings, seed=7, count=120)
    found = maxent.fit(mdp, features, demos, **settings)
    post = posterior(mdp.with_reward(found.reward), temperature=1.0, **settings)
    p, total, log_pi = np.asarray(mdp.transition_matrix()), 0.0, np.asarray(post.log_policy)
    even = 0.0
    luck = [np.asarray(post.log_dynamics(t).probability) for t in range(7)]
    for i, t in itertools.product(range(120), range(8)):
        s, a, s_next = demos.states[i, t], demos.actions[i, t], demos.next_states[i, t]
        total += log_pi[t, s, a] + np.log(p[s, a, s_next])
        even += np.log(1 / A) + np.log(p[s, a, s_next])
        if t < 7:
            total += luck[t][s, a, s_next] - np.log(p[s, a, s_next])
    np.testing.assert_allclose(found.log_likelihood, total, rtol=1e-10)
    np.testing.assert_allclose(found.log_likelihood_uniform, even, rtol=1e-12)


def test_successor_lists_give_the_same_estimate():
    mdp, features, settings = setting("finite", seed=10)
    demos = demonstrate(mdp, features, TRUE, settings, seed=8, count=120)
    lists = (np.broadcast_to(np.arange(S), (S, A, S)), np.asarray(mdp.transition_matrix()))
    dense, sparse = (
        maxent.fit(m, features, demos, **settings) for m in (mdp, TabularMDP(lists, np.zeros((S, A))))
    )
    np.testing.assert_allclose(sparse.weights, dense.weights, atol=1e-9)
    for kind in dense.covariances:
        np.testing.assert_allclose(sparse.covariances[kind], dense.covariances[kind], rtol=1e-6, atol=1e-12)


def test_a_forbidden_action_and_a_penalty_are_no_obstacle():
    mdp, features, settings = setting("finite", seed=10)
    offset = np.zeros((S, A))
    offset[1, 2] = -np.inf
    able = mdp.with_reward(offset)
    demos = demonstrate(able, np.where(np.isneginf(offset)[..., None], 0.0, features), TRUE, settings, 9, 120)
    free = maxent.fit(able, features, demos, **settings)
    held = maxent.fit(able, features, demos, l2=100.0, **settings)
    assert free.converged and np.linalg.norm(held.weights) < np.linalg.norm(free.weights)


def test_too_good_a_discounted_world_is_refused_at_the_start_and_survived_on_the_way():
    mdp, features, settings = setting("discounted", seed=11)
    demos = complete(mdp, features, settings, count=60)
    with pytest.raises(InfeasibleError, match="at the starting weights"):
        maxent.fit(mdp, features, demos, start=[90.0, 90.0, 90.0], **settings)
    found = maxent.fit(mdp, features, demos, start=[1.0, 0.5, 0.5], **settings)
    np.testing.assert_allclose(found.weights, maxent.fit(mdp, features, demos, **settings).weights, atol=1e-6)


def test_a_trajectory_cut_off_without_saying_where_is_refused_unless_only_one_state_can_follow():
    mdp, features, settings = setting("finite", seed=12)
    cut = trajectories_from_arrays(np.array([[0, 1, 2]]), np.array([[0, 1, 2]]))
    with pytest.raises(InputError, match="trajectory '0' is cut off after 3 steps and does not say where"):
        maxent.fit(mdp, features, cut, **settings)
    sure, _, _ = setting("finite", seed=12, deterministic=True)
    follow = np.asarray(sure.transition_matrix())[0, 0].argmax()
    short = trajectories_from_arrays(np.array([[0]]), np.array([[0]]))
    told = trajectories_from_arrays(np.array([[0]]), np.array([[0]]), next_states=np.array([[follow]]))
    a, b = (study(sure, features, d, settings)[1] for d in (short, told))
    np.testing.assert_array_equal(a.gradient, b.gradient)


def test_discount_zero_explains_nothing_and_is_refused():
    mdp, features, _ = setting("discounted", seed=11)
    for demos in (np.ones((S, A)), trajectories_from_arrays(np.array([[0]]), np.array([[0]]))):
        with pytest.raises(InputError, match="posterior dynamics need a discount above 0"):
            maxent.fit(mdp, features, demos, discount=0.0)


@pytest.mark.parametrize(
    ("demos", "options", "sentence"),
    [
        (np.ones((S, A)), {"discount": 0.9}, r"do not say where trajectories begin.* give starts"),
        (np.ones((S, A)), {"discount": 0.9, "starts": np.ones(2)}, r"starts must have shape \[S\]"),
        (np.ones((S, A)), {"discount": 0.9, "starts": -np.ones(S)}, "finite, not negative"),
        (None, {"horizon": 8, "starts": np.ones(S)}, "starts is for visit counts"),
        (None, {"horizon": 8, "method": "2010"}, "method must be one of exact, ziebart2008"),
        (None, {}, "give a discount below 1, a horizon"),
        (None, {"horizon": 8, "temperature": 0.0}, r"temperature must lie in \(0, inf\)"),
    ],
)
def test_what_cannot_be_estimated_is_refused_with_a_sentence(demos, options, sentence, as_shipped):
    mdp, features, settings = setting("finite", seed=12)
    demos = demonstrate(mdp, features, TRUE, settings, seed=1, count=3) if demos is None else demos
    with pytest.raises(InputError, match=sentence):
        maxent.fit(mdp, features, demos, **options)
