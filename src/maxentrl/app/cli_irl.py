"""The commands that recover rewards. Like `cli`, it imports nothing heavy before one of them begins."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, arg
from tyro.extras import SubcommandApp

from maxentrl.app.options import (
    ASIDE,
    CHANGE,
    CLOCK,
    DEMONSTRATOR,
    ON_ROADS,
    Aside,
    Change,
    Clock,
    Demonstrator,
    Files,
    Maps,
    OnRoads,
)
from maxentrl.app.progress import ended, numbers, progress

irl = SubcommandApp()

Start = Annotated[
    str | None,
    arg(metavar="W,W,...", help="weights at which the search starts, in the order of the features"),
]
Penalty = Annotated[float, arg(help="penalty (l2 / 2) * sum of squared weights on the log-likelihood")]
Dynamics = Annotated[
    Literal["given", "posterior"],
    arg(help="given: soft-optimal control. posterior: whole trajectories, luck included"),
]


@irl.command
def mce(
    files: OmitArgPrefixes[Files],
    clock: OmitArgPrefixes[Clock] = CLOCK,
    demonstrator: OmitArgPrefixes[Demonstrator] = DEMONSTRATOR,
    aside: OmitArgPrefixes[Aside] = ASIDE,
    change: OmitArgPrefixes[Change] = CHANGE,
    *,
    l2: Penalty = 0.0,
    start: Start = None,
    loss: Annotated[
        Literal["likelihood", "moments"], arg(help="maximise the likelihood, or match feature expectations")
    ] = "likelihood",
    temperatures: Annotated[
        Literal["given", "free"],
        arg(help="free: one for each group of demonstrators; without --offset the first keeps --temperature"),
    ] = "given",
    roads: OmitArgPrefixes[OnRoads] = ON_ROADS,
) -> int:
    """Maximum causal entropy: weights of features, with standard errors."""
    begin = numbers(start, "start", "-2.5,-1") or None
    with progress() as say:
        if is_network(files.problem):
            from maxentrl.app import routes

            _refuse_moments(loss)
            asked = _network(files, clock, demonstrator, aside, change, roads)
            done = routes.irl_mce(**asked, start=begin, l2=l2, temperatures=temperatures, say=say)
        else:
            from maxentrl.app import irl_runs

            _only_for_roads(files.problem, roads)
            fitting = {"l2": l2, "start": begin, "loss": loss, "temperatures": temperatures}
            done = irl_runs.mce(files, clock, demonstrator, aside, change, **fitting, say=say)
    return ended(done, files.out)


@irl.command
def maxent(
    files: OmitArgPrefixes[Files],
    clock: OmitArgPrefixes[Clock] = CLOCK,
    demonstrator: OmitArgPrefixes[Demonstrator] = DEMONSTRATOR,
    aside: OmitArgPrefixes[Aside] = ASIDE,
    change: OmitArgPrefixes[Change] = CHANGE,
    *,
    l2: Penalty = 0.0,
    start: Start = None,
    method: Annotated[
        Literal["exact", "ziebart2008"], arg(help="exact, or the algorithm as printed in 2008, to compare")
    ] = "exact",
) -> int:
    """Maximum entropy over whole trajectories: forward and backward messages, luck included."""
    with progress() as say:
        from maxentrl.app import irl_runs

        begin = numbers(start, "start", "-2.5,-1") or None
        done = irl_runs.maxent(
            files, clock, demonstrator, aside, change, l2=l2, start=begin, method=method, say=say
        )
    return ended(done, files.out)


@irl.command
def apprenticeship(
    files: OmitArgPrefixes[Files],
    clock: OmitArgPrefixes[Clock] = CLOCK,
    aside: OmitArgPrefixes[Aside] = ASIDE,
    *,
    method: Annotated[
        Literal["max-margin", "projection"],
        arg(help="fewest policies, or one quadratic program instead of one for each"),
    ] = "max-margin",
    tolerance: Annotated[
        float, arg(help="distance to stop at, as a share of the largest expectation")
    ] = 1e-3,
    steps: Annotated[int, arg(help="policies after which the search stops and says so")] = 100,
) -> int:
    """Apprenticeship learning: a mixture of policies that does as well as the expert."""
    with progress() as say:
        from maxentrl.app import irl_margins

        done = irl_margins.apprenticeship(
            files, clock, aside, method=method, tolerance=tolerance, steps=steps, say=say
        )
    return ended(done, files.out)


@irl.command(name="max-margin")
def max_margin(
    maps: OmitArgPrefixes[Maps],
    clock: OmitArgPrefixes[Clock] = CLOCK,
    aside: OmitArgPrefixes[Aside] = ASIDE,
    *,
    method: Annotated[Literal["qp", "subgradient"], arg(help="cutting planes, or subgradient steps")] = "qp",
    regularisation: Annotated[float, arg(help="weight of the length of the weights, positive")] = 1e-2,
    ceiling: Annotated[
        float | None, arg(help="rewards stay at or below it; below 0 where discount is 1 without a horizon")
    ] = None,
    tolerance: Annotated[float, arg(help="gap to stop at, as a share of the objective")] = 1e-3,
    steps: Annotated[int, arg(help="plans of each map after which the search stops and says so")] = 500,
) -> int:
    """Maximum margin planning: weights under which demonstrations beat all else, on several maps."""
    with progress() as say:
        from maxentrl.app import irl_margins

        done = irl_margins.max_margin(
            maps,
            clock,
            aside,
            method=method,
            regularisation=regularisation,
            ceiling=ceiling,
            tolerance=tolerance,
            steps=steps,
            say=say,
        )
    return ended(done, maps.out)


@irl.command(name="deep-maxent")
def deep_maxent(
    files: OmitArgPrefixes[Files],
    clock: OmitArgPrefixes[Clock] = CLOCK,
    demonstrator: OmitArgPrefixes[Demonstrator] = DEMONSTRATOR,
    aside: OmitArgPrefixes[Aside] = ASIDE,
    change: OmitArgPrefixes[Change] = CHANGE,
    *,
    dynamics: Dynamics = "given",
    hidden: Annotated[
        str, arg(metavar="N,N,...", help="units of each hidden layer of the network, all alike")
    ] = "64,64",
    steps: Annotated[int, arg(help="gradient steps at most")] = 500,
    members: Annotated[int, arg(help="networks trained from different beginnings")] = 1,
    validation: Annotated[
        float,
        arg(metavar="SHARE", help="share of what is left to put aside: it says when to stop; 0 for none"),
    ] = 0.1,
    l2: Annotated[
        float, arg(help="road networks: penalty of the linear reward that the search starts at")
    ] = 0.0,
    start: Annotated[
        str | None, arg(metavar="W,W,...", help="road networks: where the search for that one starts")
    ] = None,
    roads: OmitArgPrefixes[OnRoads] = ON_ROADS,
) -> int:
    """Deep maximum entropy: a network of features as the reward."""
    layers = [int(n) if n == int(n) else 0 for n in numbers(hidden, "hidden", "64,64")]
    how = {"hidden": layers, "steps": steps, "members": members, "validation": validation or None}
    with progress() as say:
        if is_network(files.problem):
            from maxentrl.app import routes

            begin = numbers(start, "start", "-2.5,-1") or None
            asked = _network(files, clock, demonstrator, aside, change, roads)
            done = routes.irl_deep(**asked, start=begin, l2=l2, **how, say=say)
        else:
            from maxentrl.app import irl_deep

            _only_for_roads(files.problem, roads)
            done = irl_deep.deep_maxent(
                files, clock, demonstrator, aside, change, dynamics=dynamics, **how, say=say
            )
    return ended(done, files.out)


def is_network(problem: str) -> bool:
    """Whether this names a table of arcs: a CSV file with the columns from and to, and no column state."""
    path = Path(problem)
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    try:
        with open(path, newline="", encoding="utf-8-sig") as source:
            header = {cell.strip() for cell in next(csv.reader(source), [])}
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return {"from", "to"} <= header and "state" not in header


def _network(
    files: Files, clock: Clock, demonstrator: Demonstrator, aside: Aside, change: Change, roads: OnRoads
) -> dict:
    """What a run on a road network is told."""
    _only_for_tables(
        offset=files.offset, discount=clock.discount, horizon=clock.horizon, prior=demonstrator.prior
    )
    return {
        "problem": files.problem,
        "demos": files.demos,
        "features": files.features,
        "out": files.out,
        "test": aside.test,
        "split": aside.split,
        "by": aside.by,
        "seed": aside.seed,
        "close_arc": change.close_arc,
        "move_goal": change.move_goal,
        "temperature": demonstrator.temperature,
        "goal": roads.goal,
        "links": roads.links,
    }


def _only_for_tables(**options: object) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        from maxentrl.core.check import InputError

        raise InputError(
            f"--{given[0]} is not for road networks, where trips go on to their goals, nothing is discounted, and "
            "every arc counts alike."
        )


def _only_for_roads(problem: str, roads: OnRoads) -> None:
    if roads != ON_ROADS:
        from maxentrl.core.check import InputError

        given = "links" if roads.links is not None else "goal"
        raise InputError(
            f"--{given} is for road networks, tables of arcs with the columns from and to; {problem} is none."
        )


def _refuse_moments(loss: str) -> None:
    if loss != "likelihood":
        from maxentrl.core.check import InputError

        raise InputError(
            f"--loss {loss} is not for road networks, where the most likely weights match the features of the trips already."
        )
