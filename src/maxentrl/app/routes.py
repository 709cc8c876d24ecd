"""Rewards of road networks as whole jobs, from files of arcs and trips to a run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maxentrl.app import pages
from maxentrl.app.record import Run, recording
from maxentrl.app.recipes import kept_warnings, record_estimate
from maxentrl.app.road_files import demand_of, open_roads, open_trips, read_changes
from maxentrl.data.split import By
from maxentrl.infer.first_passage import Goal
from maxentrl.irl import routes
from maxentrl.irl.estimate import Estimate

Say = Callable[[str], object]
"""Receives one line about what is being done."""


class RoutesRecovered(NamedTuple):
    """folder: the run; estimate: the reward; converged: to the optimum or not; answer: all numbers of the report."""

    folder: Path
    estimate: Any
    converged: bool
    answer: dict[str, Any]

    def summary(self) -> str:
        """Lines to print."""
        return self.estimate.summary()


def irl_mce(
    problem: str | Path,
    demos: str | Path,
    features: str | Path | None = None,
    *,
    out: str | Path,
    temperature: float = 1.0,
    goal: Goal = "forced",
    links: str | Path | None = None,
    start: Sequence[float] | None = None,
    l2: float = 0.0,
    test: float | str | Path | None = None,
    split: str | Path | None = None,
    by: By = "trajectory",
    seed: int = 0,
    close_arc: Sequence[str] = (),
    move_goal: Sequence[str] = (),
    say: Say = lambda line: None,
) -> RoutesRecovered:
    """Recover a reward of roads, linear in features of arcs, from trips, and write a run folder.

    Args:
        problem: CSV with a row per arc: the columns from and to, and possibly features.
        demos: CSV of trips; see `maxentrl.data.trips`. The last link of a trip is its goal.
        features: names of columns of `problem` with commas between them; or a file, with or without a colon and
            names of its columns; all columns but from and to unless given.
        temperature: of the drivers, in (0, inf), units of reward.
        goal: "forced" when a trip ends on its first arrival at its goal, "optional" when stopping is a choice.
        links: CSV with a row per link, with places for the maps.
        start: weights at which the search begins, in the order of the features. l2: penalty; see `routes.fit`.
        test: a share of the trips to put aside, or another file of trips, to see whether the reward foretells them.
        split: CSV with the columns trip and split (train or test), instead of a share.
        by: "group" puts whole groups aside. seed: of the share.
        close_arc, move_goal: "FROM,TO" each: what if this arc were closed, if this goal were elsewhere?
        out: the run folder. say: told what is being done.

    Raises:
        InputError: for bad input, before anything is written.
        InfeasibleError: where no weights have a finite solution; the message names the loop that is to blame.
    """
    raise NotImplementedError
