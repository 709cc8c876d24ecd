"""The words of a page on temperatures that were estimated, one for each group of demonstrators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maxentrl.app.pages_sections import sentence, short
from maxentrl.app.report import formula, heading, number, paragraph, table, text

LIMIT = 40
"""Groups listed on the page; the rest is in the table beside it."""


def are_free(asked: Mapping[str, Any]) -> bool:
    """Whether temperatures were estimated in the run with these settings."""
    return asked.get("temperatures") == "free"


def whose(asked: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    """At which temperature demonstrators decide, for a sentence."""
    if not are_free(asked):
        return f"for a demonstrator at temperature {number(asked['temperature'])}"
    many = len(answer["temperatures"])
    return "together with " + ("the temperature" if many == 1 else f"the temperatures of {many} groups")


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
        formula("maximise over w and α_1, α_2, ...:  Σ_groups Σ_t log π_{w, α_g}(a_t | s_t)"),
        paragraph(scale),
    ]


def blocks(answer: Mapping[str, Any]) -> list[str]:
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
    tested = answer["temperatures_sentence"]
    return [
        heading("Temperatures"),
        table(("group", "temperature", "standard error", "95 % interval"), rows),
        paragraph(
            f"{more}Temperatures are in units of reward; a low one chooses what is best, a high one at random. Intervals "
            "are symmetric in the logarithm. "
            + (
                f"If all had the same, it would be {number(answer['common_temperature'], 4)}, with a log-likelihood of "
                f"{number(answer['common_log_likelihood'], 8)}. "
                if len(found) > 1
                else ""
            )
            + text(sentence(tested) if tested else "")
        ),
    ]


def _interval(row: Mapping[str, Any]) -> str:
    if not float(row["upper"]) < float("inf"):
        return "any number"
    return f"{float(row['lower']):.4g} to {float(row['upper']):.4g}"
