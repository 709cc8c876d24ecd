"""What these tests compute is tiny, and compiling it is the whole cost: so it is compiled cheaply."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="package")
def _compiled_without_optimisation():
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
