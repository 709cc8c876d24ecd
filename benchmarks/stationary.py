"""Stationary solves to a proven sup-norm error of 1e-6, hard and soft, against QuantEcon and pymdptoolbox.

The peer to beat is QuantEcon's sparse modified policy iteration (20 sweeps a round, span stop at epsilon = 2e-6, which
is the same guarantee). It knows temperature 0 only; soft problems are compared with our own hard ones on the same
arrays. Each answer is checked outside the solvers by one SciPy backup. Compilation is not in the times.

    python -m benchmarks.stationary --part solves   the table of solves
    python -m benchmarks.stationary --part others   other methods and peers, memory
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np

from benchmarks import measure, problems

DISCOUNTS = (0.99, 0.999, 0.9999)
TEMPERATURES = (0.0, 1.0, 0.01)
TOLERANCE = 1e-6
SIZES = {1_000: (1, 3), 10_000: (3, 3), 100_000: (2, 2), 1_000_000: (1, 1)}
"""States: (seeds, timed rounds)."""
ROUND_CAP = 4_000
"""Rounds after which QuantEcon is stopped: it has then not reached the tolerance."""


def quantecon_problem(arrays: problems.Arrays, discount: float):
    import scipy.sparse as sp
    from quantecon.markov import DiscreteDP

    states, actions, count = arrays.probability.shape
    begin = np.arange(0, states * actions * count + 1, count)
    shape = (states * actions, states)
    flat = (
        np.ascontiguousarray(arrays.probability).reshape(-1),
        np.ascontiguousarray(arrays.successor).reshape(-1),
    )
    transition = sp.csr_matrix((*flat, begin), shape=shape, copy=True)
    transition.sum_duplicates()
    pairs = np.repeat(np.arange(states), actions), np.tile(np.arange(actions), states)
    return DiscreteDP(arrays.reward.reshape(-1), transition, discount, *pairs)


def proven(arrays: problems.Arrays, v: np.ndarray, discount: float, temperature: float) -> float:
    """The bound of MacQueen (1966) on the error of v, after moving v by the best constant: one backup by SciPy."""
    import scipy.sparse as sp

    states, actions, count = arrays.probability.shape
    begin = np.arange(0, states * actions * count + 1, count)
    flat = (
        np.ascontiguousarray(arrays.probability).reshape(-1),
        np.ascontiguousarray(arrays.successor).reshape(-1),
    )
    transition = sp.csr_matrix((*flat, begin), shape=(states * actions, states))
    q = arrays.reward + discount * (transition @ v).reshape(states, actions)
    top = q.max(1)
    w = (
        top
        if temperature == 0
        else top + temperature * np.log(np.exp((q - top[:, None]) / temperature).sum(1))
    )
    change = w - v
    # The distance of v itself, not of the improved w: what a user holds in hand.
    return float(max(abs(change.max()), abs(change.min())) / (1 - discount))


def cells(states: int, family: str, cores: int) -> list[dict]:
    """All discounts, temperatures and seeds of one size and family, in this process."""
    import jax

    import maxentrl as me

    seeds, rounds = SIZES[states]
    tiny = problems.FAMILIES[family](100)
    quantecon_problem(tiny, 0.9).solve(method="modified_policy_iteration", epsilon=2e-6, k=20)
    rows = []
    for seed in range(seeds):
        arrays = problems.FAMILIES[family](states, seed=seed)
        mdp = me.TabularMDP((arrays.successor, arrays.probability), arrays.reward, prior="counting")
        for discount in DISCOUNTS:
            peer = quantecon_problem(arrays, discount)
            answers, first = {}, {}

            def ours(temperature, discount=discount, mdp=mdp, answers=answers):
                plan = me.solve(mdp, temperature=temperature, discount=discount, tolerance=TOLERANCE)
                answers[temperature] = jax.block_until_ready(plan.v), plan

            def theirs(peer=peer, answers=answers):
                answers["peer"] = peer.solve(
                    method="modified_policy_iteration", epsilon=2 * TOLERANCE, max_iter=ROUND_CAP, k=20
                )

            for temperature in TEMPERATURES:
                # Discount and rewards are arguments of one program: only the first of each family compiles.
                if not rows:
                    first[temperature] = measure.first_call(lambda t=temperature: ours(t))
            taken = {key: [] for key in (*TEMPERATURES, "peer")}
            for _ in range(rounds):
                for key in taken:
                    start = time.perf_counter()
                    theirs() if key == "peer" else ours(key)
                    taken[key].append(time.perf_counter() - start)
            found = answers["peer"]
            peer_error = proven(arrays, np.asarray(found.v), discount, 0.0)
            for temperature in TEMPERATURES:
                v, plan = answers[temperature]
                rows.append(
                    dict(
                        states=states,
                        family=family,
                        cores=cores,
                        seed=seed,
                        discount=discount,
                        temperature=temperature,
                        seconds=float(np.median(taken[temperature])),
                        hard=float(np.median(taken[0.0])),
                        peer=float(np.median(taken["peer"])),
                        peer_rounds=int(found.num_iter),
                        peer_error=peer_error,
                        sweeps=int(plan.sweeps),
                        bound=float(plan.error_bound),
                        outside=proven(arrays, np.asarray(v), discount, temperature),
                        first=first.get(temperature),
                    )
                )
            print(
                f"{family} {states} seed {seed} discount {discount} cores {cores}",
                file=sys.stderr,
                flush=True,
            )
    return rows


def solves(options) -> None:
    """The main table."""
    rows = []
    for states in options.sizes:
        for family in problems.FAMILIES:
            # The largest problems take long; all cores alone tell enough of them.
            for cores in options.cores if states < 1_000_000 else options.cores[-1:]:
                try:
                    asked = ["--child", "cells", states, family, cores]
                    out = measure.child("benchmarks.stationary", asked, cores=cores)
                    rows += json.loads(out.splitlines()[-1])
                except (RuntimeError, json.JSONDecodeError, IndexError) as error:
                    rows.append(dict(states=states, family=family, cores=cores, failed=str(error)))
    hard, soft, failed = [], [], []
    for r in rows:
        if "failed" in r:
            failed.append([r["family"], r["states"], r["cores"], r["failed"]])
            continue
        place = [r["family"], r["states"], r["cores"], r["seed"], f"{r['discount']:g}"]
        certificate = [f"{r['bound']:.1e}", f"{r['outside']:.1e}"]
        if r["temperature"] == 0:
            stopped = "" if r["peer_rounds"] < ROUND_CAP else f", stopped at error {r['peer_error']:.1g}"
            hard.append(
                [
                    *place,
                    f"{r['seconds']:.4f}",
                    f"{r['peer']:.4f}",
                    f"{r['peer'] / r['seconds']:.2f}",
                    r["sweeps"],
                    f"{r['peer_rounds']}{stopped}",
                    *certificate,
                    "" if r["first"] is None else f"{r['first']:.1f}",
                ]
            )
        else:
            soft.append(
                [
                    *place,
                    f"{r['temperature']:g}",
                    f"{r['seconds']:.4f}",
                    f"{r['hard']:.4f}",
                    f"{r['seconds'] / r['hard']:.2f}",
                    r["sweeps"],
                    *certificate,
                ]
            )
    notes = [
        "s = seconds, median of the timed rounds, candidates in turn; ratio = QuantEcon / ours (above 1: ours is faster)",
        "bound = error bound that our solve returned; outside = max |TV - V| / (1 - discount) by one SciPy backup",
        "first = seconds of the very first call of a family and size, which traces and compiles as well",
        f"QuantEcon: DiscreteDP, sparse, modified_policy_iteration, k = 20, epsilon = {2 * TOLERANCE:g}, one thread always",
    ]
    lines = measure.header("benchmarks.stationary", notes)
    heads = ["successors", "states", "cores", "seed", "discount", "ours s", "QuantEcon s", "ratio", "backups",
             "its rounds", "bound", "outside", "first s"]  # fmt: skip
    lines += ["Hard problems (temperature 0)", "", *measure.table(heads, hard), ""]
    heads = ["successors", "states", "cores", "seed", "discount", "temperature", "soft s", "hard s", "soft / hard",
             "backups", "bound", "outside"]  # fmt: skip
    lines += ["Soft problems, against the hard one of the same arrays", "", *measure.table(heads, soft)]
    if failed:
        lines += ["", "Failed", "", *measure.table(["successors", "states", "cores", "reason"], failed)]
    measure.write(options.out, lines)


PEERS = (
    ("QuantEcon value_iteration", "qe value_iteration"),
    ("QuantEcon policy_iteration", "qe policy_iteration"),
    ("pymdptoolbox ValueIteration", "toolbox ValueIteration"),
    ("pymdptoolbox PolicyIterationModified", "toolbox PolicyIterationModified"),
)
PATIENCE = 20
"""Seconds after which another peer is stopped."""


def one_peer(which: str, method: str, states: int, family: str) -> dict:
    """One other peer on one problem: seconds to build and to solve, and the error of what it returned."""
    arrays, discount = problems.FAMILIES[family](states), 0.99
    start = time.perf_counter()
    if which == "qe":
        peer = quantecon_problem(arrays, discount)
        built, start = time.perf_counter() - start, time.perf_counter()
        v = np.asarray(peer.solve(method=method, epsilon=2 * TOLERANCE, max_iter=100_000).v)
    elif which == "ours":
        import maxentrl as me

        mdp = me.TabularMDP((arrays.successor, arrays.probability), arrays.reward, prior="counting")
        me.solve(mdp, temperature=0, discount=discount)
        built, start = time.perf_counter() - start, time.perf_counter()
        v = np.asarray(me.solve(mdp, temperature=0, discount=discount).v)
    else:
        import mdptoolbox.mdp
        import scipy.sparse as sp

        count = arrays.successor.shape[2]
        begin = np.arange(0, states * count + 1, count)
        table = [
            sp.csr_matrix(
                (arrays.probability[:, a].ravel(), arrays.successor[:, a].ravel(), begin),
                shape=(states, states),
            )
            for a in range(arrays.successor.shape[1])
        ]
        settings = {"epsilon": 2 * TOLERANCE, "max_iter": 100_000}
        peer = getattr(mdptoolbox.mdp, method)(table, np.asarray(arrays.reward), discount, **settings)
        built, start = time.perf_counter() - start, time.perf_counter()
        peer.run()
        v = np.asarray(peer.V)
    return dict(built=built, seconds=time.perf_counter() - start, outside=proven(arrays, v, discount, 0.0))


def peak(states: int, family: str, temperature: float) -> dict:
    """Peak resident memory of a process that builds the arrays, the problem and the answer."""
    import resource

    import maxentrl as me

    arrays = problems.FAMILIES[family](states)
    mdp = me.TabularMDP((arrays.successor, np.asarray(arrays.probability)), arrays.reward, prior="counting")
    del arrays
    plan = me.solve(mdp, temperature=temperature, discount=0.99, tolerance=TOLERANCE)
    return dict(
        megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        bound=float(plan.error_bound),
    )


def others(options) -> None:
    """Other methods and peers, and memory."""
    rows = []
    for states in (1_000, 10_000):
        for family in problems.FAMILIES:
            for label, arguments in (("maxentrl (first call in build)", "ours hard"), *PEERS):
                which, method = arguments.split()
                row = [family, states, label]
                try:
                    found = json.loads(_bounded(["one_peer", which, method, states, family]))
                    rows.append(
                        [*row, f"{found['built']:.3f}", f"{found['seconds']:.4f}", f"{found['outside']:.1e}"]
                    )
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    stopped = isinstance(error, subprocess.TimeoutExpired)
                    rows.append([*row, f"stopped after {PATIENCE} s" if stopped else str(error), "-", "-"])
    lines = measure.header("benchmarks.stationary --part others")
    heads = [
        "successors",
        "states",
        "method (discount 0.99, one core)",
        "build s",
        "solve s",
        "error outside",
    ]
    lines += ["Other methods and peers", "", *measure.table(heads, rows), ""]
    rows = []
    for family in problems.FAMILIES:
        for temperature in (0.0, 1.0):
            found = json.loads(
                measure.child(
                    "benchmarks.stationary", ["--child", "peak", 1_000_000, family, temperature], cores=None
                )
            )
            rows.append([family, f"{temperature:g}", f"{found['megabytes']:.0f}", f"{found['bound']:.1e}"])
    heads = ["successors", "temperature", "peak MB (1e6)", "bound"]
    lines += [
        "Peak memory of a whole process, 1e6 states, discount 0.99",
        "",
        *measure.table(heads, rows),
    ]
    measure.write(options.out.with_name("stationary_others.txt"), lines)


def _bounded(arguments: list) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.stationary", "--child", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            done.stderr.strip().splitlines()[-1][:120] if done.stderr.strip() else f"status {done.returncode}"
        )
    return done.stdout.splitlines()[-1]


CHILDREN = {"cells": cells, "one_peer": one_peer, "peak": peak}


def main() -> None:
    if "--child" in sys.argv:
        name, *given = sys.argv[sys.argv.index("--child") + 1 :]
        values = [int(x) if x.isdigit() else float(x) if x.replace(".", "").isdigit() else x for x in given]
        print(json.dumps(CHILDREN[name](*values)))
        return
    options = measure.parser(__doc__, "stationary.txt")
    options.add_argument("--part", choices=("solves", "others", "all"), default="all", help="which tables")
    options.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="numbers of states")
    chosen = options.parse_args()
    os.environ.setdefault("PYTHONWARNINGS", "default")
    for part in (solves, others):
        if chosen.part in (part.__name__, "all"):
            part(chosen)


if __name__ == "__main__":
    main()
