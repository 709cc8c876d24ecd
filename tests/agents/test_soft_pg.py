"""The soft policy gradient against its exact value; and that the entropy bonus is something else."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxentrl.agents.soft_pg import (
    EntropyBonusPGSettings,
    Judged,
    Policy,
    SoftPGSettings,
    entropy_bonus_pg,
    hard_reward,
    judge,
    log_policy,
    policy_loss,
    soft_pg,
    soft_reward,
)
from maxentrl.core.check import InputError
from maxentrl.core.contracts import Transition
from maxentrl.core.spaces import Discrete, box
from maxentrl.learn.nets import Layer
from problems import random_problem

S, A, DISCOUNT, TEMPERATURE = 4, 3, 0.8, 3.0
KEY = jax.random.key(0, impl="threefry2x32")
EPISODES, LENGTH = 8_000, 50


def exact_gradients(problem, logits):
    """Of J, by central differences of a linear solve; and the entropy bonus, written out. Both [S, A]."""
    p, r, p0 = problem["transition"], problem["reward"][0], problem["initial"]

    def policy_of(logits):
        pi = np.exp(logits)
        return pi / pi.sum(-1, keepdims=True)

    def solved(pi, gain):
        return np.linalg.solve(np.eye(S) - DISCOUNT * np.einsum("sa,sat->st", pi, p), gain)

    def objective(logits):
        pi = policy_of(logits)
        return p0 @ solved(pi, (pi * (r - TEMPERATURE * np.log(pi * A))).sum(-1))

    soft, step = np.zeros((S, A)), 1e-5
    for i in np.ndindex(S, A):
        move = np.zeros((S, A))
        move[i] = step
        soft[i] = (objective(logits + move) - objective(logits - move)) / (2 * step)
    pi = policy_of(logits)
    v = solved(pi, (pi * r).sum(-1))
    visits = np.linalg.solve(np.eye(S) - DISCOUNT * np.einsum("sa,sat->ts", pi, p), p0)
    entropy = -(pi * np.log(pi)).sum(-1, keepdims=True)
    hard = pi * (r + DISCOUNT * p @ v - v[:, None])
    bonus = visits[:, None] * (hard - TEMPERATURE * pi * (np.log(pi) + entropy))
    return soft, bonus


def episodes_of(problem, logits):
    """Steps [T, N] of N episodes that end with chance 1 - discount after every step: discounting, sampled."""
    rng = np.random.default_rng(7)
    pi = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)

    def draw(p):
        return (rng.random((EPISODES, 1)) > np.cumsum(p, -1)).sum(-1).clip(0, p.shape[-1] - 1)

    state, alive, rows = draw(np.broadcast_to(problem["initial"], (EPISODES, S))), np.ones(EPISODES, bool), []
    for _ in range(LENGTH):
        action = draw(pi[state])
        after = draw(problem["transition"][state, action])
        ends = rng.random(EPISODES) > DISCOUNT
        rows.append(
            (np.eye(S, dtype=np.float32)[state], action.astype(np.int32),
             problem["reward"][0][state, action].astype(np.float32), np.eye(S, dtype=np.float32)[after],
             ends, np.zeros(EPISODES, bool), alive)
        )  # fmt: skip
        state, alive = after, alive & ~ends
    return Transition(*(jnp.asarray(np.stack(x)) for x in zip(*rows, strict=True)))


def test_sampled_gradients_have_the_exact_mean_and_the_entropy_bonus_is_far_from_it():
    """Within 5 standard errors of 8000 episodes, for any baseline; what is left of an episode after 50 steps has a
    chance of 1e-5. The two objectives differ by more than 15 standard errors where some states are places of more
    entropy than others, and actions lead there.
    """
    rng = np.random.default_rng(1)
    problem = random_problem(rng, S, A, 1, deterministic=True)
    logits = rng.normal(size=(S, A)) * np.array([[0.3], [0.3], [3.0], [3.0]])
    lived = episodes_of(problem, logits)
    baseline = jnp.asarray(rng.normal(size=S), jnp.float32)
    table = jnp.asarray(logits, jnp.float32)

    @jax.jit
    def gradients():
        policy = Policy((Layer(table, jnp.zeros(A)),), None)
        log_old = log_policy(policy, lived.observation, lived.action)
        value, value_next = lived.observation @ baseline, lived.next_observation @ baseline

        def of_episode(batch):
            def loss(table):
                policy = Policy((Layer(table, jnp.zeros(A)),), None)
                return policy_loss(policy, KEY, batch, TEMPERATURE, None)[0] * jnp.sum(batch.valid)

            return -jax.grad(loss)(table)

        return [
            jax.vmap(of_episode, in_axes=1)(
                judge(
                    lived, log_old, -math.log(A), value, value_next, temperature=TEMPERATURE, discount=1.0,
                    trace=1.0, counted=counted,
                )
            )
            for counted in (soft_reward, hard_reward)
        ]  # fmt: skip

    exact = exact_gradients(problem, logits)
    for sampled, expected, other in zip(gradients(), exact, exact[::-1], strict=True):
        sampled = np.asarray(sampled, np.float64)
        error = sampled.std(0) / math.sqrt(EPISODES)
        assert np.all(np.abs(sampled.mean(0) - expected) < 5 * error)
        assert np.max(np.abs(sampled.mean(0) - other) / error) > 15


def test_the_advantage_holds_the_entropy_of_later_steps_and_not_of_its_own():
    """Two steps of one episode: Q of the first is r_0 + discount (r_1 - t log(pi_1 / rho)), of the second r_1."""
    no, yes = np.zeros((2, 1), bool), np.ones((2, 1), bool)
    ends = np.array([[False], [True]])
    reward, log_old = np.array([[1.0], [2.0]], np.float32), np.array([[-0.5], [-2.0]], np.float32)
    lived = Transition(
        np.zeros((2, 1, 1)), np.zeros((2, 1), np.int32), reward, np.zeros((2, 1, 1)), ends, no, yes
    )
    zero = jnp.zeros((2, 1))
    told = {"temperature": 0.3, "discount": 0.9, "trace": 1.0}
    soft = judge(lived, log_old, -1.0, zero, zero, counted=soft_reward, **told)
    hard = judge(lived, log_old, -1.0, zero, zero, counted=hard_reward, **told)
    last = 2.0 - 0.3 * (-2.0 + 1.0)
    np.testing.assert_allclose(soft.advantage[:, 0], [1.0 + 0.9 * last, 2.0], rtol=1e-6)
    np.testing.assert_allclose(soft.returned[:, 0], [1.0 - 0.3 * 0.5 + 0.9 * last, last], rtol=1e-6)
    np.testing.assert_allclose(hard.advantage[:, 0], [1.0 + 0.9 * 2.0, 2.0], rtol=1e-6)


@pytest.mark.parametrize("discrete", [True, False])
def test_log_densities_are_normalised(discrete):
    """Over actions, or over [-1, 1] by the midpoint rule, exact to 1e-4 for a smooth density of this width."""
    agent = soft_pg(SoftPGSettings(hidden=(8,)))
    state = agent.init(KEY, box(-1, 1, (2,)), Discrete(A) if discrete else box(-1, 1, (1,)))
    seen, count = jnp.array([[0.3, -0.7]]), A if discrete else 2000
    actions = jnp.arange(A) if discrete else (2 * (jnp.arange(count) + 0.5) / count - 1)[:, None]
    log_density = agent.log_density(state, jnp.broadcast_to(seen, (count, 2)), actions)
    np.testing.assert_allclose(np.exp(log_density).sum() * (1 if discrete else 2 / count), 1.0, atol=1e-4)


def test_in_a_one_step_problem_it_ends_at_the_soft_optimal_policy():
    """pi = exp(r / temperature) / Z: the fixed point of the soft gradient when there is no later step. What is left of
    noise is that of the last gradients, as the learning rate falls to 0: a few hundredths of a nat.
    """
    reward = jnp.array([0.0, 0.5, 1.0])
    settings = SoftPGSettings(
        temperature=0.5, hidden=(), steps=1, environments=512, epochs=1, minibatches=1, clip=None,
        learning_rate=0.05, decay=400,
    )  # fmt: skip
    agent = soft_pg(settings)

    def once(state, key):
        seen, yes = jnp.ones((512, 1)), jnp.ones((1, 512), bool)
        action = agent.act(state, key, seen)
        lived = Transition(seen[None], action[None], reward[action][None], seen[None], yes, ~yes, yes)
        return agent.update(state, key, lived)

    state = agent.init(KEY, box(-1, 1, (1,)), Discrete(3))
    state, infos = jax.jit(lambda state: jax.lax.scan(once, state, jax.random.split(KEY, 400)))(state)
    log_density = agent.log_density(state, jnp.ones((3, 1)), jnp.arange(3))
    np.testing.assert_allclose(log_density, jax.nn.log_softmax(reward / 0.5), atol=0.05)
    assert float(infos["updates"].sum()) == 400 and int(state.made) == 400


def test_rows_that_no_one_lived_through_change_nothing():
    rng = np.random.default_rng(3)
    valid = jnp.asarray(rng.random(32) < 0.6)
    policy = Policy((Layer(jnp.asarray(rng.normal(size=(2, A)), jnp.float32), jnp.zeros(A)),), None)

    def batch(fill):
        return Judged(
            jnp.where(valid[:, None], 1.0, fill) * jnp.ones((32, 2)), jnp.zeros(32, jnp.int32), valid,
            jnp.full(32, -1.0), jnp.where(valid, 0.5, fill), jnp.zeros(32),
        )  # fmt: skip

    first, second = (policy_loss(policy, KEY, batch(fill), 0.1, 0.2)[0] for fill in (0.0, 3.0))
    assert first == second


def test_beyond_the_clip_a_step_counts_no_more():
    table = jnp.array([[2.0, 0.0, 0.0]])
    policy = Policy((Layer(table, jnp.zeros(A)),), None)

    def slope(advantage):
        batch = Judged(
            jnp.ones((1, 1)), jnp.zeros(1, jnp.int32), jnp.ones(1, bool), jnp.full(1, -math.log(A)),
            jnp.full(1, advantage), jnp.zeros(1),
        )  # fmt: skip
        return jax.grad(lambda policy: policy_loss(policy, KEY, batch, 0.0, 0.2)[0])(policy).layers[0].weight

    assert not np.any(slope(1.0)) and np.any(slope(-1.0))  # the ratio is far above 1.2 already


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"temperature": math.inf}, "soft_pg: temperature must be finite"),
        ({"trace": 1.1}, r"soft_pg: trace must lie in \[0, 1\]; got 1.1"),
        ({"epochs": 0}, "soft_pg: epochs must be at least 1; got 0"),
        ({"learning_rate": -1.0}, "soft_pg: learning_rate must be above 0; got -1.0"),
        ({"clip": 0.0}, "soft_pg: clip must be above 0; got 0.0"),
        ({"hidden": (4, 0)}, "hidden must hold widths of at least 1"),
        (
            {"steps": 5, "environments": 3, "minibatches": 4},
            "minibatches must divide steps x environments, 15; got 4",
        ),
    ],
)
def test_settings_out_of_range_are_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        soft_pg(SoftPGSettings(**settings))


def test_it_acts_in_all_spaces_but_boxes_without_bounds():
    soft_pg().check(box(-1, 1, (4,)), Discrete(2))
    soft_pg().check(Discrete(3), box(-1, 1, (2,)))
    agent = entropy_bonus_pg(EntropyBonusPGSettings())
    with pytest.raises(InputError, match="entropy_bonus_pg: the action space must have finite bounds"):
        agent.check(Discrete(3), box(-np.inf, np.inf, (2,)))
