"""Maximum margin planning: a linear reward under which demonstrated paths beat all others by their loss.

Learned on some maps, it plans on others. Nothing is said about how likely a choice is; the reward is the shortest
one whose best plans differ little, in the loss, from what the expert did.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from maxentrl.core.check import InputError, check_choice, check_shape
from maxentrl.core.precision import in_double_precision
from maxentrl.core.types import Scalar
from maxentrl.core.words import many
from maxentrl.irl.best_response import check_clock
from maxentrl.irl.margin_search import close, cutting_planes, subgradient
from maxentrl.irl.margins import Example, Program, make_program, path_loss, plan_plainly

__all__ = ["Example", "MaxMargin", "fit", "path_loss", "planned_loss"]

Method = Literal["subgradient", "qp"]

PRECISION = 0.01
"""Of each plan, as a share of the tolerance and the largest loss."""


@dataclasses.dataclass(frozen=True, eq=False)
class MaxMargin:
    """A linear reward, and how near to the best one it is proven to be.

    names: of the K features. weights: [K].
    objective: at the weights. bound: no weights have a lower objective than this.
    history: the objective at each evaluation (one plan for each map).
    maps: names of the n examples. slacks: [n]; by how much each expert misses its margin.
    losses: [n]; expected loss per episode of the plans that are best for the reward: how unlike the expert they are.
    warnings: sentences to read before the numbers.
    interrupted: whether somebody stopped the search (Ctrl-C) before it arrived.
    """

    method: str
    names: tuple[str, ...]
    weights: np.ndarray
    objective: float
    bound: float
    history: np.ndarray
    maps: tuple[str, ...]
    slacks: np.ndarray
    losses: np.ndarray
    converged: bool
    verdict: str
    settings: dict[str, float | int | str | None]
    warnings: tuple[str, ...]
    interrupted: bool = False

    @property
    def named(self) -> dict[str, float]:
        """The weights by name of their feature."""
        return dict(zip(self.names, self.weights.tolist(), strict=True))

    @property
    def gap(self) -> float:
        """How far the objective is, at most, above the lowest possible."""
        return self.objective - self.bound

    def reward(self, features) -> np.ndarray:
        """Reward of another map: [S, A] of features [S, A, K], or [S] of features [S, K]."""
        table = np.asarray(features, float)
        if table.ndim not in (2, 3) or table.shape[-1] != len(self.names):
            raise InputError(
                f"features must be [S, A, K] or [S, K] with K = {len(self.names)}; got {table.shape}."
            )
        return table @ self.weights

    def summary(self) -> str:
        """A table to print."""
        wide = max(len("feature"), *map(len, self.names))
        lines = [self.method, f"{'feature':<{wide}} {'weight':>12}"]
        lines += [f"{name:<{wide}} {weight:12.6g}" for name, weight in self.named.items()]
        lines.append(f"objective {self.objective:.6g}, at most {self.gap:.3g} above the lowest possible")
        for name, slack, loss in zip(self.maps, self.slacks, self.losses, strict=True):
            lines.append(f"map {name}: slack {slack:.4g}, loss of the plan {loss:.4g}")
        return "\n".join([*lines, self.verdict, *(f"warning: {sentence}" for sentence in self.warnings)])

    def to_dict(self) -> dict[str, object]:
        """Everything, in types that JSON knows."""
        return {
            "method": self.method,
            "settings": self.settings,
            "weights": self.named,
            "objective": self.objective,
            "bound": self.bound,
            "history": self.history.tolist(),
            "slacks": dict(zip(self.maps, self.slacks.tolist(), strict=True)),
            "losses": dict(zip(self.maps, self.losses.tolist(), strict=True)),
            "converged": self.converged,
            "interrupted": self.interrupted,
            "verdict": self.verdict,
            "warnings": list(self.warnings),
        }


@in_double_precision
def fit(
    examples: Sequence[Example],
    *,
    discount: Scalar | None = None,
    horizon: int | None = None,
    method: Method = "qp",
    regularisation: float = 1e-2,
    power: Literal[1, 2] = 1,
    ceiling: float | None = None,
    feature_names: Sequence[str] | None = None,
    tolerance: float = 1e-3,
    max_iterations: int = 500,
) -> MaxMargin:
    """Fit the weights of a linear reward to demonstrations in several maps.

        minimise  lambda / 2 |w|^2 + 1/n sum_i beta_i xi_i^q
        where     xi_i = max over policies of (w . features + loss) . visits - w . features . expert's visits

    Args:
        examples: at least one `Example`: map, features, demonstrations, loss and weight beta.
        discount, horizon: as for `solve`, the same for all maps; visits are discounted accordingly. Discount 1
            without a horizon (paths to a goal) needs a ceiling.
        method: "qp" solves, again and again, the quadratic program of the plans made so far (cutting planes; few
            plans). "subgradient" takes a step of 2 / (lambda (t + 1)) after each plan, or Polyak's where that is
            shorter, and averages the weights, later ones counting more (Lacoste-Julien, Schmidt & Bach 2012).
            Both end with a proven gap.
        regularisation: lambda, positive.
        power: q, of the slack: 1 or 2.
        ceiling: rewards w . features stay at or below this number in every choice of every map; in a first-exit
            problem, where it must be below 0, the loss on top of them as well, so that no loop pays for itself.
        feature_names: K names; "0", "1", ... unless given.
        tolerance: stop when the objective is proven to be within this share of the lowest possible.
        max_iterations: evaluations, one plan for each map, after which the search stops and says so.

    Returns:
        A `MaxMargin`. Ctrl-C ends the search between two plans, each of which is one compiled program, and the best
        weights so far are returned with what is proven of them, marked as interrupted.

    Raises:
        InputError: for shapes that do not fit, features or losses that are not finite, names of examples that repeat,
            demonstrations that cannot have happened.
        InfeasibleError: when no weights keep the rewards below the ceiling.

    Source: Ratliff, Bagnell & Zinkevich (2006), equations 6 to 9, in rewards in place of costs; the loss stands
    inside the maximum over policies, as it does there.
    """
    gamma = _check_setting(
        discount, horizon, method, regularisation, power, ceiling, tolerance, max_iterations
    )
    program = make_program(
        examples,
        discount=gamma,
        horizon=horizon,
        regularisation=float(regularisation),
        power=power,
        ceiling=ceiling,
        feature_names=feature_names,
        precision=PRECISION * tolerance,
    )
    search = cutting_planes if method == "qp" else subgradient
    found = search(program, tolerance, max_iterations)
    w, best, bound, history = found.weights, found.best, found.bound, found.history
    losses, ahead = plan_plainly(program, w)
    converged = close(program, best, bound, tolerance)
    gap = max(0.0, best.objective - bound)
    if converged:
        verdict = f"the objective is proven to be within {gap:.3g} of the lowest possible."
    else:
        how = "was interrupted" if found.interrupted else "stopped"
        tried = many(len(history), "evaluation")
        verdict = (
            f"the search {how} after {tried}: the objective {best.objective:.6g} may be up to "
            f"{gap:.3g} above the lowest possible, more than the share {tolerance:g} asked for."
        )
        if found.stalled:
            verdict += (
                " No further plan told anything new: the features are so large for this regularisation that rounding "
                "decides; divide them by a common number, or raise the regularisation."
            )
    warnings = [*program.warnings, *([] if converged else [verdict]), *_warn_unreachable(program, w, ahead)]
    exits = gamma == 1 and horizon is None
    clock = f"horizon {horizon}" if horizon is not None else "first exit" if exits else f"discount {gamma:g}"
    return MaxMargin(
        method=f"maximum margin planning, {method}, {clock}, slack to the power {power}",
        names=program.names,
        weights=w,
        objective=best.objective,
        bound=bound,
        history=np.array(history),
        maps=tuple(one.name for one in program.maps),
        slacks=np.maximum(best.margins, 0),
        losses=losses,
        converged=converged,
        verdict=verdict,
        settings={
            "method": method,
            "discount": gamma,
            "horizon": horizon,
            "regularisation": float(regularisation),
            "power": power,
            "ceiling": ceiling,
            "tolerance": tolerance,
        },
        warnings=tuple(warnings),
        interrupted=found.interrupted and not converged,
    )


def _check_setting(
    discount, horizon, method: str, regularisation, power, ceiling, tolerance, max_iterations
) -> float:
    gamma = check_clock(discount, horizon)
    check_choice(method, ("subgradient", "qp"), "method")
    if not (regularisation > 0 and math.isfinite(regularisation)):
        raise InputError(f"regularisation must be a positive number; got {regularisation}.")
    if power not in (1, 2):
        raise InputError(f"power must be 1 or 2; got {power!r}.")
    if ceiling is not None and not math.isfinite(ceiling):
        raise InputError(f"ceiling must be a finite number, in units of reward; got {ceiling}.")
    if gamma == 1 and horizon is None and not (ceiling is not None and ceiling < 0):
        raise InputError(
            f"discount 1 without a horizon needs a ceiling below 0, so that no loop pays for itself; got {ceiling}."
        )
    if not tolerance > 0:
        raise InputError(f"tolerance must be a positive number; got {tolerance}.")
    if max_iterations < 1:
        raise InputError(f"max_iterations must be at least 1; got {max_iterations}.")
    return gamma


def _warn_unreachable(program: Program, w: np.ndarray, ahead: np.ndarray) -> list[str]:
    return [
        f"map {one.name}: the expert earned {more:.3g} more than any policy can: its demonstrations are too few, or "
        "lucky, for a world of chance, or made under other dynamics, discount or horizon."
        for one, more in zip(program.maps, ahead, strict=True)
        if more > program.precision + 1e-6 * np.abs(one.expert * w).sum()
    ]


@in_double_precision
def planned_loss(
    examples: Sequence[Example], weights, *, discount: Scalar | None = None, horizon: int | None = None
) -> np.ndarray:
    """Expected loss [n] per episode, on each map, of the policy that is best for the reward weights . features.

    On maps that were not learned from it is the test of what was learned.

    Raises:
        InfeasibleError: where discount is 1, there is no horizon, and the reward makes a loop pay for itself.
    """
    gamma = check_clock(discount, horizon)
    program = make_program(
        examples,
        discount=gamma,
        horizon=horizon,
        regularisation=1.0,
        power=1,
        ceiling=None,
        feature_names=None,
        precision=1e-6,
    )
    w = np.asarray(weights, float)
    check_shape(w, (len(program.names),), "weights", "[K]")
    if not np.isfinite(w).all():
        raise InputError("weights must be finite numbers.")
    return plan_plainly(program, w)[0]
