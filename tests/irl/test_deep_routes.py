"""Networks as rewards of roads: the flows of all goals pull on the parameters, and the search stays feasible."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxentrl import InfeasibleError, InputError
from maxentrl.core.precision import in_double_precision
from maxentrl.data.trips import Trips, trips_from_sequences
from maxentrl.irl import deep_routes, routes
from maxentrl.irl.ascent import Training
from maxentrl.irl.deep_estimate import load
from maxentrl.irl.networks import RewardNetwork, network_in_float64
from maxentrl.irl.route_evidence import arc_gradient
from maxentrl.models.network import network_from_arcs

LINKS, K = 7, 3
TRUE = np.array([0.5, -0.4, -1.6])


def key(seed: int):
    return jax.random.key(seed, impl="threefry2x32")


def log_likelihood(network, rewards, trips: Trips) -> float:
    """By a dense inverse for each goal, whose own arcs are taken out: the trip ends where it arrives."""
    total = 0.0
    for i in range(trips.count):
        path = trips.sequence(i)
        weight = np.zeros((network.links, network.links))
        weight[network.arc_from, network.arc_to] = np.exp(rewards)
        goal = path[-1]
        arriving = weight[:, goal].copy()
        weight[goal] = weight[:, goal] = 0
        z = np.linalg.solve(np.eye(network.links) - weight, arriving)
        arcs = network.arc_numbers(path[:-1], path[1:])
        total += trips.weights[i] * (rewards[arcs].sum() - np.log(z[path[0]]))
    return total


@pytest.fixture(scope="module")
def roads():
    """A ring of 7 links with chords, features of its arcs, and 120 trips of drivers with known weights."""
    rng = np.random.default_rng(0)
    pairs = sorted(
        {(i, (i + 1) % LINKS) for i in range(LINKS)}
        | {(i, j) for i in range(LINKS) for j in range(LINKS) if i != j and rng.random() < 0.3}
    )
    network = network_from_arcs([p[0] for p in pairs], [p[1] for p in pairs], ids=range(LINKS))
    features = np.concatenate([rng.normal(size=(network.arcs, K - 1)), np.ones((network.arcs, 1))], 1)
    weight = np.zeros((LINKS, LINKS))
    weight[network.arc_from, network.arc_to] = np.exp(features @ TRUE)
    paths = []
    while len(paths) < 120:
        start, goal = rng.choice(LINKS, 2, replace=False)
        z = np.zeros(LINKS)
        inner = weight.copy()
        inner[goal] = inner[:, goal] = 0
        z = np.linalg.solve(np.eye(LINKS) - inner, weight[:, goal])
        z[goal] = 1.0
        path = [start]
        while path[-1] != goal:
            chance = weight[path[-1]] * z
            path.append(int(rng.choice(LINKS, p=chance / chance.sum())))
        paths.append(path)
    return network, features, trips_from_sequences(paths)


def test_the_gradient_by_weights_is_the_flow_through_the_network_is_central_differences(roads):
    network, features, trips = roads

    @in_double_precision
    def check():
        net = network_in_float64(RewardNetwork(features, key(0), width=5, depth=1))
        start = jax.tree.map(
            lambda x: x + 0.1 * jax.random.normal(key(1), x.shape) if eqx.is_inexact_array(x) else x,
            net.perceptron,
        )
        arrays, rest = eqx.partition(start, eqx.is_inexact_array)

        def reward_of(arrays):
            moved = eqx.tree_at(lambda n: n.perceptron, net, eqx.combine(arrays, rest))
            return jax.vmap(moved)(jnp.asarray(features)) - 2.0

        rewards, back = jax.vjp(reward_of, arrays)
        value, by_arc = arc_gradient(network, np.asarray(rewards), trips)
        (by_weights,) = back(jnp.asarray(by_arc))
        direction = jax.tree.map(lambda x: jax.random.normal(key(2), x.shape), arrays)
        step = 1e-5
        ahead, behind = (
            log_likelihood(
                network,
                np.asarray(reward_of(jax.tree.map(lambda x, d, h=h: x + h * d, arrays, direction))),
                trips,
            )
            for h in (step, -step)
        )
        inner = sum(
            jnp.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (by_weights, direction)), strict=True)
        )
        return value, np.asarray(rewards), (ahead - behind) / (2 * step), float(inner)

    value, rewards, difference, inner = check()
    assert value == pytest.approx(log_likelihood(network, rewards, trips), rel=1e-12)
    # step^2 times a third derivative, and rounding of 1e-16 / step.
    assert difference == pytest.approx(inner, rel=1e-7)


class Linear(eqx.Module):
    weights: jax.Array

    def __call__(self, features):
        return features @ self.weights


def test_a_linear_network_finds_the_linear_estimate_from_a_feasible_start(roads):
    network, features, trips = roads
    exact = routes.fit(network, features, trips, start=TRUE)
    found = deep_routes.fit(
        network, features, trips, key=key(0), reward=Linear(jnp.array([0.0, 0.0, -3.0])),
        training=Training(max_steps=300, learning_rate=0.1),
    )  # fmt: skip
    assert np.all(np.abs(found.network.weights - exact.weights) < 0.01 * exact.standard_errors)
    assert found.log_likelihood == pytest.approx(exact.log_likelihood, abs=1e-3)
    assert found.log_likelihood_uniform == pytest.approx(exact.log_likelihood_uniform, rel=1e-12)
    assert found.log_likelihood == pytest.approx(log_likelihood(network, found.reward, trips), rel=1e-12)


def test_the_default_network_begins_at_the_linear_estimate_and_rises_above_it(roads, tmp_path):
    network, features, trips = roads
    train, held = trips.take(np.arange(80)), trips.take(np.arange(80, 120))
    linear = routes.fit(network, features, train, start=TRUE)
    found = deep_routes.fit(
        network, features, train, key=key(1), offset=linear.reward, validation=held, members=2,
        training=Training(max_steps=40, patience=40),
    )  # fmt: skip
    for member in found.members:
        assert member.train[0] * train.steps == pytest.approx(linear.log_likelihood, rel=1e-12)
        assert member.train.max() > member.train[0]
        assert member.validation[member.best_step] == member.validation.max()
    by_hand = log_likelihood(network, found.reward, held)
    assert found.validation_log_likelihood == pytest.approx(by_hand, rel=1e-12)
    assert found.rewards.shape == (2, network.arcs) and found.spread.shape == (network.arcs,)
    found.save(tmp_path)
    np.testing.assert_array_equal(load(tmp_path).rewards, found.rewards, strict=True)


def test_steps_out_of_the_feasible_set_are_taken_back(roads):
    """Begun next to the edge, with steps that jump over it."""
    network, features, trips = roads
    found = deep_routes.fit(
        network, features, trips, key=key(2), reward=Linear(jnp.array([0.0, 0.0, -1.4])),
        training=Training(max_steps=30, learning_rate=2.0),
    )  # fmt: skip
    assert np.isfinite(found.members[0].train).all()
    assert np.isfinite(log_likelihood(network, found.reward, trips))
    with pytest.raises(
        InfeasibleError, match="from its initial parameters: these rewards have no finite solution"
    ):
        deep_routes.fit(network, features, trips, key=key(2), reward=Linear(jnp.zeros(K)))


def test_arcs_with_parameters_of_their_own_reach_the_flows_exactly(roads):
    """Each arc's reward is free, so that at the optimum the expected steps on every arc are the observed ones."""
    network, _, trips = roads
    found = deep_routes.fit(
        network, np.eye(network.arcs), trips, key=key(3), reward=Linear(jnp.full(network.arcs, -2.0)),
        training=Training(max_steps=400, learning_rate=0.1, patience=400),
    )  # fmt: skip
    gradient = arc_gradient(network, found.reward, trips)[1]
    # In steps, of several hundred; arcs that nobody took fall for ever, ever more slowly.
    assert np.abs(gradient).max() < 0.3


def test_a_closed_arc_stays_closed(roads):
    network, features, trips = roads
    unused = np.setdiff1d(np.arange(network.arcs), network.arc_numbers(trips.links[:-1], trips.links[1:]))
    sparse = trips.take(np.arange(12))
    used = network.arc_numbers(sparse.links[:-1], sparse.links[1:])
    closed = int(np.setdiff1d(np.arange(network.arcs), used)[0] if len(unused) == 0 else unused[0])
    offset = np.where(np.arange(network.arcs) == closed, -np.inf, features @ TRUE)
    found = deep_routes.fit(
        network, features, sparse, key=key(4), offset=offset, training=Training(max_steps=3)
    )
    assert np.isneginf(found.reward[closed]) and not found.allowed[closed]
    assert found.log_likelihood == pytest.approx(log_likelihood(network, found.reward, sparse), rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"features": np.ones((LINKS, K))}, r"features must have shape \[E, K\]"),
        ({"features": np.array(["a"])}, "features must be numbers"),
        ({"reward": eqx.nn.Linear(K, 2, key=key(0))}, r"one reward \[\]; it gives \(2,\)"),
        ({"reward": eqx.nn.Linear(K, 2, key=key(0)), "members": 2}, "2 members need different beginnings"),
        ({"whole": True}, "whole=True needs a network"),
        ({"offset": np.zeros(3)}, "offset must have shape"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(roads, settings, sentence):
    network, features, trips = roads
    given = {"features": features, **settings}
    with pytest.raises(InputError, match=sentence):
        deep_routes.fit(network, given.pop("features"), trips, key=key(0), **given)


def test_a_network_that_says_what_is_no_number_is_named(roads):
    network, features, trips = roads
    with pytest.raises(InfeasibleError, match="the network gives the arc from 0 to 1 the reward nan"):
        deep_routes.fit(network, features, trips, key=key(0), reward=Linear(jnp.full(K, jnp.nan)))
