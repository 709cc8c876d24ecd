"""Sums between two rows of metrics, and the first number that was not finite."""

import jax.numpy as jnp
import numpy as np
import pytest

from maxentrl.core.contracts import Transition
from maxentrl.learn import tally

GOOD = {"updates": 1.0, "loss": 2.0, "entropy": 3.0, "gap": 5.0}


def step(reward, observation):
    return Transition(
        jnp.asarray(observation), None, jnp.asarray(reward), jnp.asarray(observation), None, None, None
    )


def after(*steps):
    """A tally of iterations 0, 1, ...: each is info, reward, observation."""
    now = tally.nothing(GOOD)
    for i, (info, reward, observation) in enumerate(steps):
        values = {name: jnp.asarray(value) for name, value in info.items()}
        now = tally.updated(now, i, values, step(reward, observation))
    return now


def test_averages_are_weighted_by_gradient_steps():
    second = {"updates": 3.0, "loss": 6.0, "entropy": -1.0, "gap": 1.0}
    now = after((GOOD, [1.0], [0.0]), (second, [-4.0], [0.0]))
    now = tally.with_episodes(
        now, np.array([True, False, True]), np.array([1.0, 9.0, 2.0]), np.array([3, 9, 5])
    )
    assert tally.summary(now) == {
        "episodes": 2, "return": 1.5, "length": 4.0, "updates": 4, "loss": 5.0, "entropy": 0.0, "gap": 2.0,
    }  # fmt: skip
    assert float(now.largest) == 4.0


def test_before_anything_there_is_nothing_to_average_and_so_again_once_it_is_cleared():
    now = tally.cleared(after((GOOD, [1.0], [0.0])))
    for empty in (tally.nothing(GOOD), now):
        row = tally.summary(empty)
        assert row.pop("episodes") == row.pop("updates") == 0
        assert set(row.values()) == {None}


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ([(GOOD, [1.0], [0.0])], None),
        ([(GOOD, [1.0], [0.0]), (GOOD | {"gap": np.inf}, [1.0], [0.0])], ("gap", 1)),
        ([(GOOD | {"loss": np.nan}, [np.nan], [0.0])], ("reward", 0)),
        ([(GOOD | {"loss": np.nan}, [1.0], [0.0]), (GOOD, [np.nan], [np.nan])], ("loss", 0)),
        ([(GOOD, [1.0], [0.0, np.nan]), (GOOD, [np.nan], [0.0])], ("observation", 0)),
    ],
    ids=["all is well", "a quantity", "its cause", "the first", "the observation"],
)
def test_the_first_that_is_not_finite_is_named_and_stays_named(steps, found):
    assert tally.first_bad(after(*steps)) == found
    assert tally.first_bad(tally.cleared(after(*steps))) == found


def test_an_agent_may_report_nothing_but_its_gradient_steps():
    info = {"updates": jnp.asarray(2.0)}
    now = tally.updated(tally.nothing(info), 0, info, step([1.0], [[1.0, 1.0]]))
    assert tally.summary(now)["updates"] == 2
    assert tally.first_bad(now) is None
