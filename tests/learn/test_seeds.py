"""A program over the trees of several seeds gives each what it gives alone, whatever was set, and says what went wrong."""

import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxentrl.learn import seeds


def drawn(key, scale):
    return scale * jax.random.normal(key, (5,)), jax.random.split(key)[0]


@pytest.mark.parametrize("partitionable", [False, True])
@pytest.mark.parametrize("double", [False, True])
def test_what_is_set_in_this_thread_alone_holds_for_every_seed(double, partitionable):
    with jax.enable_x64(double), jax.threefry_partitionable(partitionable):
        keys = [jax.random.key(n) for n in range(3)]
        program = seeds.over_seeds(drawn)
        for _ in range(2):
            found = program(keys, np.asarray(2.0))
            for (values, following), key in zip(found, keys, strict=True):
                ((alone, after),) = program([key], np.asarray(2.0))
                wanted = np.asarray(2.0, alone.dtype) * jax.random.normal(key, (5,))
                np.testing.assert_allclose(alone, wanted, rtol=1e-6)
                np.testing.assert_array_equal(values, alone)
                assert values.dtype == alone.dtype
                np.testing.assert_array_equal(jax.random.key_data(following), jax.random.key_data(after))
            keys = [following for _, following in found]


def test_all_seeds_as_one_call_give_the_same():
    keys = tuple(jax.random.key(n) for n in range(3))
    apart, together = seeds.over_seeds(drawn)(keys, 2.0), jax.jit(seeds.side_by_side(drawn))(keys, 2.0)
    assert jax.tree.structure(apart) == jax.tree.structure(together)
    for one, other in zip(apart, together, strict=True):
        np.testing.assert_allclose(one[0], other[0], rtol=1e-6)
        np.testing.assert_array_equal(jax.random.key_data(one[1]), jax.random.key_data(other[1]))


def test_trees_are_changed_in_place_where_they_may_be():
    program = seeds.over_seeds(lambda x: x + 1, donate=(0,))
    given = [jnp.zeros(1000) for _ in range(3)]
    places = [x.unsafe_buffer_pointer() for x in given]
    assert [x.unsafe_buffer_pointer() for x in program(given)] == places


def test_calls_come_back_in_order_and_no_more_run_at_once_than_there_are_cores(monkeypatch):
    monkeypatch.setattr(seeds, "cores", lambda: 3)
    running, most, lock = 0, 0, threading.Lock()

    def call(item):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05 / item)
        with lock:
            running -= 1
        return -item

    assert seeds.abreast(call, range(1, 10)) == tuple(range(-1, -10, -1))
    assert most == 3


def test_the_first_error_is_raised_once_the_others_are_done_and_no_more_are_begun(monkeypatch):
    monkeypatch.setattr(seeds, "cores", lambda: 2)
    begun, done = [], []

    def call(item):
        begun.append(item)
        if item == 1:
            raise ValueError("one is wrong")
        time.sleep(0.2)
        done.append(item)

    with pytest.raises(ValueError, match="one is wrong"):
        seeds.abreast(call, range(10))
    assert begun == [0, 1] and done == [0]
