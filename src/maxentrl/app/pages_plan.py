"""The words of a plan: what was asked, what came out, how sure that is; and words that other pages share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maxentrl.app.record import read_rows
from maxentrl.app.report import (
    figure,
    formula,
    heading,
    number,
    paragraph,
    table,
    text,
    warnings,
)
from maxentrl.core.words import many

GIVEN = "Q(s,a) = r(s,a) + γ Σ_{s′} P(s′|s,a) V(s′)"
TILTED = "Q(s,a) = r(s,a) + α_s log( γ Σ_{s′} P(s′|s,a) exp(V(s′) / α_s) + 1 − γ )"
VALUE = "V(s) = α log Σ_a ρ(a|s) exp(Q(s,a) / α)"
POLICY = "π(a|s) = ρ(a|s) exp((Q(s,a) − V(s)) / α)"

MARKS = "A circle marks the start, a star an end that pays, a cross any other end."
MAPS = (
    "Left: the value of each state, with the policy as arrows: an arrow points where its action usually "
    "leads and is longer the more probable the action is; a dot is staying. Right: how many steps the "
    f"policy is expected to spend in each state under the dynamics as they are. {MARKS}"
)
LISTS = "The states in which the policy is expected to spend most steps, and what they are worth."
MEETING = (
    "The forward message says where one can be after acting well so far; the backward message from where one "
    "can still do well; their product, normalised, is where one is at this time given that all went well. "
    "It is largest where the two meet."
)
SWEEP = (
    "Left: soft value at the start, and the reward alone that the same policy earns. Dotted: the value in "
    "the hard limit, temperature 0. Right: how undecided the policy is where it goes. A grey line marks "
    "the temperature of this plan."
)


def blocks(manifest: dict[str, Any], folder: Path) -> list[str]:
    """A plan: question, recursion, answer with its proof, maps."""
    asked, answer, problem = manifest["settings"], manifest["answer"], manifest["problem"]
    certificate = manifest["certificate"]
    optimistic = asked["dynamics"] == "posterior" or asked["state_temperature"] is not None
    drawn = (folder / "pictures" / "plan.svg").read_text(encoding="utf-8")
    return [
        paragraph("maxentrl · plan", "kicker"),
        f"<h1>A plan for {text(problem['title'])}</h1>",
        paragraph(
            "From the start, the plan is worth "
            f"<b>{number(answer['start_value'], 9)}</b>{plus_minus(certificate)} units of reward, at "
            f"temperature {number(asked['temperature'])} {future(asked)}.",
            "answer",
        ),
        warnings(manifest["warnings"]),
        heading("The question"),
        table(("", ""), question(asked, problem)),
        paragraph(
            "The plan weighs reward against staying close to the prior $ρ$ over actions; the temperature $α$ "
            "is the exchange rate. It satisfies"
        ),
        formula(TILTED if optimistic else GIVEN, VALUE, POLICY),
        paragraph(_dynamics_words(asked)),
        heading("The answer"),
        table(("", "", ""), _plan_rows(answer, optimistic)),
        paragraph(certificate_words(certificate, asked["horizon"])),
        figure(
            picture(folder, "plan"), "Values with policy, and visits.", MAPS if "QuadMesh" in drawn else LISTS
        ),
        *_messages(answer, folder),
        *_sweep(folder),
    ]


def certificate_words(certificate: Mapping[str, Any], horizon: int | None) -> str:
    """The proof that goes with a plan, in words."""
    if horizon is not None:
        return (
            f"How sure is that? The recursion runs backward over exactly {many(horizon, 'step')}, so nothing is "
            f"approximated; only the rounding of {certificate['number_format']} is left."
        )
    bound, sweeps = number(certificate["error_bound"], 2), certificate["sweeps"]
    if certificate["converged"]:
        return (
            f"How sure is that? No value is further than {bound} units of reward from the exact solution. "
            "This is proven, from what one more backup would still change, and needs no trust in the "
            f"solver; it took {sweeps} sweeps."
        )
    return (
        f"The search stopped after {sweeps} sweeps before it reached its tolerance. The values are proven "
        f"to lie within {bound} units of reward of the exact solution, and no closer."
    )


def plus_minus(certificate: Mapping[str, Any]) -> str:
    """The error bound as it is put behind a value."""
    bound = float(certificate["error_bound"])
    return f" ± {number(bound, 2)}" if bound > 0 else ""


def question(asked: Mapping[str, Any], problem: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What was asked, as rows of a table."""
    prior = {
        None: "the problem's own",
        "uniform": "uniform over the allowed actions",
        "counting": "each action counts 1",
    }
    ends = f"{problem['terminal_states']} terminal"
    rows: list[tuple[str, Any]] = [
        ("problem", f"{problem['title']} ({problem['source']})"),
        ("size", f"{many(problem['states'], 'state')} ({ends}), {many(problem['actions'], 'action')}"),
        ("temperature α", f"{many(float(asked['temperature']), 'unit')} of reward"),
        ("future", future(asked).replace("<sup>", "^").replace("</sup>", "")),
    ]
    if "dynamics" in asked:
        own = asked["state_temperature"]
        rows.append(("dynamics", asked["dynamics"] if own is None else f"state temperature αₛ = {own}"))
        rows.append(("prior ρ", prior[asked["prior"]]))
    return rows


def future(asked: Mapping[str, Any]) -> str:
    """Horizon or discount, in words."""
    discount = asked["discount"]
    if asked["horizon"] is not None:
        tail = "" if discount is None or discount == 1 else f", discount {number(discount)}"
        return f"over {many(asked['horizon'], 'step')}{tail}"
    return "until the end is reached (discount 1)" if discount == 1 else f"with discount {number(discount)}"


def _dynamics_words(asked: Mapping[str, Any]) -> str:
    if asked["state_temperature"] is not None:
        return (
            "The step over next states has a temperature of its own, $α_s$ = "
            f"{number(asked['state_temperature'])}: at ∞ it is the expectation (control), at $α$ exact "
            "inference, below that wishful thinking."
        )
    if asked["dynamics"] == "posterior":
        return (
            "This is exact inference ($α_s = α$): it asks which trajectories are likely given that all "
            "went well, and so it imagines luck that it does not have. Rewards are those of state and "
            "action; one that is paid on arrival has been averaged over next states. The table shows what "
            "is left of the value in the world as it is."
        )
    return (
        "The dynamics are taken as given: the expectation over next states. This is maximum-entropy "
        "control, and it imagines no luck."
    )


def _plan_rows(answer: Mapping[str, Any], optimistic: bool) -> list[tuple[str, float, str]]:
    believed = "what the plan believes it is worth: reward less the price of leaving the prior"
    rows = [("value at the start", float(answer["start_value"]), believed)]
    if optimistic and "given_value" in answer:
        real = "of the same policy, under the given dynamics"
        rows.append(("value in the world as it is", float(answer["given_value"]), real))
    reward = "of the policy under the given dynamics, discounted as asked"
    rows.append(("expected reward", float(answer["expected_reward"]), reward))
    if "divergence" in answer:
        price = "summed over the way, as discounted: KL(π ‖ ρ), nats"
        rows.append(("divergence from the prior", float(answer["divergence"]), price))
    where = "nats per decision, averaged over where it goes"
    return [*rows, ("entropy of the policy", float(answer["policy_entropy"]), where)]


def _messages(answer: Mapping[str, Any], folder: Path) -> list[str]:
    svg = picture(folder, "messages")
    if svg is None:
        return []
    keys = ("log_evidence", "evidence_bound", "best_evidence_bound")
    evidence, own, best = (float(answer[key]) for key in keys)
    return [
        heading("Messages, evidence and luck"),
        formula("log p(O) = bound(π) + KL( q_π(τ) ‖ p(τ|O) ),   bound(π) = E[ Σ_t r_t / α ] − KL(π ‖ ρ)"),
        table(
            ("", "nats", ""),
            [
                ("log evidence", evidence, "exact inference, with luck imagined"),
                ("bound by the posterior's policy", own, "the same actions in the world as it is"),
                ("bound by the best policy", best, "control: the most that can be had without luck"),
            ],
        ),
        paragraph(
            f"The gap of {number(evidence - best, 4)} nats cannot be closed by any policy: it is the luck "
            "that exact inference takes for granted."
        ),
        figure(svg, "Forward message, backward message and their product.", MEETING),
    ]


def _sweep(folder: Path) -> list[str]:
    svg = picture(folder, "sweep")
    if svg is None:
        return []
    header = ("temperature", "start value", "expected reward", "entropy (nats per decision)")
    keys = ("temperature", "start_value", "expected_reward", "policy_entropy")
    return [
        heading("The temperature"),
        figure(svg, "Start value and policy entropy against temperature.", SWEEP),
        table(header, [[float(row[key]) for key in keys] for row in read_rows(folder)]),
    ]


def picture(folder: Path, name: str) -> bytes | None:
    """A picture of the run, or None where it has none of this name."""
    path = folder / "pictures" / f"{name}.svg"
    return path.read_bytes() if path.is_file() else None
