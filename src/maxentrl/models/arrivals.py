"""Successor lists read from the other end: what arrives at each state, from where, with which probability.

Mass that is sent forward is scattered, one entry after the other, because two entries may meet in one state.
Ordered by where they arrive the same entries are gathered instead, in parallel and always in the same order.
The price is a second copy of the transitions, so it is made only for large problems and long horizons.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Integer

from maxentrl.core.precision import aligned
from maxentrl.core.types import Array

REST, CACHE, FEW = 4, 8 << 20, 4
"""What an entry of the rest costs, in entries of a list: it is gathered and scattered, one after the other.
Bytes that a list may read at random without waiting for memory. Mean arrivals below which lists are mostly padding."""


class Arrivals(eqx.Module):
    """The transitions in order of arrival: lists of one width, and a rest where more arrive than it holds.

    source: int32 [W, S]; action * S + state of the w-th entry to arrive in a state. Padding points anywhere.
    probability: [W, S]; its probability; 0 for padding.
    rest_target, rest_source: int32 [R]; rest_probability: [R]; entries beyond W, for states that many lead
    to.
    """

    source: Integer[Array, "W S"]
    probability: Float[Array, "W S"]
    rest_target: Integer[Array, " R"]
    rest_source: Integer[Array, " R"]
    rest_probability: Float[Array, " R"]

    def collect(self, mass) -> jax.Array:
        """sum over entries of mass(source) P [S]: `mass` [A, S], or [S] after `weighted`."""
        mass = jnp.reshape(jnp.asarray(mass), -1)
        source, probability = jnp.asarray(self.source), jnp.asarray(self.probability)
        start = jnp.zeros(source.shape[1], jnp.result_type(probability, mass))
        # The rest is small: it is the one part that is scattered.
        rest = jnp.asarray(self.rest_probability) * take(mass, jnp.asarray(self.rest_source))
        target = jnp.asarray(self.rest_target)
        start = start.at[target].add(rest, mode="promise_in_bounds", wrap_negative_indices=False)

        def add(w, arrived):
            return arrived + probability[w] * take(mass, source[w])

        return lax.fori_loop(0, source.shape[0], add, start)

    def weighted(self, weight) -> Arrivals:
        """The same with P multiplied by weight(action, state) [A, S]: it collects from states alone."""
        weight, states = jnp.reshape(jnp.asarray(weight), -1), self.source.shape[1]
        return Arrivals(
            self.source % states,
            self.probability * take(weight, jnp.asarray(self.source)),
            self.rest_target,
            self.rest_source % states,
            self.rest_probability * take(weight, jnp.asarray(self.rest_source)),
        )


def take(v, index):
    """v[index], for v [S] and indices that were checked when the problem was made."""
    return v.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


def arrivals(successor, probability, *, weighted: bool = False) -> Arrivals:
    """Turn successor lists [A, K, S] round, on the host, in time and memory proportional to their entries.

    weighted: whether this is for `Arrivals.weighted` alone, which collects from one number per state. What is
    collected from [A, S] is read in parts, some actions after the others, so that what a list reads at random stays
    in a core's reach.
    """
    actions, _, states = np.shape(probability)
    together = actions if weighted else _together(np.asarray(probability))
    parts = [
        _turned(
            np.asarray(successor[a : a + together]), np.asarray(probability[a : a + together]), a * states
        )
        for a in range(0, actions, together)
    ]
    source, weight, *rest = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Arrivals(aligned(source), aligned(weight), *rest)


def _together(probability: np.ndarray) -> int:
    """How many actions share their lists: what they read fits into the cache, and lists of few have much padding."""
    actions, _, states = probability.shape
    each = np.count_nonzero(probability) / (actions * states)
    fitting = CACHE // (states * probability.itemsize)
    return int(min(actions, max(1, fitting, np.ceil(FEW / max(each, FEW / actions)))))


def _turned(successor: np.ndarray, probability: np.ndarray, first: int) -> tuple[np.ndarray, ...]:
    """Source and weight [W, S]; target, source and weight [R] of the rest. The first state's number is `first`."""
    from scipy.sparse import csr_matrix  # here, as it takes a tenth of a second that agents do without

    _, count, states = probability.shape
    probability = probability.reshape(-1)
    entries = np.flatnonzero(probability > 0).astype(np.int32)
    target = successor.reshape(-1)[entries]
    # A matrix with one entry in each row; turning it to columns sorts the entries by target in linear time.
    one_each = np.arange(len(entries) + 1, dtype=np.int32)
    by_target = csr_matrix((entries, target, one_each), shape=(len(entries), states)).tocsc()
    entry: np.ndarray = by_target.data
    begin: np.ndarray = by_target.indptr
    arriving = np.diff(begin)
    width = _width(arriving)
    target = np.repeat(np.arange(states, dtype=np.int32), arriving)
    slot = np.arange(len(entries), dtype=np.int32) - np.repeat(begin[:-1], arriving)
    origin = (first + (entry // (count * states)) * states + entry % states).astype(np.int32)
    early = slot < width
    source = np.zeros((width, states), np.int32)
    weight = np.zeros((width, states), probability.dtype)
    source[slot[early], target[early]] = origin[early]
    weight[slot[early], target[early]] = probability[entry[early]]
    late = ~early
    return source, weight, target[late], origin[late], probability[entry[late]]


def _width(arriving: np.ndarray) -> int:
    """The width W of lists for which S W + REST * (entries of the rest) is smallest, from the arrivals at each state.

    On grids that is the mean; on random graphs a little more, and a tenth to a twentieth of the entries is in the
    rest. A state that everything leads to lengthens no list but its own.
    """
    having = np.bincount(arriving)
    # more[w]: the states in which more than w entries arrive. Their sum from w on is what width w leaves over.
    more = len(arriving) - np.cumsum(having)
    rest = np.cumsum(more[::-1])[::-1]
    return int(np.argmin(np.arange(len(having)) * len(arriving) + REST * rest))
