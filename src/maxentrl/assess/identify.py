"""What demonstrations can say about the weights of a linear reward, and what they cannot.

A direction d of the weights changes the reward by f = sum_k d_k features_k. No demonstration of any soft- or
hard-optimal policy in this problem can tell anything about d exactly when f is shaping (`shaping` has the formula):
zero, a constant where nothing terminates, or discount * E[potential(s')] - potential(s). Other directions may still be
lost on the data at hand, where the Fisher information is zero: the decisions that would tell were never faced.

Source: Ng, Harada & Russell (1999); Cao, Cohen & Szpruch (2021), theorem 1, for entropy-regularised policies; Skalse
et al. (2023) for what other data can tell.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from maxentrl.assess.distance import value_adjusted
from maxentrl.assess.null_spaces import (
    NAMED,
    NULL,
    Kind,
    directions,
    in_words,
    length,
    null_rows,
    typical,
)
from maxentrl.assess.shaping import Choices, unshaped, unshaped_in_time
from maxentrl.core.check import InputError, check_discount, check_horizon, check_shape
from maxentrl.core.words import noun
from maxentrl.models.tabular import TabularMDP


@dataclasses.dataclass(frozen=True, eq=False)
class Direction:
    """A direction of the weights that is not identified.

    weights: [K], the largest entry 1. features: the names of those that take part.
    kind: "zero" (a feature that is 0 for every choice), "collinear" (features that cancel), "constant" (the same for
        every choice, which changes no policy here), "shaping" (a difference of potentials), or "unseen" (other
        demonstrations could tell).
    potential: [S], or [T+1, S] over a finite horizon, in units of reward: the reward along the direction is discount *
        E[potential(s')] - potential(s), and values change by minus the potential. None when unseen, and on roads where
        there is none for all goals.
    residual: what the potential leaves of the reward along the direction, relative to it; rounding, unless unseen.
    sentence: all of this in words.
    """

    weights: np.ndarray
    features: tuple[str, ...]
    kind: Kind
    potential: np.ndarray | None
    residual: float
    sentence: str


@dataclasses.dataclass(frozen=True, eq=False)
class Identification:
    """Which directions of K weights are identified.

    names: of the features. directions: a basis of those that are not, each in few features, the plainest first.
    """

    names: tuple[str, ...]
    directions: tuple[Direction, ...]

    @property
    def identified(self) -> bool:
        """Whether every weight is."""
        return not self.directions

    @property
    def by_no_data(self) -> tuple[Direction, ...]:
        """Those that no demonstrations in this problem can tell."""
        return tuple(d for d in self.directions if d.kind != "unseen")

    @property
    def by_other_data(self) -> tuple[Direction, ...]:
        """Those on which these demonstrations are silent and others need not be."""
        return tuple(d for d in self.directions if d.kind == "unseen")

    def summary(self) -> str:
        """The sentences, one a line."""
        if self.identified:
            return f"all {len(self.names)} weights are identified."
        return "\n".join(direction.sentence for direction in self.directions)

    def to_dict(self) -> dict[str, object]:
        """Everything in types that JSON knows."""
        return {
            "identified": self.identified,
            "directions": [
                {
                    "weights": {n: w for n, w in zip(self.names, d.weights.tolist(), strict=True) if w != 0},
                    "kind": d.kind,
                    "potential": None if d.potential is None else d.potential.tolist(),
                    "residual": d.residual,
                    "sentence": d.sentence,
                }
                for d in self.directions
            ],
        }


def identify(
    mdp: TabularMDP,
    features,
    *,
    discount: float = 1.0,
    horizon: int | None = None,
    feature_names: Sequence[str] | None = None,
    fisher=None,
    decisions: float = 1.0,
    temperature: float = 1.0,
    log_policy=None,
) -> Identification:
    """Find the directions of the weights that are not identified, and say why.

    Without `fisher` it asks what no demonstrations could tell: a question that can be put before there are any.

    Args:
        mdp: the problem. Its own reward is not used, except that -inf forbids an action.
        features: [S, A, K]; or [S, K], features of the state in which the action is taken.
        discount: in [0, 1]. horizon: steps T, or None for the stationary problem.
        feature_names: K names; "0", "1", ... unless given.
        fisher: [K, K] Fisher information of the weights in the demonstrations, sum over visits of
            sum_a pi (d log pi / d weights)(d log pi / d weights)'.
        decisions: how many decisions it sums over. temperature: of the demonstrator. Both only set the scale by which a
            direction is called flat.
        log_policy: [S, A] of the estimate; used, in a stationary problem, to name the states whose decisions would
            tell an unseen direction.

    Raises:
        InputError: for shapes that do not fit or entries that are not finite where a choice exists.
    """
    check_discount(discount)
    check_horizon(horizon)
    choices = Choices(mdp)
    table, names = _features(choices, features, feature_names)
    scale = typical(table)
    scaled = table * scale
    rest = _rest(choices, scaled, float(discount), horizon)
    reference = length(scaled)
    levels: list[tuple[Kind, np.ndarray]] = [
        ("zero", null_rows(scaled, reference)),
        ("constant", null_rows(np.concatenate([scaled - scaled.mean(0), rest]), reference)),
        ("shaping", null_rows(rest, reference)),
    ]
    found = [
        _direction(mdp, choices, table, names, weights, kind, discount, horizon, log_policy)
        for kind, weights in directions(levels, scale, fisher, decisions, temperature)
    ]
    return Identification(names, tuple(found))


def _features(choices: Choices, features, feature_names) -> tuple[np.ndarray, tuple[str, ...]]:
    """Features at the choices [N, K], and their names."""
    table = np.asarray(features)
    if table.dtype.kind not in "fiub" or table.ndim not in (2, 3):
        raise InputError(f"features must be numbers [S, A, K] or [S, K]; got {table.dtype} {table.shape}.")
    if table.ndim == 2:
        check_shape(table, (choices.shape[0], None), "features", "[S, K]")
        values = table[choices.state]
    else:
        check_shape(table, (*choices.shape, None), "features", "[S, A, K]")
        values = table[choices.state, choices.action]
    count = values.shape[1]
    names = tuple(str(name) for name in (range(count) if feature_names is None else feature_names))
    if len(names) != count or len(set(names)) != count or count == 0:
        raise InputError(
            f"feature_names must be {count} different names, at least one; got {', '.join(names)}."
        )
    wrong = ~np.isfinite(values)
    if wrong.any():
        n, k = np.argwhere(wrong)[0]
        raise InputError(
            f"features must be finite; feature {names[k]} in state {choices.state[n]}, action {choices.action[n]} is "
            f"{values[n, k]} ({int(wrong.sum())} such entries in all)."
        )
    return values.astype(np.float64), names


def _rest(choices: Choices, features: np.ndarray, discount: float, horizon: int | None) -> np.ndarray:
    """[at most N or K, K]: what shaping leaves of features [N, K], or rows with the same inner products."""
    if horizon is None:
        return unshaped(choices, features, discount)[1]
    rows = np.zeros((0, features.shape[1]))
    for _, rest in unshaped_in_time(choices, features, discount, horizon):
        rows = np.asarray(np.linalg.qr(np.concatenate([rows, rest]), mode="r"))
    return rows


def _direction(
    mdp: TabularMDP, choices: Choices, table, names, weights, kind: Kind, discount, horizon, log_policy
) -> Direction:
    """The record of one direction, with its potential and its sentence."""
    reward = table @ weights
    involved = np.flatnonzero(weights)
    if horizon is None:
        potential, rest = unshaped(choices, reward, float(discount))
    else:
        steps = list(unshaped_in_time(choices, reward, float(discount), horizon))[::-1]
        potential = np.stack([*(step for step, _ in steps), np.zeros(mdp.states)])
        rest = np.stack([left for _, left in steps])
    size = float(np.sqrt(np.mean(reward**2)))
    residual = float(np.sqrt(np.mean(rest**2)) / size) if size > 0 else 0.0
    if kind in ("zero", "collinear"):
        potential, residual = np.zeros_like(potential), 0.0
    what = in_words(names, weights)
    if kind == "unseen":
        why = (
            f"{what} is not identified by these demonstrations, though others could tell: it decides nothing where they "
            f"went.{_where(mdp, choices, reward, discount, horizon, log_policy)}"
        )
    else:
        why = f"{what} is not identified by any demonstrations in this problem: {_reason(mdp, kind, potential)}."
    return Direction(
        weights,
        tuple(names[k] for k in involved),
        kind,
        None if kind == "unseen" else potential,
        residual,
        why,
    )


def _reason(mdp: TabularMDP, kind: Kind, potential: np.ndarray) -> str:
    if kind == "zero":
        return "it is zero for every choice"
    if kind == "collinear":
        return "the features are collinear, they cancel for every choice"
    if kind == "constant":
        return "it is the same for every choice, and a constant reward changes no policy here"
    first = potential if potential.ndim == 1 else potential[0]
    high, low = int(first.argmax()), int(first.argmin())
    return (
        "it is potential shaping, discount * E[potential(next state)] - potential(state), which changes no policy "
        f"(the potential is highest, {first[high]:.4g}, in state {mdp.state_name(high)} and lowest, {first[low]:.4g}, in "
        f"state {mdp.state_name(low)})"
    )


def _where(mdp: TabularMDP, choices: Choices, reward, discount, horizon, log_policy) -> str:
    """The states whose decisions would change with a direction, in words."""
    if horizon is not None or log_policy is None:
        return ""
    gain = np.abs(
        value_adjusted(mdp, choices.table(reward), discount=float(discount), log_policy=log_policy)
    ).max(1)
    order = np.argsort(-gain, kind="stable")
    telling = order[gain[order] > NULL * max(float(np.abs(reward).max(initial=0.0)), 1e-300)]
    if not len(telling):
        return ""
    named = ", ".join(mdp.state_name(int(s)) for s in telling[:NAMED])
    rest = f" and {len(telling) - NAMED} more" if len(telling) > NAMED else ""
    return f" Decisions in {noun(len(telling), 'state')} {named}{rest} would tell."
