"""What trips on a road network can say about the weights of a linear reward, and what they cannot.

A direction d of the weights changes the reward of an arc by f = sum_k d_k features_k. A trip from o to g compares the
ways from o to g, and nothing else. So no trips at all can tell anything about d when f adds up to the same on every
way between two links, which is when it is a difference of potentials on the arcs that lead to each goal,

    f(arc) = potential(link entered) - potential(link left).

Mostly it is the same potential for all goals; where few ways meet, each goal may have its own. A constant is no such
difference where two ways differ in how many links they have. Other directions may still be lost
on the trips at hand, where the Fisher information is zero: all ways between the ends of each of these trips have the
same sum.

Source: Ng, Harada & Russell (1999), theorem 1, without discount; Fosgerau, Frejinger & Karlstrom (2013) for the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csc_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.sparse.linalg import splu

from maxentrl.assess.identify import Direction, Identification
from maxentrl.assess.null_spaces import NULL, Kind, directions, in_words, length, null_rows, typical
from maxentrl.core.check import InputError, check_choice, check_shape
from maxentrl.infer.first_passage import Goal
from maxentrl.models.network import Network


def identify_roads(
    network: Network,
    features,
    *,
    feature_names: Sequence[str] | None = None,
    goal: Goal = "forced",
    fisher=None,
    decisions: float = 1.0,
    temperature: float = 1.0,
) -> Identification:
    """Find the directions of the weights that trips do not identify, and say why.

    Without `fisher` it asks what no trips on this network could tell: a question that can be put before there are any.

    Args:
        network: links and arcs. features: [E, K], of arcs. feature_names: K names; "0", "1", ... unless given.
        goal: as in `routes.fit`: where trips end on their first arrival, no loop through a goal is a way to it.
        fisher: [K, K] Fisher information of the weights in the trips.
        decisions: how many arcs the trips have. temperature: of the drivers. Both only set the scale by which a
            direction is called flat.

    Returns:
        An `Identification`. Potentials of its directions are of links [L], in units of reward; None where there is no
        common one for all goals.

    Raises:
        InputError: for shapes that do not fit, names that repeat, or features that are not finite.
    """
    check_choice(goal, ("optional", "forced"), "goal")
    table = np.asarray(features, np.float64)
    check_shape(table, (network.arcs, None), "features", "[E, K]")
    names = tuple(map(str, range(table.shape[1]) if feature_names is None else feature_names))
    if not names or len(names) != table.shape[1] or len(set(names)) != len(names):
        raise InputError(
            f"feature_names must be {table.shape[1]} different names, at least one; got {', '.join(names)}."
        )
    if not np.isfinite(table).all():
        raise InputError(f"features must be finite; {int((~np.isfinite(table)).sum())} entries are not.")
    scale = typical(table)
    scaled = table * scale
    reference = length(scaled)
    common = _potentials(network, scaled, np.ones(network.arcs, bool))
    regions = _regions(network, goal)
    along = np.concatenate([scaled[arcs] for arcs in regions])
    left = np.concatenate(
        [(scaled - _differences(network, _potentials(network, scaled, arcs)))[arcs] for arcs in regions]
    )
    levels: list[tuple[Kind, np.ndarray]] = [
        ("zero", null_rows(scaled, reference)),
        ("shaping", null_rows(left, reference)),
    ]
    found = []
    for kind, weights in directions(levels, scale, fisher, decisions, temperature):
        own = weights / scale
        one = np.linalg.norm((scaled - _differences(network, common)) @ own) <= np.sqrt(NULL) * reference
        size = float(np.linalg.norm(along @ own))
        residual = float(np.linalg.norm(left @ own)) / size if size > 0 else 0.0
        found.append(_direction(network, names, weights, kind, common @ own if one else None, residual))
    return Identification(names, tuple(found))


def _regions(network: Network, goal: Goal) -> list[np.ndarray]:
    """Sets of arcs, bool [E]: no trips can tell what is a difference of potentials on each of them, and only that.

    To begin with there is one for each goal, the arcs on ways to it. Ways to a goal from which the trip could go on for
    good to another are among the ways to that one, so that goals in strongly connected parts that nothing leaves
    suffice. Two sets with a connected overlap are as good as one: every closed walk in both together is a sum of such
    in either.
    """
    shape, found = (network.links, network.links), []
    joined = csr_array((np.ones(network.arcs), (network.arc_from, network.arc_to)), shape=shape)
    count, part = connected_components(joined, connection="strong")
    back = joined.T.tocsr()
    left = part[network.arc_from[part[network.arc_from] != part[network.arc_to]]]
    for last in np.setdiff1d(np.arange(count), left):
        goals = np.flatnonzero(part == last)
        near = np.zeros(network.links, bool)
        near[breadth_first_order(back, goals[0], return_predecessors=False)] = True
        whole = near[network.arc_to]
        for link in goals if goal == "forced" else goals[:1]:
            if any((whole <= other).all() for other in found):
                break
            arcs = whole & (network.arc_from != link) if goal == "forced" else whole
            if arcs.any() and not any((arcs <= other).all() for other in found):
                for other in found:
                    if _overlap(network, arcs, other) <= 1:
                        arcs = arcs | other
                found = [other for other in found if not (other <= arcs).all()] + [arcs]
    return found


def _overlap(network: Network, one: np.ndarray, other: np.ndarray) -> int:
    """In how many parts two sets of arcs meet."""
    shared = np.ones(network.links, bool)
    for arcs in (one, other):
        shared &= (
            np.bincount(network.arc_from[arcs], minlength=network.links)
            + np.bincount(network.arc_to[arcs], minlength=network.links)
            > 0
        )
    return len(np.unique(_parts(network, one & other)[shared]))


def _parts(network: Network, arcs: np.ndarray) -> np.ndarray:
    """[L]: the part of the network, connected by these arcs in any direction, to which each link belongs."""
    ends, shape = (network.arc_from[arcs], network.arc_to[arcs]), (network.links, network.links)
    return connected_components(csr_array((np.ones(len(ends[0])), ends), shape=shape), directed=False)[1]


def _potentials(network: Network, values: np.ndarray, arcs: np.ndarray) -> np.ndarray:
    """[L, K]: the potentials of links whose differences along some arcs, bool [E], are nearest to values [E, K].

    Normal equations of least squares, with the potential of one link in each connected part held at 0.
    """
    count = int(arcs.sum())
    columns = np.stack([network.arc_to[arcs], network.arc_from[arcs]], 1).ravel()
    slopes = csr_array(
        (np.tile([1.0, -1.0], count), (np.repeat(np.arange(count), 2), columns)), shape=(count, network.links)
    )
    firsts = np.unique(_parts(network, arcs), return_index=True)[1]
    free = np.setdiff1d(np.arange(network.links), firsts)
    found = np.zeros((network.links, values.shape[1]))
    if len(free):
        slopes = slopes[:, free]
        found[free] = splu(csc_array(slopes.T @ slopes)).solve(slopes.T @ values[arcs])
    return found


def _differences(network: Network, potentials: np.ndarray) -> np.ndarray:
    return potentials[network.arc_to] - potentials[network.arc_from]


def _direction(
    network: Network, names, weights, kind: Kind, potential: np.ndarray | None, residual: float
) -> Direction:
    """The record of one direction, with its sentence. potential: [L], where all goals have the same."""
    what = in_words(names, weights)
    never = f"{what} is not identified by any trips on this network"
    if kind in ("zero", "collinear"):
        potential, residual = np.zeros(network.links), 0.0
        reason = "it is zero on every arc" if kind == "zero" else "the features cancel on every arc"
        said = f"{never}: {reason}."
    elif kind == "shaping":
        said = f"{never}: it adds up to the same on all ways between two links"
        if potential is None:
            said += ", though not by one potential for all goals."
        else:
            high, low = network.ids[int(potential.argmax())], network.ids[int(potential.argmin())]
            said += (
                ", as it is a difference of potentials (the potential is highest in link "
                f"{high}, lowest in {low})."
            )
    else:
        said = (
            f"{what} is not identified by these trips: it adds up to the same on all ways between the ends of each of "
            "them. Trips between other links may tell."
        )
    involved = tuple(names[k] for k in np.flatnonzero(weights))
    return Direction(weights, involved, kind, None if kind == "unseen" else potential, residual, said)
