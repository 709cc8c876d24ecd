"""Problems from outside: Gymnasium's transition tables and problem files, by name."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from maxentrl.core.check import InputError, check_shape
from maxentrl.core.types import Array
from maxentrl.models.archive import load_archive, save_problem
from maxentrl.models.edges import load_edges, successor_lists
from maxentrl.models.tabular import TabularMDP

ACTION_NAMES = {
    "FrozenLakeEnv": ("left", "down", "right", "up"),
    "CliffWalkingEnv": ("up", "right", "down", "left"),
    "TaxiEnv": ("south", "north", "east", "west", "pick up", "drop off"),
}
"""What Gymnasium's documentation calls the actions; its tables hold numbers only."""


def load_problem(path_or_name: str | Path) -> TabularMDP:
    """A problem from a file, or from Gymnasium.

    Args:
        path_or_name: a name that ends in .npz (see `load_archive`) or .csv (edge list, see `load_edges`), or
            the id of a Gymnasium environment that has a transition table (see `from_gymnasium`).

    Raises:
        InputError: for a missing or malformed file, another kind of file, or an unknown id.
    """
    path = Path(path_or_name)
    suffix = path.suffix.lower()
    readers = {".npz": load_archive, ".csv": load_edges}
    if os.path.isdir(path):
        raise InputError(f"{path} is a folder; a problem is a file that ends in .npz or .csv.")
    if suffix in readers and not os.path.exists(path):
        raise InputError(f"there is no file {path}.")
    if suffix not in readers and os.path.exists(path):
        raise InputError(f"{path} is not a problem file; those end in .npz or .csv.")
    return readers[suffix](path) if suffix in readers else from_gymnasium(str(path_or_name))


def from_gymnasium(
    env: Any, *, prior: Literal["uniform", "counting"] | Array = "uniform", **make_kwargs: Any
) -> TabularMDP:
    """The finite decision process in a Gymnasium environment, from its own table `env.unwrapped.P`.

        P(s'|s,a) = sum of p,   r(s,a) = sum of p reward,   over the entries (p, s', reward, flag) of P[s][a]

    In the table, termination is a flag of transitions; here it belongs to states. A state is terminal if a
    flagged transition leads to it, no live state enters it otherwise, and nothing starts there; what the
    table lets happen in it afterwards is ignored. Where a flagged transition leads to a state that is also
    entered without the flag (in Taxi), its probability goes to one more state, the last one, named "exit".
    Time limits are no part of the problem.

    A reward that is paid on arrival is averaged over the next states, because rewards belong to state and
    action here. Under given dynamics nothing is lost. Under posterior dynamics every attempt is paid the
    average, whatever comes of it, and the tilted dynamics imagine that it fails and can be repeated: values
    can exceed the largest payoff. Where that is not meant, let the state that is reached pay, a step later.

    Args:
        env: an id such as "FrozenLake-v1" (the newest version when it has none), or an environment.
        prior: action prior, as for `TabularMDP`.
        **make_kwargs: for `gymnasium.make`, such as `is_slippery=False` or `map_name="8x8"`.

    Returns:
        A `TabularMDP` with successor lists; it starts as `initial_state_distrib` says (without one,
        uniformly over the live states), and has coordinates (column, row) where the environment is a grid.

    Raises:
        InputError: for an id that Gymnasium does not have, arguments it does not take, or an environment
            without a table.
    """
    if isinstance(env, str):
        made = _make(env, make_kwargs)
        try:
            return _from_table(made.unwrapped, env, prior)
        finally:
            made.close()
    if make_kwargs:
        raise InputError(
            f"{', '.join(make_kwargs)} can be set where an id is given; this environment is made already."
        )
    inner = getattr(env, "unwrapped", env)
    return _from_table(inner, type(inner).__name__, prior)


def _make(name: str, settings: dict[str, Any]):
    """The environment of this name; the newest version if the name has none."""
    import gymnasium
    from gymnasium.envs.registration import find_highest_version, get_env_id, parse_env_id

    try:
        namespace, bare, version = parse_env_id(name)
        if version is None:
            name = get_env_id(namespace, bare, find_highest_version(namespace, bare))
        with warnings.catch_warnings():
            # Gymnasium warns of an old version, then makes or refuses it; whoever names a version means it.
            warnings.simplefilter("ignore", DeprecationWarning)
            return gymnasium.make(name, **settings)
    except gymnasium.error.UnregisteredEnv:
        raise InputError(
            f"Gymnasium {gymnasium.__version__} has no environment {name!r}; with a transition table it has "
            f"{_tabular_ids()}; problem files end in .npz or .csv."
        ) from None
    except gymnasium.error.DeprecatedEnv:
        raise InputError(
            f"Gymnasium {gymnasium.__version__} no longer has {name!r}; with a transition table it has "
            f"{_tabular_ids()}."
        ) from None
    except (
        gymnasium.error.Error,
        ImportError,
        TypeError,
        ValueError,
        KeyError,
        AttributeError,
        AssertionError,
    ) as error:
        raise InputError(
            f"Gymnasium cannot make {name!r}: {' '.join(str(error).split()).rstrip('.')}."
        ) from None


def _tabular_ids() -> str:
    """The ids of the installed Gymnasium whose environments have a table: its toy texts, except Blackjack."""
    import gymnasium

    return ", ".join(
        spec.id
        for spec in gymnasium.registry.values()
        if ".toy_text." in str(spec.entry_point) and "blackjack" not in str(spec.entry_point)
    )


def _from_table(inner: Any, name: str, prior) -> TabularMDP:
    table = getattr(inner, "P", None)
    if not isinstance(table, Mapping | list | tuple) or not len(table):
        raise InputError(
            f"{name} has no transition table (env.unwrapped.P); environments with one are {_tabular_ids()}."
        )
    states = len(table)
    state, action, successor, probability, reward, flagged = _entries(table, name)
    actions = int(action.max()) + 1
    initial = getattr(inner, "initial_state_distrib", None)
    initial = np.zeros(states) if initial is None else np.asarray(initial, float)
    check_shape(initial, (states,), f"initial_state_distrib of {name}", "[S]")
    terminal = _terminal_states(state, successor, flagged & (probability > 0), probability > 0, initial > 0)
    leaves = flagged & ~terminal[successor] & ~terminal[state]
    leaving = int(leaves.any())
    successor = np.where(leaves, states, successor)
    pair = state * actions + action
    total = states + leaving
    rewards = np.bincount(pair, probability * reward, total * actions)
    offered = np.bincount(pair, minlength=total * actions) > 0
    return TabularMDP(
        successor_lists(state, action, successor, probability, total, actions),
        np.where(offered, rewards, -np.inf).reshape(total, actions),
        prior=prior,
        initial=np.append(initial, np.zeros(leaving)) if initial.any() else None,
        terminal=np.append(terminal, np.ones(leaving, bool)),
        state_names=[*map(str, range(states)), "exit"] if leaving else None,
        action_names=_action_names(inner, actions),
        coordinates=None if leaving else _grid_coordinates(inner, states),
    )


def _entries(table, name: str) -> tuple[np.ndarray, ...]:
    """The table as six arrays: state, action, successor, probability, reward, terminated."""
    states = len(table)
    numbered = table.items() if isinstance(table, Mapping) else enumerate(table)
    try:
        rows = [
            (state, action, *entry)
            for state, choices in numbered
            for action, entries in (choices.items() if isinstance(choices, Mapping) else enumerate(choices))
            for entry in entries
        ]
        columns = np.array(rows, float).T
        state, action, probability, successor, reward, flagged = columns
    except (TypeError, ValueError):
        raise InputError(
            f"the table of {name} must be P[state][action] = [(probability, next state, reward, flag), ...]."
        ) from None
    for number, count, what in (
        (state, states, "state"),
        (successor, states, "state"),
        (action, np.inf, "action"),
    ):
        wrong = ~((number >= 0) & (number < count) & (number % 1 == 0))
        if wrong.any():
            raise InputError(
                f"the table of {name} must number its {states} states, and its actions, from 0; "
                f"it names {what} {number[wrong][0]:g}."
            )
    return (
        state.astype(np.int64),
        action.astype(np.int64),
        successor.astype(np.int64),
        probability,
        reward,
        flagged > 0,
    )


def _terminal_states(state, successor, flagged, possible, start) -> np.ndarray:
    """bool [S]: entered by termination, and never otherwise from a live state; nothing starts there.

    Taking a state off the list makes it live, and its own transitions count from then on; so the list shrinks
    until it agrees with itself.
    """
    terminal = np.zeros(len(start), bool)
    terminal[successor[flagged]] = True
    terminal &= ~start
    while True:
        entered = successor[possible & ~flagged & ~terminal[state]]
        if not terminal[entered].any():
            return terminal
        terminal[entered] = False


def _action_names(inner: Any, actions: int) -> tuple[str, ...] | None:
    names = ACTION_NAMES.get(type(inner).__name__)
    return names if names and len(names) == actions else None


def _grid_coordinates(inner: Any, states: int) -> np.ndarray | None:
    """Column and row [S, 2] of each state, if the environment's map or shape has one cell for each state."""
    shape = np.shape(getattr(inner, "desc", ())) or getattr(inner, "shape", None) or ()
    if len(shape) != 2 or np.prod(shape) != states:
        return None
    row, column = np.divmod(np.arange(states), shape[1])
    return np.stack([column, row], 1)


__all__ = ["from_gymnasium", "load_archive", "load_edges", "load_problem", "save_problem"]
