"""Hundreds of goals on one network: log-likelihood, gradient and whole fits on the Borlänge route choice data.

7288 links, 466 goals, 1420 pairs of origin and goal, 1832 trips; one core, one thread. Beside it stands the plain form:
one factorisation, and one forward block of solves for the values and for each coefficient. The data is not part of
the repository: --data says where it is, as examples/borlange/README.md describes it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import measure

BEST = [-2.4941209067980505, -0.9330809866360921, -0.4111231151043629, -4.458823152686205]
SIZED_BY = [-2.5, -1.0, -0.4, -20.0]
BEST_SIZED = [-3.06002668, -1.05717396, -0.35279098, -4.53102013, -0.22654058]
STARTS = {
    "feasible": [-2.0, -1, -1, -4],
    "near the edge": [-1.0, -1, -0.5, -2],
    "too many loops": [-1.0, 0, 0, 0],
    "free loops": [0.0, 0, 0, 0],
    "paying loops": [1.0, 1, 1, 1],
    "small": [-0.1] * 4,
    "mixed signs": [5.0, -5, 2, 0],
    "underflow": [-20.0] * 4,
}


def load(folder: Path):
    from maxentrl.data.trips import read_trips
    from maxentrl.models.network import read_arc_features, read_network

    root = Path(__file__).parent.parent
    with tempfile.TemporaryDirectory() as out:
        script = root / "examples" / "borlange" / "convert.py"
        subprocess.run([sys.executable, str(script), str(folder), "--out", out], check=True)
        network = read_network(Path(out) / "network.csv")
        features, names = read_arc_features(Path(out) / "network.csv", network)
        return network, features, names, read_trips(Path(out) / "trips.csv", network)


def plain(known, features):
    """log-likelihood and gradient by one LU and 1 + K forward blocks of solves, in a few lines."""
    import numpy as np
    import scipy.sparse as sp
    from scipy.sparse.linalg import splu

    asked, k = known.asked, features.shape[1]
    size = asked.states
    table = features[asked.arcs]
    arrived = np.zeros((size, len(asked.goals)))
    arrived[asked.goals, np.arange(len(asked.goals))] = 1
    row, column = asked.rows[asked.pair], asked.columns[asked.pair]
    total = known.observed @ features

    def matrix(values):
        return sp.csc_matrix((values, (asked.leaves, asked.enters)), shape=(size, size))

    def call(w):
        m = np.exp(table @ w)
        lu = splu(sp.identity(size, format="csc") - matrix(m))
        z = lu.solve(arrived)
        level = total @ w - known.counts @ np.log(z[row, column])
        slope = [
            known.counts @ (lu.solve(matrix(m * table[:, j]) @ z)[row, column] / z[row, column])
            for j in range(k)
        ]
        return level, total - np.array(slope)

    return call


def link_size(network, features, trips) -> dict:
    """One reward per pair: seconds per gradient and Hessian at the best weights, and a whole fit."""
    import numpy as np

    from maxentrl.infer import side_by_side
    from maxentrl.irl import routes, sized_routes
    from maxentrl.irl.link_size import link_sizes, sized_sweep

    known = routes.evidence(network, trips)
    begin = time.perf_counter()
    sizes = link_sizes(known, features @ np.array(SIZED_BY))
    found = {"sizes": time.perf_counter() - begin}
    begin = time.perf_counter()
    plan = side_by_side.plan(known.asked.states, known.asked.leaves, known.asked.enters)
    found["plan"] = time.perf_counter() - begin
    table = np.ascontiguousarray(features[known.asked.arcs])
    best = np.array(BEST_SIZED)
    for name, moments in (("gradient", False), ("Hessian", True)):
        seconds = []
        for _ in range(1 if moments else 3):
            begin = time.perf_counter()
            shared = table @ best[:-1]
            sized_sweep(known.asked, plan, shared, sizes, best[-1], known.counts, table, moments=moments)
            seconds.append(time.perf_counter() - begin)
        found[name] = min(seconds)
    begin = time.perf_counter()
    fitted = sized_routes.fit(network, features, trips, SIZED_BY)
    found |= {
        "fit": time.perf_counter() - begin,
        "level": fitted.log_likelihood,
        "weights": fitted.weights.tolist(),
        "robust": fitted.standard_errors_of("sandwich").tolist(),
        "verdict": fitted.verdict,
    }
    return found


def run(folder: Path, rounds: int) -> dict:
    import numpy as np

    from maxentrl.infer.first_passage import factorise, sweep
    from maxentrl.irl import routes

    network, features, names, trips = load(folder)
    known = routes.evidence(network, trips)
    best = np.array(BEST)
    arcs = known.asked.arcs
    table = np.ascontiguousarray(features[arcs])
    peer = plain(known, features)

    def value():
        return sweep(known.asked, factorise(known.asked, table @ best))

    def gradient():
        level, slope = routes.arc_gradient(network, features @ best, known)
        return level, features.T @ slope

    def hessian():
        return sweep(known.asked, factorise(known.asked, table @ best), known.counts, table)

    calls = {
        "factorise": lambda: factorise(known.asked, table @ best),
        "log-likelihood": value,
        "log-likelihood + gradient": gradient,
        "  + exact Hessian + scores": hessian,
        "plain form: log-likelihood + gradient": lambda: peer(best),
    }
    taken = measure.interleaved(calls, rounds)
    (level, slope), (other, other_slope) = gradient(), peer(best)
    found = {
        "taken": taken,
        "difference": [abs(level - other), float(np.abs(slope - other_slope).max())],
        "memory before fits": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "fits": {},
    }
    for name, start in STARTS.items():
        begin = time.perf_counter()
        fitted = routes.fit(network, features, trips, start=start, feature_names=names)
        found["fits"][name] = {
            "seconds": time.perf_counter() - begin,
            "level": fitted.log_likelihood,
            "off": float(np.abs(fitted.weights - best).max()),
            "robust": fitted.standard_errors_of("sandwich").tolist(),
            "verdict": fitted.verdict,
        }
    found["sized"] = link_size(network, features, trips)
    found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return found


def report(found: dict, command: str) -> list[str]:
    import numpy as np

    lines = measure.header(
        command,
        [
            "one core, one thread; median seconds over rounds; bars: log-likelihood + gradient 0.2, fit 6, memory 1 GB",
            "plain form: one LU, 1 + 4 forward blocks of solves, all 466 columns at once",
            f"ours and the plain form differ by {found['difference'][0]:.1e} in log-likelihood, "
            f"{found['difference'][1]:.1e} in the gradient",
        ],
    )
    rows = [[name, f"{np.median(taken):.3f}", f"{min(taken):.3f}"] for name, taken in found["taken"].items()]
    lines += measure.table(["once", "median s", "least s"], rows)
    lines += ["", "a whole fit with all three kinds of standard errors"]
    rows = [
        [name, str(STARTS[name]), f"{fit['seconds']:.2f}", f"{fit['level']:.6f}", f"{fit['off']:.0e}"]
        for name, fit in found["fits"].items()
    ]
    lines += measure.table(["start", "weights", "s", "log-likelihood", "off by"], rows)
    sized = found["sized"]
    lines += [
        "",
        "link size: one reward per pair of origin and goal, 1420 matrices",
        f"once: link sizes of all pairs {sized['sizes']:.2f} s, order of elimination {sized['plan']:.2f} s",
        f"log-likelihood + gradient {sized['gradient']:.2f} s (bar 5); "
        f"with exact Hessian and scores {sized['Hessian']:.2f} s",
        f"whole fit {sized['fit']:.1f} s, log-likelihood {sized['level']:.6f}, {sized['verdict']}",
        "weights " + ", ".join(f"{x:.6f}" for x in sized["weights"]),
        "robust standard errors " + ", ".join(f"{x:.4f}" for x in sized["robust"]),
    ]
    memory = f"peak memory {found['memory']:.0f} MB (of which before fits {found['memory before fits']:.0f})"
    return [*lines, "", memory]


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument(
        "--out", type=Path, default=measure.RESULTS / "routes.txt", help="the table to write"
    )
    options.add_argument("--rounds", type=int, default=9, help="timed rounds per cell")
    options.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    beside = Path(__file__).parent.parent.parent / "shared" / "data" / "borlange"
    options.add_argument("--data", type=Path, default=beside, help="folder with arcs.csv and trips.csv")
    chosen = options.parse_args()
    if not (chosen.data / "arcs.csv").is_file():
        print(f"no Borlänge data at {chosen.data}; give its folder with --data", file=sys.stderr)
        return
    if chosen.child:
        print(json.dumps(run(chosen.data, chosen.rounds)))
        return
    same = ["--child", "--rounds", chosen.rounds, "--data", chosen.data]
    found = json.loads(measure.child("benchmarks.routes", same))
    measure.write(chosen.out, report(found, "benchmarks.routes " + " ".join(sys.argv[1:])))


if __name__ == "__main__":
    main()
