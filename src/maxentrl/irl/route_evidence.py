"""What trips on a network say about its rewards: their likelihood, its gradient, and the flows to expect."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from maxentrl.core.check import InfeasibleError, InputError, check_shape, check_temperature
from maxentrl.core.soft import temperature_kind
from maxentrl.data.trips import Trips
from maxentrl.infer.first_passage import Factors, Goal, Passages, Sums, factorise, passages, sweep
from maxentrl.models.network import Network


class Evidence(NamedTuple):
    """Trips, as far as their likelihood depends on them.

    asked: the different pairs of origin and goal, and the part of the network that they can use.
    pair: [N] the pair of each trip. counts: [P] summed weight of the trips of each pair.
    arcs: [steps] the arc of each step of all trips. trip: [steps] whose step it is.
    observed: [E] summed weight of the steps on each arc.
    """

    trips: Trips
    asked: Passages
    pair: np.ndarray
    counts: np.ndarray
    arcs: np.ndarray
    trip: np.ndarray
    observed: np.ndarray


def evidence(network: Network, trips: Trips, goal: Goal = "forced") -> Evidence:
    """Read trips on a network, once, for many evaluations.

    Raises:
        InputError: for a step that is no arc of the network; for a trip that passes its goal before its end,
            where the goal is forced.
    """
    if trips.links.max() >= network.links:
        raise InputError(
            f"a trip holds link number {trips.links.max()}; the network has {network.links} links."
        )
    whose = trips.trip_of_link
    inside = np.flatnonzero(np.diff(whose) == 0)
    arcs, trip = network.arc_numbers(trips.links[inside], trips.links[inside + 1]), whose[inside]
    missing = arcs < 0
    if missing.any():
        i = inside[int(missing.argmax())]
        raise InputError(
            f"trip {trips.ids[whose[i]]!r} goes at step {i - trips.bounds[whose[i]]} from link "
            f"{network.ids[trips.links[i]]} to {network.ids[trips.links[i + 1]]}, and the network has no such arc "
            f"({int(missing.sum())} such steps in {len(np.unique(trip[missing]))} trips)."
        )
    early = trips.links[inside] == trips.goals[trip]
    if goal == "forced" and early.any():
        i = int(early.argmax())
        raise InputError(
            f"trip {trips.ids[trip[i]]!r} passes its goal, link {network.ids[trips.links[inside[i]]]}, at step "
            f"{inside[i] - trips.bounds[trip[i]]} and goes on ({len(np.unique(trip[early]))} such trips); cut it "
            'there, or let stopping be a choice (goal="optional").'
        )
    pairs, pair = np.unique(np.stack([trips.goals, trips.origins], 1), axis=0, return_inverse=True)
    pair = pair.reshape(-1)
    return Evidence(
        trips=trips,
        asked=passages(network, pairs[:, 1], pairs[:, 0], goal=goal),
        pair=pair,
        counts=np.bincount(pair, trips.weights),
        arcs=arcs,
        trip=trip,
        observed=np.bincount(arcs, trips.weights[trip], minlength=network.arcs),
    )


def arc_gradient(
    network: Network,
    arc_rewards,
    trips: Trips | Evidence,
    goal: Goal = "forced",
    *,
    temperature: float = 1.0,
) -> tuple[float, np.ndarray]:
    """Log-likelihood of the trips, and its gradient with respect to the reward of each arc.

    log p(trip) = (sum of the rewards of its arcs - V(origin)) / temperature, and the gradient is
    (observed steps on the arc - expected ones) / temperature. Whatever makes the rewards, a network included,
    can be trained on it: pass the gradient to the vector-Jacobian product of what made them.

    Args:
        network: links and arcs.
        arc_rewards: [E], in the order of the network's arcs; below the rewards at which loops pay. -inf closes
            an arc.
        trips: the demonstrations; or `evidence(network, trips, goal)`, made once, which saves reading them at
            each call (goal is then what it was made with).
        goal: "forced" when a trip ends on its first arrival at its goal; "optional" when stopping is a choice.
        temperature: in (0, inf), units of reward.

    Returns:
        The log-likelihood, nats, weighted and summed over trips; and its gradient [E], 0 for arcs that no trip
        could use.

    Raises:
        InfeasibleError: where the sum over all ways is infinite, because loops pay or are too many; and where
            a value leaves the number format.
    """
    known = trips if isinstance(trips, Evidence) else evidence(network, trips, goal)
    log_weight = check_rewards(network, arc_rewards, temperature)
    factors = certify(known.asked, log_weight, temperature)
    sums = _within_range(sweep(known.asked, factors, known.counts))
    total = _observed_total(known, log_weight) - float(known.counts @ sums.log_values)
    gradient = known.observed.copy()
    assert sums.arc_flows is not None
    gradient[known.asked.arcs] -= sums.arc_flows
    return total, gradient / temperature


def check_rewards(network: Network, arc_rewards, temperature) -> np.ndarray:
    """[E]: reward / temperature, checked."""
    check_temperature(temperature)
    if temperature_kind(temperature) != "soft":
        raise InputError(f"temperature must lie in (0, inf): routes are random; got {temperature}.")
    rewards = np.asarray(arc_rewards, np.float64)
    check_shape(rewards, (network.arcs,), "arc_rewards", "[E]")
    wrong = np.isnan(rewards) | (rewards == np.inf)
    if wrong.any():
        e = int(wrong.argmax())
        raise InputError(
            f"arc_rewards must be numbers, or -inf for a closed arc; the arc from "
            f"{network.ids[network.arc_from[e]]} to {network.ids[network.arc_to[e]]} has {rewards[e]}."
        )
    return rewards / temperature


def certify(asked: Passages, log_weight: np.ndarray, temperature: float) -> Factors:
    """Factors for [E] log-weights, or the reason why there are none."""
    factors = factorise(asked, log_weight[asked.arcs])
    if factors is None:
        raise InfeasibleError("the sum over all ways is infinite.")
    return factors


def _within_range(sums: Sums | None) -> Sums:
    if sums is None:
        raise InfeasibleError(
            "some trips are so unlikely, or so richly rewarded, that their summed weight exp(V / temperature) leaves "
            "the number format (1e-290 to 1e290): the rewards are too large for this temperature."
        )
    return sums


def _observed_total(known: Evidence, log_weight: np.ndarray) -> float:
    taken = known.observed > 0
    return float(known.observed[taken] @ log_weight[taken])
