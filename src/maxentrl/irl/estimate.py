"""What an estimated reward is, how sure it is, and what it must be read with: the record that every method
returns."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np

from maxentrl.core.check import check_choice
from maxentrl.core.words import many
from maxentrl.irl.identity import Identity
from maxentrl.irl.newton import FLAT, LEAST

Kind = Literal["hessian", "outer", "sandwich"]

KINDS: dict[str, str] = {
    "hessian": "inverse Hessian",
    "outer": "outer product of scores",
    "sandwich": "sandwich",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Estimate:
    """A linear reward, estimated.

    names: of the K features. weights: [K].
    reward: [S, A]; offset + features . weights; -inf where the offset forbids an action.
    log_likelihood: sum of weight * log pi(a|s) over the recorded decisions, nats. Where transitions are part
        of what is explained (maximum entropy), they are part of it.
    log_likelihood_uniform: the same for choosing uniformly among allowed actions.
    gradient_norm: of what was maximised, at the estimate; verdict: one sentence on convergence.
    covariances: by kind, [K, K]; infinite where the demonstrations say nothing. `hessian` is the inverse of
        minus the second derivative, right when the model is; `outer` the inverse of the summed outer products
        of the scores of each cluster (Berndt, Hall, Hall & Hausman 1974), right under the same condition;
        `sandwich` is hessian^{-1} outer hessian^{-1} (Huber 1967), right even when the model is not. A
        cluster is a trajectory, or a group of them where groups are given. One cluster says nothing of how clusters
        scatter: the last two are then infinite. Nothing is corrected for small samples.
    kind: which of them standard_errors and t_values use: `hessian`, or `sandwich` when groups are given or
        moments were matched (whose scores hold the luck of transitions too, so that only the sandwich is
        right) and there are more clusters than weights.
    trajectories, steps: what it was estimated from. steps is the summed weight of the decisions; trajectories is None
        when visit counts were given in their place.
    warnings: sentences to read before the numbers.
    identity: what it was made from; None where that is not known, and then it cannot be tested against others.
    fisher: [K, K] Fisher information of the weights in the demonstrations, without a penalty: what they can tell
        (`assess.identify`). None where it is not known.
    free_temperatures: how many temperatures were estimated along with the weights (`temperatures.fit`); AIC and BIC
        count them.
    interrupted: whether somebody stopped the search (Ctrl-C); the weights are then the best so far.
    """

    method: str
    names: tuple[str, ...]
    weights: np.ndarray
    reward: np.ndarray
    log_likelihood: float
    log_likelihood_uniform: float
    gradient_norm: float
    converged: bool
    verdict: str
    covariances: dict[str, np.ndarray]
    kind: Kind
    trajectories: int | None
    steps: float
    settings: dict[str, float | int | str | None]
    warnings: tuple[str, ...]
    identity: Identity | None = None
    fisher: np.ndarray | None = None
    free_temperatures: int = 0
    interrupted: bool = False

    @property
    def named(self) -> dict[str, float]:
        """The weights by name of their feature."""
        return dict(zip(self.names, self.weights.tolist(), strict=True))

    @property
    def covariance(self) -> np.ndarray:
        """[K, K], of the default kind."""
        return self.covariances[self.kind]

    @property
    def standard_errors(self) -> np.ndarray:
        """[K], of the default kind; inf where the weight is not identified."""
        return self.standard_errors_of(self.kind)

    def standard_errors_of(self, kind: str) -> np.ndarray:
        """[K], of one kind: "hessian", "outer" or "sandwich"; visit counts leave only the first."""
        check_choice(kind, tuple(self.covariances), "kind")
        return np.sqrt(np.diag(self.covariances[kind]))

    @property
    def t_values(self) -> np.ndarray:
        """[K]: weight / standard error."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.weights / self.standard_errors

    @property
    def aic(self) -> float:
        """Akaike's criterion 2 (K + free temperatures) - 2 log-likelihood."""
        return 2 * (len(self.names) + self.free_temperatures) - 2 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's criterion (K + free temperatures) log(decisions) - 2 log-likelihood."""
        count = len(self.names) + self.free_temperatures
        return count * math.log(self.steps) - 2 * self.log_likelihood

    def summary(self) -> str:
        """A table to print."""
        wide = max(len("feature"), *map(len, self.names))
        lines = [self.method, f"{'feature':<{wide}} {'weight':>12} {'std. error':>11} {'t':>9}"]
        for name, weight, error, t in zip(
            self.names, self.weights, self.standard_errors, self.t_values, strict=True
        ):
            lines.append(f"{name:<{wide}} {weight:12.6g} {error:11.4g} {t:9.2f}")
        source = (
            "visit counts"
            if self.trajectories is None
            else many(self.trajectories, "trajectory", "trajectories")
        )
        lines += [
            f"standard errors: {KINDS[self.kind]}",
            f"log-likelihood {self.log_likelihood:.6f} (uniform choice {self.log_likelihood_uniform:.6f}) "
            f"over {many(self.steps, 'decision')} in {source}",
            f"AIC {self.aic:.3f}, BIC {self.bic:.3f}, gradient norm {self.gradient_norm:.2g}",
            self.verdict,
            *(f"warning: {sentence}" for sentence in self.warnings),
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """Everything but the reward table, in types that JSON knows; what is not finite becomes null."""
        found = {
            "method": self.method,
            "settings": self.settings,
            "weights": self.named,
            "standard_errors": {kind: self.standard_errors_of(kind) for kind in self.covariances},
            "default_standard_errors": self.kind,
            "t_values": self.t_values,
            "covariances": self.covariances,
            "log_likelihood": self.log_likelihood,
            "log_likelihood_uniform": self.log_likelihood_uniform,
            "aic": self.aic,
            "bic": self.bic,
            "gradient_norm": self.gradient_norm,
            "converged": self.converged,
            "interrupted": self.interrupted,
            "verdict": self.verdict,
            "trajectories": self.trajectories,
            "decisions": self.steps,
            "warnings": list(self.warnings),
        }
        return {key: finite(value) for key, value in found.items()}


def finite(value):
    """The value with None in place of numbers that are not finite, and lists in place of arrays."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


NAMED = 6
"""Features listed in a warning; the rest are counted."""

LISTED = 3
"""Directions of the weights that have a warning of their own; the rest are counted."""


def covariances(
    information: np.ndarray, scores: np.ndarray | None, clusters: np.ndarray | None, scale: np.ndarray
) -> dict[str, np.ndarray]:
    """The three kinds of covariance [K, K] of an estimate.

    Args:
        information: [K, K]; minus the second derivative of what was maximised.
        scores: [N, K] weighted scores of the trajectories; only the first kind is made without them.
        clusters: [N] whole numbers: which trajectories belong together.
        scale: [K] typical size of each weight.
    """
    hessian = _inverse(information, scale)
    if scores is None or clusters is None:
        return {"hessian": hessian}
    summed = np.zeros((int(clusters.max()) + 1, scores.shape[1]))
    if len(summed) < 2:
        return {"hessian": hessian, "outer": unknown(len(scale)), "sandwich": unknown(len(scale))}
    np.add.at(summed, clusters, scores)
    outer = summed.T @ summed
    known = np.isfinite(np.diag(hessian))
    inner = np.where(np.outer(known, known), hessian, 0.0)
    sandwich = np.where(np.outer(known, known), inner @ outer @ inner, hessian)
    return {"hessian": hessian, "outer": _inverse(outer, scale), "sandwich": sandwich}


def unknown(count: int) -> np.ndarray:
    """The covariance [K, K] of weights of which nothing is known."""
    return np.where(np.eye(count) > 0, np.inf, np.nan)


def usual_kind(robust: bool, clusters: int, count: int) -> Kind:
    """The kind of standard error to use: the sandwich where it is called for, and clusters outnumber the weights."""
    return "sandwich" if robust and clusters > count else "hessian"


def explain_clusters(clusters: int, count: int, robust: bool) -> list[str]:
    """A sentence where clusters are too few for `count` weights. At the maximum their scores sum to zero, so that the
    sandwich has a rank of clusters - 1 at most."""
    if clusters > count:
        return []
    why = (
        "some combination of weights would seem to be known for certain"
        if clusters > 1
        else "they cannot be computed from a single one"
    )
    used = "; those used come from the inverse Hessian, and are too small if what is done in one cluster hangs together"
    return [
        f"outer-product and sandwich standard errors need more clusters than weights; there are {clusters} and {count}: "
        f"{why}{used if robust else ''}."
    ]


def _inverse(matrix: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The inverse on the directions that curve; infinite variance for whatever takes part in the others."""
    curvature, axes = np.linalg.eigh(matrix * np.outer(scale, scale))
    curved = curvature > _cutoff(curvature)
    inverse = (axes[:, curved] / curvature[curved]) @ axes[:, curved].T * np.outer(scale, scale)
    lost = (np.abs(axes[:, ~curved]) > 1e-4).any(1)
    inverse[lost, :] = inverse[:, lost] = np.nan
    inverse[lost, lost] = np.inf
    return inverse


def _cutoff(curvature: np.ndarray) -> float:
    """Below this a direction counts as unknown: relative to the best known one, and absolutely where none is
    known."""
    return FLAT * max(float(np.max(curvature)), LEAST)


def null_directions(fisher: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The directions [m, K] of the weights on which no decision depends, each in as few features as can be.

    They span the null space of the Fisher information; the largest entry of each is 1.
    """
    curvature, axes = np.linalg.eigh(fisher * np.outer(scale, scale))
    rows = axes[:, curvature <= _cutoff(curvature)].T.copy()
    # Gauss-Jordan elimination with full pivoting leaves each direction in as few features as a basis can
    # have.
    pivots: list[int] = []
    for i in range(len(rows)):
        free = np.abs(rows[i:]).copy()
        free[:, pivots] = 0
        swap, column = np.unravel_index(int(free.argmax()), free.shape)
        rows[[i, i + int(swap)]] = rows[[i + int(swap), i]]
        pivots.append(int(column))
        rows[i] /= rows[i, column]
        others = np.arange(len(rows)) != i
        rows[others] -= np.outer(rows[others, column], rows[i])
    rows = np.where(np.abs(rows) > 1e-5, rows, 0.0) * scale
    return rows / np.abs(rows).max(1, keepdims=True)


def explain_directions(
    directions: np.ndarray, names: tuple[str, ...], features: np.ndarray, allowed: np.ndarray
) -> list[str]:
    """Sentences on the directions [m, K] that are not identified, the plainest first; many are counted."""
    order = np.argsort(np.count_nonzero(directions, axis=1), kind="stable")
    sentences = [explain_direction(directions[i], names, features, allowed) for i in order[:LISTED]]
    if len(order) > LISTED:
        sentences.append(
            f"{len(order)} directions of the {len(names)} weights are not identified in all; "
            f"{LISTED} of them are listed."
        )
    return sentences


def explain_direction(
    direction: np.ndarray, names: tuple[str, ...], features: np.ndarray, allowed: np.ndarray
) -> str:
    """One sentence on a direction of the weights that the demonstrations do not identify: which features, and
    why.

    Args:
        direction: [K]. names: K. features: [S, A, K]. allowed: bool [S, A], the choices that exist.
    """
    involved = np.flatnonzero(direction)
    terms = " + ".join(f"{direction[k]:.4g} {names[k]}" for k in involved[:NAMED])
    terms = f" + {terms}".replace(" + -", " - ").replace(" + 1 ", " + ").replace(" - 1 ", " - ")
    terms = terms.removeprefix(" + ").strip()
    if len(involved) > NAMED:
        terms += f" + ... ({len(involved)} features)"
    values = features[allowed] @ direction
    size = np.abs(features[allowed][:, involved] * direction[involved]).max(initial=0.0)
    if np.abs(values).max(initial=0.0) <= 1e-9 * size or size == 0:
        why = "it is zero for every choice" if len(involved) == 1 else "the features are collinear"
    elif np.ptp(values) <= 1e-9 * size:
        why = "it is the same for every choice, and a constant reward changes no policy here"
    else:
        why = (
            "rewards along it change no policy where the demonstrations went (shaping by a potential is such)"
        )
    what = f"the weight of {terms}" if len(involved) == 1 else f"the direction {terms} of the weights"
    return f"{what} is not identified: {why}. Its value is one choice among many."
