"""Settings of agents lie in range: the checks that several agents share."""

from __future__ import annotations

import math
from typing import Any

from maxentrl.core.check import InputError, check_temperature


def check_numbers(name: str, settings: Any, least: dict[str, float], above: dict[str, float]) -> None:
    """Settings are numbers of at least, or above, these.

    Raises:
        InputError: naming the agent, the setting and what is allowed.
    """
    for what, bound in least.items():
        if not bound <= getattr(settings, what) < math.inf:
            raise InputError(f"{name}: {what} must be at least {bound}; got {getattr(settings, what)}.")
    for what, bound in above.items():
        if not bound < getattr(settings, what) < math.inf:
            raise InputError(f"{name}: {what} must be above {bound}; got {getattr(settings, what)}.")


def check_share(name: str, value: float) -> None:
    """A chance, or a share, lies in [0, 1]."""
    if not 0 <= value <= 1:
        raise InputError(f"{name} must lie in [0, 1]; got {value}.")


def check_finite_temperature(name: str, temperature: float) -> None:
    """A temperature at which something can be learned lies in [0, inf)."""
    check_temperature(temperature, f"{name}: temperature")
    if temperature == math.inf:
        raise InputError(
            f"{name}: temperature must be finite; at inf every policy but the uniform one is lost."
        )
