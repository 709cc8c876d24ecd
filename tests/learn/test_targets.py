"""Target networks in closed form."""

import jax.numpy as jnp
import numpy as np

from maxentrl.learn.targets import copied_every, polyak


def test_what_follows_a_network_at_rest_closes_the_gap_geometrically():
    online, target = (
        {"w": jnp.array([1.0, -2.0]), "b": (jnp.array(3.0),)},
        {"w": jnp.zeros(2), "b": (jnp.zeros(()),)},
    )
    for _ in range(20):
        target = polyak(target, online, 0.1)
    left = 1 - 0.9**20
    np.testing.assert_allclose(
        target["w"], left * np.array([1.0, -2.0]), rtol=1e-5
    )  # 20 roundings of float32
    np.testing.assert_allclose(target["b"][0], left * 3.0, rtol=1e-5)


def test_at_rate_1_it_is_the_network():
    np.testing.assert_array_equal(polyak(jnp.zeros(3), jnp.arange(3.0), 1.0), np.arange(3.0))


def test_a_copy_is_what_the_network_was_at_the_last_multiple_of_the_interval():
    target = jnp.array(-1.0)
    for step in range(1, 12):
        target = copied_every(target, jnp.array(float(step)), jnp.array(step), 4)
        assert float(target) == (step - step % 4 if step >= 4 else -1)
