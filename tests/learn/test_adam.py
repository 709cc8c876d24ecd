"""Adam against its reference, and rates that fall."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from maxentrl.learn.adam import SMALL, at_rest, descend, falling

KEY = jax.random.key(0, impl="threefry2x32")


@pytest.mark.parametrize("epsilon", [1e-8, 1e-2])
def test_its_steps_are_those_of_the_reference(epsilon):
    """Both in float64, where they differ by rounding alone; gradients from tiny, where epsilon counts, to large."""
    with jax.enable_x64(True):
        # A parameter that is large stands between small ones.
        start: Any = {
            "a": jax.random.normal(KEY, (4, 3)),
            "b": jax.random.normal(KEY, (SMALL // 8, 9)),
            "c": (jnp.zeros(3), jnp.zeros(())),
        }
        reference = optax.adam(1e-2, eps=epsilon)
        memory: Any = reference.init(start)
        theirs, ours, adam = start, start, at_rest(start)
        for i, size in enumerate(np.logspace(-9, 3, 30)):
            slope = jax.tree.map(lambda x, i=i, size=size: size * (jnp.cos(i + x) + 0.3), start)
            change, memory = reference.update(slope, memory)
            theirs = optax.apply_updates(theirs, change)
            ours, adam = descend(slope, adam, ours, 1e-2, epsilon)
    for one, two in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-14)


def test_in_single_precision_it_stays_at_the_reference():
    """30 steps of at most 0.01, each to a few roundings of float32 (6e-8): the bias corrections lose no more."""
    start: Any = jax.random.normal(KEY, (100,))
    reference = optax.adam(1e-2)
    memory: Any = reference.init(start)
    theirs: Any = start
    ours, adam = start, at_rest(start)
    for i in range(30):
        slope = jnp.sin(3 * start + i)
        change, memory = reference.update(slope, memory)
        theirs = optax.apply_updates(theirs, change)
        ours, adam = descend(slope, adam, ours, 1e-2)
    np.testing.assert_allclose(ours, np.asarray(theirs), rtol=30 * 6e-8, atol=0.01 * 30 * 1e-4)


@pytest.mark.parametrize("shape", [(SMALL + 1,), (SMALL,), ()])
def test_a_parameter_alone_moves_by_the_rate_in_its_first_step(shape):
    ours, _ = descend(jnp.full(shape, -3.0), at_rest(jnp.zeros(shape)), jnp.zeros(shape), 0.01)
    assert ours.shape == shape
    # float32 knows 1 - 0.999 to 6e-8 of 1, which is 6e-5 of it.
    np.testing.assert_allclose(ours, 0.01, rtol=1e-4)


def test_a_rate_falls_on_a_line_to_zero_and_stays_there():
    assert [float(falling(0.5, made, 4)) for made in range(6)] == [0.5, 0.375, 0.25, 0.125, 0.0, 0.0]
    assert falling(0.5, 3, None) == 0.5
