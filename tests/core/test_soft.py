"""The one operation: log-mean-exp, its limits, its gradient and its dual."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maxentrl.core.soft import entropy, kl, lme, tilt

NUMBERS = arrays(np.float64, 5, elements=st.floats(-1e4, 1e4, width=32))
TEMPERATURES = st.floats(0.0625, 1e4, width=32)
KINDS = (0.0, 0.7, math.inf)
LOG_WEIGHT = np.log([0.1, 0.2, 0.3, 0.3, 0.1])


@functools.cache
def compiled(function, **static):
    return jax.jit(functools.partial(function, **static))


def in_double(function, *args, **static):
    with jax.enable_x64(True):
        return np.asarray(compiled(function, **static)(*map(jnp.asarray, args)))


def soft(x, temperature):
    return in_double(lme, x, LOG_WEIGHT, temperature)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(x=NUMBERS, temperature=TEMPERATURES, constant=st.floats(-100, 100, width=32))
def test_lme_is_the_log_mean_exp_monotone_lipschitz_and_equivariant(x, temperature, constant):
    wide = x.astype(np.longdouble)
    top = wide.max()
    expected = top + temperature * np.log((np.exp(LOG_WEIGHT) * np.exp((wide - top) / temperature)).sum())
    rounding = 1e-14 * (1 + np.abs(x).max() + temperature + abs(constant))
    value = soft(x, temperature)
    assert abs(value - float(expected)) <= rounding
    assert np.exp(LOG_WEIGHT) @ x - rounding <= value <= x.max() + rounding
    assert abs(soft(x + constant, temperature) - value - constant) <= rounding
    higher = x + np.abs(np.roll(x, 1))
    assert value - rounding <= soft(higher, temperature) <= value + np.abs(higher - x).max() + rounding


@settings(max_examples=30, deadline=None, derandomize=True)
@given(x=NUMBERS, temperature=TEMPERATURES)
def test_lme_is_its_dual_at_the_tilted_distribution(x, temperature):
    """max over p of <p, x> - t KL(p || w) is attained by tilt."""
    log_p = in_double(tilt, x, LOG_WEIGHT, temperature)
    p = np.exp(log_p)
    cost = np.where(p > 0, p * (np.where(p > 0, log_p, 0) - LOG_WEIGHT), 0).sum()
    assert abs(p.sum() - 1) < 1e-13
    assert abs(p @ x - temperature * cost - soft(x, temperature)) <= 1e-11 * (
        1 + np.abs(x).max() + temperature
    )


def test_temperature_zero_is_the_maximum_and_infinity_the_mean():
    x = np.array([3.0, -1.0, 3.0, 2.0, 0.0])
    assert in_double(lme, x, LOG_WEIGHT, temperature=0.0) == 3.0
    np.testing.assert_allclose(
        in_double(lme, x, LOG_WEIGHT, temperature=math.inf), np.exp(LOG_WEIGHT) @ x, rtol=1e-15
    )
    np.testing.assert_allclose(soft(x, 1e-6), 3.0, atol=2e-6)
    np.testing.assert_allclose(soft(x, 1e8), np.exp(LOG_WEIGHT) @ x, atol=1e-6)
    np.testing.assert_allclose(
        np.exp(in_double(tilt, x, LOG_WEIGHT, temperature=0.0)), [0.25, 0, 0.75, 0, 0], rtol=1e-15
    )
    np.testing.assert_allclose(in_double(tilt, x, LOG_WEIGHT, temperature=math.inf), LOG_WEIGHT, rtol=1e-15)


@pytest.mark.parametrize("temperature", KINDS)
def test_the_gradient_is_the_tilted_distribution_also_at_ties(temperature):
    x = np.array([1.0, 2.0, 2.0, -np.inf, 0.5])
    gradient = in_double(jax.grad(functools.partial(lme, temperature=temperature)), x, LOG_WEIGHT)
    if temperature != math.inf:
        np.testing.assert_allclose(
            gradient, np.exp(in_double(tilt, x, LOG_WEIGHT, temperature=temperature)), rtol=1e-13
        )
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("temperature", KINDS)
@pytest.mark.parametrize("empty", ["values", "weights"])
def test_where_nothing_is_left_the_value_is_minus_infinity_and_the_gradient_zero(temperature, empty):
    nothing, zeros = jnp.full(3, -jnp.inf), jnp.zeros(3)
    x, log_w = (nothing, zeros) if empty == "values" else (zeros, nothing)
    value, gradient = jax.jit(
        jax.value_and_grad(functools.partial(lme, temperature=temperature), argnums=(0, 1))
    )(x, log_w)
    assert value == -np.inf
    np.testing.assert_array_equal(np.asarray(gradient), np.zeros((2, 3)))
    assert np.all(np.asarray(tilt(x, log_w, temperature)) == -np.inf)


def test_where_nothing_is_left_the_temperature_has_gradient_zero_too():
    rows = jnp.array([[-jnp.inf, -jnp.inf], [0.0, 1.0]])
    gradient = jax.jit(jax.jacobian(lambda t: lme(rows, None, t)))(0.5)
    # d lme / dt = (lme - <p, x>) / t for the row that has entries.
    p = 1 / (1 + np.exp(-2.0))
    np.testing.assert_allclose(
        np.asarray(gradient), [0.0, (0.5 * np.log(1 + np.exp(2.0)) - p) / 0.5], rtol=1e-5
    )


def test_without_weights_every_entry_counts_once():
    np.testing.assert_allclose(np.asarray(lme(np.zeros(4, np.float32))), math.log(4), rtol=1e-6)


def test_several_axes_are_summed_at_once():
    x = np.random.default_rng(0).normal(size=(3, 4, 2))
    both = in_double(lme, x, axis=(0, 1))
    flat = in_double(lme, x.reshape(12, 2), axis=0)
    np.testing.assert_allclose(both, flat, rtol=1e-14)


def test_several_axes_share_their_maxima():
    x = np.random.default_rng(0).integers(0, 3, (3, 4, 2)).astype(float)
    x[1, 2] = -np.inf
    x[:, :, 1] = 1.0, 1.0, 1.0, -np.inf  # ties; and one column
    best = (x == x.max((0, 1))) / (x == x.max((0, 1))).sum((0, 1))
    np.testing.assert_allclose(np.exp(in_double(tilt, x, temperature=0.0, axis=(0, 1))), best, rtol=1e-14)
    nothing = in_double(tilt, np.full((3, 2), -np.inf), temperature=0.0, axis=(0, 1))
    assert np.all(nothing == -np.inf)


def test_huge_values_neither_overflow_nor_underflow():
    x = np.array([1e300, -1e300, 1e300])
    np.testing.assert_allclose(in_double(lme, x), 1e300)
    pair = np.array([-1e4, -1e4])
    np.testing.assert_allclose(in_double(lme, pair, np.zeros(2), 1e-3), -1e4 + 1e-3 * math.log(2), rtol=1e-15)


def test_entropy_and_divergence_take_zero_times_log_zero_as_zero():
    log_p = np.log(np.array([0.25, 0.75]), dtype=np.float32)
    certain = np.array([0.0, -np.inf], np.float32)
    assert entropy(certain) == 0
    np.testing.assert_allclose(
        np.asarray(entropy(log_p)), -(0.25 * np.log(0.25) + 0.75 * np.log(0.75)), rtol=1e-6
    )
    assert kl(log_p, log_p) == 0
    np.testing.assert_allclose(np.asarray(kl(certain, log_p)), -np.log(0.25), rtol=1e-6)
    assert kl(log_p, certain) == np.inf
    # Relative to the counting measure, log-weight 0, it is minus the entropy.
    np.testing.assert_allclose(
        np.asarray(kl(log_p, np.zeros(2, np.float32))), -np.asarray(entropy(log_p)), rtol=1e-6
    )
    gradient = np.asarray(jax.grad(lambda p: entropy(p))(jnp.asarray(certain)))
    assert np.all(np.isfinite(gradient))
