"""Networks that follow others slowly."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def polyak(target, online, rate: float):
    """target + rate (online - target), leaf by leaf. Polyak and Juditsky (1992) averaged all; this one forgets."""
    return jax.tree.map(lambda old, new: old + rate * (new - old), target, online)


def copied_every(target, online, step, interval: int):
    """`online` when `step` is a multiple of `interval`, else `target` (Mnih et al. 2015)."""
    now = step % interval == 0
    return jax.tree.map(lambda old, new: jnp.where(now, new, old), target, online)
