"""Road networks, drawn: rewards and flows on a map, predicted flows against observed ones, scores of drivers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from maxentrl.app.plots import BLUE, GREEN, ORANGE, RED, STYLE, rows, svg
from maxentrl.models.network import Network

VECTOR_STROKES = 3_000
"""Pictures with more strokes or points than this are embedded as pixels, or the page becomes slow to open."""
ROAD = "#dcdad4"
SIDE = 0.0016
"""How far, in widths of the map, a road is drawn to the right of where it is, to tell the two directions apart."""


class Strokes(NamedTuple):
    """What stands for a network on a map: a line for each link where its ends are known, else for each arc, from the
    middle of a link to the middle of the next.

    lines: [n, 2, 2]. of_arc: [E] the line to which each arc belongs, -1 for none. by_link: whether lines are links.
    """

    lines: np.ndarray
    of_arc: np.ndarray
    by_link: bool

    def summed(self, values: np.ndarray) -> np.ndarray:
        """[n]: values of arcs [E], summed over the arcs of each line."""
        drawn = self.of_arc >= 0
        return np.bincount(self.of_arc[drawn], values[drawn], minlength=len(self.lines))

    def averaged(self, values: np.ndarray) -> np.ndarray:
        """[n]: their mean, NaN for a line without arcs."""
        with np.errstate(invalid="ignore"):
            return self.summed(values) / self.summed(np.ones(len(values)))


def strokes(network: Network, ends: np.ndarray | None) -> Strokes | None:
    """The lines of a map, or None where no place is known.

    Args:
        ends: [L, 2, 2] where each link begins and ends; unless given, the network's own coordinates serve.
    """
    if ends is not None:
        return Strokes(_beside(ends), network.arc_to, by_link=True)
    if network.coordinates is None:
        return None
    lines = network.coordinates[np.stack([network.arc_from, network.arc_to], 1)]
    known = np.isfinite(lines).all((1, 2))
    if not known.any():
        return None
    return Strokes(
        _beside(lines[known]), np.where(known, np.cumsum(known) - 1, -1).astype(np.int64), by_link=False
    )


def _beside(lines: np.ndarray) -> np.ndarray:
    """Lines moved a little to the right of their direction."""
    along = lines[:, 1] - lines[:, 0]
    length = np.hypot(*along.T)
    right = np.stack([along[:, 1], -along[:, 0]], 1) / np.where(length > 0, length, 1.0)[:, None]
    return lines + SIDE * float(np.ptp(lines.reshape(-1, 2), axis=0).max()) * right[:, None]


def reward_and_misfit(drawing: Strokes, reward: np.ndarray, misfit: np.ndarray) -> bytes:
    """Map of rewards [E], and of predicted less observed flows [E], side by side."""
    with mpl.rc_context(STYLE):
        figure, (left, right) = _maps(drawing, 2)
        level = drawing.averaged(reward)
        known = np.isfinite(level)
        low, high = np.quantile(level[known], [0.02, 0.98])
        hues = LinearSegmentedColormap.from_list(
            "roads", mpl.colormaps["viridis_r"](np.linspace(0.06, 1, 256))
        )
        where = np.flatnonzero(known)[np.argsort(level[known], kind="stable")]
        drawn = _lines(left, drawing.lines[where], level[where], hues, Normalize(low, high), 1.3)
        what = "entering a link, mean over turns" if drawing.by_link else "of an arc"
        _bar(figure, left, drawn, f"reward {what}", "both")
        left.set_title("reward recovered")
        _flows(figure, right, drawing, misfit, "predicted less observed (trips)")
        right.set_title("flows: too many predicted, or too few")
        return svg(figure, "roads")


def changes(drawing: Strokes, shift: np.ndarray, closed: np.ndarray) -> bytes:
    """Map of the change of flows [E]; closed arcs are crossed out."""
    with mpl.rc_context(STYLE):
        figure, (axes,) = _maps(drawing, 1)
        _flows(figure, axes, drawing, shift, "after less before (trips)")
        at = drawing.of_arc[closed]
        places = drawing.lines[at[at >= 0]]
        # An arc is a way into a link: it is closed where that link begins.
        places = places[:, 0] if drawing.by_link else places.mean(1)
        if len(places):
            axes.scatter(*places.T, marker="x", s=90, color="#222222", linewidth=2.2, zorder=4)
        axes.set_title("how flows change")
        return svg(figure, "changes")


def scatter(observed: np.ndarray, predicted: np.ndarray) -> bytes:
    """Predicted against observed flows of arcs, on logarithmic axes that go linearly to 0 below 1."""
    shown = (observed > 0) | (predicted >= 0.5)
    x, y = predicted[shown], observed[shown]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.2, 5.6), layout="constrained")
        axes = figure.subplots()
        top = 1.25 * float(max(x.max(initial=1.0), y.max(initial=1.0)))
        band = np.concatenate([np.linspace(0, 1, 40), np.geomspace(1, top, 160)])
        axes.fill_between(
            band,
            np.maximum(band - 1.96 * np.sqrt(band), 0),
            band + 1.96 * np.sqrt(band),
            color="#eeeae0",
            lw=0,
            label="where 95 % would lie by chance",
        )
        axes.plot([0, top], [0, top], color="#888888", lw=1)
        axes.scatter(
            x, y, s=11, color=BLUE, alpha=0.45, linewidth=0, rasterized=len(x) > VECTOR_STROKES, zorder=2
        )
        axes.set_xscale("symlog", linthresh=1, linscale=0.5)
        axes.set_yscale("symlog", linthresh=1, linscale=0.5)
        axes.set(
            xlim=(0, top),
            ylim=(-0.06, top),
            xlabel="predicted (trips on an arc)",
            ylabel="observed (trips on an arc)",
        )
        for axis in (axes.xaxis, axes.yaxis):
            ticks = [0, *(10**k for k in range(int(np.log10(top)) + 1))]
            axis.set_ticks(ticks, [str(tick) for tick in ticks])
            axis.set_ticks([], minor=True)
        axes.legend(loc="upper left")
        return svg(figure, "flows")


def scores(found: Sequence[Mapping[str, Any]]) -> bytes:
    """Log-likelihood per trip of each way to foretell trips, with 95 % intervals; further right is better."""
    with mpl.rc_context(STYLE):
        figure, axes, y = rows([row["name"] for row in found], "log-likelihood per trip (nats)")
        for at, row in zip(y, found, strict=True):
            color = BLUE if at == len(found) - 1 else "#888888"
            half = row["high"] - row["per_trip"]
            axes.errorbar(
                row["per_trip"], at, xerr=half if np.isfinite(half) else None, fmt="o", color=color, capsize=4
            )
            axes.annotate(
                f"{row['per_trip']:.3f}".replace("-", "−"),
                (row["per_trip"], at),
                xytext=(0, 7),
                textcoords="offset points",
                ha="center",
                fontsize=9,
                color=color,
            )
        axes.margins(x=0.12)
        return svg(figure, "scores")


def training(histories: Sequence[tuple[np.ndarray, np.ndarray | None, int]], baseline: float | None) -> bytes:
    """Log-likelihood per decision along the training of networks.

    Args:
        histories: of each network: training [steps + 1], validation or None, the step that was kept.
        baseline: of what the search began with on the training trips.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 3.4), layout="constrained")
        axes = figure.subplots()
        for number, (train, checked, kept) in enumerate(histories):
            label = number == 0
            axes.plot(train, color=ORANGE, lw=1.4, label="trips of the fit" if label else None)
            if checked is not None:
                axes.plot(checked, color=BLUE, lw=1.4, label="trips of validation" if label else None)
            best = train if checked is None else checked
            axes.plot(kept, best[kept], "o", color=GREEN, ms=6, label="kept" if label else None, zorder=3)
        if baseline is not None:
            axes.axhline(baseline, color="#888888", lw=0.9, ls=":", label="linear reward, trips of the fit")
        axes.set(xlabel="step", ylabel="nats per decision")
        axes.legend(loc="lower right")
        return svg(figure, "training")


def _maps(drawing: Strokes, count: int) -> tuple[Figure, list[Axes]]:
    """A figure with maps side by side, or below each other where they are wide."""
    low, high = _extent(drawing.lines)
    wide, tall = (high - low).tolist()
    ratio = float(np.clip(tall / wide if wide > 0 else 1.0, 0.2, 2.5))
    stacked = count > 1 and ratio < 0.5
    if count == 1:
        size = (7.5, min(7.2 * ratio, 9) + 0.9)
    else:
        size = (9, 2 * (8.6 * ratio + 0.9)) if stacked else (9, min(4.4 * ratio, 9) + 1.2)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(*((count, 1) if stacked else (1, count)), squeeze=False).ravel().tolist()
    for each in axes:
        each.set(aspect="equal", xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        each.axis("off")
    outside = int(((drawing.lines > high) | (drawing.lines < low)).any((1, 2)).sum())
    if outside:
        note = f"{outside} of {len(drawing.lines)} lie further off and are cut"
        axes[0].text(0.0, 0.0, note, transform=axes[0].transAxes, fontsize=8, color="#888888")
    return figure, axes


def _extent(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower left and upper right corner of a map that a few lines far off do not shrink."""
    ends = lines.reshape(-1, 2)
    low, high = np.quantile(ends, [0.004, 0.996], axis=0)
    room = 0.08 * float((high - low).max())
    margin = 0.02 * float(np.ptp(ends, axis=0).max())
    return np.maximum(low - room, ends.min(0) - margin), np.minimum(high + room, ends.max(0) + margin)


def _flows(figure: Figure, axes: Axes, drawing: Strokes, values: np.ndarray, label: str) -> None:
    """Differences of flows as coloured lines, wide where large, on all roads in grey."""
    amount = drawing.summed(values)
    moved = np.abs(amount[np.abs(amount) > 1e-6])
    # The full colours are for the largest hundredth, so that one road does not leave all others pale.
    most = float(np.quantile(moved, 0.99)) if len(moved) else 1.0
    _lines(axes, drawing.lines, None, None, None, 0.5)
    order = np.argsort(np.abs(amount), kind="stable")
    order = order[np.abs(amount[order]) > 0.01 * most]
    hues = LinearSegmentedColormap.from_list("misfit", [RED, "#eeb999", "#e3e0da", "#a3c8e2", BLUE])
    width = 0.4 + 4.0 * np.sqrt(np.minimum(np.abs(amount[order]) / most, 1.0))
    drawn = _lines(axes, drawing.lines[order], amount[order], hues, Normalize(-most, most), width)
    _bar(figure, axes, drawn, label, "both")


def _lines(axes: Axes, lines: np.ndarray, values, hues, norm, width) -> LineCollection:
    many = len(lines) > VECTOR_STROKES
    look: dict[str, Any] = {"colors": ROAD} if values is None else {"cmap": hues, "norm": norm}
    drawn = LineCollection(list(lines), linewidths=width, capstyle="round", rasterized=many, **look)
    if values is not None:
        drawn.set_array(values)
    axes.add_collection(drawn, autolim=False)
    return drawn


def _bar(figure: Figure, axes: Axes, drawn, label: str, extend: Any) -> None:
    bar = figure.colorbar(
        drawn, ax=axes, orientation="horizontal", shrink=0.7, aspect=28, pad=0.02, extend=extend
    )
    bar.set_label(label)
    bar.ax.locator_params(nbins=6)
    bar.outline.set_visible(False)
