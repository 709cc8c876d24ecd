"""Likelihoods, gradients, policies and flows by arcs equal those of one dense problem per trip."""

import numpy as np
import pytest

from infer.networks import arc_flows, city, log_probability, rewards, values
from irl.towns import TRUE, town
from maxentrl import InputError
from maxentrl.data.trips import trips_from_sequences
from maxentrl.irl import routes
from maxentrl.irl.route_evidence import route_policy
from maxentrl.models.network import network_from_arcs

GOALS = ["forced", "optional"]
RING = network_from_arcs(["a", "b", "b", "c"], ["b", "a", "c", "d"])


@pytest.mark.parametrize("goal", GOALS)
def test_the_gradient_by_arcs_is_observed_minus_expected_and_equals_central_differences(goal):
    network, features, trips = town(0, goal, weights=None)
    u = features @ TRUE
    found, gradient = routes.arc_gradient(network, 2 * u, trips, goal, temperature=2.0)
    rows = [trips.sequence(i) for i in range(trips.count)]
    assert found == pytest.approx(sum(log_probability(network, u, row, goal) for row in rows), rel=1e-12)
    observed = np.zeros(network.arcs)
    np.add.at(observed, np.concatenate([network.arc_numbers(row[:-1], row[1:]) for row in rows]), 1)
    expected = sum(arc_flows(network, u, row[0], row[-1], goal) for row in rows)
    np.testing.assert_allclose(gradient, (observed - expected) / 2, atol=1e-11)

    def shifted(e, size):
        moved = u + size * (np.arange(network.arcs) == e)
        return sum(log_probability(network, moved, row, goal) for row in rows)

    for e in range(0, network.arcs, 7):
        # Five points: fourth order in the step, beside rounding of 1e-14 / step.
        one, two = (shifted(e, s) - shifted(e, -s) for s in (2e-3, 4e-3))
        assert gradient[e] == pytest.approx((8 * one - two) / (24e-3) / 2, rel=1e-8, abs=1e-8)


def test_expected_flows_meet_the_demand_and_closing_an_arc_moves_them():
    network, u = city(6), rewards(city(6), 6)
    origins, goals, counts = [0, 3, 5], [12, 13, 8], [2.0, 1.0, 4.0]
    flows = routes.expected_flows(network, u, origins, goals, counts)
    expected = sum(
        c * arc_flows(network, u, o, g, "forced") for o, g, c in zip(origins, goals, counts, strict=True)
    )
    np.testing.assert_allclose(flows.arcs, expected, atol=1e-12)
    out, into = (np.bincount(x, flows.arcs, minlength=15) for x in (network.arc_from, network.arc_to))
    np.testing.assert_allclose(
        into - out, np.bincount(goals, counts, 15) - np.bincount(origins, counts, 15), atol=1e-12
    )
    np.testing.assert_allclose(flows.links, into + np.bincount(origins, counts, 15), atol=1e-12)
    busiest = int(flows.arcs.argmax())
    closed = routes.expected_flows(
        network, np.where(np.arange(network.arcs) == busiest, -np.inf, u), origins, goals
    )
    gone = np.delete(np.arange(network.arcs), busiest)
    rest = network_from_arcs(network.arc_from[gone], network.arc_to[gone], ids=network.ids)
    np.testing.assert_allclose(
        closed.arcs[gone], routes.expected_flows(rest, u[gone], origins, goals).arcs, atol=1e-12
    )
    assert closed.arcs[busiest] == 0 and closed.arrives.all()


def test_demand_without_a_way_is_told_apart_and_moves_nobody():
    network = network_from_arcs([0, 1, 1, 0], [1, 0, 2, 3])
    flows = routes.expected_flows(network, [-1.0, -1.0, -np.inf, -1.0], [0, 0], [2, 3])
    assert flows.arrives.tolist() == [False, True] and flows.log_values[0] == -np.inf
    assert flows.arcs.sum() > 0 and flows.links[2] == 0
    none = routes.expected_flows(network, [-1.0, -1.0, -np.inf, -1.0], [0], [2])
    assert not none.arrives.any() and none.arcs.sum() == 0


@pytest.mark.parametrize("goal", GOALS)
def test_the_policy_is_that_of_the_value_function(goal):
    network, u = city(8), rewards(city(8), 8)
    for g in (4, 12):
        policy = route_policy(network, u, g, goal=goal)
        z = values(network, u, g, goal)
        kept = (network.arc_from != g) if goal == "forced" else np.full(network.arcs, True)
        expected = np.where(kept & (network.arc_to < 12) | (network.arc_to == g) & kept, np.exp(u), 0)
        expected = expected * z[network.arc_to] / np.where(z[network.arc_from] > 0, z[network.arc_from], 1)
        np.testing.assert_allclose(policy, expected, atol=1e-12)
        total = np.bincount(network.arc_from, policy, minlength=15)
        live = np.arange(12) != g
        np.testing.assert_allclose(total[:12][live], 1, atol=1e-12)


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        (
            [[0, 1, 2], [0, 2], [1, 3, 3]],
            r"'1' goes at step 0 from link a to c, .*\(3 such steps, in 2 trips\)",
        ),
        ([[1, 0, 1]], r"'0' passes its goal, link b, at step 0 and goes on \(1 such trips\)"),
        ([[0, 9]], "link number 9; the network has 4 links"),
    ],
)
def test_trips_that_cannot_have_happened_are_refused(sequences, message):
    with pytest.raises(InputError, match=message):
        routes.fit(RING, np.ones((4, 1)), trips_from_sequences(sequences))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"origins": [0, 1]}, r"goals must have shape .* = \(2\)"),
        ({"origins": [9]}, "origins must be numbers of links, 0 to 3"),
        ({"goals": [0.5]}, "goals must be numbers of links"),
        ({"counts": [-1.0]}, "counts must be numbers of at least 0; got -1"),
        ({"arc_rewards": np.full(4, np.inf)}, "from a to b has inf"),
        ({"arc_rewards": np.zeros(3)}, r"arc_rewards must have shape \[E\]"),
    ],
)
def test_demand_that_makes_no_sense_is_refused(change, message):
    given = {"arc_rewards": -np.ones(4), "origins": [0], "goals": [3], "counts": [1.0]} | change
    with pytest.raises(InputError, match=message):
        routes.expected_flows(RING, **given)
