"""Lambda-returns against the sum over all lengths of looking ahead, written out."""

import jax
import numpy as np
import pytest

from maxentrl.learn.returns import lambda_returns

T, DISCOUNT = 24, 0.9


def weighted_sum_over_lengths(reward, value_next, terminated, truncated, valid, discount, trace):
    """(1 - trace) sum over n of trace^(n-1) G^(n), and the rest on the longest; G^(n) itself a sum."""
    lived = np.flatnonzero(valid)
    answer = np.zeros(len(reward))
    for start in range(len(lived)):
        looks = []
        for n in range(1, len(lived) - start + 1):
            rows = lived[start : start + n]
            last = rows[-1]
            rest = 0.0 if terminated[last] else discount**n * value_next[last]
            looks.append(sum(discount**k * reward[row] for k, row in enumerate(rows)) + rest)
            if terminated[last] or truncated[last]:
                break
        weights = (1 - trace) * trace ** np.arange(len(looks))
        weights[-1] = trace ** (len(looks) - 1)
        answer[lived[start]] = weights @ looks
    return answer


def rows_of(seed):
    """Episodes as they are recorded; in some recordings rows that are no steps lie between them."""
    rng = np.random.default_rng(seed)
    terminated = rng.random(T) < 0.15
    truncated = ~terminated & (rng.random(T) < 0.15)
    valid = rng.random(T) < (0.7 if seed % 2 else 1.1)
    return rng.normal(size=T), rng.normal(size=T), terminated, truncated, valid


@pytest.mark.parametrize("trace", [0.0, 0.7, 1.0])
def test_lambda_returns_are_the_weighted_sum_over_all_lengths_of_looking_ahead(trace):
    with jax.enable_x64(True):
        compiled = jax.jit(lambda *rows: lambda_returns(*rows, discount=DISCOUNT, trace=trace))
        for seed in range(6):
            rows = rows_of(seed)
            expected = weighted_sum_over_lengths(*rows, DISCOUNT, trace)
            np.testing.assert_allclose(compiled(*rows), expected, rtol=1e-12, atol=1e-13)  # float64


def test_only_termination_says_that_nothing_follows():
    one, yes, no = np.ones(1, np.float32), np.ones(1, bool), np.zeros(1, bool)
    worth = {
        name: float(lambda_returns(one, 10 * one, *flags, yes, discount=0.5, trace=1.0)[0])
        for name, flags in {"terminated": (yes, no), "truncated": (no, yes), "cut off": (no, no)}.items()
    }
    assert worth == {"terminated": 1.0, "truncated": 6.0, "cut off": 6.0}


def test_what_fills_the_rows_that_are_not_valid_does_not_matter():
    reward, value_next, terminated, truncated, valid = rows_of(1)
    assert not valid.all()
    other = (
        np.where(valid, reward, 1e6),
        np.where(valid, value_next, -1e6),
        terminated | ~valid,
        truncated | ~valid,
    )
    first, second = (
        np.asarray(lambda_returns(*rows, valid, discount=DISCOUNT, trace=0.8))
        for rows in ((reward, value_next, terminated, truncated), other)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.any(first[~valid])
