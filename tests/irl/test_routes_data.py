"""Real road networks: the numbers of shared/data/*/README.md, from the files as the examples convert them."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from maxentrl import InfeasibleError
from maxentrl.data.trips import read_trips
from maxentrl.irl import routes
from maxentrl.irl.route_evidence import evidence, log_uniform
from maxentrl.models.network import read_arc_features, read_network
from shared_data import shared

EXAMPLES = Path(__file__).parents[2] / "examples"


def converted(example: str, folder: Path, *options: str):
    """The folder of tables that an example's script makes."""
    spec = importlib.util.spec_from_file_location(f"convert_{example}", EXAMPLES / example / "convert.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    given, sys.argv = sys.argv, ["convert.py", str(shared(example)), "--out", str(folder), *options]
    try:
        script.main()
    finally:
        sys.argv = given
    return folder


@pytest.fixture(scope="module")
def borlange(tmp_path_factory):
    folder = converted("borlange", tmp_path_factory.mktemp("borlange"))
    network = read_network(folder / "network.csv")
    features, names = read_arc_features(folder / "network.csv", network)
    return (
        network,
        features,
        names,
        {x: read_trips(folder / f"{x}.csv", network) for x in ("trips", "train", "test")},
    )


def test_the_borlange_data_is_what_its_description_says(borlange):
    network, features, names, trips = borlange
    assert (network.links, network.arcs, network.final.sum(), names) == (
        7754,
        21452,
        466,
        ("TT", "LT", "LC", "UT"),
    )
    known = evidence(network, trips["trips"])
    assert (trips["trips"].count, trips["test"].count, len(known.counts), trips["trips"].steps) == (
        1832,
        366,
        1420,
        37167,
    )
    np.testing.assert_allclose(known.observed @ features, [9382.65936, 4973, 35335, 155], rtol=1e-12)
    assert log_uniform(known).sum() == pytest.approx(-35366.202914, abs=1e-6)


@pytest.mark.parametrize("start", [[-2.0, -1, -1, -4], [-1.0, -1, -0.5, -2], [0.0, 0, 0, 0]])
def test_borlange_has_the_published_estimate_from_feasible_and_infeasible_starts(borlange, start):
    network, features, names, trips = borlange
    found = routes.fit(network, features, trips["trips"], start=start, feature_names=names)
    assert found.converged
    np.testing.assert_allclose(found.weights, [-2.49412091, -0.93308099, -0.41112312, -4.45882315], atol=1e-7)
    assert found.log_likelihood == pytest.approx(-6302.929422, abs=1e-5)
    np.testing.assert_allclose(
        found.standard_errors_of("sandwich"), [0.0980, 0.0297, 0.0127, 0.1140], atol=1e-4
    )
    np.testing.assert_allclose(
        found.standard_errors_of("hessian"), [0.0644, 0.0263, 0.0103, 0.1128], atol=1e-4
    )


def test_trips_of_borlange_held_out_have_the_likelihood_expected(borlange):
    network, features, _, trips = borlange
    found = routes.fit(network, features, trips["train"], start=[-2.0, -1, -1, -4])
    np.testing.assert_allclose(found.weights, [-2.556466, -0.938556, -0.410407, -4.440259], atol=1e-6)
    assert found.log_likelihood == pytest.approx(-4894.8319, abs=1e-4)
    held_out = routes.log_likelihood(network, found.weights, features, trips["test"])
    assert held_out.sum() == pytest.approx(-1409.1139, abs=1e-4)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([-2, -1, -1, -4], -7672.577728),
        ([-1, -1, -1, -1], -8725.337216),
        ([-1, -1, -0.5, -2], -8668.050880),
        ([-2.494, -0.933, -0.411, -4.459], -6302.929652),
    ],
)
def test_borlange_has_the_likelihood_expected_at_fixed_weights(borlange, weights, expected):
    network, features, _, trips = borlange
    for goal in ("optional", "forced"):
        found = routes.log_likelihood(network, weights, features, trips["trips"], goal=goal)
        assert found.sum() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([-1, 0, 0, 0], r"6772 -> 6773 -> 6772, 0.00186 per step.* is 2.833,"),
        ([0, 0, 0, 0], r"a loop pays for itself.*links 1 -> 2 -> 1 earn 0 per step"),
        ([1, 1, 1, 1], r"4395 -> 4396 -> 4395 earn 7.783 per step.*No temperature helps"),
    ],
)
def test_borlange_is_refused_where_it_has_no_finite_solution_and_the_reason_is_named(
    borlange, weights, message
):
    network, features, _, trips = borlange
    with pytest.raises(InfeasibleError, match=message):
        routes.log_likelihood(network, weights, features, trips["trips"])


@pytest.mark.parametrize(
    ("size", "weights", "train", "test"),
    [
        (
            1000,
            [
                -0.32740012,
                -0.13276390,
                -0.80079877,
                -0.77124978,
                -1.82392796,
                0.19755911,
                -0.12528587,
                0.08710968,
            ],
            -4525.206845,
            -21653.335164,
        ),
        (
            10000,
            [
                -0.33797072,
                -0.15786116,
                -0.78662348,
                -0.76989929,
                -1.81195114,
                0.23722382,
                -0.11203141,
                0.10075100,
            ],
            -43412.013488,
            -21628.483156,
        ),
    ],
)
def test_taxi_routes_held_out_have_the_likelihood_expected(tmp_path, size, weights, train, test):
    folder = converted("shanghai_taxi", tmp_path, "--size", str(size))
    network = read_network(folder / "network.csv", folder / "links.csv")
    features, names = read_arc_features(folder / "network.csv", network)
    trips = {x: read_trips(folder / f"{x}.csv", network) for x in ("train", "test")}
    found = routes.fit(network, features, trips["train"], goal="forced", feature_names=names)
    np.testing.assert_allclose(found.weights, weights, atol=1e-7)
    assert found.log_likelihood == pytest.approx(train, abs=1e-5)
    held_out = routes.log_likelihood(network, found.weights, features, trips["test"], goal="forced")
    assert held_out.sum() == pytest.approx(test, abs=1e-4) and trips["test"].count == 4893
    if size == 10000:
        assert held_out.mean() == pytest.approx(-4.420291, abs=1e-6)
        assert log_uniform(evidence(network, trips["test"])).mean() == pytest.approx(-14.167969, abs=1e-6)
