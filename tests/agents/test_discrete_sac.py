import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import maxentrl as me
from maxentrl.agents.discrete_sac import (
    DiscreteSACSettings,
    critic_loss,
    discrete_sac,
    learner,
    policy_loss,
    soft_value,
    temperature_loss,
)
from maxentrl.core.check import InputError
from maxentrl.core.contracts import Transition
from maxentrl.core.spaces import Discrete, box
from maxentrl.learn.nets import Layer

KEY = jax.random.key(0, impl="threefry2x32")
STATES, ACTIONS, DISCOUNT, TEMPERATURE = 4, 3, 0.8, 0.5
RANDOM = np.random.default_rng(0)
NEXT = RANDOM.integers(0, STATES, (STATES, ACTIONS))
REWARD = RANDOM.normal(size=(STATES, ACTIONS))


def all_steps():
    """Each action in each state, once: one-hot, deterministic, one of them terminated."""
    s, a = (x.ravel() for x in np.meshgrid(np.arange(STATES), np.arange(ACTIONS), indexing="ij"))
    one_hot = np.eye(STATES, dtype=np.float32)
    flags = np.zeros((2, len(s)), bool)
    return Transition(
        *(jnp.asarray(x) for x in (one_hot[s], a.astype(np.int32), REWARD[s, a], one_hot[NEXT[s, a]])),
        *(jnp.asarray(flag) for flag in flags),
        jnp.ones(len(s), bool),
    )


def soft_policy_iteration():
    """Q and pi by evaluating the policy exactly and tilting it, in NumPy, until nothing moves."""
    pi = np.full((STATES, ACTIONS), 1 / ACTIONS)
    for _ in range(200):
        paid = np.sum(pi * (REWARD - TEMPERATURE * np.log(ACTIONS * pi)), 1)
        moves = np.zeros((STATES, STATES))
        for s in range(STATES):
            np.add.at(moves[s], NEXT[s], pi[s])
        q = REWARD + DISCOUNT * np.linalg.solve(np.eye(STATES) - DISCOUNT * moves, paid)[NEXT]
        pi = np.exp((q - q.max(1, keepdims=True)) / TEMPERATURE)
        pi /= pi.sum(1, keepdims=True)
    return q, pi


def as_table(table):
    return (Layer(jnp.asarray(table), jnp.zeros(ACTIONS)),)


def test_with_tables_and_all_steps_its_fixed_point_is_that_of_soft_policy_iteration():
    settings = DiscreteSACSettings(
        discount=DISCOUNT, temperature=TEMPERATURE, hidden=(), learning_rate=0.01, target_rate=0.1
    )
    learning, batch = learner(settings), all_steps()
    batch = batch._replace(reward=batch.reward.astype(jnp.float32))
    state, info = jax.jit(lambda s: jax.lax.scan(lambda s, _: learning.learn(s, KEY, batch), s, length=4000))(
        learning.init(KEY, Discrete(STATES), Discrete(ACTIONS))
    )
    q, pi = soft_policy_iteration()
    s = np.repeat(np.eye(STATES, dtype=np.float32), ACTIONS, 0)
    a = np.tile(np.arange(ACTIONS, dtype=np.int32), STATES)
    # Nothing is sampled and float32 holds the tables: what is left is Adam's last steps, far below 0.01.
    (layer,) = state.critics
    np.testing.assert_allclose(
        np.eye(STATES) @ layer.weight + layer.bias[:, None], np.stack([q, q]), atol=2e-3
    )
    np.testing.assert_allclose(learning.log_density(state, s, a), np.log(pi).ravel(), atol=5e-3)
    entropy = -np.sum(pi * np.log(pi), 1).mean()
    assert float(info["entropy"][-1]) == pytest.approx(entropy, abs=2e-3)
    assert abs(float(info["value_gap"][-1])) < 2e-3


def test_soft_policy_iteration_agrees_with_the_exact_solver():
    transitions = np.zeros((STATES, ACTIONS, STATES))
    np.put_along_axis(transitions, NEXT[..., None], 1.0, -1)
    plan = me.solve(me.TabularMDP(transitions, REWARD), temperature=TEMPERATURE, discount=DISCOUNT)
    np.testing.assert_allclose(np.exp(plan.log_policy), soft_policy_iteration()[1], atol=1e-8)


def test_at_the_soft_optimum_no_table_is_updated():
    q, pi = soft_policy_iteration()
    with jax.enable_x64(True):
        batch, policy, critics = (
            all_steps(),
            as_table(np.log(pi)),
            jax.tree.map(lambda *x: jnp.stack(x), as_table(q), as_table(q)),
        )
        value = soft_value(jnp.asarray(np.stack([q, q])), jnp.log(pi), TEMPERATURE)
        target = batch.reward + DISCOUNT * value[NEXT.ravel()]
        moved, _ = jax.grad(critic_loss, has_aux=True)(critics, batch, target)
        values = jnp.repeat(jnp.asarray(np.stack([q, q])), ACTIONS, 1)
        tilted, _ = jax.grad(policy_loss, has_aux=True)(policy, values, TEMPERATURE, batch)
    for leaf in jax.tree.leaves((moved, tilted)):
        np.testing.assert_allclose(leaf, 0.0, atol=1e-12)


def test_its_value_is_the_mean_of_the_sampled_one():
    q, pi = RANDOM.normal(size=(2, 1, ACTIONS)), RANDOM.dirichlet(np.ones(ACTIONS))
    exact = float(soft_value(jnp.asarray(q), jnp.log(jnp.asarray(pi))[None], TEMPERATURE)[0])
    drawn = RANDOM.choice(ACTIONS, 100_000, p=pi)
    sampled = q.min(0)[0, drawn] - TEMPERATURE * np.log(ACTIONS * pi[drawn])
    assert abs(sampled.mean() - exact) < 5 * sampled.std() / math.sqrt(100_000)


def test_nothing_follows_a_terminated_step_and_the_value_follows_a_truncated_one():
    learning = learner(DiscreteSACSettings(hidden=()))
    learn, state = jax.jit(learning.learn), learning.init(KEY, Discrete(STATES), Discrete(ACTIONS))
    batch = all_steps()
    yes = jnp.ones(STATES * ACTIONS, bool)
    target = [
        float(learn(state, KEY, b)[1]["target"])
        for b in (batch, batch._replace(truncated=yes), batch._replace(terminated=yes))
    ]
    assert target[0] == target[1] != target[2] == pytest.approx(REWARD.mean(), abs=1e-6)


def bandit(ratio, gap=0.0, steps=1500, bounds=(1e-2, 1e2)):
    """Two actions, worth 0 and `gap`, at a learned temperature: the last state and info."""
    learning = learner(
        DiscreteSACSettings(
            discount=0.0, target_ratio=ratio, temperature_bounds=bounds, hidden=(), learning_rate=0.02
        )
    )
    seen, flags = jnp.ones((2, 1)), [jnp.full(2, x) for x in (True, False, True)]
    batch = Transition(seen, jnp.arange(2, dtype=jnp.int32), jnp.array([0.0, gap]), seen, *flags)
    state, info = jax.jit(
        lambda s: jax.lax.scan(lambda s, _: learning.learn(s, KEY, batch), s, length=steps)
    )(learning.init(KEY, box(0.0, 2.0, (1,)), Discrete(2)))
    return state, {name: float(x[-1]) for name, x in info.items()}


def test_a_learned_temperature_reaches_its_closed_form():
    _, info = bandit(0.5, gap=1.0)
    # H(p) = log(2) / 2 at p = 0.1100 (bisection), and log(p / (1 - p)) = -gap / temperature.
    low, high = 1e-9, 0.5
    for _ in range(80):
        p = 0.5 * (low + high)
        less = -p * math.log(p) - (1 - p) * math.log(1 - p) < 0.5 * math.log(2)
        low, high = (p, high) if less else (low, p)
    assert info["entropy"] == pytest.approx(0.5 * math.log(2), abs=2e-3)
    assert info["temperature"] == pytest.approx(1 / math.log((1 - p) / p), rel=0.01)
    assert info["target_out_of_reach"] == 0


def test_a_target_out_of_reach_is_told_from_the_temperature_at_its_bound():
    _, info = bandit(0.98, gap=20.0, bounds=(1e-2, 2.0))
    assert info["target_out_of_reach"] == 1
    assert info["temperature"] == pytest.approx(2.0) and info["entropy"] < 0.98 * math.log(2)

    _, info = bandit(
        0.5, gap=0.0, bounds=(0.5, 2.0)
    )  # both actions are as good, and nothing draws the policy
    assert info["target_out_of_reach"] == 1
    assert info["temperature"] == pytest.approx(0.5) and info["entropy"] > 0.5 * math.log(2)


def test_with_too_little_entropy_the_temperature_rises_and_with_too_much_it_falls():
    slope = [
        jax.grad(temperature_loss)(0.0, jnp.full(2, entropy), 0.5, jnp.ones(2, bool))
        for entropy in (0.1, 0.6)
    ]
    assert slope[0] < 0 < slope[1]


def test_actions_are_drawn_as_the_density_says():
    agent = discrete_sac(DiscreteSACSettings(hidden=(), warmup=0, capacity=1))
    state = agent.init(KEY, box(0.0, 2.0, (1,)), Discrete(3))
    policy = (Layer(jnp.zeros((1, 3)), jnp.log(jnp.array([0.2, 0.5, 0.3]))),)
    state = state._replace(learner=state.learner._replace(policy=policy))
    drawn = agent.act(state, KEY, jnp.ones((20_000, 1)))
    assert drawn.dtype == jnp.int32
    share = np.bincount(np.asarray(drawn), minlength=3) / 20_000
    np.testing.assert_allclose(share, [0.2, 0.5, 0.3], atol=5 * 0.5 / math.sqrt(20_000))
    assert int(agent.mode(state, jnp.ones((1, 1)))[0]) == 1
    density = agent.log_density(state, jnp.ones((3, 1)), jnp.arange(3))
    np.testing.assert_allclose(np.exp(density), [0.2, 0.5, 0.3], rtol=1e-6)


def test_bad_settings_and_spaces_are_refused_in_a_sentence():
    with pytest.raises(InputError, match=r"target_ratio must lie in \(0, 1\).*got 1\.0"):
        discrete_sac(DiscreteSACSettings(target_ratio=1.0))
    with pytest.raises(
        InputError, match="discrete_sac: temperature_bounds must be two numbers, finite, above 0 and in order"
    ):
        discrete_sac(DiscreteSACSettings(temperature_bounds=(0.0, 1.0)))
    with pytest.raises(InputError, match="discrete_sac: temperature must be a finite number above 0"):
        discrete_sac(DiscreteSACSettings(temperature=-1.0))
    with pytest.raises(
        InputError, match=r"arrays of shape \(2,\); soft_pg, entropy_bonus_pg, sac and sac_v1 can act here"
    ):
        discrete_sac().check(Discrete(2), box(-1.0, 1.0, (2,)))
    discrete_sac().check(Discrete(2), Discrete(2))
