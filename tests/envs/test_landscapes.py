"""Objectworld and Binaryworld: the reward is the sentence that defines it, and the walk is the one described."""

import math

import jax
import numpy as np
import pytest

from maxentrl.core.check import InputError
from maxentrl.envs import binaryworld, objectworld


def key(seed: int):
    return jax.random.key(seed, impl="threefry2x32")


def test_an_objectworld_pays_by_its_distances_to_the_objects_on_its_map():
    world = objectworld(9, key=key(0), objects=7, colours=3)
    assert world.map.shape == (9, 9, 6) and world.features.shape == (81, 6) and len(world.feature_names) == 6
    assert world.map[:, :, :3].sum() == world.map[:, :, 3:].sum() == 7
    for state in range(81):
        row, column = divmod(state, 9)
        for colour in range(6):
            objects = np.argwhere(world.map[:, :, colour])
            nearest = min(math.dist((row, column), place) for place in objects.tolist())
            assert world.features[state, colour] == pytest.approx(nearest, rel=1e-15)
        near = world.features[state, 0] <= 3, world.features[state, 1] <= 2
        expected = {(True, True): 1.0, (True, False): -1.0}.get((bool(near[0]), bool(near[1])), 0.0)
        np.testing.assert_array_equal(world.mdp.reward[state], expected)


def test_a_colour_that_does_not_occur_is_twice_the_size_away():
    world = objectworld(4, key=key(1), objects=1)
    np.testing.assert_array_equal(np.sort(world.features.max(0))[-2:], 8.0)


def test_a_binaryworld_counts_the_blue_cells_around():
    world = binaryworld(7, key=key(2))
    values = set()
    for state in range(49):
        row, column = divmod(state, 7)
        seen = [
            world.map[r, c, 0] if 0 <= r < 7 and 0 <= c < 7 else 0.0
            for r in range(row - 1, row + 2)
            for c in range(column - 1, column + 2)
        ]
        np.testing.assert_array_equal(world.features[state], seen)
        expected = {4.0: 1.0, 5.0: -1.0}.get(sum(seen), 0.0)
        np.testing.assert_array_equal(world.mdp.reward[state], expected)
        values.add(expected)
    assert values == {-1.0, 0.0, 1.0}


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
def test_a_move_goes_where_it_says_or_anywhere_around_and_never_off_the_map(noise):
    mdp = binaryworld(3, key=key(3), noise=noise).mdp
    p = np.asarray(mdp.transition_matrix())
    steps = {"up": (0, -1), "right": (1, 0), "down": (0, 1), "left": (-1, 0), "stay": (0, 0)}
    assert mdp.action_names == tuple(steps)
    for state, (column, row) in enumerate(mdp.coordinates.astype(int).tolist()):
        assert state == 3 * row + column
        for action, intended in enumerate(steps):
            expected = np.zeros(9)
            for made, (right, down) in steps.items():
                c, r = column + right, row + down
                place = 3 * r + c if 0 <= c < 3 and 0 <= r < 3 else state
                expected[place] += noise / 5 + (1 - noise) * (made == intended)
            # Sums of up to five terms: a few units in the last place.
            np.testing.assert_allclose(p[state, action], expected, atol=1e-15)


def test_the_same_key_draws_the_same_world():
    for make in (binaryworld, objectworld):
        one, two, other = (make(10, key=key(seed)) for seed in (4, 4, 5))
        np.testing.assert_array_equal(one.map, two.map)
        assert (one.map != other.map).any()


@pytest.mark.parametrize(
    ("make", "settings", "sentence"),
    [
        (objectworld, {"size": 3, "objects": 10}, "between 1 and the number of cells, 9; got 10"),
        (objectworld, {"objects": 0}, "between 1 and the number of cells"),
        (objectworld, {"colours": 1, "objects": 5}, "colours must be at least 2; got 1"),
        (objectworld, {"noise": 1.5}, "noise must be a probability in .0, 1.; got 1.5"),
        (binaryworld, {"noise": math.nan}, "noise must be a probability"),
        (binaryworld, {"size": 0}, "size must be a whole number of cells, at least 1; got 0"),
    ],
)
def test_a_world_that_cannot_be_is_refused(make, settings, sentence):
    with pytest.raises(InputError, match=sentence):
        make(**{"size": 5, "key": key(0), **settings})
