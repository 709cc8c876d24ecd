"""npz archives: what was saved comes back bit for bit, and nothing else comes in."""

import dataclasses
import os
import pickle

import jax
import numpy as np
import pytest

import maxentrl as me
from archives import TRILLION, with_false_header
from maxentrl.core.check import InputError
from maxentrl.envs import gridworld, lottery, random_mdp
from maxentrl.models.archive import load_archive, save_problem

KEYS = (
    "transition",
    "reward",
    "log_prior",
    "initial",
    "terminal",
    "state_names",
    "action_names",
    "coordinates",
)


def arrays(**changes):
    """A good problem of 3 states and 2 actions, with some keys exchanged; None leaves a key out."""
    good = {"transition": np.full((3, 2, 3), 1 / 3), "reward": np.zeros((3, 2)), **changes}
    return {key: value for key, value in good.items() if value is not None}


def assert_same(one, other):
    for field in dataclasses.fields(one):
        left, right = getattr(one, field.name), getattr(other, field.name)
        assert type(left) is type(right)
        for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b), strict=True)


PROBLEMS = {
    "dense": lambda: random_mdp(7, 3, forbidden=0.4, terminal=2, seed=1),
    "sparse": lambda: random_mdp(30, 3, branching=4, forbidden=0.4, terminal=2, seed=2),
    "float32": lambda: random_mdp(30, 3, branching=4, terminal=1, seed=3, dtype="float32"),
    "named": lottery,
    "coordinates": lambda: gridworld(slip=0.1),
    "counting": lambda: random_mdp(7, 3, forbidden=0.4).with_prior("counting"),
    "in time": lambda: random_mdp(5, 2).with_reward(np.random.default_rng(0).normal(size=(4, 5, 2))),
    "gymnasium": lambda: me.TabularMDP.from_gymnasium("Taxi"),
}


@pytest.mark.parametrize("kind", PROBLEMS)
def test_a_saved_problem_comes_back_bit_for_bit(kind, tmp_path):
    mdp = PROBLEMS[kind]()
    for _ in range(2):
        save_problem(mdp, tmp_path / "problem.npz")
        again = load_archive(tmp_path / "problem.npz")
        assert_same(mdp, again)
        mdp = again
    assert os.listdir(tmp_path) == ["problem.npz"]


def test_arrays_saved_by_numpy_are_the_problem_they_make_directly(tmp_path):
    path = tmp_path / "problem.npz"
    successor, probability = np.array([[[0, 1]], [[1, 0]]]), np.array([[[0.25, 0.75]], [[1.0, 0.0]]])
    np.savez_compressed(
        path, successor=successor, probability=probability, reward=[[1], [-2]], initial=[0, 1]
    )
    expected = me.TabularMDP((successor, probability), [[1], [-2]], initial=[0, 1])
    assert_same(load_archive(path), expected)


def test_rows_that_miss_one_by_a_little_are_rescaled_as_at_construction(tmp_path):
    path = tmp_path / "problem.npz"
    table = np.full((3, 2, 3), 0.33333333333)
    np.savez(path, **arrays(transition=table))
    assert_same(load_archive(path), me.TabularMDP(table, np.zeros((3, 2))))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"reward": None}, "must hold reward, and either transition or both .* it holds transition"),
        ({"transition": None}, "it holds reward"),
        ({"transition": None, "successor": np.zeros((3, 2, 1), int)}, "or both successor and"),
        (
            {"successor": np.zeros((3, 2, 1), int), "probability": np.ones((3, 2, 1))},
            "either transition or both",
        ),
        ({"rewards": np.zeros((3, 2))}, "holds 'rewards'; a problem has"),
        ({"reward": np.zeros(3)}, r"reward must have shape \[S, A\] or \[T, S, A\]; got \(3,\)"),
        (
            {"reward": np.zeros((4, 2))},
            r"transition must have shape \[S, A, S\] = \(4, 2, 4\).*got \(3, 2, 3\)",
        ),
        ({"log_prior": np.zeros((2, 3))}, r"log_prior must have shape \[S, A\] = \(3, 2\)"),
        ({"initial": np.ones(2) / 2}, r"initial must have shape \[S\] = \(3,\)"),
        ({"terminal": np.zeros((3, 1), bool)}, r"terminal must have shape \[S\] = \(3,\)"),
        ({"coordinates": np.zeros((3, 3))}, r"coordinates must have shape \[S, 2\] = \(3, 2\)"),
        ({"state_names": np.array(["a", "b"])}, r"state_names must have shape \[S\] = \(3,\)"),
        ({"action_names": np.array([1, 2])}, "action_names must hold text; got int64"),
        ({"state_names": np.array(["a", "b", "a"])}, "'a' occurs more than once"),
        ({"transition": np.full((3, 2, 3), 0.3)}, r"row \(state 0, action 0\) sums to 0.9"),
        ({"transition": np.full((3, 2, 3), np.nan)}, "holds nan"),
        ({"reward": np.full((3, 2), np.inf)}, "reward must be finite"),
        ({"initial": np.array([0.5, 0.5, 0.1])}, "initial must sum to 1; it sums to 1.1"),
        ({"terminal": np.zeros(3)}, "terminal must be 3 truth values"),
        ({"transition": np.full((3, 2, 3), "x")}, "transition must hold numbers"),
        ({"reward": np.array([[{}, {}]] * 3)}, "reward holds Python objects, which are never loaded"),
    ],
)
def test_an_archive_that_is_not_a_problem_is_refused_by_name(changes, sentence, tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, allow_pickle=True, **arrays(**changes))
    with pytest.raises(InputError, match=r"bad\.npz.*" + sentence):
        load_archive(path)


@pytest.mark.parametrize(
    ("successor", "probability", "sentence"),
    [
        (
            np.zeros((3, 2, 2), int),
            np.ones((3, 2, 1)),
            r"probability must have shape \[S, A, K\] = \(3, 2, 2\)",
        ),
        (np.full((3, 2, 1), 3), np.ones((3, 2, 1)), "successors must be states 0 to 2"),
        (np.zeros((3, 2, 1)), np.ones((3, 2, 1)), "successor must hold whole numbers"),
    ],
)
def test_bad_successor_lists_are_refused(successor, probability, sentence, tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, successor=successor, probability=probability, reward=np.zeros((3, 2)))
    with pytest.raises(InputError, match=r"bad\.npz.*" + sentence):
        load_archive(path)


def test_a_file_that_is_no_archive_is_refused_and_never_unpickled(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(tmp_path / "good.npz", **arrays())
    whole = (tmp_path / "good.npz").read_bytes()
    for content in (b"", b"not a zip", whole[:-40], whole[: len(whole) // 2], pickle.dumps({"reward": 1})):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"bad\.npz cannot be read as an npz archive: .+"):
            load_archive(path)
    with pytest.raises(InputError, match="Is a directory"):
        load_archive(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        load_archive(tmp_path / "absent.npz")


def test_damaged_data_inside_an_archive_are_refused(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays())
    content = bytearray(path.read_bytes())
    content[content.index(b"reward.npy") + 200] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="CRC"):
        load_archive(path)


def test_sizes_are_taken_from_the_headers_and_compared_before_any_array_is_read(tmp_path):
    path = with_false_header(tmp_path / "bad.npz", "reward", (TRILLION, 2))
    with pytest.raises(InputError, match=r"reward declares shape .* but 48 bytes are stored"):
        load_archive(path)


def test_a_key_that_no_problem_has_is_refused(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays(), colour=np.zeros(3))
    with pytest.raises(InputError, match="holds 'colour'; a problem has some of the keys transition"):
        load_archive(path)


def test_more_than_the_memory_at_hand_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "problem.npz"
    np.savez(path, **arrays())
    monkeypatch.setattr("maxentrl.core.check.available_memory", lambda: 100)
    with pytest.raises(InputError, match=r"problem\.npz needs about .* of memory"):
        load_archive(path)


def test_nothing_is_left_behind_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "problem.npz"
    path.write_bytes(b"the old one")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match=r"problem\.npz cannot be written: No space left on device"):
            save_problem(lottery(), path)
    assert os.listdir(tmp_path) == ["problem.npz"]
    assert path.read_bytes() == b"the old one"
    with pytest.raises(InputError, match="cannot be written: No such file or directory"):
        save_problem(lottery(), tmp_path / "absent" / "problem.npz")
    with pytest.raises(InputError, match=r"ends in \.npz; got .*problem\.csv"):
        save_problem(lottery(), tmp_path / "problem.csv")
