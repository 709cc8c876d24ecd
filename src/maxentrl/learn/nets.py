"""Fully connected networks as plain trees of arrays: the cheapest state there is to hand to a compiled program."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Layer(NamedTuple):
    """y = x weight + bias; weight [in, out], bias [out]."""

    weight: jax.Array
    bias: jax.Array


class Network(NamedTuple):
    """init: key -> layers. apply: (layers, x [B, in]) -> [B, out]."""

    init: Callable[[jax.Array], tuple[Layer, ...]]
    apply: Callable[[tuple[Layer, ...], jax.Array], jax.Array]


def mlp(
    sizes: Sequence[int], activation: Callable[[jax.Array], jax.Array] = jax.nn.relu, last: float = 1.0
) -> Network:
    """A network of these layer sizes, input first, with `activation` between them and none after the last.

    Weights are drawn from N(0, 1 / in), cut at two standard deviations, those of the last layer times `last`; biases
    are 0. A single pair of sizes is a linear map: with one-hot input, a table.
    """

    def init(key):
        pairs = list(itertools.pairwise(sizes))
        ends = np.cumsum([wide * out for wide, out in pairs])
        # All at once: a program with one draw is compiled in a fraction of the time of one with many.
        drawn = jnp.split(jax.random.truncated_normal(key, -2.0, 2.0, (ends[-1],)), ends[:-1])
        layers = []
        for part, (wide, out) in zip(drawn, pairs, strict=True):
            scale = 1.0 / 0.87962566 / wide**0.5  # of the cut normal
            layers.append(Layer(scale * part.reshape(wide, out), jnp.zeros(out)))
        layers[-1] = layers[-1]._replace(weight=last * layers[-1].weight)
        return tuple(layers)

    return Network(init, lambda layers, x: forward(layers, x, activation))


def forward(
    layers: Sequence[Layer], x, activation: Callable[[jax.Array], jax.Array] = jax.nn.relu
) -> jax.Array:
    """What these layers make of x [B, in], with `activation` between them: [B, out]."""
    for layer in layers[:-1]:
        x = activation(x @ layer.weight + layer.bias)
    return x @ layers[-1].weight + layers[-1].bias


def forward_two(
    layers: Sequence[Layer],
    x,
    y,
    activation: Callable[[jax.Array], jax.Array] = jax.nn.relu,
) -> jax.Array:
    """`forward` of x and y side by side, [B, in_x] and [B, in_y], without laying them so.

    Where a gradient is wanted in y alone, as in an action, nothing is spent on the one in x.
    """
    first, wide = layers[0], x.shape[-1]
    z = x @ first.weight[:wide] + y @ first.weight[wide:] + first.bias
    return z if len(layers) == 1 else forward(layers[1:], activation(z), activation)
