"""The distinct successors of each state, over all its actions: on local graphs far fewer than the lists have entries.

A stochastic policy mixes the lists of all actions. Where these share successors (four moves on a grid reach five cells,
in lists of sixteen entries), its transition matrix needs only the distinct ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Integer

from maxentrl.core.types import Array


class SharedSuccessors(NamedTuple):
    """successor: int32 [U, S], the distinct successors of each state (the first repeated where there are fewer);
    slot: int8 [A, K, S], which of them each entry of the lists is."""

    successor: Integer[Array, "U S"]
    slot: Integer[Array, "A K S"]


def shared_successors(successor: Integer[Array, "A K S"]) -> SharedSuccessors | None:
    """Find them on the host; None where the lists share so few that nothing is gained (U > A K / 2)."""
    successor = np.asarray(successor)
    actions, count, states = successor.shape
    entries = successor.reshape(actions * count, states)
    most = min(actions * count // 2, 127)
    # A sample of states tells of most graphs without overlap.
    if most < 1 or _assign(entries[:, :: max(1, states // 1000)], most) is None:
        return None
    found = _assign(entries, most)
    return None if found is None else SharedSuccessors(found[0], found[1].reshape(successor.shape))


def _assign(entries: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Give each entry [E, S] of each state the slot of the first equal one."""
    distinct = np.repeat(entries[:1], most, axis=0)
    slot = np.zeros(entries.shape, np.int8)
    used = np.ones(entries.shape[1], np.int8)
    for e in range(1, len(entries)):
        place = used.copy()
        for u in range(int(used.max()) - 1, -1, -1):
            place[(distinct[u] == entries[e]) & (u < used)] = u
        new = np.flatnonzero(place == used)
        if new.size and used[new].max() >= most:
            return None
        distinct[used[new], new] = entries[e, new]
        used[new] += 1
        slot[e] = place
    return distinct[: int(used.max())], slot
