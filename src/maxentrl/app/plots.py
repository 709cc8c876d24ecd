"""Pictures for reports, as SVG documents that are the same bytes each time they are drawn.

Colours are those of Okabe and Ito (2008), told apart by every kind of colour vision; maps run from light
(little) to dark (much) in one hue, so they also survive a grey printer.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from maxentrl.app import maps
from maxentrl.app.maps import INK
from maxentrl.models.tabular import TabularMDP

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": "#888888",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "image.cmap": "Blues",
}
DEPTH = 15.0
"""How far below its largest value a message is drawn, nats; what is less is left white."""
BARS = 12
"""States listed where there is no map."""


def messages(mdp: TabularMDP, log_forward, log_backward, log_state, time: int, horizon: int) -> bytes:
    """Forward message, backward message and their product at one time, [S] each in nats, side by side."""
    parts = [
        (r"forward  $\alpha_t = p(s_t, O_{1:t-1})$", "where one can be by then", log_forward, "Blues"),
        (
            r"backward  $\beta_t = p(O_{t:T} \mid s_t)$",
            "from where one can get there",
            log_backward,
            "Oranges",
        ),
        (
            r"product  $p(s_t \mid O_{1:T})$",
            f"where the two meet (t = {time + 1} of {horizon})",
            log_state,
            "Greens",
        ),
    ]
    with mpl.rc_context(STYLE):
        if not maps.has_map(mdp):
            figure = Figure(figsize=(9, 3.6), layout="constrained")
            for axes, (title, _, log_p, hue) in zip(figure.subplots(1, 3), parts, strict=True):
                _bars(axes, mdp, _share(log_p), mpl.colormaps[hue](0.7), "share of the whole")
                axes.set_title(title)
            return svg(figure, "messages")
        wide, high = maps.extent(mdp)
        figure = Figure(figsize=(9, min(2.9 * high / wide, 7) + 1.5), layout="constrained")
        for axes, (title, note, log_p, hue) in zip(figure.subplots(1, 3), parts, strict=True):
            below = np.asarray(log_p, float) - np.max(log_p)
            drawn = maps.field(axes, mdp, np.where(below > -DEPTH, below, np.nan), hue, low=-DEPTH)
            axes.set_title(f"{title}\n{note}", fontsize=9.5)
            maps.marks(axes, mdp)
            bar = figure.colorbar(drawn, ax=axes, orientation="horizontal", shrink=0.9, aspect=25, pad=0.03)
            bar.set_label("nats below the largest")
            bar.ax.locator_params(nbins=4)
            bar.outline.set_visible(False)
        return svg(figure, "messages")


def plan(mdp: TabularMDP, v, log_policy, visits) -> bytes:
    """Values [S] with the policy [S, A] as arrows, and expected visits [S], as maps or lists."""
    v, policy, visits = np.asarray(v), np.exp(np.asarray(log_policy)), np.asarray(visits)
    with mpl.rc_context(STYLE):
        if not maps.has_map(mdp):
            figure = Figure(figsize=(9, 3.8), layout="constrained")
            left, right = figure.subplots(1, 2)
            _bars(left, mdp, visits, BLUE, "expected visits (steps)")
            left.set_title("states visited most")
            order = np.argsort(-visits, kind="stable")[:BARS]
            _bars(right, mdp, v, ORANGE, "value (units of reward)", order)
            right.set_title("their values, and the action most probable there")
            for y, state in enumerate(order[::-1]):
                if not mdp.terminal[state]:
                    name = f" {mdp.action_name(int(np.argmax(policy[state])))} {policy[state].max():.2f} "
                    right.text(0, y, name, va="center", ha="left" if v[state] >= 0 else "right", fontsize=8.5)
            return svg(figure, "plan")
        wide, high = maps.extent(mdp)
        stacked = wide > 2.2 * high
        size = (9, 2 * 8 * high / wide + 2.2) if stacked else (9, min(3.45 * high / wide, 9) + 0.8)
        figure = Figure(figsize=size, layout="constrained")
        left, right = figure.subplots(2, 1) if stacked else figure.subplots(1, 2)
        live = np.where(np.asarray(mdp.terminal), np.nan, v)
        parts = (
            (left, live, "Oranges", "value and policy", "value (units of reward)", None),
            (right, visits, "Blues", "where the policy goes", "expected visits (steps)", 0.0),
        )
        for axes, field, hue, title, label, low in parts:
            drawn = maps.field(axes, mdp, field, hue, low, ceiling=0.75)
            axes.set_title(title)
            bar = figure.colorbar(drawn, ax=axes, shrink=0.72, aspect=22, pad=0.02)
            bar.set_label(label)
            bar.outline.set_visible(False)
            maps.marks(axes, mdp)
        maps.arrows(left, mdp, policy)
        return svg(figure, "plan")


def sweep(rows: Sequence[dict[str, Any]], hard_value: float | None, chosen: float | None = None) -> bytes:
    """Start value and policy entropy against temperature (log axis), with the hard limit marked."""
    rows = sorted(
        (row for row in rows if 0 < row["temperature"] < math.inf), key=lambda row: row["temperature"]
    )
    temperature = [row["temperature"] for row in rows]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.7), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot(temperature, [row["start_value"] for row in rows], "o-", color=BLUE, label="soft value")
        reward = [row["expected_reward"] for row in rows]
        left.plot(temperature, reward, "s--", color=ORANGE, label="reward alone")
        if hard_value is not None:
            left.axhline(hard_value, color=INK, lw=1, ls=":", label=f"hard limit {hard_value:.4g}")
        left.set(ylabel="at the start (units of reward)", title="what the plan is worth")
        left.legend(
            fontsize=9,
            loc="lower left",
            bbox_to_anchor=(-0.02, 1.08),
            ncols=3,
            columnspacing=1.2,
            handlelength=1.6,
        )
        right.plot(temperature, [row["policy_entropy"] for row in rows], "o-", color=GREEN)
        right.set(ylabel="nats per decision", title="entropy of the policy, where it goes")
        right.set_ylim(0, 1.08 * max(row["policy_entropy"] for row in rows))
        for axes in (left, right):
            axes.set(xscale="log", xlabel="temperature (units of reward)")
            if chosen is not None and 0 < chosen < math.inf:
                axes.axvline(chosen, color="#999999", lw=0.8)
        return svg(figure, "sweep")


def lottery(optimistic: float, variational: float) -> bytes:
    """Probability of the risky action under exact inference and under control."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 1.75), layout="constrained")
        axes = figure.subplots()
        names = ["exact inference\n(imagines luck)", "control\n(dynamics as given)"]
        axes.barh([1, 0], [optimistic, variational], color=[RED, BLUE], height=0.6)
        for y, value in zip([1, 0], [optimistic, variational], strict=True):
            axes.text(value + 0.012, y, f"{value:.3f}", va="center")
        axes.set(
            xlim=(0, 1), yticks=[1, 0], yticklabels=names, xlabel="probability of buying the risky ticket"
        )
        axes.tick_params(axis="y", length=0)
        return svg(figure, "lottery")


def optimism(names: Sequence[str], believed: Sequence[float], true: Sequence[float], label: str) -> bytes:
    """What each plan believes it will get, beside what it gets in the world as it is."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 1.0 + 0.62 * len(names)), layout="constrained")
        axes = figure.subplots()
        y = np.arange(len(names))[::-1]
        axes.barh(y + 0.18, believed, height=0.34, color=ORANGE, label="what it believes")
        axes.barh(y - 0.18, true, height=0.34, color=BLUE, label="what it gets")
        for offset, values in ((0.18, believed), (-0.18, true)):
            for at, value in zip(y, values, strict=True):
                axes.text(value + 0.012, at + offset, f"{value:.3f}", va="center", fontsize=9)
        axes.set(xlim=(0, 1.1), yticks=y, yticklabels=names, xlabel=label)
        axes.tick_params(axis="y", length=0)
        axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2)
        return svg(figure, "optimism")


def weights(names: Sequence[str], estimate, standard_error, truth=None) -> bytes:
    """Recovered weights with 95 % intervals (1.96 standard errors), and the true ones where known."""
    estimate, error = np.asarray(estimate, float), 1.96 * np.asarray(standard_error, float)
    with mpl.rc_context(STYLE):
        figure, axes, y = rows(names, "weight (units of reward)")
        axes.axvline(0, color="#bbbbbb", lw=0.8)
        intervals(axes, y, estimate, np.stack([estimate - error, estimate + error], 1))
        if truth is not None:
            axes.plot(truth, y, "D", mfc="none", mec=RED, ms=10, mew=1.6, ls="", label="true")
        legend(axes)
        return svg(figure, "weights")


def rows(names: Sequence[str], label: str) -> tuple[Figure, Axes, np.ndarray]:
    """A figure with a row for each name, from above; its axes; and the height [n] of each row."""
    figure = Figure(figsize=(7, 0.95 + 0.42 * len(names)), layout="constrained")
    axes, y = figure.subplots(), np.arange(len(names))[::-1]
    shown = [name if len(name) < 39 else f"{name[:37]}…" for name in names]
    axes.set(yticks=y, yticklabels=shown, ylim=(-0.6, len(names) - 0.4), xlabel=label)
    axes.tick_params(axis="y", length=0)
    return figure, axes, y


def legend(axes: Axes) -> None:
    """What the signs mean, above the rows, where it hides none of them."""
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.set_figheight(figure.get_figheight() + 0.25)
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=4)


def intervals(axes: Axes, y: np.ndarray, found: np.ndarray, ends: np.ndarray) -> None:
    """Numbers [n] in their rows, with 95 % intervals [n, 2]; those without an end are marked as not identified."""
    known = np.isfinite(ends).all(1)
    if known.any():
        reach = np.abs(ends[known] - found[known, None]).T
        look = {"fmt": "o", "color": BLUE, "capsize": 4, "label": "recovered, 95 % interval"}
        axes.errorbar(found[known], y[known], xerr=reach, **look)
    if not known.all():
        # A whisker that ended would claim an interval; these numbers have none.
        axes.hlines(y[~known], 0, 1, transform=axes.get_yaxis_transform(), color=RED, ls=":", lw=1.4)
        axes.plot(found[~known], y[~known], "o", mfc="white", mec=RED, ls="", label="not identified")


def _share(log_p) -> np.ndarray:
    """Log-weights [S] as shares of their sum."""
    log_p = np.asarray(log_p, float)
    top = np.max(log_p)
    share = np.exp(log_p - (top if np.isfinite(top) else 0.0))
    return share / max(share.sum(), np.finfo(float).tiny)


def _bars(axes: Axes, mdp: TabularMDP, values, color, label: str, order=None) -> None:
    """The states that stand out, by name, as horizontal bars."""
    order = np.argsort(-np.asarray(values), kind="stable")[:BARS] if order is None else order
    names = [mdp.state_name(int(s)) for s in order]
    axes.barh(np.arange(len(order))[::-1], np.asarray(values)[order], color=color, height=0.7)
    axes.set(
        yticks=np.arange(len(order))[::-1],
        yticklabels=[n if len(n) < 19 else n[:17] + "…" for n in names],
        xlabel=label,
    )
    axes.tick_params(axis="y", length=0)


def svg(figure: Figure, salt: str) -> bytes:
    """The figure as SVG, without the date and with ids that do not change from run to run."""
    target = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        FigureCanvasSVG(figure).print_svg(
            target, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    return target.getvalue()
