"""A mixture of policies that was fitted to an expert: one policy is chosen at the start of each episode."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from maxentrl.core.check import InputError
from maxentrl.core.precision import in_double_precision
from maxentrl.core.words import many
from maxentrl.data.trajectories import Trajectories, trajectories_from_arrays
from maxentrl.irl.best_response import log_policy, policy_visits
from maxentrl.irl.demonstrations import sample_trajectories
from maxentrl.models.tabular import TabularMDP


@dataclasses.dataclass(frozen=True, eq=False)
class Apprentice:
    """A mixture of policies, and how it was found. I policies were tried, in this order.

    names: of the K features.
    policies: whole numbers [I, S], or [I, T, S] over a finite horizon: the action each policy takes.
    weights: [I, K]; the reward weights for which each policy is best, of length 1 (or as given by `start`).
    expectations: [I, K]; of each policy: expected discounted features of an episode.
    mixture: [I]; the probability of each policy at the start of an episode.
    expert: [K]; the feature expectations to match. reached: [K]; those of the mixture.
    margins: [I]; after each policy, the distance between the expert and the point that the search had reached: no
        reward with |w| <= 1 tells them further apart in value. With max-margin the last is that of the mixture; the
        projection method's mixture may be nearer.
    bounds: [I]; proven so far: no mixture of any policies comes closer to the expert than this. The first is 0.
    tolerance: absolute, in units of feature expectations.
    warnings: sentences to read before the numbers.
    interrupted: whether somebody stopped the search (Ctrl-C) before it arrived.
    """

    method: str
    names: tuple[str, ...]
    policies: np.ndarray
    weights: np.ndarray
    expectations: np.ndarray
    mixture: np.ndarray
    expert: np.ndarray
    margins: np.ndarray
    bounds: np.ndarray
    tolerance: float
    converged: bool
    verdict: str
    settings: dict[str, float | int | str | None]
    warnings: tuple[str, ...]
    interrupted: bool = False

    @property
    def reached(self) -> np.ndarray:
        """[K]; the feature expectations of the mixture."""
        return self.mixture @ self.expectations

    @property
    def margin(self) -> float:
        """Distance between the feature expectations of expert and mixture."""
        return float(np.linalg.norm(self.expert - self.reached))

    @property
    def best(self) -> int:
        """The single policy whose feature expectations are nearest to the expert's, as its number."""
        return int(np.linalg.norm(self.expert - self.expectations, axis=1).argmin())

    @property
    def best_margin(self) -> float:
        """Distance between the feature expectations of expert and best single policy."""
        return float(np.linalg.norm(self.expert - self.expectations[self.best]))

    def summary(self) -> str:
        """A table to print."""
        wide = max(len("feature"), *map(len, self.names))
        single = self.expectations[self.best]
        lines = [self.method, f"{'feature':<{wide}} {'expert':>12} {'mixture':>12} {'best policy':>12}"]
        for name, *numbers in zip(self.names, self.expert, self.reached, single, strict=True):
            lines.append(f"{name:<{wide}} " + " ".join(f"{x:12.6g}" for x in numbers))
        return "\n".join(
            [
                *lines,
                f"a mixture of {np.count_nonzero(self.mixture)} of {len(self.mixture)} policies, at distance "
                f"{self.margin:.4g} from the expert; the best single policy is at {self.best_margin:.4g}",
                self.verdict,
                *(f"warning: {sentence}" for sentence in self.warnings),
            ]
        )

    def to_dict(self) -> dict[str, object]:
        """Everything but the policies, in types that JSON knows."""
        return {
            "method": self.method,
            "settings": self.settings,
            "features": list(self.names),
            "expert": self.expert.tolist(),
            "reached": self.reached.tolist(),
            "mixture": self.mixture.tolist(),
            "weights": self.weights.tolist(),
            "expectations": self.expectations.tolist(),
            "margins": self.margins.tolist(),
            "bounds": self.bounds.tolist(),
            "best": self.best,
            "best_margin": self.best_margin,
            "converged": self.converged,
            "interrupted": self.interrupted,
            "verdict": self.verdict,
            "warnings": list(self.warnings),
        }


@in_double_precision
def mixture_occupancy(mdp: TabularMDP, apprentice: Apprentice) -> np.ndarray:
    """Expected discounted visits [S, A] per episode of the mixture, from mdp.initial: the weighted mean of its
    policies'.
    """
    discount, horizon = _clock(apprentice)
    visits = np.zeros((mdp.states, mdp.actions))
    for j in np.flatnonzero(apprentice.mixture):
        policy = apprentice.policies[j].astype(int)
        visits += apprentice.mixture[j] * policy_visits(mdp, policy, discount=discount, horizon=horizon)
    return visits


def mixture_value(mdp: TabularMDP, apprentice: Apprentice) -> float:
    """Expected discounted reward [] per episode of the mixture, from mdp.initial, for mdp's own reward [S, A]."""
    return float(np.sum(mixture_occupancy(mdp, apprentice) * np.asarray(mdp.reward)))


def sample_mixture(
    mdp: TabularMDP, apprentice: Apprentice, *, key: jax.Array, count: int, horizon: int
) -> Trajectories:
    """Let the mixture act: for each of `count` episodes one policy is chosen, and followed to its end.

    Args:
        key: of `jax.random`.
        horizon: steps after which recording stops; at most that of the fit, where it had one.

    Returns:
        `Trajectories` in the order in which the policies were chosen; groups are the numbers of the policies.
    """
    if count < 1:
        raise InputError(f"count must be at least 1 trajectory; got {count}.")
    fitted = apprentice.settings["horizon"]
    if fitted is not None and horizon > int(fitted):
        raise InputError(
            f"horizon must be at most that of the policies, {many(int(fitted), 'step')}; got {horizon}."
        )
    to_pick, to_act = jax.random.split(key)
    seed = np.asarray(jax.random.bits(to_pick, (2,), dtype="uint32"))
    chosen = np.random.default_rng(seed).choice(len(apprentice.mixture), count, p=apprentice.mixture)
    states = np.full((count, horizon + 1), -1, np.int32)
    actions = np.full((count, horizon), -1, np.int32)
    # One number of episodes for all policies, and a power of two, so that few sizes are compiled.
    most = 1 << int(np.bincount(chosen).max() - 1).bit_length()
    for j in np.unique(chosen):
        rows = np.flatnonzero(chosen == j)
        policy = apprentice.policies[j] if fitted is None else apprentice.policies[j][:horizon]
        found = sample_trajectories(
            mdp,
            log_policy(policy, mdp.actions),
            key=jax.random.fold_in(to_act, int(j)),
            count=most,
            horizon=horizon,
        )
        first = np.arange(len(rows))
        longest = found.longest
        states[rows, :longest] = found.states[first]
        actions[rows, :longest] = found.actions[first]
        states[rows, found.lengths[first]] = found.next_states[first, found.lengths[first] - 1]
    return trajectories_from_arrays(states, actions, groups=[str(j) for j in chosen])


def _clock(apprentice: Apprentice) -> tuple[float, int | None]:
    discount, horizon = apprentice.settings["discount"], apprentice.settings["horizon"]
    return float(discount or 0.0), None if horizon is None else int(horizon)
