"""The table of `mce_fit`: seconds, likelihoods, factors, and how the peers failed."""

from __future__ import annotations

from benchmarks import measure

NOTES = [
    "median seconds of a whole fit; one core; compile time not counted, and shown as the first call",
    "bar: factor >= 50 at the same likelihood or a better one",
    "short: nats per trajectory by which the peer's reward explains the expert less well than ours",
]


def report(mine: dict, theirs: dict[str, dict | str], command: str) -> list[str]:
    """Lines of text."""
    lines = measure.header(command, NOTES)
    rows = []
    other = theirs["imitation"]
    for name in (name for name in mine if name.startswith(("8 ", "table "))):
        kind, case = name.split(" ", 1)
        label = f"{case}, {'8 features' if kind == '8' else 'one reward per state'}"
        peer = other.get(name) if isinstance(other, dict) else None
        rows.append(_row(label, mine[name], peer))
    heads = ["case", "maxentrl s", "first call s", "peer s", "factor", "short"]
    lines += ["imitation (MCEIRL), horizon 50", *measure.table(heads, rows)]
    lines += _said(other)
    large = theirs["large"]
    lines += [
        "",
        "imitation at 25 600 states, under 8 GiB: " + (large if isinstance(large, str) else large["met"]),
    ]
    other, rows, failures = theirs["irl-maxent"], [], []
    for name in (name for name in mine if name.startswith("goal ")):
        case, row = name.removeprefix("goal "), mine[name]
        peer = other.get(f"{name} causal") if isinstance(other, dict) else None
        rows.append(_row(f"{case}, its own stop", row, peer))
        if isinstance(other, dict) and f"{name} patient" in other:
            rows.append(_row(f"{case}, patient", row, other[f"{name} patient"]))
        path = other.get(f"{name} path") if isinstance(other, dict) else None
        said = "not run" if path is None else "finite" if path["finite"] else "NaN, without an exception"
        found = "converged" if row["path"][0] else "did not converge"
        failures.append(f"whole trajectories, {case}: irl-maxent {said}; maxentrl {found}")
    lines += ["", "irl-maxent (irl_causal), to a goal, discount 0.7, 8 features", *measure.table(heads, rows)]
    return [*lines, *_said(other), "", *failures]


def _row(label: str, own: dict, peer: dict | None) -> list[str]:
    cells = [label, f"{own['seconds']:.3f}", f"{own['first']:.1f}"]
    if not own["converged"]:
        cells[0] += " (not converged)"
    if peer is None:
        return [*cells, "-", "-", "-"]
    if not peer.get("finite", True):
        return [*cells, f"{peer['seconds']:.1f}", "failed", "-"]
    short = own["value"] - peer["value"]
    return [*cells, f"{peer['seconds']:.2f}", f"{peer['seconds'] / own['seconds']:.0f}", f"{short:.1e}"]


def _said(other: dict | str) -> list[str]:
    return [f"peer: {other['versions']}" if isinstance(other, dict) else f"not run: {other}"]
