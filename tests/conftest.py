"""The whole suite runs with shapes and types checked, warnings as errors, and no process-wide
switch flipped.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from jaxtyping import install_import_hook

# Before anything imports the package: from here on each annotation in it is a promise that is checked at each
# call.
install_import_hook("maxentrl", "typecheck.check")

import jax  # noqa: E402
import jaxtyping  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture(autouse=True)
def _double_precision_is_never_switched_on_for_the_whole_process():
    assert not jax.config.read("jax_enable_x64")
    yield
    assert not jax.config.read("jax_enable_x64")


@pytest.fixture
def as_shipped():
    """Without type checks, as users run it: a value of the wrong type then meets the library's
    own sentence.
    """
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
