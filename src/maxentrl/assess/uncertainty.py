"""From the spread of weights to the spread of what is computed from them: rewards, values, policies, flows.

Two roads. `delta` follows the derivative, exact to first order in the standard errors:

    Var g(w) = J Cov(w) J',   J = dg/dw

`sampled` draws weights and computes each, which sees curvature, and costs a solve for each draw. An ensemble, whose
members were fitted anew (other seeds, other halves of the data), says it without weights: `ensemble`.

Weights that are not identified are no obstacle for what does not depend on them: a policy does not change along shaping.
Give `null`, the directions that are not identified, and a quantity is infinitely uncertain only where it moves along them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.stats import norm
from scipy.stats import t as student

from maxentrl.core.check import InputError, check_shape
from maxentrl.core.precision import in_double_precision
from maxentrl.core.types import Array, Scalar
from maxentrl.infer.policy import occupancy
from maxentrl.infer.solution import Solution, solve
from maxentrl.models.tabular import TabularMDP

MOVES = 1e-6
"""Change along a direction that is not identified, relative to the largest derivative, that counts as depending on it."""


class LinearReward(eqx.Module):
    """A reward offset + features . weights in a problem, and what follows from its weights [K], differentiably.

    mdp: the problem; -inf in its reward forbids an action. features: [S, A, K]. offset: [S, A] or 0.
    temperature, discount, horizon: as for `solve`.
    """

    mdp: TabularMDP
    features: Float[Array, "S A K"]
    temperature: Scalar = 1.0
    discount: Scalar = 1.0
    horizon: int | None = eqx.field(static=True, default=None)
    offset: Any = 0.0

    @in_double_precision
    def reward(self, weights) -> Array:
        """[S, A], in units of reward; 0 where there is no choice."""
        allowed = jnp.isfinite(jnp.asarray(self.mdp.log_prior)) & ~jnp.asarray(self.mdp.terminal)[:, None]
        features = jnp.where(allowed[..., None], jnp.asarray(self.features), 0.0)
        return jnp.where(allowed, jnp.asarray(self.offset), 0.0) + features @ jnp.asarray(weights)

    @in_double_precision
    def plan(self, weights) -> Solution:
        """The plan under these weights; NaN where the problem has no finite solution and that cannot be raised."""
        plan = solve(
            self.mdp.bare().with_reward(self.reward(weights)),
            temperature=self.temperature,
            discount=self.discount,
            horizon=self.horizon,
            tolerance=1e-9,
        )
        return eqx.tree_at(lambda p: p.v, plan, _where_solved(plan, plan.v))

    def value(self, weights) -> Array:
        """[S], or [T+1, S] over a finite horizon, in units of reward."""
        return self.plan(weights).v

    def start_value(self, weights) -> Array:
        """[], in units of reward."""
        return self.plan(weights).start_value

    @in_double_precision
    def policy(self, weights) -> Array:
        """pi(a|s), [S, A] or [T, S, A]; NaN where the problem has no finite solution."""
        plan = self.plan(weights)
        return _where_solved(plan, jnp.exp(jnp.asarray(plan.log_policy)))

    @in_double_precision
    def flows(self, weights) -> Array:
        """Expected discounted choices [S, A] from the start, summed over time; NaN where the problem has no finite
        solution."""
        plan = self.plan(weights)
        taken = jnp.asarray(
            occupancy(self.mdp.bare(), plan.log_policy, discount=self.discount, horizon=self.horizon)
        )
        return _where_solved(plan, taken if self.horizon is None else taken.sum(0))


def _where_solved(plan: Solution, values) -> Array:
    """The policy of NaN values would be numbers: each quantity is marked by itself."""
    return jnp.where(jnp.isfinite(plan.error_bound), jnp.asarray(values), jnp.nan)


@dataclasses.dataclass(frozen=True, eq=False)
class Interval:
    """A derived quantity and how sure it is; arrays of its shape.

    standard_error: inf where the estimate depends on what is not identified.
    lower, upper: the ends of the interval. level: its nominal coverage.
    draws: [n, ...] it rests on, or None.
    failed: draws at which the problem has no solution; they are left out, so the interval is one given that a solution
        exists.
    """

    estimate: np.ndarray
    standard_error: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    level: float
    draws: np.ndarray | None = None
    failed: int = 0


def on_identified(information, null) -> np.ndarray:
    """Covariance [K, K] of the part of the weights that is identified: the inverse of the information beside `null`.

    Args:
        information: [K, K]; minus the second derivative of the log-likelihood.
        null: [m, K]; the directions that are not identified, in any basis; m may be 0.

    Raises:
        InputError: where the information is singular beside them too.
    """
    matrix = np.asarray(information, np.float64)
    lost = np.asarray(null, np.float64).reshape(-1, len(matrix))
    kept = np.linalg.svd(lost)[2][np.linalg.matrix_rank(lost) :] if len(lost) else np.eye(len(matrix))
    try:
        return kept.T @ np.linalg.solve(kept @ matrix @ kept.T, kept)
    except np.linalg.LinAlgError:
        raise InputError(
            "information must have an inverse beside the directions in null; add those on which it is 0."
        ) from None


def delta(quantity: Callable[[Any], Any], weights, covariance, *, null=None, level: float = 0.95) -> Interval:
    """Interval of a smooth function of the weights by the delta method: normal, symmetric, first order.

    Args:
        quantity: from weights [K] to an array of any shape, differentiable; for instance `LinearReward(...).flows`.
        weights: [K]. covariance: [K, K]. An infinite variance marks a weight that is not identified.
        null: [m, K], directions that are not identified; `covariance` is then that of the others, from `on_identified`.
        level: in (0, 1).

    Raises:
        InputError: for shapes that do not fit, a covariance that is negative in a direction, or a level out of range.
    """
    w, table = _check(weights, covariance, level)
    blind = ~np.isfinite(np.diag(table))
    known = np.where(np.outer(~blind, ~blind), table, 0.0)
    _axes(known)
    value, slope = _linearise(quantity, w)
    value, slope = np.asarray(value, np.float64), np.asarray(slope, np.float64)
    lost = [np.eye(len(w))[blind]]
    if null is not None:
        lost.append(np.asarray(null, np.float64).reshape(-1, len(w)))
    variance = np.einsum("...k,kl,...l->...", slope, known, slope)
    moved = np.abs(slope @ np.concatenate(lost).T).max(-1, initial=0.0)
    unknown = moved > MOVES * np.abs(slope).max(initial=0.0)
    error = np.where(unknown, np.inf, np.sqrt(np.maximum(variance, 0.0)))
    reach = norm.ppf(0.5 + level / 2) * error
    return _interval(value, error, value - reach, value + reach, level)


@in_double_precision
def _linearise(quantity, weights):
    return quantity(jnp.asarray(weights)), jax.jacfwd(quantity)(jnp.asarray(weights))


def sampled(
    quantity: Callable[[Any], Any],
    weights,
    covariance,
    *,
    key: jax.Array,
    count: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Interval of any function of the weights, from normal draws of them: the quantiles of what they give.

    Args:
        quantity: from weights [K] to an array, compiled once. weights: [K].
        covariance: [K, K], finite; for weights that are not identified, of the others (`on_identified`): the rest stays
            where it is.
        key: random key. count: draws, at least 2. level: in (0, 1).

    Raises:
        InputError: for a covariance that is not finite or not positive, or when no draw has a solution.
    """
    w, table = _check(weights, covariance, level)
    if count < 2:
        raise InputError(f"count must be at least 2 draws; got {count}.")
    if not np.isfinite(table).all():
        raise InputError(
            "sampled needs a finite covariance; leave out the weights that are not identified, or give "
            "on_identified(information, null)."
        )
    size, axes = _axes(table)
    value, draws = _sample(quantity, w, axes * np.sqrt(size), key, count)
    value, draws = np.asarray(value, np.float64), np.asarray(draws, np.float64)
    good = np.isfinite(draws).reshape(count, -1).all(1)
    if good.sum() < 2:
        raise InputError(
            f"of {count} draws {count - int(good.sum())} have no finite answer; nothing can be said from them."
        )
    kept = draws[good]
    lower, upper = np.quantile(kept, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    return _interval(value, kept.std(0, ddof=1), lower, upper, level, kept, count - int(good.sum()))


@in_double_precision
def _sample(quantity, weights, root, key, count: int):
    noise = jax.random.normal(key, (count, len(weights)), jnp.float64)
    draws = jnp.asarray(weights) + noise @ jnp.asarray(root).T
    return quantity(jnp.asarray(weights)), jax.jit(lambda many: jax.lax.map(quantity, many))(draws)


def ensemble(values, *, level: float = 0.95) -> Interval:
    """Where one more member of an ensemble would lie: mean -+ t_{M-1} * deviation * sqrt(1 + 1 / M).

    The members are M answers of one procedure, refitted from other starts or other samples of the demonstrations. The
    interval is right for normal members, and describes what their refitting varied and nothing else: seeds alone say how
    well the fit was found, not how much the data told.

    Args:
        values: [M, ...], at least 2 members; for instance rewards, policies or flows.
        level: in (0, 1).

    Returns:
        An `Interval` with the mean as estimate and the deviation between members as standard error.
    """
    members = np.asarray(values, np.float64)
    if members.ndim == 0 or len(members) < 2:
        raise InputError(f"an ensemble needs at least 2 members; got {len(members) if members.ndim else 1}.")
    _check_level(level)
    if not np.isfinite(members).all():
        wrong = int(np.argmax(~np.isfinite(members).reshape(len(members), -1).all(1)))
        raise InputError(f"members must be finite; member {wrong} is not.")
    mean, deviation = members.mean(0), members.std(0, ddof=1)
    count = len(members)
    reach = student.ppf(0.5 + level / 2, count - 1) * deviation * np.sqrt(1 + 1 / count)
    return _interval(mean, deviation, mean - reach, mean + reach, level, members)


def _interval(estimate, error, lower, upper, level: float, draws=None, failed: int = 0) -> Interval:
    """The record, in which a single number is an array too."""
    ends = np.asarray(lower), np.asarray(upper)
    return Interval(np.asarray(estimate), np.asarray(error), *ends, level, draws, failed)


def _check(weights, covariance, level: float) -> tuple[np.ndarray, np.ndarray]:
    w, table = np.asarray(weights, np.float64), np.asarray(covariance, np.float64)
    check_shape(w, (None,), "weights", "[K]")
    check_shape(table, (len(w), len(w)), "covariance", "[K, K]")
    _check_level(level)
    return w, table


def _axes(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances [K] along orthonormal columns [K, K]; negative ones beyond rounding, and numbers that are not
    finite, are refused."""
    if not np.isfinite(covariance).all():
        raise InputError("covariance must be finite between weights whose variances are.")
    size, axes = np.linalg.eigh((covariance + covariance.T) / 2)
    if size[0] < -1e-9 * max(size[-1], 0.0):
        raise InputError(f"covariance must not be negative in any direction; it is {size[0]:.3g} in one.")
    return np.maximum(size, 0.0), axes


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"level must lie in (0, 1); got {level}.")
