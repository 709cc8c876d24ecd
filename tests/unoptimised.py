"""Programs that the compiler hardly works on: sooner there, and rounded in other places."""

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def unoptimised() -> Iterator[None]:
    """Compile without most optimisations while it lasts."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)
