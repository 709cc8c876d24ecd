"""Random problems: equal seeds give equal problems, and the shapes are those asked for."""

import numpy as np
import pytest

from maxentrl.core.check import InputError
from maxentrl.envs import random_mdp
from maxentrl.models.transition import Dense, Sparse


def test_equal_seeds_give_equal_problems_and_others_do_not():
    for branching in (None, 3):
        one, same, other = (random_mdp(8, 2, branching=branching, seed=seed) for seed in (4, 4, 5))
        np.testing.assert_array_equal(one.transition_matrix(), same.transition_matrix())
        np.testing.assert_array_equal(one.reward, same.reward)
        assert not np.array_equal(one.transition_matrix(), other.transition_matrix())


@pytest.mark.parametrize("branching", [1, 2, 5, 6])
def test_the_successors_of_a_pair_are_as_many_as_asked_for_and_differ(branching):
    mdp = random_mdp(6, 50, branching=branching, seed=1)
    assert isinstance(mdp.transition, Sparse)
    assert np.all(np.sum(np.asarray(mdp.transition_matrix()) > 0, 2) == branching)


def test_every_set_of_successors_is_equally_likely():
    successor = np.asarray(random_mdp(5, 4000, branching=2, seed=2).transition.successor)
    low, high = successor.min(1), successor.max(1)
    count = np.bincount((low * 5 + high).ravel(), minlength=25).reshape(5, 5)[np.triu_indices(5, 1)]
    draws, p = count.sum(), 1 / 10
    assert np.all(np.abs(count - draws * p) < 5 * np.sqrt(draws * p * (1 - p)))  # five standard errors


def test_one_successor_is_a_deterministic_problem_and_none_a_dense_one():
    deterministic, dense = random_mdp(9, 2, branching=1), random_mdp(9, 2)
    np.testing.assert_array_equal(deterministic.transition.probability, 1)
    assert isinstance(dense.transition, Dense)
    assert np.all(np.asarray(dense.transition.probability) > 0)


def test_forbidden_actions_and_terminal_states_are_as_many_as_asked_for():
    mdp = random_mdp(2000, 4, branching=2, forbidden=0.3, terminal=7, seed=3)
    np.testing.assert_array_equal(np.flatnonzero(mdp.terminal), np.arange(1993, 2000))
    share = np.isneginf(mdp.log_prior[:1993]).mean()
    p = 0.3 * 3 / 4  # one of the four is always spared
    # Sparing one makes the entries of a state anticorrelated: independent draws bound the standard error.
    assert abs(share - p) < 5 * np.sqrt(p * (1 - p) / (1993 * 4))
    everything = random_mdp(50, 4, forbidden=1.0)
    np.testing.assert_array_equal(np.isfinite(everything.log_prior).sum(1), 1)


def test_many_states_are_made_at_once():
    mdp = random_mdp(200_000, 4, branching=4, dtype="float32")
    assert mdp.transition.successor.shape == (4, 4, 200_000)
    assert mdp.dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "settings", "sentence"),
    [
        ((0, 2), {}, "states must be at least 1; got 0"),
        ((3, 0), {}, "actions must be at least 1; got 0"),
        ((3, 2), {"branching": 4}, "branching must lie between 1 and the number of states, 3; got 4"),
        ((3, 2), {"branching": 0}, "branching must lie between 1"),
        ((3, 2), {"forbidden": -0.1}, "forbidden must be a probability in .0, 1.; got -0.1"),
        ((3, 2), {"terminal": 3}, "terminal must leave at least one of 3 states live; got 3"),
        ((10**7, 4), {}, "a random problem of 10000000 states needs about .* of memory"),
    ],
)
def test_impossible_sizes_are_refused(arguments, settings, sentence):
    with pytest.raises(InputError, match=sentence):
        random_mdp(*arguments, **settings)
