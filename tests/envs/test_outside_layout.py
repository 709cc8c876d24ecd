"""Observations of every kind as rows of numbers."""

import json
import math

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from maxentrl.core.check import InputError
from maxentrl.core.spaces import Discrete
from maxentrl.envs.layout import check_layout, flatten, layout
from maxentrl.envs.outside import outside
from worlds import Dice, Nested, Walk


def by_hand(seen):
    """A row of `Nested`, spelled out."""
    joints, choice = seen["joints"]
    return np.concatenate(
        [
            seen["camera"].ravel() / 255.0,
            joints.ravel(),
            [choice == -1, choice == 0, choice == 1],
            seen["lights"],
            [seen["phase"][0] == v for v in (1, 2)],
            [seen["phase"][1] == v for v in (0, 1, 2)],
            seen["small"],
        ]
    )


def test_a_row_holds_every_part_where_the_layout_says():
    env, world = Nested(), outside(Nested)
    assert world.observation.shape == (12 + 2 + 3 + 2 + 5 + 1,)
    for seed in range(4):
        world.reset(seed)
        env.reset(seed=int(np.random.SeedSequence(seed, spawn_key=(0, 0)).generate_state(1)[0] >> 1))
        for _ in range(5):
            seen = env.step(3)[0]
            row = world.step(np.asarray([3])).next_observation[0]
            # float32 rounds once.
            np.testing.assert_allclose(row, by_hand(seen), rtol=2.0**-23)
            low, high = world.observation
            assert np.all((low <= row) & (row <= high))


def test_batches_are_rows_of_what_single_observations_are():
    envs = gymnasium.vector.SyncVectorEnv([Nested, Nested, Nested])
    plan = layout(Nested.observation_space)
    seen = envs.reset(seed=3)[0]
    singles = [flatten(plan, Nested().reset(seed=3 + i)[0]) for i in range(3)]
    np.testing.assert_array_equal(flatten(plan, seen, (3,)), singles)


def test_random_observations_agree_with_gymnasiums_own_flattening():
    # Gymnasium neither scales images nor lets MultiDiscrete begin elsewhere, so neither is here.
    space = spaces.Dict(
        {
            "a": spaces.Box(-3, 3, (2, 3)),
            "b": spaces.Tuple((spaces.Discrete(4, start=-2), spaces.MultiBinary((2, 2)))),
            "c": spaces.Dict({"d": spaces.MultiDiscrete([2, 4]), "e": spaces.Box(0, 1, ())}),
        }
    )
    plan = layout(space)
    space.seed(0)
    for _ in range(20):
        seen = space.sample()
        np.testing.assert_array_equal(flatten(plan, seen), spaces.flatten(space, seen))
    assert plan.width == spaces.flatdim(space)


def test_what_is_written_over_by_the_environment_was_copied():
    plan, buffer = layout(spaces.Box(-1, 1, (2,))), np.zeros(2, np.float32)
    row = flatten(plan, buffer)
    buffer[:] = 1
    assert not row.any()


def test_a_discrete_observation_is_one_hot_from_its_start():
    world = outside(Dice)
    assert world.observation == Discrete(6, 1)
    rolls = [
        world.step(np.asarray([world.action.start])).observation[0] for _ in [world.reset(0), *range(60)]
    ]
    assert np.array_equal(np.sum(rolls, axis=1), np.ones(61)) and np.all(np.sum(rolls, axis=0) > 0)
    with pytest.raises(
        InputError, match="the observation is 7, where its space has whole numbers from 1 to 6"
    ):
        flatten(layout(Dice.observation_space), np.int64(7))


def nested(**changes):
    return Nested().reset(seed=0)[0] | changes


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        (nested(lights=np.zeros(3)), r"'lights' has shape \(3,\), where its space has \(2,\)"),
        (nested(joints=(np.zeros((2, 1)),)), "'joints/1' is missing"),
        ({key: value for key, value in nested().items() if key != "small"}, "'small' is missing"),
        (3, "'camera' is missing"),
        (nested(phase=[3, 0]), r"'phase' is 3, where its space has whole numbers from 1 to 2"),
        (nested(phase=[1, -1]), r"'phase' is -1, where its space has whole numbers from 0 to 2"),
        (nested(phase=[1.0, 0.0]), "'phase' holds values of type float64, where its space has whole numbers"),
        (nested(small=["9"]), "'small' holds values of type <U1, where its space has numbers"),
        (nested(lights=[[1], [1, 0]]), "'lights' is no array"),
    ],
)
def test_an_observation_that_its_space_does_not_have_is_refused_by_the_name_of_its_part(seen, message):
    with pytest.raises(InputError, match=message):
        flatten(layout(Nested.observation_space), seen)


def test_what_is_not_numbers_is_refused():
    for space, message in [
        (spaces.Text(5), "kind Text cannot"),
        (spaces.Dict({"a": spaces.Sequence(spaces.Discrete(3))}), "kind Sequence in 'a' cannot"),
        (spaces.Dict({}), "holds no numbers"),
    ]:
        with pytest.raises(InputError, match=message):
            layout(space)


def test_a_layout_goes_through_json_and_differences_have_names():
    plan = layout(Nested.observation_space)
    record = json.loads(json.dumps(plan.record()))
    check_layout(plan, record)
    assert [part["columns"] for part in record] == [[0, 12], [12, 14], [14, 17], [17, 19], [19, 24], [24, 25]]
    assert math.prod(record[0]["shape"]) == 12 and record[0]["kind"] == "image"
    changed = [dict(part) for part in record]
    changed[4]["first"] = [0, 0]
    with pytest.raises(InputError, match=r"'phase' has first \[1, 0\], and had \[0, 0\]"):
        check_layout(plan, changed)
    with pytest.raises(InputError, match="they have 6 parts, and had 5"):
        check_layout(plan, record[:5])
    with pytest.raises(InputError, match=r"'camera' has path \['camera'\], and had \[\]"):
        check_layout(plan, layout(Walk.observation_space).record())
