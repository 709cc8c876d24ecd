"""Temperatures by group in a run: what can be asked of them, and what the folder keeps."""

from __future__ import annotations

from maxentrl.app.options import Aside, Change
from maxentrl.app.record import Run
from maxentrl.core.check import InputError
from maxentrl.irl.temperature_estimate import Temperatures


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


def record(run: Run, found: Temperatures) -> None:
    """Temperatures as a table, an array and a part of the answer."""
    rows = found.rows()
    run.tables["temperatures"] = rows
    run.arrays["temperatures"] = found.temperatures
    run.manifest["answer"] |= {
        "temperatures": rows,
        "reference": found.reference,
        "common_temperature": found.common,
        "common_log_likelihood": found.common_log_likelihood,
        "temperatures_test": None if found.test is None else found.test._asdict(),
        "temperatures_sentence": found.sentence(),
    }
