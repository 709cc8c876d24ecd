"""Evaluation, occupancy and the evidence bound of any policy."""

import numpy as np
import pytest

import maxentrl
from maxentrl import InputError
from maxentrl.infer.policy import soft_policy_iteration
from oracles import roll_out_by_enumeration
from problems import as_mdp, random_problem

S, A, T = 5, 3, 4


def some_policy(rng, problem, times=()):
    """Random log-policy [*times, S, A] on the allowed actions."""
    p = rng.dirichlet(np.ones(A), (*times, S)) * np.isfinite(problem["log_prior"])
    with np.errstate(divide="ignore"):
        return np.log(p / p.sum(-1, keepdims=True))


def kl_cost(problem, log_policy):
    p = np.exp(log_policy)
    return np.where(
        p > 0, p * (np.where(p > 0, log_policy, 0) - np.where(p > 0, problem["log_prior"], 0)), 0
    ).sum(-1)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_finite_values_and_visits_equal_the_sum_over_all_trajectories(sparse):
    rng = np.random.default_rng(0)
    for i in range(10):
        problem = random_problem(rng, S, A, T, forbidden=i % 2 == 0, terminal=i % 3 == 0, changing=True)
        log_policy, discount = some_policy(rng, problem, (T,)), (1.0, 0.7)[i % 2]
        mdp, live = as_mdp(problem, sparse=sparse), ~problem["terminal"]
        _, visits, _ = roll_out_by_enumeration(problem, np.exp(log_policy), discount)
        visits[:, ~live] = 0
        found = maxentrl.occupancy(mdp, log_policy, discount=discount, horizon=T)
        np.testing.assert_allclose(found, visits, rtol=1e-10, atol=1e-300)
        value = maxentrl.evaluate(mdp, log_policy, temperature=0.5, discount=discount, horizon=T)
        gain = problem["reward"] - 0.5 * kl_cost(problem, log_policy)[..., None]
        np.testing.assert_allclose(
            problem["initial"] @ value[0], (visits * gain).sum(), rtol=1e-10, atol=1e-12
        )


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("discount", [0.0, 0.9, 0.9999, 1.0])
def test_stationary_values_and_visits_solve_the_two_linear_systems_of_the_policy(sparse, discount):
    rng = np.random.default_rng(1)
    problem = random_problem(rng, S, A, 1, terminal=discount == 1.0, forbidden=True)
    problem["transition"] = 0.7 * problem["transition"] + 0.3 / S
    log_policy, mdp, live = some_policy(rng, problem), as_mdp(problem, sparse=sparse), ~problem["terminal"]
    chain = discount * np.einsum("sa,sat->st", np.exp(log_policy), problem["transition"]) * live[:, None]
    gain = (np.exp(log_policy) * problem["reward"][0]).sum(1) - 0.5 * kl_cost(problem, log_policy)
    value = np.linalg.solve(np.eye(S) - chain, gain * live)
    visits = (
        np.linalg.solve(np.eye(S) - chain.T, problem["initial"])[:, None] * np.exp(log_policy) * live[:, None]
    )
    # Rounding of a linear solve: its condition number 1 / (1 - discount) units in the last place.
    rtol = 1e-15 * 100 / max(1 - discount, 0.01)
    np.testing.assert_allclose(
        maxentrl.evaluate(mdp, log_policy, temperature=0.5, discount=discount), value, rtol=rtol, atol=rtol
    )
    found = maxentrl.occupancy(mdp, log_policy, discount=discount)
    np.testing.assert_allclose(found, visits, rtol=rtol, atol=rtol)
    if discount < 1:
        np.testing.assert_allclose(found.sum(), 1 / (1 - discount), rtol=rtol)


def test_a_stationary_policy_over_a_horizon_is_itself_at_each_step():
    problem = random_problem(np.random.default_rng(2), S, A, T)
    log_policy = some_policy(np.random.default_rng(3), problem)
    once = maxentrl.evaluate(as_mdp(problem), log_policy, temperature=0.5, horizon=T)
    repeated = maxentrl.evaluate(as_mdp(problem), np.stack([log_policy] * T), temperature=0.5, horizon=T)
    np.testing.assert_array_equal(once, repeated)


def test_at_temperature_zero_only_reward_counts():
    problem = random_problem(np.random.default_rng(2), S, A, T)
    log_policy = some_policy(np.random.default_rng(3), problem, (T,))
    value = maxentrl.evaluate(as_mdp(problem), log_policy, temperature=0.0, horizon=T)
    _, visits, _ = roll_out_by_enumeration(problem, np.exp(log_policy))
    np.testing.assert_allclose(problem["initial"] @ value[0], (visits * problem["reward"]).sum(), rtol=1e-12)


@pytest.fixture(scope="module")
def small():
    return as_mdp(random_problem(np.random.default_rng(0), S, A, T))


UNIFORM = np.full((S, A), -np.log(A))


@pytest.mark.parametrize(
    ("policy", "settings", "sentence"),
    [
        (UNIFORM, {"temperature": float("inf")}, "evaluate needs a finite temperature"),
        (UNIFORM, {"temperature": -1.0}, r"temperature must lie in \[0, inf\].*got -1\.0"),
        (UNIFORM, {"discount": 2.0}, r"discount must be one number in \[0, 1\]; got 2\.0"),
        (UNIFORM, {"horizon": 0}, "horizon must be at least 1 step; got 0"),
        (UNIFORM, {"discount": 1.0}, "first-exit problem, and needs terminal states; this problem has none"),
        (UNIFORM[:4], {}, r"log_policy must have shape \[S, A\] = \(5, 3\); got \(4, 3\)"),
        (
            UNIFORM[None],
            {"horizon": 2},
            r"log_policy must have shape \[T, S, A\] = \(2, 5, 3\); got \(1, 5, 3\)",
        ),
        (UNIFORM + np.log(0.9), {}, r"log_policy rows must sum to 1; row \[0\] sums to 0\.9"),
        (np.full((S, A), np.nan), {}, r"log_policy rows must sum to 1; row \[0\] sums to nan"),
        (UNIFORM[None], {}, r"a policy in time, \[T, S, A\], needs a horizon; got horizon None"),
    ],
)
def test_bad_input_to_evaluate_is_answered_with_a_sentence(small, policy, settings, sentence):
    with pytest.raises(InputError, match=sentence):
        maxentrl.evaluate(small, policy, **{"temperature": 1.0, "discount": 0.9, **settings})


@pytest.mark.parametrize(
    ("policy", "settings", "sentence"),
    [
        (UNIFORM, {"discount": -1.0}, r"discount must be one number in \[0, 1\]; got -1\.0"),
        (UNIFORM, {"horizon": 0}, "horizon must be at least 1 step; got 0"),
        (UNIFORM, {"discount": 1.0}, "first-exit problem, and needs terminal states; this problem has none"),
        (UNIFORM[:4], {}, r"log_policy must have shape \[S, A\] = \(5, 3\); got \(4, 3\)"),
        (UNIFORM + np.log(0.9), {}, r"log_policy rows must sum to 1; row \[0\] sums to 0\.9"),
    ],
)
def test_bad_input_to_occupancy_is_answered_with_a_sentence(small, policy, settings, sentence):
    with pytest.raises(InputError, match=sentence):
        maxentrl.occupancy(small, policy, **{"discount": 0.9, **settings})


@pytest.mark.parametrize("times", [(), (T,)], ids=["always", "in time"])
def test_a_policy_must_leave_out_what_is_forbidden_and_terminal_states_forbid_nothing(times):
    reward = np.zeros((3, 2))
    reward[1, 0] = reward[2] = -np.inf
    mdp = maxentrl.TabularMDP(
        np.full((3, 2, 3), 1 / 3),
        reward,
        terminal=[False, False, True],
        state_names=["home", "road", "goal"],
        action_names=["wait", "go"],
    )
    horizon = T if times else None
    fits = np.broadcast_to(np.log([[0.5, 0.5], [1e-300, 1.0], [0.5, 0.5]]), (*times, 3, 2)).copy()
    asks = (
        lambda policy: maxentrl.evaluate(mdp, policy, temperature=1.0, discount=0.9, horizon=horizon),
        lambda policy: maxentrl.occupancy(mdp, policy, discount=0.9, horizon=horizon),
        lambda policy: maxentrl.evidence_bound(mdp, policy, temperature=1.0, horizon=T),
    )
    for ask in asks:
        with pytest.raises(
            InputError, match=r"must be -inf where .* at state road, action wait it is -690\.776"
        ):
            ask(fits)
    fits[..., 1, 0] = -np.inf
    for ask in asks:
        assert all(np.isfinite(part).all() for part in ask(fits))


@pytest.mark.parametrize("states", [2, 1100], ids=["direct", "iterated"])
def test_visits_that_do_not_add_up_in_the_number_format_are_an_error_and_never_infinite(states):
    """The exit has probability 1e-20: in float64 the chain never leaves. With 0.01 it takes 100 steps, in any format."""
    ends = np.arange(states) == states - 1
    never, often = (
        maxentrl.TabularMDP(
            (
                np.stack([np.arange(states), np.full(states, states - 1)], 1)[:, None],
                np.tile([1 - p, p], (states, 1, 1)),
            ),
            np.full((states, 1), -1.0),
            terminal=ends,
            dtype=dtype,
        )
        for p, dtype in ((1e-20, "float64"), (0.01, "float32"))
    )
    policy = np.zeros((states, 1))
    for ask in (maxentrl.occupancy, lambda *a, **k: maxentrl.evaluate(*a, temperature=1.0, **k)):
        with pytest.raises(RuntimeError, match="its mass does not die out"):
            ask(never, policy, discount=1.0)
    # Rounding of 1 - 0.99 in float32: a hundred units in the last place.
    np.testing.assert_allclose(maxentrl.occupancy(often, policy, discount=1.0).sum(), 100.0, rtol=1e-4)


def test_policy_iteration_ends_with_the_values_of_its_policy_and_says_when_it_was_cut_short(small):
    settings = {"temperature": 0.5, "discount": 0.9}
    with pytest.warns(UserWarning, match=r"the tolerance 1e-10 was not reached in 2 evaluations"):
        policy, values = soft_policy_iteration(small, max_steps=2, **settings)
    assert len(values) == 2
    np.testing.assert_allclose(maxentrl.evaluate(small, policy, **settings), values[-1], rtol=1e-13)
    with pytest.raises(InputError, match="max_steps must be a whole number, at least 1; got 0"):
        soft_policy_iteration(small, max_steps=0, **settings)


def test_a_policy_that_never_leaves_has_no_undiscounted_value():
    """The goal is one step away, and the policy does not take it."""
    successor = np.array([[[0], [1]], [[1], [1]]])
    mdp = maxentrl.TabularMDP((successor, np.ones((2, 2, 1))), -np.ones((2, 2)), terminal=[False, True])
    stay, leave = np.array([[0.0, -np.inf]] * 2), np.log([[0.5, 0.5]] * 2)
    for ask in (maxentrl.occupancy, lambda *a, **k: maxentrl.evaluate(*a, temperature=0.0, **k)):
        with pytest.raises(maxentrl.InfeasibleError, match="no terminal state can be reached from state 0;"):
            ask(mdp, stay, discount=1.0)
    # Two steps on average, by the geometric series.
    np.testing.assert_allclose(maxentrl.occupancy(mdp, leave, discount=1.0), [[1, 1], [0, 0]], atol=1e-14)
