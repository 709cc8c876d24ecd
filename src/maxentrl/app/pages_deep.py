"""The words of a page on a reward that is a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maxentrl.app import pages_sections as sections
from maxentrl.app.pages_plan import future, picture
from maxentrl.app.report import figure, formula, heading, number, paragraph, table, text, warnings
from maxentrl.core.words import many


def blocks(manifest: dict[str, Any], folder: Path) -> list[str]:
    """A network, or an ensemble of them, trained to be the reward behind demonstrations."""
    asked, answer, problem = manifest["settings"], manifest["answer"], manifest["problem"]
    trajectories = answer["demonstrations"][0]["trajectories"]
    return [
        paragraph("maxentrl · inverse reinforcement learning", "kicker"),
        f"<h1>A network behind {number(trajectories)} demonstrations in {text(problem['title'])}</h1>",
        paragraph(
            f"{sections.count(answer['networks'], 'network')} trained by deep maximum entropy to be the reward of a "
            f"demonstrator at temperature {number(asked['temperature'])} {future(asked)}.",
            "answer",
        ),
        warnings(manifest["warnings"]),
        heading("The question"),
        table(("", ""), [*sections.question(asked, problem), *_network(asked)]),
        paragraph(
            "The reward is whatever function of the features a network can be, $r(s,a) = net(f(s,a))$. The problem is "
            "solved exactly at every step of the training, so the likelihood of the demonstrations and its slope are "
            "exact, and the chain rule does the rest:"
        ),
        formula("dL / dθ = Σ_{s,a} ( demonstrated − expected )(s,a) / α · dr(s,a) / dθ"),
        paragraph(
            "A network is known only as far as behaviour shows it: adding a potential, $γ E φ(s′) − φ(s)$, to the reward "
            "changes no decision, so compare policies and likelihoods, not the numbers of the reward."
        ),
        *sections.demonstrations(answer),
        heading("The answer"),
        *_training(answer, folder),
        *sections.reward_map(folder),
        *sections.scores(answer, folder),
        *sections.flows(answer, folder, how="The policy that the reward implies"),
        *sections.change(answer, asked, folder),
    ]


def _network(asked: Mapping[str, Any]) -> list[tuple[str, str]]:
    layers = " and ".join(f"{n:g}" for n in asked["hidden"])
    given = (
        "soft-optimal under the dynamics as they are"
        if asked["dynamics"] == "given"
        else "posterior trajectories"
    )
    return [
        ("dynamics", given),
        ("network", f"hidden layers of {layers} units; at most {many(asked['steps'], 'step')}"),
    ]


def _training(answer: Mapping[str, Any], folder: Path) -> list[str]:
    held = answer["validation_log_likelihood"]
    seen = (
        f"Log-likelihood of the {number(answer['decisions'])} decisions of the fit: "
        f"{number(answer['log_likelihood'])} nats"
    )
    if answer["log_likelihood_uniform"] is not None:
        seen += f"; choosing uniformly would give {number(answer['log_likelihood_uniform'])}"
    if held is not None:
        seen += f". Of the {number(answer['validation_decisions'])} decisions of validation: {number(held)}"
    rule = "validation" if held is not None else "training"
    blocks = [
        paragraph(f"{seen}. {text(sections.sentence(answer['verdict']))}"),
        figure(
            picture(folder, "learning"),
            "Log-likelihood of a decision, step by step.",
            f"Log-likelihood of a decision, step by step. The step with the best {rule} likelihood is kept.",
            narrow=True,
        ),
    ]
    if "spread" in answer:
        blocks.append(
            paragraph(
                f"The {answer['networks']} networks, trained from different beginnings, differ by "
                f"{number(answer['spread'], 3)} on average, where the reward itself varies by "
                f"{number(answer['scale'], 3)} from choice to choice (standard deviations, each network less its own "
                "mean). The numbers on this page are those of the best one."
            )
        )
    folder_words = (
        "<code>network/</code> holds the networks; <code>maxentrl.irl.deep_estimate.load</code> reads them."
    )
    return [*blocks, paragraph(folder_words, "small")]
