"""What is found when groups of demonstrators have temperatures of their own: the record, and its sentences."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm

from maxentrl.core.check import InputError
from maxentrl.irl.estimate import KINDS, Estimate, finite
from maxentrl.irl.temperature_search import Search
from maxentrl.irl.validation import Ratio, policy_of
from maxentrl.models.tabular import TabularMDP


@dataclasses.dataclass(frozen=True, eq=False)
class Temperatures:
    """One reward, and the temperature of each group of demonstrators, estimated together.

    weights: the estimate of the reward. Its covariances hold for temperatures that are not known either, and its
        clusters are single demonstrations, whatever their group: what groups have of their own is in the model.
    groups: G names, in alphabetical order. reference: the one whose temperature was given; None where an offset in
        known units sets the scale.
    temperatures: [G], units of reward.
    log_errors: by kind (as those of the weights), [G] standard errors of the log temperatures; 0 for the reference,
        inf where the decisions say nothing.
    covariances: by kind, of the weights and then the log temperatures that were free, in one matrix.
    common: the best temperature if all groups share one. common_log_likelihood: of that, nats.
    test: of one common temperature against one for each group, by the likelihood ratio (Wilks 1938), with one degree
        of freedom less than there are temperatures that can be told; None where nothing can be tested.
    """

    weights: Estimate
    groups: tuple[str, ...]
    reference: str | None
    temperatures: np.ndarray
    log_errors: dict[str, np.ndarray]
    covariances: dict[str, np.ndarray]
    common: float
    common_log_likelihood: float
    test: Ratio | None

    @property
    def converged(self) -> bool:
        """Whether the search ended at a maximum."""
        return self.weights.converged

    @property
    def interrupted(self) -> bool:
        """Whether somebody stopped the search (Ctrl-C)."""
        return self.weights.interrupted

    @property
    def named(self) -> dict[str, float]:
        """The temperatures by group."""
        return dict(zip(self.groups, self.temperatures.tolist(), strict=True))

    @property
    def standard_errors(self) -> np.ndarray:
        """[G], of the temperatures, by the delta method: temperature * standard error of its logarithm."""
        return self.temperatures * self.log_errors[self.weights.kind]

    def intervals(self, confidence: float = 0.95) -> np.ndarray:
        """[G, 2]: temperature * exp(-+ z * standard error of its logarithm), which is never below 0."""
        if not 0 < confidence < 1:
            raise InputError(f"confidence must lie in (0, 1); got {confidence}.")
        width = float(norm.ppf(0.5 + confidence / 2)) * self.log_errors[self.weights.kind]
        return self.temperatures[:, None] * np.exp(np.stack([-width, width], 1))

    def of(self, group: str | None = None) -> Estimate:
        """The estimate for one group, at its temperature; the group need not be named where there is one.

        It can be handed to whatever plans with an estimate: `validation.policy_of`, `validation.held_out`.
        """
        if group is None and len(self.groups) == 1:
            group = self.groups[0]
        if group is None or group not in self.groups:
            raise InputError(f"temperatures are known of the groups {list_some(self.groups)}; got {group!r}.")
        settings = self.weights.settings | {"temperature": self.named[group]}
        return dataclasses.replace(self.weights, settings=settings)

    def policies(self, mdp: TabularMDP) -> dict[str, np.ndarray]:
        """log pi(a|s) of each group, [S, A] or [T, S, A], by name: what `validation.score` takes."""
        return {group: policy_of(mdp, self.of(group)) for group in self.groups}

    def sentence(self) -> str:
        """The test in words."""
        if self.test is None:
            return "" if len(self.groups) == 1 else "Whether the temperatures differ cannot be tested here."
        found = "differ" if self.test.p_value < 0.05 else "are not shown to differ"
        return f"The temperatures {found}: against one common temperature, {self.test}."

    def rows(self) -> list[dict[str, object]]:
        """One record for each group, in plain types."""
        return [
            {
                "group": group,
                "temperature": float(t),
                "standard_error": float(error),
                "lower": float(low),
                "upper": float(high),
                "fixed": group == self.reference,
            }
            for group, t, error, (low, high) in zip(
                self.groups, self.temperatures, self.standard_errors, self.intervals(), strict=True
            )
        ]

    def summary(self) -> str:
        """Tables to print."""
        wide = max(len("group"), *map(len, self.groups))
        lines = [f"{'group':<{wide}} {'temperature':>12} {'std. error':>11}  95 % interval"]
        for group, t, error, (low, high) in zip(
            self.groups, self.temperatures, self.standard_errors, self.intervals(), strict=True
        ):
            found = "fixed" if group == self.reference else f"{low:.4g} to {high:.4g}"
            lines.append(f"{group:<{wide}} {t:12.6g} {error:11.4g}  {found}")
        lines += [f"standard errors: {KINDS[self.weights.kind]}", self.sentence()]
        return "\n".join([self.weights.summary(), *filter(None, lines)])

    def to_dict(self) -> dict[str, object]:
        """`Estimate.to_dict`, and the temperatures, in types that JSON knows; what is not finite becomes null."""
        return self.weights.to_dict() | {
            "temperatures": finite(self.rows()),
            "common_temperature": self.common,
            "common_log_likelihood": self.common_log_likelihood,
            "temperatures_test": None if self.test is None else self.test._asdict(),
            "temperatures_sentence": self.sentence(),
        }


def explain_groups(found: Search, groups: Sequence[str], reference: str | None, common: float) -> list[str]:
    """Sentences on groups whose decisions do not tell a temperature."""
    sentences = []
    for g in np.flatnonzero(found.silent).tolist():
        temperature = float(np.exp(found.log_temperatures[g]))
        where = f"the search stopped at {temperature:.3g}"
        if groups[g] == reference:
            sentences.append(
                f"the decisions of {groups[g]}, whose temperature is fixed, do not depend on it, so nothing sets the "
                "scale of the weights and of the other temperatures: leave that group out."
            )
        elif not found.lost[g]:
            sentences.append(
                f"the decisions of {groups[g]} say nothing of its temperature: the reward is the same for whatever "
                "it could choose."
            )
        elif temperature > common:
            sentences.append(
                f"the best temperature of {groups[g]} is infinite: it does not choose what the reward of all would "
                f"have it choose; {where}."
            )
        else:
            sentences.append(
                f"the best temperature of {groups[g]} is 0: it always chooses what is best; {where}."
            )
    return sentences


def list_some(names: Sequence[str], shown: int = 8) -> str:
    """The first of some names, the rest counted."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
