"""What trips on a network say about its rewards: their likelihood, its gradient, and the flows to expect."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from maxentrl.core.check import InfeasibleError, InputError, check_shape, check_temperature
from maxentrl.core.soft import temperature_kind
from maxentrl.core.tables import place
from maxentrl.data.trips import Trips
from maxentrl.infer.first_passage import (
    Factors,
    Goal,
    Passages,
    Sums,
    factorise,
    passages,
    reachable,
    sweep,
)
from maxentrl.infer.loops import why_infinite
from maxentrl.irl.demonstrations import explain_whole_copies
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


def evidence(network: Network, trips: Trips, goal: Goal = "forced", is_open=None) -> Evidence:
    """Read trips on a network, once, for many evaluations.

    Args:
        goal: "forced" when a trip ends on its first arrival at its goal; "optional" when stopping is a choice.
        is_open: bool [E], arcs that exist; all unless given.

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
    missing = (arcs < 0) if is_open is None else (arcs < 0) | ~np.asarray(is_open)[arcs]
    if missing.any():
        i = inside[int(missing.argmax())]
        raise InputError(
            f"trip {trips.ids[whose[i]]!r} goes at step {i - trips.bounds[whose[i]]} from link "
            f"{network.ids[trips.links[i]]} to {network.ids[trips.links[i + 1]]}{place(trips.source, i)}, and no such arc "
            "is there "
            f"({int(missing.sum())} such steps, in {len(np.unique(trip[missing]))} trips)."
        )
    early = trips.links[inside] == trips.goals[trip]
    if goal == "forced" and early.any():
        i = int(early.argmax())
        raise InputError(
            f"trip {trips.ids[trip[i]]!r} passes its goal, link {network.ids[trips.links[inside[i]]]}, at step "
            f"{inside[i] - trips.bounds[trip[i]]}{place(trips.source, inside[i])} and goes on "
            f"({len(np.unique(trip[early]))} such trips); cut it "
            'there, or let stopping be a choice (goal="optional", --goal optional).'
        )
    pairs, pair = np.unique(np.stack([trips.goals, trips.origins], 1), axis=0, return_inverse=True)
    pair = pair.reshape(-1)
    return Evidence(
        trips=trips,
        asked=passages(network, pairs[:, 1], pairs[:, 0], goal=goal, is_open=is_open),
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
    log_weight = check_arc_rewards(network, arc_rewards, temperature)
    factors = certify(known.asked, log_weight, temperature)
    sums = _within_range(sweep(known.asked, factors, known.counts))
    taken = known.observed > 0
    total = float(known.observed[taken] @ log_weight[taken] - known.counts @ sums.log_values)
    gradient = known.observed.copy()
    gradient[known.asked.arcs] -= sums.arc_flows
    return total, gradient / temperature


def trip_log_likelihood(
    network: Network,
    arc_rewards,
    trips: Trips | Evidence,
    *,
    goal: Goal = "forced",
    temperature: float = 1.0,
) -> np.ndarray:
    """Log-probability of each trip [N], nats, where the arcs have these rewards [E]. Weights are not applied.

    Raises:
        InfeasibleError: as `arc_gradient`.
    """
    known = trips if isinstance(trips, Evidence) else evidence(network, trips, goal)
    log_weight = check_arc_rewards(network, arc_rewards, temperature)
    factors = certify(known.asked, log_weight, temperature)
    log_values = _within_range(sweep(known.asked, factors)).log_values
    return np.bincount(known.trip, log_weight[known.arcs]) - log_values[known.pair]


def log_uniform(known: Evidence) -> np.ndarray:
    """[N]: log-probability of each trip for drivers who choose uniformly: among the arcs of the link they are
    at, but those into other trips' final goals; and stopping, where that is a choice."""
    network, trips = known.asked.network, known.trips
    out = np.zeros(network.arcs, bool)
    out[known.asked.arcs] = True
    onward = out & ~network.final[network.arc_to]
    choices = np.bincount(network.arc_from[onward], minlength=network.links).astype(float)
    goals = trips.goals
    places = network.arc_from[known.arcs]
    into = network.arc_numbers(places, goals[known.trip])
    count = choices[places] + ((into >= 0) & network.final[goals[known.trip]])
    uniform = -np.bincount(known.trip, np.log(count))
    if known.asked.goal == "forced":
        return uniform
    # One more choice at the goal, taken last; and whenever a trip passes it.
    passed = np.bincount(known.trip, np.where(places == goals[known.trip], np.log1p(1 / count), 0.0))
    return uniform - passed - np.log1p(choices[goals])


class Flows(NamedTuple):
    """arcs: [E] expected number of trips on each arc. links: [L] on each link, origins included.
    log_values: [P] V(origin) / temperature of each pair, nats; -inf where no way is left.
    arrives: bool [P]. Trips of pairs without a way are in no flow.
    """

    arcs: np.ndarray
    links: np.ndarray
    log_values: np.ndarray
    arrives: np.ndarray


def expected_flows(
    network: Network,
    arc_rewards,
    origins,
    goals,
    counts=None,
    *,
    goal: Goal = "forced",
    temperature: float = 1.0,
) -> Flows:
    """How many trips to expect on each arc and link, when drivers with these rewards go where they are asked to.

    Closing an arc is a reward of -inf there; moving a goal is another demand. For the demand of recorded trips,
    pass trips.origins, trips.goals, trips.weights.

    Args:
        network: links and arcs.
        arc_rewards: [E], units of reward; -inf closes an arc.
        origins, goals: [P] numbers of links (`network.numbers` finds them by name).
        counts: [P] how many trips each; 1 unless given.
        goal, temperature: as for `arc_gradient`.

    Raises:
        InfeasibleError: as `arc_gradient`.
    """
    log_weight = check_arc_rewards(network, arc_rewards, temperature)
    origins, goals = np.atleast_1d(np.asarray(origins)), np.atleast_1d(np.asarray(goals))
    amount = np.ones(len(origins)) if counts is None else np.asarray(counts, np.float64)
    for array, name in ((goals, "goals"), (amount, "counts")):
        check_shape(array, origins.shape, name, "[P]")
    for array, name in ((origins, "origins"), (goals, "goals")):
        if array.dtype.kind not in "iu" or len(array) == 0 or array.min() < 0 or array.max() >= network.links:
            raise InputError(f"{name} must be numbers of links, 0 to {network.links - 1}, at least one.")
    wrong = ~((amount >= 0) & np.isfinite(amount))
    if wrong.any():
        raise InputError(f"counts must be numbers of at least 0; got {amount[wrong][0]}.")
    is_open = np.isfinite(log_weight)
    arrives = reachable(network, origins, goals, is_open)
    found = Flows(np.zeros(network.arcs), np.zeros(network.links), np.full(len(origins), -np.inf), arrives)
    if not arrives.any():
        return found
    asked = passages(network, origins[arrives], goals[arrives], goal=goal, is_open=is_open)
    factors = certify(asked, log_weight, temperature)
    sums = _within_range(sweep(asked, factors, amount[arrives]))
    found.log_values[arrives] = sums.log_values
    # First passage is a difference of two flows, which rounding can leave a little below zero.
    found.arcs[asked.arcs] = np.maximum(sums.arc_flows, 0.0)
    found.links[:] = np.bincount(network.arc_to, found.arcs, minlength=network.links)
    np.add.at(found.links, origins[arrives], amount[arrives])
    return found


def route_policy(
    network: Network,
    arc_rewards,
    goal_link: int | np.integer,
    *,
    goal: Goal = "forced",
    temperature: float = 1.0,
) -> np.ndarray:
    """[E]: probability of each arc at the link it leaves, on the way to one goal.

    pi(a | k) = exp((r(k, a) + V(a) - V(k)) / temperature). The arcs of a link sum to 1, except at the goal, where
    the rest is the probability to stop (all of it where the goal is forced); they are 0 where the goal is out of
    reach.

    Args:
        goal_link: number of the link. Others as for `arc_gradient`.
    """
    log_weight = check_arc_rewards(network, arc_rewards, temperature)
    if not 0 <= goal_link < network.links:
        raise InputError(f"goal_link must be one of the links 0 to {network.links - 1}; got {goal_link}.")
    is_open, everywhere = np.isfinite(log_weight), np.arange(network.links)
    near = np.flatnonzero(reachable(network, everywhere, np.full(network.links, goal_link), is_open))
    asked = passages(network, near, np.full(len(near), goal_link), goal=goal, is_open=is_open)
    log_values = np.full(network.links, -np.inf)
    log_values[near] = _within_range(sweep(asked, certify(asked, log_weight, temperature))).log_values
    known = is_open & np.isfinite(log_values[network.arc_from]) & np.isfinite(log_values[network.arc_to])
    if goal == "forced":
        known &= network.arc_from != goal_link
    tail, head = network.arc_from[known], network.arc_to[known]
    chosen = np.zeros(network.arcs)
    chosen[known] = np.exp(log_weight[known] + log_values[head] - log_values[tail])
    return chosen


def explain_copies(known: Evidence, log_path: np.ndarray) -> str | None:
    """One sentence when more trips repeat each other, link by link, than chance would bring; else None.

    What chance would bring is the expected number of equal pairs, were each trip drawn again between its origin and
    goal. Args: log_path [N], log-probability of each trip.
    """
    trips = known.trips
    seen: dict[bytes, int] = {}
    first = np.array([seen.setdefault(trips.sequence(i).tobytes(), i) for i in range(trips.count)])
    if whole := explain_whole_copies(first, trips.ids, "trips"):
        return whole
    alike = np.bincount(known.pair)[known.pair] - 1
    expected = float((alike * np.exp(np.minimum(log_path, 0.0))).sum()) / 2
    repeats = np.bincount(first)
    # Pairs scatter more than independent events do when a few trips are common: hence the 2.
    if float((repeats * (repeats - 1) / 2).sum()) <= 2 * expected + 6 * np.sqrt(expected) + 0.5:
        return None
    copies = np.flatnonzero(first != np.arange(trips.count))
    return (
        f"{len(copies)} of {trips.count} trips are copies of others, link by link (the first: "
        f"{trips.ids[copies[0]]!r} of {trips.ids[first[copies[0]]]!r}), more than chance would bring; if they were "
        "entered twice, or are of one driver's habit, the standard errors are too small."
    )


def check_arc_rewards(network: Network, arc_rewards, temperature, name: str = "arc_rewards") -> np.ndarray:
    """[E]: reward / temperature, checked."""
    check_temperature(temperature)
    if temperature_kind(temperature) != "soft":
        raise InputError(f"temperature must lie in (0, inf): routes are random; got {temperature}.")
    rewards = np.asarray(arc_rewards, np.float64)
    check_shape(rewards, (network.arcs,), name, "[E]")
    wrong = np.isnan(rewards) | (rewards == np.inf)
    if wrong.any():
        e = int(wrong.argmax())
        raise InputError(
            f"{name} must be numbers, or -inf for a closed arc; the arc from "
            f"{network.ids[network.arc_from[e]]} to {network.ids[network.arc_to[e]]} has {rewards[e]}."
        )
    return rewards / temperature


def certify(asked: Passages, log_weight: np.ndarray, temperature: float) -> Factors:
    """Factors for [E] log-weights, or the reason why there are none."""
    factors = factorise(asked, log_weight[asked.arcs])
    if factors is None:
        reason = why_infinite(asked, log_weight[asked.arcs], temperature)
        raise InfeasibleError(f"these rewards have no finite solution: {reason}")
    return factors


OUT_OF_RANGE = (
    "the summed weight exp(V / temperature) of some trips leaves the number format (1e-290 to 1e290): the rewards "
    "are too large for this temperature."
)


def _within_range(sums: Sums | None) -> Sums:
    if sums is None:
        raise InfeasibleError(OUT_OF_RANGE)
    return sums
