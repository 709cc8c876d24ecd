"""Double precision is chosen for a call, and nothing outside notices."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np

from maxentrl.core.precision import in_double_precision, to_host


@in_double_precision
def third(x):
    return jnp.asarray(x, jnp.float64) / 3


def test_a_result_is_float64_on_the_host_and_later_work_is_float32_again():
    result = third(1.0)
    assert isinstance(result, np.ndarray)
    assert result == 1.0 / 3.0
    assert jnp.asarray(1.0).dtype == jnp.float32


def test_jit_vmap_and_grad_from_outside_work():
    x = jnp.arange(3.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(np.asarray(jax.jit(third)(x)), np.arange(3) / 3, rtol=1e-15)
        np.testing.assert_allclose(np.asarray(jax.vmap(third)(x)), np.arange(3) / 3, rtol=1e-15)
        np.testing.assert_allclose(
            np.asarray(jax.grad(lambda y: third(y).astype(jnp.float32))(1.0)), 1 / 3, rtol=1e-6
        )


def test_random_keys_stay_keys():
    key = jax.random.key(0, impl="threefry2x32")
    kept = to_host({"key": key, "x": jnp.ones(2)})
    assert jax.dtypes.issubdtype(kept["key"].dtype, jax.dtypes.prng_key)
    assert isinstance(kept["x"], np.ndarray)
