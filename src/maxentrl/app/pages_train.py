"""The words of a training run: what was asked, how well it does, how it came about, and what it does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maxentrl.app.pages_plan import picture
from maxentrl.app.pages_sections import count, interval, short
from maxentrl.app.report import code, figure, heading, number, paragraph, table, text, warnings
from maxentrl.app.train_options import AGENTS, MADE

INSIDE = {
    "entropy": "entropy of the policy, nats",
    "divergence_from_prior": "divergence of the policy from the prior, nats",
    "temperature": "temperature, units of reward",
    "value_gap": "value gap, units of reward",
    "value": "mean value of states",
    "q": "mean value of actions",
    "target": "mean target of the values",
    "target_spread": "standard deviation of the targets",
    "critics_apart": "how far the critics are apart",
    "critic_loss": "loss of the critics",
    "policy_loss": "loss of the policy",
    "value_loss": "loss of the value",
    "loss": "loss of the values of actions",
    "squared_error": "squared error of the table, units of reward, squared",
    "moved": "divergence of the policy from the one that acted, nats",
    "return": "return of an episode, exploring",
    "length": "length of an episode, steps",
    "updates": "gradient steps since the row before",
}
MIDDLE = (
    "The interquartile mean leaves out the lowest and the highest quarter of the seeds; the interval is a percentile "
    "bootstrap over seeds, 95 %."
)
FEW = "With fewer than 5 seeds such an interval says little."
GAP = (
    "The value gap is what the values hold beyond what their targets say: 0 once all has converged; one that stays above "
    "0 overestimates."
)
POLICIES = {
    "pendulum": (
        "The pendulum's phase plane with the torque of the most likely action.",
        "The torque of the most likely action at each angle and speed (blue one way, red the other), and four episodes of "
        "most likely actions; a dot marks where each begins. A good policy pumps energy in along the speed, and holds "
        "still at the middle.",
    ),
    "multigoal": (
        "The field of most likely actions with episodes drawn from the policy.",
        "Arrows: the most likely action, the longest drawn as long as fits. "
        "Lines: episodes drawn from the policy, from the origin. Stars and discs: the four "
        "goals, which are equally good. A single normal density is torn between them where it stands in the middle.",
    ),
    "mountain_car": (
        "The car's phase plane with the most likely push.",
        "The most likely push at each place and speed (blue right, red left), and four episodes; a dot marks where each "
        "begins.",
    ),
}
POLICIES["mountain_car_discrete"] = POLICIES["mountain_car"]


def blocks(manifest: dict[str, Any], folder: Path) -> list[str]:
    """A training run: question, answer with its interval, curves, the inside, the policy, how to use it."""
    asked, answer = manifest["settings"], manifest["answer"]
    seeds = asked["seeds"]
    name = AGENTS.get(str(asked["agent"]), str(asked["agent"]))
    return [
        paragraph("maxentrl · train", "kicker"),
        f"<h1>{text(asked['agent'])} on {text(asked['env'])}</h1>",
        _answer(answer, asked, name),
        warnings(manifest["warnings"]),
        heading("How well it does"),
        paragraph(
            f"Evaluations of {count(asked['evaluations'], 'episode')} of most likely actions, from the same starts each "
            f"time, which no training episode shares. {_middle(len(seeds))}"
        ),
        figure(
            picture(folder, "returns"),
            "Return of the evaluations against environment steps.",
            "Each point is the mean return of an evaluation. The numbers are in <code>curves.csv</code>, those of every "
            "seed and episode in <code>metrics.jsonl</code>.",
        ),
        *_finals(answer),
        *_inside(answer, folder),
        *_policy(asked, folder, seeds[0]),
        *_asked(asked),
        heading("To act with it"),
        code(
            "import maxentrl as me\n"
            'policy = me.load_agent("this folder")\n'
            "action = policy.act(observation)         # the most likely one\n"
            "action = policy.act(observation, key=0)  # one drawn from the policy\n"
            "policy.log_density(observation, action)  # log π(a|s) in nats, per unit of the environment"
        ),
    ]


def _answer(answer: Mapping[str, Any], asked: Mapping[str, Any], name: str) -> str:
    many = len(asked["seeds"])
    done = count(answer["step"], "step") + (f" of each of {many} seeds" if many > 1 else "")
    cut = "" if answer["finished"] else f" of {number(asked['steps'])} that were asked for"
    final = answer["final"]
    if final is None:
        return paragraph(f"After {done}{cut}, {text(name)} was not evaluated yet.", "answer")
    between = interval(final["lower"], final["upper"], 1)
    told = (
        f", between {between.replace(' to ', ' and ')} with 95 % confidence" if between != "not known" else ""
    )
    return paragraph(
        f"After {done}{cut}, {text(name)} reaches a return of <b>{number(final['iqm'], 5)}</b>{told}.",
        "answer",
    )


def _middle(seeds: int) -> str:
    """What the middle of several seeds is."""
    return "" if seeds == 1 else f"{MIDDLE} {FEW}" if seeds < 5 else MIDDLE


def _finals(answer: Mapping[str, Any]) -> list[str]:
    rows = [
        [f"seed {row['seed']}", *(short(row[key], 5) for key in ("mean", "least", "largest"))]
        for row in answer["final_returns"]
    ]
    if not rows:
        return []
    return [
        paragraph(f"The evaluation at step {number(answer['evaluated_at'])}:"),
        table(("", "mean return", "worst episode", "best episode"), rows),
    ]


def _inside(answer: Mapping[str, Any], folder: Path) -> list[str]:
    gap = GAP if "value_gap" in answer["training"] else ""
    told = [[INSIDE[key], short(answer["training"][key], 5)] for key in INSIDE if key in answer["training"]]
    if not told:
        return []
    return [
        heading("What goes on inside"),
        figure(
            picture(folder, "training"),
            "What the agent says of itself during training.",
            f"Averages between two rows of metrics, a line for each seed. {gap}",
        ),
        paragraph("At the end, averaged over seeds:"),
        table(("", ""), told),
    ]


def _policy(asked: Mapping[str, Any], folder: Path, seed: int) -> list[str]:
    says, caption = POLICIES.get(asked["env"].removesuffix(MADE), ("What the policy does.", ""))
    drawn = picture(folder, "policy")
    film = picture(folder, "film")
    if drawn is None and film is None:
        return []
    return [
        heading("What it does"),
        figure(drawn, says, f"{caption} Seed {seed}.", narrow=True),
        figure(
            film,
            "Frames of an episode.",
            f"One episode of most likely actions, at even distances in time, row by row. Seed {seed}.",
        ),
    ]


def _asked(asked: Mapping[str, Any]) -> list[str]:
    rows = [("agent", asked["agent"]), ("environment", asked["env"])]
    rows += [(f"its {name}", str(value)) for name, value in asked["env_args"].items()]
    rows += [
        ("steps of each seed", asked["steps"]),
        ("seeds", ", ".join(map(str, asked["seeds"]))),
        ("a row of metrics, an evaluation, a checkpoint every", f"{asked['log_every']}, {asked['evaluate_every']}, "
         f"{asked['checkpoint_every']} steps"),
    ]  # fmt: skip
    rows += [(name.replace("_", " "), _word(value)) for name, value in asked["settings"].items()]
    return [heading("What was asked"), table(("", ""), [list(row) for row in rows])]


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_word(each) for each in value) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none given"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)
