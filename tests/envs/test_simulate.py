"""The simulator of a problem: its frequencies are the problem's probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import maxentrl as me
from maxentrl.core.check import InputError
from maxentrl.envs import chain, make, random_mdp, simulate

DRAWS = 20_000


def key(seed):
    return jax.random.key(seed, impl="threefry2x32")


def assert_frequencies(drawn, probability):
    """Within five standard errors of a binomial count in each cell, and never where the probability is 0."""
    frequency = np.bincount(np.asarray(drawn), minlength=len(probability)) / len(drawn)
    assert np.all(
        np.abs(frequency - probability) <= 5 * np.sqrt(probability * (1 - probability) / len(drawn))
    )


@pytest.mark.parametrize("branching", [None, 3], ids=["dense", "sparse"])
def test_simulated_frequencies_are_the_transition_probabilities(branching):
    mdp = random_mdp(6, 3, branching=branching, terminal=1, seed=7)
    env = simulate(mdp)
    many = jax.jit(jax.vmap(env.step, in_axes=(0, None, None)))
    p = np.asarray(mdp.transition_matrix())
    for state in range(5):
        for action in range(3):
            reached, step = many(jax.random.split(key(10 * state + action), DRAWS), state, action)
            assert_frequencies(reached, p[state, action])
            np.testing.assert_array_equal(step.observation, reached)
            np.testing.assert_array_equal(step.reward, np.float32(mdp.reward[state, action]))
            np.testing.assert_array_equal(step.terminated, mdp.terminal[np.asarray(reached)])
            assert not step.truncated.any()
            assert reached.dtype == jnp.int32
            assert step.reward.dtype == jnp.float32


def test_simulated_starts_follow_the_start_distribution():
    mdp = random_mdp(4, 2).with_initial(np.array([0.5, 0.0, 0.2, 0.3]))
    state, observation = jax.jit(jax.vmap(simulate(mdp).reset))(jax.random.split(key(0), DRAWS))
    assert_frequencies(state, mdp.initial)
    np.testing.assert_array_equal(state, observation)


def test_a_terminal_state_stays_and_pays_nothing():
    env = simulate(chain(3, exit_reward=2.0))
    state, step = env.step(key(0), 1, 2)
    assert (int(state), float(step.reward), bool(step.terminated)) == (3, 2.0, True)
    for action in range(3):
        state, step = env.step(key(1), state, action)
        assert (int(state), float(step.reward), bool(step.terminated)) == (3, 0.0, True)


def test_a_forbidden_action_stays_and_pays_minus_infinity():
    mdp = chain(3).with_reward(np.array([[-np.inf, 0.0], [0.0, 0.0], [0.0, 1.0]]))
    state, step = simulate(mdp).step(key(0), 0, 0)
    assert int(state) == 0
    assert float(step.reward) == -np.inf


def test_discounted_returns_of_rollouts_average_to_the_value_of_the_prior():
    """The whole loop in one scan, batched by vmap."""
    mdp, discount, horizon, count = random_mdp(6, 3, branching=3, terminal=1, seed=7), 0.9, 60, 2000
    env = simulate(mdp)

    def one_return(seed):
        first, rest = jax.random.split(seed)

        def advance(carry, now):
            state, total, weight = carry
            for_action, for_state = jax.random.split(now)
            state, step = env.step(for_state, state, jax.random.randint(for_action, (), 0, 3))
            return (state, total + weight * step.reward, weight * discount), None

        start = (env.reset(first)[0], jnp.float32(0), jnp.float32(1))
        return jax.lax.scan(advance, start, jax.random.split(rest, horizon))[0][1]

    returns = np.asarray(jax.jit(jax.vmap(one_return))(jax.random.split(key(3), count)))
    value = me.solve(mdp, temperature=np.inf, discount=discount, horizon=horizon).start_value
    assert abs(returns.mean() - value) < 5 * returns.std() / np.sqrt(count)  # five standard errors


@pytest.mark.parametrize("name", ["chain", "gridworld", "lottery", "random_mdp", "FrozenLake-v1"])
def test_every_problem_with_a_name_is_a_simulator(name):
    env = make(name)
    state, _ = env.reset(key(0))
    state, step = env.step(key(1), state, 0)
    assert state.shape == step.reward.shape == step.terminated.shape == step.truncated.shape == ()


def test_a_simulator_written_to_a_file_is_found_by_its_path(tmp_path):
    me.save_problem(chain(3), tmp_path / "chain.npz")
    assert int(make(str(tmp_path / "chain.npz")).reset(key(0))[0]) == 0


def test_what_cannot_be_simulated_is_refused():
    with pytest.raises(InputError, match=r"stays the same, .S, A.; this one changes over 4 steps"):
        simulate(chain(2).with_reward(np.zeros((4, 2, 2))))
    with pytest.raises(InputError, match="no environment 'gridwrld'"):
        make("gridwrld")
