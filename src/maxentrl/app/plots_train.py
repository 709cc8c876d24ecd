"""Pictures of training: returns of all seeds with their middle, and what went on inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from maxentrl.app.maps import INK
from maxentrl.app.plots import BLUE, GREEN, ORANGE, RED, STYLE, svg

PURPLE, SKY, YELLOW = "#CC79A7", "#56B4E9", "#B8AA00"
COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, YELLOW, INK)
"""For runs side by side."""

PANELS = {
    "entropy": ("entropy of the policy", "nats"),
    "temperature": ("temperature", "units of reward"),
    "value_gap": ("value gap", "units of reward"),
    "divergence_from_prior": ("divergence from the prior", "nats"),
    "q": ("mean value of actions", "units of reward"),
    "value_loss": ("loss of the value", "units of reward, squared"),
    "loss": ("loss", "units of reward, squared"),
    "squared_error": ("squared error", "units of reward, squared"),
}
"""What is drawn of the inside: the first three that an agent tells; title and unit."""


def returns(steps, scores, middle) -> bytes:
    """Mean returns [T, seeds] of the evaluations at steps [T], a thin line for each seed; their middle [3, T]."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 4.1), layout="constrained")
        axes = figure.subplots()
        many = scores.shape[1] > 1
        if many:
            form = "-" if len(steps) > 1 else "_"
            axes.plot(steps, scores, form, color=BLUE, lw=0.8, ms=14, alpha=0.35)
            axes.plot([], [], form, color=BLUE, lw=0.8, ms=14, alpha=0.5, label="each seed")
        curve(axes, steps, middle, BLUE, "interquartile mean, 95 % interval" if many else "return")
        axes.set(xlabel="environment steps of a seed", ylabel="return of an evaluation", xlim=(0, None))
        axes.xaxis.set_major_formatter(thousands)
        if many:
            axes.legend(fontsize=9, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=2)
        return svg(figure, "returns")


def compared(runs: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> bytes:
    """Curves of several runs: (name, steps [T], middle [3, T]) each."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 4.3 + 0.2 * (len(runs) // 3)), layout="constrained")
        axes = figure.subplots()
        for (name, steps, middle), colour in zip(runs, cycle(len(runs)), strict=True):
            curve(axes, steps, middle, colour, name)
        axes.set(xlabel="environment steps of a seed", ylabel="return of an evaluation", xlim=(0, None))
        axes.xaxis.set_major_formatter(thousands)
        axes.legend(fontsize=9, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=3)
        return svg(figure, "compared")


def improvements(rows: Sequence[tuple[str, float, float, float]]) -> bytes:
    """Probabilities that one run beats another, with intervals: (words, value, lower, upper) each."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 0.95 + 0.42 * len(rows)), layout="constrained")
        axes = figure.subplots()
        y = np.arange(len(rows))[::-1]
        axes.axvline(0.5, color="#999999", lw=0.9)
        for at, (_, value, lower, upper) in zip(y, rows, strict=True):
            if np.isfinite(lower) and np.isfinite(upper):
                axes.plot([lower, upper], [at, at], color=BLUE, lw=2, solid_capstyle="butt")
            axes.plot([value], [at], "o", color=BLUE)
        axes.set(
            yticks=y, yticklabels=[row[0] for row in rows], xlim=(-0.02, 1.02), ylim=(-0.6, len(rows) - 0.4)
        )
        axes.set(xlabel="probability, over seeds, that the first of the two does better")
        axes.tick_params(axis="y", length=0)
        return svg(figure, "improvements")


def training(rows: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> bytes | None:
    """Entropy, temperature and value gap against steps, a line for each seed; None where nothing is told."""
    trained = [row for row in rows if row["kind"] == "training"]
    told = [name for name in PANELS if any(isinstance(row.get(name), int | float) for row in trained)][:3]
    if not told:
        return None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 2.9), layout="constrained")
        for axes, name in zip(np.atleast_1d(figure.subplots(1, len(told))), told, strict=True):
            for seed in seeds:
                found = [
                    (row["step"], row[name])
                    for row in trained
                    if row["seed"] == seed and isinstance(row.get(name), int | float)
                ]
                if found:
                    axes.plot(*np.array(found).T, color=BLUE, lw=1.0, alpha=0.8 if len(seeds) < 5 else 0.35)
            title, unit = PANELS[name]
            axes.set(title=title, ylabel=unit, xlabel="environment steps", xlim=(0, None))
            axes.xaxis.set_major_formatter(thousands)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            if name == "temperature" and _spans(axes):
                axes.set_yscale("log")
            if name == "value_gap":
                axes.axhline(0, color="#999999", lw=0.8)
        return svg(figure, "training")


def curve(axes: Axes, steps, middle, colour: str, name: str) -> None:
    """A line [T] with its interval as a band; middle is [3, T]. A single time is a point with a bar."""
    axes.plot(steps, middle[0], "o-" if len(steps) < 15 else "-", color=colour, lw=1.8, ms=4, label=name)
    if not np.isfinite(middle[1]).all():
        return
    if len(steps) > 1:
        axes.fill_between(steps, middle[1], middle[2], color=colour, alpha=0.18, lw=0)
    else:
        axes.vlines(steps, middle[1], middle[2], color=colour, lw=1.8)


def thousands(value: float, _: Any = None) -> str:
    """Steps on an axis: 20k, 1.5M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def cycle(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def _spans(axes: Axes) -> bool:
    """Whether what is drawn is above 0 and spans more than a factor of 20."""
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines])
    return bool(len(values) and values.min() > 0 and values.max() > 20 * values.min())
