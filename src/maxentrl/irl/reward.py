"""Linear rewards: features of states or of actions in states, a fixed offset, and where choices exist at
all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maxentrl.core.check import InputError, check_memory, check_shape
from maxentrl.models.tabular import TabularMDP


def choices(mdp: TabularMDP) -> np.ndarray:
    """bool [S, A]: the allowed actions of live states."""
    return np.isfinite(np.asarray(mdp.log_prior)) & ~np.asarray(mdp.terminal)[:, None]


def check_features(
    mdp: TabularMDP, features, feature_names: Sequence[str] | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Features as a float64 table [S, A, K], 0 where no choice exists, and their K names.

    Args:
        features: [S, A, K]; or [S, K], features of the state in which the action is taken.
        feature_names: K different names; "0", "1", ... unless given.

    Raises:
        InputError: for another shape, names that do not fit, or an entry that is not finite where a choice
            exists.
    """
    table = np.asarray(features)
    if table.dtype.kind not in "fiub" or table.ndim not in (2, 3):
        raise InputError(f"features must be numbers [S, A, K] or [S, K]; got {table.dtype} {table.shape}.")
    if table.ndim == 2:
        check_shape(table, (mdp.states, None), "features", "[S, K]")
        table = np.broadcast_to(table[:, None], (mdp.states, mdp.actions, table.shape[1]))
    check_shape(table, (mdp.states, mdp.actions, None), "features", "[S, A, K]")
    count = table.shape[2]
    if count == 0:
        raise InputError("features must hold at least one feature; got none.")
    check_memory(
        4 * 8 * table.size,
        f"{count} features of {mdp.states} states",
        "use fewer features or aggregate states",
    )
    names = tuple(str(name) for name in (range(count) if feature_names is None else feature_names))
    if len(names) != count or len(set(names)) != count:
        raise InputError(f"feature_names must be {count} different names; got {', '.join(names)}.")
    allowed = choices(mdp)
    wrong = ~np.isfinite(table) & allowed[:, :, None]
    if wrong.any():
        s, a, k = np.argwhere(wrong)[0]
        raise InputError(
            f"features must be finite; feature {names[k]} in state {mdp.state_name(int(s))}, action "
            f"{mdp.action_name(int(a))} is {table[s, a, k]} ({int(wrong.sum())} such entries in all)."
        )
    return np.where(allowed[:, :, None], table, 0).astype(np.float64), names


def check_offset(mdp: TabularMDP, offset) -> np.ndarray:
    """The fixed part of the reward [S, A]; 0 unless given."""
    if offset is None:
        return np.zeros((mdp.states, mdp.actions))
    table = np.asarray(offset)
    check_shape(table, (mdp.states, mdp.actions), "offset", "[S, A]")
    return table
