"""How much work the compiler is to do for a program.

Half of the time from nothing to the first gradient step is the compiler's, and most of that is spent on making programs
faster. On a CPU it is told where that is worth it; on accelerators it is left alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
from jax.stages import Wrapped

_ONCE = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
_OFTEN = {"xla_backend_optimization_level": 1}
"""Level 1 runs as fast as higher ones here: the work is in products of matrices, which are not compiled but called."""


def once(function: Callable) -> Wrapped:
    """A program that runs once or twice, such as one that sets up a run: compiled with the least effort."""
    return jax.jit(function, compiler_options=_on_cpu(_ONCE))


def often(function: Callable, donate: tuple[int, ...] = ()) -> Wrapped:
    """A program that runs many times; the arguments at the places `donate` are changed in place."""
    return jax.jit(function, donate_argnums=donate, compiler_options=_on_cpu(_OFTEN))


def _on_cpu(options: dict[str, bool | int]) -> dict[str, bool | int] | None:
    if jax.default_backend() != "cpu":
        return None
    return {name: value for name, value in options.items() if _known(name, value)}


@functools.cache
def _known(name: str, value: bool | int) -> bool:
    """Whether the installed compiler has this option: they come and go, and are no more than advice here."""
    try:
        jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
