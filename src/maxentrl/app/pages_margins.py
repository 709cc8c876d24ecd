"""The words of pages on methods that compare an expert with optimal policies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maxentrl.app import pages_sections as sections
from maxentrl.app.pages_plan import future, picture
from maxentrl.app.pages_sections import short
from maxentrl.app.report import figure, formula, heading, number, paragraph, table, text, warnings


def apprenticeship(manifest: dict[str, Any], folder: Path) -> list[str]:
    """A mixture of policies that matches an expert."""
    asked, answer, problem = manifest["settings"], manifest["answer"], manifest["problem"]
    trajectories = answer["demonstrations"][0]["trajectories"]
    rows = [
        [row["feature"], short(row["expert"], 5), short(row["mixture"], 5), short(row["best"], 5)]
        for row in answer["expectations"]
    ]
    return [
        paragraph("maxentrl · apprenticeship learning", "kicker"),
        f"<h1>An apprentice of {number(trajectories)} demonstrations in {text(problem['title'])}</h1>",
        paragraph(
            f"A mixture of {sections.count(answer['mixed'], 'policy').replace('policys', 'policies')}, at distance "
            f"<b>{sections.tiny(answer['margin'], 4)}</b> from the expert's feature expectations, {future(asked)}.",
            "answer",
        ),
        warnings(manifest["warnings"]),
        heading("The question"),
        table(("", ""), [*sections.question(asked, problem, temperature=False), ("method", asked["method"])]),
        paragraph(
            "Whatever the expert wants, if it is linear in the features, $r(s,a) = w · f(s,a)$, then a policy with the "
            "same feature expectations earns as much:"
        ),
        formula("μ(π) = E Σ_t γᵗ f(s_t, a_t),   | w · μ(π) − w · μ(expert) | ≤ |w| · | μ(π) − μ(expert) |"),
        paragraph(
            "Policy after policy is made, each the best for the reward by which the expert is furthest ahead of all "
            "policies so far; at the start of an episode the apprentice chooses one of them. What the expert wants is not "
            "found out."
        ),
        *sections.demonstrations(answer),
        heading("The answer"),
        table(("feature expectation", "expert", "mixture", "best single policy"), rows),
        figure(
            picture(folder, "expectations"),
            "Feature expectations of expert, mixture and best single policy.",
            "Expected features of an episode, each step counted with its discount.",
            narrow=True,
        ),
        paragraph(
            f"{_verdict(manifest)} The best single policy is at distance {number(answer['best_margin'], 4)}.".lstrip()
        ),
        figure(
            picture(folder, "margins"),
            "Distance from the expert that the search had reached after each policy.",
            "Distance between the expert's feature expectations and those that the search had reached after each policy: "
            "no reward with |w| ≤ 1 tells the two further apart in value.",
            narrow=True,
        ),
        *_put_aside(answer),
        heading("Does it do what was done?"),
        *sections.agreement(answer["agreement"]),
        *sections.flows(answer, folder, how="The mixture"),
    ]


def _verdict(manifest: Mapping[str, Any]) -> str:
    """How the search ended, unless the warnings say it already."""
    said = sections.sentence(manifest["answer"]["verdict"])
    return "" if said in manifest["warnings"] else text(said)


def _put_aside(answer: Mapping[str, Any]) -> list[str]:
    found = answer.get("test_margin")
    if found is None:
        return []
    return [
        paragraph(
            f"The demonstrations that were put aside have feature expectations at distance {number(found['mixture'], 4)} "
            f"from the mixture, and at {number(found['fitted'], 4)} from the demonstrations of the fit: the second number "
            "is what chance does between two samples of the same expert."
        )
    ]


def max_margin(manifest: dict[str, Any], folder: Path) -> list[str]:
    """A reward under which demonstrations beat all else."""
    asked, answer, problem = manifest["settings"], manifest["answer"], manifest["problem"]
    many = len(answer["maps"])
    where = text(problem["title"]) if many == 1 else f"{many} maps"
    tested = "test_loss" in answer["maps"][0]
    header = ["map", "slack", "loss of the plan", *(["loss against the test"] if tested else [])]
    rows = [
        [one["name"], short(one["slack"]), short(one["loss"]), *([short(one["test_loss"])] if tested else [])]
        for one in answer["maps"]
    ]
    return [
        paragraph("maxentrl · maximum margin planning", "kicker"),
        f"<h1>A reward under which the demonstrations in {where} are best</h1>",
        paragraph(
            f"{sections.count(len(answer['weights']), 'weight')}, at most <b>{sections.tiny(answer['gap'], 3)}</b> "
            f"above the lowest possible objective {number(answer['bound'], 5)}, for an expert who plans {future(asked)}.",
            "answer",
        ),
        warnings(manifest["warnings"]),
        heading("The question"),
        table(("", ""), _margin_question(asked, problem, many)),
        paragraph(
            "The reward is linear in the features, $r(s,a) = w · f(s,a)$. Every other policy should be beaten by a margin: "
            "the more it differs from the expert, the larger. By how much a map misses its margin is its slack $ξ$:"
        ),
        formula(
            "minimise  λ/2 |w|² + mean ξ",
            "ξ = max over policies of ( w · features + loss ) − w · features of the expert",
        ),
        paragraph(
            "The loss counts the steps in states that no demonstration visited. Nothing is said about how probable a "
            "choice is: the answer is a plan, not a likelihood."
        ),
        *sections.demonstrations(answer),
        heading("The answer"),
        table(
            ("feature", "weight"), [[row["feature"], short(row["weight"], 5)] for row in answer["weights"]]
        ),
        *([paragraph(said)] if (said := _verdict(manifest)) else []),
        figure(
            picture(folder, "gap"),
            "The objective above its proven bound, evaluation by evaluation.",
            "How far the objective is above the bound that was proven in the end, at each evaluation (one plan for each "
            "map).",
            narrow=True,
        ),
        heading("Map by map"),
        table(header, rows),
        paragraph(
            "The loss is the expected number of steps, each with its discount, that the best plan for this reward spends "
            "where the expert did not go.",
            "small",
        ),
        *[block for i, one in enumerate(answer["maps"]) for block in _one_map(one, i, folder, answer)],
    ]


def _margin_question(
    asked: Mapping[str, Any], problem: Mapping[str, Any], many: int
) -> list[tuple[str, str]]:
    rows = sections.question(asked, problem, temperature=False)
    if many > 1:
        rows = [("maps", ", ".join(asked["problem"])), *rows[2:]]
    rows.append(("method", asked["method"]))
    rows.append(("regularisation λ", f"{asked['regularisation']:g}"))
    if asked["ceiling"] is not None:
        rows.append(("ceiling", f"rewards stay at or below {asked['ceiling']:g}"))
    return rows


def _one_map(one: Mapping[str, Any], number_of: int, folder: Path, answer: Mapping[str, Any]) -> list[str]:
    flows = answer.get(f"flows-{number_of + 1}", {})
    words = ""
    if flows:
        words = (
            f"Set off where the demonstrations began, the plan's numbers of decisions correlate with the observed ones by "
            f"{number(flows['correlation'], 4)}; {number(100 * float(flows['share_misplaced']), 3)} % of them would have "
            f"to be moved to make the two equal. All of them are in <code>flows-{number_of + 1}.csv</code>."
        )
    return [
        heading(f"The plan in {one['name']}"),
        *sections.agreement(one["agreement"]),
        *sections.reward_map(folder, f"reward-{number_of + 1}"),
        *([paragraph(words)] if words else []),
        figure(
            picture(folder, f"flows-{number_of + 1}"),
            "Observed against predicted numbers of decisions.",
            "Each point is an action in a state.",
            narrow=True,
        ),
    ]
