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
from scipy.sparse import csr_matrix

from maxentrl.core.precision import aligned
from maxentrl.core.types import Array


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
        rest = jnp.asarray(self.rest_probability) * _take(mass, jnp.asarray(self.rest_source))
        target = jnp.asarray(self.rest_target)
        start = start.at[target].add(rest, mode="promise_in_bounds", wrap_negative_indices=False)

        def add(w, arrived):
            return arrived + probability[w] * _take(mass, source[w])

        return lax.fori_loop(0, source.shape[0], add, start)

    def weighted(self, weight) -> Arrivals:
        """The same with P multiplied by weight(action, state) [A, S]: it collects from states alone."""
        weight, states = jnp.reshape(jnp.asarray(weight), -1), self.source.shape[1]
        return Arrivals(
            self.source % states,
            self.probability * _take(weight, jnp.asarray(self.source)),
            self.rest_target,
            self.rest_source % states,
            self.rest_probability * _take(weight, jnp.asarray(self.rest_source)),
        )


def _take(values, index):
    return values.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


def arrivals(successor, probability) -> Arrivals:
    """Turn successor lists [A, K, S] round, on the host, in time and memory proportional to their entries.

    The width is the mean number of arrivals, rounded up: on random graphs a tenth of the entries is then in
    the rest, on grids next to none, and a state that everything leads to lengthens no list but its own.
    """
    _, count, states = np.shape(probability)
    probability = np.asarray(probability).reshape(-1)
    entries = np.flatnonzero(probability > 0).astype(np.int32)
    target = np.asarray(successor).reshape(-1)[entries]
    # A matrix with one entry in each row; turning it to columns sorts the entries by target in linear time.
    one_each = np.arange(len(entries) + 1, dtype=np.int32)
    by_target = csr_matrix((entries, target, one_each), shape=(len(entries), states)).tocsc()
    entry: np.ndarray = by_target.data
    begin: np.ndarray = by_target.indptr
    arriving = np.diff(begin)
    width = -(-len(entries) // states)
    target = np.repeat(np.arange(states, dtype=np.int32), arriving)
    slot = np.arange(len(entries), dtype=np.int32) - np.repeat(begin[:-1], arriving)
    origin = (entry // (count * states)) * states + entry % states
    early = slot < width
    source = np.zeros((width, states), np.int32)
    weight = np.zeros((width, states), probability.dtype)
    source[slot[early], target[early]] = origin[early]
    weight[slot[early], target[early]] = probability[entry[early]]
    late = ~early
    rest = target[late], origin[late], probability[entry[late]]
    return Arrivals(aligned(source), aligned(weight), *rest)
