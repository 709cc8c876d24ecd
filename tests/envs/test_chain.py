"""The chain: a small reward near, a big one far away, and perhaps a way out."""

import numpy as np
import pytest

import maxentrl as me
from maxentrl.core.check import InputError
from maxentrl.envs import chain


def test_either_end_rewards_those_who_press_against_it():
    mdp = chain(4)
    p = mdp.transition_matrix()
    np.testing.assert_array_equal(np.argmax(p, 2), [[0, 1], [0, 2], [1, 3], [2, 3]])
    np.testing.assert_array_equal(mdp.reward, [[0.1, 0], [0, 0], [0, 0], [0, 1]])
    np.testing.assert_array_equal(mdp.initial, [1, 0, 0, 0])
    assert not mdp.terminal.any()


def test_the_hard_value_of_the_start_is_the_better_of_the_two_ends():
    length, horizon = 5, 400  # what comes later weighs less than 0.9^400 = 5e-19
    for discount in (0.3, 0.9):
        v = me.solve(chain(length), temperature=0.0, discount=discount, horizon=horizon).v[0]
        stay, walk = 0.1 / (1 - discount), discount ** (length - 1) / (1 - discount)
        np.testing.assert_allclose(v[0], max(stay, walk), rtol=1e-13)  # 400 roundings


def test_a_constant_reward_for_living_decides_whether_the_chain_is_left():
    """Stay or exit, discount 0.95, temperature 1: staying has probability 0.894, 0.264 or 0.500."""
    for living, staying in ((np.log(2.0), 0.894), (-np.log(2.0), 0.264), (0.0, 0.5)):
        mdp = chain(1, left_reward=living, right_reward=living, exit_reward=living).with_prior(
            np.log([[0.25, 0.25, 0.5], [1.0, 1.0, 1.0]])
        )
        plan = me.solve(mdp, temperature=1.0, discount=0.95, horizon=500)
        assert abs(np.exp(plan.log_policy[0, 0, :2]).sum() - staying) < 5e-4  # three digits


def test_the_exit_leads_to_the_last_state_and_pays_once():
    mdp = chain(3, exit_reward=0.7)
    np.testing.assert_array_equal(mdp.terminal, [False, False, False, True])
    np.testing.assert_array_equal(mdp.reward[:3, 2], 0.7)
    np.testing.assert_array_equal(mdp.transition_matrix()[:3, 2, 3], 1)
    assert mdp.action_names == ("left", "right", "exit")


def test_a_chain_without_states_is_refused():
    with pytest.raises(InputError, match="length must be at least 1 state; got 0"):
        chain(0)
