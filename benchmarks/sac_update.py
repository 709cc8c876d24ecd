"""One gradient step of soft actor-critic, its batch of 256 drawn from memory, on one core.

Microseconds, and the share of what matrix products of 256 x 256 x 256 reach on the same core in the same run, counting
only the operations in the step's own products. Against SB3, SBX and a loop of torch in CleanRL's manner, each in its
own process with its own interpreter (MAXENTRL_SB3, MAXENTRL_SBX); they take turns. "x 16" makes 16 gradient steps in
one call, which is how training in compiled programs runs; one call each is how training in Gymnasium runs. Compilation
is apart.

    python -m benchmarks.sac_update
"""

from __future__ import annotations

import sys
import time

from benchmarks import measure
from benchmarks.agent_cases import BATCH, SIZES, flops, interpreter
from benchmarks.turns import Worker, median, serve, take_turns, versions_of

BAR, AIM = 0.75, 0.85
PEERS = {"SB3": ("sb3", (1,)), "SBX": ("sbx", (1, 16))}


def ours(case: str, count: int):
    """`update` of the agent: a step is stored, and `count` gradient steps are made."""
    import jax
    import jax.numpy as jnp

    from maxentrl.agents.sac import SACSettings, sac
    from maxentrl.core.contracts import Transition
    from maxentrl.core.spaces import box
    from maxentrl.learn.compiling import often
    from maxentrl.learn.replay import store

    size = SIZES[case]
    agent = sac(SACSettings(hidden=(size.hidden,) * 2, batch=BATCH, capacity=10_000, warmup=0, updates=count))
    key = jax.random.key(0, impl="threefry2x32")
    state = agent.init(key, box(-10.0, 10.0, (size.seen,)), box(-1.0, 1.0, (size.done,)))
    first, second, third, fourth = jax.random.split(key, 4)
    steps = Transition(
        jax.random.normal(first, (10_000, size.seen)),
        jax.random.uniform(second, (10_000, size.done), minval=-1.0, maxval=1.0),
        jax.random.normal(third, (10_000,)),
        jax.random.normal(fourth, (10_000, size.seen)),
        jnp.zeros(10_000, bool),
        jnp.zeros(10_000, bool),
        jnp.ones(10_000, bool),
    )
    state = state._replace(memory=jax.jit(store)(state.memory, steps))
    lived = jax.tree.map(lambda x: x[:1][None], steps)

    def step(state, key, lived):
        key, here = jax.random.split(key)
        state, info = agent.update(state, here, lived)
        return state, key, info

    program = often(step, donate=(0,))

    def call():
        nonlocal state, key
        state, key, info = program(state, key, lived)
        jax.block_until_ready(info)

    begin = time.perf_counter()
    call()
    compiling = time.perf_counter() - begin
    begin = time.perf_counter()
    call()
    calls = max(1, round(0.5 / (time.perf_counter() - begin)))

    def turn() -> float:
        for _ in range(calls):
            call()
        return calls * count

    return {"first": compiling, "versions": versions_of("jax", "jaxlib", "numpy")}, turn


def peak():
    """Products of 256 x 256 x 256 in a chain, in XLA."""
    import jax
    import numpy as np

    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(256, 256)))[0].astype(np.float32)
    # Each product needs the one before, and orthogonal factors keep its numbers in range.
    chain = jax.jit(lambda x, turned: jax.lax.fori_loop(0, 64, lambda _, now: now @ turned, x))
    x = jax.block_until_ready(chain(turned, turned))

    def turn() -> float:
        for _ in range(20):
            jax.block_until_ready(chain(x, turned))
        return 20 * 64 * 2 * 256**3

    return {}, turn


def torch_peak():
    """The same in torch."""
    import numpy as np
    import torch

    torch.set_num_threads(1)
    turned = torch.as_tensor(np.linalg.qr(np.random.default_rng(0).normal(size=(256, 256)))[0]).float()

    def turn() -> float:
        x = turned
        for _ in range(20 * 64):
            x = x @ turned
        return 20 * 64 * 2 * 256**3

    return {}, turn


def candidates(case: str) -> dict[str, tuple[str, list[str]]]:
    module = "benchmarks.sac_update"
    found = {"product in XLA": (interpreter("ours"), [module, "--child", "peak"])}
    found["product in torch"] = (interpreter("sb3"), [module, "--child", "torch_peak"])
    for count in (1, 16):
        name = "ours" if count == 1 else f"ours x {count}"
        found[name] = (interpreter("ours"), [module, "--child", "ours", case, str(count)])
    for name, (peer, counts) in PEERS.items():
        for count in counts:
            found[name if count == 1 else f"{name} x {count}"] = (
                interpreter(peer),
                ["benchmarks.peers_sb3", peer, "update", case, str(count)],
            )
    found["torch as in CleanRL"] = (interpreter("sb3"), ["benchmarks.peers_cleanrl", "update", case, "1"])
    return found


def rows(case: str, workers: dict[str, Worker]) -> list[list[str]]:
    products = {
        name: median(worker.rates()) for name, worker in workers.items() if name.startswith("product")
    }
    reached, work = max(products.values()), flops(SIZES[case])
    found = []
    for name, worker in workers.items():
        if name in products:
            gflops = [rate / 1e9 for rate in worker.rates()]
            found.append([case, name, "", "", f"{median(gflops):.1f}", "", "", ""])
            continue
        taken = [1e6 / rate for rate in worker.rates()]
        share = work / (median(taken) * 1e-6) / reached
        mark = ""
        if name.startswith("ours") and SIZES[case].hidden == 256:
            mark = "met" if share >= BAR else "MISSED"
        found.append(
            [
                case,
                name,
                f"{median(taken):.0f}",
                f"{min(taken):.0f}-{max(taken):.0f}",
                f"{work / median(taken) / 1e3:.1f}",
                f"{100 * share:.0f}",
                f"{worker.about['first']:.1f}",
                mark,
            ]
        )
    return found


def main() -> None:
    options = measure.parser(__doc__, "sac_update.txt")
    options.add_argument("--cases", nargs="+", default=list(SIZES), choices=list(SIZES))
    options.add_argument("what", nargs="*")
    chosen = options.parse_args()
    if chosen.child:
        what, *rest = chosen.what
        if what == "ours":
            serve(lambda: ours(rest[0], int(rest[1])))
        else:
            serve(peak if what == "peak" else torch_peak)
        return
    lines, versions, missing, lowest = [], {}, {}, 1.0
    heads = ["case", "candidate", "us", "range", "GFLOP/s", "% of peak", "first call s", f"bar {BAR:.0%}"]
    for case in chosen.cases:
        print(case, file=sys.stderr)
        workers, failed = take_turns(candidates(case), chosen.rounds)
        lines += rows(case, workers)
        missing |= failed
        for name, worker in workers.items():
            versions[name] = worker.about.get("versions", {})
            lowest = min(lowest, *(turn["share"] for turn in worker.turns))
        notes = [
            f"batch {BATCH}, medians of {chosen.rounds} turns of about half a second, one core, processes in turn; "
            f"seconds are those of the process on the core, of which every turn had at least {lowest:.0%}",
            "operations counted: "
            + ", ".join(f"{case} {flops(SIZES[case]) / 1e6:.0f} M" for case in chosen.cases),
            "% of peak: of the faster of the two products, XLA's and torch's, of the same rounds",
            f"bar: {BAR:.0%} at 2x256, aim {AIM:.0%}",
            *(
                f"{name}: " + ", ".join(f"{k} {v}" for k, v in found.items())
                for name, found in versions.items()
                if found and " x " not in name
            ),
            *(f"{name} was not run: {why}" for name, why in missing.items()),
        ]
        command = "benchmarks.sac_update " + " ".join(sys.argv[1:])
        measure.write(chosen.out, [*measure.header(command, notes), *measure.table(heads, lines)])


if __name__ == "__main__":
    main()
