"""The words on flows of a road network: predicted against observed ones, and what a change would do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maxentrl.app.pages_plan import picture
from maxentrl.app.report import figure, heading, number, paragraph, table, text
from maxentrl.core.words import listed


def flows_blocks(flows: Mapping[str, Any], folder: Path) -> list[str]:
    if not flows:
        return []
    which = "put aside" if flows["on"] == "test" else "of the fit"
    test = (
        "" if flows["degrees"] == 0 else f" (χ² {number(flows['chi_square'], 5)}, {flows['degrees']} cells)"
    )
    return [
        heading("Where the trips go"),
        paragraph(
            f"The trips {which} are sent from their origins to their goals by the recovered reward. Predicted and "
            f"observed flows of arcs correlate by {number(flows['correlation'], 4)}; "
            f"{number(100 * float(flows['share_misplaced']), 3)} % of the traffic would have to be moved to make them "
            f"equal{test}."
        ),
        figure(
            picture(folder, "flows"),
            "Predicted against observed flows of arcs.",
            "Each point is an arc. The band is where 95 % would lie if flows varied by chance alone (Poisson).",
            narrow=True,
        ),
        figure(
            picture(folder, "map"),
            "Map of rewards and of predicted less observed flows.",
            "Left: the recovered reward; the darker a road, the better it is liked. Right: where too many trips are "
            "predicted (blue) and where too few (red), wider where it is more. The two directions of a road lie side by "
            "side, each on the right.",
        ),
        *(
            [
                paragraph("The arcs that are furthest off, among those with at least 5 trips:"),
                table(
                    ("from", "to", "observed", "predicted", "standard deviations"),
                    [
                        [
                            row["from"],
                            row["to"],
                            short(row["observed"]),
                            short(row["predicted"]),
                            short(row["standardised"], 3),
                        ]
                        for row in flows["largest"]
                    ],
                ),
            ]
            if flows["largest"]
            else []
        ),
        paragraph(f"All arcs are in <code>arcs.csv</code>. {text(flows['caveat'])}", "small"),
    ]


def what_if_blocks(changed: Mapping[str, Any] | None, folder: Path) -> list[str]:
    if changed is None:
        return []
    done = [f"the arc from {a} to {b} is closed" for a, b in changed["closed"]]
    done += [f"the goal {a} moves to {b}" for a, b in changed["moved"]]
    affected = []
    if changed["closed"]:
        affected.append(f"{number(changed['trips_through'], 4)} trips were expected on what is closed")
    if changed["moved"]:
        affected.append(f"{number(changed['trips_moved'], 4)} trips have another goal")
    rows: list[list[Any]] = [
        ["trips that arrive", changed["trips"], changed["trips"] - changed["trips_lost"]],
        [
            "links entered per trip",
            short(changed["links_per_trip_before"], 6),
            short(changed["links_per_trip_after"], 6),
        ],
    ]
    blocks = [
        heading("What if?"),
        paragraph(
            f"What if {text(listed(done))}? All {number(changed['trips'])} recorded trips, sent again by the recovered "
            f"reward: {text('; '.join(affected))}."
        ),
        table(("", "before", "after"), rows),
    ]
    loss = plain(changed["loss_per_trip"])
    if changed["closed"] and loss == loss:
        blocks.append(
            paragraph(
                f"A trip that still arrives where it wanted loses {number(loss, 4)} units of reward on average (the "
                "fall of $V$ at its origin)."
            )
        )
    if changed["lost"]:
        blocks += [
            paragraph(f"{number(changed['trips_lost'], 4)} trips can no longer arrive:"),
            table(
                ("origin", "goal", "trips"),
                [[row["origin"], row["goal"], row["trips"]] for row in changed["lost"]],
            ),
        ]
    return [
        *blocks,
        figure(
            picture(folder, "changes"),
            "Map of the changes of flows.",
            "Where flows rise (blue) and fall (red), wider where it is more. A cross marks what is closed.",
            narrow=True,
        ),
        paragraph("The largest changes:"),
        figure(
            picture(folder, "shifts"),
            "Expected trips on the arcs that change most, before and after.",
            "Expected trips on the arcs that change most: they rise (blue) or fall (red).",
            narrow=True,
        ),
        table(
            ("from", "to", "before", "after", "change"),
            [
                [
                    row["from"],
                    row["to"],
                    short(row["before"]),
                    short(row["after"]),
                    short(row["change"]),
                ]
                for row in changed["largest"]
            ],
        ),
        paragraph("All arcs are in <code>changes.csv</code>.", "small"),
    ]


def plain(value: Any) -> float:
    """A number that may be missing, or spelled as a word, such as "inf"."""
    return float("inf") if value is None else float(value)


def short(value: Any, digits: int = 4) -> float:
    """A number to a few figures."""
    return float(f"{plain(value):.{digits}g}")
