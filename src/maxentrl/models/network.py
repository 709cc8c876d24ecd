"""Road networks and their like: links, and arcs that say which link may follow which.

State = link, action = the choice of the next link, which is certain. A trip is a sequence of links; its last
one is its goal. Nothing here says when a trip ends: a network serves all goals, and whether arriving at a
goal ends the trip (`goal="forced"`) or is a choice (`goal="optional"`) is said where trips are explained.

Two ways to write a goal down occur in practice:
    an ordinary link: the trip ends on arrival there, although the link has arcs of its own. Use "forced".
    a link of its own that nothing leaves, entered by extra arcs from the links at the destination; these
        arcs are choices like any other, so that a link which can enter the goal can also go on. Nothing can
        leave the goal, so "forced" and "optional" are the same.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence

import numpy as np

from maxentrl.core.check import InputError, check_shape
from maxentrl.core.tables import as_numbers, read_columns

SHOWN = 8
"""Links listed by name in a message; the rest are counted."""


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """L links and E arcs between them. Build it with `network_from_arcs` or `read_network`.

    ids: L names of links, as the user writes them.
    arc_from, arc_to: int32 [E]; the link that each arc leaves, and the one it enters. No arc occurs twice.
    coordinates: float64 [L, 2], for pictures; NaN where unknown; None when no place is known.
    """

    ids: tuple[str, ...]
    arc_from: np.ndarray
    arc_to: np.ndarray
    coordinates: np.ndarray | None = None

    @property
    def links(self) -> int:
        """Number of links L."""
        return len(self.ids)

    @property
    def arcs(self) -> int:
        """Number of arcs E."""
        return len(self.arc_from)

    @property
    def index(self) -> dict[str, int]:
        """The number of each link, by name."""
        return self._index

    @functools.cached_property
    def _index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.ids)}

    @functools.cached_property
    def final(self) -> np.ndarray:
        """bool [L]: links that nothing leaves, where a trip can only end."""
        return np.bincount(self.arc_from, minlength=self.links) == 0

    @functools.cached_property
    def _sorted_arcs(self) -> tuple[np.ndarray, np.ndarray]:
        keys = self.arc_from.astype(np.int64) * self.links + self.arc_to
        order = np.argsort(keys)
        return keys[order], order

    def arc_numbers(self, arc_from, arc_to) -> np.ndarray:
        """[...]: the number of the arc between each two links (by their numbers), or -1 where there is none."""
        known, order = self._sorted_arcs
        keys = np.asarray(arc_from, np.int64) * self.links + np.asarray(arc_to, np.int64)
        place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[place] == keys, order[place], -1)

    def numbers(self, names: Sequence[object]) -> np.ndarray:
        """[n]: the numbers of links, from their names; an unknown one is refused."""
        try:
            return np.array([self.index[str(name)] for name in names], np.int32)
        except KeyError:
            unknown = [str(name) for name in names if str(name) not in self.index]
            raise InputError(
                f"unknown link {unknown[0]!r} ({len(unknown)} unknown in all); known are {self._known()}."
            ) from None

    def _known(self) -> str:
        more = f" and {self.links - SHOWN} more" if self.links > SHOWN else ""
        return ", ".join(self.ids[:SHOWN]) + more


def network_from_arcs(
    arc_from: Sequence[object] | np.ndarray,
    arc_to: Sequence[object] | np.ndarray,
    *,
    ids: Sequence[object] | None = None,
    coordinates=None,
) -> Network:
    """A network from the names of the links that its arcs leave and enter.

    Args:
        arc_from, arc_to: E names each, text or whole numbers.
        ids: all L links, in the order they shall have; in order of their first occurrence unless given.
        coordinates: [L, 2], in the order of ids, which must then be given.

    Raises:
        InputError: for no arc, an arc that occurs twice, a link that ids does not have, wrong shapes.
    """
    leaving, entering = [str(x) for x in arc_from], [str(x) for x in arc_to]
    if len(leaving) != len(entering):
        raise InputError(f"arc_from and arc_to must be equally long; got {len(leaving)} and {len(entering)}.")
    if not leaving:
        raise InputError("a network needs at least one arc; got none.")
    if ids is None and coordinates is not None:
        raise InputError("coordinates need ids, which say whose they are.")
    names = tuple(dict.fromkeys(leaving + entering)) if ids is None else tuple(map(str, ids))
    index = {name: i for i, name in enumerate(names)}
    if len(index) != len(names):
        twice = next(name for i, name in enumerate(names) if index[name] != i)
        raise InputError(f"ids must differ from each other; {twice!r} occurs more than once.")
    unknown = [name for name in leaving + entering if name not in index]
    if unknown:
        raise InputError(
            f"an arc touches link {unknown[0]!r}, which is not among the {len(names)} links given "
            f"({len(unknown)} such ends of arcs in all)."
        )
    found = Network(
        names,
        np.array([index[name] for name in leaving], np.int32),
        np.array([index[name] for name in entering], np.int32),
        None if coordinates is None else _coordinates(coordinates, len(names)),
    )
    keys, order = found._sorted_arcs
    repeated = order[1:][keys[1:] == keys[:-1]]
    if len(repeated):
        e = int(repeated.min())
        raise InputError(
            f"the arc from {leaving[e]} to {entering[e]} occurs more than once "
            f"({len(repeated)} repetitions in all); put a link between where two ways differ."
        )
    return found


def _coordinates(coordinates, links: int) -> np.ndarray:
    array = np.asarray(coordinates, np.float64)
    check_shape(array, (links, 2), "coordinates", "[L, 2]")
    return array


def read_network(path: str | os.PathLike[str], links: str | os.PathLike[str] | None = None) -> Network:
    """Read a network from CSV files.

    Args:
        path: one row per arc, with the columns `from` and `to`; others (features, say) are passed over.
        links: optional file with one row per link and the column `link`, which also gives their order; with
            columns `x` and `y`, where each is; empty where that is not known.
    """
    columns, _ = read_columns(path, ("from", "to"), "arcs")
    if links is None:
        return network_from_arcs(columns["from"], columns["to"])
    table, lines = read_columns(links, ("link",), "links")
    places = None
    if ("x" in table) != ("y" in table):
        raise InputError(f"{os.path.basename(links)} must have both columns x and y, or neither.")
    if "x" in table:
        places = np.full((len(lines), 2), np.nan)
        for k, axis in enumerate("xy"):
            known = np.array([bool(cell.strip()) for cell in table[axis]], bool)
            cells = [cell for cell in table[axis] if cell.strip()]
            places[known, k] = as_numbers(cells, axis, links, np.asarray(lines)[known])
    return network_from_arcs(columns["from"], columns["to"], ids=table["link"], coordinates=places)


def read_arc_features(
    path: str | os.PathLike[str], network: Network, names: Sequence[str] | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Features of arcs [E, K] and their names, from a CSV file with one row per arc, in any order.

    Args:
        path: columns `from`, `to` and one per feature. It may be the network's own file.
        network: what the arcs belong to; each of its arcs must occur exactly once.
        names: the features wanted, in this order; all columns but `from` and `to` unless given.
    """
    columns, rows = read_columns(path, ("from", "to", *(names or ())), "features of arcs")
    wanted = tuple(name for name in columns if name not in ("from", "to")) if names is None else tuple(names)
    if len(set(wanted)) != len(wanted):
        twice = next(name for name in wanted if wanted.count(name) > 1)
        raise InputError(
            f"features must differ from each other; {twice!r} is asked for {wanted.count(twice)} times."
        )
    if not wanted:
        raise InputError(f"{os.path.basename(path)} has no column beside from and to, so no feature.")
    ends = (
        [network.index.get(a, -1) for a in columns["from"]],
        [network.index.get(b, -1) for b in columns["to"]],
    )
    arc = np.where(np.min(ends, 0) < 0, -1, network.arc_numbers(*ends))
    if (arc < 0).any():
        i = int((arc < 0).argmax())
        raise InputError(
            f"{os.path.basename(path)}, row {rows[i]}: the network has no arc from {columns['from'][i]} to "
            f"{columns['to'][i]} ({int((arc < 0).sum())} such rows in all)."
        )
    times = np.bincount(arc, minlength=network.arcs)
    if (times != 1).any():
        e = int((times != 1).argmax())
        raise InputError(
            f"{os.path.basename(path)}: the arc from {network.ids[network.arc_from[e]]} to "
            f"{network.ids[network.arc_to[e]]} must occur once; it occurs {times[e]} times."
        )
    table = np.empty((network.arcs, len(wanted)))
    for k, name in enumerate(wanted):
        table[arc, k] = as_numbers(columns[name], name, path, rows)
    return table, wanted
