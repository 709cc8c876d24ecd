"""A split loses nothing, tears nothing apart that belongs together, and is the same each time."""

import jax
import numpy as np
import pytest

from maxentrl import InputError
from maxentrl.data import trajectories_from_arrays
from maxentrl.data.split import folds, read_labels, split, split_by_ids, split_by_label

GROUPS = [f"person {i // 3}" for i in range(20)]
DEMOS = trajectories_from_arrays(
    np.zeros((20, 2), int), np.zeros((20, 2), int), ids=[f"trip {i}" for i in range(20)], groups=GROUPS
)


def key(seed: int) -> jax.Array:
    return jax.random.key(seed, impl="threefry2x32")


@pytest.mark.parametrize("by", ["trajectory", "group"])
def test_train_and_test_are_a_partition_and_the_same_key_makes_the_same(by):
    once, again, other = (split(DEMOS, test=0.3, key=key(k), by=by) for k in (1, 1, 2))
    assert sorted(once.train.ids + once.test.ids) == sorted(DEMOS.ids)
    assert once.test.ids == again.test.ids != other.test.ids
    if by == "group":
        assert not set(once.train.groups) & set(once.test.groups)
        assert len(set(once.test.groups)) == 2  # 0.3 of seven
    else:
        assert once.test.count == 6


def test_each_side_keeps_at_least_one():
    two = DEMOS.take(np.arange(2))
    for share in (0.01, 0.99):
        assert [part.count for part in split(two, test=share, key=key(0))] == [1, 1]


@pytest.mark.parametrize("by", ["trajectory", "group"])
def test_folds_test_each_trajectory_once(by):
    seen = np.zeros(20, int)
    for train, test in folds(20, GROUPS, count=4, key=key(3), by=by):
        assert sorted([*train, *test]) == list(range(20))
        seen[test] += 1
        if by == "group":
            assert not {GROUPS[i] for i in train} & {GROUPS[i] for i in test}
    assert np.all(seen == 1)


def test_labels_and_names_split_too(tmp_path):
    path = tmp_path / "split.csv"
    path.write_text("traj,part\n" + "".join(f"trip {i},{'a' if i % 3 else 'b'}\n" for i in range(20)))
    parts = split_by_label(DEMOS, read_labels(path, column="part", trajectory="traj"))
    assert set(parts) == {"a", "b"} and parts["b"].ids == tuple(f"trip {i}" for i in range(0, 20, 3))
    named = split_by_ids(DEMOS, parts["b"].ids)
    assert named.test.ids == parts["b"].ids and named.train.ids == parts["a"].ids


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda: split(DEMOS, test=1.0, key=key(0)), r"must lie in \(0, 1\); got 1.0"),
        (lambda: split(DEMOS.take(np.arange(1)), test=0.5, key=key(0)), "at least two of each trajectory"),
        (
            lambda: split(DEMOS.take(np.arange(3)), test=0.5, key=key(0), by="group"),
            "at least two of each group",
        ),
        (lambda: list(folds(20, None, count=2, key=key(0), by="group")), "no groups to split by"),
        (lambda: list(folds(20, count=21, key=key(0))), "between 2 and 20, one trajectory each; got 21"),
        (lambda: split_by_ids(DEMOS, ["trip 99"]), "no trajectory is called 'trip 99'"),
        (lambda: split_by_ids(DEMOS, DEMOS.ids), "at least one trajectory on each side"),
        (lambda: split_by_label(DEMOS, {"trip 0": "a"}), r"'trip 1' has no label \(19 such"),
        (lambda: read_labels("nowhere.csv"), "no file of labels at nowhere.csv"),
    ],
)
def test_what_cannot_be_split_is_refused(act, sentence):
    with pytest.raises(InputError, match=sentence):
        act()


def test_an_unknown_unit_is_refused(as_shipped):
    with pytest.raises(InputError, match="by must be one of trajectory, group"):
        split(DEMOS, test=0.5, key=key(0), by="day")  # type: ignore[arg-type]


def test_labels_are_read_without_the_spaces_around_them(tmp_path):
    (tmp_path / "split.csv").write_text("trajectory , split\n a ,x \nb,y\n")
    assert read_labels(tmp_path / "split.csv") == {"a": "x", "b": "y"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "trajectory,part\na,b\n",
            "must have the columns trajectory, split; split is missing among trajectory, part",
        ),
        ("trajectory,split\na\n", "row 2: 2 fields are expected; got 1"),
        ("trajectory,split\na,x\na,y\n", "row 3: trajectory 'a' has more than one label"),
    ],
)
def test_a_table_of_labels_that_contradicts_itself_is_refused(tmp_path, text, sentence):
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_labels(tmp_path / "split.csv")
