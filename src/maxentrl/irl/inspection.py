"""What demonstrations hold, and what is odd about them, before anything is fitted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from maxentrl.core.words import many
from maxentrl.data.trajectories import Trajectories
from maxentrl.irl.demonstrations import faults
from maxentrl.models.tabular import TabularMDP

LISTED = 8
"""Names listed in a sentence; the rest are counted."""


class Inspection(NamedTuple):
    """Facts about demonstrations in a problem.

    lengths: shortest, median and longest, in steps. visited: live states in which something was decided;
    never_visited: bool [S], the live states in which nothing was. copies: trajectories that repeat an earlier
    one step by step. cut_off: those that end in a live state, or do not say where; unknown_ends: the latter.
    impossible: steps that the problem does not know or gives probability zero. sentences: all of it in words;
    first_fault: the first impossible step, or "".
    """

    trajectories: int
    steps: int
    weight: float
    groups: int | None
    lengths: tuple[int, float, int]
    visited: int
    never_visited: np.ndarray
    copies: int
    cut_off: int
    unknown_ends: int
    impossible: int
    first_fault: str
    sentences: tuple[str, ...]


def inspect_demonstrations(mdp: TabularMDP, demos: Trajectories) -> Inspection:
    """Look demonstrations through; nothing is refused, so that all that is wrong can be read at once."""
    wrong = np.zeros(demos.recorded.shape, bool)
    found = [(mask, sentence) for mask, sentence in faults(mdp, demos) if mask.any()]
    for mask, _ in found:
        wrong |= mask
    live = ~np.asarray(mdp.terminal)
    visited = np.zeros(mdp.states, bool)
    states = demos.states[demos.recorded]
    visited[states[states < mdp.states]] = True
    rows = np.concatenate([demos.states, demos.actions, demos.next_states], axis=1)
    first = np.unique(rows, axis=0, return_index=True)[1]
    last = demos.next_states[np.arange(demos.count), demos.lengths - 1]
    ended = (last >= 0) & (last < mdp.states) & np.asarray(mdp.terminal)[np.clip(last, 0, mdp.states - 1)]
    never = live & ~visited
    facts = Inspection(
        trajectories=demos.count,
        steps=demos.steps,
        weight=float(demos.weights.sum()),
        groups=None if demos.groups is None else len(set(demos.groups)),
        lengths=(int(demos.lengths.min()), float(np.median(demos.lengths)), int(demos.lengths.max())),
        visited=int((live & visited).sum()),
        never_visited=never,
        copies=demos.count - len(first),
        cut_off=int((~ended).sum()),
        unknown_ends=int((last < 0).sum()),
        impossible=int(wrong.sum()),
        first_fault=found[0][1] if found else "",
        sentences=(),
    )
    return facts._replace(sentences=tuple(_in_words(mdp, demos, facts, [s for _, s in found], first)))


def _in_words(mdp: TabularMDP, demos: Trajectories, facts: Inspection, found: list[str], first) -> list[str]:
    who = "" if facts.groups is None else f" by {many(facts.groups, 'group')}"
    short, middle, long = facts.lengths
    said = [
        f"{many(facts.trajectories, 'trajectory', 'trajectories')}{who} with {many(facts.steps, 'step')}: "
        f"{short} to {long} each, median {middle:g}."
    ]
    if facts.weight != facts.trajectories:
        said.append(f"Weights sum to {facts.weight:g}.")
    if never := np.flatnonzero(facts.never_visited).tolist():
        between = "; " if mdp.state_names and any("," in name for name in mdp.state_names) else ", "
        names = between.join(mdp.state_name(s) for s in never[:LISTED])
        more = f" and {len(never) - LISTED} more" if len(never) > LISTED else ""
        said.append(
            f"In {len(never)} of {facts.visited + len(never)} live states nothing was decided: {names}{more}."
        )
    if facts.copies:
        repeats = sorted(set(range(demos.count)) - set(first.tolist()))
        said.append(
            f"{many(facts.copies, 'trajectory repeats', 'trajectories repeat')} an earlier one step by step, the first "
            f"{demos.ids[repeats[0]]!r}."
        )
    if facts.cut_off and np.any(mdp.terminal):
        said.append(
            f"{many(facts.cut_off, 'trajectory ends', 'trajectories end')} before a terminal state is reached."
        )
    if facts.unknown_ends:
        said.append(
            f"{many(facts.unknown_ends, 'trajectory does', 'trajectories do')} not say where the last action led."
        )
    return said + found
