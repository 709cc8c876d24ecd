"""Apprenticeship learning: a mixture of policies that does as well as the expert, whatever the expert wants.

If the reward is w . features with |w| <= 1, two policies whose feature expectations are eps apart differ by at
most eps in value. So it is enough to match the expert's feature expectations mu_E, and a mixture of optimal
policies, one chosen at the start of each episode, can. Which reward the expert has is not found out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from maxentrl.core.check import InputError, check_choice, check_shape
from maxentrl.core.precision import in_double_precision
from maxentrl.core.types import Scalar
from maxentrl.core.words import many
from maxentrl.data.trajectories import Trajectories
from maxentrl.irl.best_response import (
    best_response,
    check_clock,
    demonstrated,
    discounted_steps,
    starts,
)
from maxentrl.irl.min_norm import nearest_in_hull
from maxentrl.irl.mixture import Apprentice, mixture_occupancy, mixture_value, sample_mixture
from maxentrl.irl.reward import check_features, choices
from maxentrl.models.precision import problem_in_float64
from maxentrl.models.tabular import TabularMDP

Method = Literal["max-margin", "projection"]

__all__ = ["Apprentice", "fit", "mixture_occupancy", "mixture_value", "sample_mixture"]

PRECISION = 0.01
"""Of each plan, as a share of the tolerance: what planning leaves open is lost in what the search leaves open."""


@in_double_precision
def fit(
    mdp: TabularMDP,
    features,
    demos: Trajectories | np.ndarray,
    *,
    discount: Scalar | None = None,
    horizon: int | None = None,
    method: Method = "max-margin",
    feature_names: Sequence[str] | None = None,
    start=None,
    tolerance: float = 1e-3,
    max_iterations: int = 100,
) -> Apprentice:
    """Find a mixture of policies whose feature expectations are those of the expert.

        mu(pi) = E sum_t discount^t features(s_t, a_t)

    Policy after policy: find the direction w in which the expert is ahead of all of them,
        max-margin:  w = (mu_E - c) / |mu_E - c|,  c the mixture of the policies so far nearest to mu_E
        projection:  the same with a cheaper c, moved only along the line from its last place to the last policy
    and let the best policy for the reward w . features join. The first gives max over |w| <= 1 of
    min over j of w . (mu_E - mu_j), the margin of the paper. The answer of both is the mixture of all policies found
    that is nearest to mu_E, which for the projection method takes one quadratic program at the end.

    Args:
        mdp: the problem. Its own reward is not used, except that -inf forbids an action.
        features: [S, A, K]; or [S, K], features of the state in which the action is taken.
        demos: `Trajectories`: episodes of mixture and policies then begin where they begin; or the expert's
            expected visits per episode as `occupancy` returns them, [S, A] or [T, S, A]; or feature
            expectations [K]. In these two cases episodes begin in mdp.initial.
        discount: in [0, 1); or up to 1 when a horizon is given, and 1 when only a horizon is given.
        horizon: steps of an episode that ends by the clock.
        method: "max-margin" (fewest policies) or "projection" (one quadratic program instead of one per policy).
        feature_names: K names; "0", "1", ... unless given.
        start: [K] reward weights of the first policy; the direction of mu_E unless given.
        tolerance: stop when the mixture is as near to the expert as this, or proven to be nearer than this to
            the nearest that is possible; as a share of the largest feature expectation an episode can have,
            max |features| * discounted steps.
        max_iterations: policies after which the search stops and says so.

    Returns:
        An `Apprentice`. Feature expectations that no mixture can reach are approached as far as possible, and
        a warning says how far that is. Ctrl-C ends the search between two policies, each of which is one compiled plan,
        and the mixture of those so far is returned, marked as interrupted.

    Raises:
        InputError: for shapes that do not fit, features that are not finite, demonstrations that cannot have
            happened, and discount 1 without a horizon: weights of either sign occur, and a loop would pay.

    Source: Abbeel & Ng (2004), section 3 with the quadratic program for the answer, and 3.1 for projections. Here the
    weights of the mixture in the projection method are kept at or above 0, so that it stays a mixture.
    """
    check_choice(method, ("max-margin", "projection"), "method")
    steps = discounted_steps(gamma := _check_setting(discount, horizon, tolerance, max_iterations), horizon)
    # Distances between policies are small differences of large numbers.
    world = problem_in_float64(mdp).with_reward(np.zeros((mdp.states, mdp.actions)))
    table, names = check_features(mdp, features, feature_names)
    expert, initial, warnings = _expectations(mdp, table, demos, gamma, horizon)
    world = world.with_initial(initial)
    largest = float(np.abs(table).max()) * steps
    epsilon = tolerance * (largest if largest > 0 else 1.0)
    first = _first_direction(expert, start, names)

    rounds: list[_Round] = []
    w, interrupted = first, False

    def arrived() -> bool:
        return rounds[-1].margin <= epsilon or rounds[-1].margin - rounds[-1].bound <= epsilon

    try:
        while not (rounds and (arrived() or len(rounds) >= max_iterations)):
            unit = max(float(np.linalg.norm(w)), 1.0)
            answer = best_response(
                world, table @ w, discount=gamma, horizon=horizon, tolerance=PRECISION * epsilon * unit
            )
            mu = np.einsum("sa,sak->k", answer.visits, table)
            bound = 0.0
            if rounds:
                # w has length 1, and no policy earns more for it than this one plus what planning left open.
                bound = max(rounds[-1].bound, float(w @ (expert - mu)) - answer.shortfall)
            points = np.array([*(one.expectations for one in rounds), mu])
            mixture = _mix(points, expert, rounds[-1].mixture if rounds else np.zeros(0), method)
            away = expert - mixture @ points
            margin = float(np.linalg.norm(away))
            rounds.append(_Round(answer.policy, w, mu, mixture, margin, bound))
            w = away / margin if margin > 0 else away
    except KeyboardInterrupt:
        if not rounds:
            raise
        interrupted = True
    points = np.array([one.expectations for one in rounds])
    mixture = rounds[-1].mixture if method == "max-margin" else nearest_in_hull(points, expert)
    margin, bound = float(np.linalg.norm(expert - mixture @ points)), rounds[-1].bound
    converged = margin <= epsilon or margin - bound <= epsilon
    after = f"after {many(len(rounds), 'policy', 'policies')}"
    if margin <= epsilon:
        verdict = f"the mixture matches the expert to {margin:.3g} {after}."
    elif converged:
        verdict = f"no mixture comes nearer to the expert than {bound:.4g}; this one is at {margin:.4g}."
        warnings.append(
            f"the expert's feature expectations are out of reach: every policy of this problem stays at least "
            f"{bound:.4g} away. Recordings may be few or cut off, or the expert may live under other dynamics, "
            "another start, discount or horizon."
        )
    else:
        how = "was interrupted" if interrupted else "stopped"
        verdict = (
            f"the search {how} {after} at distance {margin:.4g}, above the tolerance of {epsilon:.3g}"
            + (f"; no mixture comes nearer than {bound:.4g}." if bound > 0 else ".")
        )
        warnings.append(verdict)
    return Apprentice(
        method=f"apprenticeship learning, {method}, {_clock_in_words(gamma, horizon)}",
        names=names,
        policies=np.array([one.policy for one in rounds]),
        weights=np.array([one.weights for one in rounds]),
        expectations=points,
        mixture=mixture,
        expert=expert,
        margins=np.array([one.margin for one in rounds]),
        bounds=np.array([one.bound for one in rounds]),
        tolerance=epsilon,
        converged=converged,
        verdict=verdict,
        settings={"method": method, "discount": gamma, "horizon": horizon, "tolerance": tolerance},
        warnings=tuple(warnings),
        interrupted=interrupted and not converged,
    )


class _Round(NamedTuple):
    """A policy that joined, the weights for which it is best, its feature expectations; then the mixture with it, how
    far that is from the expert, and how far any must be."""

    policy: np.ndarray
    weights: np.ndarray
    expectations: np.ndarray
    mixture: np.ndarray
    margin: float
    bound: float


def _check_setting(discount, horizon: int | None, tolerance: float, max_iterations: int) -> float:
    gamma = check_clock(discount, horizon)
    if gamma == 1 and horizon is None:
        raise InputError(
            "apprenticeship learning plans for weights of either sign, for which a loop may pay for itself: "
            "with discount 1 give a horizon."
        )
    if not tolerance > 0:
        raise InputError(f"tolerance must be a positive number; got {tolerance}.")
    if max_iterations < 1:
        raise InputError(f"max_iterations must be at least 1; got {max_iterations}.")
    return gamma


def _expectations(
    mdp: TabularMDP, table: np.ndarray, demos, discount: float, horizon: int | None
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """mu_E [K], where episodes begin [S], and warnings."""
    if isinstance(demos, Trajectories) or np.ndim(demos) != 1:
        found = demonstrated(mdp, demos, discount=discount, horizon=horizon)
        return np.einsum("sa,sak->k", found.visits, table), found.initial, found.warnings
    expert = np.asarray(demos)
    check_shape(expert, (table.shape[2],), "feature expectations", "[K]")
    if expert.dtype.kind not in "fiu" or not np.isfinite(expert).all():
        raise InputError("feature expectations must be finite numbers.")
    # Outside the box that single steps span lies no expectation; units or discount are then mistaken.
    most = discounted_steps(discount, horizon)
    values = table[choices(mdp)]
    low, high = (most * np.minimum(values.min(0), 0), most * np.maximum(values.max(0), 0))
    outside = (expert < low - 1e-9 * most) | (expert > high + 1e-9 * most)
    warnings = []
    if outside.any():
        k = int(outside.argmax())
        warnings.append(
            f"feature expectation {expert[k]:.6g} of feature {k} lies outside what {most:.6g} discounted steps can "
            f"hold, {low[k]:.6g} to {high[k]:.6g}: it may be counted with another discount or horizon."
        )
    return expert.astype(float), starts(mdp), warnings


def _first_direction(expert: np.ndarray, start, names: tuple[str, ...]) -> np.ndarray:
    if start is None:
        size = np.linalg.norm(expert)
        return expert / size if size > 0 else expert
    first = np.asarray(start, float)
    check_shape(first, expert.shape, "start", "[K]")
    if not np.isfinite(first).all():
        raise InputError(
            f"start must hold numbers; the weight of {names[int((~np.isfinite(first)).argmax())]} is not one."
        )
    return first


def _mix(points: np.ndarray, expert: np.ndarray, mixture: np.ndarray, method: str) -> np.ndarray:
    """The weights [I] of the policies after the last of them came."""
    if len(points) == 1:
        return np.ones(1)
    if method == "max-margin":
        return nearest_in_hull(points, expert)
    old = mixture @ points[:-1]
    move = points[-1] - old
    length = float(move @ move)
    share = float(np.clip(move @ (expert - old) / length, 0, 1)) if length > 0 else 0.0
    return np.append((1 - share) * mixture, share)


def _clock_in_words(discount: float, horizon: int | None) -> str:
    if horizon is None:
        return f"discount {discount:g}"
    return f"horizon {horizon}" + ("" if discount == 1 else f", discount {discount:g}")
