"""What a recovered reward of roads says: of trips put aside, of flows, of a changed network; as numbers of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maxentrl.app import maps_routes, plots_irl
from maxentrl.app.record import Run
from maxentrl.app.road_files import Changes, Demand, Parts, Roads
from maxentrl.assess import identify_roads
from maxentrl.assess.flows import compare_flows
from maxentrl.core.check import InfeasibleError
from maxentrl.data.trips import Trips
from maxentrl.infer.first_passage import Goal
from maxentrl.irl.estimate import Estimate
from maxentrl.irl.route_evidence import (
    Evidence,
    Flows,
    certify,
    evidence,
    expected_flows,
    log_uniform,
    trip_log_likelihood,
)
from maxentrl.irl.route_validation import TripScore, log_turn_frequencies, score
from maxentrl.irl.validation import by_group
from maxentrl.models.network import Network

Heat = float | Mapping[str, float]
"""The temperature of all drivers, or of each group of them, in units of reward."""

TURNS, UNIFORM = "turn frequencies", "uniform choice"
LISTED = 10
"""Rows of a table in the report; all of them are in the CSV file beside it."""


def identification(roads: Roads, estimate: Estimate, temperature: float) -> dict[str, Any]:
    """Which directions of the weights no trips, or not these, can tell."""
    return identify_roads(
        roads.network,
        roads.features,
        feature_names=roads.names,
        goal=estimate.settings["goal"],  # pyright: ignore[reportArgumentType]
        fisher=estimate.fisher,
        decisions=estimate.steps,
        temperature=temperature,
    ).to_dict()


def beginning(
    roads: Roads, parts: Parts, goal: Goal, temperature: float, start: Sequence[float] | None
) -> dict[str, Any]:
    """The weights at which the search began, and why they are infeasible, or None where they are not."""
    weights = np.zeros(len(roads.names)) if start is None else np.asarray(start, np.float64)
    known = evidence(roads.network, parts.train, goal)
    reason = None
    try:
        certify(known.asked, roads.features @ weights / temperature, temperature)
    except InfeasibleError as error:
        reason = str(error)
    return {"weights": dict(zip(roads.names, weights.tolist(), strict=True)), "infeasible": reason}


def record_scores(
    run: Run, roads: Roads, parts: Parts, rewards: Mapping[str, np.ndarray], goal: Goal, temperature: Heat
) -> dict[str, Any]:
    """How well rewards [E], by name, foretell the trips put aside, beside drivers who know less.

    The first reward is the one that is compared with the others. Without trips put aside it is those of the fit,
    and the answer says so.
    """
    network, trips = roads.network, parts.train if parts.test is None else parts.test
    held = evidence(network, trips, goal)
    single: dict[str, np.ndarray] = {}
    for name, reward in rewards.items():
        try:
            single[name] = _log_likelihood(held, reward, temperature)
        except InfeasibleError as error:
            run.warn(f"Under the {name}, the trips put aside have no likelihood: {error}")
    seen = held if parts.test is None else evidence(network, parts.train, goal)
    single[TURNS] = log_turn_frequencies(seen, held)
    single[UNIFORM] = log_uniform(held)
    names = list(single)
    run.tables["trips"] = [
        {
            "trip": trips.ids[i],
            "origin": network.ids[trips.origins[i]],
            "goal": network.ids[trips.goals[i]],
            "links": int(trips.bounds[i + 1] - trips.bounds[i]),
            **{f"log_likelihood {name}": float(single[name][i]) for name in names},
        }
        for i in range(trips.count)
    ]
    rows = [_score(score(trips, single[name], name=name)) for name in names]
    first = next(iter(rewards))
    gains = (
        [_score(score(trips, single[first] - single[name], name=name)) for name in names if name != first]
        if first in single
        else []
    )
    run.pictures["scores"] = maps_routes.scores(rows)
    return {"on": "train" if parts.test is None else "test", "rows": rows, "gains": gains}


def _log_likelihood(held: Evidence, reward: np.ndarray, temperature: Heat) -> np.ndarray:
    """[N]: log-probability of each trip, nats, at the temperature of its driver."""
    network, trips, goal = held.asked.network, held.trips, held.asked.goal
    single = np.empty(trips.count)
    for rows, own in _drivers(trips, temperature):
        known = held if len(rows) == trips.count else trips.take(rows)
        single[rows] = trip_log_likelihood(network, reward, known, goal=goal, temperature=own)
    return single


def _expected(
    network: Network, reward: np.ndarray, trips: Trips, goal: Goal, temperature: Heat
) -> np.ndarray:
    """[E]: how many trips to expect on each arc, each driver at his temperature."""
    total = np.zeros(network.arcs)
    for rows, own in _drivers(trips, temperature):
        ends, counts = (trips.origins[rows], trips.goals[rows]), trips.weights[rows]
        total += expected_flows(network, reward, *ends, counts, goal=goal, temperature=own).arcs
    return total


def _drivers(trips: Trips, temperature: Heat) -> list[tuple[np.ndarray, float]]:
    """The trips [n] of each group in turn, and its temperature; or all trips, and that of all."""
    if isinstance(temperature, Mapping):
        return list(by_group(trips, temperature))
    return [(np.arange(trips.count), temperature)]


def _score(found: TripScore) -> dict[str, Any]:
    return {
        "name": found.name,
        "log_likelihood": found.log_likelihood,
        "per_trip": found.per_trip,
        "per_decision": found.log_likelihood / found.decisions,
        "standard_error": found.standard_error,
        "low": found.interval[0],
        "high": found.interval[1],
        "trips": found.trips,
        "clusters": found.clusters,
    }


def record_flows(
    run: Run, roads: Roads, parts: Parts, reward: np.ndarray, goal: Goal, temperature: Heat, fitted: int
) -> dict[str, Any]:
    """Predicted flows for the demand of the trips put aside (or of those of the fit), against what they did.

    Args:
        fitted: weights that were estimated from the trips of the fit.
    """
    network, trips = roads.network, parts.train if parts.test is None else parts.test
    try:
        expected = _expected(network, reward, trips, goal, temperature)
    except InfeasibleError as error:
        run.warn(f"The flows of the trips put aside cannot be predicted: {error}")
        return {}
    observed = evidence(network, trips, goal).observed
    found = compare_flows(observed, expected, fitted=fitted if parts.test is None else 0)
    run.arrays |= {"observed": observed, "predicted": expected}
    leaves, enters = _names(network)
    run.tables["arcs"] = [
        {"from": a, "to": b, "reward": r, "observed": o, "predicted": p, "standardised": z}
        for a, b, r, o, p, z in zip(
            leaves,
            enters,
            reward.tolist(),
            observed.tolist(),
            expected.tolist(),
            found.standardised.tolist(),
            strict=True,
        )
    ]
    run.pictures["flows"] = maps_routes.scatter(observed, expected)
    drawing = maps_routes.strokes(network, roads.ends)
    if drawing is not None:
        run.pictures["map"] = maps_routes.reward_and_misfit(drawing, reward, expected - observed)
    # A deviation of rare arcs is large for no reason; those that expect a few trips are telling.
    order = [int(e) for e in found.largest(network.arcs) if max(observed[e], expected[e]) >= 5]
    return {
        "on": "train" if parts.test is None else "test",
        "correlation": found.correlation,
        "share_misplaced": found.share_misplaced,
        "chi_square": found.chi_square,
        "degrees": found.degrees,
        "p_value": found.p_value,
        "caveat": found.caveat,
        "largest": [run.tables["arcs"][e] for e in order[:LISTED]],
    }


def record_what_if(
    run: Run,
    roads: Roads,
    demand: Demand,
    changes: Changes,
    reward: np.ndarray,
    goal: Goal,
    temperature: float,
) -> dict[str, Any] | None:
    """Flows of all trips before and after arcs close and goals move; None where nothing changes."""
    network = roads.network
    if not len(changes.closed) and not changes.moved:
        return None
    altered = reward.copy()
    altered[changes.closed] = -np.inf
    goals = np.array([changes.moved.get(g, g) for g in demand.goals.tolist()])
    try:
        before, after = (
            expected_flows(network, r, demand.origins, g, demand.counts, goal=goal, temperature=temperature)
            for r, g in ((reward, demand.goals), (altered, goals))
        )
    except InfeasibleError as error:
        run.warn(f"What would change cannot be predicted: {error}")
        return None
    shift = after.arcs - before.arcs
    leaves, enters = _names(network)
    rows = [
        {"from": a, "to": b, "before": x, "after": y, "change": d}
        for a, b, x, y, d in zip(
            leaves, enters, before.arcs.tolist(), after.arcs.tolist(), shift.tolist(), strict=True
        )
    ]
    run.tables["changes"] = rows
    run.arrays |= {"before": before.arcs, "after": after.arcs}
    lost = ~after.arrives
    stranded = [
        {"origin": network.ids[o], "goal": network.ids[g], "trips": float(n)}
        for o, g, n in zip(demand.origins[lost], goals[lost], demand.counts[lost], strict=True)
    ]
    stranded.sort(key=lambda row: -row["trips"])
    run.tables["lost"] = stranded
    drawing = maps_routes.strokes(network, roads.ends)
    if drawing is not None:
        run.pictures["changes"] = maps_routes.changes(drawing, shift, changes.closed)
    largest = [rows[int(e)] for e in np.argsort(-np.abs(shift), kind="stable")[:LISTED]]
    run.pictures["shifts"] = plots_irl.shifts(
        [f"{row['from']} → {row['to']}" for row in largest],
        np.array([row["before"] for row in largest]),
        np.array([row["after"] for row in largest]),
        "expected trips on the arc",
    )
    answer = {
        "closed": [[leaves[e], enters[e]] for e in changes.closed],
        "moved": [[network.ids[a], network.ids[b]] for a, b in changes.moved.items()],
        "trips": float(demand.counts.sum()),
        "trips_moved": float(demand.counts[goals != demand.goals].sum()),
        "trips_through": float(before.arcs[changes.closed].sum()),
        "trips_lost": float(demand.counts[lost].sum()),
        "lost": stranded[:LISTED],
        "pairs_lost": len(stranded),
        **_worth(demand, goals, before, after, temperature),
        "largest": largest,
    }
    if stranded:
        run.warn(_lost_words(answer))
    return answer


def _worth(
    demand: Demand, goals: np.ndarray, before: Flows, after: Flows, temperature: float
) -> dict[str, float]:
    """Over the trips that still arrive: links entered, before and after; and what a trip to the same goal loses."""
    stay = after.arrives & (goals == demand.goals)
    kept = float(demand.counts[after.arrives].sum())
    loss = demand.counts[stay] @ (before.log_values[stay] - after.log_values[stay]) * temperature
    return {
        "links_per_trip_before": float(before.arcs.sum() / demand.counts.sum()),
        "links_per_trip_after": float(after.arcs.sum() / kept) if kept else float("nan"),
        "loss_per_trip": float(loss / demand.counts[stay].sum()) if stay.any() else float("nan"),
    }


def _lost_words(answer: Mapping[str, Any]) -> str:
    pairs = [f"from {row['origin']} to {row['goal']} ({row['trips']:g})" for row in answer["lost"][:3]]
    more = answer["pairs_lost"] - len(pairs)
    tail = f", and {more} more pairs of origin and goal" if more > 0 else ""
    return (
        f"After the change {answer['trips_lost']:g} of {answer['trips']:g} trips can no longer arrive: "
        f"{', '.join(pairs)}{tail}. They are in no flow; the file lost.csv lists them all."
    )


def _names(network: Network) -> tuple[list[str], list[str]]:
    """The names of the links that each arc leaves and enters."""
    return [network.ids[i] for i in network.arc_from], [network.ids[i] for i in network.arc_to]
