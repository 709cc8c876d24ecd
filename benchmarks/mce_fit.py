"""Whole fits of maximum causal entropy to the same likelihood, against `imitation` and `irl-maxent`.

Three comparisons on one core. Ours never counts compilation, which is shown apart; the peers have none.

- imitation, 8 features: a reward linear in features of states, exact occupancies as demonstrations, a finite horizon.
  Ours is `mce.fit`, to the maximum, with standard errors; the peer is MCEIRL with its own settings (Adam, stop at an
  error of visits of 1e-3), at most 2000 steps.
- imitation, table: one reward per state. Ours is L-BFGS (SciPy) on the differentiable likelihood.
- irl-maxent, 8 features with positive weights: sampled trajectories that end in a goal, discount 0.7. Ours is
  `mce.fit`; the peer is irl_causal with its own stop, far from the maximum, and again with patience: steps that do not
  shrink, until the weights stand still or a minute is over.

Then what makes the peers fail: a transition table that does not fit into 8 GiB, and a partition function that
overflows. Interpreters of the peers: MAXENTRL_IMITATION and MAXENTRL_IRL_MAXENT.
"""

from __future__ import annotations

import json
import os
import sys
import time

import numpy as np

from benchmarks import measure
from benchmarks.problems import StateReward, small_grid, small_scattered

FEATURES, TABLES, GOALS = 8, "table", "goal"
FINITE = {"grid 5x5": 50, "grid 10x10": 50, "grid 20x20": 50, "scattered 500": 50, "scattered 1000": 50}
FIRST_EXIT = ("grid 5x5", "grid 10x10")
LARGE = {"grid 160x160": 50}
LIMIT_GIB, LIMIT_S, COUNT, DISCOUNT = 8, 60, 200, 0.7
INTERPRETERS = {"imitation": "MAXENTRL_IMITATION", "irl-maxent": "MAXENTRL_IRL_MAXENT"}


def problem(case: str) -> StateReward:
    size = int(case.split("x")[1] if case.startswith("grid") else case.split()[1])
    return small_grid(size) if case.startswith("grid") else small_scattered(size)


def bumps(states: int) -> tuple[np.ndarray, np.ndarray]:
    """Features [S, 8], smooth in the number of the state, and true weights, all positive."""
    rng = np.random.default_rng(1)
    at = np.arange(states)[:, None] / states
    features = -np.exp(-(((at - np.linspace(0, 1, FEATURES)) * FEATURES) ** 2))
    return features + 0.1 * rng.normal(size=features.shape), rng.uniform(0.2, 1.0, FEATURES)


def soft_policy(transition, reward, horizon: int | None) -> tuple[np.ndarray, np.ndarray]:
    """pi [T, S, A] (or [S, A] at DISCOUNT, ending in the last state) of a state reward, in plain NumPy."""
    v, policies = np.zeros(len(reward)), []
    for _ in range(horizon or 400):
        q = reward[:, None] + (1.0 if horizon else DISCOUNT) * transition @ v
        v = np.logaddexp.reduce(q, axis=1)
        policies.append(np.exp(q - v[:, None]))
        if horizon is None:
            v[-1] = 0.0
    return np.array(policies[::-1]) if horizon else policies[-1], v


def visits(transition, initial, pi) -> np.ndarray:
    """Expected decisions [T, S, A]."""
    d, out = initial, []
    for pi_t in pi:
        out.append(d[:, None] * pi_t)
        d = np.einsum("sa,sat->t", out[-1], transition)
    return np.array(out)


def likelihood(case: str, weights, features, horizon: int) -> float:
    """Expected log-likelihood of one trajectory of the expert, nats, under a reward: what both sides are judged by."""
    given = problem(case)
    expert = visits(given.transition, given.initial, soft_policy(given.transition, truth(case), horizon)[0])
    _, v = soft_policy(given.transition, features @ weights, horizon)
    return float(expert.sum((0, 2)) @ (features @ weights) - given.initial @ v)


def truth(case: str) -> np.ndarray:
    features, weights = bumps(len(problem(case).reward))
    return features @ weights


def goal_demos(case: str) -> tuple[np.ndarray, list[list[tuple[int, int, int]]]]:
    """A grid that ends in its last cell, and sampled trajectories (state, action, next state)."""
    given, rng = problem(case), np.random.default_rng(0)
    transition = given.transition.copy()
    transition[-1] = 0
    transition[-1, :, -1] = 1
    pi, _ = soft_policy(transition, truth(case), None)
    paths = []
    for _ in range(COUNT):
        s, path = 0, []
        while s != len(pi) - 1:
            a = rng.choice(4, p=pi[s] / pi[s].sum())
            s_next = rng.choice(len(pi), p=transition[s, a])
            path.append((s, int(a), int(s_next)))
            s = int(s_next)
        paths.append(path)
    return transition, paths


def ours(rounds: int) -> dict:
    found = {}
    for case, horizon in (FINITE | LARGE).items():
        found[f"{FEATURES} {case}"] = _fit_features(case, horizon, rounds)
    for case, horizon in FINITE.items():
        found[f"{TABLES} {case}"] = _fit_table(case, horizon, rounds)
    for case in (*FIRST_EXIT, "grid 16x16"):
        found[f"{GOALS} {case}"] = _fit_goal(case, rounds)
    return found


def _timed(call, rounds: int) -> dict:
    first = measure.first_call(call)
    taken = []
    for _ in range(min(rounds, 5)):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return {"first": first, "seconds": float(np.median(taken))}


def _fit_features(case: str, horizon: int, rounds: int) -> dict:
    from benchmarks.problems import successor_lists
    from maxentrl import TabularMDP, occupancy, solve
    from maxentrl.irl import mce

    if case in LARGE:
        mdp, features, weights = _large(case)
        log_policy = solve(
            mdp.with_reward(np.repeat((features @ weights)[:, None], 4, 1)), temperature=1.0, horizon=horizon
        ).log_policy
        expert = np.asarray(occupancy(mdp, log_policy, horizon=horizon))
    else:
        given = problem(case)
        features, weights = bumps(len(given.reward))
        mdp = TabularMDP(
            successor_lists(given.transition),
            np.zeros((len(given.reward), 4)),
            prior="counting",
            initial=given.initial,
        )
        pi, _ = soft_policy(given.transition, features @ weights, horizon)
        expert = visits(given.transition, given.initial, pi)
    estimates = []
    taken = _timed(lambda: estimates.append(mce.fit(mdp, features, expert, horizon=horizon)), rounds)
    off = float(np.abs(estimates[-1].weights - weights).max())
    value = None if case in LARGE else likelihood(case, estimates[-1].weights, features, horizon)
    return taken | {"value": value, "off": off, "converged": estimates[-1].converged}


def _large(case: str):
    """A grid as successor lists, without ever making its table."""
    from maxentrl import TabularMDP

    side = int(case.split("x")[1])
    cell = np.arange(side**2)
    row, column = cell // side, cell % side
    moves = ((-1, 0), (0, 1), (1, 0), (0, -1))
    reached = np.stack(
        [np.clip(row + y, 0, side - 1) * side + np.clip(column + x, 0, side - 1) for y, x in moves], 1
    )
    successor = np.stack([reached[:, [a, (a + 1) % 4, a - 1]] for a in range(4)], 1)
    probability = np.broadcast_to([0.9, 0.05, 0.05], successor.shape)
    mdp = TabularMDP(
        (successor, probability), np.zeros((side**2, 4)), prior="counting", initial=np.eye(1, side**2)[0]
    )
    return mdp, *bumps(side**2)


def _fit_table(case: str, horizon: int, rounds: int) -> dict:
    import jax
    import jax.numpy as jnp
    from scipy.optimize import minimize

    from benchmarks.problems import successor_lists
    from maxentrl import TabularMDP, solve

    jax.config.update("jax_enable_x64", True)
    given = problem(case)
    states = len(given.reward)
    host = TabularMDP(
        successor_lists(given.transition), np.zeros((states, 4)), prior="counting", initial=given.initial
    )
    mdp = jax.tree.map(jnp.asarray, host.bare())
    pi, _ = soft_policy(given.transition, truth(case), horizon)
    seen = jnp.asarray(visits(given.transition, given.initial, pi).sum((0, 2)))

    @jax.jit
    def loss(r, mdp):
        plan = solve(
            mdp.with_reward(jnp.broadcast_to(r[:, None], (states, 4))), temperature=1.0, horizon=horizon
        )
        return plan.start_value - seen @ r

    gradient = jax.jit(jax.value_and_grad(loss))

    def value(r):
        found, slope = gradient(r, mdp)
        return float(found), np.asarray(slope)

    answers = []

    def call():
        # The gradient is the error of visits: the peer stops at 1e-3 of it.
        answers.append(
            minimize(value, np.zeros(states), jac=True, method="L-BFGS-B", options={"gtol": 1e-3, "ftol": 0})
        )

    taken = _timed(call, rounds)
    jax.config.update("jax_enable_x64", False)
    return taken | {"value": likelihood(case, answers[-1].x, np.eye(states), horizon), "converged": True}


def _fit_goal(case: str, rounds: int) -> dict:
    from maxentrl import TabularMDP
    from maxentrl.data import trajectories_from_arrays
    from maxentrl.irl import maxent, mce

    transition, paths = goal_demos(case)
    states = len(transition)
    features, _ = bumps(states)
    longest = max(map(len, paths))
    s, a, n = (np.full((COUNT, longest), -1) for _ in range(3))
    for i, path in enumerate(paths):
        s[i, : len(path)], a[i, : len(path)], n[i, : len(path)] = np.array(path).T
    demos = trajectories_from_arrays(s, a, next_states=n)
    mdp = TabularMDP(
        transition, np.zeros((states, 4)), prior="counting", terminal=np.arange(states) == states - 1
    )
    estimates = []
    taken = _timed(lambda: estimates.append(mce.fit(mdp, features, demos, discount=DISCOUNT)), rounds)
    # The path's partition function is finite only where a step costs enough: it starts from a reward of -2 a step.
    cost = np.concatenate([features, -np.ones((states, 1))], 1)
    start = np.append(np.zeros(FEATURES), 2.0)
    path = maxent.fit(mdp, cost, demos, discount=1.0, start=start)
    return taken | {
        "value": goal_likelihood(case, estimates[-1].weights),
        "converged": estimates[-1].converged,
        "path": [bool(path.converged), float(path.log_likelihood)],
    }


def goal_likelihood(case: str, weights) -> float:
    """Log-likelihood of the decisions of the sampled trajectories, per trajectory, nats."""
    transition, paths = goal_demos(case)
    pi, _ = soft_policy(transition, bumps(len(transition))[0] @ weights, None)
    return float(sum(np.log(pi[s, a]) for path in paths for s, a, _ in path) / COUNT)


def imitation() -> dict:
    import warnings

    from benchmarks.mce_fit_peers import imitation_fit

    warnings.filterwarnings("ignore")
    found = {}
    for kind in (FEATURES, TABLES):
        for case, horizon in FINITE.items():
            given = problem(case)
            features = bumps(len(given.reward))[0] if kind == FEATURES else np.eye(len(given.reward))
            pi, _ = soft_policy(given.transition, truth(case), horizon)
            expert = visits(given.transition, given.initial, pi)
            seen = expert.sum((0, 2)) + np.einsum("sa,sat->t", expert[-1], given.transition)
            taken, weights, steps = imitation_fit(given, features, seen, horizon)
            found[f"{kind} {case}"] = {
                "seconds": taken,
                "steps": steps,
                "value": likelihood(case, weights, features, horizon),
            }
            print(kind, case, found[f"{kind} {case}"], file=sys.stderr, flush=True)
    return found


def irl_maxent() -> dict:
    from benchmarks.mce_fit_peers import irl_maxent_fit

    found = {}
    for case in (*FIRST_EXIT, "grid 16x16"):
        transition, paths = goal_demos(case)
        features, _ = bumps(len(transition))
        for kind in ("causal", "patient", "path"):
            if kind != "path" and case not in FIRST_EXIT:
                continue
            taken, reward = irl_maxent_fit(transition, features, paths, kind, DISCOUNT, LIMIT_S)
            row: dict = {"seconds": taken, "finite": bool(np.isfinite(reward).all())}
            if kind != "path" and row["finite"]:
                weights = np.linalg.lstsq(features, reward, rcond=None)[0]
                row["value"] = goal_likelihood(case, weights)
            found[f"{GOALS} {case} {kind}"] = row
            print(kind, case, row, file=sys.stderr, flush=True)
    return found


def main() -> None:
    from benchmarks.mce_fit_report import report

    options = measure.parser(__doc__, "mce_fit.txt")
    options.add_argument(
        "--side", choices=("ours", "imitation", "irl-maxent", "large"), help="one side, as JSON"
    )
    chosen = options.parse_args()
    if chosen.side:
        if chosen.side == "large":
            from benchmarks.mce_fit_peers import imitation_large

            found = imitation_large(int(next(iter(LARGE)).split("x")[1]) ** 2, LIMIT_GIB)
        else:
            run = {"ours": lambda: ours(chosen.rounds), "imitation": imitation, "irl-maxent": irl_maxent}
            found = run[chosen.side]()
        print(json.dumps(found | {"versions": measure.header("")[2].removeprefix("versions").strip()}))
        return
    module, rounds = "benchmarks.mce_fit", ["--rounds", chosen.rounds]
    mine = json.loads(measure.child(module, ["--side", "ours", *rounds]))
    theirs: dict[str, dict | str] = {}
    for side, peer in (("imitation", "imitation"), ("large", "imitation"), ("irl-maxent", "irl-maxent")):
        interpreter = os.environ.get(INTERPRETERS[peer])
        if interpreter is None:
            theirs[side] = f"give its interpreter in {INTERPRETERS[peer]}"
            continue
        try:
            theirs[side] = json.loads(measure.child(module, ["--side", side], interpreter))
        except (RuntimeError, OSError) as met:
            theirs[side] = str(met)
    measure.write(chosen.out, report(mine, theirs, f"{module} " + " ".join(sys.argv[1:])))


if __name__ == "__main__":
    main()
