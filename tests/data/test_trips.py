"""Trips are read in two forms that say the same, and what is wrong with a file is said in a sentence."""

import gzip

import numpy as np
import pytest

from maxentrl import InputError
from maxentrl.data.trips import read_trips, trips_from_sequences
from maxentrl.models.network import network_from_arcs

NETWORK = network_from_arcs(["a", "b", "b"], ["b", "a", "c"])
STEPS = (
    "trip,step,link,weight,group,hour\n"
    "t1,0,a,2,ann,8\nt2,1,c,1,bob,9\nt1,1,b,2,ann,8\nt2,0,b,1,bob,9\nt1,2,c,2,ann,8\n"
)
TABLE = "links,trip,group,weight\na b c,t1,ann,2\nb c,t2,bob,1\n"


@pytest.fixture
def file(tmp_path):
    def write(text):
        (tmp_path / "trips.csv").write_text(text)
        return tmp_path / "trips.csv"

    return write


@pytest.mark.parametrize("text", [STEPS, TABLE])
def test_both_forms_say_the_same(file, text):
    trips = read_trips(file(text), NETWORK)
    assert trips.ids == ("t1", "t2") and trips.groups == ("ann", "bob") and trips.count == 2
    assert [trips.sequence(i).tolist() for i in range(2)] == [[0, 1, 2], [1, 2]]
    assert trips.weights.tolist() == [2, 1] and trips.steps == 3
    assert trips.origins.tolist() == [0, 1] and trips.goals.tolist() == [2, 2]


def test_rows_without_steps_are_in_order_of_time_and_names_of_trips_are_optional(file):
    trips = read_trips(file("trip,link\nx,b\nx,a\nx,b\n"), NETWORK)
    assert trips.sequence(0).tolist() == [1, 0, 1] and trips.groups is None and trips.weights.tolist() == [1]
    assert read_trips(file("links\na b\nb a\n"), NETWORK).ids == ("0", "1")


@pytest.mark.parametrize(("text", "rows"), [(STEPS, [2, 4, 6, 5, 3]), (TABLE, [2, 2, 2, 3, 3])])
def test_each_link_remembers_its_row_and_so_does_a_selection(file, text, rows):
    trips = read_trips(file(text), NETWORK)
    for part, known in ((trips, rows), (trips.take([1]), rows[3:])):
        assert part.source is not None and part.source.rows is not None
        assert part.source.file == "trips.csv" and part.source.rows.tolist() == known
    assert trips_from_sequences([[0, 1]]).source is None


def test_a_compressed_file_is_read(tmp_path):
    with gzip.open(tmp_path / "trips.csv.gz", "wt") as out:
        out.write(TABLE)
    assert read_trips(tmp_path / "trips.csv.gz", NETWORK).count == 2


def test_a_selection_keeps_what_belongs_to_each_trip(file):
    trips = read_trips(file(STEPS), NETWORK)
    last = trips.take(np.array([False, True]))
    assert last.ids == ("t2",) and last.groups == ("bob",) and last.links.tolist() == [1, 2]
    both = trips.take([1, 0])
    assert both.bounds.tolist() == [0, 2, 5] and both.trip_of_link.tolist() == [0, 0, 1, 1, 1]
    for nothing in ([], [False, False]):
        with pytest.raises(InputError, match="the selection holds no trip"):
            trips.take(nothing)
    with pytest.raises(InputError, match=r"row numbers, or 2 truth values, one per trip; got bool \(3,\)"):
        trips.take([True, False, True])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trip,link\n", "holds no row of trips"),
        ("trip,state\nx,a\n", r"columns trip and link .* or links .*; it has trip, state"),
        ("trip,link\nx,a\nx,q\nx,r\n", r"row 3: unknown link 'q'; known are a, b, c \(2 unknown in all\)"),
        ("links\na b\na  z\n", "row 3: unknown link 'z'"),
        ("trip,link\nx,a\nx,b\ny,a\n", r"at least two links.*trip 'y' has fewer \(1 such"),
        ("links\na b\n\n \n", r"row 4|trip '1' has fewer"),
        ("trip,step,link\nx,0,a\nx,2,b\n", "row 3: in trip 'x' step 0 is followed by 2; it must rise by 1"),
        ("trip,step,link\nx,0,a\nx,one,b\n", "row 3: step must be a number; got 'one'"),
        ("trip,link,weight\nx,a,1\nx,b,2\n", "trip 'x' has more than one weight: '1' and '2'"),
        ("trip,link,weight\nx,a,0\nx,b,0\n", "weights must be positive numbers; trip 'x' has weight 0"),
        ("trip,link,weight\nx,a,q\nx,b,q\n", "row 2: weight must be a number; got 'q'"),
        ("links,trip\na b,x\nb a,x\n", "ids must differ from each other; 'x'"),
    ],
)
def test_a_file_that_holds_no_trips_is_refused(file, text, message):
    with pytest.raises(InputError, match=message):
        read_trips(file(text), NETWORK)


@pytest.mark.parametrize(
    ("sequences", "more", "message"),
    [
        ([], {}, "the trips are empty"),
        ([[0, 1], [2]], {}, "trip '1' has fewer"),
        ([np.array([0.0, 1.0])], {}, "must be a sequence of link numbers; got float64"),
        ([[0, -1]], {}, "must be a sequence of link numbers"),
        ([[0, 1]], {"weights": [1, 2]}, r"weights must hold one entry per trip \(1\); got 2"),
        ([[0, 1]], {"groups": []}, "groups must hold one entry per trip"),
        ([[0, 1]], {"weights": [np.inf]}, "trip '0' has weight inf"),
        ([[0, 1]], {"weights": [[1.0]]}, r"weights must have shape \[N\] = \(1\); got \(1, 1\)"),
        ([[0, 1], [2**32, 1]], {}, "link numbers must be at most 2147483647; trip '1' has 4294967296"),
    ],
)
def test_sequences_that_are_no_trips_are_refused(sequences, more, message):
    with pytest.raises(InputError, match=message):
        trips_from_sequences(sequences, **more)
