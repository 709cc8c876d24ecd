"""Soft DQN with one-hot features is soft value iteration, and DQN at temperature 0."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import maxentrl
from maxentrl.agents.soft_dqn import SoftDQNSettings, q_loss, soft_dqn, targets
from maxentrl.core.check import InputError
from maxentrl.core.contracts import Transition
from maxentrl.core.spaces import Discrete, box
from maxentrl.learn.nets import Layer, mlp
from problems import as_mdp, random_problem

S, A, DISCOUNT = 5, 3, 0.7
KEY = jax.random.key(0, impl="threefry2x32")
SPACES = Discrete(S), Discrete(A)


def table(q):
    """A linear network whose one-hot input makes it a table."""
    return (Layer(jnp.asarray(q), jnp.zeros(A, jnp.asarray(q).dtype)),)


def quarters(seed, terminal=False):
    """A problem whose probabilities are quarters, and all of its steps [4 S A], each as often as it is probable."""
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, S, A, 1, terminal=terminal)
    after = rng.integers(S, size=(S, A, 4))
    problem["transition"] = np.eye(S)[after].mean(2)
    s, a, k = (x.ravel() for x in np.indices((S, A, 4)))
    reached, no = after[s, a, k], np.zeros(4 * S * A, bool)
    steps = jax.tree.map(jnp.asarray, Transition(
        np.eye(S)[s], a.astype(np.int32), problem["reward"][0][s, a], np.eye(S)[reached],
        problem["terminal"][reached], no, ~no,
    ))  # fmt: skip
    return problem, steps


def backup(problem, q, temperature):
    v = temperature * np.log(np.mean(np.exp(q / temperature), -1)) if temperature else q.max(-1)
    return problem["reward"][0] + DISCOUNT * problem["transition"] @ np.where(problem["terminal"], 0.0, v)


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_a_gradient_step_on_all_steps_with_one_hot_features_is_a_sweep_of_soft_value_iteration(temperature):
    """The gradient of the loss in a table is (Q - backup) / (S A), so a step of length S A is the backup."""
    with jax.enable_x64(True):
        for terminal in (False, True):
            problem, steps = quarters(3, terminal)
            q, target = np.random.default_rng(0).normal(size=(2, S, A))
            y = targets(table(target), table(target), steps, temperature, DISCOUNT)
            slope = jax.grad(lambda layers: q_loss(layers, steps, y, None)[0])(table(q))[0].weight  # noqa: B023
            np.testing.assert_allclose(q - S * A * slope, backup(problem, target, temperature), atol=1e-12)


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_the_expected_update_is_zero_at_the_plan_and_only_there(temperature):
    with jax.enable_x64(True):
        problem, steps = quarters(4)
        plan = maxentrl.solve(as_mdp(problem), temperature=temperature, discount=DISCOUNT, tolerance=1e-12)

        def slope(q):
            y = targets(table(q), table(q), steps, temperature, DISCOUNT)
            return jax.grad(lambda layers: q_loss(layers, steps, y, None)[0])(table(q))[0].weight

        np.testing.assert_allclose(slope(np.asarray(plan.q)), 0.0, atol=1e-12)
        assert np.abs(slope(np.asarray(plan.q) + 0.01)).max() > 1e-4


@pytest.mark.parametrize("target", [{"target_rate": 0.05}, {"target_interval": 40}], ids=["polyak", "copy"])
def test_with_a_linear_network_and_all_steps_in_memory_it_ends_at_the_plan(target):
    """In a deterministic world each single error is 0 at the plan, so that drawing steps leaves no noise there."""
    problem = random_problem(np.random.default_rng(5), S, A, 1, deterministic=True)
    after = problem["transition"].argmax(-1)
    s, a = (x.ravel() for x in np.indices((S, A)))
    no, eye = np.zeros((S * A, 1), bool), np.eye(S, dtype=np.float32)
    lived = Transition(
        eye[s][:, None], a.astype(np.int32)[:, None], problem["reward"][0][s, a].astype(np.float32)[:, None],
        eye[after[s, a]][:, None], no, no, ~no,
    )  # fmt: skip
    agent = soft_dqn(
        SoftDQNSettings(
            temperature=0.5, discount=DISCOUNT, hidden=(), learning_rate=0.02, decay=6000, batch=32,
            capacity=S * A, warmup=0, steps=S * A, environments=1, updates=100, **target,
        )
    )  # fmt: skip
    state = jax.jit(lambda state: jax.lax.scan(lambda now, key: agent.update(now, key, lived), state, KEYS))(
        agent.init(KEY, *SPACES)
    )[0]
    plan = maxentrl.solve(as_mdp(problem), temperature=0.5, discount=DISCOUNT, tolerance=1e-10)
    layer = state.learner.online[-1]
    np.testing.assert_allclose(layer.weight + layer.bias, plan.q, atol=1e-3)
    log_density = agent.log_density(state, jnp.asarray(eye[s]), jnp.asarray(a))
    np.testing.assert_allclose(log_density, np.asarray(plan.log_policy).ravel(), atol=5e-3)
    np.testing.assert_array_equal(agent.mode(state, jnp.asarray(eye)), np.asarray(plan.q).argmax(-1))


KEYS = jax.random.split(KEY, 60)


def networks():
    """Two different networks, and a batch."""
    rng = np.random.default_rng(6)
    network = mlp((2, 8, A))
    first, second = (network.init(key) for key in jax.random.split(KEY))
    no = rng.random(16) < 0.4
    batch = jax.tree.map(jnp.asarray, Transition(
        rng.normal(size=(16, 2)).astype(np.float32), rng.integers(A, size=16).astype(np.int32),
        rng.normal(size=16).astype(np.float32), rng.normal(size=(16, 2)).astype(np.float32), no,
        rng.random(16) < 0.5, np.ones(16, bool),
    ))  # fmt: skip
    return network, first, second, batch


def test_the_target_at_temperature_0_is_that_of_dqn_and_is_near_it_at_small_ones():
    """0 <= max Q - V <= temperature log A. Truncated steps keep the value of what they reached."""
    network, layers, _, batch = networks()
    best = np.asarray(network.apply(layers, batch.next_observation)).max(-1)
    dqn = batch.reward + DISCOUNT * np.where(batch.terminated, 0.0, best)
    np.testing.assert_allclose(targets(layers, layers, batch, 0.0, DISCOUNT), dqn, rtol=1e-6)
    for temperature in (1e-1, 1e-3):
        below = dqn - np.asarray(targets(layers, layers, batch, temperature, DISCOUNT))
        assert np.all(below >= -1e-6) and np.all(below <= DISCOUNT * temperature * math.log(A) + 1e-6)
        assert not np.any(below[batch.terminated])


def test_with_two_networks_at_temperature_0_the_target_is_that_of_double_dqn():
    network, judge, chooser, batch = networks()
    best = np.asarray(network.apply(chooser, batch.next_observation)).argmax(-1)
    judged = np.asarray(network.apply(judge, batch.next_observation))[np.arange(16), best]
    expected = batch.reward + DISCOUNT * np.where(batch.terminated, 0.0, judged)
    np.testing.assert_allclose(targets(judge, chooser, batch, 0.0, DISCOUNT), expected, rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.0, 0.3])
def test_a_second_network_that_says_the_same_changes_no_target_and_any_other_lowers_it(temperature):
    """E_pi[Q] - temperature KL(pi || rho) is largest for the policy of Q itself, where it is the soft value."""
    _, judge, other, batch = networks()
    alone = targets(judge, judge, batch, temperature, DISCOUNT)
    same = targets(judge, jax.tree.map(jnp.copy, judge), batch, temperature, DISCOUNT)
    np.testing.assert_allclose(same, alone, rtol=1e-5)  # float32
    assert np.all(targets(judge, other, batch, temperature, DISCOUNT) <= alone + 1e-6)


def test_hubers_loss_is_half_the_square_within_its_bound_and_linear_beyond():
    _, layers, _, batch = networks()
    q = batch.reward + 0.0
    zero = jax.tree.map(jnp.zeros_like, layers)
    expected = np.where(np.abs(q) <= 0.5, 0.5 * q**2, 0.5 * (np.abs(q) - 0.25)).mean()
    np.testing.assert_allclose(q_loss(zero, batch, q, 0.5)[0], expected, rtol=1e-5)
    np.testing.assert_allclose(q_loss(zero, batch, q, None)[0], np.mean(0.5 * q**2), rtol=1e-5)


def test_at_temperature_0_it_explores_by_an_epsilon_that_falls_from_1():
    agent = soft_dqn(SoftDQNSettings(temperature=0.0, hidden=(), epsilon=0.1, epsilon_decay=100, warmup=0))
    state = agent.init(KEY, *SPACES)
    learner = state.learner._replace(online=table(np.arange(S * A, dtype=np.float32).reshape(S, A)))
    for made, epsilon in ((0, 1.0), (50, 0.55), (200, 0.1)):
        now = state._replace(learner=learner._replace(made=jnp.asarray(made)))
        p = np.exp(agent.log_density(now, jnp.eye(S)[:A], jnp.arange(A)))
        np.testing.assert_allclose(p, [epsilon / A, epsilon / A, 1 - epsilon + epsilon / A], rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"temperature": math.inf}, "soft_dqn: temperature must be finite"),
        ({"discount": -0.1}, "discount must be one number in"),
        ({"learning_rate": 0.0}, "soft_dqn: learning_rate must be above 0; got 0.0"),
        ({"target_rate": 0.0}, "soft_dqn: target_rate must be above 0; got 0.0"),
        ({"target_rate": 1.5}, r"soft_dqn: target_rate must lie in \[0, 1\]; got 1.5"),
        ({"decay": 0}, "soft_dqn: decay must be at least 1; got 0"),
        ({"huber": 0.0}, "soft_dqn: huber must be above 0; got 0.0"),
        ({"hidden": (0,)}, "hidden must hold widths of at least 1"),
        ({"batch": 0}, "soft_dqn: batch must be at least 1; got 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        soft_dqn(SoftDQNSettings(**settings))


def test_where_it_cannot_act_it_says_who_can():
    soft_dqn().check(box(-1, 1, (4,)), Discrete(2))
    with pytest.raises(
        InputError, match=r"here they are arrays of shape \(1,\); soft_pg, entropy_bonus_pg, sac and"
    ):
        soft_dqn().check(Discrete(3), box(-1, 1, (1,)))
