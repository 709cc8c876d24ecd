"""The memory keeps what was lived, the latest of it, and nothing else; and gives all of it with equal chance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxentrl.core.check import InputError
from maxentrl.core.contracts import Transition
from maxentrl.core.spaces import Discrete, box
from maxentrl.learn import replay

SEEN, ACTIONS = box(-np.inf, np.inf, (2,)), Discrete(100_000)
KEY = jax.random.key(3, impl="threefry2x32")
store, draw = jax.jit(replay.store), jax.jit(replay.draw, static_argnums=2)


def steps(numbers, valid=None):
    """Steps that say in all their fields which one they are."""
    n = np.asarray(numbers, np.float32)
    return Transition(
        np.stack([n, -n], -1), n.astype(np.int32), n / 2, np.stack([n + 1, -n - 1], -1), n % 2 == 0, n % 3 == 0,
        np.ones(len(n), bool) if valid is None else np.asarray(valid),
    )  # fmt: skip


def all_of(memory, count=400):
    return draw(memory, KEY, count, replay.one_step(SEEN, ACTIONS))


def empty(capacity=10):
    return replay.empty(capacity, replay.one_step(SEEN, ACTIONS))


@pytest.mark.parametrize("at_once", [1, 4])
def test_what_is_drawn_was_stored_and_is_among_the_latest(at_once):
    memory, written = empty(), 0
    for _ in range(24 // at_once):
        memory = store(memory, steps(range(written, written + at_once)))
        written += at_once
        drawn = all_of(memory)
        assert set(np.asarray(drawn.action)) == set(range(max(0, written - 10), written))
        expected = steps(drawn.action)
        jax.tree.map(np.testing.assert_array_equal, drawn, expected)
        assert drawn.action.dtype == jnp.int32 and drawn.terminated.dtype == bool
    assert int(memory.written) == written


@pytest.mark.parametrize("at_once", [1, 4])
def test_rows_that_are_not_valid_leave_no_trace(at_once):
    rng = np.random.default_rng(0)
    valid = rng.random(40) < 0.5
    with_gaps, without, kept = empty(), empty(), np.flatnonzero(valid)
    for i in range(0, 40, at_once):
        with_gaps = store(with_gaps, steps(np.arange(i, i + at_once), valid[i : i + at_once]))
    for i in kept:
        without = store(without, steps([i]))
    jax.tree.map(np.testing.assert_array_equal, with_gaps, without)


def test_every_step_held_is_drawn_with_the_same_chance():
    """Chi-square with 9 degrees of freedom exceeds 27.9 once in a thousand keys; the key is fixed."""
    memory = store(store(empty(), steps(range(8))), steps(range(8, 16)))
    count = 20_000
    found = np.bincount(np.asarray(all_of(memory, count).action), minlength=16)
    assert not found[:6].any()
    assert ((found[6:] - count / 10) ** 2 / (count / 10)).sum() < 27.9


def test_whole_numbers_below_2_to_the_24_come_back_as_they_were():
    big = np.array([2**24 - 1], np.int32)
    lived = steps([0])._replace(action=big)
    assert set(np.asarray(all_of(store(empty(), lived)).action)) == {2**24 - 1}


def counting():
    """A learner that counts its gradient steps and acts by their number."""
    return replay.Learner(
        init=lambda key, observation, action: jnp.zeros((), jnp.int32),
        act=lambda state, key, seen: jnp.full(len(seen), state),
        mode=lambda state, seen: jnp.full(len(seen), state),
        log_density=lambda state, seen, action: jnp.zeros(len(seen)),
        uniform=lambda state, key, seen: jnp.full(len(seen), -1),
        learn=lambda state, key, batch: (state + 1, {"drawn": jnp.mean(batch.reward)}),
    )


def agent(**settings):
    given = {"capacity": 50, "batch": 4, "warmup": 6, **settings}
    return replay.off_policy("counting", None, lambda observation, action: None, counting(), **given)


@pytest.mark.parametrize("updates", [1, 3])
def test_before_warm_up_is_over_actions_are_uniform_and_nothing_is_learned(updates):
    made = agent(updates=updates, environments=2)
    state, seen = made.init(KEY, SEEN, ACTIONS), jnp.zeros((2, 2))
    act, update = jax.jit(made.act), jax.jit(made.update)
    for i in range(6):
        assert int(act(state, KEY, seen)[0]) == (-1 if 2 * i < 6 else updates * (i - 2))
        state, info = update(state, KEY, jax.tree.map(lambda x: x[None], steps([2 * i, 2 * i + 1])))
        learned = 2 * (i + 1) >= 6
        assert float(info["updates"]) == (updates if learned else 0)
        assert (float(info["drawn"]) > 0) == learned


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"capacity": 0}, "capacity must be at least 1; got 0"),
        ({"batch": 0}, "batch must be at least 1; got 0"),
        ({"warmup": -1}, "warmup must be at least 0; got -1"),
        ({"updates": 0}, "updates must be at least 1; got 0"),
        ({"steps": 10, "environments": 6}, "10 steps of 6 environments do not fit a memory of 50"),
    ],
)
def test_counts_that_make_no_sense_are_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        agent(**settings)
