"""Why the sum over all ways can be infinite: a loop that pays for itself, or too many that do not.

The sum of the weights of all ways converges when the spectral radius of M = exp(reward / temperature) is below 1.
Two different things can go wrong. Let mu* be the largest mean reward per step of any loop.
    mu* >= 0: a loop costs nothing, and may be driven for ever. No temperature helps.
    mu* < 0 and spectral radius >= 1: every loop costs something, but there are so many that wandering outweighs
        arriving. Since radius(exp(s u))^(1/s) falls to exp(mu*) as s grows, a low enough temperature always helps.

Source: Howard (1960) for mu*; Collatz (1942) and Wielandt (1950) for the radius.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from maxentrl.infer.first_passage import LARGEST, Passages

NAMED = 8
"""Links of a loop listed by name in a message; the rest are counted."""


class Growth(NamedTuple):
    """log_radius: of M, nats; -inf without loops. share: [m] its derivative in each arc's log-weight; sums to 1."""

    log_radius: float
    share: np.ndarray


def loop_growth(asked: Passages, log_weight: np.ndarray, sweeps: int = 200) -> Growth:
    """The spectral radius of M = exp(log_weight) [m], and what each arc contributes to it, by power iteration.

    With left and right vectors l, r the estimate is l M r / l r, whose error is the product of theirs.
    """
    inside, leaves, enters, size = _loops(asked, log_weight)
    share = np.zeros(len(log_weight))
    if not len(inside):
        return Growth(-np.inf, share)
    highest = float(log_weight[inside].max())
    weight = np.exp(log_weight[inside] - highest)
    onward = sp.csr_matrix((weight, (leaves, enters)), shape=(size, size))
    backward = onward.T.tocsr()
    right, left = np.ones(size), np.ones(size)
    for _ in range(sweeps):
        reached = onward @ right
        # A shift lets loops of even length settle.
        shift = 0.1 * float((reached / right).max())
        right, left = reached + shift * right, backward @ left + shift * left
        # No entry is lost to underflow: one that is a millionth of the smallest number would divide by zero.
        right = np.maximum(right / right.max(), 1e-200)
        left = np.maximum(left / left.max(), 1e-200)
    part = left[leaves] * weight * right[enters]
    share[inside] = part / part.sum()
    return Growth(float(np.log(part.sum() / (left @ right))) + highest, share)


def best_loop(asked: Passages, reward: np.ndarray) -> tuple[float, np.ndarray]:
    """The largest mean reward per step of any loop, and the places in `asked.arcs` of its arcs, in order.

    Howard's policy iteration: each link keeps one arc; following them leads into a loop, whose mean and the
    rewards on the way say which arcs to change.

    Args:
        reward: [m].
    """
    inside, leaves, enters, size = _loops(asked, reward)
    if not len(inside):
        return -np.inf, np.zeros(0, int)
    u = reward[inside]
    first = np.searchsorted(leaves, np.arange(size))
    small = 1e-12 * (1 + np.abs(u).max())
    doublings = int(np.ceil(np.log2(size))) + 1
    chosen = _best_arcs(u, leaves, first)
    best, loop = -np.inf, np.zeros(0, int)
    for _ in range(1000):
        step = enters[chosen]
        mean, ahead, root = _follow(step, u[chosen], doublings)
        s = int(mean.argmax())
        if mean[s] > best:
            best, around = float(mean[s]), [int(root[s])]
            while (after := int(step[around[-1]])) != around[0]:
                around.append(after)
            loop = inside[chosen[around]]
        to_better = mean[enters] > mean[leaves] + small
        if to_better.any():
            arcs = _best_arcs(mean[enters], leaves, first)
            change = mean[enters[arcs]] > mean + small
        else:
            gain = np.where(mean[enters] >= mean[leaves] - small, u - mean[leaves] + ahead[enters], -np.inf)
            arcs = _best_arcs(gain, leaves, first)
            change = gain[arcs] > ahead + 10 * small
        if not change.any():
            break
        chosen = np.where(change, arcs, chosen)
    return best, loop


def _follow(step: np.ndarray, reward: np.ndarray, doublings: int) -> tuple[np.ndarray, ...]:
    """For one arc out of each link: the mean reward of the loop it leads into, the rewards above that mean until
    one link of the loop (its root), and that root."""
    size = len(step)
    far, lowest = step, np.minimum(np.arange(size), step)
    for _ in range(doublings):
        lowest = np.minimum(lowest, lowest[far])
        far = far[far]
    # After as many steps as there are links one is on a loop, whose root is its lowest number.
    root = lowest[far]
    on_loop = np.zeros(size, bool)
    on_loop[far] = True
    total = np.bincount(root[on_loop], reward[on_loop], minlength=size)
    length = np.bincount(root[on_loop], minlength=size)
    mean = (total / np.maximum(length, 1))[root]
    ahead, far = reward - mean, step.copy()
    roots = np.unique(root)
    ahead[roots], far[roots] = 0.0, roots
    for _ in range(doublings):
        ahead = ahead + ahead[far]
        far = far[far]
    return mean, ahead, root


def _best_arcs(value: np.ndarray, leaves: np.ndarray, first: np.ndarray) -> np.ndarray:
    """[links]: the first arc of each link whose value is largest."""
    top = np.maximum.reduceat(value, first)[leaves]
    hit = np.flatnonzero(value == top)
    return hit[np.searchsorted(leaves[hit], np.arange(len(first)))]


def _loops(asked: Passages, reward: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """The open arcs that lie on loops (places in `asked.arcs`, by the link they leave), and their ends
    renumbered."""
    is_open = reward > -np.inf
    ends = asked.leaves[is_open], asked.enters[is_open]
    graph = sp.csr_matrix((np.ones(len(ends[0])), ends), shape=(asked.states,) * 2)
    part = connected_components(graph, connection="strong")[1]
    inside = np.flatnonzero(is_open & (part[asked.leaves] == part[asked.enters]))
    links, new = np.unique(asked.leaves[inside], return_inverse=True)
    enters = np.searchsorted(links, asked.enters[inside])
    return inside, new.reshape(-1), enters, len(links)


def why_infinite(asked: Passages, log_weight: np.ndarray, temperature: float) -> str:
    """One sentence: why there is no finite solution at these log-weights [m] (reward / temperature)."""
    ids, arcs = asked.network.ids, asked.arcs
    mean, loop = best_loop(asked, log_weight)
    links = asked.network.arc_from[arcs[loop]]
    shown = " -> ".join(ids[k] for k in [*links[:NAMED], *([] if len(links) > NAMED else links[:1])])
    shown += f" -> ... ({len(links)} links)" if len(links) > NAMED else ""
    if mean >= -1e-12 * (1 + float(np.abs(log_weight[loop]).max(initial=0.0))):
        return (
            f"a loop pays for itself, so that trips would never end: links {shown} earn {mean * temperature:.4g} per "
            "step, and a loop must cost something. No temperature helps."
        )
    if log_weight.max() > LARGEST:
        e = int(log_weight.argmax())
        return (
            f"the arc from {ids[asked.network.arc_from[arcs[e]]]} to {ids[asked.network.arc_to[arcs[e]]]} earns "
            f"{log_weight[e]:.4g} times the temperature, whose exponential leaves the number format (limit {LARGEST:g})."
        )
    radius = np.exp(loop_growth(asked, log_weight, 2000).log_radius)
    if abs(radius - 1) < 1e-6:
        return (
            f"the spectral radius of exp(reward / temperature) is 1 to within {abs(radius - 1):.1g}, and must be below "
            "1: this is the boundary beyond which wandering outweighs arriving."
        )
    return (
        f"every loop costs something (the cheapest, links {shown}, {-mean * temperature:.4g} per step), but loops are "
        "so many that wandering outweighs arriving: the spectral radius of exp(reward / temperature) is "
        f"{radius:.4g}, and must be below 1. Lower the temperature, or make steps cost more."
    )
