"""Where the number format is chosen: exact inference runs in float64, locally; nothing global is flipped."""

from __future__ import annotations

import functools
import mmap
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

P = ParamSpec("P")
R = TypeVar("R")

ALIGNMENT, LARGE = 64, 1 << 20
"""Bytes: where arrays begin, and from which size on they get memory pages of their own."""


def to_host(tree: R) -> R:
    """Replace every JAX array in `tree` by a NumPy view of the same memory; tracers stay as they are.

    Outside a float64 scope JAX narrows whatever touches a float64 array to float32, with a warning or
    without. A NumPy array does not narrow, and JAX takes the view back without a copy. PRNG keys and arrays
    spread over several hosts stay JAX arrays.
    """

    def leaf(x):
        if not isinstance(x, jax.Array) or isinstance(x, Tracer):
            return x
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) or not x.is_fully_addressable:
            return x
        return np.asarray(x)

    return jax.tree.map(leaf, tree)


def aligned(values, dtype=None) -> np.ndarray:
    """A copy of an array that JAX can take as it lies: contiguous, beginning at a multiple of 64 bytes.

    A large one gets memory pages of its own. Between what is allocated for a moment it would keep the heap
    from shrinking.
    """
    values = np.asarray(values)
    dtype = np.dtype(values.dtype if dtype is None else dtype)
    size = values.size * dtype.itemsize
    buffer = (
        np.frombuffer(mmap.mmap(-1, size), np.uint8)
        if size >= LARGE
        else np.empty(size + ALIGNMENT, np.uint8)
    )
    start = -buffer.ctypes.data % ALIGNMENT
    copy = buffer[start : start + size].view(dtype).reshape(values.shape)
    copy[...] = values
    return copy


def in_double_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Run `function` with 64-bit types enabled, for the duration of the call only.

    `jit`, `vmap` and differentiation from outside work as usual, but for what JAX transposes in the format in force
    outside: gathers (see `taken` in infer/sweep.py), and slices under a second transposition. Where 64-bit types are not
    enabled for the whole process, concrete results come back as NumPy arrays (see `to_host`); where they are, as JAX
    arrays.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if jax.config.read("jax_enable_x64"):
            return function(*args, **kwargs)
        with jax.enable_x64(True):
            result = function(*args, **kwargs)
        return to_host(result)

    return wrapper
