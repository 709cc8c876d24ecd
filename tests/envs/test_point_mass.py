"""The point mass is linear and quadratic: its soft values are those of Riccati's equation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxentrl.core.check import InputError
from maxentrl.envs import point_mass, point_maze
from maxentrl.envs.limited import Limited
from maxentrl.envs.point_mass import point_mass_problem

NOISY = {"noise": 0.05, "time_step": 0.2, "speed_weight": 0.3, "action_weight": 0.5, "start_deviation": 0.7}


def key(seed):
    return jax.random.key(seed, impl="threefry2x32")


@pytest.mark.parametrize("driven_by", ["force", "velocity"])
def test_a_step_is_the_formula(driven_by):
    """Places, velocities and actions one by one, without a matrix; actions also beyond their bounds."""
    env = point_mass(driven_by=driven_by, dimensions=3, time_step=0.2, speed_weight=0.3, action_weight=0.5)
    rng = np.random.default_rng(0)
    states = rng.normal(0, 3, (200, *env.observation.shape)).astype(np.float32)
    actions = rng.uniform(-9, 9, (200, 3)).astype(np.float32)

    def step(state, action):
        return env.step(key(0), Limited(state, jnp.int32(0)), action)[1]

    answer = jax.tree.map(np.asarray, jax.jit(jax.vmap(step))(states, actions))
    for x, u, seen, reward in zip(
        states.astype(float), actions.astype(float), answer.observation, answer.reward, strict=True
    ):
        place, speed = x[:3], x[3:]
        wanted = [p + 0.2 * a for p, a in zip(place, u, strict=True)]
        if driven_by == "force":
            wanted = [p + 0.2 * v + 0.02 * a for p, v, a in zip(place, speed, u, strict=True)]
            wanted += [v + 0.2 * a for v, a in zip(speed, u, strict=True)]
        np.testing.assert_allclose(seen, wanted, atol=1e-5)  # float32 of numbers up to 12
        pays = -0.5 * (
            sum(p * p for p in place) + 0.3 * sum(v * v for v in speed) + 0.5 * sum(a * a for a in u)
        )
        np.testing.assert_allclose(reward, pays, rtol=1e-5)
    assert not answer.terminated.any() and not answer.truncated.any()


def riccati(problem, temperature, discount, horizon):
    """Gains [T, m, n], covariances [T, m, m] and (P, c) of V(x) = -x'Px/2 + c over the horizon, in float64."""
    a, b, w, q, r, _ = problem
    p, c, gains, spreads = np.zeros_like(q), 0.0, [], []
    for _ in range(horizon):
        c = discount * (c - 0.5 * np.trace(p @ w))
        p = discount * p
        m = r + b.T @ p @ b
        gain = -np.linalg.solve(m, b.T @ p @ a)
        p = q + a.T @ p @ (a + b @ gain)
        c += 0.5 * temperature * (len(m) * np.log(2 * np.pi * temperature) - np.linalg.slogdet(m)[1])
        gains.append(gain)
        spreads.append(temperature * np.linalg.inv(m))
    return np.array(gains[::-1]), np.array(spreads[::-1]), p, c


@pytest.mark.parametrize("driven_by", ["force", "velocity"])
def test_the_soft_return_of_riccatis_policy_is_riccatis_value(driven_by):
    """Reward plus temperature times entropy along rollouts of the environment: within five standard errors."""
    temperature, discount, horizon, count = 0.3, 0.95, 25, 4000
    settings = {"driven_by": driven_by, **NOISY}
    env, problem = point_mass(**settings, limit=horizon), point_mass_problem(**settings)
    gains, spreads, p, c = riccati(problem, temperature, discount, horizon)
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * spreads)[1]
    inputs = tuple(
        np.asarray(x, np.float32)
        for x in (gains, np.linalg.cholesky(spreads), entropy, discount ** np.arange(horizon))
    )

    def rollout(seed):
        first, rest = jax.random.split(seed)

        def advance(carry, now):
            state, seen = carry
            step_key, (gain, root, entropy, weight) = now
            for_action, for_step = jax.random.split(step_key)
            action = gain @ seen + root @ jax.random.normal(for_action, gain.shape[:1])
            state, step = env.step(for_step, state, action)
            return (state, step.observation), (weight * (step.reward + temperature * entropy), step.truncated)

        (_, (paid, truncated)) = jax.lax.scan(
            advance, env.reset(first), (jax.random.split(rest, horizon), inputs)
        )
        return jnp.sum(paid), truncated

    returns, truncated = jax.jit(jax.vmap(rollout))(jax.random.split(key(3), count))
    returns = np.asarray(returns, float)
    value = c - 0.5 * np.trace(p @ problem.X)
    assert abs(returns.mean() - value) < 5 * returns.std() / np.sqrt(count)
    np.testing.assert_array_equal(truncated[0], np.arange(1, horizon + 1) == horizon)


def test_noise_and_starts_have_the_covariances_that_the_problem_names():
    env, problem, count = point_mass(**NOISY), point_mass_problem(**NOISY), 20_000
    keys = jax.random.split(key(4), count)
    starts = jax.jit(jax.vmap(env.reset))(keys)[1]
    origin = Limited(jnp.zeros(4), jnp.int32(0))
    ends = jax.jit(jax.vmap(lambda k: env.step(k, origin, jnp.zeros(2))[1].observation))(keys)
    for drawn, wanted in ((starts, problem.X), (ends, problem.W)):
        error = wanted[0, 0] * np.sqrt(2 / count)  # of a variance; that of a covariance is smaller
        assert np.all(abs(np.cov(np.asarray(drawn, float).T) - wanted) < 5 * error)


MAZE = point_maze()
MAZE_STEP = jax.jit(
    jax.vmap(lambda place, action: MAZE.step(key(0), Limited(place, jnp.int32(0)), action)[1])
)


def test_a_way_crosses_the_wall_only_through_the_gap():
    """Exactly those straight ways that cross y = 0 at x > -0.6 keep their y."""
    rng = np.random.default_rng(5)
    places = (rng.uniform(-1, 1, (4000, 2)) * [1, 0.12]).astype(np.float32)
    actions = rng.uniform(-1, 1, (4000, 2)).astype(np.float32)
    seen = np.asarray(MAZE_STEP(places, actions).observation)
    aim = np.clip(places.astype(float) + 0.1 * actions, -1, 1)
    crosses = (places[:, 1] < 0) != (aim[:, 1] < 0)
    with np.errstate(divide="ignore"):
        at = places[:, 0] - places[:, 1] * (aim[:, 0] - places[:, 0]) / (aim[:, 1] - places[:, 1])
    sure = abs(at + 0.6) > 1e-5  # further from the gap's edge than float32 errs
    blocked = crosses & (at > -0.6)
    wanted = np.where(blocked, places[:, 1], aim[:, 1])
    assert blocked.sum() > 100 and (crosses & ~blocked).sum() > 100
    np.testing.assert_allclose(seen[:, 0], aim[:, 0], atol=1e-6)
    np.testing.assert_allclose(seen[sure, 1], wanted[sure], atol=1e-6)


def test_a_maze_pays_the_distance_to_its_goal_and_ends_only_by_its_limit():
    state, place = MAZE.reset(key(6))
    assert np.all(abs(np.asarray(place) - [0, -0.6]) <= 0.1)
    _, step = jax.lax.scan(lambda s, _: MAZE.step(key(0), s, jnp.array([-1.0, 1.0])), state, None, 100)
    away = np.hypot(np.asarray(step.observation)[:, 0], np.asarray(step.observation)[:, 1] - 0.6)
    np.testing.assert_allclose(step.reward, -away, rtol=1e-5)
    np.testing.assert_array_equal(np.flatnonzero(step.truncated), [99])
    assert not step.terminated.any()
    assert step.observation[-1, 1] == 1  # it went left along the wall, and through the gap


def test_a_maze_with_the_gap_right_is_the_mirror_image_of_that_with_the_gap_left():
    right = point_maze(gap="right")
    rng = np.random.default_rng(7)
    places = (rng.uniform(-1, 1, (500, 2)) * [1, 0.12]).astype(np.float32)
    actions, mirror = rng.uniform(-1, 1, (500, 2)).astype(np.float32), np.array([-1, 1], np.float32)
    step = jax.jit(jax.vmap(lambda place, a: right.step(key(0), Limited(place, jnp.int32(0)), a)[1]))
    np.testing.assert_array_equal(
        step(places * mirror, actions * mirror).observation, MAZE_STEP(places, actions).observation * mirror
    )


def test_settings_out_of_range_are_refused(as_shipped):
    with pytest.raises(InputError, match="point_mass: driven_by must be one of force, velocity; got 'hope'"):
        point_mass(driven_by="hope")
    with pytest.raises(InputError, match="point_mass: dimensions must be at least 1; got 0"):
        point_mass(dimensions=0)
    with pytest.raises(InputError, match="point_mass: bound must be a finite number above 0; got inf"):
        point_mass(bound=np.inf)
    with pytest.raises(InputError, match="point_mass: noise must be a finite number of at least 0; got -1"):
        point_mass(noise=-1)
    with pytest.raises(InputError, match="point_maze: gap must be one of left, right; got 'top'"):
        point_maze(gap="top")
    with pytest.raises(InputError, match=r"gap_width must lie in \(0, 1\), half of the wall; got 1"):
        point_maze(gap_width=1)


def test_a_maze_is_in_single_precision_also_where_64_bits_are_switched_on():
    env = point_maze()
    with jax.enable_x64(True):
        state, _ = env.reset(jax.random.key(0))
        _, now = env.step(jax.random.key(1), state, jnp.zeros(2, jnp.float32))
    assert now.observation.dtype == now.reward.dtype == jnp.float32
