"""What these tests compute is tiny, and compiling it is the whole cost: so it is compiled cheaply."""

import pytest

from unoptimised import unoptimised


@pytest.fixture(autouse=True, scope="package")
def _compiled_without_optimisation():
    with unoptimised():
        yield
