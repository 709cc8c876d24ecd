"""What a training run leaves: tables, pictures, the agents themselves, and the manifest that binds them together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maxentrl import agents
from maxentrl.app import pages, plots_policy, plots_train, saved_agents
from maxentrl.app.record import Run, command_line
from maxentrl.app.saved_agents import About, Policy
from maxentrl.app.train_folder import Folder
from maxentrl.app.train_options import words_of
from maxentrl.core.statistics import curve_with_interval, with_interval


def write_results(
    folder: Folder,
    asked: dict[str, Any],
    about: About,
    states: Sequence[Any],
    policies: Sequence[Policy],
    site: Any,
    finished: bool,
    timing: Mapping[str, Any],
    warnings: Sequence[str] = (),
) -> None:
    """Write the results of a run into its folder, all at once.

    Args:
        folder: of the run, with its rows.
        asked: its settings, as they are kept.
        about, states, policies: of the agents, a state and a policy for each seed.
        site: where they were trained.
        finished: whether the run came to its end.
        timing: for timing.json.
        warnings: sentences that the reader must see; the same whenever the same is asked.
    """
    run = Run("train", asked)
    run.manifest["command"] = command(asked)
    run.manifest["seeds"] = (
        {"seeds": list(about.seeds)} if len(about.seeds) > 1 else {"run": next(iter(about.seeds))}
    )
    run.manifest["problem"] = {"title": f"{about.agent} on {about.env}", "source": about.env}
    for sentence in warnings:
        run.warn(sentence)
    steps, returns = curves(folder.rows, about.seeds)
    final = with_interval(returns[-1]) if len(steps) else None
    run.manifest["answer"] = {
        "step": about.step,
        "finished": finished,
        "final": None if final is None else {"iqm": final.value, "lower": final.lower, "upper": final.upper},
        "final_returns": [] if final is None else [
            {"seed": seed, **_spread(folder.rows, seed, int(steps[-1]))} for seed in about.seeds
        ],
        "evaluated_at": int(steps[-1]) if len(steps) else None,
        "training": _last_training(folder.rows),
    }  # fmt: skip
    stuck = run.manifest["answer"]["training"].get("target_out_of_reach", 0)
    if stuck > 0:
        run.warn(
            f"The entropy target was out of reach in {100 * stuck:.0f} % of the last gradient steps: the temperature sat "
            "at a bound while the entropy was still off its target. Another target_ratio, wider temperature_bounds, or a "
            "fixed temperature may help."
        )
    run.arrays["evaluation_step"] = steps
    run.arrays["evaluation_return"] = returns
    if len(steps):
        middle = curve_with_interval(returns)
        run.tables["curves"] = [
            {"step": int(t), "iqm": m, "lower": low, "upper": high}
            for t, m, low, high in zip(steps, *middle, strict=True)
        ]
        run.pictures["returns"] = plots_train.returns(steps, returns, middle)
    inner = plots_train.training(folder.rows, about.seeds)
    if inner is not None:
        run.pictures["training"] = inner
    try:
        run.pictures.update(plots_policy.pictures(policies, site))
    except (
        Exception
    ) as error:  # it may be of an environment of the user's own, and is no reason to lose the results
        run.warn(f"What the policy does could not be drawn: {type(error).__name__}: {error}.")
    run.folders["agent"] = lambda place: saved_agents.save_agents(place, about, list(states))
    folder.end(run, pages.page, timing)


def curves(rows: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Steps [T] of the evaluations among rows of metrics, and mean returns [T, seeds]."""
    found: dict[int, dict[int, float]] = {}
    for row in rows:
        if row["kind"] == "evaluation":
            found.setdefault(int(row["step"]), {})[int(row["seed"])] = float(row["return"])
    steps = sorted(step for step, of in found.items() if set(of) >= set(seeds))
    return np.array(steps, np.int64), np.array([[found[t][s] for s in seeds] for t in steps]).reshape(
        -1, len(seeds)
    )


def command(asked: Mapping[str, Any]) -> str:
    """What to type to repeat the run."""
    name = asked["agent"]
    words: dict[str, Any] = {"env": asked["env"]}
    if asked["env_args"]:
        words["env_args"] = json.dumps(asked["env_args"])
    words |= {"steps": asked["steps"], "seeds": seeds_in_words(asked["seeds"])}
    words |= {
        key: asked[key]
        for key, usual in (("log_every", 1000), ("evaluate_every", 5000), ("checkpoint_every", 10_000), ("evaluations", 10))
        if asked[key] != usual
    }  # fmt: skip
    if name in agents.AGENTS:
        words |= words_of(agents.AGENTS[name].settings, asked["settings"])
    flags = {key: value for key, value in words.items() if isinstance(value, bool)}
    line = command_line(f"train {name}", {key: value for key, value in words.items() if key not in flags})
    told = [f"--{'' if value else 'no-'}{key.replace('_', '-')}" for key, value in flags.items()]
    return " ".join([line, *told])


def seeds_in_words(seeds: Sequence[int]) -> str:
    """Seeds as --seeds takes them."""
    seeds = list(seeds)
    if len(seeds) > 1 and seeds == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]}-{seeds[-1]}"
    return ",".join(map(str, seeds))


def _spread(rows: Sequence[Mapping[str, Any]], seed: int, step: int) -> dict[str, float]:
    row = next(r for r in rows if r["kind"] == "evaluation" and r["seed"] == seed and r["step"] == step)
    each = [float(x) for x in row["returns"]]
    return {"mean": float(row["return"]), "least": min(each), "largest": max(each)}


def _last_training(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The last row of metrics of training, averaged over seeds."""
    trained = [row for row in rows if row["kind"] == "training"]
    if not trained:
        return {}
    last = [row for row in trained if row["step"] == trained[-1]["step"]]
    found = {}
    for name in last[0]:
        values = [float(row[name]) for row in last if isinstance(row.get(name), int | float)]
        if name not in ("step", "seed") and values:
            found[name] = float(np.mean(values))
    return found
