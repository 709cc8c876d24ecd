"""What a user may name as a problem, and tables of features that go with one."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from maxentrl.app.record import array_hash, file_hash
from maxentrl.core.check import InputError
from maxentrl.core.npz import npz_keys, read_npz
from maxentrl.models.tabular import TabularMDP

OWN = ("gridworld", "chain", "lottery")

SHOWN = 8
"""Known names listed in a message; the rest are counted."""


@dataclass(frozen=True)
class Source:
    """A problem and where it came from.

    mdp: the problem.
    title: its name in reports.
    description: one phrase: the kind of source.
    sha256: of the file, or of the arrays where there is no file.
    """

    mdp: TabularMDP
    title: str
    description: str
    sha256: str

    def facts(self) -> dict[str, Any]:
        """What a manifest says about the problem."""
        form = "dense" if type(self.mdp.transition).__name__ == "Dense" else "successor lists"
        return {
            "title": self.title,
            "source": self.description,
            "states": self.mdp.states,
            "actions": self.mdp.actions,
            "terminal_states": int(np.sum(np.asarray(self.mdp.terminal))),
            "transitions": form,
        }


def open_problem(name: str | Path | TabularMDP) -> Source:
    """A problem by name: one of our own, a file (.npz, .csv), a Gymnasium id; or an MDP as it is.

    Raises:
        InputError: if the file is missing or malformed, Gymnasium does not know the id, or the environment
            has no transition table.
    """
    if isinstance(name, TabularMDP):
        return Source(name, "a problem given as arrays", "arrays", _hash(name))
    text = str(name)
    if text in OWN:
        from maxentrl import envs

        mdp = getattr(envs, text)()
        return Source(mdp, text, "maxentrl's own", _hash(mdp))
    if isinstance(name, Path) or text.lower().endswith((".npz", ".csv")) or Path(text).is_file():
        from maxentrl.models.sources import load_problem

        mdp = load_problem(text)
        return Source(
            mdp,
            "/".join(part for part in (Path(text).parent.name, Path(text).name) if part),
            "file",
            file_hash(text),
        )
    mdp = TabularMDP.from_gymnasium(text)
    return Source(mdp, text, "Gymnasium's own transition table", _hash(mdp))


def read_features(path: str | Path, mdp: TabularMDP) -> tuple[tuple[str, ...], np.ndarray]:
    """Feature names, and features [S, A, F], from a table.

    CSV: a header `state, name, name, ...` gives features of states; `state, action, name, ...` of pairs.
    States and actions by name or number. Terminal states and forbidden actions may be left out, and count 0.
    npz: `features` [S, F] or [S, A, F], and optionally `names` [F].

    Raises:
        InputError: for a file that is missing or malformed, a state or action the problem does not have, a
            row that occurs twice or is missing, a number that is not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"the features file {path} does not exist.")
    names, table = _from_npz(path, mdp) if path.suffix.lower() == ".npz" else _from_csv(path, mdp)
    if not np.isfinite(table).all():
        state, action, k = np.argwhere(~np.isfinite(table))[0]
        raise InputError(
            f"features in {path} must be finite; {names[k]} of state {mdp.state_name(int(state))}, "
            f"action {mdp.action_name(int(action))} is {table[state, action, k]}."
        )
    return names, table


def _from_npz(path: Path, mdp: TabularMDP) -> tuple[tuple[str, ...], np.ndarray]:
    arrays = read_npz(path, ("features", "names"))
    if "features" not in arrays:
        raise InputError(
            f"{path} must hold the array features; it holds {', '.join(npz_keys(path)) or 'nothing'}."
        )
    table = arrays["features"]
    if table.dtype.kind not in "fiub" or table.shape[:-1] not in ((mdp.states,), (mdp.states, mdp.actions)):
        raise InputError(
            f"features in {path} must be numbers [S, F] or [S, A, F] with S = {mdp.states} and A = "
            f"{mdp.actions}; got {table.dtype} {table.shape}."
        )
    table = table.astype(float)
    table = np.repeat(table[:, None], mdp.actions, axis=1) if table.ndim == 2 else table
    numbered = np.array([f"feature {k}" for k in range(table.shape[-1])], dtype=str)
    names = tuple(str(name) for name in arrays.get("names", numbered).reshape(-1))
    if len(names) != table.shape[-1] or len(set(names)) != len(names):
        raise InputError(
            f"names in {path} must be {table.shape[-1]} different names; got {', '.join(names)}."
        )
    return names, table


def _from_csv(path: Path, mdp: TabularMDP) -> tuple[tuple[str, ...], np.ndarray]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as source:
            lines = [[cell.strip() for cell in row] for row in csv.reader(source)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a CSV table: {error}.") from error
    header = lines[0] if lines else []
    keys = 2 if header[1:2] == ["action"] else 1
    names = tuple(header[keys:])
    if header[:1] != ["state"] or not names or len(set(names)) != len(names):
        raise InputError(
            f"{path} must begin with a header: state, then optionally action, then different feature names."
        )
    numbers = (
        {mdp.state_name(s): s for s in range(mdp.states)},
        {mdp.action_name(a): a for a in range(mdp.actions)},
    )
    table = np.full((mdp.states, mdp.actions, len(names)), np.nan)
    seen = np.zeros((mdp.states, mdp.actions), bool)
    for line, row in enumerate(lines[1:], start=2):
        if not any(row):
            continue
        if len(row) != len(header):
            raise InputError(f"{path}, line {line} must have {len(header)} cells; it has {len(row)}.")
        where: list[Any] = [
            _number(cell, *args, path, line)
            for cell, args in zip(row[:keys], _axes(mdp, numbers), strict=False)
        ]
        index = (where[0], where[1] if keys == 2 else slice(None))
        if np.any(seen[index]):
            raise InputError(f"{path}, line {line}: {', '.join(row[:keys])} occurs twice.")
        seen[index] = True
        try:
            table[index] = [float(cell) for cell in row[keys:]]
        except ValueError:
            raise InputError(
                f"{path}, line {line}: features must be numbers; got {', '.join(row[keys:])}."
            ) from None
    needed = ~np.asarray(mdp.terminal)[:, None] & np.isfinite(np.asarray(mdp.log_prior))
    missing = needed & ~seen
    if missing.any():
        state, action = (int(i) for i in np.argwhere(missing)[0])
        pair = f", action {mdp.action_name(action)}" if keys == 2 else ""
        count = int(missing.sum() if keys == 2 else missing.any(1).sum())
        raise InputError(
            f"{path} has no row for state {mdp.state_name(state)}{pair} ({count} missing in all)."
        )
    return names, np.where(seen[:, :, None], table, 0.0)


def _axes(mdp: TabularMDP, numbers: tuple[dict[str, int], dict[str, int]]):
    return (("state", numbers[0], mdp.states), ("action", numbers[1], mdp.actions))


def _number(cell: str, what: str, names: dict[str, int], count: int, path: Path, line: int) -> int:
    """A state or an action by its name, or by its number."""
    if cell in names:
        return names[cell]
    if cell.isdecimal() and int(cell) < count:
        return int(cell)
    shown = list(names)[:SHOWN]
    more = f" and {count - len(shown)} more" if count > len(shown) else ""
    raise InputError(
        f"{path}, line {line}: the problem has no {what} {cell!r}; known are {', '.join(shown)}{more}."
    )


def _hash(mdp: TabularMDP) -> str:
    return array_hash(*jax.tree.leaves(mdp.bare()))
