"""One reward for several groups of demonstrators, each at a temperature of its own: the likelihood, and its maximum.

Write w for the weights, b_g = log of the temperature of group g, and eta_g = exp(-b_g) (w, 1), the coefficients of the
features and of the fixed offset at temperature 1 (of the features alone where there is no offset). Then, with the
gradient g and the information I (minus the second derivative) of the likelihood L_g of a group with respect to eta_g,

    L(w, b)          = sum_g L_g(eta_g)
    d eta / dw       = exp(-b) [1; 0],       d eta / db      = -eta
    d2 eta / dw db   = -exp(-b) [1; 0],      d2 eta / db db  = eta
    - d2 L           = sum_g J' I J - g . d2 eta,     J = (d eta / dw, d eta / db)

Doubling all temperatures and the weights changes no decision. So either an offset in known units sets the scale, or
one temperature is fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from maxentrl.irl.estimate import covariances
from maxentrl.irl.newton import FLAT, Maximum, maximise

SILENT = 1e-9
"""Information on a log temperature, nats squared a decision, below which decisions say nothing of it."""

REACH = 30.0
"""Logarithm of the largest ratio of two temperatures; beyond, rounding decides."""


@runtime_checkable
class Part(Protocol):
    """The demonstrations of one group, at temperature 1: a likelihood of the coefficients eta [C] of the columns."""

    @property
    def decisions(self) -> float: ...
    def value(self, eta: np.ndarray, /) -> tuple[float, Any]:
        """Log-likelihood, nats (-inf where it does not exist), and what its derivatives need."""
        ...

    def slope(self, memo: Any, /) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Gradient [C], information [C, C] (minus the second derivative), Fisher information [C, C]."""
        ...

    def scores(self, memo: Any, /) -> np.ndarray:
        """[N, C]: weighted gradients of the demonstrations, one by one."""
        ...


class Slopes(NamedTuple):
    """gradient [P]; information, fisher [P, P]; scores [N, P] where asked for; heat: [G], Fisher information on the
    log temperature of each group, a decision."""

    gradient: np.ndarray
    information: np.ndarray
    fisher: np.ndarray
    scores: np.ndarray | None
    heat: np.ndarray


class Likelihood(NamedTuple):
    """The likelihood of all groups as a function of theta = (w [K], free log temperatures [F]).

    columns: C of the parts, K or K + 1. place: [G] which of the free log temperatures each group has; -1 for `fixed`.
    """

    parts: Sequence[Part]
    weights: int
    columns: int
    place: np.ndarray
    fixed: float

    def log_temperatures(self, theta: np.ndarray) -> np.ndarray:
        """[G]."""
        return np.append(theta[self.weights :], self.fixed)[self.place]

    def value(self, theta: np.ndarray) -> tuple[float, list]:
        """Log-likelihood, nats, and the memo of each part."""
        heat = self.log_temperatures(theta)
        if np.abs(heat - self.fixed).max() > REACH:
            return -np.inf, []
        found = [part.value(self._eta(theta, b)) for part, b in zip(self.parts, heat, strict=True)]
        return float(sum(level for level, _ in found)), [memo for _, memo in found]

    def _eta(self, theta: np.ndarray, b: float) -> np.ndarray:
        """[C]."""
        return np.exp(-b) * np.append(theta[: self.weights], 1.0)[: self.columns]

    def slopes(self, theta: np.ndarray, memos: list, *, scores: bool = False) -> Slopes:
        """All derivatives, at a point whose value left these memos."""
        K, P, G = self.weights, len(theta), len(self.parts)
        found = Slopes(np.zeros(P), np.zeros((P, P)), np.zeros((P, P)), None, np.zeros(G))
        single = []
        for i, (part, memo, b) in enumerate(
            zip(self.parts, memos, self.log_temperatures(theta), strict=True)
        ):
            eta = self._eta(theta, b)
            gradient, information, fisher = part.slope(memo)
            jacobian = np.zeros((self.columns, P))
            jacobian[:K, :K] = np.exp(-b) * np.eye(K)
            if self.place[i] >= 0:
                jacobian[:, K + self.place[i]] = -eta
            found.gradient[:] += gradient @ jacobian
            found.information[:] += jacobian.T @ information @ jacobian
            found.fisher[:] += jacobian.T @ fisher @ jacobian
            found.heat[i] = eta @ fisher @ eta / part.decisions
            if self.place[i] >= 0:
                at = K + self.place[i]
                bend = np.exp(-b) * gradient[:K]
                found.information[:K, at] += bend
                found.information[at, :K] += bend
                found.information[at, at] -= gradient @ eta
            if scores:
                single.append(part.scores(memo) @ jacobian)
        return found._replace(scores=np.concatenate(single)) if scores else found

    def climb(self, begin: np.ndarray, scale: np.ndarray, max_steps: int) -> Maximum:
        """The maximum, by Newton's method."""

        def slope(theta, memos):
            found = self.slopes(theta, memos)
            return found.gradient, found.information

        sizes = [
            sum(p.decisions for p, at in zip(self.parts, self.place, strict=True) if at == f)
            for f in range(len(begin) - self.weights)
        ]
        return maximise(self.value, slope, begin, np.append(scale, 1 / np.sqrt(sizes)), max_steps)


class Search(NamedTuple):
    """The maximum with a temperature for each group.

    best: theta = (w, free log temperatures). log_temperatures: [G]. gradient_norm: at the maximum.
    covariances: by kind, [P, P] of theta. errors: by kind, [G] of the log temperatures, 0 for one that is fixed, inf
    for those of which the decisions say nothing. silent: bool [G], those; lost: bool [G], those that ran to 0 or inf.
    fisher: [K, K], of the weights when the temperatures are to be found too.
    """

    best: Maximum
    log_temperatures: np.ndarray
    gradient_norm: float
    covariances: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    silent: np.ndarray
    lost: np.ndarray
    fisher: np.ndarray


def search(
    parts: Sequence[Part],
    columns: int,
    w: np.ndarray,
    log_temperature: float,
    scale: np.ndarray,
    max_steps: int,
) -> Search:
    """Climb from the best common temperature to the best one for each group.

    Args:
        columns: C; K + 1 where the last is an offset, and then all temperatures are free; else K, and that of the
            first group stays.
        w: [K], log_temperature: best if all groups share it.
        scale: [K] typical size of each weight.
    """
    K, G = len(w), len(parts)
    place = np.arange(G) if columns > K else np.arange(G) - 1
    shared = Likelihood(parts, K, columns, place, log_temperature)
    begin = np.append(w, np.full(place.max() + 1, log_temperature))
    _, memos = shared.value(begin)
    dumb = shared.slopes(begin, memos).heat < SILENT
    best = shared.climb(begin, scale, max_steps)
    last = shared.slopes(best.argument, best.memo, scores=True)
    silent = last.heat < SILENT
    assert last.scores is not None
    sizes = [parts[g].decisions for g in range(G) if place[g] >= 0]
    spread = covariances(
        last.information, last.scores, np.arange(len(last.scores)), np.append(scale, 1 / np.sqrt(sizes))
    )
    errors = {}
    for kind, table in spread.items():
        single = np.append(np.sqrt(np.diag(table))[K:], 0.0)[place]
        errors[kind] = np.where(silent & (place >= 0), np.inf, single)
    inner = np.linalg.pinv(last.fisher[K:, K:], rcond=FLAT, hermitian=True)
    cross = last.fisher[:K, K:]
    return Search(
        best=best,
        log_temperatures=shared.log_temperatures(best.argument),
        gradient_norm=float(np.linalg.norm(last.gradient)),
        covariances=spread,
        errors=errors,
        silent=silent,
        lost=silent & ~dumb,
        fisher=last.fisher[:K, :K] - cross @ inner @ cross.T,
    )
