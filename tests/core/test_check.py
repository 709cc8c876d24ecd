"""Bad input becomes one sentence."""

import jax
import numpy as np
import pytest

from maxentrl.core import check
from maxentrl.core.check import InputError


def test_a_choice_names_what_is_allowed():
    check.check_choice("given", ("given", "posterior"), "dynamics")
    with pytest.raises(InputError, match="dynamics must be one of given, posterior; got 'free'"):
        check.check_choice("free", ("given", "posterior"), "dynamics")


def test_a_shape_is_spelled_out():
    check.check_shape(np.zeros((2, 3)), (None, 3), "table", "[S, A]")
    with pytest.raises(InputError, match=r"table must have shape \[S, A\] = \(any, 3\); got \(2, 4\)"):
        check.check_shape(np.zeros((2, 4)), (None, 3), "table", "[S, A]")
    with pytest.raises(InputError, match=r"got \(3,\)"):
        check.check_shape(np.zeros(3), (None, 3), "table", "[S, A]")


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize("tolerance", [-1.0, np.nan, np.inf, "small", [1e-6]])
def test_a_tolerance_is_a_finite_number_of_at_least_zero(tolerance):
    check.check_tolerance(0)
    check.check_tolerance(np.float32(1e-6))
    with pytest.raises(InputError, match="tolerance must be a finite number of at least 0; got"):
        check.check_tolerance(tolerance)


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize("count", [0, -1, 1.0, True, "2"])
def test_a_count_is_a_whole_number_from_the_least_on(count):
    check.check_count(1, "count")
    check.check_count(np.int64(0), "count", least=0)
    with pytest.raises(InputError, match="count must be a whole number, at least 1; got"):
        check.check_count(count, "count")


def test_memory_is_compared_with_what_is_free():
    assert check.available_memory() > 0
    check.check_memory(1, "a byte", "none needed")
    with pytest.raises(
        InputError, match=r"the table needs about 1e\+09 GB of memory, and .* are available; make it smaller"
    ):
        check.check_memory(10**18, "the table", "make it smaller")


@pytest.mark.parametrize(
    ("count", "words"), [(12, "12 bytes"), (1500, "1.5 kB"), (2.5e6, "2.5 MB"), (3e9, "3 GB")]
)
def test_sizes_are_said_in_words(count, words):
    assert check.size(count) == words


def test_traced_values_pass_because_they_cannot_be_looked_at():
    def checked(x):
        check.check_temperature(x)
        check.check_discount(x)
        return x

    assert jax.jit(checked)(-1.0) == -1.0
