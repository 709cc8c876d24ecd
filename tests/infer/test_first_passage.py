"""One factorisation serves all goals: it agrees with one dense problem per goal, and knows when there is none."""

import numpy as np
import pytest

from infer.networks import arc_flows, city, rewards, values, weights
from maxentrl import InputError
from maxentrl.infer.first_passage import factorise, passages, reachable, sweep
from maxentrl.models.network import network_from_arcs

GOALS = ["forced", "optional"]
EXACT = 1e-12  # a few hundred roundings


def demand(network, seed, pairs=40):
    """Pairs to goals that nothing leaves, and to ordinary links."""
    rng = np.random.default_rng(seed)
    origins = rng.integers(12, size=pairs)
    goals = rng.integers(network.links, size=pairs)
    return origins[origins != goals], goals[origins != goals]


def solve(network, u, origins, goals, goal, counts=None, features=None):
    asked = passages(network, origins, goals, goal=goal)
    factors = factorise(asked, u[asked.arcs])
    return asked, sweep(asked, factors, counts, None if features is None else features[asked.arcs])


def ways(network, u, o, g):
    """Summed weight of all ways from o to g in a network without loops, by walking them all."""
    return float(o == g) + sum(
        np.exp(u[e]) * ways(network, u, int(network.arc_to[e]), g)
        for e in np.flatnonzero(network.arc_from == o)
    )


@pytest.mark.parametrize("goal", GOALS)
def test_values_are_the_summed_weights_of_all_ways_where_they_can_be_counted(goal):
    rng = np.random.default_rng(0)
    ends = [(a, b) for a in range(9) for b in range(a + 1, 9) if b == a + 1 or rng.random() < 0.5]
    network = network_from_arcs(*zip(*ends, strict=True), ids=range(9))
    u = rng.normal(size=network.arcs)
    origins, goals = np.triu_indices(9, 1)
    _, found = solve(network, u, origins, goals, goal)
    expected = [ways(network, u, o, g) for o, g in zip(origins, goals, strict=True)]
    np.testing.assert_allclose(found.log_values, np.log(expected), atol=EXACT)


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("seed", range(5))
def test_values_and_flows_equal_those_of_one_dense_problem_per_goal(goal, seed):
    network = city(seed)
    u, (origins, goals) = rewards(network, seed), demand(network, seed)
    counts = np.random.default_rng(seed).uniform(0.5, 3, len(origins))
    asked, found = solve(network, u, origins, goals, goal, counts)
    pairs = list(zip(origins, goals, strict=True))
    np.testing.assert_allclose(
        found.log_values, [np.log(values(network, u, g, goal)[o]) for o, g in pairs], atol=EXACT
    )
    flows = np.zeros(network.arcs)
    flows[asked.arcs] = found.arc_flows
    expected = sum(c * arc_flows(network, u, o, g, goal) for c, (o, g) in zip(counts, pairs, strict=True))
    np.testing.assert_allclose(flows, expected, atol=1e-11)


@pytest.mark.parametrize("goal", GOALS)
def test_moments_are_the_derivatives_of_values_and_flows(goal):
    network = city(7)
    u, (origins, goals) = rewards(network, 7), demand(network, 7)
    rng = np.random.default_rng(7)
    counts, features = rng.uniform(0.5, 3, len(origins)), rng.normal(size=(network.arcs, 3))
    _, found = solve(network, u, origins, goals, goal, counts, features)
    step = 1e-3

    def shifted(k, size):
        asked, sums = solve(network, u + size * features[:, k], origins, goals, goal, counts)
        return sums.log_values, features[asked.arcs].T @ sums.arc_flows

    for k in range(3):
        # Five points: the error is of fourth order in the step, 1e-12, beside rounding of 1e-16 / step.
        value, flow = (
            (8 * (a - b) - (c - d)) / (12 * step)
            for a, b, c, d in zip(*(shifted(k, s * step) for s in (1, -1, 2, -2)), strict=True)
        )
        np.testing.assert_allclose(found.pair_features[:, k], value, atol=1e-9)
        np.testing.assert_allclose(found.curvature[:, k], flow, rtol=1e-8, atol=1e-8)


def test_many_goals_are_solved_for_in_blocks_that_do_not_mix():
    network = city(3, links=60, goals=40)
    u, origins = rewards(network, 3, -4.0, -1.5), np.arange(100) % 59
    goals = np.arange(100)
    origins[origins == goals] += 1
    _, found = solve(network, u, origins, goals, "forced")
    single = [solve(network, u, origins[[p]], goals[[p]], "forced")[1].log_values[0] for p in range(100)]
    np.testing.assert_allclose(found.log_values, single, atol=EXACT)


def test_factors_exist_exactly_when_the_spectral_radius_is_below_1():
    verdicts = []
    for seed in range(100):
        network = city(seed, goals=1)
        u = rewards(network, seed, -3.0, 0.5) - 0.3
        radius = float(np.abs(np.linalg.eigvals(weights(network, u)[:12, :12])).max())
        asked = passages(network, np.arange(12), np.full(12, 12))
        verdicts.append(factorise(asked, u[asked.arcs]) is not None)
        assert verdicts[-1] == (radius < 1)
    assert 20 < sum(verdicts) < 80


def test_a_free_loop_and_the_boundary_have_no_factors_and_neither_has_an_exponential_too_large():
    network = network_from_arcs([0, 1, 1], [1, 0, 2])
    asked = passages(network, [0], [2])
    for u in ([0.0, 0.0, 0.0], [0.0, -1e-11, 0.0], [701.0, -800.0, 0.0], [np.nan, -1.0, -1.0]):
        assert factorise(asked, np.array(u)) is None
    assert factorise(asked, np.array([0.0, -1e-3, 0.0])) is not None


def test_loops_that_no_trip_can_use_do_not_matter():
    """A paying loop that cannot be reached, and one that cannot be left, beside the way from 0 to 2."""
    network = network_from_arcs([0, 1, 3, 4, 4, 1, 5], [1, 2, 4, 3, 1, 5, 5], ids=range(6))
    u = np.array([-1.0, -1.0, 5.0, 5.0, 5.0, 5.0, 5.0])
    asked, found = solve(network, u, [0], [2], "forced", np.ones(1))
    assert found.log_values[0] == pytest.approx(-2.0) and asked.arcs.tolist() == [0, 1]


def test_values_that_leave_the_number_format_are_not_called_zero():
    network = network_from_arcs(range(9), range(1, 10))
    for u in (-80.0, 80.0):
        assert solve(network, np.full(9, u), [0], [9], "forced")[1] is None
    assert solve(network, np.full(9, -70.0), [0], [9], "forced")[1].log_values[0] == pytest.approx(-630)


def test_a_goal_out_of_reach_is_named_with_its_origin():
    network = city(1)
    closed = np.ones(network.arcs, bool)
    closed[network.arc_to == 13] = False
    pairs = np.array([0, 3, 5]), np.array([12, 13, 13])
    assert reachable(network, *pairs).all() and reachable(network, *pairs, closed).tolist() == [
        True,
        False,
        False,
    ]
    with pytest.raises(InputError, match=r"link 13 cannot be reached from link 3 \(2 such pairs"):
        passages(network, *pairs, is_open=closed)


@pytest.mark.usefixtures("as_shipped")
def test_another_kind_of_goal_is_refused():
    with pytest.raises(InputError, match="goal must be one of optional, forced; got 'often'"):
        passages(city(1), [0], [12], goal="often")


def test_reachability_equals_powers_of_the_adjacency_matrix():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        ends = np.unique(rng.integers(15, size=(18, 2)), axis=0)
        network = network_from_arcs(ends[:, 0], ends[:, 1], ids=range(15))
        power = np.linalg.matrix_power(np.eye(15) + (weights(network, np.zeros(network.arcs)) > 0), 15) > 0
        origins, goals = (x.reshape(-1) for x in np.indices((15, 15)))
        np.testing.assert_array_equal(reachable(network, origins, goals), power[origins, goals])
