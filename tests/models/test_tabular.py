# ruff: noqa: E501 -- a bad input and its sentence stand side by side, one pair to a line
"""Finite decision processes: what is accepted, what is refused and how, and the two forms of one table."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxentrl import Dense, InputError, Sparse, TabularMDP
from problems import as_mdp, random_problem, successor_lists

S, A, K = 4, 2, 3


def table():
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(S), (S, A))


def lists():
    rng = np.random.default_rng(1)
    return rng.integers(S, size=(S, A, K)), rng.dirichlet(np.ones(K), (S, A))


REWARD = np.random.default_rng(2).normal(size=(S, A))


def changed(array, index, value):
    array = np.array(array, float)
    array[index] = value
    return array


def test_sparse_and_dense_are_the_same_table():
    rng = np.random.default_rng(3)
    for _ in range(5):
        problem = random_problem(rng, S, A, 1)
        sparse, dense = as_mdp(problem, sparse=True), as_mdp(problem)
        assert isinstance(sparse.transition, Sparse)
        assert isinstance(dense.transition, Dense)
        np.testing.assert_allclose(sparse.transition_matrix(), problem["transition"], rtol=1e-15)
        np.testing.assert_allclose(dense.transition_matrix(), problem["transition"], rtol=1e-15)


def test_successors_that_occur_twice_in_a_row_add_up():
    successor = np.array([[[1, 1, 0]], [[0, 0, 0]]])
    mdp = TabularMDP((successor, np.array([[[0.25, 0.25, 0.5]], [[0.2, 0.3, 0.5]]])), np.zeros((2, 1)))
    np.testing.assert_allclose(mdp.transition_matrix()[:, 0], [[0.5, 0.5], [1.0, 0.0]])


def test_the_accepted_spellings_of_a_transition_agree():
    successor, probability = lists()
    one = TabularMDP((successor, probability), REWARD)
    two = TabularMDP(Sparse(successor.transpose(1, 2, 0), probability.transpose(1, 2, 0)), REWARD)
    assert jax.tree.all(jax.tree.map(np.array_equal, one.transition, two.transition))
    assert one.transition.successor.dtype == np.int32
    three, four = TabularMDP(table(), REWARD), TabularMDP(Dense(table()), REWARD)
    np.testing.assert_array_equal(three.transition.probability, four.transition.probability)
    assert (one.states, one.actions) == (S, A)


def test_rows_are_rescaled_to_sum_to_one_exactly():
    mdp = TabularMDP(table() * (1 + 1e-10), REWARD)
    np.testing.assert_allclose(mdp.transition_matrix().sum(-1), 1, rtol=1e-15)


def test_rows_that_no_one_takes_may_hold_anything():
    transition = table()
    transition[0, 1] = np.nan
    transition[3] = -7.0
    mdp = TabularMDP(transition, changed(REWARD, (0, 1), -math.inf), terminal=np.arange(S) == 3)
    assert np.all(np.asarray(mdp.transition_matrix())[[0, 3, 3], [1, 0, 1]] == 0)


def test_a_reward_of_minus_infinity_forbids_the_action_and_the_prior_is_shared_among_the_rest():
    mdp = TabularMDP(table(), changed(REWARD, (0, 1), -math.inf))
    np.testing.assert_allclose(np.exp(mdp.log_prior), [[1, 0], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    assert np.all(np.isfinite(mdp.reward))
    counting = mdp.with_prior("counting")
    np.testing.assert_array_equal(np.exp(counting.log_prior), [[1, 0], [1, 1], [1, 1], [1, 1]])
    np.testing.assert_allclose(counting.with_prior("uniform").log_prior, mdp.log_prior)


def test_forbidding_an_action_later_is_forbidding_it_at_once():
    reward = changed(REWARD, (0, 1), -math.inf)
    for prior in ("uniform", "counting"):
        at_once, later = TabularMDP(table(), reward, prior=prior), TabularMDP(table(), REWARD, prior=prior)
        np.testing.assert_allclose(later.with_reward(reward).log_prior, at_once.log_prior)


def test_the_start_is_uniform_over_live_states_unless_given():
    mdp = TabularMDP(table(), REWARD, terminal=np.arange(S) == 1)
    np.testing.assert_allclose(mdp.initial, [1 / 3, 0, 1 / 3, 1 / 3])
    np.testing.assert_array_equal(mdp.with_initial([0, 0, 1, 0]).initial, [0, 0, 1, 0])


def test_exact_problems_are_float64_and_others_float32_if_asked():
    assert TabularMDP(table(), REWARD).dtype == np.float64
    mdp = TabularMDP(lists(), REWARD, dtype="float32")
    assert mdp.dtype == np.float32
    assert {np.asarray(leaf).dtype.name for leaf in jax.tree.leaves(mdp)} == {"float32", "int32", "bool"}


def test_a_copy_keeps_its_number_format():
    """Outside a float64 scope JAX narrows what it touches; a problem is not narrowed by being copied."""
    mdp = TabularMDP(lists(), REWARD)
    for copy in (
        mdp.bare(),
        mdp.with_reward(2 * REWARD),
        mdp.with_prior("counting"),
        mdp.with_initial(np.eye(S)[0]),
    ):
        assert copy.dtype == np.float64
        assert copy.reward.dtype == np.float64
        assert copy.initial.dtype == np.float64
        assert copy.transition.probability.dtype == np.float64


def test_another_reward_passes_jit_grad_and_vmap():
    mdp = TabularMDP(table(), REWARD)

    def total(reward):
        return jnp.sum(mdp.with_reward(reward).reward)

    with jax.enable_x64(True):
        np.testing.assert_allclose(np.asarray(jax.jit(jax.grad(total))(jnp.asarray(REWARD))), 1)
        batch = jax.vmap(mdp.with_reward)(jnp.stack([jnp.asarray(REWARD), 2 * jnp.asarray(REWARD)]))
    np.testing.assert_array_equal(np.asarray(batch.reward), [REWARD, 2 * REWARD])


def test_names_and_pictures_are_kept_apart_from_the_numbers():
    mdp = TabularMDP(
        table(), REWARD, state_names=list("abcd"), action_names=["go", "stay"], coordinates=np.zeros((S, 2))
    )
    assert mdp.state_name(2) == "c"
    assert mdp.action_name(1) == "stay"
    bare = mdp.bare()
    assert (bare.state_names, bare.action_names, bare.coordinates) == (None, None, None)
    assert bare.state_name(2) == "2"
    assert bare.action_name(1) == "1"
    assert repr(mdp) == "TabularMDP(states=4, actions=2, dense, float64, 484 bytes)"


def test_the_memory_estimate_grows_with_the_horizon_and_not_with_the_table_of_a_sparse_problem():
    sparse = TabularMDP(lists(), REWARD)
    assert sparse.memory(1000) > 10 * sparse.memory(10) / 2
    big = 10_000
    line = TabularMDP((np.arange(big)[:, None, None], np.ones((big, 1, 1))), np.zeros((big, 1)))
    assert line.memory() < big**2


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: TabularMDP(changed(table(), (3, 1), [0.23, 0.3, 0.2, 0.2]), REWARD),
         r"transition rows must sum to 1; row \(state 3, action 1\) sums to 0\.93 \(1 such rows in all\)"),
        (lambda: TabularMDP(changed(table(), (2, 0), [1.2, -0.2, 0, 0]), REWARD),
         r"transition probabilities must be numbers in \[0, 1\]; row \(state 2, action 0\) holds -0\.2"),
        (lambda: TabularMDP(changed(table(), (1, 1, 3), NAN), REWARD),
         r"transition probabilities must be numbers in \[0, 1\]; row \(state 1, action 1\) holds nan"),
        (lambda: TabularMDP((lists()[0], changed(lists()[1], (2, 1), [0.5, 0.2, 0.2])), REWARD),
         r"transition rows must sum to 1; row \(state 2, action 1\) sums to 0\.9"),
        (lambda: TabularMDP((lists()[0], changed(lists()[1], (2, 1, 0), -0.1)), REWARD),
         r"row \(state 2, action 1\) holds -0\.1"),
        (lambda: TabularMDP((lists()[0], changed(lists()[1], (0, 1, 2), NAN)), REWARD),
         r"row \(state 0, action 1\) holds nan"),
        (lambda: TabularMDP((changed(lists()[0], (1, 0, 2), S).astype(int), lists()[1]), REWARD),
         r"successors must be states 0 to 3; entry 2 of row \(state 1, action 0\) is 4 \(1 out of range in all\)"),
        (lambda: TabularMDP((changed(lists()[0], (1, 0, 2), -1).astype(int), lists()[1]), REWARD),
         r"successors must be states 0 to 3; entry 2 of row \(state 1, action 0\) is -1"),
        (lambda: TabularMDP((lists()[0].astype(float), lists()[1]), REWARD), "successor must hold whole numbers; got float64"),
        (lambda: TabularMDP((lists()[0][:, :, :2], lists()[1]), REWARD),
         r"two arrays of one shape \[S, A, K\]; got successor \(4, 2, 2\) and probability \(4, 2, 3\)"),
        (lambda: TabularMDP((np.zeros((S, A, 0), int), np.zeros((S, A, 0))), REWARD), "at least one state, action and successor"),
        (lambda: TabularMDP(table()[:, :, :3], REWARD), r"transition must have shape \[S, A, S\].*got \(4, 2, 3\)"),
        (lambda: TabularMDP(np.full((S, A, S), "a"), REWARD), "transition must hold numbers; got <U1"),
        (lambda: TabularMDP(table(), changed(REWARD, (1, 0), NAN)),
         r"reward must be finite, or -inf to forbid an action; state 1, action 0 holds nan \(1 such entries in all\)"),
        (lambda: TabularMDP(table(), changed(REWARD, (2, 1), INF)), r"reward must be finite.*state 2, action 1 holds inf"),
        (lambda: TabularMDP(table(), changed([REWARD] * 3, (2, 0, 1), NAN)), r"state 0, action 1 at time 2 holds nan"),
        (lambda: TabularMDP(table(), changed([REWARD] * 3, (2, 0, 1), -INF)),
         "must forbid an action at every time or never; state 0, action 1 is forbidden at some times only"),
        (lambda: TabularMDP(table(), REWARD.T), r"reward must have shape \[S, A\] = \(4, 2\).*got \(2, 4\)"),
        (lambda: TabularMDP(table(), np.zeros((0, S, A))), r"reward must have shape .*got \(0, 4, 2\)"),
        (lambda: TabularMDP(table(), changed(REWARD, 1, -INF)),
         r"every live state needs at least one allowed action; state 1 has none \(1 such states in all\)"),
        (lambda: TabularMDP(table(), REWARD, prior=changed(np.zeros((S, A)), 3, -INF)), "state 3 has none"),
        (lambda: TabularMDP(table(), REWARD, prior="flat"), r"prior must be uniform, counting or log-weights \[S, A\]; got 'flat'"),
        (lambda: TabularMDP(table(), REWARD, prior=changed(np.zeros((S, A)), (0, 1), NAN)),
         r"prior must hold log-weights in \[-inf, inf\); state 0, action 1 holds nan"),
        (lambda: TabularMDP(table(), REWARD, prior=np.zeros((A, S))), r"prior must have shape \[S, A\] = \(4, 2\); got \(2, 4\)"),
        (lambda: TabularMDP(table(), REWARD, initial=[0.5, 0.25, 0.125, 0.12499]), r"initial must sum to 1; it sums to 0\.99999"),
        (lambda: TabularMDP(table(), REWARD, initial=[1.5, -0.5, 0, 0]), r"initial must hold probabilities; state 1 holds -0\.5"),
        (lambda: TabularMDP(table(), REWARD, initial=[1, 0, NAN, 0]), "initial must hold probabilities; state 2 holds nan"),
        (lambda: TabularMDP(table(), REWARD, initial=[1.0]), r"initial must have shape \[S\] = \(4\); got \(1,\)"),
        (lambda: TabularMDP(table(), REWARD, terminal=[0, 0, 0, 1]), r"terminal must be 4 truth values.*got int64 \(4,\)"),
        (lambda: TabularMDP(table(), REWARD, terminal=np.ones(S, bool)), "terminal marks every state"),
        (lambda: TabularMDP(table(), REWARD, dtype="float16"), "dtype must be float64 or float32; got 'float16'"),
        (lambda: TabularMDP(table(), REWARD, state_names=["a", "b"]), "state_names must hold 4 names; got 2"),
        (lambda: TabularMDP(table(), REWARD, action_names=["a", "a"]), "action_names must differ from each other; 'a' occurs more"),
        (lambda: TabularMDP(table(), REWARD, coordinates=np.zeros((3, 2))), r"coordinates must have shape \[S, 2\] = \(4, 2\)"),
        (lambda: TabularMDP(table(), REWARD).with_reward(changed(REWARD, (1, 0), NAN)), "state 1, action 0 holds nan"),
        (lambda: TabularMDP(table(), REWARD).with_reward(changed(REWARD, 1, -INF)), "state 1 has none"),
        (lambda: TabularMDP(table(), REWARD).with_prior("none"), "prior must be uniform, counting or log-weights"),
        (lambda: TabularMDP(table(), REWARD).with_initial([1, 1, 0, 0]), "initial must sum to 1; it sums to 2"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("as_shipped")
def test_bad_input_is_answered_with_a_sentence(build, sentence):
    with pytest.raises(InputError, match=sentence):
        build()


def test_a_table_too_large_for_memory_is_refused_by_name():
    states = 200_000
    mdp = TabularMDP((np.zeros((states, 1, 1), int), np.ones((states, 1, 1))), np.zeros((states, 1)))
    with pytest.raises(
        InputError, match=r"the dense transition table needs about 320 GB .* keep the successor lists"
    ):
        mdp.transition_matrix()


def test_successor_lists_of_the_tests_themselves_are_right():
    transition = table()
    successor, probability = successor_lists(transition)
    again = np.zeros_like(transition)
    np.put_along_axis(again, successor, probability, -1)
    np.testing.assert_array_equal(again, transition)
