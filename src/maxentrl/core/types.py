"""The vocabulary: names for arrays."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import jax
import numpy as np

Array: TypeAlias = jax.Array | np.ndarray
"""What a function returns: a NumPy array, or a JAX array under a transformation or in a 64-bit process."""

Scalar: TypeAlias = int | float | jax.Array | np.ndarray | np.floating
"""A number, a 0-d array, or a traced value."""

Dynamics: TypeAlias = Literal["given", "posterior"]
"""`given`: the dynamics as they are, met by control. `posterior`: imagined, and tilted by luck."""


class Temperatures(NamedTuple):
    """The two temperatures of the one backup, in units of reward, each in [0, inf].

    `action` tempers the step over actions, `state` the step over next states. (0, inf) is value iteration,
    (a, inf) maximum-entropy control, (a, a) exact message passing, (inf, inf) evaluation of the prior.
    """

    action: Scalar
    state: Scalar
