"""What a report says of any recovered reward, beside the reward itself: how well it foretells decisions, what of it
is known, where it sends people, and what it predicts for a world that changed."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from maxentrl import assess
from maxentrl.app import maps, plots_irl
from maxentrl.app.inputs import Opened
from maxentrl.app.options import Change
from maxentrl.app.predicted import PATIENCE, decisions_of, predicted_decisions
from maxentrl.app.record import Run
from maxentrl.core.check import InputError
from maxentrl.data.trajectories import Trajectories
from maxentrl.irl.baselines import behaviour_cloning, uniform_policy
from maxentrl.irl.reward import choices
from maxentrl.irl.validation import Policy, by_group, score
from maxentrl.models.tabular import TabularMDP

LISTED = 10
"""Rows of a table on the page; the rest is in the run folder."""

HELD_OUT, SEEN = "test", "fitted to"


class Setting(NamedTuple):
    """Of the demonstrator: temperature, discount (1 where only a horizon was given) and horizon."""

    temperature: float
    discount: float
    horizon: int | None


def record_scores(run: Run, opened: Opened, log_policy: Policy, name: str) -> None:
    """Log-likelihood of decisions under the estimate and under what knows nothing of rewards, with a picture."""
    demos, part = (opened.train, SEEN) if opened.test is None else (opened.test, HELD_OUT)
    rows = []
    for what, policy in (
        (name, log_policy),
        ("behaviour cloning", behaviour_cloning(opened.mdp, opened.train)),
        ("random choice", uniform_policy(opened.mdp)),
    ):
        found = score(opened.mdp, policy, demos, name=what)
        rows.append(
            {
                "name": what,
                "log_likelihood": found.log_likelihood,
                "per_decision": found.per_decision,
                "lower": found.interval[0],
                "upper": found.interval[1],
                "decisions": found.decisions,
                "clusters": found.clusters,
            }
        )
    run.manifest["answer"]["scores"] = {"part": part, "rows": rows}
    run.pictures["scores"] = plots_irl.scores(
        [row["name"] for row in rows],
        [row["per_decision"] for row in rows],
        [(row["lower"], row["upper"]) for row in rows],
    )


def record_identification(
    run: Run, opened: Opened, estimate: Any, setting: Setting, log_policy: Policy
) -> None:
    """The directions of the weights that no data, or not these data, determine."""
    found = assess.identify(
        opened.mdp,
        opened.features,
        discount=setting.discount,
        horizon=setting.horizon,
        feature_names=opened.names,
        fisher=estimate.fisher,
        decisions=estimate.steps,
        temperature=setting.temperature,
        log_policy=log_policy if isinstance(log_policy, np.ndarray) and log_policy.ndim == 2 else None,
    )
    run.manifest["answer"]["identification"] = found.to_dict()


def record_flows(
    run: Run, opened: Opened, expected: np.ndarray | None, name: str = "flows"
) -> dict[str, Any]:
    """Observed decisions beside predicted ones [S, A], of the test demonstrations where there are some."""
    mdp = opened.mdp
    demos, part = (opened.train, SEEN) if opened.test is None else (opened.test, HELD_OUT)
    if expected is None:
        return {}
    allowed = choices(mdp)
    seen = decisions_of(mdp, demos)
    found = assess.compare_flows(seen[allowed], expected[allowed])
    state, action = np.nonzero(allowed)
    rows = [
        {
            "state": mdp.state_name(int(state[i])),
            "action": mdp.action_name(int(action[i])),
            "observed": float(found.observed[i]),
            "predicted": float(found.expected[i]),
            "standardised": float(found.standardised[i]),
        }
        for i in np.flatnonzero((found.observed > 0) | (found.expected > 1e-9))
    ]
    run.tables[name] = rows
    run.pictures[name] = plots_irl.flows(found.observed, found.expected)
    facts = {
        "part": part,
        "correlation": found.correlation,
        "share_misplaced": found.share_misplaced,
        "chi_square": found.chi_square,
        "cells": found.degrees,
        "caveat": found.caveat,
        "largest": sorted(rows, key=_how_far)[:LISTED],
    }
    run.manifest["answer"].setdefault(name, facts)
    return facts


def _how_far(row: dict[str, Any]) -> tuple[float, float]:
    """The furthest off first; what was never predicted, by how often it was done."""
    return -abs(row["standardised"]), -abs(row["observed"] - row["predicted"])


def flows_of(opened: Opened, log_policy: Policy, patience: int = PATIENCE) -> np.ndarray | None:
    """Predicted decisions [S, A] for the demonstrations that they are compared with; see `predicted_decisions`."""
    demos = opened.train if opened.test is None else opened.test
    if isinstance(log_policy, Mapping):
        total = np.zeros((opened.mdp.states, opened.mdp.actions))
        for rows, policy in by_group(demos, log_policy):
            part = predicted_decisions(opened.mdp, policy, demos.take(rows), patience)
            if part is None:
                return None
            total += part
        return total
    return predicted_decisions(opened.mdp, log_policy, demos, patience)


def record_map(
    run: Run, mdp: TabularMDP, reward: np.ndarray, log_policy: Policy, name: str = "reward"
) -> None:
    """The reward as a map, where states have places on one, with the policy (of the first group)."""
    if maps.has_map(mdp):
        policy = np.asarray(
            next(iter(log_policy.values())) if isinstance(log_policy, Mapping) else log_policy
        )
        run.pictures[name] = plots_irl.reward_map(mdp, reward, policy[0] if policy.ndim == 3 else policy)


def changed(
    opened: Opened, reward: np.ndarray, weights: np.ndarray | None, change: Change, offset
) -> TabularMDP | None:
    """The problem with the reward, and everything that was asked for changed; None where nothing was.

    Raises:
        InputError: for states and actions that the problem does not have, and changes that make no sense.
    """
    if not change.asked:
        return None
    mdp = opened.mdp.with_reward(reward)
    for text in change.close_arc:
        state, action = _two(text, "--close-arc", "STATE,ACTION")
        mdp = assess.close(mdp, state, action)
    for text in change.move_goal:
        origin, to = _two(text, "--move-goal", "FROM,TO")
        old = _state(mdp, origin)
        gain = np.zeros(mdp.actions) if offset is None else np.array(offset[old])
        gain += 0 if weights is None else opened.features[old] @ weights
        mdp = assess.move_goal(mdp, old, _state(mdp, to), transition=moves_from(mdp, old), reward=gain)
    return mdp


def record_change(run: Run, opened: Opened, reward: np.ndarray, after: TabularMDP, setting: Setting) -> None:
    """Expected flows before and after the change, per journey from where the demonstrations begin."""
    begins = np.zeros(opened.mdp.states)
    for part in opened.all:
        np.add.at(begins, part.states[:, 0], part.weights)
    begins /= begins.sum()
    found = assess.counterfactual(
        opened.mdp.with_reward(reward).with_initial(begins),
        after.with_initial(begins),
        temperature=setting.temperature,
        discount=setting.discount,
        horizon=setting.horizon,
    )
    mdp, move = opened.mdp, found.actions
    used = (found.before.actions > 1e-9) | (found.after.actions > 1e-9)
    rows = [
        {
            "state": mdp.state_name(int(s)),
            "action": mdp.action_name(int(a)),
            "before": float(found.before.actions[s, a]),
            "after": float(found.after.actions[s, a]),
            "change": float(move[s, a]),
        }
        for s, a in zip(*np.nonzero(used), strict=True)
    ]
    first = np.where(np.asarray(mdp.terminal), found.before.states, 0.0)
    then = np.where(np.asarray(after.terminal), found.after.states, 0.0)
    ends = [
        {"state": mdp.state_name(int(s)), "before": float(first[s]), "after": float(then[s])}
        for s in np.flatnonzero((first > 1e-9) | (then > 1e-9))
    ]
    run.tables["counterfactual"] = rows
    run.arrays |= {"flows_before": found.before.actions, "flows_after": found.after.actions}
    largest = sorted(rows, key=lambda row: -abs(row["change"]))[:LISTED]
    run.manifest["answer"]["counterfactual"] = {
        "value_before": found.before.value,
        "value_after": found.after.value,
        "largest": largest,
        "choices": len(rows),
        "ends": ends[:LISTED],
    }
    if maps.has_map(mdp):
        run.pictures["counterfactual"] = plots_irl.change_map(after, found.states)
    else:
        run.pictures["shifts"] = plots_irl.shifts(
            [f"{row['state']}: {row['action']}" for row in largest],
            np.array([row["before"] for row in largest]),
            np.array([row["after"] for row in largest]),
            "expected decisions per journey",
        )


def moves_from(mdp: TabularMDP, goal: int) -> np.ndarray:
    """Where the actions lead [A, S] from a place that was a goal and is none any more.

    As the problem's own table says, if it says it; else, on a map, as far as each action usually leads.

    Raises:
        InputError: where neither is known.
    """
    rows = maps.moves_at(mdp, goal)
    if rows is None:
        raise InputError(
            f"the goal {mdp.state_name(goal)} cannot be moved: nothing says what could be done in it once the "
            "journey goes on there. Give the problem as npz, with the transitions of that state too, or with "
            "coordinates on a grid."
        )
    return rows


def warn_of_journeys(run: Run, opened: Opened, setting: Setting) -> None:
    """Sentences on journeys that do not reach an end that the model says they reach."""
    if setting.horizon is not None or setting.discount != 1:
        return
    demos: Trajectories = opened.train
    last = demos.next_states[np.arange(demos.count), demos.lengths - 1]
    ended = (last >= 0) & np.asarray(opened.mdp.terminal)[np.maximum(last, 0)]
    if not ended.any():
        run.warn(
            f"None of the {demos.count} demonstrations reaches a terminal state, where with discount 1 and no "
            "horizon every journey ends; they are taken to be cut off."
        )
    elif not ended.all():
        first = demos.ids[int((~ended).argmax())]
        run.warn(
            f"{int((~ended).sum())} of {demos.count} demonstrations end before a terminal state is reached "
            f"(the first: {first!r}); they are taken to be cut off."
        )


def _two(text: str, option: str, form: str) -> Sequence[str]:
    cells = next(csv.reader([text], skipinitialspace=True), [])
    if len(cells) != 2:
        raise InputError(
            f"{option} must be {form}, with quotes around a name that holds a comma; got {text!r}."
        )
    return [cell.strip() for cell in cells]


def _state(mdp: TabularMDP, name: str) -> int:
    names = mdp.state_names or tuple(map(str, range(mdp.states)))
    if name in names:
        return names.index(name)
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    raise InputError(f"--move-goal: the problem has no state {name!r}; known are {shown}.")
