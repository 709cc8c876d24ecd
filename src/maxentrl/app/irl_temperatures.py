"""Temperatures by group in a run: what can be asked of them, and what the folder keeps."""

from __future__ import annotations

from maxentrl.app import plots_irl
from maxentrl.app.options import Aside, Change
from maxentrl.app.pages_temperatures import LIMIT
from maxentrl.app.record import Run
from maxentrl.core.check import InputError
from maxentrl.data.trips import Trips
from maxentrl.irl.temperature_estimate import Temperatures
from maxentrl.irl.validation import by_group


def check(l2: float, loss: str, aside: Aside, change: Change) -> None:
    """Refuse what has no meaning beside free temperatures, before anything is read.

    Raises:
        InputError: naming the option.
    """
    if l2:
        raise InputError(
            "--l2 is not for --temperatures free: weights and temperatures are compared by their likelihood alone."
        )
    if loss != "likelihood":
        raise InputError(
            f"--loss {loss} is not for --temperatures free: only a likelihood tells temperatures."
        )
    if aside.by == "group":
        raise InputError(
            "--by group is not for --temperatures free: a group that is put aside as a whole has no temperature."
        )
    if change.asked:
        option = "--close-arc" if change.close_arc else "--move-goal"
        raise InputError(
            f"{option} predicts flows at one temperature; give --temperature a number, and leave out --temperatures free."
        )


def check_drivers(fitted: Trips, aside: Trips | None) -> None:
    """Refuse trips that tell no temperatures, before anything is fitted to them.

    Raises:
        InputError: where the trips are of one group; for a group that is only among the trips put aside.
    """
    groups = set(fitted.groups or ())
    if len(groups) < 2:
        raise InputError(
            "weights and temperature are only known together, and the trips to fit are of one group: --temperatures "
            "free on a road network needs trips of several groups, named in the column group."
        )
    if aside is not None:
        for _ in by_group(aside, dict.fromkeys(groups, 0.0)):
            pass


def record(run: Run, found: Temperatures) -> None:
    """Temperatures as a table, an array and a part of the answer."""
    rows = found.rows()
    run.tables["temperatures"] = rows
    run.arrays["temperatures"] = found.temperatures
    run.pictures["temperatures"] = plots_irl.temperatures(
        found.groups[:LIMIT],
        found.temperatures[:LIMIT],
        found.intervals()[:LIMIT],
        found.reference,
        found.common,
    )
    run.manifest["answer"] |= {
        "temperatures": rows,
        "reference": found.reference,
        "common_temperature": found.common,
        "common_log_likelihood": found.common_log_likelihood,
        "temperatures_test": None if found.test is None else found.test._asdict(),
        "temperatures_sentence": found.sentence(),
    }
