"""Predicted decisions are those that following every journey one by one, step by step, would give."""

from __future__ import annotations

import numpy as np
import pytest

from fields import field, walks
from maxentrl import solve
from maxentrl.app import maps
from maxentrl.app.predicted import decisions_of, is_deterministic, predicted_decisions
from maxentrl.data.trajectories import trajectories_from_arrays
from maxentrl.envs import chain, random_mdp


def followed(mdp, log_policy, starts, limits):
    """The same by plain loops: each journey's distribution over states, one step after the other."""
    flow, terminal = np.asarray(mdp.transition_matrix()), np.asarray(mdp.terminal)
    total = np.zeros((mdp.states, mdp.actions))
    for start, limit in zip(starts, limits, strict=True):
        now = np.eye(mdp.states)[start]
        for t in range(limit):
            pi = np.exp(log_policy[t] if log_policy.ndim == 3 else log_policy)
            taken = np.where(terminal[:, None], 0.0, now[:, None] * pi)
            total += taken
            now = np.einsum("sa,sau->u", taken, flow)
    return total


@pytest.mark.parametrize("horizon", [None, 9])
def test_journeys_that_were_cut_off_are_followed_as_long_as_they_lasted(horizon):
    mdp = chain()
    log_policy = np.asarray(solve(mdp, temperature=1.0, discount=0.9, horizon=horizon).log_policy)
    lengths = [2, 5, 9, 5]
    states = [[s, *[0] * 9] for s in (0, 1, 2, 1)]
    demos = trajectories_from_arrays(np.array(states), np.zeros((4, 9), int), lengths=np.array(lengths))
    expected = followed(mdp, log_policy, [0, 1, 2, 1], lengths)
    # Sums of at most 9 x 4 numbers of size 1: rounding of float64.
    np.testing.assert_allclose(np.array(predicted_decisions(mdp, log_policy, demos)), expected, atol=1e-12)


def test_journeys_that_ended_are_followed_until_the_end():
    mdp = field()
    log_policy = np.asarray(solve(mdp, temperature=1.0, discount=1.0).log_policy)
    demos = walks(mdp, 5)
    expected = followed(mdp, log_policy, demos.states[:, 0], [2000] * 5)
    # One journey in a million is not awaited.
    np.testing.assert_allclose(np.array(predicted_decisions(mdp, log_policy, demos)), expected, atol=1e-3)
    assert decisions_of(mdp, demos).sum() == demos.steps


def test_a_world_of_chance_is_told_from_one_without():
    assert is_deterministic(field())
    assert not is_deterministic(random_mdp(4, 2))


def test_a_goal_on_a_map_that_is_moved_can_be_left_like_the_cells_around_it():
    mdp = field()
    goal = int(np.flatnonzero(np.asarray(mdp.terminal))[0])
    rows = maps.moves_at(mdp, goal)
    assert rows is not None
    np.testing.assert_array_equal(rows.sum(1), 1)
    place = np.asarray(mdp.coordinates)
    # Up and right lead against the edge; down and left lead away (MOVES: up, right, down, left).
    led = place[rows.argmax(1)] - place[goal]
    np.testing.assert_array_equal(led, [[0, 0], [0, 0], [0, 1], [-1, 0]])
