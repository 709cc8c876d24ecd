"""Rewards of small networks are found, with the errors that they have; and what cannot be fitted is named."""

import dataclasses

import numpy as np
import pytest

from infer.networks import city, log_probability, walk
from irl.towns import TRUE, town
from maxentrl import InfeasibleError, InputError, TabularMDP
from maxentrl.data import trajectories_from_arrays
from maxentrl.data.trips import trips_from_sequences
from maxentrl.irl import mce, routes
from maxentrl.irl.route_evidence import route_policy
from maxentrl.irl.validation import likelihood_ratio
from maxentrl.models.network import network_from_arcs

GOALS = ["forced", "optional"]


@pytest.mark.parametrize("goal", GOALS)
def test_the_estimate_is_the_maximum_with_its_curvature_and_scores(goal):
    network, features, trips = town(1, goal)
    found = routes.fit(network, features, trips, goal=goal, temperature=1.5, feature_names=["a", "b", "c"])
    assert found.converged and found.warnings == () and found.names == ("a", "b", "c")
    rows = [trips.sequence(i) for i in range(trips.count)]

    def each(w):
        return np.array([log_probability(network, features @ w / 1.5, row, goal) for row in rows])

    w, step = found.weights, 1e-4
    assert found.log_likelihood == pytest.approx(each(w).sum(), rel=1e-12)
    np.testing.assert_allclose(
        routes.log_likelihood(network, w, features, trips, goal=goal, temperature=1.5), each(w)
    )
    np.testing.assert_allclose(found.reward, features @ w, rtol=1e-12)
    axes = np.eye(3) * step
    scores = np.stack([(each(w + d) - each(w - d)) / (2 * step) for d in axes], 1)
    assert np.abs(scores.sum(0)).max() < 1e-5 and found.gradient_norm < 1e-8
    hessian = np.array(
        [
            [(each(w + a + b) - each(w + a - b) - each(w - a + b) + each(w - a - b)).sum() for a in axes]
            for b in axes
        ]
    ) / (4 * step**2)
    inverse = np.linalg.inv(-hessian)
    # Second differences of a log-likelihood of about 100: 1e-14 / step^2, or 1e-6, of curvatures of about 10.
    np.testing.assert_allclose(found.covariances["hessian"], inverse, rtol=1e-4)
    outer = scores.T @ scores
    np.testing.assert_allclose(found.covariances["outer"], np.linalg.inv(outer), rtol=1e-4)
    np.testing.assert_allclose(found.covariances["sandwich"], inverse @ outer @ inverse, rtol=1e-4)


def test_weights_count_trips_and_groups_add_their_scores():
    network, features, trips = town(2, "forced", 30)
    rows = [trips.sequence(i) for i in range(trips.count)]
    twice = trips_from_sequences(rows + rows, groups=[*range(len(rows))] * 2)
    heavy = trips_from_sequences(rows, weights=np.full(len(rows), 2.0))
    plain, double, weighted = (routes.fit(network, features, t) for t in (trips, twice, heavy))
    for other in (double, weighted):
        np.testing.assert_allclose(other.weights, plain.weights, rtol=1e-9)
        np.testing.assert_allclose(other.covariances["hessian"], plain.covariances["hessian"] / 2, rtol=1e-8)
        np.testing.assert_allclose(other.covariances["sandwich"], plain.covariances["sandwich"], rtol=1e-8)
    assert double.kind == "sandwich" and plain.kind == "hessian"
    assert weighted.log_likelihood == pytest.approx(2 * plain.log_likelihood)
    assert weighted.steps == double.steps == 2 * trips.steps
    assert weighted.bic == pytest.approx(double.bic)


def test_drivers_of_one_group_do_not_scatter_and_their_sandwich_is_not_used():
    network, features, trips = town(2, "forced", 30)
    found = routes.fit(network, features, dataclasses.replace(trips, groups=("x",) * trips.count))
    assert found.kind == "hessian" and np.isinf(found.standard_errors_of("sandwich")).all()
    assert any("cannot be computed from a single one" in w for w in found.warnings)


@pytest.mark.parametrize("goal", GOALS)
def test_one_goal_on_a_network_is_a_first_exit_problem(goal):
    """The same fit by `mce`, which knows nothing of factorisations: one state per link, one action per arc."""
    network, features, trips = town(3, goal)
    g = 12 if goal == "forced" else 4
    rng = np.random.default_rng(3)
    trips = trips_from_sequences([walk(network, features @ TRUE, 1, g, goal, rng) for _ in range(40)])
    live = 12
    degree = np.bincount(network.arc_from, minlength=live)
    slot = np.concatenate([np.arange(n) for n in degree[:live]])
    order = np.argsort(network.arc_from, kind="stable")
    actions = int(degree.max()) + 1
    transition = np.zeros((live + 4, actions, live + 4))
    transition[:, :, live + 3] = 1
    table = np.zeros((live + 4, actions, 3))
    prior = np.full((live + 4, actions), -np.inf)
    prior[live:] = 0.0
    action = np.empty(network.arcs, int)
    action[order] = slot
    leaves, enters = network.arc_from, network.arc_to
    usable = ~((enters >= live) & (enters != g))
    leaves, enters, taken = leaves[usable], enters[usable], action[usable]
    transition[leaves, taken] = np.eye(live + 4)[np.where(enters >= live, live + 3, enters)]
    table[leaves, taken] = features[usable]
    prior[leaves, taken] = 0.0
    sequences = [(trips.sequence(i), []) for i in range(trips.count)]
    if goal == "optional":  # stopping is an action of the goal, at no reward
        transition[g, -1], prior[g, -1] = np.eye(live + 4)[live + 3], 0.0
    reward = np.where(np.isfinite(prior), 0.0, -np.inf)
    mdp = TabularMDP(transition, reward, prior="counting", terminal=np.arange(live + 4) >= live)
    longest = max(len(s) for s, _ in sequences)
    states, acts = np.full((trips.count, longest), -1), np.full((trips.count, longest), -1)
    for i, (row, _) in enumerate(sequences):
        steps = action[network.arc_numbers(row[:-1], row[1:])].tolist() + (
            [actions - 1] if goal == "optional" else []
        )
        acts[i, : len(steps)] = steps
        states[i, : len(steps)] = row[: len(steps)]
    demos = trajectories_from_arrays(states, acts)
    one = routes.fit(network, features, trips, goal=goal)
    other = mce.fit(mdp, table, demos, discount=1.0, start=one.weights)
    np.testing.assert_allclose(one.weights, other.weights, atol=1e-7)
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-10)
    assert one.log_likelihood_uniform == pytest.approx(other.log_likelihood_uniform, rel=1e-12)
    for kind in ("hessian", "outer", "sandwich"):
        np.testing.assert_allclose(one.covariances[kind], other.covariances[kind], rtol=1e-6)


def test_the_search_begins_anywhere():
    """Where loops pay, where they are too many, and where values underflow."""
    network, features, trips = town(4, "forced")
    best = routes.fit(network, features, trips, start=TRUE)
    for start in ([0, 0, 0], [3, 3, 3], [0, 0, -0.8], [-200, -200, -200], [0, 0, 1000]):
        found = routes.fit(network, features, trips, start=start)
        np.testing.assert_allclose(found.weights, best.weights, atol=1e-8)
        assert found.converged


def test_many_goals_are_begun_with_a_few_of_them_and_end_where_all_lead():
    network = city(5, links=90, goals=0)
    rng = np.random.default_rng(5)
    features = np.column_stack([rng.uniform(0, 2, network.arcs), np.ones(network.arcs)])
    u = features @ np.array([-0.5, -1.6])
    ends = rng.permutation(90)[:80]
    trips = trips_from_sequences([walk(network, u, int((g + 7) % 90), int(g), "forced", rng) for g in ends])
    found = routes.fit(network, features, trips)
    score = routes.arc_gradient(network, features @ found.weights, trips)[1] @ features
    assert found.converged and np.abs(score).max() < 1e-9


def test_a_feature_that_the_few_goals_do_not_meet_is_found_by_all():
    """Only trips to the last link, one of 82 goals and not among every eighth of them, meet the feature."""
    network = city(5, links=90, goals=2)
    rng = np.random.default_rng(6)
    features = np.column_stack([np.zeros(network.arcs), np.ones(network.arcs)])
    features[np.flatnonzero(network.arc_to == 91)[0], 0] = 1
    u = features @ np.array([0.5, -2.0])
    goals = [*rng.permutation(90)[:80], 90, *[91] * 30]
    trips = trips_from_sequences([walk(network, u, (g + 7) % 90, int(g), "forced", rng) for g in goals])
    found = routes.fit(network, features, trips)
    score = routes.arc_gradient(network, features @ found.weights, trips)[1] @ features
    assert found.converged and found.warnings == () and np.abs(score).max() < 1e-9


def test_trips_entered_twice_are_noticed():
    network = city(5, links=90, goals=0, extra=5)
    rng, u = np.random.default_rng(7), np.full(network.arcs, -1.9)
    *rows, other = [walk(network, u, k, (k + 40) % 90, "forced", rng) for k in range(21)]
    once, some, all_twice = (
        routes.fit(network, np.ones((network.arcs, 1)), trips_from_sequences(r))
        for r in (rows, [*rows, *rows, other], rows * 2)
    )
    assert once.warnings == ()
    assert "20 of 41 trips are copies of others, link by link (the first: '20' of '0')" in some.warnings[0]
    assert "as if all had been entered 2 times (the first: '20' of '0')" in all_twice.warnings[0]


def test_a_fixed_offset_and_a_penalty_enter_the_objective():
    network, features, trips = town(9, "forced")
    free = routes.fit(network, features, trips)
    fixed = routes.fit(network, features[:, :2], trips, offset=features[:, 2] * free.weights[2])
    np.testing.assert_allclose(fixed.weights, free.weights[:2], atol=1e-8)
    np.testing.assert_allclose(fixed.reward, free.reward, atol=1e-8)
    pulled = routes.fit(network, features, trips, l2=5.0)
    score = routes.arc_gradient(network, features @ pulled.weights, trips)[1] @ features
    np.testing.assert_allclose(score, 5 * pulled.weights, atol=1e-8)


def test_directions_that_no_trip_depends_on_are_named():
    network, features, trips = town(10, "forced")
    wide = np.column_stack([features, features[:, 0] + 2 * features[:, 1], np.zeros(network.arcs)])
    found = routes.fit(network, wide, trips, feature_names=["time", "turn", "const", "both", "nothing"])
    assert any("nothing is not identified: it is zero" in w for w in found.warnings)
    assert any("time" in w and "turn" in w and "both" in w and "collinear" in w for w in found.warnings)
    assert np.isinf(found.standard_errors[[0, 1, 3, 4]]).all() and np.isfinite(found.standard_errors[2])
    plain = routes.fit(network, features, trips)
    assert found.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-10)


def test_a_feature_that_all_drivers_avoid_has_no_finite_weight():
    network, features, trips = town(11, "forced")
    used = np.zeros(network.arcs, bool)
    for i in range(trips.count):
        used[network.arc_numbers(trips.sequence(i)[:-1], trips.sequence(i)[1:])] = True
    dirt = np.zeros(network.arcs)
    dirt[np.flatnonzero(~used & (network.arc_to < 12))[:2]] = 1
    found = routes.fit(network, np.column_stack([features, dirt]), trips)
    assert any("separation" in w for w in found.warnings)


def test_a_search_that_is_cut_short_says_so_and_keeps_the_best():
    network, features, trips = town(4, "forced")
    found = routes.fit(network, features, trips, max_steps=1)
    assert not found.converged and found.verdict in found.warnings and "1 Newton step" in found.verdict


def test_nominal_95_percent_intervals_cover_the_truth_as_often_as_they_say():
    """150 data sets, 3 weights each; the bound is three binomial standard errors of 150 independent trials."""
    network, features, all_trips = town(12, "forced", 150 * 60)
    hits: dict[str, list] = {}
    for part in np.array_split(np.arange(all_trips.count), 150):
        found = routes.fit(network, features, all_trips.take(part), start=TRUE)
        for kind in found.covariances:
            hits.setdefault(kind, []).append(
                np.abs(found.weights - TRUE) < 1.96 * found.standard_errors_of(kind)
            )
    for kind, inside in hits.items():
        assert abs(np.mean(inside) - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 150), (kind, np.mean(inside))


RING = network_from_arcs(["a", "b", "b", "c"], ["b", "a", "c", "d"])
TRIP = trips_from_sequences([[0, 1, 2]])


@pytest.mark.parametrize(
    ("features", "more", "message"),
    [
        (np.ones((3, 1)), {}, r"features must have shape .* = \(4, any\); got \(3, 1\)"),
        (np.full((4, 2), np.nan), {}, r"feature 0 of the arc from a to b is nan \(8 such"),
        (np.ones((4, 0)), {}, "at least one"),
        (np.full((4, 1), "x"), {}, "features must be numbers"),
        (np.ones((4, 1)), {"feature_names": ["x", "y"]}, "feature_names must be 1 different names"),
        (np.ones((4, 2)), {"feature_names": ["x", "x"]}, "must be 2 different names, at least one; got x, x"),
        (np.ones((4, 1)), {"start": [np.nan]}, "the weight of 0 is not one"),
        (np.ones((4, 1)), {"start": [0.0, 1.0]}, "start must have shape"),
        (np.ones((4, 1)), {"l2": -1.0}, "l2 must be"),
        (np.ones((4, 1)), {"temperature": 0.0}, r"temperature must lie in \(0, inf\)"),
        (np.ones((4, 1)), {"offset": [0, 0, np.nan, 0]}, "offset must be numbers.*from b to c has nan"),
        (
            np.ones((4, 1)),
            {"offset": [0, 0, -np.inf, 0]},
            "'0' goes at step 1 from link b to c, and no such arc is there",
        ),
    ],
)
def test_what_does_not_fit_the_network_is_refused(features, more, message):
    with pytest.raises(InputError, match=message):
        routes.fit(RING, features, TRIP, **more)


def test_steps_offsets_and_links_out_of_range_are_refused():
    with pytest.raises(
        InputError, match="max_steps must be a whole number of Newton steps, at least 0; got -1"
    ):
        routes.fit(RING, np.ones((4, 1)), TRIP, max_steps=-1)
    with pytest.raises(InputError, match=r"offset must have shape \[E\]"):
        routes.log_likelihood(RING, [-1.0], np.ones((4, 1)), TRIP, offset=np.zeros(3))
    with pytest.raises(InputError, match=r"goal_link must be one of the links 0 to \d+; got 999"):
        route_policy(RING, -np.ones(4), 999)


def test_features_of_links_are_refused_with_the_way_out():
    network = network_from_arcs([0, 1, 1, 0], [1, 2, 0, 2])
    with pytest.raises(InputError, match=r"features of the link entered are table\[network.arc_to\]"):
        routes.fit(network, np.ones((3, 2)), trips_from_sequences([[0, 1, 2]]))


def test_where_no_weights_help_the_reason_is_that_of_the_start():
    free = np.array([[0.0], [0.0], [1.0], [1.0]])
    with pytest.raises(InfeasibleError, match=r"no weights with .* found.*links a -> b -> a earn 0 per step"):
        routes.fit(RING, free, TRIP)
    with pytest.raises(InfeasibleError, match=r"a loop pays for itself.*a -> b -> a earn 1 per step"):
        routes.arc_gradient(RING, np.ones(4), TRIP)
    with pytest.raises(InfeasibleError, match="leaves the number format"):
        routes.arc_gradient(RING, np.full(4, -500.0), TRIP)


def test_fits_on_other_roads_or_with_other_roads_closed_are_not_compared():
    arcs = ([0, 0, 1, 2, 3], [1, 2, 3, 3, 4])
    roads, others = network_from_arcs(*arcs), network_from_arcs([0, 0, 1, 2, 2], arcs[1])
    trips = trips_from_sequences([[0, 1, 3], [0, 2, 3], [0, 2, 3]])
    features = np.eye(5)[:, :2]
    small = routes.fit(roads, features[:, :1], trips)
    with pytest.raises(InputError, match="made in different worlds"):
        likelihood_ratio(small, routes.fit(others, features, trips))
    # The arc that is closed is on no trip.
    with pytest.raises(InputError, match="not nested: offsets differ"):
        likelihood_ratio(small, routes.fit(roads, features, trips, offset=[0.0, 0, 0, 0, -np.inf]))
