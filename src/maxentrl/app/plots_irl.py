"""Pictures of recovered rewards, in the style of `plots`."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from maxentrl.app import maps
from maxentrl.app.maps import INK
from maxentrl.app.plots import BLUE, GREEN, ORANGE, RED, STYLE, intervals, legend, rows, svg
from maxentrl.irl.reward import choices
from maxentrl.models.tabular import TabularMDP

ROUNDING = 1e-9
"""Share of the first value of a curve below which there is only rounding to see."""

POINTS = 3_000
"""Scatter plots with more points than this are embedded as pixels."""


def scores(names: Sequence[str], values: Sequence[float], intervals: Sequence[tuple[float, float]]) -> bytes:
    """Mean log-likelihood of a decision under each policy, with its interval."""
    with mpl.rc_context(STYLE):
        figure, axes, y = rows(names, "log-likelihood of a decision (nats); to the right is better")
        for at, value, (low, high), color in zip(
            y, values, intervals, [BLUE, "#777777", "#777777"], strict=True
        ):
            if not np.isfinite(value):
                axes.text(
                    0.02, at, "minus infinity", transform=axes.get_yaxis_transform(), va="center", color=RED
                )
                continue
            if np.isfinite([low, high]).all():
                axes.plot([low, high], [at, at], color=color, lw=1.6, solid_capstyle="butt")
            axes.plot([value], [at], "o", color=color, ms=7)
        axes.grid(axis="x", color="#eeeeee")
        axes.set_axisbelow(True)
        return svg(figure, "scores")


def flows(observed: np.ndarray, predicted: np.ndarray) -> bytes:
    """Observed counts of decisions against predicted ones, with the band in which chance alone would put them."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 4.4), layout="constrained")
        axes = figure.subplots()
        top = 1.12 * max(float(observed.max()), float(predicted.max()), 1.0)
        line = np.linspace(0, top, 200)
        band = 1.96 * np.sqrt(line)
        axes.fill_between(line, np.maximum(line - band, 0), line + band, color="#eaf2f8", lw=0)
        axes.plot(line, line, color="#999999", lw=0.9)
        shown = (observed > 0) | (predicted > 1e-9)
        axes.scatter(
            predicted[shown],
            observed[shown],
            s=26,
            color=BLUE,
            alpha=0.6,
            linewidth=0,
            clip_on=False,
            zorder=3,
            rasterized=bool(shown.sum() > POINTS),
        )
        axes.set(xlim=(0, top), ylim=(0, top), xlabel="predicted decisions", ylabel="observed decisions")
        axes.set_aspect("equal")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        return svg(figure, "flows")


def temperatures(
    groups: Sequence[str], found: np.ndarray, ends: np.ndarray, reference: str | None, common: float
) -> bytes:
    """Temperatures [G] with 95 % intervals [G, 2], on a logarithmic axis, where intervals are symmetric.

    Args:
        reference: the group whose temperature was given, which is then in whose units all others are; or None.
        common: the best temperature if all share one; drawn where there is no reference.
    """
    given = np.array([group == reference for group in groups])
    with mpl.rc_context(STYLE):
        figure, axes, y = rows(groups, "temperature (units of reward)")
        if reference is None:
            axes.axvline(common, color="#888888", lw=1, ls=":", label="common to all")
        intervals(axes, y[~given], found[~given], ends[~given])
        if given.any():
            axes.plot(found[given], y[given], "D", mfc="white", mec=INK, ms=7, ls="", label="given")
        legend(axes)
        axes.set_xscale("log")
        marks = LogLocator(subs=(1.0, 2.0, 5.0))
        axes.xaxis.set_major_locator(marks)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        return svg(figure, "temperatures")


def shifts(names: Sequence[str], before: np.ndarray, after: np.ndarray, label: str) -> bytes:
    """Numbers [n] before and after a change, in the colours of maps: blue where they rise, red where they fall."""
    with mpl.rc_context(STYLE):
        figure, axes, y = rows(names, label)
        for at, one, other in zip(y, before, after, strict=True):
            axes.plot([one, other], [at, at], color=BLUE if other > one else RED, lw=2.4, alpha=0.45)
        axes.plot(before, y, "o", mfc="white", mec="#777777", ms=7, mew=1.4, ls="", label="before")
        for sign, color, word in ((1, BLUE, "after: more"), (-1, RED, "after: less")):
            part = sign * (after - before) > 0
            if part.any():
                axes.plot(after[part], y[part], "o", color=color, ms=7, ls="", label=word, clip_on=False)
        axes.set_xlim(0, None)
        axes.tick_params(axis="y", pad=9)
        legend(axes)
        return svg(figure, "shifts")


def reward_map(mdp: TabularMDP, reward: np.ndarray, log_policy: np.ndarray) -> bytes:
    """The reward of each state, averaged over its actions, with the policy as arrows."""
    allowed = choices(mdp)
    count = allowed.sum(1)
    mean = np.where(count > 0, np.where(allowed, reward, 0.0).sum(1) / np.maximum(count, 1), np.nan)
    with mpl.rc_context(STYLE):
        figure, axes = _one_map(mdp)
        drawn = maps.field(axes, mdp, mean, "Oranges", None, ceiling=0.75)
        _bar(figure, axes, drawn, "reward")
        maps.marks(axes, mdp)
        maps.arrows(axes, mdp, np.exp(np.asarray(log_policy)))
        return svg(figure, "reward")


def change_map(mdp: TabularMDP, change: np.ndarray) -> bytes:
    """By how much the visits of each state change: more is blue, less is red, as on maps of roads."""
    with mpl.rc_context(STYLE):
        figure, axes = _one_map(mdp)
        most = max(float(np.abs(change).max()), 1e-9)
        drawn = maps.field(axes, mdp, change, "RdBu", -most, ceiling=1.0)
        drawn.set_norm(TwoSlopeNorm(0, -most, most))
        _bar(figure, axes, drawn, "change of visits per journey")
        maps.marks(axes, mdp)
        return svg(figure, "change")


def learning(
    train: Sequence[np.ndarray], validation: Sequence[np.ndarray | None], best: Sequence[int]
) -> bytes:
    """Log-likelihood per decision of every member of an ensemble, step by step."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 3.4), layout="constrained")
        axes = figure.subplots()
        faint = 1.0 if len(train) == 1 else 0.55
        for i, (one, other, at) in enumerate(zip(train, validation, best, strict=True)):
            first = i == 0
            axes.plot(one, color=BLUE, lw=1.6, alpha=faint, label="fitted to" if first else None)
            kept = one if other is None else other
            if other is not None:
                axes.plot(other, color=ORANGE, lw=1.6, alpha=faint, label="validation" if first else None)
            axes.plot([at], [kept[at]], "o", color=INK, ms=5, label="kept" if first else None)
        axes.set(xlabel="step", ylabel="log-likelihood of a decision (nats)", xlim=(0, None))
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
        return svg(figure, "learning")


def margins(values: np.ndarray, bounds: np.ndarray, tolerance: float) -> bytes:
    """Distance from the expert that a search had reached after each policy, and what no mixture can go below."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 3.2), layout="constrained")
        axes = figure.subplots()
        step = np.arange(1, len(values) + 1)
        values = np.maximum(values, ROUNDING * values[0])
        axes.plot(step, values, "o-", color=BLUE, ms=4, label="distance reached")
        if (bounds > 0).any():
            axes.plot(
                step,
                np.where(bounds > 0, bounds, np.nan),
                "s--",
                color=ORANGE,
                ms=3.5,
                label="no mixture is nearer",
            )
        axes.axhline(tolerance, color="#999999", lw=0.9, ls=":", label="near enough")
        axes.set(xlabel="policies tried", ylabel="distance of feature expectations")
        positive = values[values > 0]
        if len(positive) and positive.max() > 20 * max(tolerance, 1e-300):
            axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
        return svg(figure, "margins")


def expectations(names: Sequence[str], expert: np.ndarray, mixture: np.ndarray, single: np.ndarray) -> bytes:
    """Feature expectations of the expert, of the mixture, and of the best single policy."""
    with mpl.rc_context(STYLE):
        figure, axes, y = rows(names, "expected sum over an episode, discounted")
        axes.axvline(0, color="#bbbbbb", lw=0.8)
        axes.plot(expert, y, "D", mfc="none", mec=RED, ms=10, mew=1.6, ls="", label="expert")
        axes.plot(mixture, y, "o", color=BLUE, ms=6, ls="", label="mixture")
        axes.plot(single, y, "|", color=GREEN, ms=14, mew=2, ls="", label="best single policy")
        legend(axes)
        return svg(figure, "expectations")


def gap(history: np.ndarray, bound: float) -> bytes:
    """The objective at each evaluation, the best so far, and the bound below which it cannot go."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 3.2), layout="constrained")
        axes = figure.subplots()
        step = np.arange(1, len(history) + 1)
        over = np.asarray(history) - bound
        over = np.maximum(over, ROUNDING * over.max())
        best = np.minimum.accumulate(over)
        axes.plot(step, over, ".", color="#999999", ms=5, label="at each evaluation")
        axes.plot(step, best, "-", color=BLUE, lw=1.8, label="best so far")
        if best[-1] > 0 and over.max() > 20 * best[-1]:
            axes.set_yscale("log")
        else:
            axes.set_ylim(0, None)
        axes.set(xlabel="evaluations", ylabel="above the proven bound")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        return svg(figure, "gap")


def _one_map(mdp: TabularMDP):
    wide, high = maps.extent(mdp)
    figure = Figure(figsize=(6.2, float(np.clip(4.9 * high / wide, 1.6, 8)) + 0.6), layout="constrained")
    return figure, figure.subplots()


def _bar(figure: Figure, axes, drawn, label: str) -> None:
    bar = figure.colorbar(drawn, ax=axes, shrink=0.72, aspect=22, pad=0.02)
    bar.set_label(label)
    bar.outline.set_visible(False)
