"""Mass sent one step forward, against one backward sweep of the same problem: nanoseconds per entry, float64.

`push` scatters along the successor lists, `push on arrivals` gathers along a copy ordered by where entries
arrive, `log_push` is either of them in logs, as the forward messages need it, and `occupancy step` is one
step of `infer.tabular.occupancy`. The sweep is `value_backup` at temperature 0.1.
"""

from __future__ import annotations

import json
import sys

from benchmarks import measure

SIZES = (10_000, 100_000, 1_000_000)
TEMPERATURE, DISCOUNT = 0.1, 0.99


def run(sizes: list[int], rounds: int) -> dict:
    import jax
    import jax.numpy as jnp
    import numpy as np

    from benchmarks.problems import FAMILIES
    from maxentrl import TabularMDP
    from maxentrl.core.types import Temperatures
    from maxentrl.infer import backup as one
    from maxentrl.infer.arrivals import arrivals

    jax.config.update("jax_enable_x64", True)
    found = {"cores": measure.cores(), "cells": []}
    for states in sizes:
        for family in ("local", "scattered"):
            arrays = FAMILIES[family](states)
            host = TabularMDP(arrays[:2], arrays.reward).bare()
            turned = []
            building = measure.first_call(
                lambda host=host, turned=turned: turned.append(arrivals(host.transition))
            )
            mdp, other = jax.tree.map(jnp.asarray, (host, turned[0]))
            rng = np.random.default_rng(1)
            mass = jnp.asarray(rng.dirichlet(np.ones(4), states).T / states)
            log_mass, v = jnp.log(mass), jnp.asarray(rng.random(states))

            def compiled(function, *arguments):
                ready = jax.jit(function)
                return lambda: ready(*arguments).block_until_ready()

            def sweep(m, x):
                return one.value_backup(m, x, Temperatures(TEMPERATURE, jnp.inf), DISCOUNT)

            def occupancy_step(m, d, log_pi):
                return DISCOUNT * one.push(m.transition, jnp.where(m.terminal, 0.0, d * jnp.exp(log_pi)))

            candidates = {
                "backward sweep": compiled(sweep, mdp, v),
                "push": compiled(one.push, mdp.transition, mass),
                "push on arrivals": compiled(one.push, other, mass),
                "log_push": compiled(one.log_push, mdp.transition, log_mass),
                "log_push on arrivals": compiled(one.log_push, other, log_mass),
                "occupancy step": compiled(occupancy_step, mdp, jnp.ones(states) / states, log_mass),
                "numba scatter": _numba_form(arrays, np.asarray(mass)),
                "scipy transpose": _scipy_form(arrays, np.asarray(mass)),
            }
            answers = {
                k: np.asarray(c())
                for k, c in candidates.items()
                if k.split()[0] not in ("backward", "occupancy")
            }
            reference = answers["numba scatter"]
            off = {
                k: float(np.max(np.abs((np.exp(a) if k.startswith("log") else a) - reference)))
                for k, a in answers.items()
            }
            cell = {
                "states": states,
                "family": family,
                "building": building,
                "rest": other.rest_source.size / (16 * states),
                "off": max(off.values()) / float(reference.max()),
                "taken": measure.interleaved(candidates, rounds),
            }
            found["cells"].append(cell)
            median = {k: round(float(np.median(t)) * 1e9 / 16 / states, 2) for k, t in cell["taken"].items()}
            print(states, family, median, file=sys.stderr, flush=True)
    return found


def _numba_form(arrays, mass):
    import numba
    import numpy as np

    @numba.njit(fastmath=True)
    def scatter(n, p, mass, out):
        out[:] = 0
        for s in range(out.size):
            for a in range(n.shape[1]):
                for k in range(n.shape[2]):
                    out[n[s, a, k]] += p[s, a, k] * mass[s, a]

    rows, out = np.ascontiguousarray(mass.T), np.zeros(mass.shape[1])
    lists = [np.ascontiguousarray(x) for x in arrays[:2]]

    def call():
        scatter(*lists, rows, out)
        return out

    return call


def _scipy_form(arrays, mass):
    import numpy as np
    from scipy.sparse import csr_matrix

    states, actions, count = arrays.successor.shape
    begin = np.arange(0, states * actions * count + 1, count, dtype=np.int32)
    shape = (states * actions, states)
    turned = (
        csr_matrix((arrays.probability.reshape(-1), arrays.successor.reshape(-1), begin), shape).tocsc().T
    )
    rows = np.ascontiguousarray(mass.T).reshape(-1)
    return lambda: turned @ rows


def report(runs: list[dict], command: str) -> list[str]:
    import numpy as np

    lines = measure.header(
        command,
        [
            "median ns per entry (S x 4 x 4 entries); candidates interleaved; compile time not counted",
            "ratio: time over that of the backward sweep in the same rounds; bar at 1e6 states: 2",
            "arrivals s: seconds to order the entries by arrival, once, on the host; rest: share scattered",
        ],
    )
    for found in runs:
        lines += [f"{found['cores']} core(s)", ""]
        names = list(found["cells"][0]["taken"])
        rows = []
        for cell in found["cells"]:
            ns = {k: float(np.median(t)) * 1e9 / 16 / cell["states"] for k, t in cell["taken"].items()}
            ratio = {k: x / ns["backward sweep"] for k, x in ns.items()}
            best = min(("push", "push on arrivals"), key=lambda k, ns=ns: ns[k])
            best_log = min(("log_push", "log_push on arrivals"), key=lambda k, ns=ns: ns[k])
            rows.append(
                [f"{cell['states']:.0e} {cell['family']}"]
                + [f"{ns[k]:.2f}" for k in names]
                + [f"{ratio[best]:.2f}", f"{ratio[best_log]:.2f}", f"{ratio['occupancy step']:.2f}"]
                + [f"{cell['building']:.2f}", f"{100 * cell['rest']:.0f}%"]
            )
        heads = ["case", *names, "ratio push", "ratio log_push", "ratio occupancy", "arrivals s", "rest"]
        lines += [*measure.table(heads, rows), ""]
    worst = max(c["off"] for found in runs for c in found["cells"])
    return [*lines, f"largest relative difference of any candidate from numba: {worst:.1e}"]


def main() -> None:
    options = measure.parser(__doc__, "forward.txt")
    options.add_argument("--sizes", type=lambda x: int(float(x)), nargs="+", default=list(SIZES))
    chosen = options.parse_args()
    if chosen.child:
        measure.pin(chosen.cores[0])
        print(json.dumps(run(chosen.sizes, chosen.rounds)))
        return
    same = ["--child", "--rounds", chosen.rounds, "--sizes", *chosen.sizes]
    runs = [
        json.loads(measure.child("benchmarks.forward", [*same, "--cores", n]))
        for n in sorted(set(chosen.cores))
    ]
    measure.write(chosen.out, report(runs, "benchmarks.forward " + " ".join(sys.argv[1:])))


if __name__ == "__main__":
    main()
