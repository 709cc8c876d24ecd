"""Single Gymnasium environments as learners see them."""

import json

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import worlds
from maxentrl.core.check import InputError
from maxentrl.core.spaces import Box, Discrete
from maxentrl.envs.film import film
from maxentrl.envs.outside import Separate, outside
from worlds import Broken, Dice, Forgetful, Nested, Steered, Walk


def random_actions(world, steps, seed=0):
    rng = np.random.default_rng(seed)
    if isinstance(world.action, Discrete):
        first, count = world.action.start, world.action.count
        return rng.integers(first, first + count, (steps, world.count)).astype(np.int32)
    low, high = world.action
    return rng.uniform(low, high, (steps, world.count, *low.shape)).astype(np.float32)


def lived(world, actions):
    return [world.step(action) for action in actions]


def seed_of(base, place, episode):
    return int(np.random.SeedSequence(base, spawn_key=(place, episode)).generate_state(1)[0] >> 1)


def replay(make, convert, base, place, actions):
    """What a plain environment gives for these actions, in the words of Gymnasium's documentation."""
    env, episode = make(), 0
    first = seen = env.reset(seed=seed_of(base, place, 0))[0]
    rows = []
    for action in actions:
        reached, reward, terminated, truncated, _ = env.step(convert(action))
        rows.append((seen, reached, reward, terminated, truncated))
        seen = reached
        if terminated or truncated:
            episode += 1
            seen = env.reset(seed=seed_of(base, place, episode))[0]
    return first, rows, seen


CASES = {
    "CartPole-v1": (lambda: gymnasium.make("CartPole-v1"), int),
    "Pendulum-v1": (lambda: gymnasium.make("Pendulum-v1"), lambda a: a),
    "walk": (Walk, int),
    "steered": (Steered, lambda a: a.astype(np.float64)),
}


@pytest.mark.parametrize("name", CASES)
def test_each_environment_lives_what_a_plain_one_lives(name):
    make, convert = CASES[name]
    world = outside(name if "-v" in name else make, count=3)
    first = world.reset(7)
    actions = random_actions(world, 250)
    arrived = lived(world, actions)
    crossed = 0
    for i in range(world.count):
        begun, rows, last = replay(make, convert, 7, i, actions[:, i])
        np.testing.assert_array_equal(first[i], begun)
        before = first[i]
        for got, (seen, reached, reward, terminated, truncated) in zip(arrived, rows, strict=True):
            np.testing.assert_array_equal(before, seen)
            np.testing.assert_array_equal(got.next_observation[i], reached)
            assert got.reward[i] == np.float32(reward) and got.valid[i]
            assert (got.terminated[i], got.truncated[i]) == (terminated, truncated)
            before = got.observation[i]
            crossed += terminated or truncated
        np.testing.assert_array_equal(before, last)
    assert crossed >= 3
    assert all(x.dtype == np.float32 for x in (first, arrived[0].observation, arrived[0].reward))
    world.close()


def test_both_flags_can_be_true_at_once():
    world = outside(lambda: Walk(limit=1, start=3.0))
    world.reset(0)
    got = world.step(np.asarray([4]))
    assert got.terminated[0] and got.truncated[0]
    world = outside(lambda: Walk(limit=1))
    world.reset(0)
    got = world.step(np.asarray([3]))
    assert not got.terminated[0] and got.truncated[0]


def test_time_limits_are_known_from_the_id_and_from_a_wrapper():
    assert outside("CartPole-v1", check=False).limit == 500
    assert outside("CartPole-v1", arguments={"max_episode_steps": 20}, check=False).limit == 20
    assert outside(lambda: gymnasium.wrappers.TimeLimit(Walk(), 6), check=False).limit == 6
    assert outside(Walk, check=False).limit is None


@pytest.mark.parametrize("make", ["CartPole-v1", "Pendulum-v1", Walk, Nested, Steered, Dice])
def test_a_restored_run_is_the_same_run_bit_for_bit(make):
    world = outside(make, count=2, check=False)
    world.reset(3)
    lived(world, random_actions(world, 43))
    saved = world.save()
    actions = random_actions(world, 60, seed=1)
    expected = lived(world, actions)
    # Other environments, and in the middle of something else.
    again = outside(make, count=2, check=False)
    again.reset(5)
    lived(again, actions[:9])
    copied = {key: np.array(value) for key, value in saved.items()}
    seen = again.restore(copied)
    assert all(np.array_equal(again.save()[key], saved[key]) for key in saved)
    for before, after in zip(expected, lived(again, actions), strict=True):
        for old, new in zip(before, after, strict=True):
            assert old.tobytes() == new.tobytes()
    assert seen.shape == (2, again.layout.width)


def test_what_is_saved_keeps_its_types_in_jax_and_grows_with_the_episode_only():
    world = outside(lambda: Walk(limit=30, noise=0.0), count=2)
    world.reset(2**32 - 1)
    actions = np.tile(np.asarray([[3, 4], [4, 3]], np.int32), (100, 1))
    lived(world, actions[:35])
    saved = world.save()
    assert saved["steps"].tolist() == [5, 5] and saved["episodes"].tolist() == [1, 1]
    np.testing.assert_array_equal(saved["actions"].reshape(2, 5), actions[30:35].T)
    assert {value.dtype.name for value in saved.values()} <= {"uint32", "int32", "float32", "uint8"}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_environment_that_does_not_repeat_itself_is_found_out_when_it_is_continued():
    world = outside(lambda: Forgetful(after=6), check=False)
    world.reset(0)
    lived(world, np.asarray([[3], [4]] * 4))
    with pytest.raises(InputError, match=r"episode 0, step 6: this environment does not repeat itself"):
        world.restore(world.save())


def test_what_others_saved_is_refused():
    world = outside(Walk, count=2, check=False)
    with pytest.raises(InputError, match="must be reset"):
        world.save()
    world.reset(0)
    saved = world.save()
    with pytest.raises(InputError, match=r"lacks digests, seed"):
        world.restore({key: value for key, value in saved.items() if key not in ("seed", "digests")})
    with pytest.raises(InputError, match="of 2 environments, and Walk has 3"):
        outside(Walk, count=3, check=False).restore(saved)
    with pytest.raises(InputError, match="laid out differently"):
        outside(Nested, count=2, check=False).restore(saved)
    with pytest.raises(InputError, match="actions of shape"):
        outside(Steered, count=2, check=False).restore(saved)
    with pytest.raises(InputError, match="do not fit"):
        world.restore({**saved, "digests": saved["digests"][:1]})
    with pytest.raises(InputError, match="no JSON"):
        world.restore({**saved, "layout": saved["layout"][:-1]})
    with pytest.raises(InputError, match="holds a layout that is no list of parts"):
        world.restore({**saved, "layout": np.frombuffer(b"[1, 2]", np.uint8)})
    assert json.loads(saved["layout"].tobytes()) == world.layout.record()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nan", r"the observation is nan in entry \(1,\)"),
        ("huge", r"the observation is inf in entry \(0,\)"),
        ("shape", r"the observation has shape \(1,\), where its space has \(2,\)"),
        ("reward", "the reward is -inf"),
        ("word", "the reward must be one number; it is a str"),
    ],
)
def test_what_goes_wrong_on_the_way_names_environment_episode_and_step(kind, message):
    world = outside(lambda: Broken(kind), count=2, check=False)
    world.reset(0)
    with pytest.raises(InputError, match=rf"environment 0 \(Broken\), episode 2, step 3: {message}"):
        lived(world, np.asarray([[3, 4], [4, 3]] * 20))


def test_actions_reach_the_environment_in_its_own_units_and_shape():
    world = outside(Steered)
    assert isinstance(world.action, Box) and world.action.shape == (2, 1)
    world.reset(0)
    # The upper bound as float32 lies above that of float64.
    assert float(np.float32(0.3)) > 0.3
    got = world.step(np.asarray([[[0.3], [6.5]]], np.float32))
    assert got.reward[0] == 6.5
    for wrong, message in [
        (np.zeros((1, 2), np.float32), r"\(1, 2, 1\); got \(1, 2\)"),
        (np.asarray([[[np.nan], [0]]], np.float32), "must be finite"),
    ]:
        with pytest.raises(InputError, match=message):
            world.step(wrong)
    world = outside(Walk, count=2)
    world.reset(0)
    for wrong, message in [
        (np.asarray([3, 2]), "environment 1 is 2; allowed are 3 to 4"),
        (np.asarray([0.0, 1.0]), "2 whole numbers"),
        (np.asarray([0]), "2 whole numbers"),
    ]:
        with pytest.raises(InputError, match=message):
            world.step(wrong)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            spaces.MultiDiscrete([2, 3]),
            "kind MultiDiscrete are not supported; possible are Discrete, and Box",
        ),
        (spaces.Box(-np.inf, np.inf, (2,)), r"finite bounds.*entry \(0,\) lies in \[-inf, inf\]"),
        (spaces.Box(0, 5, (2,), np.int64), "must hold floats"),
        (spaces.Box(0, 0, (2,)), "low < high"),
        (spaces.Box(0, 1, (0,)), "without entries"),
    ],
)
def test_actions_that_no_agent_can_choose_are_refused(space, message):
    class Odd(Walk):
        action_space = space

    with pytest.raises(InputError, match=message):
        outside(Odd)


def test_what_the_checks_find_odd_is_remarked_and_what_they_find_wrong_is_refused():
    assert outside("CartPole-v1").remarks == ()
    assert outside("Pendulum-v1").remarks == ()
    assert outside(Steered).remarks == () == outside(Nested).remarks
    # Truncated after one step: unusual, and nothing that could not be learned from.
    assert any("truncates after 1 step" in words for words in outside(Dice).remarks)
    old = outside("CartPole-v0")
    assert any("out of date" in words for words in old.remarks)

    class Far(Walk):
        observation_space = spaces.Box(-1e-3, 1e-3, (2,))

    with pytest.raises(
        InputError, match=r"Far does not pass Gymnasium's check.*not within the observation space"
    ):
        outside(Far)
    with pytest.raises(InputError, match="Forgetful does not pass Gymnasium's check"):
        outside(Forgetful)
    with pytest.raises(InputError, match=r"episode 0, step 2: the observation is nan"):
        outside(lambda: Broken("nan", when=2, which=0))


def test_environments_must_be_new_and_alike(as_shipped):
    env = Walk()
    with pytest.raises(InputError, match="the same environment twice"):
        outside(lambda: env)
    with pytest.raises(InputError, match="a function that makes a new environment"):
        outside(env)
    mixed = iter([Walk, Nested])
    with pytest.raises(InputError, match="must have the same spaces"):
        outside(lambda: next(mixed)(), count=2, check=False)
    for count in (0, -1, True):
        with pytest.raises(InputError, match="at least 1"):
            outside(Walk, count=count)
    for seed in (-1, 2**32, True):
        with pytest.raises(InputError, match="seed must be"):
            outside(Walk, check=False).reset(seed)


def test_a_film_shows_even_moments_of_the_episode_that_the_seed_begins():
    def left(observation):
        assert observation.shape == (1, 2) and observation.dtype == np.float32
        return np.asarray([3])

    def times(**settings):
        frames = film(lambda **more: Walk(**settings, **more), {}, left, 0, 4)
        assert frames is not None and all(frame.dtype == np.uint8 for frame in frames)
        return [int(frame[0, 0, 0]) for frame in frames]

    assert times(limit=3, noise=0.0) == [0, 1, 2, 3]
    assert times(limit=2, noise=0.0) == [0, 1, 2]
    long = times(limit=9, noise=0.0, start=0.0)
    assert long[0] == 0 and long[-1] == 9 and max(np.diff(long)) <= 4
    frames = film(f"{worlds.__name__}:Walk", {"limit": 6, "noise": 0.0}, left, 0, 2)
    assert frames is not None and [int(frame[0, 0, 0]) for frame in frames] == [0, 6]


def test_where_there_are_no_pictures_there_is_no_film():
    class Blind(Walk):
        def render(self):
            raise RuntimeError("no display")

    class Text(Walk):
        def render(self):
            return np.zeros((4, 6), np.uint8)

    for make in (Blind, Text, lambda **more: Walk(), lambda: Walk()):
        assert film(make, None, lambda observation: np.asarray([3]), 0, 3) is None


def test_separate_environments_can_be_made_by_hand():
    world = Separate([Walk(), Walk()], "walks")
    assert world.reset(0).shape == (2, 2) and not np.array_equal(*world.reset(0))
