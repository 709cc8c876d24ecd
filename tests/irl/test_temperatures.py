"""Weights and temperatures come out together, with the errors that they have, and what cannot be told is named."""

import dataclasses

import jax
import numpy as np
import pytest

from infer.networks import log_probability, walk
from irl.towns import TRUE as ROADS
from irl.towns import town
from irl.worlds import CLOCKS, A, K, S, demonstrate, key, world
from maxentrl import InputError, TabularMDP, solve
from maxentrl.data import Trajectories, trajectories_from_arrays
from maxentrl.data.trips import trips_from_sequences
from maxentrl.irl import mce, routes, sample_trajectories, temperatures
from maxentrl.irl.fitting import linear_model
from maxentrl.irl.temperature_parts import table_parts
from maxentrl.irl.temperature_search import Likelihood
from maxentrl.irl.validation import held_out, likelihood_ratio, policy_of, score

TRUE, HEAT = np.array([0.2, -0.5, 0.6]), np.array([0.5, 1.0, 2.0])
PAY = np.random.default_rng(5).normal(size=(S, A))
"""A payoff in known units."""


def crowd(mdp, reward, heat, clock: dict, count: int, seed: int = 0, names=None) -> Trajectories:
    """`count` trajectories of each of some planners who share a reward, and not a temperature."""
    parts = []
    for g, t in enumerate(heat):
        plan = solve(mdp.with_reward(reward), temperature=t, tolerance=1e-9, **clock)
        steps = clock.get("horizon", 8)
        parts.append(
            sample_trajectories(mdp, plan.log_policy, key=key(1000 * seed + g), count=count, horizon=steps)
        )
    names = [f"g{g}" for g in range(len(heat))] if names is None else names
    return together(parts, names)


def together(parts, names) -> Trajectories:
    ends = [np.concatenate([part.states, part.next_states[:, -1:]], 1) for part in parts]
    groups = [name for name, part in zip(names, parts, strict=True) for _ in range(part.count)]
    actions = np.concatenate([part.actions for part in parts])
    return trajectories_from_arrays(np.concatenate(ends), actions, groups=groups)


def log_policy(mdp, reward, temperature: float, discount=1.0, horizon=None) -> np.ndarray:
    """[T, S, A], T = 1 where it does not end by the clock, with a uniform prior, in plain NumPy: by backups, or by
    soft policy iteration, which converges quadratically."""
    p, v, found = np.asarray(mdp.transition_matrix()), np.zeros(S), []
    for _ in range(horizon or 9):
        q = (reward + discount * p @ v) / temperature
        top = q.max(1, keepdims=True)
        log_pi = q - top - np.log(np.exp(q - top).sum(1, keepdims=True))
        found.append(log_pi)
        pi = np.exp(log_pi)
        gain = (pi * (reward - temperature * (log_pi + np.log(A)))).sum(1)
        chain = np.einsum("sa,sat->st", pi, p)
        v = gain + chain @ v if horizon else np.linalg.solve(np.eye(S) - discount * chain, gain)
    return np.array(found[::-1] if horizon else found[-1:])


def likelihoods(mdp, features, offset, demos, theta, fixed, clock) -> np.ndarray:
    """[N], from weights and the log temperatures of the groups."""
    count = features.shape[-1]
    heat = np.append([] if fixed is None else fixed, np.exp(theta[count:]))
    whose = np.unique(np.array(demos.groups), return_inverse=True)[1]
    reward, single = offset + features @ theta[:count], np.zeros(demos.count)
    for g, t in enumerate(heat):
        log_pi = log_policy(mdp, reward, t, **clock)
        for i in np.flatnonzero(whose == g):
            steps = np.arange(demos.lengths[i])
            at = steps if len(log_pi) > 1 else 0 * steps
            single[i] = log_pi[at, demos.states[i, steps], demos.actions[i, steps]].sum()
    return single


def slope(function, x: np.ndarray, step: float) -> np.ndarray:
    """Central differences of the fourth order, [len(x), ...]."""
    axes = np.eye(len(x)) * step
    return np.array(
        [
            (8 * (function(x + d) - function(x - d)) - function(x + 2 * d) + function(x - 2 * d))
            / (12 * step)
            for d in axes
        ]
    )


@pytest.mark.parametrize(("clock", "pinned"), [("discounted", False), ("finite", True)])
def test_gradient_and_information_are_differences_of_the_likelihood_anywhere(clock, pinned):
    """Differences with steps of 2e-3: the fifth derivative times 1e-12, and rounding of a likelihood of 200 by 1e-14
    over the step, and once more over the step for the information."""
    settings, (mdp, features) = CLOCKS[clock], world(31)
    offset = PAY if pinned else np.zeros((S, A))
    demos = crowd(mdp, features @ TRUE + offset, HEAT, settings, 8)
    columns = np.concatenate([features, PAY[..., None]], -1) if pinned else features
    which = np.unique(np.array(demos.groups), return_inverse=True)[1]
    place = np.arange(3) if pinned else np.arange(3) - 1

    def each(theta):
        return likelihoods(mdp, features, offset, demos, theta, None if pinned else 0.7, settings)

    theta = np.array([0.3, -0.2, 0.5, *([0.4] if pinned else []), -0.3, 0.5])
    with jax.enable_x64(True):
        model = linear_model(mdp, columns, 1.0, settings.get("discount", 1.0), settings.get("horizon"))
        parts = table_parts(mdp, model, demos, which, settings.get("horizon"))
        whole = Likelihood(parts, K, columns.shape[-1], place, np.log(0.7))
        level, memos = whole.value(theta)
        found = whole.slopes(theta, memos, scores=True)
    assert level == pytest.approx(each(theta).sum(), rel=1e-10) and found.scores is not None
    scores = slope(each, theta, 2e-3).T
    size = np.abs(scores.sum(0)).max()
    np.testing.assert_allclose(found.gradient, scores.sum(0), atol=1e-8 * size)
    np.testing.assert_allclose(found.scores, scores, atol=1e-8 * size)
    twice = -slope(lambda x: slope(lambda y: each(y).sum(), x, 2e-3), theta, 2e-3)
    np.testing.assert_allclose(found.information, twice, atol=1e-6 * np.abs(twice).max())


@pytest.mark.parametrize("pinned", [True, False])
def test_drivers_temperatures_are_the_maximum_with_its_curvature_and_scores(pinned):
    network, table, trips = town(1, "forced")
    trips = dataclasses.replace(trips, groups=tuple("ab"[i % 2] for i in range(trips.count)))
    offset = table[:, 2] * ROADS[2] if pinned else np.zeros(network.arcs)
    table = table[:, :2] if pinned else table
    found = temperatures.fit_routes(network, table, trips, offset=offset if pinned else None)
    count = table.shape[1]
    assert found.converged and found.weights.names == ("0", "1", "2")[:count]
    theta = np.append(found.weights.weights, np.log(found.temperatures[0 if pinned else 1 :]))

    def each(x):
        heat = np.exp(x[count:] if pinned else [0.0, x[count]])
        u = offset + table @ x[:count]
        return np.array(
            [
                log_probability(network, u / heat[i % 2], trips.sequence(i), "forced")
                for i in range(trips.count)
            ]
        )

    assert found.weights.log_likelihood == pytest.approx(each(theta).sum(), rel=1e-11)
    scores = slope(each, theta, 2e-3).T
    np.testing.assert_allclose(scores.sum(0), 0, atol=1e-6)
    inverse = np.linalg.inv(-slope(lambda x: slope(lambda y: each(y).sum(), x, 2e-3), theta, 2e-3))
    outer = scores.T @ scores
    for kind, spread in (
        ("hessian", inverse),
        ("outer", np.linalg.inv(outer)),
        ("sandwich", inverse @ outer @ inverse),
    ):
        np.testing.assert_allclose(found.covariances[kind], spread, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(found.weights.covariances[kind], found.covariances[kind][:count, :count])
        heat = np.sqrt(np.diag(spread))[count:]
        np.testing.assert_allclose(found.log_errors[kind][-len(heat) :], heat, rtol=1e-5)
    np.testing.assert_allclose(found.weights.reward, offset + table @ found.weights.weights)


def test_equal_data_in_two_groups_are_of_one_temperature():
    mdp, features = world(32)
    part = demonstrate(mdp, features, TRUE, CLOCKS["discounted"], seed=1, count=40)
    twice = together([part, part], "ab")
    found = temperatures.fit(mdp, features, twice, temperature=0.8, discount=0.9)
    tied = mce.fit(mdp, features, dataclasses.replace(twice, groups=None), temperature=0.8, discount=0.9)
    # A maximum is known to the root of what the likelihood can show, 1e-8; Newton's last step leaves far less.
    np.testing.assert_allclose(found.temperatures, 0.8, rtol=1e-8)
    np.testing.assert_allclose(found.weights.weights, tied.weights, rtol=1e-7)
    assert found.test is not None
    assert found.test.statistic == pytest.approx(0, abs=1e-9) and found.test.p_value > 0.999
    assert found.test.degrees == 1 and found.common == 0.8
    assert "are not shown to differ" in found.sentence()


def test_the_weights_know_less_when_the_temperatures_must_be_found_too():
    mdp, features = world(32)
    demos = crowd(mdp, features @ TRUE + PAY, HEAT, CLOCKS["discounted"], 60)
    found = temperatures.fit(mdp, features, demos, discount=0.9, offset=PAY)
    assert found.reference is None and found.weights.warnings == ()
    assert found.weights.fisher is not None
    # Where decisions are of the model, both are the information of the weights, up to chance: here to a tenth.
    np.testing.assert_allclose(
        np.sqrt(np.diag(np.linalg.inv(found.weights.fisher))), found.weights.standard_errors, rtol=0.1
    )
    doubled = dataclasses.replace(demos, weights=np.full(demos.count, 2.0))
    double = temperatures.fit(mdp, features, doubled, discount=0.9, offset=PAY)
    np.testing.assert_allclose(double.temperatures, found.temperatures, rtol=1e-7)
    np.testing.assert_allclose(double.standard_errors, found.standard_errors / np.sqrt(2), rtol=1e-6)


def test_temperatures_are_recovered_and_nominal_95_percent_intervals_cover_them():
    """150 data sets; the band is three binomial standard errors of 150 independent trials, for each parameter: fifteen
    sentences of which one in 400 would fail by chance, and the keys are fixed. Means of all estimates are within
    three standard errors and the bias of a maximum, which is of the order of the variance of a logarithm, 0.03."""
    (mdp, features), sets, settings = world(12), 150, CLOCKS["finite"]
    whole = crowd(mdp, features @ TRUE, HEAT, settings, 40 * sets)
    rows = np.arange(whole.count).reshape(3, sets, 40)
    found = []
    for i in range(sets):
        part = whole.take(rows[:, i].ravel())
        found.append(temperatures.fit(mdp, features, part, temperature=HEAT[0], **settings))
    for kind in found[0].covariances:
        inside = np.array(
            [np.abs(f.weights.weights - TRUE) < 1.96 * f.weights.standard_errors_of(kind) for f in found]
        )
        heat = np.array([np.abs(np.log(f.temperatures / HEAT)) <= 1.96 * f.log_errors[kind] for f in found])
        covered = np.append(inside, heat[:, 1:], 1).mean(0)
        assert np.abs(covered - 0.95).max() < 3 * np.sqrt(0.95 * 0.05 / sets), (kind, covered)
    limits = np.array([f.intervals() for f in found])
    assert np.all((limits[:, 0] == 0.5) & (limits[:, 1:, :1] > 0)[:, 0])
    logs = np.log([f.temperatures[1:] for f in found])
    spread = 3 * logs.std(0) / np.sqrt(sets)
    assert np.all(np.abs(logs.mean(0) - np.log(HEAT[1:])) < spread + logs.var(0))
    assert all(f.test is not None and f.test.degrees == 2 and f.converged for f in found)
    assert np.mean([f.test.p_value < 0.05 for f in found if f.test is not None]) > 0.99


def test_an_offset_in_known_units_tells_a_single_temperature():
    mdp, features = world(33)
    for heat in (0.05, 0.8, 20.0):
        pay = PAY * heat
        demos = crowd(mdp, heat * (features @ TRUE) + pay, [heat], CLOCKS["discounted"], 300)
        found = temperatures.fit(
            mdp, features, dataclasses.replace(demos, groups=None), discount=0.9, offset=pay, temperature=1.0
        )
        # Four standard errors, about 0.1 each.
        assert found.groups == ("all",) and found.log_errors["hessian"][0] < 0.15
        assert abs(np.log(found.temperatures[0] / heat)) < 4 * found.log_errors["hessian"][0]
        assert np.all(np.abs(found.weights.weights - heat * TRUE) < 4 * found.weights.standard_errors)
        assert found.test is None and found.sentence() == "" and found.weights.free_temperatures == 1


def test_one_temperature_more_counts_in_aic_and_bic():
    mdp, features = world(33)
    demos = crowd(mdp, features @ TRUE + PAY, [1.0], CLOCKS["discounted"], 40)
    found = temperatures.fit(mdp, features, demos, discount=0.9, offset=PAY).weights
    wide = np.concatenate([features, PAY[..., None]], -1)
    same = mce.fit(mdp, wide, demos, discount=0.9)
    # One temperature and an offset say the same as one weight more.
    assert found.log_likelihood == pytest.approx(same.log_likelihood, rel=1e-12)
    assert found.aic == pytest.approx(same.aic) and found.bic == pytest.approx(same.bic)


def test_estimates_of_groups_plan_score_and_nest_like_any_other():
    mdp, features = world(34)
    demos = crowd(mdp, features @ TRUE, HEAT, CLOCKS["discounted"], 40)
    found = temperatures.fit(mdp, features, demos, temperature=0.5, discount=0.9)
    policies = found.policies(mdp)
    for g, name in enumerate(found.groups):
        one = found.of(name)
        assert one.settings["temperature"] == found.named[name]
        expected = log_policy(mdp, features @ one.weights, found.temperatures[g], discount=0.9)[0]
        np.testing.assert_allclose(policies[name], expected, atol=1e-7)
    held = score(mdp, policies, demos)
    assert held.log_likelihood == pytest.approx(found.weights.log_likelihood, rel=1e-9)
    own = demos.take(np.arange(40))
    assert score(mdp, policies, own).log_likelihood == pytest.approx(held_out(mdp, found.of("g0"), own)[1])
    small = temperatures.fit(
        mdp, features[..., :2], demos, temperature=0.5, discount=0.9, feature_names=["0", "1"]
    )
    assert likelihood_ratio(small.weights, found.weights).degrees == 1
    assert "g1" in found.summary() and "likelihood ratio" in found.summary()
    record = found.to_dict()
    assert record["temperatures"][1]["group"] == "g1"  # pyright: ignore[reportIndexIssue]


def decide(counts, names) -> tuple[TabularMDP, Trajectories]:
    """One decision each in two states: [group][state][action] times."""
    mdp = TabularMDP(np.full((2, 2, 2), 0.5), np.zeros((2, 2)))
    rows = [
        (s, a, name)
        for name, table in zip(names, counts, strict=True)
        for s in range(2)
        for a in range(2)
        for _ in range(table[s][a])
    ]
    states, actions = (np.array([row[i] for row in rows])[:, None] for i in range(2))
    return mdp, trajectories_from_arrays(states, actions, groups=[row[2] for row in rows])


FIRST = np.array([[[1.0], [0.0]], [[0.0], [0.0]]])
"""A feature of the first action in the first state."""


@pytest.mark.parametrize(
    ("counts", "sentence", "log_temperature"),
    [
        ([[[30, 10], [0, 0]], [[0, 0], [9, 4]]], "the decisions of b say nothing of its temperature", 0.0),
        ([[[30, 10], [0, 0]], [[20, 0], [0, 0]]], "the best temperature of b is 0: it always chooses", None),
        ([[[30, 10], [0, 0]], [[8, 12], [0, 0]]], "the best temperature of b is infinite", None),
        (
            [[[0, 0], [9, 4]], [[30, 10], [0, 0]]],
            "the decisions of a, whose temperature is fixed, do not",
            None,
        ),
    ],
)
def test_a_group_whose_decisions_do_not_tell_its_temperature_is_named(counts, sentence, log_temperature):
    mdp, demos = decide(counts, "ab")
    found = temperatures.fit(mdp, FIRST, demos, horizon=1)
    assert [w for w in found.weights.warnings if sentence in w], found.weights.warnings
    assert np.isinf(found.log_errors["hessian"][1]) and np.isinf(found.standard_errors[1])
    low, high = found.intervals()[1]
    assert low == 0 and np.isinf(high) and found.test is None and "cannot be tested" in found.sentence()
    if log_temperature is not None:
        assert np.log(found.temperatures[1]) == log_temperature
        # The odds 3 to 1 of the other group, and the error of a logit of 40 decisions.
        assert found.weights.weights[0] == pytest.approx(np.log(3), rel=1e-9)
        assert found.weights.standard_errors[0] == pytest.approx(np.sqrt(1 / 30 + 1 / 10), rel=1e-9)
    assert found.to_dict()["temperatures"][1]["upper"] is None  # pyright: ignore[reportIndexIssue]


def test_odds_of_two_groups_give_weight_and_temperature_in_closed_form():
    mdp, demos = decide([[[30, 10], [0, 0]], [[18, 12], [0, 0]]], ["x", "y"])
    found = temperatures.fit(mdp, FIRST, demos, temperature=2.0, horizon=1)
    assert found.weights.weights[0] == pytest.approx(2 * np.log(3), rel=1e-9)
    ratio = np.log(3) / np.log(1.5)
    assert found.temperatures == pytest.approx([2.0, 2 * ratio], rel=1e-9)
    # The delta method on two independent logits.
    errors = np.sqrt([1 / 30 + 1 / 10, 1 / 18 + 1 / 12]) / np.log([3, 1.5])
    assert found.log_errors["hessian"] == pytest.approx([0, np.hypot(*errors)], rel=1e-8)


def one_group(demos):
    return dataclasses.replace(demos, groups=None)


def test_what_has_no_answer_is_refused_in_one_sentence():
    mdp, features = world(35)
    demos = crowd(mdp, features @ TRUE + PAY, [1.0], CLOCKS["discounted"], 30)
    for lonely in (demos, one_group(demos)):
        with pytest.raises(InputError, match="weights and temperature are only known together"):
            temperatures.fit(mdp, features, lonely, discount=0.9)
    with pytest.raises(InputError, match=r"they go against the offset.*rewards, not costs"):
        temperatures.fit(mdp, features, demos, discount=0.9, offset=-PAY)
    for offset in (np.ones((S, A)), features[..., 0] - features[..., 1]):
        with pytest.raises(InputError, match=r"the offset does not tell the temperature: .* not identified"):
            temperatures.fit(mdp, features, demos, discount=0.9, offset=offset)
    for wrong in (0.0, np.inf):
        with pytest.raises(InputError, match=r"temperature must lie in \(0, inf\)"):
            temperatures.fit(mdp, features, demos, discount=0.9, offset=PAY, temperature=wrong)
    with pytest.raises(InputError, match="start must have shape"):
        temperatures.fit(mdp, features, demos, discount=0.9, offset=PAY, start=[1.0])
    network, table, trips = town(1, "forced", 30)
    with pytest.raises(InputError, match="weights and temperature are only known together"):
        temperatures.fit_routes(network, table, trips)


def test_visit_counts_hold_no_groups_and_are_refused(as_shipped):
    mdp, features = world(35)
    with pytest.raises(InputError, match="temperatures are estimated from Trajectories; got ndarray"):
        temperatures.fit(mdp, features, np.ones((S, A)), discount=0.9, offset=PAY)  # type: ignore[arg-type]


def test_groups_that_were_not_fitted_and_estimates_of_several_groups_are_refused_where_one_is_needed():
    mdp, features = world(35)
    demos = crowd(mdp, features @ TRUE, [0.5, 1.0], CLOCKS["discounted"], 30)
    found = temperatures.fit(mdp, features, demos, discount=0.9)
    with pytest.raises(InputError, match="take that of a group"):
        policy_of(mdp, found.weights)
    with pytest.raises(InputError, match="known of the groups g0, g1; got 'who'"):
        found.of("who")
    with pytest.raises(InputError, match=r"confidence must lie in \(0, 1\)"):
        found.intervals(1.0)
    strangers = dataclasses.replace(demos, groups=("g0",) * 30 + ("who",) * 30)
    with pytest.raises(InputError, match="hold the group 'who', of which there were none to fit"):
        score(mdp, found.policies(mdp), strangers)
    with pytest.raises(InputError, match="have no groups, and each group has a temperature"):
        score(mdp, found.policies(mdp), one_group(demos))


def test_a_search_that_is_stopped_says_so_and_keeps_its_best():
    mdp, features = world(36)
    demos = crowd(mdp, features @ TRUE, HEAT, CLOCKS["discounted"], 30)
    found = temperatures.fit(mdp, features, demos, discount=0.9, max_steps=1)
    assert not found.converged and found.test is None
    assert any("not converged: 1 Newton step" in sentence for sentence in found.weights.warnings)
    assert found.weights.log_likelihood > found.common_log_likelihood


def test_closed_roads_stay_closed_and_a_toll_in_known_units_tells_the_temperature():
    """Four standard errors; the trips are fixed."""
    network, table, _ = town(2, "forced")
    toll, rng = -table[:, 2], np.random.default_rng(3)
    u = (table[:, :2] @ ROADS[:2] + 1.5 * toll) / 0.7
    pairs = [(o, g) for o in range(12) for g in range(12, 15)] * 8
    trips = trips_from_sequences([walk(network, u, o, g, "forced", rng) for o, g in pairs])
    found = temperatures.fit_routes(network, table[:, :2], trips, offset=1.5 * toll)
    assert abs(np.log(found.temperatures[0] / 0.7)) < 4 * found.log_errors["hessian"][0] < 1
    used = np.bincount(
        network.arc_numbers(trips.links[:-1], trips.links[1:])[np.diff(trips.trip_of_link) == 0],
        minlength=network.arcs,
    )
    unused = used == 0
    closed = np.where(unused, -np.inf, 1.5 * toll)
    again = temperatures.fit_routes(network, table[:, :2], trips, offset=closed)
    assert np.all(np.isneginf(again.weights.reward) == unused)
    whole = routes.log_likelihood(
        network, again.weights.weights, table[:, :2], trips, offset=closed, temperature=again.temperatures[0]
    )
    assert whole.sum() == pytest.approx(again.weights.log_likelihood, rel=1e-10)


def test_an_action_that_the_offset_forbids_is_never_planned():
    mdp, features = world(37)
    offset = np.where(np.arange(S)[:, None] + np.arange(A) == 0, -np.inf, PAY)
    demos = crowd(mdp, features @ TRUE + offset, HEAT[1:], CLOCKS["discounted"], 30)
    found = temperatures.fit(mdp, features, demos, discount=0.9, offset=offset)
    assert found.converged and found.weights.warnings == ()
    for policy in found.policies(mdp).values():
        assert np.isneginf(policy[0, 0]) and np.isfinite(np.delete(policy.ravel(), 0)).all()
