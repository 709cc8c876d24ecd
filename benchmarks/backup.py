"""One soft backup on successor lists, in nanoseconds per (state, action, successor) entry, beside its peers.

Four actions, four successors, discount 0.99, temperature 0.1, uniform prior. Ours is `value_backup`, the
library's own function on its own `TabularMDP`, as a sweep over a horizon calls it: reward and prior were brought
together before the first step (`preparing`, timed apart; the others are given rewards laid out for them too). The JAX
forms are the best plain programs one would write by hand for this prior; numba is one fused loop; SciPy is a sparse
product and NumPy's exponentials.
"""

from __future__ import annotations

import sys

from benchmarks import measure

DISCOUNT, TEMPERATURE = 0.99, 0.1
SIZES = (10_000, 100_000, 1_000_000, 4_000_000)


def run(sizes: list[int], rounds: int) -> dict:
    """All cells on the cores this process is pinned to."""
    import jax
    import numpy as np

    jax.config.update("jax_enable_x64", True)
    found = {"cores": measure.cores(), "triad": measure.triad(), "cells": []}
    for states in sizes:
        for family in ("local", "scattered"):
            for dtype in ("float32", "float64"):
                candidates, first, answers = _candidates(states, family, dtype)
                reference = answers["numba, fused"]
                off = {k: float(np.max(np.abs(a - reference))) for k, a in answers.items()}
                taken = measure.interleaved(candidates, rounds)
                cell = {
                    "states": states,
                    "family": family,
                    "dtype": dtype,
                    "first": first,
                    "off": off,
                    "taken": taken,
                }
                found["cells"].append(cell)
                median = {k: round(float(np.median(t)) * 1e9 / 16 / states, 2) for k, t in taken.items()}
                print(states, family, dtype, median, file=sys.stderr, flush=True)
    return found


def _candidates(states: int, family: str, dtype: str):
    import jax
    import jax.numpy as jnp
    import numpy as np

    from benchmarks.problems import FAMILIES
    from maxentrl import TabularMDP
    from maxentrl.core.types import Temperatures
    from maxentrl.infer.backup import prepared, value_backup

    arrays = FAMILIES[family](states, np.dtype(dtype))
    v = np.random.default_rng(1).random(states).astype(dtype)
    mdp = jax.tree.map(jnp.asarray, TabularMDP(arrays[:2], arrays.reward, dtype=dtype).bare())
    successor, probability = mdp.transition.successor, mdp.transition.probability
    reward, v_jax = jnp.asarray(arrays.reward.T), jnp.asarray(v)

    def compiled(function, *arguments):
        ready = jax.jit(function)
        return lambda: jax.block_until_ready(ready(*arguments))

    temperatures = Temperatures(TEMPERATURE, np.inf)
    prepare = compiled(lambda m: prepared(m, temperatures), mdp)
    flat, shape = jax.tree.flatten((mdp, v_jax, prepare()))

    def ours(*arrays):
        m, x, common = jax.tree.unflatten(shape, arrays)
        return value_backup(m, x, temperatures, DISCOUNT, payoff=common)

    forms = {
        "maxentrl": compiled(ours, *flat),  # arrays one by one, as the others: no tree to walk in every call
        **{
            f"jax, {name}": compiled(form, successor, probability, reward, v_jax)
            for name, form in _jax_forms().items()
        },
    }
    fused, scipy_form = _numba_form(arrays, v), _scipy_form(arrays, v)
    forms |= {"numba, fused": fused, "scipy + numpy": scipy_form}
    first = {name: measure.first_call(call) for name, call in forms.items()}
    answers = {name: np.array(call()) for name, call in forms.items()}
    return forms | {"preparing": prepare}, first, answers


def _jax_forms():
    """Hand-written programs for the uniform prior, state last."""
    import jax
    import jax.numpy as jnp

    shift = TEMPERATURE * jnp.log(4.0)

    def q(successor, probability, reward, v, a):
        reached = [v.at[successor[a, k]].get(mode="promise_in_bounds") for k in range(probability.shape[1])]
        return reward[a] + DISCOUNT * sum(p * x for p, x in zip(probability[a], reached, strict=True))

    def log_sum(qs, like):
        top = qs[0]
        for x in qs[1:]:
            top = jnp.maximum(top, x)
        total = sum(jnp.exp((x - top) / TEMPERATURE) for x in qs)
        return top + TEMPERATURE * jnp.log(total) - shift.astype(like.dtype)

    def unrolled(*model):
        return log_sum([q(*model, a) for a in range(4)], model[3])

    def two_stages(*model):
        return log_sum(jax.lax.optimization_barrier([q(*model, a) for a in range(4)]), model[3])

    def loop(*model):
        def body(a, state):
            top, total = state
            x = q(*model, a)
            higher = jnp.maximum(top, x)
            grown = total * jnp.exp((top - higher) / TEMPERATURE) + jnp.exp((x - higher) / TEMPERATURE)
            return higher, grown

        top, total = jax.lax.fori_loop(1, 4, body, (q(*model, 0), jnp.ones_like(model[3])))
        return top + TEMPERATURE * jnp.log(total) - shift.astype(model[3].dtype)

    def natural(successor, probability, reward, v):
        q_all = reward + DISCOUNT * jnp.sum(probability * v[successor], 1)
        return TEMPERATURE * jax.nn.logsumexp(q_all / TEMPERATURE, axis=0) - shift.astype(v.dtype)

    return {"unrolled": unrolled, "two stages": two_stages, "loop over actions": loop, "natural": natural}


def _numba_form(arrays, v):
    import numba
    import numpy as np

    kind = v.dtype.type
    g, t, inverse, shift = (
        kind(x) for x in (DISCOUNT, TEMPERATURE, 1 / TEMPERATURE, TEMPERATURE * np.log(4))
    )

    @numba.njit(fastmath=True, parallel=measure.cores() > 1)
    def fused(n, p, r, v, out, g, t, inverse, shift):
        for s in numba.prange(v.size):
            x = r[s, 0] + g * (p[s, 0, 0] * v[n[s, 0, 0]] + p[s, 0, 1] * v[n[s, 0, 1]]
                               + p[s, 0, 2] * v[n[s, 0, 2]] + p[s, 0, 3] * v[n[s, 0, 3]])  # fmt: skip
            y = r[s, 1] + g * (p[s, 1, 0] * v[n[s, 1, 0]] + p[s, 1, 1] * v[n[s, 1, 1]]
                               + p[s, 1, 2] * v[n[s, 1, 2]] + p[s, 1, 3] * v[n[s, 1, 3]])  # fmt: skip
            z = r[s, 2] + g * (p[s, 2, 0] * v[n[s, 2, 0]] + p[s, 2, 1] * v[n[s, 2, 1]]
                               + p[s, 2, 2] * v[n[s, 2, 2]] + p[s, 2, 3] * v[n[s, 2, 3]])  # fmt: skip
            w = r[s, 3] + g * (p[s, 3, 0] * v[n[s, 3, 0]] + p[s, 3, 1] * v[n[s, 3, 1]]
                               + p[s, 3, 2] * v[n[s, 3, 2]] + p[s, 3, 3] * v[n[s, 3, 3]])  # fmt: skip
            top = max(max(x, y), max(z, w))
            total = (np.exp((x - top) * inverse) + np.exp((y - top) * inverse)
                     + np.exp((z - top) * inverse) + np.exp((w - top) * inverse))  # fmt: skip
            out[s] = top + t * np.log(total) - shift

    out = np.empty_like(v)
    lists = [np.ascontiguousarray(x) for x in arrays[:3]]

    def call():
        fused(*lists, v, out, g, t, inverse, shift)
        return out

    return call


def _scipy_form(arrays, v):
    import numpy as np
    from scipy.sparse import csr_matrix

    states, actions, count = arrays.successor.shape
    begin = np.arange(0, states * actions * count + 1, count, dtype=np.int32)
    matrix = csr_matrix(
        (arrays.probability.reshape(-1), arrays.successor.reshape(-1), begin), (states * actions, states)
    )
    g, t = v.dtype.type(DISCOUNT), v.dtype.type(TEMPERATURE)

    def call():
        q = arrays.reward + g * (matrix @ v).reshape(states, actions)
        top = q.max(1, keepdims=True)
        return top[:, 0] + t * np.log(np.exp((q - top) / t).mean(1))

    return call


def bytes_moved(states: int, dtype: str) -> int:
    """The traffic no program can avoid: indices, probabilities, rewards, V in, V out (read, then written)."""
    item = 4 if dtype == "float32" else 8
    return states * (16 * (item + 4) + 4 * item + 3 * item)


def report(runs: list[dict], command: str) -> list[str]:
    """One table per number of cores, and the second core's gain."""

    lines = measure.header(
        command,
        [
            "ns per entry (S x 4 x 4 entries), fastest of the rounds: the work is always the same, noise only adds",
            "candidates interleaved, in a new order each round, in processes one after the other; compile time not counted",
            "GB/s: unavoidable traffic over time; % of the measured triad (scattered reads wait for latency)",
            "bar: ours / best jax <= 1.1, numba / ours > 1, in every cell",
        ],
    )
    ours: dict[tuple, dict[int, float]] = {}
    for found in runs:
        lines += [f"{found['cores']} core(s); triad {found['triad']:.1f} GB/s", ""]
        names = list(found["cells"][0]["taken"])
        rows = []
        for cell in found["cells"]:
            per = 1e9 / 16 / cell["states"]
            ns = {k: min(t) * per for k, t in cell["taken"].items()}
            best_jax = min(x for k, x in ns.items() if k.startswith("jax"))
            speed = bytes_moved(cell["states"], cell["dtype"]) / (ns["maxentrl"] / per * 1e9)
            key = (cell["states"], cell["family"], cell["dtype"])
            ours.setdefault(key, {})[found["cores"]] = ns["maxentrl"]
            rows.append(
                [f"{cell['states']:.0e} {cell['family']} {cell['dtype']}"]
                + [f"{ns[k]:.2f}" for k in names]
                + [f"{speed:.1f}", f"{100 * speed / found['triad']:.0f}%", f"{ns['maxentrl'] / best_jax:.2f}"]
                + [f"{ns['numba, fused'] / ns['maxentrl']:.2f}", f"{cell['first']['maxentrl']:.1f}"]
            )
        heads = ["case", *names, "GB/s", "triad", "ours / best jax", "numba / ours", "first call s"]
        lines += [*measure.table(heads, rows), ""]
    if len(runs) > 1:
        few, many = runs[0]["cores"], runs[-1]["cores"]
        rows = [[f"{s:.0e} {f} {d}", f"{t[few] / t[many]:.2f}"] for (s, f, d), t in ours.items()]
        limit = runs[-1]["triad"] / runs[0]["triad"]
        lines += [f"{many} cores against {few}, ours (memory alone gains {limit:.2f})", ""]
        lines += measure.table(["case", "gain"], rows)
    worst = max(max(c["off"].values()) for found in runs for c in found["cells"])
    return [*lines, "", f"largest difference of any candidate from numba: {worst:.1e}"]


if __name__ == "__main__":
    measure.on_each_core_count("benchmarks.backup", __doc__, SIZES, run, report, processes=3)
