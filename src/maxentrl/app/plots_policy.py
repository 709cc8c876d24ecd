"""Pictures of what an agent does, where a picture can hold it: phase planes, fields of actions, strips of film."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from maxentrl.app.maps import INK
from maxentrl.app.plots import BLUE, GREEN, RED, STYLE, svg
from maxentrl.app.saved_agents import Policy
from maxentrl.core.contracts import Env
from maxentrl.core.spaces import Discrete
from maxentrl.envs.multigoal import GOALS, HALF, NEAR

GRID = 81
"""Points of a phase plane, each way."""

FRAMES = 8
"""Frames of a strip of film."""

ROLLOUTS = 40
"""Episodes drawn into a field of actions."""


def pictures(policies: Sequence[Policy], site: Any) -> dict[str, bytes]:
    """What can be drawn of the first seed's policy in this environment, by name of the picture."""
    policy, found = policies[0], {}
    if site.env is not None and site.env.name in DRAWN:
        found["policy"] = DRAWN[site.env.name](policy, site.env)
    if site.env is None and site.named:
        strip = filmstrip(policy, site)
        if strip is not None:
            found["film"] = strip
    return found


def pendulum_plane(policy: Policy, env: Env) -> bytes:
    """Torque of the most likely action at each angle and speed, with four episodes of most likely actions."""
    angle, speed = np.meshgrid(np.linspace(-np.pi, np.pi, GRID), np.linspace(-8, 8, GRID))
    seen = np.stack([np.cos(angle), np.sin(angle), speed], -1).reshape(-1, 3).astype(np.float32)
    torque = policy.act(seen)[:, 0].reshape(angle.shape)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.6, 4.6), layout="constrained")
        axes = figure.subplots()
        drawn = axes.pcolormesh(
            angle, speed, torque, cmap="RdBu", vmin=-2, vmax=2, shading="nearest", rasterized=True
        )
        for seed in range(4):
            lived = _states(policy, env, jax.random.key(seed, impl="threefry2x32"))
            path = np.arctan2(lived[:, 1], lived[:, 0])
            # A turn through hanging down leaves the picture on one side and comes back on the other.
            jumps = np.abs(np.diff(path)) > np.pi
            path = np.where(np.append(jumps, False), np.nan, path)
            axes.plot(path, lived[:, 2], color=INK, lw=0.9, alpha=0.75)
            axes.plot(path[:1], lived[:1, 2], "o", color=INK, ms=4)
        ticks = np.array([-1, -0.5, 0, 0.5, 1]) * np.pi
        axes.set(xticks=ticks, xticklabels=["−π\nhanging", "−π/2", "0\nupright", "π/2", "π\nhanging"])
        axes.set(xlabel="angle", ylabel="speed (radians per second)", title="the torque it chooses")
        bar = figure.colorbar(drawn, ax=axes, shrink=0.85, aspect=24)
        bar.set_label("torque of the most likely action (newton metres)")
        bar.outline.set_visible(False)
        return svg(figure, "pendulum")


def multigoal_field(policy: Policy, env: Env) -> bytes:
    """Most likely actions as arrows, and episodes drawn from the policy, from the origin."""
    x, y = np.meshgrid(np.linspace(-6.5, 6.5, 14), np.linspace(-6.5, 6.5, 14))
    act = policy.act(np.stack([x, y], -1).reshape(-1, 2).astype(np.float32)).reshape(*x.shape, 2)
    longest = max(float(np.abs(act).max()), 1e-6)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 5.6), layout="constrained")
        axes = figure.subplots()
        axes.quiver(
            x,
            y,
            act[..., 0],
            act[..., 1],
            color=BLUE,
            alpha=0.75,
            angles="xy",
            width=0.0045,
            scale=14 * longest,
        )
        for seed in range(ROLLOUTS):
            key = jax.random.key(seed, impl="threefry2x32")
            lived = _states(policy, env, key, drawn=True)
            axes.plot(*lived.T, color=RED, lw=0.8, alpha=0.5)
        for goal in GOALS:
            axes.add_patch(Circle(goal, NEAR, color=GREEN, alpha=0.3, lw=0))
            axes.plot(*goal, "*", color=GREEN, ms=11)
        axes.set(xlim=(-HALF, HALF), ylim=(-HALF, HALF), aspect="equal", xlabel="x", ylabel="y")
        axes.set_title(f"what it does, and {ROLLOUTS} episodes drawn from it")
        return svg(figure, "multigoal")


def mountain_plane(policy: Policy, env: Env) -> bytes:
    """The most likely action at each place and speed, with most likely episodes."""
    assert env.observation is not None and not isinstance(env.observation, Discrete)
    low, high = env.observation.low, env.observation.high
    place, speed = np.meshgrid(np.linspace(low[0], high[0], GRID), np.linspace(low[1], high[1], GRID))
    act = np.asarray(policy.act(np.stack([place, speed], -1).reshape(-1, 2).astype(np.float32)), float)
    discrete = isinstance(policy.action, Discrete)
    push = (act - 1 if discrete else act[:, 0]).reshape(place.shape)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.6, 4.4), layout="constrained")
        axes = figure.subplots()
        drawn = axes.pcolormesh(
            place, speed, push, cmap="RdBu", vmin=-1, vmax=1, shading="nearest", rasterized=True
        )
        for seed in range(4):
            lived = _states(policy, env, jax.random.key(seed, impl="threefry2x32"))
            axes.plot(*lived.T, color=INK, lw=0.9, alpha=0.75)
            axes.plot(*lived[0], "o", color=INK, ms=4)
        axes.set(xlabel="place", ylabel="speed", title="where it pushes")
        bar = figure.colorbar(drawn, ax=axes, shrink=0.85, aspect=24)
        bar.set_label("push of the most likely action (left −, right +)")
        bar.outline.set_visible(False)
        return svg(figure, "mountain")


def filmstrip(policy: Policy, site: Any) -> bytes | None:
    """One episode of most likely actions, from left to right and row by row; None where nothing renders."""
    from maxentrl.envs.film import film

    frames = film(site.name, site.arguments, policy.act_on_rows, 2**31 - 1, FRAMES)
    if not frames:
        return None
    with mpl.rc_context(STYLE):
        columns = min(4, len(frames))
        rows = -(-len(frames) // columns)
        high, wide = frames[0].shape[:2]
        figure = Figure(figsize=(9, 9 / columns * high / wide * rows + 0.1), layout="constrained")
        for i, axes in enumerate(np.atleast_1d(figure.subplots(rows, columns)).flat):
            axes.axis("off")
            if i < len(frames):
                axes.imshow(frames[i], interpolation="antialiased")
        return svg(figure, "film")


def _states(policy: Policy, env: Env, key, *, drawn: bool = False) -> np.ndarray:
    """What is seen in one episode [T, d], of most likely actions or of drawn ones."""
    reset, step = jax.jit(env.reset), jax.jit(env.step)
    key, first = jax.random.split(key)
    state, seen = reset(first)
    found = [np.asarray(seen)]
    for _ in range(env.limit or 200):
        key, choose, move = jax.random.split(key, 3)
        action = policy.act(np.asarray(seen), choose if drawn else None)
        state, answer = step(move, state, action)
        seen = answer.observation
        found.append(np.asarray(seen))
        if bool(answer.terminated | answer.truncated):
            break
    return np.array(found)


DRAWN: dict[str, Callable[[Policy, Env], bytes]] = {
    "pendulum": pendulum_plane,
    "multigoal": multigoal_field,
    "mountain_car": mountain_plane,
    "mountain_car_discrete": mountain_plane,
}
"""Which picture belongs to which environment of ours."""
