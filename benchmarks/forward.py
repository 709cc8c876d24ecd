"""Messages and mass sent forward, against the backward sweep of the same problem: nanoseconds per entry and step.

`backward`, `forward` and `occupancy` are the library's own, over a horizon of a few steps: soft values at one
temperature, log-messages of the optimality model, and state-action marginals of a policy that changes with time. The
last two are given the problem as `posterior` and `occupancy` prepare it for long horizons: with a copy of the
transitions in order of arrival, or not. Making the copy is timed apart. `push` is one step of mass alone, from the copy
and from the lists as they are.
"""

from __future__ import annotations

import sys
import time

from benchmarks import measure

SIZES = (10_000, 100_000, 1_000_000)
TEMPERATURE, DISCOUNT, STEPS = 0.1, 0.99, 16
LIBRARY = ("backward", "forward", "occupancy")


def run(sizes: list[int], rounds: int) -> dict:
    import jax
    import jax.numpy as jnp
    import numpy as np

    from benchmarks.problems import FAMILIES
    from maxentrl import TabularMDP
    from maxentrl.core.types import Temperatures
    from maxentrl.infer import tabular
    from maxentrl.infer.sending import push

    jax.config.update("jax_enable_x64", True)
    given = Temperatures(TEMPERATURE, jnp.inf)
    found = {"cores": measure.cores(), "cells": []}
    for states in sizes:
        for family in ("local", "scattered"):
            arrays = FAMILIES[family](states)
            host = TabularMDP(arrays[:2], arrays.reward).bare()
            start = time.perf_counter()
            turned = host.with_arrivals()
            turning = time.perf_counter() - start
            sending = [tabular.prepared(host, STEPS, weighted=weighted) for weighted in (True, False)]
            mdp, turned, *sending = jax.tree.map(jnp.asarray, (host, turned, *sending))
            rng = np.random.default_rng(1)
            mass = jnp.asarray(rng.dirichlet(np.ones(4), states).T / states)
            log_policy = jnp.log(jnp.asarray(rng.dirichlet(np.ones(4), (STEPS, states)).transpose(0, 2, 1)))

            def compiled(function, *arguments):
                ready = jax.jit(function)
                return lambda: ready(*arguments).block_until_ready()

            candidates = {
                "backward": compiled(lambda m: tabular.backward(m, given, STEPS, DISCOUNT), mdp),
                "forward": compiled(lambda m: tabular.forward(m, TEMPERATURE, STEPS, DISCOUNT), sending[0]),
                "occupancy": compiled(
                    lambda m, pi: tabular.occupancy(m, pi, DISCOUNT), sending[1], log_policy
                ),
                "push": compiled(push, turned.transition, mass),
                "push, lists": compiled(push, mdp.transition, mass),
                "numba scatter": _numba_form(arrays, np.asarray(mass)),
                "scipy transpose": _scipy_form(arrays, np.asarray(mass)),
            }
            answers = {k: np.asarray(c()) for k, c in candidates.items() if k not in LIBRARY}
            reference = answers["numba scatter"]
            off = {k: float(np.max(np.abs(a - reference))) for k, a in answers.items()}
            taken = measure.interleaved(candidates, rounds)
            for name in LIBRARY:
                taken[name] = [seconds / STEPS for seconds in taken[name]]
            cell = {
                "states": states,
                "family": family,
                "off": max(off.values()) / float(reference.max()),
                "taken": taken,
                "turning": turning,
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
            "ratio: time over that of the backward sweep in the same rounds",
        ],
    )
    for found in runs:
        lines += [f"{found['cores']} core(s)", ""]
        names = list(found["cells"][0]["taken"])
        rows = []
        for cell in found["cells"]:
            ns = {k: float(np.median(t)) * 1e9 / 16 / cell["states"] for k, t in cell["taken"].items()}
            ratio = [f"{ns[k] / ns['backward']:.2f}" for k in ("push", "forward", "occupancy")]
            ratio.append(f"{cell['turning']:.2f}")
            rows.append([f"{cell['states']:.0e} {cell['family']}", *(f"{ns[k]:.2f}" for k in names), *ratio])
        heads = ["case", *names, "ratio push", "ratio forward", "ratio occupancy", "copy s"]
        lines += [*measure.table(heads, rows), ""]
    worst = max(c["off"] for found in runs for c in found["cells"])
    return [*lines, f"largest relative difference of any push from numba's: {worst:.1e}"]


if __name__ == "__main__":
    measure.on_each_core_count("benchmarks.forward", __doc__, SIZES, run, report)
