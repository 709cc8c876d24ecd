"""What a user may name as roads and trips on them: files to read, trips to put aside, changes to imagine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from maxentrl.app.record import Run, file_hash
from maxentrl.core.check import InputError
from maxentrl.core.tables import as_numbers, read_columns
from maxentrl.core.words import many
from maxentrl.data.split import By, aside, read_labels
from maxentrl.data.trips import Trips, read_trips
from maxentrl.infer.first_passage import Goal
from maxentrl.irl.route_evidence import evidence
from maxentrl.models.network import SHOWN, Network, read_arc_features, read_network

ENDS = ("from_x", "from_y", "to_x", "to_y")
"""Columns of a file of links that say where each begins and ends."""


class Roads(NamedTuple):
    """A network with features of its arcs.

    features: [E, K], names: K. title: of the network's file, with its folder. ends: [L, 2, 2] where each link begins
    and ends, for pictures; None where unknown. inputs: SHA-256 of each file.
    """

    network: Network
    features: np.ndarray
    names: tuple[str, ...]
    title: str
    ends: np.ndarray | None
    inputs: dict[str, str]


class Parts(NamedTuple):
    """Trips to fit, to decide when to stop, and to test; the last two may be absent."""

    train: Trips
    validation: Trips | None
    test: Trips | None

    @property
    def all(self) -> list[Trips]:
        return [part for part in self if part is not None]


class Demand(NamedTuple):
    """Pairs of links [P] between which trips are made, and how many."""

    origins: np.ndarray
    goals: np.ndarray
    counts: np.ndarray


class Changes(NamedTuple):
    """What is imagined to change: numbers of closed arcs; goals that move, old and new link."""

    closed: np.ndarray
    moved: dict[int, int]


class Job(NamedTuple):
    """What a run is made of."""

    roads: Roads
    parts: Parts
    demand: Demand
    changes: Changes

    @property
    def work(self) -> str:
        """What is about to be done."""
        count, goals = self.parts.train.count, len(set(self.parts.train.goals.tolist()))
        return f"fitting {many(len(self.roads.names), 'weight')} to {many(count, 'trip')} to {many(goals, 'goal')}"


def open_all(
    run: Run, problem, demos, features, links, goal: Goal, apart, close_arc, move_goal, validation=None
) -> Job:
    """Read everything, so that whatever is wrong with it is said before any work begins.

    Args:
        apart: what is put aside: a share or file of test trips, labels, trips or groups, and the seed.
        Others as for `routes.irl_mce` and `routes.irl_deep`.
    """
    test, split, by, seed = apart
    roads = open_roads(problem, features, links)
    parts, inputs, drawn = open_trips(
        demos, roads.network, test=test, divided=split, by=by, seed=seed, validation=validation
    )
    check_aside(roads.network, parts, goal)
    demand = demand_of(parts.all)
    changes = read_changes(roads.network, demand, close_arc, move_goal)
    run.manifest["inputs"] |= roads.inputs | inputs
    if drawn:
        run.manifest["seeds"] |= {"split": seed}
    _record(run, roads, parts)
    return Job(roads, parts, demand, changes)


def _record(run: Run, roads: Roads, parts: Parts) -> None:
    """Note which network and which trips it was."""
    network = roads.network
    run.manifest["problem"] = {
        "title": roads.title,
        "source": "file",
        "links": network.links,
        "arcs": network.arcs,
        "final_links": int(network.final.sum()),
        "goals": len(np.unique(np.concatenate([trips.goals for trips in parts.all]))),
        "trips": {name: _facts(trips) for name, trips in parts._asdict().items() if trips is not None},
    }


def _facts(trips: Trips) -> dict[str, Any]:
    groups = None if trips.groups is None else len(set(trips.groups))
    return {"trips": trips.count, "decisions": trips.steps, "groups": groups}


def open_roads(problem: str | Path, features: str | Path | None, links: str | Path | None) -> Roads:
    """Read a network and features of its arcs.

    Args:
        problem: CSV with a row per arc: from, to, and possibly features.
        features: names of columns of that file, with commas between them; or another file with the columns from
            and to, alone or followed by a colon and names of its columns; every other column unless given.
        links: CSV with a row per link: link, and possibly x, y (its middle) or from_x, from_y, to_x, to_y (its
            ends), for pictures.

    Raises:
        InputError: for files that are missing, malformed, or do not fit each other.
    """
    network = read_network(problem, links)
    path, columns = _features_named(problem, features)
    table, names = read_arc_features(path, network, columns)
    inputs = {"network": file_hash(problem)}
    if Path(path) != Path(problem):
        inputs["features"] = file_hash(path)
    ends = None
    if links is not None:
        inputs["links"] = file_hash(links)
        ends = _ends(links)
    return Roads(
        network,
        table,
        names,
        "/".join(part for part in (Path(problem).parent.name, Path(problem).name) if part),
        ends,
        inputs,
    )


def _features_named(
    problem: str | Path, features: str | Path | None
) -> tuple[str | Path, tuple[str, ...] | None]:
    """The file that holds the features, and the columns wanted, or None for all of them."""
    if features is None:
        return problem, None
    text = str(features)
    if Path(text).is_file():
        return text, None
    path, colon, columns = text.rpartition(":")
    if colon and Path(path).is_file():
        return path, _words(columns)
    if text.lower().endswith((".csv", ".csv.gz")):
        return text, None
    return problem, _words(text)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _ends(links: str | Path) -> np.ndarray | None:
    table, lines = read_columns(links, ("link",), "links")
    if not set(ENDS) <= set(table):
        return None
    columns = [as_numbers(table[name], name, links, lines) for name in ENDS]
    return np.stack(columns, 1).reshape(-1, 2, 2)


def open_trips(
    demos: str | Path,
    network: Network,
    *,
    test: float | str | Path | None,
    divided: str | Path | None,
    by: By,
    seed: int,
    validation: float | None = None,
) -> tuple[Parts, dict[str, str], bool]:
    """Read trips, and put some of them aside.

    Args:
        demos: file of trips.
        test: a share in (0, 1) to put aside at random; or another file of trips; or None.
        divided: CSV with the columns trip (or trajectory) and split, which says train, validation or test of each
            trip; instead of a share.
        by: "group" never tears the trips of a group apart. seed: of the shares.
        validation: share of the trips that are left to put aside for validation, unless `divided` says which.

    Returns:
        The trips, the SHA-256 of each file, and whether anything was drawn at random.
    """
    trips = read_trips(demos, network)
    inputs = {"trips": file_hash(demos)}
    share = _share(test)
    key = jax.random.key(seed, impl="threefry2x32")
    held, checked = None, None
    if divided is not None:
        if test is not None:
            raise InputError(
                "give either a test share (or file), or a file that says how trips are split; got both."
            )
        inputs["split"] = file_hash(divided)
        header = read_columns(divided, ("split",), "labels of trips")[0]
        name = "trajectory" if "trajectory" in header and "trip" not in header else "trip"
        found = _labelled(trips, read_labels(divided, trajectory=name), Path(divided).name)
        odd = [label for label in found if label not in Parts._fields]
        if odd or "train" not in found:
            raise InputError(
                f"{Path(divided).name} must label trips train, test or validation, and some of them train; it has "
                f"{', '.join(map(repr, found))}."
            )
        trips, held, checked = found["train"], found.get("test"), found.get("validation")
    elif share is not None:
        trips, held = _apart(trips, share, jax.random.fold_in(key, 0), by)
    elif test is not None:
        held = read_trips(cast("str | Path", test), network)
        inputs["test trips"] = file_hash(cast("str | Path", test))
    drawn = divided is None and share is not None
    if checked is None and validation is not None:
        drawn = True
        trips, checked = _apart(trips, validation, jax.random.fold_in(key, 1), by)
    return Parts(trips, checked, held), inputs, drawn


def check_aside(network: Network, parts: Parts, goal: Goal) -> None:
    """Refuse trips for validation and test that the network does not allow, before anything is fitted to the others.

    Raises:
        InputError: for a step that is no arc, or a trip that passes its goal where it must not.
    """
    for name, trips in (("validation", parts.validation), ("test", parts.test)):
        if trips is not None:
            try:
                evidence(network, trips, goal)
            except InputError as error:
                raise InputError(f"among the trips for {name}, {error}") from error


def _apart(trips: Trips, share: float, key: jax.Array, by: By) -> tuple[Trips, Trips]:
    chosen = aside(trips.count, trips.groups, test=share, key=key, by=by)
    return trips.take(~chosen), trips.take(chosen)


def _labelled(trips: Trips, labels: dict[str, str], name: str) -> dict[str, Trips]:
    """The trips under each label."""
    missing = [trip for trip in trips.ids if trip not in labels]
    if missing:
        raise InputError(
            f"{name} does not say of trip {missing[0]!r} where it belongs ({len(missing)} such trips in all)."
        )
    found = np.array([labels[trip] for trip in trips.ids])
    return {label: trips.take(found == label) for label in dict.fromkeys(found.tolist())}


def _share(test: Any) -> float | None:
    """The share that `test` is, or None where it is none."""
    try:
        return None if test is None else float(str(test))
    except ValueError:
        return None


def demand_of(parts: Sequence[Trips]) -> Demand:
    """From where to where the trips go, all together."""
    ends = np.concatenate([np.stack([trips.origins, trips.goals], 1) for trips in parts])
    weights = np.concatenate([trips.weights for trips in parts])
    pairs, pair = np.unique(ends, axis=0, return_inverse=True)
    return Demand(pairs[:, 0], pairs[:, 1], np.bincount(pair.reshape(-1), weights))


def read_changes(
    network: Network, demand: Demand, close_arc: Sequence[str], move_goal: Sequence[str]
) -> Changes:
    """Arcs to close and goals to move, each written as two links with a comma between them.

    Raises:
        InputError: for anything else, links or arcs that the network does not have, and goals that no trip has.
    """
    closed = []
    for text in close_arc:
        ends = _two_links(network, text, "an arc to close")
        arc = int(network.arc_numbers(*ends))
        if arc < 0:
            ways = [network.ids[i] for i in network.arc_to[network.arc_from == ends[0]]]
            after = f"after it come {', '.join(ways[:SHOWN])}" if ways else "nothing leaves it"
            raise InputError(
                f"no arc leads from link {network.ids[ends[0]]} to {network.ids[ends[1]]}, so none can be closed; "
                f"{after}."
            )
        closed.append(arc)
    moved = {}
    for text in move_goal:
        old, new = _two_links(network, text, "a goal to move")
        if old not in demand.goals:
            known = [network.ids[i] for i in np.unique(demand.goals)]
            more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
            raise InputError(
                f"no trip has the goal {network.ids[old]}, so it cannot move; goals are "
                f"{', '.join(known[:SHOWN])}{more}."
            )
        if old in moved or old == new:
            raise InputError(
                f"goal {network.ids[old]} can move to one other link; got {', '.join(move_goal)}."
            )
        moved[old] = new
    return Changes(np.array(sorted(set(closed)), int), moved)


def _two_links(network: Network, text: str, what: str) -> tuple[int, int]:
    names = [name.strip() for name in str(text).split(",")]
    if len(names) != 2:
        raise InputError(f"{what} is written as two links with a comma between them; got {text!r}.")
    first, second = network.numbers(names)
    return int(first), int(second)
