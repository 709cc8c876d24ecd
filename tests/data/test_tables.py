"""Demonstrations from files and back, and what is said about files that are wrong."""

import gzip
import pickle
import time
from typing import NamedTuple

import numpy as np
import pytest

from archives import with_false_header
from maxentrl import InputError
from maxentrl.core.tables import place
from maxentrl.data import read_trajectories, trajectories_from_arrays, write_trajectories


class Words(NamedTuple):
    """What a problem is called, as far as a file is concerned."""

    states: int = 3
    actions: int = 2
    state_names: tuple[str, ...] | None = ("home", "road", "work")
    action_names: tuple[str, ...] | None = ("stay", "go")


NAMED = Words()
NUMBERED = Words(state_names=None, action_names=None)


def table(tmp_path, text: str, name: str = "trips.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def same(a, b) -> bool:
    fields = ("states", "actions", "next_states", "lengths", "weights")
    return all(np.array_equal(getattr(a, f), getattr(b, f)) for f in fields) and (a.ids, a.groups) == (
        b.ids,
        b.groups,
    )


def test_ids_are_read_as_they_are_in_the_file_and_each_row_leads_to_the_next(tmp_path):
    path = table(
        tmp_path,
        "trajectory,state,action,comment\nmon,home,go,\nmon,road,go,late\ntue,home,stay,\nmon,work,stay,\n",
    )
    demos = read_trajectories(path, NAMED)
    assert demos.ids == ("mon", "tue")
    assert demos.states.tolist() == [[0, 1, 2], [0, -1, -1]]
    assert demos.actions.tolist() == [[1, 1, 0], [0, -1, -1]]
    assert demos.next_states.tolist() == [[1, 2, -1], [-1, -1, -1]]


def test_numbers_may_stand_for_names_where_no_name_occurs(tmp_path):
    text = "trajectory,state,action\n0,0,1\n0,1,1\n"
    named, numbered = (read_trajectories(table(tmp_path, text), words) for words in (NAMED, NUMBERED))
    assert same(named, numbered) and named.states.tolist() == [[0, 1]]


def test_a_last_row_without_an_action_says_where_the_trajectory_ended(tmp_path):
    path = table(tmp_path, "trajectory,state,action\na,home,go\na,road,\nb,road,go\nb,work,\n")
    demos = read_trajectories(path, NAMED)
    assert demos.lengths.tolist() == [1, 1] and demos.next_states.tolist() == [[1], [2]]


def test_each_step_remembers_its_row_as_an_editor_counts_them_and_so_does_a_selection(tmp_path):
    path = table(
        tmp_path,
        "trajectory,t,state,action\na,1,road,go\n\nb,0,home,stay\na,0,home,go\nb,1,road,go\nb,2,work,\n",
    )
    demos = read_trajectories(path, NAMED)
    for part, rows in ((demos, [[5, 2], [4, 6]]), (demos.take(np.array([1])), [[4, 6]])):
        assert part.source is not None and part.source.rows is not None
        assert part.source.file == "trips.csv" and part.source.rows.tolist() == rows
    write_trajectories(tmp_path / "trips.npz", demos)
    kept = read_trajectories(tmp_path / "trips.npz", NAMED)
    # An array has no rows; the message then names the file, the trajectory and the step.
    assert place(demos.source, 1, 0) == " (trips.csv, row 4)" and place(kept.source, 1, 0) == " (trips.npz)"
    assert place(trajectories_from_arrays([[0]], [[1]]).source, 0, 0) == ""


def test_rows_are_ordered_by_time_where_it_is_given(tmp_path):
    path = table(
        tmp_path,
        "t,trajectory,state,action,next_state,weight,group\n6,a,road,go,work,2,g\n5,a,home,go,,2,g\n",
    )
    demos = read_trajectories(path, NAMED)
    assert demos.states.tolist() == [[0, 1]] and demos.next_states.tolist() == [[1, 2]]
    assert demos.weights.tolist() == [2.0] and demos.groups == ("g",)


@pytest.mark.parametrize("name", ["d.csv", "d.npz"])
@pytest.mark.parametrize("groups", [None, ("x", "y")])
def test_what_is_written_is_what_is_read(tmp_path, name, groups):
    demos = trajectories_from_arrays(
        np.array([[0, 1, 2], [2, 1, -1]]),
        np.array([[1, 0, -1], [0, -1, -1]]),
        weights=[0.5, 1 / 3],
        groups=groups,
    )
    write_trajectories(tmp_path / name, demos, NAMED)
    assert same(read_trajectories(tmp_path / name, NAMED), demos)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_compressed_table_is_a_table(tmp_path):
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(b"trajectory,state,action\na,home,go\n"))
    assert read_trajectories(tmp_path / "d.csv.gz", NAMED).steps == 1


def test_a_compressed_table_with_a_wrong_byte_is_read_as_it_was_or_refused(tmp_path):
    whole = gzip.compress(
        b"trajectory,state,action\n" + b"".join(b"a,home,go\nb,road,stay\n" for _ in range(40))
    )
    path, refused = tmp_path / "d.csv.gz", []
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0x55]) + whole[i + 1 :])
        try:
            assert read_trajectories(path, NAMED).steps == 80
        except InputError as error:
            refused.append(str(error))
    assert len(refused) > len(whole) / 2
    assert all("d.csv.gz cannot be read as a table of demonstrations" in sentence for sentence in refused)


def test_names_that_a_table_would_not_give_back_are_not_written(tmp_path):
    demos = trajectories_from_arrays([[0]], [[1]], ids=["a "], groups=["x"])
    with pytest.raises(
        InputError, match=r"name of a trajectory in a CSV file must not begin or end .* got 'a '"
    ):
        write_trajectories(tmp_path / "d.csv", demos)
    spaced = NAMED._replace(state_names=("home", "road", " work"))
    with pytest.raises(InputError, match=r"name of a state .* got ' work'"):
        write_trajectories(tmp_path / "d.csv", demos.__class__(**vars(demos) | {"ids": ("a",)}), spaced)
    assert not list(tmp_path.iterdir())
    write_trajectories(tmp_path / "d.npz", demos)
    assert read_trajectories(tmp_path / "d.npz", NAMED).ids == ("a ",)


def test_nothing_half_written_is_left_behind(tmp_path):
    demos = trajectories_from_arrays(np.array([[0, 7]]), np.array([[1, 1]]))
    with pytest.raises(IndexError):
        write_trajectories(tmp_path / "d.csv", demos, NAMED)
    assert not list(tmp_path.iterdir())


def test_a_hundred_thousand_rows_take_about_a_second(tmp_path):
    count = 100_000
    rows = "".join(f"{i // 10},{i % 3},1\n" for i in range(count))
    path = table(tmp_path, "trajectory,state,action\n" + rows)
    begin = time.process_time()
    assert read_trajectories(path, NUMBERED).steps == count
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must have the columns trajectory, state, action; trajectory is missing"),
        ("trajectory,state\na,home\n", "action is missing among trajectory, state"),
        ("trajectory,state,action\n", "holds no row of demonstrations"),
        ("trajectory,state,action,t,t\na,home,go,0,1\n", "names the column t more than once"),
        ("trajectory,state,action\na,home\n", "row 2: 3 fields are expected; got 2"),
        (
            "trajectory,state,action\na,home,go\n\na,sea,go\n",
            "row 4: unknown state 'sea'; known are home, road, work",
        ),
        (
            "trajectory,state,action\na,home,swim\n",
            r"row 2: unknown action 'swim'; known are stay, go \(1 unknown",
        ),
        (
            "trajectory,state,action\na,0,0\na,9,0\n",
            r"row 3: unknown state '9'; known are 0, 1, 2 \(1 unknown",
        ),
        ("trajectory,state,action\na,8,0\na,9,0\n", "row 2: unknown state '8'; known are home, road, work"),
        ("trajectory,state,action,next_state\na,home,go,sea\n", "row 2: unknown next state 'sea'"),
        (
            "trajectory,state,action,t\na,home,go,0\na,road,go,0\n",
            "row 3: trajectory 'a' has t = 0 more than once",
        ),
        (
            "trajectory,state,action,t\na,home,go,0\na,road,go,2\n",
            "row 3: in trajectory 'a' t jumps from 0 to 2",
        ),
        *(
            (f"trajectory,state,action,t\na,home,go,{t}\n", f"row 2: t must be a whole number .*; got {t!r}")
            for t in ("x", "--1", "²", "1.5", str(2**63))
        ),
        (
            "trajectory,state,action,weight\na,home,go,1\na,home,go,2\n",
            "'a' has more than one weight: '1' and '2'",
        ),
        ("trajectory,state,action,weight\na,home,go,x\n", "row 2: weight must be a number; got 'x'"),
        ("trajectory,state,action,weight\na,home,go,nan\n", "row 2: weight must be a number; got 'nan'"),
        ("trajectory,state,action,weight\na,home,go,0\n", "weights must be positive numbers"),
        ("trajectory,state,action\na,home,\na,road,go\n", "row 2: the action is empty; only the last row"),
        ("trajectory,state,action\na,home,\n", "trajectory 'a' holds no action"),
        (
            "trajectory,state,action,next_state\na,home,go,work\na,road,go,\n",
            "row 2: next_state is not .* 'a' .1 such",
        ),
        (
            "trajectory,state,action,next_state\na,home,go,work\na,road,,\n",
            "row 2: next_state is not the state",
        ),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_file_and_row(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence):
        read_trajectories(table(tmp_path, text), NAMED)


def test_files_that_are_not_demonstrations_are_refused(tmp_path):
    with pytest.raises(InputError, match="no file of demonstrations at"):
        read_trajectories(tmp_path / "none.csv", NAMED)
    with pytest.raises(InputError, match=r"must be a \.csv, \.csv\.gz or \.npz file; got trips\.txt"):
        read_trajectories(table(tmp_path, "", "trips.txt"), NAMED)
    with pytest.raises(InputError, match=r"bad\.npz cannot be read as an npz archive"):
        read_trajectories(table(tmp_path, "hello", "bad.npz"), NAMED)
    with pytest.raises(InputError, match=r"are written as \.csv or \.npz"):
        write_trajectories(tmp_path / "d.txt", trajectories_from_arrays(np.array([[0]]), np.array([[0]])))
    with pytest.raises(InputError, match=r"no/d\.csv cannot be written: No such file"):
        write_trajectories(
            tmp_path / "no" / "d.csv", trajectories_from_arrays(np.array([[0]]), np.array([[0]]))
        )


def test_an_archive_is_never_unpickled_and_its_numbers_are_checked(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, states=np.array([[0]]), allow_pickle=False)
    with pytest.raises(InputError, match="actions is missing among states"):
        read_trajectories(path, NAMED)
    np.savez(path, states=np.array([[0, 3]]), actions=np.array([[1, 1]]), allow_pickle=False)
    with pytest.raises(InputError, match="trajectory '0', step 1: unknown state 3; known are 0 to 2"):
        read_trajectories(path, NAMED)
    np.savez(path, states=np.array([[{"a": 1}]], dtype=object), actions=np.array([[1]]))
    with pytest.raises(InputError, match="states holds Python objects, which are never loaded"):
        read_trajectories(path, NAMED)
    with pytest.raises(InputError, match=r"states declares shape .* but 48 bytes are stored"):
        read_trajectories(with_false_header(path, "states"), NAMED)
    np.savez(path, states=[[0]], actions=[[1]], ids=np.array([b"\xff"]))
    with pytest.raises(InputError, match=r"d\.npz: ids must be text; it holds the bytes b'\\xff'"):
        read_trajectories(path, NAMED)
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(InputError, match="cannot be read as an npz archive"):
        read_trajectories(path, NAMED)
