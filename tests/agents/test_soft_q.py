"""Tabular soft Q-learning against the exact plan."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import maxentrl
from maxentrl.agents.soft_q import SoftQSettings, soft_q, td_error
from maxentrl.core.check import InputError
from maxentrl.core.contracts import Transition
from maxentrl.core.spaces import Discrete, box, flat
from problems import as_mdp, random_problem

S, A, DISCOUNT = 5, 3, 0.7
KEY = jax.random.key(0, impl="threefry2x32")
SPACES = Discrete(S), Discrete(A)


def every_step(problem, successor=None):
    """All steps (s, a, s') [S A S] there are, or (s, a) with the one successor they have."""
    s, a, after = (x.ravel() for x in np.indices((S, A, S)))
    if successor is not None:
        s, a = (x.ravel() for x in np.indices((S, A)))
        after = successor[s, a]
    no = np.zeros(len(s), bool)
    return Transition(
        np.eye(S)[s], a.astype(np.int32), problem["reward"][0][s, a], np.eye(S)[after],
        problem["terminal"][after], no, ~no,
    )  # fmt: skip


@pytest.mark.parametrize("temperature", [0.0, 0.4])
def test_the_expected_update_is_zero_at_the_optimum_and_is_the_backup_minus_q_elsewhere(temperature):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        for terminal in (False, True):
            problem = random_problem(rng, S, A, 1, terminal=terminal)
            plan = maxentrl.solve(
                as_mdp(problem), temperature=temperature, discount=DISCOUNT, tolerance=1e-12
            )
            live = ~problem["terminal"]
            for q in (np.asarray(plan.q), rng.normal(size=(S, A))):
                q = np.where(live[:, None], q, 0.0)
                errors = jax.vmap(lambda step: td_error(jnp.asarray(q), step, temperature, DISCOUNT))(  # noqa: B023
                    every_step(problem)
                )
                expected = (problem["transition"] * np.asarray(errors).reshape(S, A, S)).sum(-1)[live]
                v = (
                    temperature * np.log(np.mean(np.exp(q / temperature), -1)) if temperature else q.max(-1)
                ) * live
                backup = (problem["reward"][0] + DISCOUNT * problem["transition"] @ v - q)[live]
                np.testing.assert_allclose(expected, backup, atol=1e-12)  # float64
            q = jnp.where(live[:, None], jnp.asarray(plan.q), 0.0)
            errors = jax.vmap(lambda step: td_error(q, step, temperature, DISCOUNT))(every_step(problem))  # noqa: B023
            zero = (problem["transition"] * np.asarray(errors).reshape(S, A, S)).sum(-1)[live]
            np.testing.assert_allclose(zero, 0.0, atol=1e-11)  # the tolerance of the plan


@pytest.mark.parametrize("temperature", [0.0, 0.4])
def test_where_the_world_is_deterministic_it_ends_at_the_plan(temperature):
    """After n sweeps the error is below exp(-(1 - discount) sum_k k^-w) of the first one: e^-27 here. What is
    left is where steps of 5000^-w = 0.006 of the error round to nothing in float32: about 2^-24 |Q| / 0.006 / (1 -
    discount) = 1e-4.
    """
    problem = random_problem(np.random.default_rng(1), S, A, 1, deterministic=True)
    agent = soft_q(SoftQSettings(temperature=temperature, discount=DISCOUNT, power=0.6, steps=S * A))
    lived = every_step(problem, problem["transition"].argmax(-1))
    lived = jax.tree.map(
        lambda x: jnp.asarray(x, jnp.float32 if x.dtype == float else x.dtype)[:, None], lived
    )
    state = jax.jit(
        lambda state: jax.lax.fori_loop(0, 5000, lambda _, now: agent.update(now, KEY, lived)[0], state)
    )(agent.init(KEY, *SPACES))
    plan = maxentrl.solve(as_mdp(problem), temperature=temperature, discount=DISCOUNT, tolerance=1e-10)
    assert np.all(np.asarray(state.visits) == 5000)
    np.testing.assert_allclose(state.q, plan.q, atol=1e-4)
    if temperature:
        s, a = (x.ravel() for x in np.indices((S, A)))
        log_density = agent.log_density(state, flat(SPACES[0], s), jnp.asarray(a))
        np.testing.assert_allclose(log_density, np.asarray(plan.log_policy).ravel(), atol=5e-4)
    np.testing.assert_array_equal(
        agent.mode(state, flat(SPACES[0], np.arange(S))), np.asarray(plan.q).argmax(-1)
    )


def test_steps_that_arrive_together_are_learned_from_one_by_one_and_those_that_were_not_lived_are_not():
    settings = SoftQSettings(temperature=0.4, discount=DISCOUNT, power=1.0)
    agent, rng = soft_q(settings), np.random.default_rng(2)
    rows = 12
    s, a, after = rng.integers(S, size=rows), rng.integers(A, size=rows), rng.integers(S, size=rows)
    reward, terminated, valid = rng.normal(size=rows), rng.random(rows) < 0.3, rng.random(rows) < 0.7
    lived = Transition(
        flat(SPACES[0], s), a.astype(np.int32), reward.astype(np.float32), flat(SPACES[0], after), terminated,
        np.zeros(rows, bool), valid,
    )  # fmt: skip
    state, info = agent.update(
        agent.init(KEY, *SPACES),
        KEY,
        jax.tree.map(lambda x: jnp.asarray(x).reshape(4, 3, *x.shape[1:]), lived),
    )
    q, n = np.zeros((S, A)), np.zeros((S, A), int)
    for i in np.flatnonzero(valid):
        v = 0.4 * np.log(np.mean(np.exp(q[after[i]] / 0.4)))
        n[s[i], a[i]] += 1
        target = reward[i] + (0.0 if terminated[i] else DISCOUNT * v)
        q[s[i], a[i]] += (target - q[s[i], a[i]]) / n[s[i], a[i]]
    np.testing.assert_allclose(state.q, q, atol=1e-5)  # float32
    np.testing.assert_array_equal(state.visits, n)
    assert float(info["updates"]) == valid.sum()


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_it_acts_as_its_log_density_says(temperature):
    """Chi-square with 2 degrees of freedom exceeds 13.8 once in a thousand keys; the key is fixed."""
    agent = soft_q(SoftQSettings(temperature=temperature, epsilon=0.3))
    q = jnp.array([[1.0, 0.2, 0.5], [0.0, 0.0, 0.0]])
    state, count = agent.init(KEY, Discrete(2), Discrete(A))._replace(q=q), 20_000
    seen = jnp.broadcast_to(jnp.array([1.0, 0.0]), (count, 2))
    expected = (
        np.array([0.8, 0.1, 0.1]) if temperature == 0 else np.exp(q[0] / 0.5) / np.exp(q[0] / 0.5).sum()
    )
    log_density = agent.log_density(state, seen[:A], jnp.arange(A))
    np.testing.assert_allclose(np.exp(log_density), expected, rtol=1e-5)
    found = np.bincount(np.asarray(agent.act(state, KEY, seen)), minlength=A)
    assert ((found - count * expected) ** 2 / (count * expected)).sum() < 13.8


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"temperature": -1.0}, "temperature must lie in"),
        ({"temperature": math.inf}, "temperature must be finite"),
        ({"discount": 1.5}, "discount must be one number in"),
        ({"power": 0.5}, r"power must lie in \(0.5, 1\]"),
        ({"epsilon": 2.0}, r"soft_q: epsilon must lie in \[0, 1\]; got 2.0"),
        ({"environments": 0}, "soft_q: environments must be at least 1; got 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        soft_q(SoftQSettings(**settings))


def test_where_it_cannot_act_it_says_who_can():
    agent = soft_q()
    agent.check(*SPACES)
    with pytest.raises(
        InputError, match=r"discrete observations, and here they are arrays of shape \(4,\); soft_dqn"
    ):
        agent.check(box(-1, 1, (4,)), Discrete(2))
    with pytest.raises(
        InputError, match=r"discrete actions, and here they are arrays of shape \(1,\); soft_pg"
    ):
        agent.check(Discrete(3), box(-1, 1, (1,)))
