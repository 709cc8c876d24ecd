"""Problems from Gymnasium, and the one door for everything that has a name."""

import gymnasium
import numpy as np
import pytest

import maxentrl as me
from maxentrl.core.check import InputError
from maxentrl.models.sources import from_gymnasium, load_problem
from maxentrl.models.transition import Sparse

# Discount 0.99, counting prior, terminal value 0; from another implementation, right to the digits shown.
START_VALUES = {
    1.0: {
        ("FrozenLake-v1", 0): "23.9181272",
        ("FrozenLake8x8-v1", 0): "95.45150666",
        ("CliffWalking-v1", 36): "32.96834414",
        ("Taxi", 0): "47.1052426",
    },
    0.1: {
        ("FrozenLake-v1", 0): "2.47103248",
        ("FrozenLake8x8-v1", 0): "9.54599365",
        ("CliffWalking-v1", 36): "-12.24784825",
        ("Taxi", 0): "18.8000026",
    },
    0.0: {("FrozenLake-v1", 0): "0.54202593", ("FrozenLake8x8-v1", 0): "0.41464036"},
}


def side_by_side(problems):
    """One problem made of several that never meet, so that one compiled program plans for all of them."""
    parts = [(np.asarray(p.transition.successor), np.asarray(p.transition.probability), p) for p in problems]
    actions, width = (max(successor.shape[axis] for successor, _, _ in parts) for axis in (0, 1))
    states = sum(p.states for p in problems)
    successor, probability = np.zeros((states, actions, width), int), np.zeros((states, actions, width))
    log_prior, reward, terminal = (
        np.full((states, actions), -np.inf),
        np.zeros((states, actions)),
        np.zeros(states, bool),
    )
    first = {}
    at = 0
    for name, (reached, chance, p) in zip(START_VALUES[1.0], parts, strict=True):
        rows = slice(at, at + p.states)
        successor[rows, : p.actions, : reached.shape[1]] = reached.transpose(2, 0, 1) + at
        probability[rows, : p.actions, : reached.shape[1]] = chance.transpose(2, 0, 1)
        log_prior[rows, : p.actions] = p.log_prior
        reward[rows, : p.actions] = p.reward
        terminal[rows] = p.terminal
        first[name] = at
        at += p.states
    return me.TabularMDP((successor, probability), reward, prior=log_prior, terminal=terminal), first


@pytest.fixture(scope="module")
def published():
    return side_by_side(
        [me.TabularMDP.from_gymnasium(name, prior="counting") for name, _ in START_VALUES[1.0]]
    )


@pytest.mark.parametrize("temperature", START_VALUES)
def test_start_values_of_gymnasium_problems_are_the_published_ones(temperature, published):
    mdp, first = published
    plan = me.solve(mdp, temperature=temperature, discount=0.99, tolerance=1e-10)
    for (name, state), value in START_VALUES[temperature].items():
        last_digit = 10.0 ** -len(value.split(".")[1])
        found = plan.v[first[name, state] + state]
        assert abs(found - float(value)) <= 0.5 * last_digit + plan.error_bound, (name, found)


@pytest.mark.parametrize("name", ["FrozenLake-v1", "CliffWalkingSlippery-v1", "Taxi-v4"])
def test_rows_and_rewards_are_the_sums_over_the_entries_of_the_table(name):
    mdp = from_gymnasium(name)
    table = gymnasium.make(name).unwrapped.P
    p = np.asarray(mdp.transition_matrix())
    for state, choices in table.items():
        for action, entries in choices.items():
            if mdp.terminal[state]:
                continue
            expected, reward = np.zeros(mdp.states), 0.0
            for probability, successor, gain, terminated in entries:
                reward += probability * gain
                expected[mdp.states - 1 if terminated and not mdp.terminal[successor] else successor] += (
                    probability
                )
            # Rows are rescaled to sum to 1: a few units in the last place.
            np.testing.assert_allclose(p[state, action], expected, rtol=1e-15 * 8)
            np.testing.assert_allclose(mdp.reward[state, action], reward, rtol=1e-15 * 8)


def test_holes_and_goal_of_the_frozen_lake_are_its_terminal_states():
    environment = gymnasium.make("FrozenLake-v1", map_name="8x8")
    mdp = from_gymnasium(environment)
    letters = environment.unwrapped.desc.astype(str)
    np.testing.assert_array_equal(mdp.terminal.reshape(8, 8), np.isin(letters, ["H", "G"]))
    np.testing.assert_array_equal(mdp.initial.reshape(8, 8), letters == "S")
    assert mdp.action_names == ("left", "down", "right", "up")
    column, row = mdp.coordinates[:, 0], mdp.coordinates[:, 1]
    np.testing.assert_array_equal(row * 8 + column, np.arange(64))


def test_the_taxi_leaves_through_one_more_state_named_exit():
    mdp = from_gymnasium("Taxi")
    assert mdp.states == 501
    assert list(np.flatnonzero(mdp.terminal)) == [500]
    assert mdp.state_name(500) == "exit"
    assert mdp.initial[500] == 0
    assert mdp.coordinates is None
    np.testing.assert_array_equal(
        mdp.initial[:500], gymnasium.make("Taxi-v4").unwrapped.initial_state_distrib
    )


def test_repeated_successors_are_merged_and_rows_stay_sparse():
    mdp = from_gymnasium("FrozenLake-v1")
    assert isinstance(mdp.transition, Sparse)
    assert mdp.transition.successor.shape == (4, 3, 16)
    # From the corner, left bumps twice: two thirds stay.
    stays = mdp.transition.probability[0, :, 0][mdp.transition.successor[0, :, 0] == 0]
    np.testing.assert_allclose(stays.max(), 2 / 3, rtol=1e-15)


def test_a_name_without_version_is_the_newest_version():
    newest, plain = from_gymnasium("CliffWalking-v1"), from_gymnasium("CliffWalking")
    np.testing.assert_array_equal(newest.transition.successor, plain.transition.successor)


def test_settings_reach_the_environment():
    mdp = me.TabularMDP.from_gymnasium("FrozenLake-v1", is_slippery=False)
    assert mdp.transition.successor.shape == (4, 1, 16)


class Table:
    """An environment that is only its table."""

    def __init__(self, table, **more):
        self.P = table
        vars(self).update(more)


def test_a_state_where_something_starts_is_not_terminal_even_if_termination_enters_it():
    table = {0: {0: [(1.0, 1, 2.0, True)]}, 1: {0: [(1.0, 0, 0.0, False)]}}
    mdp = from_gymnasium(Table(table, initial_state_distrib=np.array([0.0, 1.0])))
    assert mdp.state_names == ("0", "1", "exit")
    assert list(mdp.terminal) == [False, False, True]
    np.testing.assert_array_equal(mdp.transition_matrix()[:2, 0], [[0, 0, 1], [1, 0, 0]])


def test_leaving_the_list_of_terminal_states_makes_a_state_live_and_its_transitions_count():
    # 1 is entered without termination, so it is live; then its own plain step makes 2 live as well.
    table = [
        [[(0.5, 1, 0.0, True), (0.5, 1, 0.0, False)], [(1.0, 2, 0.0, True)]],
        [[(1.0, 2, 0.0, False)], [(1.0, 3, 0.0, True)]],
        [[(1.0, 3, 0.0, True)], [(1.0, 3, 0.0, True)]],
        [[(1.0, 0, 0.0, False)], [(1.0, 0, 0.0, False)]],
    ]
    mdp = from_gymnasium(Table(table))
    assert list(mdp.terminal) == [False, False, False, True, True]
    np.testing.assert_array_equal(mdp.transition_matrix()[0, 0], [0, 0.5, 0, 0, 0.5])


def test_an_action_that_a_state_does_not_offer_is_forbidden_there():
    mdp = from_gymnasium(
        Table({0: {0: [(1.0, 1, 0.0, False)]}, 1: {0: [(1.0, 0, 0.0, False)], 1: [(1.0, 1, 1.0, False)]}})
    )
    np.testing.assert_array_equal(np.isneginf(mdp.log_prior), [[False, True], [False, False]])


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("FrozenLeak-v1", r"no environment 'FrozenLeak-v1'.*FrozenLake-v1, .*Taxi-v\d.*\.npz or \.csv"),
        ("Taxi-v3", r"no longer has 'Taxi-v3'.*Taxi-v4"),
        ("FrozenLake-v99", r"no environment 'FrozenLake-v99'"),
        ("nobody/FrozenLake-v1", r"no environment 'nobody/FrozenLake-v1'"),
        ("no_such_module:Thing-v0", r"cannot make 'no_such_module:Thing-v0'"),
        ("what is this?", r"cannot make 'what is this\?'"),
        ("CartPole-v1", r"CartPole-v1 has no transition table.*FrozenLake-v1"),
        ("Blackjack-v1", r"Blackjack-v1 has no transition table"),
    ],
)
def test_an_id_without_a_table_is_refused_in_one_sentence(name, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        load_problem(name)
    assert "\n" not in str(caught.value)


def test_a_setting_that_the_environment_does_not_take_is_refused():
    with pytest.raises(InputError, match=r"cannot make 'FrozenLake-v1'.*icy"):
        from_gymnasium("FrozenLake-v1", icy=True)
    with pytest.raises(InputError, match="icy can be set where an id is given"):
        from_gymnasium(gymnasium.make("FrozenLake-v1"), icy=True)


def test_a_start_distribution_of_another_size_is_refused():
    table = Table({0: {0: [(1.0, 0, 0.0, False)]}}, initial_state_distrib=np.array([0.5, 0.5]))
    with pytest.raises(InputError, match=r"initial_state_distrib of Table must have shape \[S\] = \(1\)"):
        from_gymnasium(table)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({0: {0: [(1.0, 0)]}}, r"must be P\[state\]\[action\]"),
        ({0: {0: "no"}}, r"must be P\[state\]\[action\]"),
        ({0: {0: [(1.0, 7, 0.0, False)]}}, "names state 7"),
        ({3: {0: [(1.0, 0, 0.0, False)]}}, "names state 3"),
        ({0: {-1: [(1.0, 0, 0.0, False)]}}, "names action -1"),
        ({0: {0: [(0.5, 0, 0.0, False)]}}, "sums to 0.5"),
        ({}, "Table has no transition table"),
    ],
)
def test_a_malformed_table_is_refused(table, sentence):
    with pytest.raises(InputError, match=sentence):
        from_gymnasium(Table(table))


def test_a_path_that_is_not_a_problem_file_is_refused(tmp_path):
    other = tmp_path / "problem.json"
    other.write_text("{}")
    with pytest.raises(InputError, match=r"problem\.json is not a problem file; those end in \.npz or \.csv"):
        load_problem(other)
    with pytest.raises(InputError, match="is a folder"):
        load_problem(tmp_path)
    for suffix in ("npz", "csv"):
        with pytest.raises(InputError, match=f"there is no file .*absent.{suffix}"):
            load_problem(tmp_path / f"absent.{suffix}")


def test_one_door_opens_archives_edge_lists_and_gymnasium(tmp_path):
    lake = load_problem("FrozenLake-v1")
    me.save_problem(lake, tmp_path / "lake.NPZ")
    (tmp_path / "step.csv").write_text("state,action,next_state,probability,reward\na,go,b,1,2\n")
    assert load_problem(str(tmp_path / "lake.NPZ")).states == 16
    assert load_problem(tmp_path / "step.csv").state_names == ("a", "b")
