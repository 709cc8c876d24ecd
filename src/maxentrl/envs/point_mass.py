"""A point to be brought to rest at the origin, exactly linear and quadratic; and one that must pass a gap."""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from maxentrl.core.check import InputError, check_choice
from maxentrl.core.contracts import Env, Step
from maxentrl.core.spaces import box
from maxentrl.envs.limited import check_not_negative, check_positive, limited


class LinearQuadratic(NamedTuple):
    """A problem x' = A x + B u + w, w ~ N(0, W), with reward -(x' Q x + u' R u) / 2, x ~ N(0, X) at first.

    A: float64 [n, n]. B: [n, m]. W: [n, n]. Q: [n, n]. R: [m, m]. X: [n, n].
    """

    A: np.ndarray
    B: np.ndarray
    W: np.ndarray
    Q: np.ndarray
    R: np.ndarray
    X: np.ndarray


def point_mass_problem(
    *,
    driven_by: Literal["force", "velocity"] = "force",
    dimensions: int = 2,
    time_step: float = 0.1,
    speed_weight: float = 0.1,
    action_weight: float = 1.0,
    noise: float = 0.0,
    start_deviation: float = 1.0,
) -> LinearQuadratic:
    """The matrices of `point_mass` with the same settings, for an exact answer."""
    check_choice(driven_by, ("force", "velocity"), "point_mass: driven_by")
    if dimensions < 1:
        raise InputError(f"point_mass: dimensions must be at least 1; got {dimensions}.")
    check_positive("point_mass", time_step=time_step, action_weight=action_weight)
    check_not_negative("point_mass", speed_weight=speed_weight, noise=noise, start_deviation=start_deviation)
    h = time_step
    if driven_by == "force":
        a, b, q = np.array([[1, h], [0, 1]]), np.array([[h * h / 2], [h]]), np.diag([1, speed_weight])
    else:
        a, b, q = np.eye(1), np.array([[h]]), np.eye(1)
    apart = np.eye(dimensions)
    n = len(a) * dimensions
    return LinearQuadratic(
        np.kron(a, apart),
        np.kron(b, apart),
        noise**2 * np.eye(n),
        np.kron(q, apart),
        action_weight * apart,
        start_deviation**2 * np.eye(n),
    )


def point_mass(
    *,
    driven_by: Literal["force", "velocity"] = "force",
    dimensions: int = 2,
    time_step: float = 0.1,
    speed_weight: float = 0.1,
    action_weight: float = 1.0,
    noise: float = 0.0,
    start_deviation: float = 1.0,
    bound: float = 5.0,
    limit: int | None = 100,
) -> Env:
    """A point mass pushed towards the origin: linear dynamics, a quadratic reward, and so an exact soft optimum.

        driven by force:     place' = place + h v + h^2/2 u,  v' = v + h u     (a double integrator)
        driven by velocity:  place' = place + h u
        r = -(||place||^2 + speed_weight ||v||^2 + action_weight ||u||^2) / 2,   at the state before the step

    Noise is added to every number of the state at every step. Nothing is clipped: actions outside of `bound`, which
    agents cannot take, are followed as they are, so that the optimum over all actions is that of Riccati.

    Args:
        driven_by: "force" or "velocity": what an action sets.
        dimensions: of the place, d.
        time_step: h, seconds.
        speed_weight, action_weight: in the reward; the place has weight 1.
        noise: standard deviation, per step.
        start_deviation: standard deviation of each number of the state at first.
        bound: actions of agents lie in [-bound, bound]^d.
        limit: steps in an episode, or None.

    Returns:
        An `Env`: state and observation are the place and, if driven by force, the velocity, float32 [d] or [2 d];
        action [d]. `point_mass_problem` has its matrices.

    Raises:
        InputError: for a setting outside of its range.
    """
    check_positive("point_mass", bound=bound)
    problem = point_mass_problem(
        driven_by=driven_by, dimensions=dimensions, time_step=time_step, speed_weight=speed_weight,
        action_weight=action_weight, noise=noise, start_deviation=start_deviation,
    )  # fmt: skip
    a, b, _, q, r, _ = (part.astype(np.float32) for part in problem)
    n = len(a)

    def reset(key):
        state = start_deviation * jax.random.normal(key, (n,), jnp.float32)
        return state, state

    def step(key, state, action):
        reward = -0.5 * (jnp.vdot(state, q @ state) + jnp.vdot(action, r @ action))
        state = a @ state + b @ action
        if noise:
            state = state + noise * jax.random.normal(key, (n,), jnp.float32)
        never = jnp.zeros((), bool)
        return state, Step(state, reward, never, never)

    env = Env(reset, step, box(-np.inf, np.inf, (n,)), box(-bound, bound, (dimensions,)), name="point_mass")
    return limited(env, limit)


def point_maze(
    *, gap: Literal["left", "right"] = "left", gap_width: float = 0.4, limit: int | None = 100
) -> Env:
    """A point in the square [-1, 1]^2 that must reach a goal behind a wall with a gap at its left or right end.

        place' = clip(place + a / 10, -1, 1),   a in [-1, 1]^2
        r      = -||place' - (0, 0.6)||

    The wall is the line y = 0, except where x <= -1 + gap_width (left) or x >= 1 - gap_width (right). A move that
    would cross it keeps its y. It starts near (0, -0.6), evenly within 0.1 in both directions, and never
    terminates. To move the gap is to change the dynamics and not the reward: a reward that was learned on one side
    is tested on the other.

    Args:
        gap: "left" or "right". gap_width: in (0, 1).
        limit: steps in an episode, or None.

    Returns:
        An `Env`: state and observation are the place, float32 [2]; action [2].

    Raises:
        InputError: for a gap that is neither, or too wide.

    Source: after the point mass maze of Fu, Luo & Levine (2018).
    """
    check_choice(gap, ("left", "right"), "point_maze: gap")
    if not 0 < gap_width < 1:
        raise InputError(f"point_maze: gap_width must lie in (0, 1), half of the wall; got {gap_width}.")
    side = -1.0 if gap == "left" else 1.0

    def reset(key):
        place = jnp.array([0.0, -0.6], jnp.float32) + jax.random.uniform(key, (2,), jnp.float32, -0.1, 0.1)
        return place, place

    def step(key, place, action):
        aim = jnp.clip(place + 0.1 * jnp.clip(action, -1.0, 1.0), -1.0, 1.0)
        through = (place[1] < 0) != (aim[1] < 0)
        # Where the straight way meets the wall; a way that does not cross it divides by 1 instead.
        share = -place[1] / jnp.where(through, aim[1] - place[1], 1.0)
        crossing = place[0] + share * (aim[0] - place[0])
        blocked = through & (side * crossing < 1 - gap_width)
        place = aim.at[1].set(jnp.where(blocked, place[1], aim[1]))
        away = place - jnp.array([0.0, 0.6], jnp.float32)
        never = jnp.zeros((), bool)
        return place, Step(place, -jnp.sqrt(jnp.sum(away**2)), never, never)

    env = Env(reset, step, box(-1.0, 1.0, (2,)), box(-1.0, 1.0, (2,)), name="point_maze")
    return limited(env, limit)
