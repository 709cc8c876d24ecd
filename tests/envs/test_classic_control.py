"""Pendulum, cart pole and mountain car step as Gymnasium's own environments do, and end when they do."""

import math
from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxentrl.core.check import InputError
from maxentrl.core.spaces import Box, Discrete
from maxentrl.envs import cartpole, mountain_car, mountain_car_discrete, pendulum
from maxentrl.envs.limited import Limited
from maxentrl.envs.mountain_car import Car
from maxentrl.envs.pendulum import Pendulum

MANY = 3000
EPS = float(np.finfo(np.float32).eps)


def key(seed):
    return jax.random.key(seed, impl="threefry2x32")


class Twin(NamedTuple):
    """Ours and theirs: states are drawn in this box, over and beyond where episodes go."""

    env: object
    id: str
    low: tuple
    high: tuple
    state: object
    margin: object  # of a state reached, to the nearest edge at which termination changes


def no_margin(state):
    return np.full(len(state), np.inf)


def margin_of_pole(state):
    return np.minimum(abs(abs(state[:, 0]) - 2.4), abs(abs(state[:, 2]) - 12 * math.pi / 180))


def margin_of_goal(goal):
    def margin(state):
        beyond, speed = state[:, 0] - goal, abs(state[:, 1])
        return np.where(beyond < 0, -beyond, np.minimum(beyond, speed))

    return margin


TWINS = {
    "pendulum": Twin(pendulum(), "Pendulum-v1", (-math.pi, -8), (math.pi, 8), Pendulum, no_margin),
    "cartpole": Twin(
        cartpole(), "CartPole-v1", (-2.5, -3, -0.25, -3), (2.5, 3, 0.25, 3), lambda *x: jnp.stack(x),
        margin_of_pole,
    ),
    "mountain_car": Twin(
        mountain_car(), "MountainCarContinuous-v0", (-1.2, -0.07), (0.6, 0.07), Car, margin_of_goal(0.45)
    ),
    "mountain_car_discrete": Twin(
        mountain_car_discrete(), "MountainCar-v0", (-1.2, -0.07), (0.6, 0.07), Car, margin_of_goal(0.5)
    ),
}  # fmt: skip
REST = {
    "pendulum": (0, 0),
    "cartpole": (0,) * 4,
    "mountain_car": (-0.5, 0),
    "mountain_car_discrete": (-0.5, 0),
}


@pytest.fixture(params=TWINS)
def twins(request):
    theirs = gymnasium.make(TWINS[request.param].id)
    yield TWINS[request.param], theirs
    theirs.close()


def draw(twin, count, seed=0):
    """States [count, n] as float32, and actions, some of them beyond their bounds."""
    rng = np.random.default_rng(seed)
    states = rng.uniform(twin.low, twin.high, (count, len(twin.low))).astype(np.float32)
    if isinstance(twin.env.action, Discrete):
        return states, rng.integers(0, twin.env.action.count, count)
    return states, (1.2 * rng.uniform(twin.env.action.low, twin.env.action.high, (count, 1))).astype(
        np.float32
    )


def step_theirs(env, state, action):
    env.reset(seed=0)
    env.unwrapped.state = np.array(state)
    return env.unwrapped.step(action)[:4]


def step_ours(twin):
    """(states [K, n], actions) -> Step, each from the first moment of an episode."""

    def step(state, action):
        return twin.env.step(key(0), Limited(twin.state(*state), jnp.int32(0)), action)[1]

    return jax.jit(jax.vmap(step))


def test_a_step_is_gymnasiums_to_float32(twins):
    twin, theirs = twins
    states, actions = draw(twin, MANY)
    # The road's left end and the goal, exactly: where stopping and arriving are decided.
    if twin.state is Car:
        states[:50, 0], states[:50, 1] = -1.2, np.linspace(-0.07, 0, 50)
    ours = step_ours(twin)(states, actions)
    answers = [step_theirs(theirs, s, a) for s, a in zip(states, actions, strict=True)]
    seen, reward, terminated, _ = (np.array(x) for x in zip(*answers, strict=True))
    # A dozen roundings of numbers no larger than the largest of a row (angle squared, for the reward).
    scale = np.maximum(1, abs(states).max(1))
    assert np.all(abs(ours.observation - seen) <= 16 * EPS * scale[:, None])
    sure = twin.margin(seen) > 16 * EPS * scale
    assert sure.mean() > 0.99
    assert np.all(abs(np.asarray(ours.reward) - reward)[sure] <= 16 * EPS * np.maximum(1, abs(reward[sure])))
    np.testing.assert_array_equal(np.asarray(ours.terminated)[sure], terminated[sure])
    assert not ours.truncated.any()
    if twin.margin is not no_margin:
        assert 0 < terminated.mean() < 1


def test_an_episode_is_cut_off_at_the_step_at_which_gymnasium_cuts_it_off(twins):
    """Both are put back to rest before each step, so that nothing but the time limit can end it."""
    twin, theirs = twins
    rest = np.array(REST[twin.env.name], np.float32)
    action = theirs.action_space.low * 0 if isinstance(twin.env.action, Box) else 0
    theirs.reset(seed=0)
    count, over = 0, False
    while not over:
        theirs.unwrapped.state = rest.copy()
        _, _, terminated, over, _ = theirs.step(action)
        assert not terminated
        count += 1
    assert count == twin.env.limit

    def advance(state, _):
        state, step = twin.env.step(key(0), Limited(twin.state(*jnp.asarray(rest)), state.steps), action)
        return state, (step.terminated, step.truncated)

    start = Limited(twin.state(*jnp.asarray(rest)), jnp.int32(0))
    _, (terminated, truncated) = jax.jit(lambda s: jax.lax.scan(advance, s, None, count))(start)
    assert not terminated.any()
    np.testing.assert_array_equal(np.flatnonzero(truncated), [count - 1])


def test_spaces_are_gymnasiums(twins):
    twin, theirs = twins
    np.testing.assert_allclose(twin.env.observation.low, theirs.observation_space.low, rtol=2 * EPS)
    np.testing.assert_allclose(twin.env.observation.high, theirs.observation_space.high, rtol=2 * EPS)
    if isinstance(twin.env.action, Discrete):
        assert twin.env.action.count == theirs.action_space.n
    else:
        np.testing.assert_array_equal(twin.env.action.low, theirs.action_space.low)
        np.testing.assert_array_equal(twin.env.action.high, theirs.action_space.high)


def test_starts_have_the_range_and_the_moments_of_gymnasiums(twins):
    twin, theirs = twins
    state, ours = jax.jit(jax.vmap(twin.env.reset))(jax.random.split(key(1), MANY))
    assert not state.steps.any() and ours.dtype == jnp.float32
    ours, seen = np.asarray(ours), np.array([theirs.reset(seed=s)[0] for s in range(MANY)])
    # Five standard errors of a difference of means, of numbers and of their squares.
    for power in (1, 2):
        error = np.hypot((ours**power).std(0), (seen**power).std(0)) / math.sqrt(MANY)
        assert np.all(abs((ours**power).mean(0) - (seen**power).mean(0)) <= 5 * error + EPS)
    spread = np.ptp(seen, axis=0)
    assert np.all(abs(ours.min(0) - seen.min(0)) <= 0.01 * spread)  # a corner is missed with chance 0.99^3000
    assert np.all(abs(ours.max(0) - seen.max(0)) <= 0.01 * spread)


@pytest.mark.parametrize("setting", ["gravity", "length"])
def test_pendulum_and_pole_with_other_settings_step_as_gymnasiums(setting):
    for name, changed in (("pendulum", {"gravity": "g", "length": "l"}), ("cartpole", {})):
        make, twin = {"pendulum": pendulum, "cartpole": cartpole}[name], TWINS[name]
        theirs = gymnasium.make(twin.id)
        value = 1.7 * getattr(theirs.unwrapped, changed.get(setting, setting))
        setattr(theirs.unwrapped, changed.get(setting, setting), value)
        if name == "cartpole":
            theirs.unwrapped.polemass_length = theirs.unwrapped.masspole * theirs.unwrapped.length
        states, actions = draw(twin, 50)
        ours = step_ours(twin._replace(env=make(**{setting: value})))(states, actions)
        seen = np.array([step_theirs(theirs, s, a)[0] for s, a in zip(states, actions, strict=True)])
        assert np.all(abs(ours.observation - seen) <= 16 * EPS * np.maximum(1, abs(states).max(1))[:, None])
        theirs.close()


def test_an_angle_stays_within_one_turn_and_nothing_that_is_seen_or_paid_changes():
    """A pendulum that turns over and over; Gymnasium's angle grows, and float64 carries it there."""
    env, theirs = pendulum(limit=None), gymnasium.make("Pendulum-v1")
    start = Pendulum(jnp.float32(3.0), jnp.float32(8.0))

    def advance(state, _):
        state, step = env.step(key(0), state, jnp.array([2.0]))
        return state, (state.angle, step.observation, step.reward)

    angle, seen, reward = jax.jit(lambda s: jax.lax.scan(advance, s, None, 60))(start)[1]
    theirs.reset(seed=0)
    theirs.unwrapped.state = np.array([3.0, 8.0])
    answers = [theirs.step(np.array([2.0], np.float32))[:2] for _ in range(60)]
    assert theirs.unwrapped.state[0] > 4 * math.pi
    assert np.all(np.asarray(angle) >= -np.float32(math.pi)) and np.all(
        np.asarray(angle) <= np.float32(math.pi)
    )
    # 60 steps, each of which adds a few roundings and stretches what is there by at most 3 g dt / (2 l) dt.
    np.testing.assert_allclose(seen, np.array([o for o, _ in answers]), atol=1e-3)
    np.testing.assert_allclose(reward, [r for _, r in answers], atol=1e-2)
    theirs.close()


@pytest.mark.parametrize("make", [pendulum, cartpole, mountain_car, mountain_car_discrete])
def test_without_a_limit_nothing_is_truncated_and_the_state_does_not_count(make):
    env = make(limit=None)
    state, _ = env.reset(key(0))
    assert env.limit is None and not isinstance(state, Limited)


def test_settings_out_of_range_are_refused():
    with pytest.raises(InputError, match=r"pendulum: length must be a finite number above 0; got 0"):
        pendulum(length=0)
    with pytest.raises(InputError, match=r"cartpole: gravity must be a finite number above 0; got nan"):
        cartpole(gravity=math.nan)
    with pytest.raises(InputError, match=r"mountain_car: power must be a finite number above 0; got -1"):
        mountain_car(power=-1)
    with pytest.raises(InputError, match=r"discrete: power must be a finite number above 0; got inf"):
        mountain_car_discrete(power=math.inf)
    with pytest.raises(
        InputError,
        match=r"cartpole: limit must be a whole number of steps, at least 1, or None for no limit; got 0",
    ):
        cartpole(limit=0)
