"""Do rewards foretell trips they were not fitted to, and better than drivers who know less do?

Two drivers to beat. One chooses uniformly among the arcs of a link (`route_evidence.log_uniform`). The other turns
at each link as often as drivers did there before, wherever it is going: behaviour cloning with Laplace smoothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from maxentrl.core.check import InputError, check_shape
from maxentrl.core.statistics import ratio_with_interval
from maxentrl.data.trips import Trips
from maxentrl.irl.route_evidence import Evidence


class TripScore(NamedTuple):
    """How well something foretells trips.

    log_likelihood: sum of weight * log p(trip), nats. trips, decisions: summed weights. per_trip: log_likelihood /
    trips. standard_error: of per_trip, over independent clusters; inf for one. interval: of per_trip, at
    `confidence`, symmetric and normal; where per_trip is not finite, both ends are it. clusters: trips, or groups
    of them where groups are given.
    """

    name: str
    log_likelihood: float
    trips: float
    decisions: float
    per_trip: float
    standard_error: float
    interval: tuple[float, float]
    confidence: float
    clusters: int


def score(trips: Trips, log_path, *, name: str = "reward", confidence: float = 0.95) -> TripScore:
    """The mean log-probability of trips, with its interval.

    Args:
        log_path: [N] log-probability of each trip, nats; or the difference of two, to see by how much one model
            is better than another on the same trips, which is surer than either alone.
        confidence: of the interval, in (0, 1).
    """
    single = np.asarray(log_path, np.float64)
    check_shape(single, (trips.count,), "log_path", "[N]")
    which = np.arange(trips.count)
    if trips.groups is not None:
        which = np.unique(np.array(trips.groups), return_inverse=True)[1].reshape(-1)
    total = np.bincount(which, trips.weights * single)
    weight = np.bincount(which, trips.weights)
    each, error, interval = ratio_with_interval(total, weight, confidence)
    return TripScore(
        name=name,
        log_likelihood=float(total.sum()),
        trips=float(weight.sum()),
        decisions=float(trips.weights @ (np.diff(trips.bounds) - 1)),
        per_trip=each,
        standard_error=error,
        interval=interval,
        confidence=confidence,
        clusters=len(total),
    )


def log_turn_frequencies(seen: Evidence, held: Evidence, *, smoothing: float = 1.0) -> np.ndarray:
    """[N]: log-probability of each trip of `held` for drivers who turn as those of `seen` did, whatever their goal.

        p(arc | link) = (times taken + smoothing) / sum over the arcs of the link

    Where ending the trip is a choice (an arc into a goal that nothing leaves; or stopping, where that is
    optional), it is taken with one probability everywhere: the share of the times that it was.

    Args:
        seen: the trips that are counted. held: those that are foretold; their network must be the same.
        smoothing: added to each count, at least 0 (Laplace: 1). At 0 what was never done has probability zero.
    """
    if not (smoothing >= 0 and math.isfinite(smoothing)):
        raise InputError(f"smoothing must be a number of at least 0; got {smoothing}.")
    network = held.asked.network
    onward = np.zeros(network.arcs, bool)
    onward[held.asked.arcs] = True
    onward &= ~network.final[network.arc_to]
    counts = np.where(onward, seen.observed + smoothing, 0.0)
    summed = np.bincount(network.arc_from, counts, minlength=network.links)
    # Where nobody was, and nothing is added, all turns are alike.
    blank = summed == 0
    counts = np.where(onward & blank[network.arc_from], 1.0, counts)
    summed = np.bincount(network.arc_from, counts, minlength=network.links)
    could, did, weight = _endings(seen)
    ended = float(weight @ did) + smoothing
    chance = ended / (float(weight @ could) + 2 * smoothing) if could.any() else 0.5
    held_could, held_did, _ = _endings(held)
    steps = len(held.arcs)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_turn = np.where(counts > 0, np.log(counts) - np.log(summed[network.arc_from]), -np.inf)[held.arcs]
        log_end, log_on = np.log(chance), np.log1p(-chance)
    # A link that leads nowhere but to the goal leaves no choice.
    forced = held_could[:steps] & (summed[network.arc_from[held.arcs]] == 0)
    entering = held_did[:steps]
    by_step = np.where(entering, np.where(forced, 0.0, log_end), log_turn)
    by_step += np.where(held_could[:steps] & ~entering, log_on, 0.0)
    return np.bincount(held.trip, by_step) + np.where(held_could[steps:], log_end, 0.0)


def _endings(known: Evidence) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[steps + N]: for each step, and then for the last link of each trip: whether the trip could end there by
    choice, whether it did, and its weight."""
    network, trips = known.asked.network, known.trips
    goals = trips.goals[known.trip]
    places = network.arc_from[known.arcs]
    enters = network.arc_numbers(places, goals) >= 0
    could = enters & network.final[goals]
    did = could & (network.arc_to[known.arcs] == goals)
    last = np.zeros(trips.count, bool)
    if known.asked.goal == "optional":
        could |= places == goals
        last = ~network.final[trips.goals]
    weight = np.concatenate([trips.weights[known.trip], trips.weights])
    return np.concatenate([could, last]), np.concatenate([did, last]), weight
