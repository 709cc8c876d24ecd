"""Problems of our own, each also a simulator."""

import difflib
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from maxentrl.core.check import InputError
from maxentrl.core.contracts import Env
from maxentrl.envs.binaryworld import binaryworld
from maxentrl.envs.cartpole import cartpole
from maxentrl.envs.chain import chain
from maxentrl.envs.gridworld import gridworld
from maxentrl.envs.landscape import Landscape
from maxentrl.envs.limited import limited
from maxentrl.envs.lottery import lottery
from maxentrl.envs.mountain_car import mountain_car, mountain_car_discrete
from maxentrl.envs.multigoal import multigoal
from maxentrl.envs.objectworld import objectworld
from maxentrl.envs.pendulum import pendulum
from maxentrl.envs.point_mass import point_mass, point_maze
from maxentrl.envs.random_mdp import random_mdp
from maxentrl.envs.simulate import simulate
from maxentrl.models.sources import load_problem
from maxentrl.models.tabular import TabularMDP

PROBLEMS: dict[str, Callable[..., TabularMDP]] = {
    "chain": chain, "gridworld": gridworld, "lottery": lottery, "random_mdp": random_mdp,
}  # fmt: skip
"""Our own finite problems by name."""

SIMULATORS: dict[str, Callable[..., Env]] = {
    "pendulum": pendulum, "cartpole": cartpole, "mountain_car": mountain_car,
    "mountain_car_discrete": mountain_car_discrete, "multigoal": multigoal, "point_mass": point_mass,
    "point_maze": point_maze,
}  # fmt: skip
"""Our own environments with observations in real numbers, by name."""


def make(name: str, **settings: Any) -> Env:
    """A simulator by name: one of our own, a problem file (.npz, .csv), or a tabular Gymnasium id.

    Args:
        name: one of `SIMULATORS` or `PROBLEMS`, a path, or an id such as "FrozenLake-v1".
        settings: arguments of the function of that name; and `limit`, the steps in an episode, for all.

    Raises:
        InputError: for a name that is unknown, which says what there is, or a setting that it does not take.
    """
    if name in SIMULATORS:
        _check_settings(name, SIMULATORS[name], settings)
        return SIMULATORS[name](**settings)
    limit = settings.pop("limit", None)
    _check_kind(name, "limit", limit, int | None)
    return simulate(problem(name, **settings), limit=limit, name=Path(name).stem)


def problem(name: str, **settings: Any) -> TabularMDP:
    """The finite problem that `make` simulates under this name.

    Args:
        name: one of `PROBLEMS`, a path, or an id such as "FrozenLake-v1".
        settings: as for `make`; `limit` is none of the problem's own.

    Raises:
        InputError: as `make` does.
    """
    settings.pop("limit", None)
    if name in PROBLEMS:
        _check_settings(name, PROBLEMS[name], settings, "limit")
        return PROBLEMS[name](**settings)
    if settings:
        raise InputError(f"{name} takes no setting but limit; got {', '.join(settings)}.")
    if not _may_be_elsewhere(name):
        near = difflib.get_close_matches(name.lower(), [*SIMULATORS, *PROBLEMS], 1)
        raise InputError(
            f"there is no environment {name!r}{f' (did you mean {near[0]}?)' if near else ''}; there are "
            f"{', '.join([*SIMULATORS, *PROBLEMS])}, problem files that end in .npz or .csv, and Gymnasium's ids "
            f"with a transition table, such as FrozenLake-v1."
        )
    return load_problem(name)


def _check_settings(name: str, function: Callable, settings: dict[str, Any], *more: str) -> None:
    known = [*inspect.signature(function).parameters, *more]
    unknown = next((setting for setting in settings if setting not in known), None)
    if unknown is not None:
        near = difflib.get_close_matches(unknown, known, 1)
        raise InputError(
            f"{name} has no setting {unknown!r}{f' (did you mean {near[0]}?)' if near else ''}; "
            f"it has {', '.join(known)}."
        )
    hints = typing.get_type_hints(function)
    for setting, value in settings.items():
        _check_kind(name, setting, value, hints[setting])


KINDS = {float: "a number", int: "a whole number", str: "text", types.NoneType: "none"}


def _check_kind(name: str, setting: str, value: Any, hint: Any) -> None:
    if not _fits(value, hint):
        raise InputError(f"{name}: {setting} must be {_kind(hint)}; got {value!r}.")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a setting is of the kind that a function says; of kinds that are not told apart here, all are."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, part) for part in parts)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(_fits(each, parts[1]) for each in value.values())
    if hint in (int, float):
        return isinstance(value, int | hint) and not isinstance(value, bool)
    if origin is typing.Literal:
        return value in parts
    return isinstance(value, hint) if hint in KINDS else True


def _kind(hint: Any) -> str:
    if typing.get_origin(hint) is Mapping:
        return "numbers by name"
    if typing.get_origin(hint) is typing.Literal:
        return f"one of {', '.join(typing.get_args(hint))}"
    return KINDS[hint] if hint in KINDS else " or ".join(_kind(part) for part in typing.get_args(hint))


def _may_be_elsewhere(name: str) -> bool:
    """Whether this names a file, or is Gymnasium's: then what is wrong with it is best said there."""
    if Path(name).suffix.lower() in (".npz", ".csv") or Path(name).exists():
        return True
    import gymnasium

    bare = re.sub(r"-v\d+$", "", name)
    return bare in {re.sub(r"-v\d+$", "", known) for known in gymnasium.registry}


__all__ = [
    "PROBLEMS",
    "SIMULATORS",
    "Landscape",
    "binaryworld",
    "cartpole",
    "chain",
    "gridworld",
    "limited",
    "lottery",
    "make",
    "mountain_car",
    "mountain_car_discrete",
    "multigoal",
    "objectworld",
    "pendulum",
    "point_mass",
    "point_maze",
    "problem",
    "random_mdp",
    "simulate",
]
