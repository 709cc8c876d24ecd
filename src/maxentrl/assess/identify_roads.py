"""What trips on a road network can say about the weights of a linear reward, and what they cannot.

A direction d of the weights changes the reward of an arc by f = sum_k d_k features_k. A trip from o to g compares the
ways from o to g, and nothing else. So no trips at all can tell anything about d when f adds up to the same on every
way between two links, which is when it is a difference of potentials,

    f(arc) = potential(link entered) - potential(link left).

A constant is no such difference where two ways differ in how many links they have. Other directions may still be lost
on the trips at hand, where the Fisher information is zero: all ways between the ends of each of these trips have the
same sum.

Source: Ng, Harada & Russell (1999), theorem 1, without discount; Fosgerau, Frejinger & Karlstrom (2013) for the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csc_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from maxentrl.assess.identify import Direction, Identification
from maxentrl.assess.null_spaces import Kind, directions, in_words, length, null_rows, typical
from maxentrl.core.check import InputError, check_shape
from maxentrl.models.network import Network


def identify_roads(
    network: Network,
    features,
    *,
    feature_names: Sequence[str] | None = None,
    fisher=None,
    decisions: float = 1.0,
    temperature: float = 1.0,
) -> Identification:
    """Find the directions of the weights that trips do not identify, and say why.

    Without `fisher` it asks what no trips on this network could tell: a question that can be put before there are any.

    Args:
        network: links and arcs. features: [E, K], of arcs. feature_names: K names; "0", "1", ... unless given.
        fisher: [K, K] Fisher information of the weights in the trips.
        decisions: how many arcs the trips have. temperature: of the drivers. Both only set the scale by which a
            direction is called flat.

    Returns:
        An `Identification`. Potentials of its directions are of links [L], in units of reward.

    Raises:
        InputError: for shapes that do not fit, names that repeat, or features that are not finite.
    """
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
    potentials = _potentials(network, scaled)
    levels: list[tuple[Kind, np.ndarray]] = [
        ("zero", null_rows(scaled, reference)),
        ("shaping", null_rows(scaled - _differences(network, potentials), reference)),
    ]
    found = [
        _direction(network, names, table @ weights, weights, kind, potentials @ (weights / scale))
        for kind, weights in directions(levels, scale, fisher, decisions, temperature)
    ]
    return Identification(names, tuple(found))


def _potentials(network: Network, values: np.ndarray) -> np.ndarray:
    """[L, K]: the potentials of links whose differences along arcs are nearest to values [E, K].

    Normal equations of least squares, with the potential of one link in each connected part held at 0.
    """
    rows = np.repeat(np.arange(network.arcs), 2)
    columns = np.stack([network.arc_to, network.arc_from], 1).ravel()
    slopes = csr_array(
        (np.tile([1.0, -1.0], network.arcs), (rows, columns)), shape=(network.arcs, network.links)
    )
    shape = (network.links, network.links)
    joined = csr_array((np.ones(network.arcs), (network.arc_from, network.arc_to)), shape=shape)
    part = connected_components(joined, directed=False)[1]
    free = np.setdiff1d(np.arange(network.links), np.unique(part, return_index=True)[1])
    found = np.zeros((network.links, values.shape[1]))
    if len(free):
        slopes = slopes[:, free]
        found[free] = splu(csc_array(slopes.T @ slopes)).solve(slopes.T @ values)
    return found


def _differences(network: Network, potentials: np.ndarray) -> np.ndarray:
    return potentials[network.arc_to] - potentials[network.arc_from]


def _direction(network: Network, names, reward, weights, kind: Kind, potential: np.ndarray) -> Direction:
    """The record of one direction, with its sentence. reward: [E] along it."""
    size = float(np.sqrt(np.mean(reward**2)))
    left = float(np.sqrt(np.mean((reward - _differences(network, potential)) ** 2)))
    what, residual = in_words(names, weights), left / size if size > 0 else 0.0
    if kind in ("zero", "collinear"):
        potential, residual = np.zeros_like(potential), 0.0
        reason = "it is zero on every arc" if kind == "zero" else "the features cancel on every arc"
        said = f"{what} is not identified by any trips on this network: {reason}."
    elif kind == "shaping":
        high, low = network.ids[int(potential.argmax())], network.ids[int(potential.argmin())]
        said = (
            f"{what} is not identified by any trips on this network: it is a difference of potentials, so that all "
            f"ways between two links add up to the same (the potential is highest in link {high}, lowest in {low})."
        )
    else:
        said = (
            f"{what} is not identified by these trips: it adds up to the same on all ways between the ends of each of "
            "them. Trips between other links may tell."
        )
    involved = tuple(names[k] for k in np.flatnonzero(weights))
    return Direction(weights, involved, kind, None if kind == "unseen" else potential, residual, said)
