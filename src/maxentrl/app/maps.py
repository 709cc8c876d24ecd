"""Problems on a grid, drawn as maps: coloured cells, walls, start and ends, and a policy as arrows."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, ListedColormap

from maxentrl.models.tabular import TabularMDP
from maxentrl.models.transition import Sparse

INK, WALL = "#333333", "#d9d9d9"
VECTOR_CELLS = 2_500
"""Maps with more cells than this are embedded as pixels, or the page becomes slow to open."""
MARKED = 40
"""Maps with more columns or rows than this show colours only."""


def has_map(mdp: TabularMDP) -> bool:
    """Whether every state has its own place on a grid of whole numbers, with room to draw it."""
    if mdp.coordinates is None:
        return False
    place = np.asarray(mdp.coordinates)
    whole = np.isfinite(place).all() and np.array_equal(place, np.round(place))
    return bool(
        whole and len(np.unique(place, axis=0)) == len(place) and np.prod(np.ptp(place, axis=0) + 1) <= 1e6
    )


def extent(mdp: TabularMDP) -> tuple[int, int]:
    """Columns and rows of the map."""
    wide, high = np.ptp(np.asarray(mdp.coordinates), axis=0) + 1
    return int(wide), int(high)


def field(axes: Axes, mdp: TabularMDP, values, hue: str, low: float | None, ceiling: float = 0.9):
    """Values [S] as coloured cells. Places without a state are walls."""
    place = np.asarray(mdp.coordinates).astype(int)
    corner = place.min(0)
    wide, high = extent(mdp)
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


def marks(axes: Axes, mdp: TabularMDP) -> None:
    """A circle where the process can start, a square frame where it ends."""
    wide, high = extent(mdp)
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


def arrows(axes: Axes, mdp: TabularMDP, policy: np.ndarray) -> None:
    """One arrow per action in its usual direction, longer the more probable it is; a dot for staying.

    The direction is the median, over the states that it moves, of where the action leads on average: walls
    and slips do not bend it.
    """
    wide, high = extent(mdp)
    if max(wide, high) > MARKED:
        return
    cell = 230 / max(wide, high)
    place = np.asarray(mdp.coordinates)
    live = np.flatnonzero(~np.asarray(mdp.terminal))
    for a, direction in enumerate(_usual_steps(mdp)):
        length = math.hypot(*direction.tolist())
        shown = live[policy[live, a] > 0.04]
        if length < 1e-6:
            axes.scatter(*place[shown].T, s=30 * policy[shown, a], color=INK, zorder=2)
            continue
        reach = 0.4 * np.sqrt(policy[shown, a])
        tip = place[shown] + reach[:, None] * direction / length
        axes.add_collection(
            LineCollection(
                list(np.stack([place[shown], tip], 1)), colors=INK, linewidths=0.028 * cell, zorder=2
            )
        )
        # Rows count downward, so an angle on the page is that of (x, -y); the triangle of a marker points up.
        angle = math.degrees(math.atan2(-direction[1], direction[0])) - 90
        head: Any = (3, 0, angle)
        axes.scatter(*tip.T, marker=head, s=(0.38 * cell * reach) ** 2, color=INK, linewidth=0, zorder=2)


def _usual_steps(mdp: TabularMDP) -> np.ndarray:
    """[A, 2]; the median, over the live states that an action moves, of where it leads on average."""
    place = np.asarray(mdp.coordinates)
    state, action, state_next, p = _edges(mdp)
    drift = np.zeros((mdp.states, mdp.actions, 2))
    np.add.at(drift, (state, action), p[:, None] * (place[state_next] - place[state]))
    live = np.flatnonzero(~np.asarray(mdp.terminal))
    steps = np.zeros((mdp.actions, 2))
    for a in range(mdp.actions):
        moved = drift[live, a][np.abs(drift[live, a]).max(1) > 1e-6]
        steps[a] = np.median(moved, axis=0) if len(moved) else 0.0
    return steps


def moves_at(mdp: TabularMDP, state: int) -> np.ndarray | None:
    """Where the actions of a terminal state would lead [A, S]: as its own rows say, if they leave it; else, on a
    map, to the place as far off as each action usually leads, or nowhere if there is none. None where neither is
    known.
    """
    own = _rows_of(mdp, state)
    if np.allclose(own.sum(1)[own.any(1)], 1) and own.any() and own[:, state].sum() < own.sum():
        return own
    if not has_map(mdp):
        return None
    place = np.asarray(mdp.coordinates)
    number = {tuple(where): s for s, where in enumerate(place.tolist())}
    rows = np.zeros((mdp.actions, mdp.states))
    for a, step in enumerate(_usual_steps(mdp)):
        rows[a, number.get(tuple((place[state] + np.round(step)).tolist()), state)] = 1.0
    return rows if rows[:, state].sum() < mdp.actions else None


def _rows_of(mdp: TabularMDP, state: int) -> np.ndarray:
    """P(. | state, a) [A, S], also of a terminal state."""
    if isinstance(mdp.transition, Sparse):
        rows = np.zeros((mdp.actions, mdp.states))
        successor, p = (
            np.asarray(x)[:, :, state] for x in (mdp.transition.successor, mdp.transition.probability)
        )
        np.add.at(rows, (np.arange(mdp.actions)[:, None], successor), p)
        return rows
    return np.array(mdp.transition.probability)[state]
