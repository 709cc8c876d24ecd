"""Grid worlds: the map that was drawn is the problem that is solved."""

import numpy as np
import pytest

import maxentrl as me
from maxentrl.core.check import InputError
from maxentrl.envs import gridworld

ROOM = """
    S.#G
    .#T.
    ....
"""
GOALS = {"G": 10.0, "T": -5.0}
MOVES = {"up": (0, -1), "right": (1, 0), "down": (0, 1), "left": (-1, 0)}


def cells(mdp):
    return {(int(column), int(row)): state for state, (column, row) in enumerate(mdp.coordinates)}


@pytest.mark.parametrize("slip", [0.0, 0.2, 1.0])
def test_every_row_is_the_walk_drawn_on_the_map(slip):
    mdp = gridworld(ROOM, goals=GOALS, step_reward=-0.5, slip=slip)
    lines = [line.strip() for line in ROOM.strip().splitlines()]
    number = cells(mdp)
    assert set(number) == {
        (c, r) for r, line in enumerate(lines) for c, letter in enumerate(line) if letter != "#"
    }
    assert mdp.action_names == tuple(MOVES)
    p = mdp.transition_matrix()
    for (column, row), state in number.items():
        letter = lines[row][column]
        assert mdp.terminal[state] == (letter in GOALS)
        assert mdp.initial[state] == (letter == "S")
        if letter in GOALS:
            continue
        for action, intended in enumerate(MOVES):
            expected, reward = np.zeros(mdp.states), -0.5
            for made, (right, down) in MOVES.items():
                chance = slip / 4 + (1 - slip) * (made == intended)
                place = (column + right, row + down)
                place = place if place in number else (column, row)
                expected[number[place]] += chance
                reward += chance * GOALS.get(lines[place[1]][place[0]], 0.0)
            # Sums of up to four terms in either order: a few units in the last place.
            np.testing.assert_allclose(p[state, action], expected, atol=1e-15)
            np.testing.assert_allclose(mdp.reward[state, action], reward, atol=1e-14)


def test_two_ways_of_equal_length_are_taken_equally_often():
    mdp = gridworld()
    policy = np.exp(me.solve(mdp, temperature=0.1, horizon=40).log_policy[0])
    at_start = policy[np.argmax(mdp.initial)]
    up, down = mdp.action_names.index("up"), mdp.action_names.index("down")
    assert abs(at_start[up] - at_start[down]) < 1e-12  # forty roundings, over the temperature
    # A bump costs one step, and a step costs ten temperatures.
    assert 0.4999 < at_start[up] <= 0.5


def test_the_walk_starts_at_any_s_and_anywhere_alive_without_one():
    several = gridworld("S.S\nG.S")
    np.testing.assert_array_equal(several.initial, np.array([1, 0, 1, 0, 0, 1]) / 3)
    np.testing.assert_array_equal(gridworld("..\n.G").initial, np.array([1, 1, 1, 0]) / 3)


def test_a_map_without_goals_has_no_terminal_state():
    assert not gridworld("S..").terminal.any()


def test_a_large_map_is_made_without_a_dense_table():
    mdp = gridworld("\n".join(["." * 500] * 200), slip=0.1)
    assert mdp.states == 100_000
    assert mdp.transition.successor.shape == (4, 4, 100_000)


@pytest.mark.parametrize(
    ("layout", "settings", "sentence"),
    [
        ("S..\n.G", {}, "rows of one length; row 1 has 2 cells, row 0 has 3"),
        ("S.G\n.x.", {}, "may hold #, ., S and the goals G; row 1, column 1 holds 'x'"),
        ("", {}, "layout must hold at least one row"),
        ("\n  \n", {}, "layout must hold at least one row"),
        ("##\n##", {}, "a cell that is not a wall"),
        ("GG", {}, "terminal marks every state"),
        ("S.G", {"slip": 1.1}, "slip must be a probability in .0, 1.; got 1.1"),
        ("S.G", {"slip": float("nan")}, "slip must be a probability in .0, 1.; got nan"),
        ("S.G", {"step_reward": float("nan")}, "reward must be finite"),
        ("S.G", {"goals": {"S": 1.0}}, "single characters other than #, . and S; got 'S'"),
        ("S.G", {"goals": {"GG": 1.0}}, "single characters other than #, . and S; got 'GG'"),
    ],
)
def test_a_map_that_cannot_be_walked_is_refused(layout, settings, sentence):
    with pytest.raises(InputError, match=sentence):
        gridworld(layout, **settings)
