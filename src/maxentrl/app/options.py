"""Options that several commands share, in words. Nothing heavy is imported here, so that --help answers at once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import UseAppendAction, arg

PROBLEM = "gridworld, chain or lottery; a Gymnasium id with a transition table; or a path to .npz or .csv"
OUT = "folder of the run: a new name, an empty folder, or an earlier run of this command, which is then replaced"
DEMOS = "demonstrations: a .csv, .csv.gz or .npz file, or a Minari data set"
FEATURES = "features of states or of state-action pairs, .csv or .npz"

Prior = Literal["uniform", "counting"]


@dataclass(frozen=True, kw_only=True)
class Files:
    """What is read, and where the run goes."""

    problem: Annotated[
        str, arg(metavar="PROBLEM", help=f"{PROBLEM}. A CSV with the columns from and to is a road network")
    ]
    demos: Annotated[str, arg(metavar="FILE", help=f"{DEMOS}; trips on a road network")]
    features: Annotated[
        str | None,
        arg(metavar="FILE", help=f"{FEATURES}; of a road network, its own columns unless given"),
    ] = None
    offset: Annotated[
        Path | None, arg(metavar="FILE", help="fixed part of the reward: one column, like features")
    ] = None
    out: Annotated[Path, arg(metavar="DIR", help=OUT)]


@dataclass(frozen=True, kw_only=True)
class OnRoads:
    """What only road networks have."""

    goal: Annotated[
        Literal["forced", "optional"],
        arg(help="road networks: whether a trip ends on its first arrival at its goal, or may go on"),
    ] = "forced"
    links: Annotated[
        Path | None, arg(metavar="FILE", help="road networks: CSV with places of the links, for maps")
    ] = None


@dataclass(frozen=True, kw_only=True)
class Maps:
    """What is read, once for each map, and where the run goes."""

    problem: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(metavar="PROBLEM", help=f"{PROBLEM}; once for each map"),
    ]
    demos: Annotated[
        UseAppendAction[tuple[str, ...]], arg(metavar="FILE", help=f"{DEMOS}; in the same order")
    ]
    features: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(metavar="FILE", help=f"{FEATURES}; in the same order, with the same names"),
    ]
    out: Annotated[Path, arg(metavar="DIR", help=OUT)]


@dataclass(frozen=True, kw_only=True)
class Clock:
    """How far the demonstrator looks ahead."""

    discount: Annotated[
        float | None,
        arg(help="of the demonstrator, in [0, 1]; 1 without a horizon goes on to a terminal state"),
    ] = None
    horizon: Annotated[
        int | None, arg(help="of the demonstrator, in steps; None if it plans without an end")
    ] = None


@dataclass(frozen=True, kw_only=True)
class Demonstrator:
    """How the demonstrator decides."""

    temperature: Annotated[float, arg(help="of the demonstrator, in units of reward")] = 1.0
    prior: Annotated[
        Prior | None, arg(help="over actions: normalised, or each counted as 1; None keeps the problem's")
    ] = None


@dataclass(frozen=True, kw_only=True)
class Aside:
    """Demonstrations that are not fitted to, but foretold."""

    test: Annotated[
        str | None,
        arg(
            metavar="SHARE|FILE", help="share of the demonstrations to put aside for testing, or more of them"
        ),
    ] = None
    split: Annotated[
        Path | None,
        arg(metavar="FILE", help="CSV with the columns trajectory and split: train, validation or test"),
    ] = None
    by: Annotated[Literal["trajectory", "group"], arg(help="what a share never tears apart")] = "trajectory"
    seed: Annotated[int, arg(help="of whatever is drawn at random")] = 0


@dataclass(frozen=True, kw_only=True)
class Change:
    """What if the world were another?"""

    close_arc: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(
            metavar="STATE,ACTION|FROM,TO",
            help="predict the flows with this action forbidden in this state; with this arc closed",
        ),
    ] = ()
    move_goal: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(
            metavar="FROM,TO", help="predict the flows with this terminal state, or goal of trips, elsewhere"
        ),
    ] = ()

    @property
    def asked(self) -> bool:
        """Whether anything shall change."""
        return bool(self.close_arc or self.move_goal)


CLOCK, DEMONSTRATOR, ASIDE, CHANGE, ON_ROADS = Clock(), Demonstrator(), Aside(), Change(), OnRoads()
"""What holds unless something is said."""


def settings(*groups: Any, **others: Any) -> dict[str, Any]:
    """All options by name, as a run folder keeps them; without its own place, so that the run may be moved."""
    found: dict[str, Any] = {}
    for group in groups:
        found |= {field.name: getattr(group, field.name) for field in dataclasses.fields(group)}
    found.pop("out", None)
    kept = {name: str(value) if isinstance(value, Path) else value for name, value in found.items()}
    return kept | others
