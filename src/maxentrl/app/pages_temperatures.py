"""The words of a page on temperatures that were estimated, one for each group of demonstrators."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maxentrl.app.pages_plan import picture
from maxentrl.app.pages_sections import sentence, short
from maxentrl.app.report import figure, formula, heading, number, paragraph, table, text
from maxentrl.core.words import many

LIMIT = 40
"""Groups listed on the page; the rest is in the table beside it."""


def whose(asked: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    """At which temperature demonstrators decide, for a sentence."""
    if "temperatures" not in answer:
        return f"for a demonstrator at temperature {number(asked['temperature'])}"
    groups = len(answer["temperatures"])
    theirs = "a temperature" if groups == 1 else f"the temperatures of {groups} groups"
    return f"together with {theirs}, looking ahead"


def whose_units(asked: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    """The temperature that was given, and whose it is, for a table."""
    given = f"{many(asked['temperature'], 'unit')} of reward"
    if "temperatures" not in answer:
        return given
    return f"{given} for {answer['reference']}; estimated for {len(answer['temperatures']) - 1} more groups"


def words(answer: Mapping[str, Any]) -> list[str]:
    """What is estimated, and where the scale comes from."""
    if "temperatures" not in answer:
        return []
    reference = answer["reference"]
    scale = (
        "The offset is in known units, and so are weights and temperatures."
        if reference is None
        else f"Weights and temperatures are only known up to a common factor: the temperature of {text(reference)} is "
        "given, and everything else is in its units."
    )
    return [
        paragraph(
            "The temperature is estimated too, one for each group of demonstrators, who share the reward:"
        ),
        formula("maximise over w and all α_g:  Σ_g Σ_t log π_g(a_t | s_t),   π_g = π_w at temperature α_g"),
        paragraph(scale),
    ]


def blocks(answer: Mapping[str, Any], folder: Path) -> list[str]:
    """The temperatures, their intervals, and whether they differ."""
    found = answer.get("temperatures")
    if not found:
        return []
    rows = [
        [
            row["group"],
            short(row["temperature"]),
            "given" if row["fixed"] else short(row["standard_error"], 3),
            "" if row["fixed"] else _interval(row),
        ]
        for row in found[:LIMIT]
    ]
    more = f"{len(found)} groups in all; temperatures.csv lists them. " if len(found) > LIMIT else ""
    same, tested = number(answer["common_log_likelihood"], 8), answer["temperatures_sentence"]
    if len(found) == 1:
        shared = ""
    elif answer["reference"] is None:
        best = number(answer["common_temperature"], 4)
        shared = f"The best temperature common to all is {best}, with a log-likelihood of {same}. "
    else:
        shared = f"With the same temperature for all, the log-likelihood is {same}. "
    sign = (
        "The upright dotted line is the best temperature common to all."
        if answer["reference"] is None
        else "The diamond is the temperature that was given."
    )
    return [
        heading("Temperatures"),
        table(("group", "temperature", "standard error", "95 % interval"), rows),
        paragraph(
            f"{more}Temperatures are in units of reward; a low one chooses what is best, a high one at random. Intervals "
            f"are symmetric in the logarithm. {shared}{text(sentence(tested)) if tested else ''}"
        ),
        figure(
            picture(folder, "temperatures"),
            "Temperatures of the groups with their intervals.",
            "Temperatures with 95 % intervals (1.96 standard errors of the logarithm to either side), in units of reward. "
            f"{sign}",
            narrow=True,
        ),
    ]


def _interval(row: Mapping[str, Any]) -> str:
    if not float(row["upper"]) < float("inf"):
        return "any number"
    return f"{float(row['lower']):.4g} to {float(row['upper']):.4g}"
