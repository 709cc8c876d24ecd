"""Pictures for reports, as SVG documents that are the same bytes each time they are drawn.

Colours are those of Okabe and Ito (2008), told apart by every kind of colour vision; maps run from light (little) to
dark (much) in one hue, so they also survive a grey printer.
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
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure

from maxentrl.models.tabular import Sparse, TabularMDP

BLUE, ORANGE, GREEN, RED, INK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#333333"
WALL = "#d9d9d9"
STYLE = {
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
VECTOR_CELLS = 2_500
"""Maps with more cells than this are embedded as pixels, or the page becomes slow to open."""
DEPTH = 15.0
"""How far below its largest value a message is drawn, nats; what is less is left white."""
MARKED = 40
"""Maps with more columns or rows than this show colours only."""
BARS = 12
"""States listed where there is no map."""


def has_map(mdp: TabularMDP) -> bool:
    """Whether every state has its own place on a grid of whole numbers, with room to draw it."""
    if mdp.coordinates is None:
        return False
    place = np.asarray(mdp.coordinates)
    whole = np.isfinite(place).all() and np.array_equal(place, np.round(place))
    return bool(
        whole and len(np.unique(place, axis=0)) == len(place) and np.prod(np.ptp(place, axis=0) + 1) <= 1e6
    )


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
        if not has_map(mdp):
            figure = Figure(figsize=(9, 3.6), layout="constrained")
            for axes, (title, _, log_p, hue) in zip(figure.subplots(1, 3), parts, strict=True):
                _bars(axes, mdp, _share(log_p), mpl.colormaps[hue](0.7), "share of the whole")
                axes.set_title(title)
            return _svg(figure, "messages")
        wide, high = _extent(mdp)
        figure = Figure(figsize=(9, min(2.9 * high / wide, 7) + 1.5), layout="constrained")
        for axes, (title, note, log_p, hue) in zip(figure.subplots(1, 3), parts, strict=True):
            below = np.asarray(log_p, float) - np.max(log_p)
            drawn = _field(axes, mdp, np.where(below > -DEPTH, below, np.nan), hue, low=-DEPTH)
            axes.set_title(f"{title}\n{note}", fontsize=9.5)
            _marks(axes, mdp)
            bar = figure.colorbar(drawn, ax=axes, orientation="horizontal", shrink=0.9, aspect=25, pad=0.03)
            bar.set_label("nats below the largest")
            bar.ax.locator_params(nbins=4)
            bar.outline.set_visible(False)
        return _svg(figure, "messages")


def plan(mdp: TabularMDP, v, log_policy, visits) -> bytes:
    """Values [S] with the policy [S, A] as arrows, and expected visits [S], as maps; or the states that matter most."""
    v, policy, visits = np.asarray(v), np.exp(np.asarray(log_policy)), np.asarray(visits)
    with mpl.rc_context(STYLE):
        if not has_map(mdp):
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
            return _svg(figure, "plan")
        wide, high = _extent(mdp)
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
            drawn = _field(axes, mdp, field, hue, low, ceiling=0.75)
            axes.set_title(title)
            bar = figure.colorbar(drawn, ax=axes, shrink=0.72, aspect=22, pad=0.02)
            bar.set_label(label)
            bar.outline.set_visible(False)
            _marks(axes, mdp)
        _arrows(left, mdp, policy)
        return _svg(figure, "plan")


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
        return _svg(figure, "sweep")


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
        return _svg(figure, "lottery")


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
        return _svg(figure, "optimism")


def weights(names: Sequence[str], estimate, standard_error, truth=None) -> bytes:
    """Recovered weights with 95 % intervals (1.96 standard errors), and the true ones where they are known."""
    estimate, error = np.asarray(estimate, float), 1.96 * np.asarray(standard_error, float)
    error = np.where(np.isfinite(error), error, 0.0)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 1.15 + 0.42 * len(names)), layout="constrained")
        axes = figure.subplots()
        y = np.arange(len(names))[::-1]
        axes.axvline(0, color="#bbbbbb", lw=0.8)
        axes.errorbar(
            estimate, y, xerr=error, fmt="o", color=BLUE, capsize=4, label="recovered, 95 % interval"
        )
        if truth is not None:
            axes.plot(truth, y, "D", mfc="none", mec=RED, ms=10, mew=1.6, ls="", label="true")
        axes.set(
            yticks=y,
            yticklabels=list(names),
            ylim=(-0.6, len(names) - 0.4),
            xlabel="weight (units of reward)",
        )
        axes.tick_params(axis="y", length=0)
        axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2)
        return _svg(figure, "weights")


def _share(log_p) -> np.ndarray:
    """Log-weights [S] as shares of their sum."""
    log_p = np.asarray(log_p, float)
    top = np.max(log_p)
    share = np.exp(log_p - (top if np.isfinite(top) else 0.0))
    return share / max(share.sum(), np.finfo(float).tiny)


def _extent(mdp: TabularMDP) -> tuple[int, int]:
    """Columns and rows of the map."""
    wide, high = np.ptp(np.asarray(mdp.coordinates), axis=0) + 1
    return int(wide), int(high)


def _field(axes: Axes, mdp: TabularMDP, values, hue: str, low: float | None, ceiling: float = 0.9):
    """Values [S] as coloured cells. Places without a state are walls."""
    place = np.asarray(mdp.coordinates).astype(int)
    corner = place.min(0)
    wide, high = _extent(mdp)
    cells = np.full((high, wide), np.nan)
    cells[place[:, 1] - corner[1], place[:, 0] - corner[0]] = values
    wall = np.ones((high, wide), bool)
    wall[place[:, 1] - corner[1], place[:, 0] - corner[0]] = False
    x, y = np.arange(wide + 1) + corner[0] - 0.5, np.arange(high + 1) + corner[1] - 0.5
    shades = LinearSegmentedColormap.from_list("shades", mpl.colormaps[hue](np.linspace(0, ceiling, 256)))
    pixels = cells.size > VECTOR_CELLS
    look = {"rasterized": pixels, "linewidth": 0 if pixels else 0.6}
    axes.pcolormesh(x, y, np.where(wall, 1.0, np.nan), cmap=ListedColormap([WALL]), **look)
    drawn = axes.pcolormesh(
        x, y, cells, cmap=shades, vmin=low, edgecolor="none" if pixels else "#e8e8e8", **look
    )
    axes.set(aspect="equal", xlim=(x[0], x[-1]), ylim=(y[-1], y[0]), xlabel="column", ylabel="row")
    for axis, count, first in ((axes.xaxis, wide, corner[0]), (axes.yaxis, high, corner[1])):
        axis.set_ticks(np.arange(first, first + count, max(1, math.ceil(count / 8))))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return drawn


def _marks(axes: Axes, mdp: TabularMDP) -> None:
    """A circle where the process can start, a square frame where it ends."""
    wide, high = _extent(mdp)
    if max(wide, high) > MARKED:
        return
    initial, terminal = np.asarray(mdp.initial), np.asarray(mdp.terminal)
    place = np.asarray(mdp.coordinates)
    size = float(np.clip(50 / max(wide, high), 3, 9)) ** 2
    if (initial > 0).sum() <= 4:
        axes.scatter(*place[initial > 0].T, s=size, facecolor="none", edgecolor=INK, linewidth=1.4, zorder=3)
    best = terminal & (_arrival_reward(mdp) > 0)
    axes.scatter(
        *place[terminal & ~best].T, marker="x", s=0.6 * size, color="#888888", linewidth=1.3, zorder=3
    )
    axes.scatter(*place[best].T, marker="*", s=2.5 * size, color=INK, linewidth=0, zorder=3)


def _arrival_reward(mdp: TabularMDP) -> np.ndarray:
    """The best mean reward of an action that can lead into each state [S]."""
    reward = np.asarray(mdp.reward)
    reward = reward.mean(0) if reward.ndim == 3 else reward
    best = np.full(mdp.states, -np.inf)
    state, action, state_next = _edges(mdp)[:3]
    np.maximum.at(best, state_next, reward[state, action])
    return best


def _edges(mdp: TabularMDP):
    """Possible transitions of live states as flat arrays: state, action, next state, probability."""
    live = ~np.asarray(mdp.terminal)
    if isinstance(mdp.transition, Sparse):
        p = np.asarray(mdp.transition.probability) * live
        action, slot, state = np.nonzero(p)
        return (
            state,
            action,
            np.asarray(mdp.transition.successor)[action, slot, state],
            p[action, slot, state],
        )
    p = np.asarray(mdp.transition.probability) * live[:, None, None]
    state, action, state_next = np.nonzero(p)
    return state, action, state_next, p[state, action, state_next]


def _arrows(axes: Axes, mdp: TabularMDP, policy: np.ndarray) -> None:
    """One arrow per action in the action's usual direction, longer the more probable it is; a dot for staying.

    The direction is the median, over the states that it moves, of where the action leads on average: walls and
    slips do not bend it.
    """
    wide, high = _extent(mdp)
    if max(wide, high) > MARKED:
        return
    cell = 230 / max(wide, high)
    place = np.asarray(mdp.coordinates)
    state, action, state_next, p = _edges(mdp)
    drift = np.zeros((mdp.states, mdp.actions, 2))
    np.add.at(drift, (state, action), p[:, None] * (place[state_next] - place[state]))
    live = np.flatnonzero(~np.asarray(mdp.terminal))
    for a in range(mdp.actions):
        moved = drift[live, a][np.abs(drift[live, a]).max(1) > 1e-6]
        direction = np.median(moved, axis=0) if len(moved) else np.zeros(2)
        length = float(np.hypot(*direction))
        shown = live[policy[live, a] > 0.04]
        if length < 1e-6:
            axes.scatter(*place[shown].T, s=30 * policy[shown, a], color=INK, zorder=2)
            continue
        reach = 0.4 * np.sqrt(policy[shown, a])
        tip = place[shown] + reach[:, None] * direction / length
        axes.add_collection(
            LineCollection(np.stack([place[shown], tip], 1), colors=INK, linewidths=0.028 * cell, zorder=2)
        )
        # Rows count downward, so an angle on the page is that of (x, -y); the triangle of a marker points up.
        head = (3, 0, math.degrees(math.atan2(-direction[1], direction[0])) - 90)
        axes.scatter(*tip.T, marker=head, s=(0.38 * cell * reach) ** 2, color=INK, linewidth=0, zorder=2)


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


def _svg(figure: Figure, salt: str) -> bytes:
    """The figure as SVG, without the date and with ids that do not change from run to run."""
    target = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        FigureCanvasSVG(figure).print_svg(
            target, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    return target.getvalue()
