"""The point with four goals: its formulas, recomputed in NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxentrl.core.check import InputError
from maxentrl.envs import multigoal
from maxentrl.envs.limited import Limited


def key(seed):
    return jax.random.key(seed, impl="threefry2x32")


def step_many(env, places, actions):
    def step(place, action):
        return env.step(key(0), Limited(place, jnp.int32(0)), action)[1]

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(step))(places, actions))


def test_a_step_is_the_formula_of_the_paper():
    """Places all over the field, actions also beyond their bounds."""
    rng = np.random.default_rng(0)
    places = rng.uniform(-7, 7, (4000, 2)).astype(np.float32)
    actions = rng.uniform(-1.3, 1.3, (4000, 2)).astype(np.float32)
    step = step_many(multigoal(), places, actions)
    for place, action, seen, reward, terminated in zip(
        places.astype(float),
        actions.astype(float),
        step.observation,
        step.reward,
        step.terminated,
        strict=True,
    ):
        action = [min(max(a, -1), 1) for a in action]
        reached = [min(max(x + a, -7), 7) for x, a in zip(place, action, strict=True)]
        away = min(np.hypot(reached[0] - x, reached[1] - y) for x, y in [(5, 0), (-5, 0), (0, 5), (0, -5)])
        assert abs(away - 1) > 1e-5  # so that float32 cannot mistake the side
        wanted = -30 * (action[0] ** 2 + action[1] ** 2) - away**2 + (10 if away < 1 else 0)
        np.testing.assert_allclose(seen, reached, atol=1e-6)  # float32 of numbers up to 7
        np.testing.assert_allclose(reward, wanted, atol=2e-5)  # float32 of numbers up to 100
        assert bool(terminated) == (away < 1)
    assert 0.05 < step.terminated.mean() < 0.5 and not step.truncated.any()


def test_quarter_turns_and_reflections_change_nothing():
    """The eight symmetries of the square: all four goals are equally good."""
    rng = np.random.default_rng(1)
    places = rng.uniform(-7, 7, (50, 2)).astype(np.float32)
    actions = rng.uniform(-1, 1, (50, 2)).astype(np.float32)
    turns = [
        np.diag(signs)[list(order)].astype(np.float32)
        for signs, order in itertools.product([(1, 1), (1, -1), (-1, 1), (-1, -1)], [(0, 1), (1, 0)])
    ]
    first, *others = [step_many(multigoal(), places @ turn, actions @ turn) for turn in turns]
    assert len({turn.tobytes() for turn in turns}) == 8
    for other in others:
        np.testing.assert_allclose(other.reward, first.reward, rtol=1e-6)  # sums in another order
        np.testing.assert_array_equal(other.terminated, first.terminated)


def test_starts_are_normal_around_the_middle():
    count = 20_000
    state, place = jax.jit(jax.vmap(multigoal().reset))(jax.random.split(key(2), count))
    place = np.asarray(place)
    np.testing.assert_array_equal(state.inner, place)
    assert np.all(abs(place.mean(0)) < 5 * 0.1 / np.sqrt(count))  # five standard errors
    assert np.all(abs(place.var(0) / 0.01 - 1) < 5 * np.sqrt(2 / count))


def test_an_episode_that_does_not_arrive_is_thirty_steps_long():
    env = multigoal()
    state, _ = env.reset(key(0))
    _, step = jax.lax.scan(lambda s, _: env.step(key(0), s, jnp.zeros(2)), state, None, 31)
    np.testing.assert_array_equal(step.truncated, np.arange(1, 32) >= 30)
    assert env.limit == 30 and not step.terminated.any()


def test_settings_out_of_range_are_refused():
    with pytest.raises(
        InputError, match="multigoal: action_weight must be a finite number of at least 0; got -1"
    ):
        multigoal(action_weight=-1)
    with pytest.raises(InputError, match="start_deviation must be a finite number of at least 0; got inf"):
        multigoal(start_deviation=np.inf)
