"""The record of demonstrations: padding, what follows what, and every way to get it wrong."""

import numpy as np
import pytest

from maxentrl import InputError
from maxentrl.data import trajectories_from_arrays, trajectories_from_steps

STATES = np.array([[0, 1, 2], [3, 4, -1]])
ACTIONS = np.array([[1, 0, 1], [0, -1, -1]])


def test_the_state_after_a_step_is_the_next_state_of_the_row():
    demos = trajectories_from_arrays(STATES, ACTIONS)
    assert demos.lengths.tolist() == [3, 1]
    assert demos.next_states.tolist() == [[1, 2, -1], [4, -1, -1]]
    assert (demos.count, demos.steps, demos.longest) == (2, 4, 3)


def test_one_more_column_of_states_tells_where_the_last_action_led():
    states = np.array([[0, 1, 2, 5], [3, 4, -1, -1]])
    demos = trajectories_from_arrays(states, ACTIONS)
    assert demos.next_states.tolist() == [[1, 2, 5], [4, -1, -1]]


def test_padding_is_minus_one_whatever_the_file_held_there():
    states = np.array([[0, 1, 2], [3, 4, 7]])
    demos = trajectories_from_arrays(states, np.array([[1, 0, 1], [0, 9, 9]]), lengths=np.array([3, 1]))
    assert demos.states.tolist() == [[0, 1, 2], [3, -1, -1]]
    assert demos.actions.tolist() == [[1, 0, 1], [0, -1, -1]]
    assert demos.next_states.tolist() == [[1, 2, -1], [4, -1, -1]]


def test_rows_and_steps_tell_the_same():
    demos = trajectories_from_steps(
        np.array([0, 0, 0, 1]),
        np.array([0, 1, 2, 3]),
        np.array([1, 0, 1, 0]),
        np.array([-1, -1, -1, 4]),
        ids=("a", "b"),
        weights=np.array([1.0, 2.0]),
        groups=("x", "y"),
    )
    assert demos.states.tolist() == [[0, 1, 2], [3, -1, -1]]
    assert demos.next_states.tolist() == [[1, 2, -1], [4, -1, -1]]
    assert demos.ids == ("a", "b") and demos.groups == ("x", "y")


def test_a_step_whose_number_cannot_be_stored_is_refused():
    with pytest.raises(InputError, match=r"actions must hold numbers of at most 2147483647; entry \[0, 1\]"):
        trajectories_from_steps(
            np.zeros(2, int), np.array([0, 1]), np.array([0, 2**32]), np.array([-1, -1]), ids=("a",)
        )


def test_a_selection_keeps_what_belongs_to_its_rows_and_drops_needless_padding():
    demos = trajectories_from_arrays(STATES, ACTIONS, weights=np.array([1.0, 2.0]), ids=("a", "b"))
    taken = demos.take(np.array([False, True]))
    assert taken.states.tolist() == [[3]] and taken.weights.tolist() == [2.0] and taken.ids == ("b",)
    for nothing in ([], np.array([False, False])):
        with pytest.raises(InputError, match="holds no trajectory"):
            demos.take(nothing)
    for wrong, found in (([True], r"bool \(1,\)"), ([[0, 1]], r"int64 \(1, 2\)"), ([0.5], "float64")):
        with pytest.raises(
            InputError, match="row numbers, or 2 truth values, one per trajectory; got " + found
        ):
            demos.take(wrong)
    for wrong in ([0, 2], [-3]):
        with pytest.raises(InputError, match=f"row numbers from 0 to 1; got {wrong[-1]}"):
            demos.take(wrong)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"actions": np.zeros((0, 3), int), "states": np.zeros((0, 3), int)}, "the demonstrations are empty"),
        (
            {"states": STATES + 2**32},
            r"states must hold numbers of at most 2147483647; entry \[0, 0\] is 4294967296",
        ),
        (
            {"actions": ACTIONS + np.array([0, 0, 2**32])},
            r"actions must hold .* entry \[0, 2\] is 4294967297",
        ),
        ({"states": STATES.astype(np.uint64) + 2**33}, r"states must hold .* \[0, 0\] is"),
        ({"next_states": np.full((2, 3), 2**32)}, r"next_states must hold .* \[0, 0\] is 4294967296"),
        ({"actions": ACTIONS * 1.0}, "actions must hold whole numbers; got float64"),
        ({"states": STATES[:, :2]}, r"as many columns as actions, or one more; got \(2, 2\)"),
        ({"actions": np.full((2, 3), -1)}, "between 1 and 3 steps; trajectory '0' has 0"),
        ({"lengths": np.array([3, 4])}, "between 1 and 3 steps; trajectory '1' has 4"),
        ({"lengths": np.array([3, 2])}, "trajectory '1' has 2 steps, but at step 1 its action is -1"),
        (
            {"next_states": np.array([[1, 3, 0], [4, 0, 0]])},
            "says at step 1 that state 3 came next.*in state 2",
        ),
        (
            {"weights": np.array([1.0, np.nan])},
            "weights must be positive numbers; trajectory '1' has weight nan",
        ),
        ({"weights": np.array([1.0, -1.0])}, "trajectory '1' has weight -1"),
        ({"weights": np.ones(3)}, "weights must hold one number per trajectory"),
        ({"ids": ("a", "a")}, "ids must differ from each other; 'a' occurs more than once"),
        ({"ids": ("a",)}, r"ids must hold one name per trajectory \(2\); got 1"),
        ({"groups": ("a",)}, r"groups must hold one name per trajectory \(2\); got 1"),
    ],
)
def test_what_cannot_be_a_demonstration_is_refused_with_a_sentence(change, sentence):
    arguments = {"states": STATES, "actions": ACTIONS} | change
    with pytest.raises(InputError, match=sentence):
        trajectories_from_arrays(arguments.pop("states"), arguments.pop("actions"), **arguments)
