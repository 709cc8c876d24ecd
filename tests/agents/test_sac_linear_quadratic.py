import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.steps import KEY, ONE, constant, in_standard_errors, steps
from maxentrl.agents.normal_policy import DENSITIES, normal_parameters
from maxentrl.agents.sac import (
    SACSettings,
    bootstrapped,
    policy_loss,
    sac,
    soft_value,
)
from maxentrl.learn.nets import Layer


def riccati(a, b, q, r, discount, noise, temperature):
    """Gain K, curvature H = r + discount b'pb, P, and the value at 0, of reward -(s'qs + u'ru) / 2, in NumPy."""
    p = q
    for _ in range(2000):
        h = r + discount * b.T @ p @ b
        k = discount * np.linalg.solve(h, b.T @ p @ a)
        p = q + discount * a.T @ p @ (a - b @ k)
    m = len(r)
    free = temperature * 0.5 * (m * math.log(2 * math.pi * temperature) - math.log(np.linalg.det(h)))
    return k, h, p, (free - 0.5 * discount * np.trace(p @ noise)) / (1 - discount)


def test_at_the_soft_optimum_of_a_linear_quadratic_problem_critics_and_policy_expect_no_update():
    a, b = np.array([[0.9, 0.2], [0.0, 0.8]]), np.array([[0.1], [0.5]])
    q, r, noise = np.diag([1.0, 0.3]), np.array([[0.4]]), np.diag([0.04, 0.01])
    discount, temperature, count = 0.9, 0.3, 100_000
    k, h, p, v0 = riccati(a, b, q, r, discount, noise, temperature)

    def values(s, u):
        r_now = -0.5 * (jnp.einsum("bi,ij,bj->b", s, q, s) + jnp.einsum("bi,ij,bj->b", u, r, u))
        ahead = s @ a.T + u @ b.T
        follows = v0 - 0.5 * (jnp.einsum("bi,ij,bj->b", ahead, p, ahead) + np.trace(p @ noise))
        return (r_now + discount * follows)[None]

    random = np.random.default_rng(0)
    with jax.enable_x64(True):
        log_std = 0.5 * math.log(temperature / h[0, 0])
        x = constant(0.0, log_std)[0].bias[1]
        policy = (Layer(jnp.stack([jnp.asarray(-k[0]), jnp.zeros(2)], 1), jnp.stack([jnp.zeros(()), x])),)
        s, u = np.array([0.7, -0.4]), np.array([0.3])
        ahead = a @ s + b @ u + random.normal(size=(count, 2)) * np.sqrt(np.diag(noise))
        reward = -0.5 * (s @ q @ s + u @ r @ u)
        seen, done = jnp.tile(s, (count, 1)), jnp.tile(u, (count, 1))
        batch = steps(seen, done, jnp.full(count, reward), jnp.asarray(ahead))
        action, log_density = DENSITIES["normal"].reached(
            jax.random.normal(KEY, (count, 1)), *normal_parameters(policy, batch.next_observation)
        )
        follows = soft_value(values(batch.next_observation, action), log_density, temperature)
        error = bootstrapped(batch, follows, discount) - values(seen, done)[0]

        def loss(policy, noise, s):
            batch = steps(s[None], jnp.zeros((1, 1)), jnp.zeros(1), s[None])
            return policy_loss(policy, values, DENSITIES["normal"], temperature, noise, batch)

        states = jnp.asarray(random.normal(size=(20_000, 2)))
        gradient, _ = jax.jit(jax.vmap(jax.grad(loss, has_aux=True), (None, 0, 0)))(
            policy, jax.random.normal(KEY, (20_000, 1, 1)), states
        )
    assert in_standard_errors(error) < 5
    assert max(in_standard_errors(leaf).max() for leaf in jax.tree.leaves(gradient)) < 5
    # The noise of the target is that of the next state alone: at the optimum Q - temperature log pi is V.
    exact = -0.5 * np.einsum("bi,ij,bj->b", ahead, p, ahead) + v0
    np.testing.assert_allclose(follows, exact, atol=1e-9)


def test_the_policy_of_a_linear_quadratic_problem_is_learned_from_its_steps():
    """Through the agent's own memory and exploration. A network is not a parabola: a tenth of the gain, and a fifth
    of the standard deviation, which is a second derivative of the critics.
    """
    a, b, q, r, discount, noise, temperature = 0.9, 0.5, 1.0, 0.5, 0.9, 0.1, 0.2
    agent = sac(
        SACSettings(
            discount=discount, temperature=temperature, policy="normal", hidden=(48, 48), learning_rate=2e-3,
            batch=128, capacity=20_000, warmup=50, environments=4, target_rate=0.01,
        )
    )  # fmt: skip

    def step(carry, key):
        agent_state, s = carry
        act, move, update, again, where = jax.random.split(key, 5)
        u = agent.act(agent_state, act, s)
        reward = -0.5 * (q * s[:, 0] ** 2 + r * u[:, 0] ** 2)
        follows = a * s + b * u + noise * jax.random.normal(move, (4, 1))
        over = jax.random.bernoulli(again, 0.1, (4,))
        lived = steps(s, u, reward, follows)._replace(truncated=over)
        agent_state, _ = agent.update(agent_state, update, jax.tree.map(lambda x: x[None], lived))
        return (agent_state, jnp.where(over[:, None], jax.random.normal(where, (4, 1)), follows)), None

    start = agent.init(KEY, ONE, ONE), jnp.ones((4, 1))
    (state, _), _ = jax.jit(lambda c, k: jax.lax.scan(step, c, k))(start, jax.random.split(KEY, 12_000))
    k, h, _, _ = riccati(*(np.array([[x]]) for x in (a, b, q, r)), discount, np.eye(1), temperature)
    grid = jnp.linspace(-1, 1, 21)[:, None]
    mean, log_std = (np.asarray(x)[:, 0] for x in normal_parameters(state.learner.policy, grid))
    gain = -np.polyfit(np.asarray(grid)[:, 0], mean, 1)[0]
    assert gain == pytest.approx(k[0, 0], rel=0.1)
    assert np.exp(log_std).mean() == pytest.approx(math.sqrt(temperature / h[0, 0]), rel=0.2)
