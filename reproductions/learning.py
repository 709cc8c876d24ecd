"""Learning curves of several seeds in an environment in JAX, and what can be said of them."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maxentrl.core.contracts import Agent, Env
from maxentrl.learn.loop import Schedule, train
from maxentrl.learn.worlds import compiled_world

STARTS = 100
"""Evaluation episodes: their start states are the same for all agents, seeds and times."""


class Curves(NamedTuple):
    """steps: [K]. returns: [seeds, K], mean over `STARTS` fixed starts of the most likely actions.

    lived: [seeds, K], mean return of the training episodes that ended since the row before; NaN where none did.
    """

    steps: np.ndarray
    returns: np.ndarray
    lived: np.ndarray


def curves(agent: Agent, env: Env, seeds: Iterable[int], steps: int, every: int) -> Curves:
    """Train each seed for `steps`, and look every `every` steps."""
    seeds = tuple(seeds)
    rows: list[dict] = []
    world = compiled_world(agent, env, seeds, range(STARTS))
    train(world, Schedule(steps, every, every, steps), seeds, rows.append)

    def table(kind: str) -> tuple[np.ndarray, np.ndarray]:
        mine = [row for row in rows if row["kind"] == kind]
        at = sorted({row["step"] for row in mine})
        values = np.full((len(seeds), len(at)), np.nan)
        for row in mine:
            value = row["return"]
            values[seeds.index(row["seed"]), at.index(row["step"])] = np.nan if value is None else value
        return np.array(at), values

    at, returns = table("evaluation")
    return Curves(at, returns, table("training")[1])


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean over seeds [n] and its 95 % bootstrap interval."""
    rng = np.random.default_rng(seed)
    means = rng.choice(values, (10_000, len(values))).mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(values.mean()), float(low), float(high)


def said(values: np.ndarray) -> str:
    """Mean and interval in words."""
    mean, low, high = interval(values)
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def parser(text: str | None) -> argparse.ArgumentParser:
    """The options that all of these have."""
    options = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    options.add_argument("--out", type=Path, default=None, help="file for the table; printed in any case")
    return options


def header(title: str, seeds: Iterable[int], starts: bool = True) -> list[str]:
    """Title, command, seeds, versions and machine. `starts`: whether evaluation is from our fixed start states."""
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("maxentrl", "jax", "optax", "gymnasium")
    )
    said = f"; {STARTS} fixed start states, apart from those of training" if starts else ""
    return [
        title,
        f"command: python {Path(sys.argv[0]).parent.name}/{Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}",
        f"seeds: {', '.join(map(str, seeds))}{said}",
        f"versions: {versions}, Python {platform.python_version()}; {platform.machine()}, {platform.system()}",
        "",
    ]


def write(lines: list[str], out: Path | None) -> None:
    """Show a table and keep it."""
    text = "\n".join(lines) + "\n"
    print(text)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
