"""What trips can tell about a reward of roads: potentials never, other directions only where ways differ in them."""

import numpy as np
import pytest

from infer.networks import city
from irl.towns import town
from maxentrl import InputError
from maxentrl.assess import identify_roads
from maxentrl.data.trips import trips_from_sequences
from maxentrl.irl import routes
from maxentrl.irl.route_evidence import trip_log_likelihood
from maxentrl.models.network import network_from_arcs


@pytest.mark.parametrize("seed", range(5))
def test_a_potential_among_the_features_is_found_and_named_and_true_features_never_are(seed):
    network, rng = city(seed), np.random.default_rng(seed)
    height = rng.normal(size=network.links)
    climb = height[network.arc_to] - height[network.arc_from]
    free = rng.uniform(0, 2, (network.arcs, 2))
    # City networks have ways of different lengths, so that a constant is identified.
    table = np.column_stack([free, np.ones(network.arcs)])
    assert identify_roads(network, table).identified
    mixed = np.column_stack([table, 3 * climb - 0.5 * free[:, 0]])
    (found,) = identify_roads(network, mixed, feature_names=["a", "b", "const", "mixed"]).directions
    assert found.kind == "shaping" and found.features == ("a", "mixed")
    # The largest entry is 1: mixed + 0.5 a = 3 climb. Rounding of a sparse solve.
    assert found.potential is not None
    np.testing.assert_allclose(found.weights, [0.5, 0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(
        found.potential[network.arc_to] - found.potential[network.arc_from], 3 * climb, atol=1e-9
    )
    assert f"highest in link {height.argmax()}" in found.sentence and found.residual < 1e-9


@pytest.mark.parametrize("goal", ["forced", "optional"])
def test_no_trip_is_likelier_or_less_likely_along_a_potential(goal):
    network, features, trips = town(3, goal)
    height = np.random.default_rng(0).normal(size=network.links)
    climb = height[network.arc_to] - height[network.arc_from]
    reward = features @ np.array([-0.6, 0.4, -1.5])
    plain, shaped = (
        trip_log_likelihood(network, r, trips, goal=goal) for r in (reward, reward + 0.7 * climb)
    )
    # Rounding of two linear solves.
    np.testing.assert_allclose(plain, shaped, atol=1e-9)


def test_the_fit_knows_which_directions_no_trips_and_which_these_trips_do_not_tell():
    # Two ways from a to d, by b (toll) or by c (scenic); from d on to f there is one way only, over a bridge e.
    arcs = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", "e"), ("e", "f"), ("d", "f")]
    network = network_from_arcs([a for a, _ in arcs], [b for _, b in arcs])
    names = ["toll", "scenic", "bridge", "step", "nothing"]
    table = np.zeros((len(arcs), 5))
    table[0, 0] = table[1, 1] = table[4, 2] = 1
    at = {name: i for i, name in enumerate(network.ids)}
    ways = [["a", "b", "d"], ["a", "c", "d"], ["a", "b", "d"]]
    table[:, 3] = [1, 1, 1, 1, 1, 1, 2]
    trips = trips_from_sequences([[at[x] for x in way] for way in ways])
    fit = routes.fit(network, table, trips, feature_names=names)
    found = identify_roads(network, table, feature_names=names, fisher=fit.fisher, decisions=fit.steps)
    kinds = {d.features: d.kind for d in found.directions}
    # All ways of the network have as many steps (d to f counts two), so that the constant is a potential; the bridge
    # decides nothing between a and d; and toll and scenic are told apart only by their difference.
    assert kinds[("nothing",)] == "zero" and kinds[("step",)] == "shaping" and kinds[("bridge",)] == "unseen"
    others = [d for d in found.directions if set(d.features) == {"toll", "scenic"}]
    assert len(found.directions) == 4 and [d.kind for d in others] == ["shaping"]
    assert "Trips between other links may tell" in found.by_other_data[0].sentence
    assert found.to_dict()["identified"] is False
    before = identify_roads(network, table, feature_names=names)
    assert {d.kind for d in before.directions} == {"zero", "shaping"}


def walks(network, goal, longest):
    """[n] dicts: for each pair of links, the numbers of times [E] that each of its ways of some length takes each arc."""
    ways = {}
    front = [(o, o, np.zeros(network.arcs)) for o in range(network.links)]
    for _ in range(longest):
        front = [
            (o, int(network.arc_to[e]), taken + np.eye(network.arcs)[e])
            for o, at, taken in front
            for e in np.flatnonzero(network.arc_from == at)
        ]
        for o, at, taken in front:
            ends = taken[network.arc_to == at].sum() == 1 and o != at
            if goal == "optional" or ends:
                ways.setdefault((o, at), [np.zeros(network.arcs)] if o == at else []).append(taken)
    return ways.values()


@pytest.mark.parametrize("goal", ["forced", "optional"])
@pytest.mark.parametrize("seed", range(40))
def test_what_no_trips_can_tell_is_what_all_ways_between_two_links_have_alike_in_any_network(seed, goal):
    """Every way of at most 8 arcs is listed, which holds a loop of 4 links, or two loops, on the way to any link."""
    rng = np.random.default_rng(seed)
    links = int(rng.integers(2, 6))
    pairs = [(i, j) for i in range(links) for j in range(links) if i != j]
    chosen = rng.permutation(len(pairs))[: int(rng.integers(1, min(len(pairs), links + 3) + 1))]
    network = network_from_arcs([pairs[k][0] for k in chosen], [pairs[k][1] for k in chosen])
    apart = [way - ways[0] for ways in walks(network, goal, 8) for way in ways[1:]]
    known = np.linalg.matrix_rank(np.array(apart)) if apart else 0
    found = identify_roads(network, np.eye(network.arcs), goal=goal)
    assert len(found.directions) == network.arcs - known
    for direction in found.directions:
        assert direction.kind == "shaping" and direction.residual < 1e-9
        np.testing.assert_allclose(
            np.array(apart).reshape(-1, network.arcs) @ direction.weights, 0, atol=1e-9
        )
        if direction.potential is not None:
            rise = direction.potential[network.arc_to] - direction.potential[network.arc_from]
            np.testing.assert_allclose(rise, direction.weights, atol=1e-9)


def test_where_there_is_one_way_between_any_two_links_nothing_is_identified_and_no_trips_are_asked_for():
    network = network_from_arcs([0, 0, 1, 1], [2, 3, 2, 3])
    for fisher in (None, [[0.0]]):
        (found,) = identify_roads(network, [[1.0], [0], [0], [0]], fisher=fisher).directions
        assert found.kind == "shaping" and found.potential is None
        assert found.sentence == (
            "the weight of 0 is not identified by any trips on this network: it adds up to the same on all ways between "
            "two links, though not by one potential for all goals."
        )
    # Round a ring a trip passes its goal, or it does not.
    ring = network_from_arcs([0, 1, 2], [1, 2, 0])
    assert identify_roads(ring, np.ones((3, 1)), goal="optional").identified
    assert not identify_roads(ring, np.ones((3, 1)), goal="forced").identified


def test_collinear_features_are_named():
    network, features, _ = town(1, "forced")
    table = np.column_stack([features, features[:, 0] - 2 * features[:, 1]])
    (found,) = identify_roads(network, table, feature_names=list("abcd")).directions
    assert found.kind == "collinear" and found.features == ("a", "b", "d")
    assert "the features cancel on every arc" in found.sentence


def test_bad_input_is_one_sentence():
    network, features, _ = town(1, "forced")
    with pytest.raises(InputError, match=r"features must have shape \[E, K\]"):
        identify_roads(network, features[1:])
    with pytest.raises(InputError, match="features must be finite; 1 entries are not"):
        identify_roads(
            network, np.where(np.arange(features.size).reshape(features.shape) == 4, np.nan, features)
        )
    for names in (["a"], ["a", "b", "a"]):
        message = f"feature_names must be 3 different names, at least one; got {', '.join(names)}."
        with pytest.raises(InputError, match=message):
            identify_roads(network, features, feature_names=names)
    with pytest.raises(InputError, match=r"fisher must have shape \[K, K\]"):
        identify_roads(network, features, fisher=np.eye(2))
