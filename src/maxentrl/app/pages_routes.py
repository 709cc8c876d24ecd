"""The words of a page on a reward of roads, recovered from trips."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maxentrl.app import pages_sections as sections
from maxentrl.app import pages_temperatures as temperatures
from maxentrl.app.pages_flows import flows_blocks, plain, short, what_if_blocks
from maxentrl.app.pages_plan import picture
from maxentrl.app.report import figure, formula, heading, number, paragraph, table, text, warnings
from maxentrl.core.words import many

ENDS = {
    "forced": "a trip ends on its first arrival at its goal",
    "optional": "a trip may pass its goal and come back; stopping there is a choice",
}
TURNS = (
    "Turn frequencies are behaviour cloning by counts: a driver who turns at each link as often as the drivers of the fit "
    "did there, with 1 added to each count, wherever the trip is going. Uniform choice takes every arc alike."
)
ALL_KNOWN = (
    "All weights are identified, given the temperature: no direction of them adds up to the same on all ways between two "
    "links (a difference of potentials, which no trips could reveal, and which a constant would be if all ways had as "
    "many links), and the trips of the fit depend on every one."
)
NOT_ASIDE = (
    "No trips were put aside (<code>--test 0.2</code> puts a fifth of them aside), so these are the trips that the reward "
    "was fitted to: it looks better on them than it is."
)


def blocks(manifest: dict[str, Any], folder: Path) -> list[str]:
    """A reward of arcs, linear or a network, with what it foretells."""
    asked, answer, problem = manifest["settings"], manifest["answer"], manifest["problem"]
    deep = manifest["kind"] == "irl deep-maxent"
    scores = answer["scores"]
    return [
        paragraph("maxentrl · inverse reinforcement learning on a network", "kicker"),
        f"<h1>The reward behind {number(problem['trips']['train']['trips'])} trips in {text(problem['title'])}</h1>",
        paragraph(_headline(answer, problem, scores, deep), "answer"),
        warnings(manifest["warnings"]),
        heading("The question"),
        table(("", ""), _question(asked, answer, problem)),
        *(_deep_words(answer, asked) if deep else _linear_words(answer)),
        heading("The answer"),
        *(_deep_answer(answer, folder) if deep else _linear_answer(answer, folder)),
        *temperatures.blocks(answer, folder),
        *sections.identification(answer, ALL_KNOWN, "Trips, likelihoods and flows do not depend on them:"),
        heading("Does it foretell trips?"),
        *_scores(scores, folder),
        *flows_blocks(answer["flows"], folder),
        *what_if_blocks(answer["what_if"], folder),
    ]


def _headline(
    answer: Mapping[str, Any], problem: Mapping[str, Any], scores: Mapping[str, Any], deep: bool
) -> str:
    trained = "A network trained" if deep else many(len(answer["weights"]), "weight") + " recovered"
    words = f"{trained} on trips to {number(problem['goals'])} goals over {number(problem['arcs'])} arcs. "
    best = next((row for row in scores["gains"] if row["name"] == "turn frequencies"), None)
    if best is None:
        return words
    which = "trips that were put aside" if scores["on"] == "test" else "trips it was fitted to"
    odds = "likelier" if best["per_trip"] >= 0 else "less likely"
    return words + (
        f"It makes {number(best['trips'])} {which} {number(math.exp(abs(best['per_trip'])), 2)} times {odds} each, in "
        "the geometric mean, than turning at every link as others did before."
    )


def _question(
    asked: Mapping[str, Any], answer: Mapping[str, Any], problem: Mapping[str, Any]
) -> list[tuple[str, str]]:
    final = f", {problem['final_links']} of them goals that nothing leaves" if problem["final_links"] else ""
    rows = [
        ("network", f"{problem['title']}: {problem['links']} links{final}; {problem['arcs']} arcs"),
        ("goals", f"{problem['goals']}; {ENDS[asked['goal']]}"),
        ("temperature α", temperatures.whose_units(asked, answer)),
    ]
    if asked["l2"]:
        rows.append(sections.penalty(asked))
    names = {"train": "trips of the fit", "validation": "trips of validation", "test": "trips put aside"}
    for part, facts in problem["trips"].items():
        who = f", in {facts['groups']} groups" if facts["groups"] is not None else ""
        rows.append((names[part], f"{facts['trips']} with {facts['decisions']} decisions{who}"))
    return rows


def _linear_words(answer: Mapping[str, Any]) -> list[str]:
    blocks = [
        paragraph(
            "At each link the driver chooses the next one, looking ahead to the goal of the trip: a soft planner, whose "
            "reward of an arc is linear in features, $r(a) = Σ_k w_k f_k(a)$. The weights are those under which the "
            "trips are most probable:"
        ),
        formula(
            "log p(trip) = ( Σ r(a) − V(origin) ) / α",
            "V(k) = α log Σ_a exp( ( r(a) + V(next) ) / α ),   V(goal) = 0",
            "slope:  ( features of the trips − features expected between their ends ) / α",
        ),
    ]
    blocks += temperatures.words(answer)
    begin = answer["beginning"]
    if begin["infeasible"] is not None:
        given = ", ".join(f"{name} = {number(value)}" for name, value in begin["weights"].items())
        at = given if any(begin["weights"].values()) else "weights 0"
        blocks.append(
            paragraph(
                f"The search was asked to begin at {text(at)}, where {text(_lower(begin['infeasible']))} It moved to "
                "weights that have a solution before it climbed."
            )
        )
    return blocks


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _linear_answer(answer: Mapping[str, Any], folder: Path) -> list[str]:
    errors = answer["standard_errors"]
    kind = answer["default_standard_errors"]
    rows = []
    for k, row in enumerate(answer["weights"]):
        error = plain(errors[kind][k])
        half = 1.96 * error
        known = half < float("inf")
        interval = f"{row['weight'] - half:.3f} to {row['weight'] + half:.3f}" if known else "any number"
        rows.append(
            [
                row["feature"],
                round(float(row["weight"]), 6),
                _unbroken(interval),
                *(short(errors[name][k]) for name in ("hessian", "outer", "sandwich")),
                short(row["t_value"]),
            ]
        )
    used = "curvature" if kind == "hessian" else "sandwich"
    header = ["feature", "weight", "95 % interval", "s.e. (curvature)", "(scores)", "(sandwich)", "t-value"]
    return [
        table(header, rows),
        paragraph(
            f"Log-likelihood of the {number(answer['decisions'])} decisions: {number(answer['log_likelihood'], 9)} nats; "
            f"choosing uniformly would give {number(answer['log_likelihood_uniform'], 9)}. AIC "
            f"{number(answer['aic'], 8)}, BIC {number(answer['bic'], 8)}. {text(_sentence(answer['verdict']))}"
        ),
        paragraph(
            "Standard errors from the curvature, or from outer products of scores, are right if drivers choose as this "
            "model says; those of the sandwich also if they do not quite. Intervals and t-values use the "
            f"{used}. {'' if 'temperatures' in answer else 'Only the ratio of reward to temperature can be known.'}"
        ),
        figure(
            picture(folder, "weights"),
            "Recovered weights with their intervals.",
            "Recovered weights with 95 % intervals (1.96 standard errors to either side), in units of reward.",
            narrow=True,
        ),
    ]


def _deep_words(answer: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    layers = ", ".join(str(units) for units in asked["hidden"])
    stop = (
        "Trips of validation said when to stop, and nothing else."
        if answer["validation_log_likelihood"] is not None
        else "There were no trips of validation, so it was trained until the likelihood settled."
    )
    return [
        paragraph(
            "At each link the driver chooses the next one, looking ahead to the goal of the trip: a soft planner. The "
            f"reward of an arc is the linear one plus a network of its features, with hidden layers of {layers} units, "
            "$r(a) = Σ_k w_k f_k(a) + net(f(a))$. The sums over ways are exact at every step; the network begins at 0, "
            f"and a step to rewards under which loops pay is taken back. {stop}"
        ),
        formula("slope, by the reward of each arc:  ( trips observed − trips expected ) / α"),
    ]


def _deep_answer(answer: Mapping[str, Any], folder: Path) -> list[str]:
    linear = answer["linear"]
    rows = [
        ["network", answer["log_likelihood"], answer["log_likelihood"] / answer["decisions"]],
        ["linear reward", linear["log_likelihood"], linear["log_likelihood"] / linear["decisions"]],
        [
            "uniform choice",
            linear["log_likelihood_uniform"],
            linear["log_likelihood_uniform"] / linear["decisions"],
        ],
    ]
    weights = ", ".join(f"{name} {number(value, 4)}" for name, value in linear["weights"].items())
    return [
        table(("", "log-likelihood of the trips of the fit", "a decision"), rows),
        paragraph(f"{text(_sentence(answer['verdict']))} The linear reward it begins at: {text(weights)}."),
        figure(
            picture(folder, "training"),
            "Likelihood along the training.",
            "Log-likelihood per decision along the training. The green point marks the network that was kept.",
            narrow=True,
        ),
    ]


def _scores(scores: Mapping[str, Any], folder: Path) -> list[str]:
    rows = [
        [
            row["name"],
            round(row["per_trip"], 6),
            _range(row),
            round(row["per_decision"], 6),
            round(row["log_likelihood"], 6),
        ]
        for row in scores["rows"]
    ]
    blocks = [
        table(("", "nats per trip", "95 % interval", "per decision", "all trips"), rows),
        *([] if scores["on"] == "test" else [paragraph(NOT_ASIDE, "note")]),
        figure(
            picture(folder, "scores"),
            "Log-likelihood per trip, with intervals.",
            f"Log-likelihood per trip; further right is better. {TURNS}",
            narrow=True,
        ),
    ]
    if scores["gains"]:
        first = scores["rows"][0]["name"]
        blocks += [
            paragraph(
                f"The same trips under two drivers: how much more likely is a trip under the {text(first)}? The intervals "
                "are those of the difference on each trip, which is surer than either score."
            ),
            table(
                (f"{first} better than", "nats per trip", "95 % interval"),
                [[row["name"], round(row["per_trip"], 6), _range(row)] for row in scores["gains"]],
            ),
        ]
    return blocks


def _range(row: Mapping[str, Any]) -> str:
    low, high = plain(row["low"]), plain(row["high"])
    return _unbroken(f"{low:.4f} to {high:.4f}") if low > float("-inf") else "not known"


def _unbroken(words: str) -> str:
    """Numbers with true minus signs, kept on one line."""
    return words.replace("-", "−").replace(" ", "\u00a0")


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:].rstrip(".") + "."
