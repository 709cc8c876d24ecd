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
