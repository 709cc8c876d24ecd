"""The words of a page on a recovered reward."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maxentrl.app.pages_plan import future, picture, question
from maxentrl.app.report import figure, formula, heading, number, paragraph, table, text, warnings

ERRORS = {
    "hessian": "Standard errors come from the curvature of this likelihood at its maximum: right if the "
    "demonstrator does plan in this way, at this temperature.",
    "sandwich": "Standard errors are of the sandwich kind, clustered by who made the demonstrations: right "
    "even if the demonstrator does not quite plan in this way.",
}


def blocks(manifest: dict[str, Any], folder: Path) -> list[str]:
    """A reward recovered from demonstrations."""
    asked, answer, problem = manifest["settings"], manifest["answer"], manifest["problem"]
    count = len(answer["weights"])
    seen = f"{answer['trajectories']} with {number(answer['decisions'])} decisions"
    return [
        paragraph("maxentrl · inverse reinforcement learning", "kicker"),
        f"<h1>The reward behind {answer['trajectories']} demonstrations in {text(problem['title'])}</h1>",
        paragraph(
            f"{count} {'weight' if count == 1 else 'weights'} recovered by maximum causal entropy, for a "
            f"demonstrator at temperature {number(asked['temperature'])} {future(asked)}.",
            "answer",
        ),
        warnings(manifest["warnings"]),
        heading("The question"),
        table(("", ""), [*question(asked, problem), ("demonstrations", seen)]),
        *estimate_words(answer["default_standard_errors"]),
        heading("The answer"),
        *estimate_blocks(answer, folder),
    ]


def estimate_words(kind: str) -> list[str]:
    """What the estimator does, in words and formulas."""
    return [
        paragraph(
            "The demonstrator is taken to be a soft planner whose reward is linear in known features, "
            "$r(s,a) = Σ_k w_k f_k(s,a)$. The weights are those under which the recorded decisions are most "
            "probable:"
        ),
        formula(
            "maximise over w:  Σ_t log π_w(a_t | s_t)",
            "slope, on average:  ( features demonstrated − features expected of the plan ) / α",
        ),
        paragraph(
            f"{ERRORS[kind]} They describe how the estimate would vary over repeated samples of "
            "demonstrations. Only the ratio of reward to temperature can be known: at twice the temperature "
            "every weight is twice as large."
        ),
    ]


def estimate_blocks(answer: Mapping[str, Any], folder: Path) -> list[str]:
    """Table and picture of recovered weights."""
    rows, known = answer["weights"], "true" in answer["weights"][0]
    header = ["feature", "weight", "standard error", "95 % interval", "t-value", *(["true"] if known else [])]
    lines = [
        [row["feature"], row["weight"], row["standard_error"], _interval(row), row["t_value"]]
        + ([row["true"]] if known else [])
        for row in rows
    ]
    caption = (
        "Recovered weights with 95 % intervals (1.96 standard errors to either side), in units of reward."
    )
    caption += " Diamonds: the true weights." if known else ""
    return [
        table(header, [[row[0], *(_short(cell) for cell in row[1:])] for row in lines]),
        paragraph(
            f"Log-likelihood of the {number(answer['decisions'])} decisions: "
            f"{number(answer['log_likelihood'])} nats; choosing uniformly would give "
            f"{number(answer['log_likelihood_uniform'])}. {text(_sentence(answer['verdict']))}"
        ),
        figure(picture(folder, "weights"), "Recovered weights with their intervals.", caption, narrow=True),
    ]


def _interval(row: Mapping[str, Any]) -> str:
    weight, half = float(row["weight"]), 1.96 * float(row["standard_error"])
    if not half < float("inf"):
        return "any number"
    return f"{weight - half:.3f} to {weight + half:.3f}".replace("-", "−")


def _short(value: Any) -> Any:
    """Four figures of a number that may be spelled as a word, such as "nan"."""
    return value if isinstance(value, str) and " " in value else float(f"{float(value):.4g}")


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:].rstrip(".") + "."
