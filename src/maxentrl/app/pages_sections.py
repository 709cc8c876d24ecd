"""Sections that the pages on recovered rewards share: demonstrations, likelihood, identification, flows, changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maxentrl.app.pages_plan import future, picture
from maxentrl.app.report import figure, heading, number, paragraph, table, text
from maxentrl.core.words import listed, many, noun

CLONING = (
    "Behaviour cloning repeats what was done in the same state among the demonstrations of the fit, with every "
    "allowed action counted once more (Laplace's rule); it knows nothing of rewards, and where nothing was done it "
    "chooses at random."
)
LISTED = 6
"""Directions of the weights shown on a page; the others are counted."""

ALL_KNOWN = (
    "All weights are identified: no direction of them is a shaping of the reward by a potential, which no behaviour "
    "could reveal, and the decisions of these demonstrations depend on every one."
)
NOT_ASIDE = (
    "No demonstrations were put aside, so these are the ones that were fitted to, and both the reward and behaviour "
    "cloning look better on them than they are. <code>--test 0.2</code> puts a fifth of them aside."
)


def question(
    asked: Mapping[str, Any], problem: Mapping[str, Any], *, temperature: bool = True
) -> list[tuple[str, str]]:
    """What was asked, as rows of a table."""
    prior = {"uniform": "uniform over the allowed actions", "counting": "each action counts 1"}
    rows = [
        ("problem", f"{problem['title']} ({problem['source']})"),
        (
            "size",
            f"{many(problem['states'], 'state')} ({problem['terminal_states']} terminal), "
            f"{many(problem['actions'], 'action')}",
        ),
    ]
    if temperature:
        free = asked.get("temperatures") == "free"
        given = (
            "estimated, one for each group"
            if free
            else f"{many(float(asked['temperature']), 'unit')} of reward"
        )
        rows.append(("temperature α", given))
    rows.append(("future", future(asked).replace("<sup>", "^").replace("</sup>", "")))
    if asked.get("l2"):
        rows.append(penalty(asked))
    if temperature and asked.get("prior"):
        rows.append(("prior ρ", prior[asked["prior"]]))
    return rows


def penalty(asked: Mapping[str, Any]) -> tuple[str, str]:
    """The row of a table that says by what the likelihood was penalised."""
    return (
        "penalty",
        f"{asked['l2'] / 2:g} times the sum of squared weights, on the log-likelihood of all decisions",
    )


def demonstrations(answer: Mapping[str, Any]) -> list[str]:
    """What the demonstrations hold, part by part."""
    parts = answer.get("demonstrations", [])
    if not parts:
        return []
    blocks = [heading("The demonstrations")]
    for part in parts:
        named = part["part"] if part["map"] is None else f"{part['map']}, {part['part']}"
        named = f"<b>{text(named[:1].upper() + named[1:])}:</b> "
        lead = named if len(parts) > 1 else ""
        blocks.append(paragraph(lead + text(" ".join(part["sentences"]))))
    return blocks


def scores(answer: Mapping[str, Any], folder: Path) -> list[str]:
    """Likelihood of decisions, beside the baselines."""
    found = answer.get("scores")
    if not found:
        return []
    held = found["part"] == "test"
    rows = [
        [
            row["name"],
            short(row["per_decision"], 5),
            interval(row["lower"], row["upper"], 4),
            short(row["log_likelihood"], 8),
        ]
        for row in found["rows"]
    ]
    first = found["rows"][0]
    whose = "that were put aside" if held else "of the fit"
    return [
        heading("Does it foretell decisions?"),
        paragraph(
            f"Log-likelihood of the {number(first['decisions'])} decisions {whose}, in nats for each, with 95 % "
            f"intervals over {number(first['clusters'])} independent "
            f"{'trajectories or groups' if first['clusters'] > 1 else 'trajectory or group'}."
        ),
        table(("", "nats a decision", "95 % interval", "in all"), rows),
        figure(
            picture(folder, "scores"),
            "Log-likelihood of a decision under the reward and under the baselines.",
            f"{CLONING} {'' if held else NOT_ASIDE}".strip(),
            narrow=True,
        ),
    ]


def identification(
    answer: Mapping[str, Any],
    all_known: str = ALL_KNOWN,
    free_of: str = "Decisions, likelihoods and flows do not depend on them:",
) -> list[str]:
    """What can be known of the weights."""
    found = answer.get("identification")
    if not found:
        return []
    blocks = [heading("What is known, and what cannot be")]
    if found["identified"]:
        return [*blocks, paragraph(all_known)]
    directions, l2 = found["directions"], float(answer.get("settings", {}).get("l2", 0))
    why = (
        "the penalty alone decides their values above"
        if l2
        else "their values above are one choice among many"
    )
    total = len(directions)
    first = (
        "This direction"
        if total == 1
        else "These directions"
        if total <= LISTED
        else f"{number(total)} directions"
    )
    is_not = "is not determined by the data" if total == 1 else "are not determined by the data"
    shown = (
        f" The first {LISTED} of them (the others are in <code>manifest.json</code>):"
        if total > LISTED
        else ""
    )
    blocks.append(
        paragraph(
            f"{first} of the weights {is_not}, and {why}. {free_of if not shown else free_of[:-1] + '.'}{shown}"
        )
    )
    for direction in directions[:LISTED]:
        blocks.append(paragraph(text(sentence(direction["sentence"])), "note"))
    return blocks


def reward_map(folder: Path, name: str = "reward") -> list[str]:
    """The reward on a map, where there is one."""
    return [
        figure(
            picture(folder, name),
            "The reward of each state, with the policy as arrows.",
            "The recovered reward of each state, averaged over its actions, and the policy that follows from it: an "
            "arrow points where its action usually leads and is longer the more probable the action is.",
            narrow=True,
        )
    ]


def flows(answer: Mapping[str, Any], folder: Path, *, how: str) -> list[str]:
    """Predicted against observed decisions."""
    found = answer.get("flows")
    if not found:
        return []
    whose = "that were put aside" if found["part"] == "test" else "of the fit"
    rows = [
        [
            row["state"],
            row["action"],
            row["observed"],
            short(row["predicted"]),
            _deviation(row["standardised"]),
        ]
        for row in found["largest"]
    ]
    return [
        heading("Where it leads"),
        paragraph(
            f"{how} is set off where each of the demonstrations {whose} began, in the world as it is, and followed as "
            f"long as it could have been recorded. Predicted and observed numbers of decisions correlate by "
            f"{number(found['correlation'], 4)}; {number(100 * float(found['share_misplaced']), 3)} % of them would "
            "have to be moved to make the two equal."
        ),
        figure(
            picture(folder, "flows"),
            "Observed against predicted numbers of decisions.",
            "Each point is an action in a state. The band is where 95 % would lie if counts varied by chance alone "
            "(Poisson).",
            narrow=True,
        ),
        paragraph("The decisions that are furthest off:"),
        table(("state", "action", "observed", "predicted", "standard deviations"), rows),
        paragraph(f"All of them are in <code>flows.csv</code>. {text(found['caveat'])}", "small"),
    ]


def change(answer: Mapping[str, Any], asked: Mapping[str, Any], folder: Path) -> list[str]:
    """Flows before and after what was imagined to change."""
    found = answer.get("counterfactual")
    if not found:
        return []
    done = [f"the action {words[1]} is closed in {words[0]}" for words in map(_two, asked["close_arc"])]
    done += [f"the goal {words[0]} moves to {words[1]}" for words in map(_two, asked["move_goal"])]
    rows = [
        [
            row["state"],
            row["action"],
            *(short(round(float(row[key]), 4)) for key in ("before", "after", "change")),
        ]
        for row in found["largest"]
    ]
    ends = [
        [row["state"], *(short(round(float(row[key]), 4)) for key in ("before", "after"))]
        for row in found["ends"]
    ]
    worth = [number(round(float(found[key]), 9)) for key in ("value_before", "value_after")]
    discounted = asked["discount"] not in (None, 1.0)
    weighted = ", each step counted with its discount" if discounted else ""
    return [
        heading("What if?"),
        paragraph(
            f"What if {text(listed(done))}? The demonstrator, with the recovered reward, plans again; what follows are "
            f"expected numbers per journey{weighted}, from where the demonstrations begin. The start is worth "
            f"{worth[0]} before and {worth[1]} after, in units of reward."
        ),
        *([table(("ends in", "before", "after"), ends)] if ends else []),
        paragraph(f"The largest of the changes in {number(found['choices'])} choices:"),
        table(("state", "action", "before", "after", "change"), rows),
        figure(
            picture(folder, "counterfactual"),
            "Map of the change of visits.",
            "Where visits rise (blue) and fall (red).",
            narrow=True,
        ),
        figure(
            picture(folder, "shifts"),
            "Expected decisions that change most, before and after.",
            "Expected decisions per journey that change most: they rise (blue) or fall (red).",
            narrow=True,
        ),
        paragraph("All of them are in <code>counterfactual.csv</code>.", "small"),
    ]


def agreement(found: Mapping[str, Any]) -> list[str]:
    """How probable what was done is under policies without chance."""
    held = found["part"] == "test"
    whose = "that were put aside" if held else "of the fit"
    return [
        paragraph(
            f"The mean probability of what was done, over the {number(found['decisions'])} decisions {whose}. A plan "
            "without chance gives probability 0 to whatever it would not do, so that its log-likelihood would say "
            "nothing."
        ),
        table(("", "probability"), [[row["name"], short(row["probability"])] for row in found["rows"]]),
        paragraph(f"{CLONING} {'' if held else NOT_ASIDE}".strip(), "small"),
    ]


def interval(lower: Any, upper: Any, digits: int = 3) -> str:
    """Two ends of an interval, or that there is none."""
    low, high = float(lower), float(upper)
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        return "not known"
    return f"{low:.{digits}f} to {high:.{digits}f}".replace("-", "−")


def short(value: Any, digits: int = 4) -> float:
    """A number to a few figures; it may be spelled as a word, such as "inf"."""
    return float(f"{float(value):.{digits}g}")


def _deviation(value: Any) -> Any:
    """Standard deviations; none where the prediction is 0 and varies by nothing."""
    return short(value, 3) if abs(float(value)) < float("inf") else "never predicted"


def tiny(value: Any, digits: int) -> str:
    """A distance or gap in markup, where rounding is no news."""
    return number(value, digits) if float(value) > 1e-9 else "less than 10<sup>−9</sup>"


def sentence(words: str) -> str:
    """With a capital letter and one full stop."""
    return words[:1].upper() + words[1:].rstrip(".") + "."


def count(total: int, what: str) -> str:
    """A number of things, as `number` writes it."""
    return f"{number(total)} {noun(total, what)}"


def _two(words: str) -> list[str]:
    return [part.strip().strip('"') for part in words.split(",", 1)]
