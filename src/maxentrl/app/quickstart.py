"""The first minute: a plan, the optimism of exact inference and its cure, a reward recovered, a report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from maxentrl import envs
from maxentrl.app import pages, plots, recipes
from maxentrl.app.problems import open_problem
from maxentrl.app.record import Run, recording
from maxentrl.core.types import Dynamics
from maxentrl.infer.policy import evidence_bound, occupancy
from maxentrl.infer.posterior import posterior
from maxentrl.infer.solution import Solution, solve
from maxentrl.irl import mce, sample_trajectories
from maxentrl.models.tabular import TabularMDP

PROBLEM = "FrozenLake-v1"
TEMPERATURE, DISCOUNT = 0.01, 0.99
MOVES = 50
"""Moves that exact inference looks ahead."""
DEMONSTRATIONS, STEPS, SEED = 200, 100, 0
"""Demonstrations sampled, the time limit of each (Gymnasium's own), and the seed."""
SWEEP = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
FIELD = "\n".join(["." * 17] * 4 + ["..SS.........G..."] + ["." * 17] * 4)
FIELD_HORIZON = 16


KINDS: tuple[tuple[str, Dynamics], ...] = (("exact", "posterior"), ("control", "given"))


class Shown(NamedTuple):
    """folder: the run; summary: what to print; converged: whether every tolerance was reached."""

    folder: Path
    summary: str
    converged: bool


def quickstart(out: str | Path = "runs/quickstart", say: recipes.Say = lambda line: None) -> Shown:
    """Do the main job on Gymnasium's FrozenLake and write a run folder with a report.

    Raises:
        InputError: if the folder cannot be written.
    """
    begun = time.perf_counter()
    settings: dict[str, Any] = {}
    with recording(out, "quickstart", settings, pages.page) as run, recipes.kept_warnings(run):
        run.manifest["seeds"]["demonstrations"] = SEED
        source = open_problem(PROBLEM)
        recipes.record_problem(run, source)
        mdp = source.mdp
        say(f"1 of 4  planning on {PROBLEM}, from its own transition table")
        solution = solve(mdp, temperature=TEMPERATURE, discount=DISCOUNT)
        answer: dict[str, Any] = {
            "temperature": TEMPERATURE,
            "discount": DISCOUNT,
            "plan": recipes.record_plan(run, solution),
        }
        asked = {"discount": DISCOUNT}
        run.rows, hard = recipes.sweep_rows(mdp, SWEEP, asked)
        answer["plan"]["hard_value"] = hard
        run.pictures["sweep"] = plots.sweep(run.rows, hard, TEMPERATURE)
        say("2 of 4  exact inference, its optimism, and the cure")
        answer["optimism"] = show_optimism(run, mdp)
        answer["lottery"] = show_lottery(run)
        say("3 of 4  messages forward and backward on an open field")
        answer["field"] = show_messages(run)
        say(f"4 of 4  the reward behind {DEMONSTRATIONS} demonstrations")
        answer["irl"] = show_recovery(run, mdp, solution)
        run.manifest["answer"] = answer
    converged = bool(solution.converged) and answer["irl"]["converged"]
    return Shown(Path(out), summary(answer, solution, Path(out), time.perf_counter() - begun), converged)


def show_optimism(run: Run, mdp: TabularMDP) -> dict[str, Any]:
    """Probability of reaching the goal: as exact inference and control believe it, and as it is."""
    paid, goal = pay_on_arrival(mdp)
    horizon = MOVES + 1
    settings = {"temperature": TEMPERATURE, "horizon": horizon}
    found: dict[str, Any] = {"moves": MOVES}
    for name, dynamics in KINDS:
        answer = posterior(paid, dynamics=dynamics, **settings)
        visits = np.asarray(occupancy(paid, answer.log_policy, horizon=horizon))
        found[name] = {
            "believes": float(np.exp(np.asarray(answer.log_state_action)[:, goal]).sum()),
            "gets": float(visits[:, goal].sum()),
            "bound": float(evidence_bound(paid, answer.log_policy, **settings).evidence_bound),
        }
        if dynamics == "posterior":
            found["log_evidence"] = float(answer.log_evidence)
    names = ("exact inference", "control")
    believed, got = ([found[key][what] for key in ("exact", "control")] for what in ("believes", "gets"))
    label = f"probability of reaching the goal within {MOVES} moves"
    run.pictures["optimism"] = plots.optimism(names, believed, got, label)
    return found


def show_lottery(run: Run) -> dict[str, float]:
    """Probability of buying a ticket that wins 4 with probability 0.05, else loses 4, at temperature 1."""
    ticket = envs.lottery()
    risky = {
        dynamics: float(
            np.exp(solve(ticket, temperature=1.0, horizon=2, dynamics=dynamics).log_policy[0, 0, 1])
        )
        for _, dynamics in KINDS
    }
    run.pictures["lottery"] = plots.lottery(risky["posterior"], risky["given"])
    return {"optimistic": risky["posterior"], "variational": risky["given"]}


def show_messages(run: Run) -> dict[str, Any]:
    """Forward and backward messages on an open field, half-way between start and goal."""
    field = envs.gridworld(FIELD, goals={"G": 20.0})
    answer = posterior(field, temperature=1.0, horizon=FIELD_HORIZON)
    run.pictures["messages"] = recipes.picture_of_messages(field, answer, FIELD_HORIZON)
    return {"horizon": FIELD_HORIZON, "log_evidence": float(answer.log_evidence)}


def show_recovery(run: Run, mdp: TabularMDP, solution: Solution) -> dict[str, Any]:
    """Sample the plan's behaviour, forget the reward, and estimate it from what was done."""
    key = jax.random.key(SEED, impl="threefry2x32")
    demos = sample_trajectories(mdp, solution.log_policy, key=key, count=DEMONSTRATIONS, horizon=STEPS)
    reach = np.asarray(mdp.transition_matrix())
    _, goal = pay_on_arrival(mdp)
    holes = np.asarray(mdp.terminal) & (np.arange(mdp.states) != goal)
    features = np.stack([reach[:, :, goal], reach[:, :, holes].sum(2)], axis=2)
    names = ("reach the goal", "fall into a hole")
    estimate = mce.fit(mdp, features, demos, temperature=TEMPERATURE, discount=DISCOUNT, feature_names=names)
    if estimate.interrupted:
        raise KeyboardInterrupt
    return recipes.record_estimate(run, estimate, truth=(1.0, 0.0))


def pay_on_arrival(mdp: TabularMDP) -> tuple[TabularMDP, int]:
    """The same lake, in which the goal pays when it is collected, a step after it is reached; and the goal.

    The table pays an action the probability that it reaches the goal. Under control that is the same thing;
    under exact inference it is not: luck would be paid without the goal ever being reached.
    """
    reach, reward = np.asarray(mdp.transition_matrix()), np.asarray(mdp.reward)
    paying = [
        s
        for s in np.flatnonzero(np.asarray(mdp.terminal))
        if np.allclose(reach[:, :, s], reward) and reward.any()
    ]
    goal, end = int(paying[0]), mdp.states
    transition = np.zeros((mdp.states + 1, mdp.actions, mdp.states + 1))
    transition[:end, :, :end] = reach
    transition[goal] = np.eye(mdp.states + 1)[end]
    prize = np.zeros((mdp.states + 1, mdp.actions))
    prize[goal] = 1.0
    terminal = np.append(np.asarray(mdp.terminal), True)
    terminal[goal] = False
    return TabularMDP(transition, prize, initial=np.append(mdp.initial, 0.0), terminal=terminal), goal


def summary(answer: dict[str, Any], solution: Solution, folder: Path, seconds: float) -> str:
    """What the terminal shows at the end."""
    exact, control, lottery = answer["optimism"]["exact"], answer["optimism"]["control"], answer["lottery"]
    weights = [
        f"{row['feature']}: {row['weight']:.3f} ± {1.96 * row['standard_error']:.3f} (true {row['true']:g})"
        for row in answer["irl"]["weights"]
    ]
    bound = float(solution.error_bound)
    return "\n".join(
        [
            "",
            f"  {PROBLEM}, from Gymnasium's own transition table",
            "",
            f"  plan       worth {answer['plan']['start_value']:.6f} from the start, proven to within "
            f"{bound:.1g}",
            f"             (temperature {TEMPERATURE:g}, discount {DISCOUNT:g}; reward alone "
            f"{answer['plan']['expected_reward']:.4f})",
            "  optimism   exact inference believes it reaches the goal with probability "
            f"{exact['believes']:.3f};",
            f"             in the world as it is, its policy gets there with {exact['gets']:.3f}",
            f"  its cure   control believes {control['believes']:.3f} and gets {control['gets']:.3f}",
            f"  lottery    a bad bet is taken with probability {lottery['optimistic']:.3f} by exact "
            f"inference, {lottery['variational']:.3f} by control",
            f"  reward     recovered from {answer['irl']['trajectories']} demonstrations, with 95 % "
            "intervals:",
            *(f"             {line}" for line in weights),
            "",
            f"  report     {folder / 'report.html'}   ({seconds:.0f} s)",
            "",
        ]
    )
