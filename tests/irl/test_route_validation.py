"""Scores of trips, and drivers who turn as others did: against counting by hand."""

from collections import Counter
from itertools import pairwise
from math import inf, log

import numpy as np
import pytest

from irl.towns import TRUE, town
from maxentrl import InputError
from maxentrl.data.trips import trips_from_sequences
from maxentrl.irl.route_evidence import evidence, log_uniform, trip_log_likelihood
from maxentrl.irl.route_validation import log_turn_frequencies, score
from maxentrl.models.network import network_from_arcs


def counted(network, seen, held, goal: str, smoothing: float) -> np.ndarray:
    """Turn by turn with dictionaries, for networks each of whose arcs some held trip could use."""
    final = set(np.flatnonzero(network.final).tolist())
    arcs = list(zip(network.arc_from.tolist(), network.arc_to.tolist(), strict=True))
    onward = {k: [b for a, b in arcs if a == k and b not in final] for k in range(network.links)}
    turns: Counter = Counter()
    could = did = 0.0
    for i in range(seen.count):
        path, w = seen.sequence(i).tolist(), seen.weights[i]
        end = path[-1]
        for here, there in pairwise(path):
            turns[here, there] += w
            if (here, end) in arcs and end in final:
                could, did = could + w, did + w * (there == end)
            elif goal == "optional" and here == end:
                could += w
        if goal == "optional" and end not in final:
            could, did = could + w, did + w
    chance = (did + smoothing) / (could + 2 * smoothing) if could else 0.5
    found = []
    for i in range(held.count):
        path = held.sequence(i).tolist()
        end, total = path[-1], 0.0
        for here, there in pairwise(path):
            choice = ((here, end) in arcs and end in final) or (goal == "optional" and here == end)
            if choice and there == end and end in final:
                total += log(chance) if onward[here] else 0.0
                continue
            total += log(1 - chance) if choice else 0.0
            summed = sum(turns[here, x] + smoothing for x in onward[here])
            total += log((turns[here, there] + smoothing) / summed)
        if goal == "optional" and end not in final:
            total += log(chance)
        found.append(total)
    return np.array(found)


@pytest.mark.parametrize("goal", ["forced", "optional"])
def test_turn_frequencies_are_what_counting_by_hand_gives(goal):
    network, _, trips = town(3, goal, count=120)
    seen, held = trips.take(range(0, trips.count, 2)), trips.take(range(1, trips.count, 2))
    known = evidence(network, held, goal)
    assert len(known.asked.arcs) == network.arcs
    for smoothing in (1.0, 0.3):
        found = log_turn_frequencies(evidence(network, seen, goal), known, smoothing=smoothing)
        # Both add the same few logarithms, in another order.
        np.testing.assert_allclose(
            found, counted(network, seen, held, goal, smoothing), rtol=1e-12, atol=1e-12
        )


def test_turn_frequencies_that_have_seen_nothing_are_uniform_choice():
    network = network_from_arcs([0, 0, 1, 1, 2, 2], [1, 2, 2, 0, 3, 0])
    seen = trips_from_sequences([[2, 3]])
    held = evidence(network, trips_from_sequences([[1, 2, 3], [0, 1, 2, 3]]), "forced")
    # At link 2 only, ending was a choice, and the uniform driver takes it with probability 1/2: so does one who
    # saw it once and adds so much to each count that this is forgotten.
    found = log_turn_frequencies(evidence(network, seen, "forced"), held, smoothing=1e12)
    np.testing.assert_allclose(found, log_uniform(held), rtol=1e-9)


def test_what_was_never_done_is_impossible_without_smoothing():
    network = network_from_arcs([0, 0, 1, 2], [1, 2, 3, 3])
    seen = evidence(network, trips_from_sequences([[0, 1, 3]]))
    held = evidence(network, trips_from_sequences([[0, 2, 3], [0, 1, 3]]))
    assert log_turn_frequencies(seen, held, smoothing=0).tolist() == [-inf, 0.0]


def test_a_score_is_a_weighted_mean_over_clusters_with_the_error_of_a_ratio():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=12), rng.uniform(0.5, 2, 12)
    groups = [str(i % 4) for i in range(12)]
    trips = trips_from_sequences([[0, 1, 2]] * 12, weights=w, groups=groups)
    found = score(trips, x)
    totals = np.array([sum(w[i] * x[i] for i in range(k, 12, 4)) for k in range(4)])
    sizes = np.array([sum(w[i] for i in range(k, 12, 4)) for k in range(4)])
    mean = totals.sum() / sizes.sum()
    error = np.sqrt(4 / 3 * np.sum((totals - mean * sizes) ** 2)) / sizes.sum()
    assert found.clusters == 4 and found.decisions == pytest.approx(2 * w.sum())
    np.testing.assert_allclose([found.per_trip, found.standard_error], [mean, error], rtol=1e-12)
    np.testing.assert_allclose(found.interval, [mean - 1.959964 * error, mean + 1.959964 * error], rtol=1e-6)
    with pytest.raises(InputError, match=r"confidence must lie in \(0, 1\); got 2"):
        score(trips, x, confidence=2)
    with pytest.raises(InputError, match="log_path"):
        score(trips, x[1:])


def test_a_trip_of_probability_zero_is_foretold_infinitely_badly_for_certain():
    trips = trips_from_sequences([[0, 1, 2]] * 3)
    found = score(trips, [-1.0, -inf, -2.0])
    assert found.per_trip == -inf and found.interval == (-inf, -inf)
    better = score(trips, [1.0, inf, 2.0])
    assert better.interval == (inf, inf)


def test_drivers_who_know_the_reward_are_foretold_better_than_by_turn_frequencies():
    network, features, trips = town(5, "forced", count=400)
    seen, held = trips.take(range(200)), trips.take(range(200, trips.count))
    known = evidence(network, held)
    gain = trip_log_likelihood(network, features @ TRUE, known) - log_turn_frequencies(
        evidence(network, seen), known
    )
    # The lower end of a 99.9 % interval.
    assert score(held, gain, confidence=0.999).interval[0] > 0


def test_smoothing_is_a_number_of_at_least_0():
    network = network_from_arcs([0, 1], [1, 2])
    known = evidence(network, trips_from_sequences([[0, 1, 2]]))
    with pytest.raises(InputError, match="smoothing must be a number of at least 0; got -1"):
        log_turn_frequencies(known, known, smoothing=-1)
