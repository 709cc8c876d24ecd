"""Exact inference against the list of all trajectories: 240 random problems, dense and sparse,
both dynamics.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import maxentrl
from maxentrl import InputError, Sparse
from oracles import enumerate_posterior, roll_out_by_enumeration, soft_values
from problems import as_mdp, random_problem, stack

RELATIVE = 1e-10
"""Rounding of a few hundred float64 operations in logs stays far below this: relative 1e-10."""

SHAPES = [(3, 2, 5, 120), (5, 3, 4, 120)]
"""States, actions, horizon, number of problems. Few shapes, so that each is compiled once."""


@functools.cache
def all_problems(states: int, actions: int, horizon: int, count: int):
    """Problems of every kind, each with a temperature and a discount; a third has no discount."""
    rng = np.random.default_rng(states)
    chosen = []
    for i in range(count):
        problem = random_problem(
            rng,
            states,
            actions,
            horizon,
            deterministic=i % 4 == 0,
            forbidden=i % 3 == 0,
            terminal=i % 5 < 2,
            counting=i % 2 == 0,
            changing=i % 7 < 4,
        )
        chosen.append(
            (problem, float(10 ** rng.uniform(-0.5, 0.5)), 1.0 if i % 3 else float(rng.uniform(0, 1)))
        )
    return chosen


@functools.cache
def inferred(shape, sparse: bool, dynamics: str):
    """The library's answers to all problems of a shape in one compiled batch."""
    horizon = shape[2]

    def infer(mdp, temperature, discount):
        post = maxentrl.posterior(
            mdp, temperature=temperature, horizon=horizon, dynamics=dynamics, discount=discount
        )
        times = jnp.arange(horizon - 1)
        return post, jax.vmap(post.log_dynamics)(times), jax.vmap(post.log_pairs)(times)

    models = stack([as_mdp(problem, sparse=sparse, changing=True) for problem, _, _ in all_problems(*shape)])
    temperatures, discounts = np.array([(t, d) for _, t, d in all_problems(*shape)]).T
    with jax.enable_x64(True):
        return jax.tree.map(
            np.asarray, eqx.filter_jit(eqx.filter_vmap(infer))(models, temperatures, discounts)
        )


def table(transition, index: int):
    """exp of a log-`Dense` [T-1, S, A, S] or of log successor lists [T-1, A, K, S], as [T-1, S, A, S]."""
    if not isinstance(transition, Sparse):
        return np.exp(transition.probability[index])
    successor, p = transition.successor[index], np.exp(transition.probability[index])
    times, actions, _, states = p.shape
    full = np.zeros((times, states, actions, states))
    t, a, _, s = np.indices(p.shape)
    np.add.at(full, (t, s, a, successor), p)
    return full


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"S{shape[0]}A{shape[1]}T{shape[2]}")
def test_messages_and_marginals_equal_the_sum_over_all_trajectories(shape, sparse):
    post, dynamics, pairs = inferred(shape, sparse, "posterior")
    same = functools.partial(np.testing.assert_allclose, rtol=RELATIVE, atol=1e-300)
    for i, (problem, temperature, discount) in enumerate(all_problems(*shape)):
        every = enumerate_posterior(problem, temperature, discount)
        live = ~problem["terminal"]
        allowed = live[:, None] & np.isfinite(problem["log_prior"])
        same(np.exp(post.log_evidence[i]), np.exp(every.log_evidence))
        same(np.exp(post.v[i][:-1] / temperature), np.exp(every.message / temperature))
        same(post.v[i][-1], 0)
        same(np.exp(post.log_forward[i]), every.forward)
        same(np.exp(post.log_initial[i]), every.initial)
        same(np.exp(post.log_policy[i][:, live]), every.policy[:, live])
        same(np.exp(post.log_state[i]), every.state)
        same(np.exp(post.log_state_action[i][:, live]), every.state_action[:, live])
        same(table(dynamics, i)[:, allowed], every.dynamics[:, allowed])
        same(table(pairs, i)[:, live], every.pairs[:, live])
        assert np.all(np.exp(post.log_state_action[i][:, ~live]) == 0)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"S{shape[0]}A{shape[1]}T{shape[2]}")
def test_with_given_dynamics_the_answer_is_soft_value_iteration_rolled_out(shape, sparse):
    post, dynamics, pairs = inferred(shape, sparse, "given")
    same = functools.partial(np.testing.assert_allclose, rtol=RELATIVE, atol=1e-300)
    for i, (problem, temperature, discount) in enumerate(all_problems(*shape)):
        values, policy = soft_values(problem, temperature, discount)
        state, state_action, pair = roll_out_by_enumeration(problem, policy, discount)
        live = ~problem["terminal"]
        allowed = live[:, None] & np.isfinite(problem["log_prior"])
        same(np.exp(post.v[i] / temperature), np.exp(values / temperature))
        same(np.exp(post.log_evidence[i]), np.exp(problem["initial"] @ values[0] / temperature))
        same(np.exp(post.log_initial[i]), problem["initial"])
        same(np.exp(post.log_policy[i][:, live]), policy[:, live])
        same(np.exp(post.log_state[i]), state)
        same(np.exp(post.log_state_action[i][:, live]), state_action[:, live])
        expected = np.broadcast_to(discount * problem["transition"], table(dynamics, i).shape)
        same(table(dynamics, i)[:, allowed], expected[:, allowed])
        same(table(pairs, i)[:, live], pair[:, live])


def test_a_reward_that_stays_the_same_is_a_reward_repeated_at_each_step():
    problem = random_problem(np.random.default_rng(1), 3, 2, 5)
    alone, repeated = as_mdp(problem), as_mdp(problem, changing=True)
    settings = {"temperature": 0.7, "horizon": 5, "discount": 0.9}
    one, two = maxentrl.posterior(alone, **settings), maxentrl.posterior(repeated, **settings)
    np.testing.assert_allclose(one.v, two.v, rtol=1e-14)
    np.testing.assert_allclose(one.log_state_action, two.log_state_action, rtol=1e-12)


@pytest.mark.parametrize("dynamics", ["posterior", "given"])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_sampled_trajectories_have_the_enumerated_frequencies(dynamics, sparse):
    temperature, discount, count = 0.6, 0.8, 20_000
    problem = random_problem(np.random.default_rng(4), 3, 2, 5, terminal=True)
    post = maxentrl.posterior(
        as_mdp(problem, sparse=sparse),
        temperature=temperature,
        horizon=5,
        discount=discount,
        dynamics=dynamics,
    )
    states, actions, lengths = post.sample(jax.random.key(0, impl="threefry2x32"), count)
    if dynamics == "posterior":
        every = enumerate_posterior(problem, temperature, discount)
        state_action, pairs = every.state_action, every.pairs
    else:
        _, state_action, pairs = roll_out_by_enumeration(
            problem, soft_values(problem, temperature, discount)[1], discount
        )
    live = ~problem["terminal"]
    found = np.zeros_like(state_action)
    followed = np.zeros_like(pairs)
    for t in range(5):
        on = states[:, t] >= 0
        np.add.at(found[t], (states[on, t], actions[on, t]), 1 / count)
        if t < 4:
            # A trajectory that ends in a terminal state does not record it, so pairs are compared between
            # live states.
            on &= states[:, t + 1] >= 0
            np.add.at(followed[t], (states[on, t], actions[on, t], states[on, t + 1]), 1 / count)

    def within_five_standard_errors(frequency, p):
        assert np.all(np.abs(frequency - p) <= 5 * np.sqrt(p * (1 - p) / count) + 1e-12)

    within_five_standard_errors(found[:, live], state_action[:, live])
    within_five_standard_errors(followed[:, live][..., live], pairs[:, live][..., live])
    assert np.array_equal(lengths, (actions >= 0).sum(1))
    assert np.all((actions >= 0) == (np.arange(5) < lengths[:, None]))
    assert not np.any(problem["terminal"][states[states >= 0]])


@pytest.fixture(scope="module")
def small():
    return as_mdp(random_problem(np.random.default_rng(0), 3, 2, 5))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"temperature": -1.0}, r"temperature must lie in \[0, inf\], in units of reward; got -1\.0"),
        ({"temperature": float("nan")}, r"temperature must lie in \[0, inf\], in units of reward; got nan"),
        ({"temperature": 0.0}, r"posterior needs a temperature in \(0, inf\); got 0\.0"),
        ({"temperature": float("inf")}, r"posterior needs a temperature in \(0, inf\); got inf"),
        ({"temperature": np.ones(2)}, r"temperature must be one number in \[0, inf\]"),
        ({"horizon": 0}, "horizon must be at least 1 step; got 0"),
        ({"horizon": -3}, "horizon must be at least 1 step; got -3"),
        ({"horizon": 2.5}, r"horizon must be a whole number of steps, at least 1, or None; got 2\.5"),
        ({"horizon": True}, "horizon must be a whole number of steps, at least 1, or None; got True"),
        ({"discount": 1.5}, r"discount must be one number in \[0, 1\]; got 1\.5"),
        ({"discount": -0.1}, r"discount must be one number in \[0, 1\]; got -0\.1"),
        ({"discount": float("nan")}, r"discount must be one number in \[0, 1\]; got nan"),
        ({"dynamics": "optimistic"}, "dynamics must be one of given, posterior; got 'optimistic'"),
    ],
)
@pytest.mark.usefixtures("as_shipped")
def test_bad_settings_are_answered_with_a_sentence(small, settings, sentence):
    with pytest.raises(InputError, match=sentence):
        maxentrl.posterior(small, **{"temperature": 1.0, "horizon": 5, **settings})


def test_a_horizon_is_needed(small, as_shipped):
    with pytest.raises(InputError, match="posterior needs a horizon"):
        maxentrl.posterior(small, temperature=1.0, horizon=None)


def test_a_reward_in_time_must_cover_the_horizon():
    mdp = as_mdp(random_problem(np.random.default_rng(0), 3, 2, 5), changing=True)
    with pytest.raises(InputError, match="reward covers 5 steps, but the horizon is 6"):
        maxentrl.posterior(mdp, temperature=1.0, horizon=6)


def test_messages_that_cannot_fit_are_refused_before_the_work_begins(small):
    with pytest.raises(
        InputError, match=r"solving 3 states needs about .* GB of memory, and .* are available"
    ):
        maxentrl.posterior(small, temperature=1.0, horizon=10**12)


def test_a_posterior_keeps_the_names_and_places_of_its_problem():
    mdp = maxentrl.envs.lottery()
    found = maxentrl.posterior(mdp, temperature=1.0, horizon=2).mdp
    assert found.state_names == mdp.state_names and found.action_names == mdp.action_names
    np.testing.assert_array_equal(found.coordinates, mdp.coordinates)
