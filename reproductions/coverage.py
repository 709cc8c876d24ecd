"""Do nominal 95 % intervals cover the truth 95 % of the time? Each kind of standard error, where it should be right.

Claim: where the assumptions of a kind of standard error hold, |estimate - truth| < 1.96 standard errors in 93 to 97 %
of data sets.

Said before running: 1000 simulated data sets in each setting, of 120 trajectories of 8 steps (40 demonstrators of 1 to
5 copies each, where clustered) in one random world of 6 states, 3 actions, discount 0.9 or a horizon of 8; three
features; seeds as in SETTINGS. Coverage is the share of data sets, for each weight. Passed: between 93 and 97 % for
each kind on average over the weights. One weight of 1000 data sets has a binomial standard error of 0.7 %.

    causal          maximum causal entropy, data from the model: inverse Hessian, outer product, sandwich
    moments         the same data, moments matched: their scores hold luck too, so the sandwich
    clustered       causal, each demonstrator's trajectories entered 1 to 5 times: the sandwich, clustered
    wrong model     causal, the third feature left out of the model: the sandwich, around what infinitely many data give
    trajectories    maximum entropy over whole trajectories, data from the posterior: all three

    python reproductions/coverage.py --out reproductions/results/coverage.txt
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

import maxentrl as me
from maxentrl.data import Trajectories, trajectories_from_arrays
from maxentrl.irl import Estimate, maxent, mce, sample_trajectories

S, A, STEPS, COUNT = 6, 3, 8, 120
TRUE = np.array([0.2, -0.5, 0.6])
STATIONARY, FINITE = {"discount": 0.9}, {"horizon": STEPS}
SETTINGS = {"causal": 1, "moments": 2, "clustered": 3, "wrong model": 4, "trajectories": 5}
ALL = ("hessian", "outer", "sandwich")


def key(seed: int) -> jax.Array:
    return jax.random.key(seed, impl="threefry2x32")


def world() -> tuple[me.TabularMDP, np.ndarray]:
    """The problem and its features [S, A, 3]."""
    rng = np.random.default_rng(12)
    transition = rng.dirichlet(np.ones(S), (S, A))
    mdp = me.TabularMDP(transition, np.zeros((S, A)), initial=rng.dirichlet(np.ones(S)))
    return mdp, rng.normal(size=(S, A, 3))


def planners(seed: int, sets: int, count: int) -> list[Trajectories]:
    """Trajectories of the soft-optimal policy, in `sets` sets of `count`."""
    mdp, features = world()
    plan = me.solve(mdp.with_reward(features @ TRUE), temperature=1.0, **STATIONARY)
    demos = sample_trajectories(mdp, plan.log_policy, key=key(seed), count=sets * count, horizon=STEPS)
    return [demos.take(rows) for rows in np.arange(sets * count).reshape(sets, count)]


def dreamers(seed: int, sets: int) -> list[Trajectories]:
    """Whole trajectories from the posterior."""
    mdp, features = world()
    post = me.posterior(mdp.with_reward(features @ TRUE), temperature=1.0, **FINITE)
    states, actions, _ = post.sample(key(seed), sets * COUNT)
    demos = trajectories_from_arrays(np.asarray(states), np.asarray(actions))
    return [demos.take(rows) for rows in np.arange(sets * COUNT).reshape(sets, COUNT)]


def pseudo_truth() -> np.ndarray:
    """What two of the three features would be worth, given infinitely many data: a fit to expected visits.

    Trajectories stop after 8 steps, so visits are those of 8 steps, counted without discount.
    """
    mdp, features = world()
    plan = me.solve(mdp.with_reward(features @ TRUE), temperature=1.0, **STATIONARY)
    visits = np.asarray(me.occupancy(mdp, np.asarray(plan.log_policy), horizon=STEPS)).sum(0)
    return mce.fit(mdp, features[..., :2], 1000 * visits, **STATIONARY).weights


def fits(setting: str, sets: int) -> Iterator[tuple[Estimate, np.ndarray]]:
    """Estimates with what they should cover."""
    mdp, features = world()
    seed = SETTINGS[setting]
    if setting == "trajectories":
        for demos in dreamers(seed, sets):
            yield maxent.fit(mdp, features, demos, **FINITE), TRUE
    elif setting == "clustered":
        rng = np.random.default_rng(seed)
        for demos in planners(seed, sets, 40):
            rows = np.repeat(np.arange(40), rng.integers(1, 6, 40))
            groups = [str(row) for row in rows]
            copied = trajectories_from_arrays(demos.states[rows], demos.actions[rows], groups=groups)
            yield mce.fit(mdp, features, copied, **STATIONARY), TRUE
    elif setting == "wrong model":
        aim = pseudo_truth()
        for demos in planners(seed, sets, COUNT):
            yield mce.fit(mdp, features[..., :2], demos, **STATIONARY), aim
    else:
        loss = "moments" if setting == "moments" else "likelihood"
        for demos in planners(seed, sets, COUNT):
            yield mce.fit(mdp, features, demos, loss=loss, **STATIONARY), TRUE


def coverage(setting: str, sets: int) -> dict[str, np.ndarray]:
    """Share of data sets whose interval covers, [K], by kind of standard error."""
    kinds = ALL if setting in ("causal", "trajectories") else ("sandwich",)
    hits: dict[str, list[np.ndarray]] = {kind: [] for kind in kinds}
    for found, aim in fits(setting, sets):
        for kind in kinds:
            hits[kind].append(np.abs(found.weights - aim) < 1.959964 * found.standard_errors_of(kind))
    return {kind: np.mean(rows, axis=0) for kind, rows in hits.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=int, default=1000, help="data sets in each setting")
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--out", type=Path, default=None, help="file for the table; printed in any case")
    given = parser.parse_args()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("maxentrl", "jax"))
    lines = [
        "Coverage of nominal 95 % intervals",
        f"command: python reproductions/coverage.py --sets {given.sets} --out {given.out or '-'}",
        f"versions: {versions}, Python {platform.python_version()}; {platform.machine()}, {platform.system()}",
        "",
        f"{'setting':<14} {'standard error':<14} {'mean %':>7}  each weight %",
    ]
    for setting in given.settings:
        begin = time.perf_counter()
        for kind, share in coverage(setting, given.sets).items():
            verdict = "passed" if 0.93 <= share.mean() <= 0.97 else "FAILED"
            each = " ".join(f"{100 * x:5.1f}" for x in share)
            lines.append(f"{setting:<14} {kind:<14} {100 * share.mean():7.2f}  {each:<18} {verdict}")
        print(f"{setting}: {time.perf_counter() - begin:.0f} s", flush=True)
    text = "\n".join(lines) + "\n"
    print(text)
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
