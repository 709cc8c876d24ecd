"""Networks are read with the user's own names, and what is wrong with a file is said in a sentence."""

import numpy as np
import pytest

from maxentrl import InputError
from maxentrl.models.network import network_from_arcs, read_arc_features, read_network

ARCS = "from,to,minutes,turn\nx,y,1.5,0\ny,x,2,1\ny,z,0.5,0\n"


@pytest.fixture
def file(tmp_path):
    def write(text, name="network.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_links_keep_their_names_and_the_order_in_which_they_occur():
    network = network_from_arcs([10, 7, 7], [7, 10, 3])
    assert network.ids == ("10", "7", "3") and network.links == network.arcs == 3
    assert network.numbers([3, "10"]).tolist() == [2, 0]
    assert network.final.tolist() == [False, False, True]


def test_places_of_links_may_be_unknown_but_not_half_known(file):
    arcs = file(ARCS)
    places = read_network(arcs, file("link,x,y\nx,1,2\ny,,\nz,3,4\n", "links.csv")).coordinates
    np.testing.assert_array_equal(places, [[1, 2], [np.nan, np.nan], [3, 4]])
    with pytest.raises(InputError, match=r"links\.csv must have both columns x and y, or neither"):
        read_network(arcs, file("link,x\nx,1\ny,2\nz,3\n", "links.csv"))
    with pytest.raises(InputError, match=r"links\.csv, row 3: x must be a number; got 'far'"):
        read_network(arcs, file("link,x,y\nx,1,2\ny,far,1\nz,3,4\n", "links.csv"))


def test_arcs_are_found_by_their_ends():
    rng = np.random.default_rng(0)
    ends = np.unique(rng.integers(30, size=(200, 2)), axis=0)
    network = network_from_arcs(ends[:, 0], ends[:, 1], ids=range(30))
    table = np.full((30, 30), -1)
    table[ends[:, 0], ends[:, 1]] = np.arange(len(ends))
    np.testing.assert_array_equal(network.arc_numbers(*np.indices((30, 30))), table)


def test_a_network_and_its_features_come_from_one_file(file):
    network = read_network(file(ARCS))
    features, names = read_arc_features(file(ARCS), network)
    assert names == ("minutes", "turn") and features.tolist() == [[1.5, 0], [2, 1], [0.5, 0]]


def test_features_are_matched_by_arc_whatever_the_order_and_chosen_by_name(file):
    network = read_network(file(ARCS))
    mixed = file("turn,to,what,from,minutes\n0,z,a,y,0.5\n0,y,b,x,1.5\n1,x,c,y,2\n", "features.csv")
    features, names = read_arc_features(mixed, network, ["minutes"])
    assert names == ("minutes",) and features[:, 0].tolist() == [1.5, 2, 0.5]


def test_a_file_of_links_gives_order_and_places(file):
    links = file("link,x,y\nz,0,1\ny,2,3\nx,4,5\nalone,6,7\n", "links.csv")
    network = read_network(file(ARCS), links)
    assert network.ids == ("z", "y", "x", "alone")
    assert network.coordinates is not None and network.coordinates[0].tolist() == [0, 1]
    assert read_network(file(ARCS), file("link\nz\ny\nx\n", "links.csv")).coordinates is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), "at least one arc; got none"),
        (([1], [2, 3]), "equally long; got 1 and 2"),
        (([1, 1, 1], [2, 3, 2]), r"arc from 1 to 2 occurs more than once \(1 repetitions"),
        (([1], [2], [1]), r"touches link '2', which is not among the 1 links given \(1 such"),
        (([1], [2], [1, 2, 1]), "'1' occurs more than once"),
        (([1], [2], None, [[0, 0], [1, 1]]), "coordinates need ids"),
        (([1], [2], [1, 2], [[0, 0]]), r"coordinates must have shape .* = \(2, 2\); got \(1, 2\)"),
    ],
)
def test_arcs_that_make_no_network_are_refused(arguments, message):
    leaving, entering, ids, places = (*arguments, None, None)[:4]
    with pytest.raises(InputError, match=message):
        network_from_arcs(leaving, entering, ids=ids, coordinates=places)


def test_an_unknown_link_is_refused_with_what_is_known():
    with pytest.raises(
        InputError, match=r"unknown link 'x' \(1 unknown in all\); known are 0, 1, .* and 3 more"
    ):
        network_from_arcs(range(10), range(1, 11)).numbers(["0", "x"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from,minutes\nx,1\n", "must have the columns from, to; to is missing among from, minutes"),
        ("from,to\n", "holds no row of arcs"),
        ("from,to\nx\n", "row 2: 2 fields are expected; got 1"),
        ("from,to,to\nx,y,z\n", "names the column to more than once"),
        ("", "from is missing"),
    ],
)
def test_a_malformed_network_is_refused(file, text, message):
    with pytest.raises(InputError, match=message):
        read_network(file(text))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no file of arcs at"):
        read_network(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("text", "names", "message"),
    [
        ("from,to,a\nx,y,1\ny,x,2\n", None, "from y to z must occur once; it occurs 0 times"),
        ("from,to,a\nx,y,1\ny,x,2\ny,z,1\nx,y,3\n", None, "from x to y must occur once; it occurs 2 times"),
        ("from,to,a\nx,y,1\ny,x,2\nz,y,1\n", None, r"row 4: the network has no arc from z to y \(1 such"),
        ("from,to,a\nx,y,1\nq,x,2\nz,y,1\n", None, r"row 3: the network has no arc from q to x \(2 such"),
        ("from,to,a\nx,y,1\ny,x,nan\ny,z,b\n", None, r"row 3: a must be a number; got 'nan' \(2 such"),
        ("from,to\nx,y\ny,x\ny,z\n", None, "no column beside from and to"),
        ("from,to,a\nx,y,1\ny,x,2\ny,z,1\n", ["b"], "b is missing among from, to, a"),
        ("from,to,a\nx,y,1\ny,x,2\ny,z,1\n", ["a", "a"], "'a' is asked for 2 times"),
    ],
)
def test_features_that_do_not_fit_the_arcs_are_refused(file, text, names, message):
    network = read_network(file(ARCS))
    with pytest.raises(InputError, match=message):
        read_arc_features(file(text, "features.csv"), network, names)
