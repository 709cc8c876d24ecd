"""The words of a page on a recovered reward that is linear in features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maxentrl.app import pages_sections as sections
from maxentrl.app import pages_temperatures as temperatures
from maxentrl.app.pages_plan import future, picture
from maxentrl.app.report import (
    figure,
    folded,
    foremost,
    formula,
    heading,
    number,
    paragraph,
    table,
    text,
    warnings,
)

KINDS = {
    "hessian": "curvature of the likelihood",
    "outer": "outer products of scores",
    "sandwich": "sandwich",
}
ERRORS = {
    "hessian": "Standard errors come from the curvature of this likelihood at its maximum: right if the "
    "demonstrator does plan in this way, at this temperature.",
    "sandwich": "Standard errors are of the sandwich kind, clustered by who made the demonstrations where that is "
    "known: right even if the demonstrator does not quite plan in this way.",
}
_FOREMOST = "Shown are the weights with the largest t-values."
SCALE = "Only the ratio of reward to temperature can be known: at twice the temperature every weight is twice as large."


def blocks(manifest: dict[str, Any], folder: Path) -> list[str]:
    """A reward recovered from demonstrations."""
    asked, answer, problem = manifest["settings"], manifest["answer"], manifest["problem"]
    causal = manifest["kind"] == "irl mce"
    printed = asked.get("method") == "ziebart2008"
    name = "maximum causal entropy" if causal else "maximum entropy over whole trajectories"
    name += ", as printed in 2008" if printed else ""
    seen = f"{answer['trajectories']} with {number(answer['decisions'])} decisions"
    words = estimate_words if causal else printed_words if printed else whole_words
    return [
        paragraph("maxentrl · inverse reinforcement learning", "kicker"),
        f"<h1>The reward behind {answer['trajectories']} demonstrations in {text(problem['title'])}</h1>",
        paragraph(
            f"{sections.count(len(answer['weights']), 'weight')} recovered by {name}, "
            f"{temperatures.whose(asked, answer)} {future(asked)}.",
            "answer",
        ),
        warnings(manifest["warnings"]),
        heading("The question"),
        table(("", ""), [*sections.question(asked, problem), ("demonstrations", seen)]),
        *words(answer["default_standard_errors"]),
        *(temperatures.words(answer) or [paragraph(SCALE)] * causal),
        *sections.demonstrations(answer),
        heading("The answer"),
        *estimate_blocks(answer, folder),
        *all_errors(answer),
        *temperatures.blocks(answer, folder),
        *sections.reward_map(folder),
        *sections.identification(answer),
        *sections.scores(answer, folder),
        *sections.flows(answer, folder, how="The policy that the reward implies"),
        *sections.change(answer, asked, folder),
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
            f"{ERRORS[kind]} They describe how the estimate would vary over repeated samples of demonstrations."
        ),
    ]


def whole_words(kind: str) -> list[str]:
    """What maximum entropy over trajectories does, in words and formulas."""
    return [
        paragraph(
            "Demonstrations are taken to be whole trajectories drawn from the posterior of the optimality model, whose "
            "reward is linear in known features, $r(s,a) = Σ_k w_k f_k(s,a)$: lucky trajectories are drawn more often, "
            "as if the dynamics could be chosen too. Where every action has one outcome, this is the same as planning. "
            "The weights are those under which the recorded trajectories are most probable, given their starts:"
        ),
        formula(
            "maximise over w:  log p(τ | O, s_1) = ( Σ_t r_w(s_t,a_t) − V_w(s_1) ) / α + c(τ)",
            "c(τ) = Σ_t ( log ρ(a_t|s_t) + log P(s_{t+1}|s_t,a_t) )",
            "slope:  ( features demonstrated − features under the messages ) / α",
        ),
        paragraph(
            f"{ERRORS[kind]} The log-likelihood holds the recorded transitions too. In a world of chance people and "
            "machines must take their luck as it comes, and <code>maxentrl irl mce</code> is the right model of them."
        ),
    ]


def printed_words(kind: str) -> list[str]:
    """What the algorithm of 2008 does, in words and formulas."""
    return [
        paragraph(
            "Ziebart, Maas, Bagnell and Dey (2008), algorithm 1, as printed, for comparison. The reward is linear in known "
            "features, $r(s,a) = Σ_k w_k f_k(s,a)$; a backward pass plans as if the dynamics could be chosen too, and its "
            "policy is then sent forward through the dynamics as they are. The weights are those where the two meet:"
        ),
        formula(
            "solve for w:  features demonstrated = E[ Σ_t f(s_t,a_t) ]",
            "a_t from π_w of the backward pass,   s_{t+1} from P as given",
        ),
        paragraph(
            "Where every action has one outcome, these are the most probable weights. In a world of chance they maximise "
            f"nothing, and <code>--method exact</code> gives the most probable ones. {ERRORS[kind]}"
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
    caption += f" {_FOREMOST}" if len(foremost(_sizes(answer))) < len(rows) else ""
    return [
        *_long_table(answer, header, [[row[0], *(_short(cell) for cell in row[1:])] for row in lines]),
        paragraph(
            f"Log-likelihood of the {number(answer['decisions'])} decisions: "
            f"{number(answer['log_likelihood'])} nats; choosing uniformly would give "
            f"{number(answer['log_likelihood_uniform'])}. {text(sections.sentence(answer['verdict']))}"
        ),
        figure(picture(folder, "weights"), "Recovered weights with their intervals.", caption, narrow=True),
    ]


def all_errors(answer: Mapping[str, Any]) -> list[str]:
    """Standard errors of every kind, and what else an estimate is judged by."""
    errors, used = answer["standard_errors"], answer["default_standard_errors"]
    kinds = list(errors)
    rows = [
        [row["feature"], *(_error(errors[kind][k]) for kind in kinds)]
        for k, row in enumerate(answer["weights"])
    ]
    compared = (
        "The first two kinds of standard error are right if the model is; if the sandwich differs much from them, it is "
        "not. "
        if len(kinds) > 1
        else ""
    )
    clusters = "Clusters are the groups of the demonstrations, or else each trajectory."
    if "temperatures" in answer:
        clusters = "Each trajectory is a cluster: what groups have of their own is their temperature."
    return [
        *_long_table(
            answer,
            ["standard error", *(f"{KINDS[kind]}{' (used)' if kind == used else ''}" for kind in kinds)],
            rows,
        ),
        paragraph(
            f"AIC {number(answer['aic'], 8)}, BIC {number(answer['bic'], 8)}, length of the slope at the end "
            f"{number(answer['gradient_norm'], 2)}. {compared}{clusters}",
            "small",
        ),
    ]


def _sizes(answer: Mapping[str, Any]) -> list[float]:
    return [float(row["t_value"]) for row in answer["weights"]]


def _long_table(answer: Mapping[str, Any], header: list[str], rows: list[list[Any]]) -> list[str]:
    """One row for each weight; where they are many, those with small t-values are folded."""
    seen = foremost(_sizes(answer))
    rest = [k for k in range(len(rows)) if k not in set(seen)]
    if not rest:
        return [table(header, rows)]
    hidden = table(header, [rows[k] for k in rest])
    return [table(header, [rows[k] for k in seen]), folded(f"The other {len(rest)} weights", hidden)]


def _error(value: float | None) -> Any:
    return "any number" if value is None else _short(value)


def _interval(row: Mapping[str, Any]) -> str:
    weight, half = float(row["weight"]), 1.96 * float(row["standard_error"])
    if not half < float("inf"):
        return "any number"
    return f"{weight - half:.3f} to {weight + half:.3f}".replace("-", "−")


def _short(value: Any) -> Any:
    """Four figures of a number that may be spelled as a word, such as "nan"."""
    return value if isinstance(value, str) and " " in value else float(f"{float(value):.4g}")
