"""What is said of an infeasible network is true of it."""

import itertools

import numpy as np
import pytest

from infer.networks import city, rewards, weights
from maxentrl.infer.first_passage import passages
from maxentrl.infer.loops import best_loop, loop_growth, why_infinite
from maxentrl.models.network import network_from_arcs


def ask(network, live):
    return passages(network, np.arange(live), np.full(live, network.links - 1))


def every_loop(network):
    """All loops without repetition, as lists of arcs; each begins at its lowest link."""
    out = [
        [(e, int(network.arc_to[e])) for e in np.flatnonzero(network.arc_from == k)]
        for k in range(network.links)
    ]

    def extend(path, seen, start):
        for e, b in out[seen[-1]]:
            if b == start:
                yield [*path, e]
            elif b > start and b not in seen:
                yield from extend([*path, e], [*seen, b], start)

    return itertools.chain.from_iterable(extend([], [k], k) for k in range(network.links))


@pytest.mark.parametrize("seed", range(20))
def test_the_best_loop_is_the_best_of_all_loops(seed):
    network = city(seed, links=7, goals=1, extra=1 + seed % 2)
    u, asked = rewards(network, seed, -2, 2), ask(network, 7)
    mean, loop = best_loop(asked, u[asked.arcs])
    assert mean == pytest.approx(max(u[arcs].mean() for arcs in every_loop(network)), abs=1e-12)
    arcs = asked.arcs[loop]
    assert u[arcs].mean() == pytest.approx(mean)
    np.testing.assert_array_equal(network.arc_to[arcs], np.roll(network.arc_from[arcs], -1))


@pytest.mark.parametrize("seed", range(5))
def test_growth_is_the_log_of_the_spectral_radius_and_its_derivative(seed):
    network = city(seed)
    asked = ask(network, 12)
    u = rewards(network, seed)[asked.arcs]

    def radius(u):
        full = np.full(network.arcs, -np.inf)
        full[asked.arcs] = u
        return np.log(np.abs(np.linalg.eigvals(weights(network, full))).max())

    found = loop_growth(asked, u, 2000)
    assert found.log_radius == pytest.approx(radius(u), abs=1e-9)
    for e in range(0, len(u), 5):
        change = 1e-5 * (np.arange(len(u)) == e)
        assert found.share[e] == pytest.approx((radius(u + change) - radius(u - change)) / 2e-5, abs=1e-7)


def test_a_network_without_loops_does_not_grow():
    network = network_from_arcs([0, 1], [1, 2])
    assert loop_growth(ask(network, 2), np.ones(2)).log_radius == -np.inf
    assert best_loop(ask(network, 2), np.ones(2))[0] == -np.inf


def test_the_reason_tells_a_free_loop_from_too_many_loops():
    ring = network_from_arcs(["a", "b", "b", "c"], ["b", "a", "c", "goal"])
    asked = ask(ring, 3)
    assert "links a -> b -> a earn 0.5 per step" in why_infinite(asked, np.array([1.0, 0.0, -1.0, 0.0]), 1.0)
    assert "links a -> b -> a earn 1 per step" in why_infinite(asked, np.array([1.0, 0.0, -1.0, 0.0]), 2.0)
    assert "earns 800 times the temperature" in why_infinite(asked, np.array([-1.0, 0.0, 800.0, 0.0]), 1.0)
    crowd = network_from_arcs(*zip(*itertools.permutations(range(12), 2), (0, 12), strict=True))
    asked = ask(crowd, 12)
    said = why_infinite(asked, np.full(len(asked.arcs), -1.0), 1.0)
    assert "every loop costs something" in said and ", 1 per step" in said
    assert f"is {11 * np.exp(-1):.4g}" in said and "Lower the temperature" in said
    edge = np.full(len(asked.arcs), -np.log(11))
    assert "is 1 to within" in why_infinite(asked, edge, 1.0)


def test_a_long_loop_is_not_written_out_whole():
    network = network_from_arcs([*range(30), 29], [*range(1, 30), 0, 30])
    said = why_infinite(ask(network, 30), np.zeros(31), 1.0)
    assert "0 -> 1 -> 2" in said and "... (30 links)" in said and said.count("->") == 8


def test_closed_arcs_are_on_no_loop():
    network = network_from_arcs([0, 1, 1, 2], [1, 0, 2, 3])
    u = np.array([1.0, -np.inf, -1.0, 0.0])
    assert best_loop(ask(network, 3), u)[0] == loop_growth(ask(network, 3), u).log_radius == -np.inf
