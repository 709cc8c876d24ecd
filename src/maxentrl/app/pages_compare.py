"""The words of a comparison of training runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maxentrl.app.pages_plan import picture
from maxentrl.app.pages_sections import interval, short
from maxentrl.app.pages_train import AGENTS, MIDDLE
from maxentrl.app.report import figure, heading, number, paragraph, table, text, warnings


def blocks(manifest: dict[str, Any], folder: Path) -> list[str]:
    """A comparison: the best, curves, final scores, who beats whom, and in what the runs differ."""
    answer = manifest["answer"]
    runs = answer["runs"]
    best = max(runs, key=lambda run: float(run["value"]))
    rows = [
        [
            run["name"],
            AGENTS.get(run["agent"], run["agent"]),
            run["seeds"],
            run["step"],
            short(run["value"], 5),
            interval(run["lower"], run["upper"], 1),
        ]
        for run in runs
    ]
    wins = [
        [
            f"{each['first']} > {each['second']}",
            short(each["value"], 3),
            interval(each["lower"], each["upper"], 2),
        ]
        for each in answer["better"]
    ]
    differ = [[name.replace("_", " "), *map(_word, values)] for name, *values in answer["differ"]]
    return [
        paragraph("maxentrl · compare", "kicker"),
        f"<h1>{len(runs)} runs on {text(answer['env'])}</h1>",
        paragraph(
            f"The best of them at the end is {text(best['name'])}, with a return of <b>{number(best['value'], 5)}</b>.",
            "answer",
        ),
        warnings(manifest["warnings"]),
        heading("How well each does"),
        figure(
            picture(folder, "compared"),
            "Return of the evaluations of each run against environment steps.",
            f"Interquartile means over seeds, with their intervals as bands. {MIDDLE} The numbers are in "
            "<code>metrics.csv</code>.",
        ),
        table(("run", "agent", "seeds", "step", "return", "95 % interval"), rows),
        heading("Which one is better?"),
        paragraph(
            "The probability that a seed of the first run ends with a higher return than one of the second, where equal "
            "ones count half. At 0.5 neither is better; an interval that holds 0.5 does not tell them apart. Seeds of both "
            "runs are resampled."
        ),
        figure(
            picture(folder, "improvements"),
            "Probability that one run does better than another.",
            "Dots: the share of pairs of seeds. Lines: 95 % bootstrap intervals.",
            narrow=True,
        ),
        table(("", "probability", "95 % interval"), wins),
        *(
            [heading("In what they differ"), table(("", *(run["name"] for run in runs)), differ)]
            if differ
            else []
        ),
    ]


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_word, value)) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none given" if value is None else str(value)
