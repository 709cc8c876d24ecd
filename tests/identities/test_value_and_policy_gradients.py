"""Soft Q-learning is a policy gradient and a value gradient at once; and what the soft policy gradient is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxentrl.agents.soft_pg import Judged, Policy, policy_loss
from maxentrl.agents.soft_q import log_policy, soft_value
from maxentrl.learn.nets import Layer, mlp
from problems import random_problem

S, A, DISCOUNT = 5, 3, 0.9
KEY = jax.random.key(0, impl="threefry2x32")


@pytest.mark.parametrize("temperature", [0.1, 0.7, 3.0])
def test_the_gradient_of_soft_q_learning_is_a_policy_gradient_and_a_value_gradient(temperature):
    """Schulman, Chen and Abbeel (2017), for any targets y, weights w, and actions from the policy itself:

        grad E 1/2 (Q - y)^2 = grad { - t E[ log pi (y - V) ] + t^2 E KL(pi || rho) + E 1/2 (V - E[y] + t KL)^2 }

    with what is not under the gradient held constant. Tolerance: float64, and sums of a few dozen terms.
    """
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        network = mlp((4, 16, A), jnp.tanh)
        layers = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), network.init(KEY))
        seen, y = jnp.asarray(rng.normal(size=(S, 4))), rng.normal(size=(S, A))
        w = rng.dirichlet(np.ones(S))
        hold = jax.lax.stop_gradient

        def q_learning(layers):
            q = network.apply(layers, seen)
            pi = hold(jnp.exp(log_policy(q, temperature, 0.0)))
            return w @ jnp.sum(pi * 0.5 * (q - y) ** 2, -1)

        def policy_and_value(layers):
            q = network.apply(layers, seen)
            v, log_pi = soft_value(q, temperature), log_policy(q, temperature, 0.0)
            pi = jnp.exp(log_pi)
            divergence = jnp.sum(pi * (log_pi + np.log(A)), -1)
            policy = -temperature * jnp.sum(hold(pi) * log_pi * (y - hold(v)[:, None]), -1)
            target = hold(jnp.sum(pi * y, -1) - temperature * divergence)
            return w @ (policy + temperature**2 * divergence + 0.5 * (v - target) ** 2)

        left, right = jax.grad(q_learning)(layers), jax.grad(policy_and_value)(layers)
        largest = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(left))
        assert largest > 1e-2
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * largest), left, right)


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_the_soft_policy_gradient_is_the_derivative_of_the_exact_objective(temperature):
    """d/d logits of p0 (I - discount P_pi)^-1 (r_pi - t KL(pi || rho)) is the sum over states of what
    `policy_loss` differentiates, weighted by discounted visits, with Q - V of the soft values.
    """

    def values(logits, p, r):
        log_pi = jax.nn.log_softmax(logits)
        gain = jnp.sum(jnp.exp(log_pi) * (r - temperature * (log_pi + np.log(A))), -1)
        return jnp.linalg.solve(jnp.eye(S) - DISCOUNT * chain(logits, p), gain)

    def chain(logits, p):
        return jnp.einsum("sa,sat->st", jax.nn.softmax(logits), p)

    def loss(logits, visits, advantage):
        policy = Policy((Layer(logits, jnp.zeros(A)),), None)

        def of_state(seen, advantage):
            every = Judged(
                jnp.broadcast_to(seen, (A, S)), jnp.arange(A), jnp.ones(A, bool), jnp.full(A, -np.log(A)),
                advantage, advantage,
            )  # fmt: skip
            return policy_loss(policy, KEY, every, temperature, None)[0]

        return visits @ jax.vmap(of_state)(jnp.eye(S), advantage)

    @jax.jit
    def both(logits, p, r, p0):
        exact = jax.grad(lambda logits: p0 @ values(logits, p, r))(logits)
        v = values(logits, p, r)
        visits = jnp.linalg.solve((jnp.eye(S) - DISCOUNT * chain(logits, p)).T, p0)
        return exact, -jax.grad(loss)(logits, visits, r + DISCOUNT * p @ v - v[:, None])

    with jax.enable_x64(True):
        for seed in range(3):
            rng = np.random.default_rng(seed)
            problem = random_problem(rng, S, A, 1)
            exact, ours = both(
                rng.normal(size=(S, A)), problem["transition"], problem["reward"][0], problem["initial"]
            )
            np.testing.assert_allclose(ours, exact, rtol=0, atol=1e-12)  # float64
