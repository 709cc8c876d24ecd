"""Environments by name: what there is, with which settings, and the sentence where there is nothing."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import maxentrl as me
from maxentrl.core.check import InputError
from maxentrl.core.spaces import Discrete
from maxentrl.envs import PROBLEMS, SIMULATORS, chain, make, simulate
from maxentrl.envs.limited import Limited


def key(seed):
    return jax.random.key(seed, impl="threefry2x32")


@pytest.mark.parametrize("name", SIMULATORS)
def test_every_environment_keeps_its_shapes_its_spaces_and_float32(name):
    """What `scan`, `vmap` and agents rely on: a step changes no shape and no type, and stays within its spaces."""
    env = make(name, limit=3)
    assert env.name == name and env.limit == 3
    discrete = isinstance(env.action, Discrete)
    action = jnp.ones((), jnp.int32) if discrete else jnp.asarray(env.action.high)

    def episode(seed):
        state, seen = env.reset(seed)
        state_next, steps = jax.lax.scan(
            lambda s, k: env.step(k, s, action), state, jax.random.split(seed, 3)
        )
        return state, seen, state_next, steps

    state, seen, state_next, steps = jax.jit(jax.vmap(episode))(jax.random.split(key(0), 8))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state_next
    )
    assert steps.observation.shape == (8, 3, *env.observation.shape) and seen.dtype == jnp.float32
    assert steps.observation.dtype == steps.reward.dtype == jnp.float32
    assert steps.terminated.dtype == steps.truncated.dtype == bool
    assert steps.reward.shape == steps.terminated.shape == steps.truncated.shape == (8, 3)
    np.testing.assert_array_equal(steps.truncated, np.broadcast_to([False, False, True], (8, 3)))
    for observed in (seen, steps.observation):
        assert np.all(observed >= env.observation.low) and np.all(observed <= env.observation.high)


@pytest.mark.parametrize("name", [*PROBLEMS, "FrozenLake-v1"])
def test_every_problem_says_what_is_seen_and_done_in_it_and_takes_a_limit(name):
    mdp = PROBLEMS[name]() if name in PROBLEMS else me.load_problem(name)
    env = make(name)
    assert (env.observation, env.action) == (Discrete(mdp.states), Discrete(mdp.actions))
    assert (env.limit, env.name) == (None, name)
    env = make(name, limit=2)
    state, _ = env.reset(key(0))
    assert env.limit == 2 and isinstance(state, Limited)
    for wanted in (False, True):
        state, step = env.step(key(1), state, 0)
        assert bool(step.truncated) is wanted


def test_settings_reach_the_function_of_that_name():
    assert make("chain", length=4).observation == Discrete(4)
    assert make("point_mass", driven_by="velocity", dimensions=3).observation.shape == (3,)
    assert make("pendulum", limit=None).limit is None


def test_a_time_limit_leaves_everything_but_truncation_as_it_was():
    mdp = chain(3, exit_reward=2.0)
    free, bounded = simulate(mdp), simulate(mdp, limit=2)
    here, there = free.reset(key(0))[0], bounded.reset(key(0))[0]
    for k, action in enumerate((1, 1, 2)):
        here, one = free.step(key(k), here, action)
        there, other = bounded.step(key(k), there, action)
        assert int(here) == int(there.inner) == int(other.observation) and int(there.steps) == k + 1
        assert (one.reward, one.terminated) == (other.reward, other.terminated)
        assert bool(other.truncated) is (k + 1 >= 2) and not one.truncated


def test_a_simulator_from_a_file_is_called_by_the_name_of_the_file(tmp_path):
    me.save_problem(chain(3), tmp_path / "corridor.npz")
    env = make(str(tmp_path / "corridor.npz"), limit=7)
    assert (env.name, env.limit) == ("corridor", 7)


def test_an_unknown_name_is_answered_with_the_nearest_and_with_all():
    sentence = (
        r"^there is no environment 'Pendulun' \(did you mean pendulum\?\); there are pendulum, cartpole, "
        r"mountain_car, mountain_car_discrete, multigoal, point_mass, point_maze, chain, gridworld, lottery, "
        r"random_mdp, problem files that end in .npz or .csv, and Gymnasium's ids with a transition table, such "
        r"as FrozenLake-v1\.$"
    )
    with pytest.raises(InputError, match=sentence):
        make("Pendulun")
    with pytest.raises(InputError, match=r"no environment 'gridwrld' \(did you mean gridworld\?\)"):
        make("gridwrld")
    with pytest.raises(InputError, match=r"no environment 'xyzzy'; there are pendulum"):
        make("xyzzy")


def test_what_is_wrong_with_a_file_or_with_an_environment_of_gymnasiums_is_said_there():
    with pytest.raises(InputError, match=r"there is no file nowhere\.npz"):
        make("nowhere.npz")
    with pytest.raises(InputError, match="CartPole-v1 has no transition table"):
        make("CartPole-v1")
    with pytest.raises(InputError, match=r"no environment 'FrozenLake-v99'|no longer has"):
        make("FrozenLake-v99")


def test_settings_that_are_not_there_or_out_of_range_are_refused():
    with pytest.raises(
        InputError, match=r"pendulum has no setting 'gravty' \(did you mean gravity\?\); it has gr"
    ):
        make("pendulum", gravty=1.0)
    with pytest.raises(InputError, match=r"chain has no setting 'size'; it has length, .*, limit\."):
        make("chain", size=3)
    with pytest.raises(InputError, match="FrozenLake-v1 takes no setting but limit; got is_slippery"):
        make("FrozenLake-v1", is_slippery=False)
    with pytest.raises(
        InputError,
        match="gridworld: limit must be a whole number of steps, at least 1, or None for no limit; got 0",
    ):
        make("gridworld", limit=0)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("pendulum", {"gravity": "heavy"}, "pendulum: gravity must be a number; got 'heavy'"),
        ("pendulum", {"gravity": None}, "pendulum: gravity must be a number; got None"),
        ("pendulum", {"gravity": True}, "pendulum: gravity must be a number; got True"),
        ("pendulum", {"limit": 2.5}, "pendulum: limit must be a whole number or none; got 2.5"),
        ("chain", {"length": 2.5}, "chain: length must be a whole number; got 2.5"),
        ("chain", {"limit": "x"}, "chain: limit must be a whole number or none; got 'x'"),
        ("chain", {"exit_reward": "x"}, "chain: exit_reward must be a number or none; got 'x'"),
        ("gridworld", {"layout": 3}, "gridworld: layout must be text; got 3"),
        ("gridworld", {"goals": 3}, "gridworld: goals must be numbers by name; got 3"),
        ("gridworld", {"goals": {"G": "x"}}, "gridworld: goals must be numbers by name; got {'G': 'x'}"),
        ("random_mdp", {"states": "x"}, "random_mdp: states must be a whole number; got 'x'"),
        ("random_mdp", {"seed": -1}, "seed must be at least 0; got -1"),
        ("point_mass", {"dimensions": 1.5}, "point_mass: dimensions must be a whole number; got 1.5"),
        ("point_mass", {"driven_by": 3}, "point_mass: driven_by must be one of force, velocity; got 3"),
    ],
)
def test_a_setting_of_another_kind_is_refused_by_name(name, settings, words):
    with pytest.raises(InputError, match=f"^{re.escape(words)}"):
        make(name, **settings)
