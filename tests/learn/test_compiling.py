"""Advice to the compiler: taken where it is known, never an error."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from maxentrl.learn import compiling


def test_an_option_that_the_compiler_does_not_have_is_left_out(monkeypatch):
    options = {"xla_cpu_an_option_of_tomorrow": True, "xla_backend_optimization_level": 1}
    assert compiling._on_cpu(options) == {"xla_backend_optimization_level": 1}
    monkeypatch.setattr(compiling, "_OFTEN", options)
    assert compiling.often(lambda x: x + 1)(1) == 2


def test_programs_compiled_with_little_effort_compute_the_same():
    x = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    plain = jnp.tanh(x @ x).sum(0)
    for compiled in (compiling.once, compiling.often):
        np.testing.assert_allclose(compiled(lambda x: jnp.tanh(x @ x).sum(0))(x), plain, rtol=1e-5)
