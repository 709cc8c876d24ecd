"""The words of the quickstart's page: one problem, four lessons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maxentrl.app import pages_irl
from maxentrl.app import pages_plan as words
from maxentrl.app.report import figure, formula, heading, number, paragraph, table, text, warnings


def blocks(manifest: dict[str, Any], folder: Path) -> list[str]:
    """The page, section by section."""
    answer, problem = manifest["answer"], manifest["problem"]
    exact = answer["optimism"]["exact"]
    value, bound = number(answer["plan"]["start_value"], 6), words.plus_minus(manifest["certificate"])
    return [
        paragraph("maxentrl · quickstart", "kicker"),
        f"<h1>One minute on {text(problem['title'])}</h1>",
        paragraph(
            f"A plan worth <b>{value}</b>{bound}; a method that believes it succeeds with probability "
            f"<b>{exact['believes']:.3f}</b> and succeeds with <b>{exact['gets']:.3f}</b>; its cure; and a "
            f"reward read back from {answer['irl']['trajectories']} demonstrations.",
            "answer",
        ),
        warnings(manifest["warnings"]),
        paragraph(
            "Someone crosses a frozen lake of four by four cells, from one corner to the opposite one. The "
            "ice is slippery: a step goes where it should with probability 1/3, and to either side "
            "otherwise. The goal pays 1, holes end the walk, nothing else pays. The transition table is "
            "Gymnasium's own."
        ),
        *_plan(manifest, folder),
        *_optimism(answer, folder),
        *_meeting(answer, folder),
        *_recovery(answer, folder),
    ]


def _plan(manifest: dict[str, Any], folder: Path) -> list[str]:
    answer, plan = manifest["answer"], manifest["answer"]["plan"]
    rows = [
        ("value at the start", "start_value", "reward less the price of leaving the prior, units of reward"),
        ("expected reward", "expected_reward", "of the same policy: its discounted chance to reach the goal"),
        ("hard optimum", "hard_value", "the most reward that any policy can have (temperature 0)"),
        ("entropy of the policy", "policy_entropy", "nats per decision; choosing blindly has log 4 = 1.386"),
    ]
    return [
        heading("1 · Planning is inference"),
        paragraph(
            "Call a step <i>optimal</i> with a probability that grows with its reward, $p(O|s,a) ∝ "
            "exp(r(s,a)/α)$, and ask what to do given that every step is. The answer is a soft plan: it "
            "weighs reward against staying close to a prior $ρ$ (here uniform), and the temperature $α$ = "
            f"{number(answer['temperature'])} is the exchange rate. With discount $γ$ = "
            f"{number(answer['discount'])} and the dynamics as they are, it solves"
        ),
        formula(words.GIVEN, words.VALUE, words.POLICY),
        table(("", "", ""), [(name, float(plan[key]), meaning) for name, key, meaning in rows]),
        paragraph(words.certificate_words(manifest["certificate"], None)),
        figure(words.picture(folder, "plan"), "Values with policy arrows, and visits.", words.MAPS),
        paragraph(
            "Beside a hole, the plan steers away from it, often straight into the edge of the lake: an "
            "action that cannot end badly. As the temperature rises, reward counts for less and the plan "
            "wanders more:"
        ),
        figure(words.picture(folder, "sweep"), "Value and entropy against temperature.", words.SWEEP),
    ]


def _optimism(answer: dict[str, Any], folder: Path) -> list[str]:
    found, lottery = answer["optimism"], answer["lottery"]
    exact, control, evidence = found["exact"], found["control"], float(found["log_evidence"])
    return [
        heading("2 · Exact inference is too optimistic, and what cures it"),
        paragraph(
            "Conditioning on success tilts everything that is uncertain towards success: the actions, "
            "which we choose, but also the ice, which we do not. The exact posterior imagines dynamics in "
            "which slips are lucky:"
        ),
        formula("p(s′|s,a,O) ∝ P(s′|s,a) exp(V(s′) / α)"),
        paragraph(
            "The cure is to hold the dynamics at what they are and to fit only the policy, by the best "
            "lower bound on the evidence (structured variational inference). The log-mean-exp over next "
            "states becomes the plain expectation of section 1: control."
        ),
        figure(
            words.picture(folder, "optimism"),
            "Believed and true probability of reaching the goal.",
            f"Probability of reaching the goal within {found['moves']} moves: as each method believes, and "
            "as its policy does on the real ice. Computed exactly, not simulated.",
            narrow=True,
        ),
        formula("log p(O) = bound(π) + KL( q_π(τ) ‖ p(τ|O) )"),
        table(
            ("", "nats", ""),
            [
                ("log evidence", _short(evidence), "exact inference, luck included"),
                (
                    "bound by its own policy",
                    _short(exact["bound"]),
                    "what that policy explains on the real ice",
                ),
                ("bound by control", _short(control["bound"]), "the most that any policy explains"),
            ],
        ),
        paragraph(
            f"The remaining {number(evidence - control['bound'], 4)} nats are luck; no policy can have "
            "them. (In this section the goal pays when it is collected, one step after it is reached, so "
            "that belief and truth are both plain probabilities.)"
        ),
        paragraph(
            "The same in one decision: a ticket wins 4 with probability 0.05 and loses 4 otherwise; not to "
            "buy pays 0; temperature 1. On average a ticket loses 3.6. Exact inference buys it with "
            f"probability {lottery['optimistic']:.3f}, control with {lottery['variational']:.3f}."
        ),
        figure(
            words.picture(folder, "lottery"),
            "Probability of the risky action under either method.",
            "Exact inference averages exp(reward), in which the rare prize outweighs everything; control "
            "averages the reward.",
            narrow=True,
        ),
    ]


def _meeting(answer: dict[str, Any], folder: Path) -> list[str]:
    return [
        heading("3 · Where two messages meet"),
        paragraph(
            "Inference along time takes two messages, as in any hidden Markov model. Here on an open field "
            f"without slips, where a step costs 1 and the goal pays 20, over {answer['field']['horizon']} "
            "steps at temperature 1:"
        ),
        formula("p(s_t | O_{1:T}) ∝ α_t(s_t) β_t(s_t)"),
        figure(
            words.picture(folder, "messages"),
            "Forward message, backward message, product.",
            words.MEETING,
        ),
    ]


def _recovery(answer: dict[str, Any], folder: Path) -> list[str]:
    irl = answer["irl"]
    return [
        heading("4 · The reward behind the behaviour"),
        paragraph(
            f"Now the other way round: {irl['trajectories']} walks were sampled from the plan of section 1 "
            f"({number(irl['decisions'])} decisions), and the reward was forgotten. What must someone want "
            "who walks like that?"
        ),
        *pages_irl.estimate_words(irl["default_standard_errors"]),
        paragraph(pages_irl.SCALE),
        paragraph(
            "There are two features: the probability that an action reaches the goal, and the probability "
            "that it falls into a hole. Their true weights are 1 and 0."
        ),
        *pages_irl.estimate_blocks(irl, folder),
        paragraph(
            "What cannot be known is a third weight, for every step on the ice. Adding a constant $c$ to "
            "the value of every live state (shaping by a potential) pays $−(1 − γ) c$ for each step and "
            "$−γ c$ where the walk ends, and changes no decision. So the three weights would be known only "
            "up to this direction, and the weight of a step is set to 0, as it is on the lake. "
            "<code>maxentrl irl mce</code> finds such directions by itself and names them in a warning."
        ),
    ]


def _short(value: float) -> float:
    return float(f"{value:.4f}")
