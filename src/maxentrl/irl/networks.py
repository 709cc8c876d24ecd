"""Rewards that are networks: the one used unless another is given, how one is asked, how its numbers are
named and kept."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from maxentrl.core.check import InputError

WIDTH, DEPTH = 64, 2
"""Of the default network: units in a hidden layer, and hidden layers."""

Maker = Callable[[jax.Array], eqx.Module]


class RewardNetwork(eqx.Module):
    """A perceptron on standardised features, which begins as the reward 0.

        r(f) = last(relu(... relu(first((f - shift) / scale))))

    Its last layer begins at zero, so that what it is added to, such as a linear reward that is known to be
    feasible, is where the search starts. shift and scale are [K] and are not learned.
    """

    shift: np.ndarray
    scale: np.ndarray
    perceptron: eqx.nn.MLP

    def __init__(self, features, key: jax.Array, *, width: int = WIDTH, depth: int = DEPTH):
        """Standardise by the features [..., K] of the problem; features that do not vary are only centred."""
        flat = np.asarray(features, float).reshape(-1, np.shape(features)[-1])
        spread = flat.std(0)
        self.shift = flat.mean(0)
        self.scale = np.where(spread > 0, spread, 1.0)
        perceptron = eqx.nn.MLP(flat.shape[1], "scalar", width, depth, key=key)
        self.perceptron = eqx.tree_at(
            lambda net: (net.layers[-1].weight, net.layers[-1].bias),
            perceptron,
            replace_fn=jnp.zeros_like,
        )

    def __call__(self, features):
        """[K] -> []."""
        shift, scale = jax.lax.stop_gradient((self.shift, self.scale))
        return self.perceptron((features - shift) / scale)


def ask(network, features, whole: bool) -> jax.Array:
    """What the network says of every row of features [..., K], as [...]; or of all of them at once."""
    if whole:
        return network(features)
    flat = jnp.asarray(features).reshape(-1, features.shape[-1])
    return jax.vmap(network)(flat).reshape(features.shape[:-1])


def check_numbers(features) -> np.ndarray:
    """Features of any shape as float64, all of them finite.

    Raises:
        InputError: for an array of something else, and for the first entry that is not finite.
    """
    table = np.asarray(features)
    if table.dtype.kind not in "fiub":
        raise InputError(f"features must be numbers; got {table.dtype}.")
    if not np.isfinite(table).all():
        at = tuple(map(int, np.argwhere(~np.isfinite(table))[0]))
        raise InputError(f"features must be finite; entry {at} is {table[at]}.")
    return table.astype(np.float64)


def network_in_float64(network):
    """The network with every number in float64: a likelihood is compared with its neighbours to many
    digits."""

    def leaf(x):
        real = _is_array(x) and jnp.issubdtype(x.dtype, jnp.floating)
        return jnp.asarray(x, jnp.float64) if real else x

    return jax.tree.map(leaf, network)


def _is_array(x) -> bool:
    return isinstance(x, np.ndarray | jax.Array)


def parameters(network) -> dict[str, np.ndarray]:
    """The arrays of a network by the path at which they stand in it, such as perceptron.layers[0].weight."""
    found, _ = jax.tree_util.tree_flatten_with_path(eqx.filter(network, _is_array))
    return {jax.tree_util.keystr(path).removeprefix("."): np.asarray(leaf) for path, leaf in found}


def with_parameters(network, arrays: dict[str, np.ndarray]):
    """The network with these arrays in the places that `parameters` names.

    Raises:
        InputError: when the places or their shapes are not those of the network.
    """
    wanted = parameters(network)
    for name in sorted(wanted.keys() ^ arrays.keys()):
        where = "the file" if name in arrays else "the network"
        raise InputError(f"the network does not fit the file: {name} is only in {where}.")
    for name, array in wanted.items():
        if array.shape != arrays[name].shape:
            raise InputError(
                f"the network does not fit the file: {name} has shape {array.shape} in the network and "
                f"{arrays[name].shape} in the file."
            )
    arrays_of, rest = eqx.partition(network, _is_array)
    paths, tree = jax.tree_util.tree_flatten_with_path(arrays_of)
    leaves = [arrays[jax.tree_util.keystr(path).removeprefix(".")] for path, _ in paths]
    return eqx.combine(jax.tree_util.tree_unflatten(tree, leaves), rest)


def first_not_finite(tree) -> str | None:
    """The name of the first array with an entry that is not finite."""
    return next((name for name, x in parameters(tree).items() if not np.isfinite(x).all()), None)
