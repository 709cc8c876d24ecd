"""Bad input becomes one sentence: which argument, what was found, what is allowed."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Sequence

import jax
import numpy as np
from jax.core import Tracer

from maxentrl.core.types import Scalar


class InputError(ValueError):
    """The input cannot be used as it is; the message says which part, what was found and what is allowed."""


class InfeasibleError(InputError):
    """The problem has no finite solution; the message names the states that are to blame."""


def is_concrete(*values) -> bool:
    """True when none of the arrays in `values` is a tracer, so their numbers can be looked at."""
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(values))


def check_temperature(temperature: Scalar, name: str = "temperature") -> None:
    """A temperature lies in [0, inf] (units of reward)."""
    if not is_concrete(temperature):
        return
    value = np.asarray(temperature)
    if value.ndim or value.dtype.kind not in "fiu":
        raise InputError(f"{name} must be one number in [0, inf], in units of reward; got {temperature!r}.")
    if not value >= 0:
        raise InputError(f"{name} must lie in [0, inf], in units of reward; got {float(value)}.")


def check_discount(discount: Scalar) -> None:
    """A discount lies in [0, 1]."""
    if not is_concrete(discount):
        return
    value = np.asarray(discount)
    if value.ndim or value.dtype.kind not in "fiu" or not 0 <= value <= 1:
        raise InputError(f"discount must be one number in [0, 1]; got {discount!r}.")


def check_horizon(horizon: int | None) -> None:
    """A horizon is a whole number of steps, at least 1, or None for a stationary problem."""
    if horizon is None:
        return
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer):
        raise InputError(f"horizon must be a whole number of steps, at least 1, or None; got {horizon!r}.")
    if horizon < 1:
        raise InputError(f"horizon must be at least 1 step; got {horizon}.")


def check_tolerance(tolerance: Scalar) -> None:
    """A tolerance is a finite number of at least 0."""
    if not is_concrete(tolerance):
        return
    value = np.asarray(tolerance)
    if value.ndim or value.dtype.kind not in "fiu" or not 0 <= value < math.inf:
        raise InputError(f"tolerance must be a finite number of at least 0; got {tolerance!r}.")


def check_count(count: int, name: str, of: str = "", least: int = 1) -> int:
    """A whole number of at least `least`, as a number of Python's own; `of`: the word for one of what is counted."""
    try:
        found = operator.index(count)
    except TypeError:
        found = None
    if found is None or isinstance(count, bool) or (found < least and not of):
        kind = f"a whole number of {of}s" if of else "a whole number"
        told = count if found is None or isinstance(count, bool) else found
        raise InputError(f"{name} must be {kind}, at least {least}; got {told!r}.")
    if found < least:
        raise InputError(f"{name} must be at least {least} {of}; got {found}.")
    return found


def check_penalty(l2: float) -> None:
    """A penalty on squared weights is a finite number of at least 0."""
    if not 0 <= l2 < math.inf:
        raise InputError(f"l2 must be a number of at least 0; got {l2}.")


def check_choice(value: str, allowed: Sequence[str], name: str) -> None:
    """`value` is one of a few words."""
    if value not in allowed:
        raise InputError(f"{name} must be one of {', '.join(allowed)}; got {value!r}.")


def selected(rows, count: int, what: str) -> np.ndarray:
    """Row numbers from row numbers, or from a truth value for each of `count` rows; at least one of them."""
    given = np.asarray(rows)
    masks = given.dtype == bool and given.shape == (count,)
    if given.size and not masks and (given.ndim != 1 or given.dtype.kind not in "iu"):
        raise InputError(
            f"a selection must be row numbers, or {count} truth values, one per {what}; "
            f"got {given.dtype} {given.shape}."
        )
    if given.size and not masks and (given.min() < -count or given.max() >= count):
        wrong = given.max() if given.max() >= count else given.min()
        raise InputError(f"a selection must hold row numbers from 0 to {count - 1}; got {wrong}.")
    found = np.arange(count)[given] if given.size else np.zeros(0, int)
    if len(found) == 0:
        raise InputError(f"the selection holds no {what}; at least one is needed.")
    return found


def check_shape(array, shape: tuple[int | None, ...], name: str, axes: str) -> None:
    """`array` has this shape (None matches any length); `axes` spells it for the message."""
    found = np.shape(array)
    if len(found) != len(shape) or any(
        want is not None and want != got for want, got in zip(shape, found, strict=True)
    ):
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise InputError(f"{name} must have shape {axes} = ({wanted}); got {found}.")


def available_memory() -> int | None:
    """Bytes of memory that can still be taken on this machine, or None where that cannot be known."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def check_memory(needed: int, what: str, remedy: str) -> None:
    """Refuse work whose estimated size exceeds the memory at hand, before it begins."""
    free = available_memory()
    if free is not None and needed > free:
        raise InputError(
            f"{what} needs about {size(needed)} of memory, and {size(free)} are available; {remedy}."
        )


def size(count: float) -> str:
    """A number of bytes in words."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.3g} {unit}"
        count /= 1000
    raise AssertionError("unreachable")
