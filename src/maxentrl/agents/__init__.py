"""Agents that learn from samples, each an `Agent`: a value made of pure functions."""

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from maxentrl.agents.discrete_sac import DiscreteSACSettings, discrete_sac
from maxentrl.agents.sac import SACSettings, sac
from maxentrl.agents.sac_v1 import SACv1Settings, sac_v1
from maxentrl.agents.soft_dqn import SoftDQNSettings, soft_dqn
from maxentrl.agents.soft_pg import EntropyBonusPGSettings, SoftPGSettings, entropy_bonus_pg, soft_pg
from maxentrl.agents.soft_q import SoftQSettings, soft_q
from maxentrl.core.check import InputError
from maxentrl.core.contracts import Agent


class Kind(NamedTuple):
    """make: settings -> `Agent`. settings: the frozen dataclass that it takes."""

    make: Callable[[Any], Agent]
    settings: type


AGENTS: dict[str, Kind] = {
    "soft_q": Kind(soft_q, SoftQSettings),
    "soft_dqn": Kind(soft_dqn, SoftDQNSettings),
    "soft_pg": Kind(soft_pg, SoftPGSettings),
    "entropy_bonus_pg": Kind(entropy_bonus_pg, EntropyBonusPGSettings),
    "discrete_sac": Kind(discrete_sac, DiscreteSACSettings),
    "sac": Kind(sac, SACSettings),
    "sac_v1": Kind(sac_v1, SACv1Settings),
}
"""All agents by name."""


def kind(name: str) -> Kind:
    """An agent's maker and settings by its name.

    Raises:
        InputError: for a name that is unknown, which says what there is.
    """
    if name not in AGENTS:
        near = difflib.get_close_matches(name.lower().replace("-", "_"), AGENTS, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError(f"there is no agent {name!r}{hint}; there are {', '.join(AGENTS)}.")
    return AGENTS[name]


def make(name: str, settings: Mapping[str, Any] | None = None) -> Agent:
    """An agent by name, with settings by name; lists stand for tuples, as they do in JSON.

    Raises:
        InputError: for an agent or a setting that is unknown, or a setting out of range.
    """
    maker, form = kind(name)
    known = [field.name for field in dataclasses.fields(form)]
    given = {
        key: tuple(value) if isinstance(value, list) else value for key, value in (settings or {}).items()
    }
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise InputError(f"{name} has no setting {key!r}{hint}; it has {', '.join(known)}.")
    return maker(form(**given))


__all__ = [
    "AGENTS",
    "DiscreteSACSettings",
    "EntropyBonusPGSettings",
    "Kind",
    "SACSettings",
    "SACv1Settings",
    "SoftDQNSettings",
    "SoftPGSettings",
    "SoftQSettings",
    "discrete_sac",
    "entropy_bonus_pg",
    "kind",
    "make",
    "sac",
    "sac_v1",
    "soft_dqn",
    "soft_pg",
    "soft_q",
]
