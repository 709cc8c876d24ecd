"""The certificate of stationary answers, and their gradients by the implicit function theorem."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import maxentrl
from oracles import exact_stationary
from problems import as_mdp, random_problem
from unoptimised import unoptimised

S, A = 6, 3
"""One shape for all stationary tests, so that each kind of problem is compiled once."""

COUNT = 125
"""Problems of each of the eight kinds: a thousand in all."""

KINDS = [("max", "mean"), ("soft", "mean"), ("mean", "mean"), ("soft", "soft")]


def stationary_problems(action: str, state: str, seed: int):
    """Random problems with temperature and discount. With posterior dynamics no reward is positive, so V is
    finite.
    """
    rng = np.random.default_rng([seed, len(action), len(state)])
    chosen = []
    for i in range(COUNT):
        temperature = {"max": 0.0, "mean": math.inf}.get(action, float(10 ** rng.uniform(-3, 3)))
        problem = random_problem(
            rng,
            S,
            A,
            1,
            deterministic=i % 5 == 0,
            forbidden=i % 3 == 0,
            terminal=i % 2 == 0,
            counting=i % 4 < 2 and state == "mean" and temperature < 1,
            scale=float(10 ** rng.uniform(-2, -0.5)),
        )
        if state == "soft":
            problem["reward"] -= problem["reward"].max()
        discount = [0.0, 0.9999, 1 - 10 ** -rng.uniform(0, 4)][min(i, 2)]
        chosen.append((problem, temperature, float(discount)))
    return chosen


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize(("action", "state"), KINDS, ids=[f"{a}-{s}" for a, s in KINDS])
def test_the_certificate_bounds_the_true_error(action, state, sparse):
    chosen = stationary_problems(action, state, seed=int(sparse))
    temperature = np.array([t for _, t, _ in chosen])
    exact, residual = exact_stationary(
        np.stack([p["transition"] for p, _, _ in chosen]),
        np.stack([p["reward"][0] for p, _, _ in chosen]),
        np.stack([p["log_prior"] for p, _, _ in chosen]),
        np.stack([p["terminal"] for p, _, _ in chosen]),
        temperature if action == "soft" else action,
        temperature if state == "soft" else state,
        [d for _, _, d in chosen],
    )
    assert residual.max() < 1e-15 * (1 + np.abs(exact).max())
    for (problem, temperature, discount), v in zip(chosen, exact, strict=True):
        plan = maxentrl.solve(
            as_mdp(problem, sparse=sparse),
            temperature=temperature,
            discount=discount,
            dynamics="given" if state == "mean" else "posterior",
        )
        assert plan.converged
        assert plan.error_bound <= 1e-6
        assert np.max(np.abs(plan.v - v)) <= plan.error_bound, (temperature, discount)


def test_a_best_case_planner_takes_the_best_successor():
    """Both temperatures 0: the shortest way out that luck allows, here counted by hand."""
    transition = np.array([[[0.5, 0.5, 0.0]], [[0.9, 0.0, 0.1]], [[0.0, 0.0, 1.0]]])
    mdp = maxentrl.TabularMDP(transition, [[-1.0], [-1.0], [0.0]], terminal=[False, False, True])
    plan = maxentrl.solve(mdp, temperature=0.0, state_temperature=0.0, horizon=4)
    np.testing.assert_allclose(plan.v[0], [-2.0, -1.0, 0.0], atol=1e-9)


def negative(problem: dict, seed: int) -> dict:
    """A smooth problem without positive rewards and with an exit, on which every kind of plan exists."""
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.ones(S), (S, A))
    terminal = np.arange(S) == S - 1
    return {
        **problem,
        "transition": transition,
        "reward": -rng.uniform(0.2, 1, (1, S, A)),
        "terminal": terminal,
    }


GRADIENT_PROBLEM = negative(random_problem(np.random.default_rng(7), S, A, 1), 7)
DIRECTION = np.random.default_rng(8).normal(size=(S, A))


def planned(knobs, *, dynamics: str, horizon: int | None = None):
    """Value at the start as a function of (amount of reward in a direction, temperature, discount)."""
    amount, temperature, discount = knobs
    mdp = as_mdp(GRADIENT_PROBLEM).with_reward(GRADIENT_PROBLEM["reward"][0] + amount * DIRECTION)
    plan = maxentrl.solve(
        mdp,
        temperature=temperature,
        discount=discount,
        horizon=horizon,
        dynamics=dynamics,
    )
    v = plan.v if horizon is None else plan.v[0]
    return jnp.sum(jnp.asarray(GRADIENT_PROBLEM["initial"]) * v)


def independently(knobs, *, dynamics: str, horizon: int | None = None):
    """The same number from the oracle, in extended precision."""
    amount, temperature, discount = knobs
    p = GRADIENT_PROBLEM
    reward = p["reward"][0].astype(np.longdouble) + amount * DIRECTION
    v, residual = exact_stationary(
        p["transition"][None],
        reward[None],
        p["log_prior"][None],
        p["terminal"][None],
        np.array([temperature], np.longdouble),
        "mean" if dynamics == "given" else np.array([temperature], np.longdouble),
        np.array([discount], np.longdouble),
        steps=30,
        horizon=horizon,
    )
    assert horizon or residual.max() < 1e-16
    return p["initial"] @ v[0]


def central_differences(function, knobs, step=1e-3):
    """Gradient and second derivatives of a function of three numbers; the error is of order step squared."""
    knobs = np.asarray(knobs, np.longdouble)
    unit = step * np.eye(len(knobs))
    gradient = np.array([(function(knobs + e) - function(knobs - e)) / (2 * step) for e in unit])
    second = [
        [
            (
                function(knobs + e + f)
                - function(knobs + e - f)
                - function(knobs - e + f)
                + function(knobs - e - f)
            )
            / (4 * step**2)
            for f in unit
        ]
        for e in unit
    ]
    return gradient.astype(float), np.array(second, float)


@functools.cache
def derivatives(dynamics: str, horizon: int | None):
    value = functools.partial(planned, dynamics=dynamics, horizon=horizon)
    return jax.jit(lambda knobs: (jax.grad(value)(knobs), jax.hessian(value)(knobs)))


@pytest.mark.parametrize("dynamics", ["given", "posterior"])
@pytest.mark.parametrize(("horizon", "discount"), [(4, 0.8), (None, 0.8), (None, 1.0)])
def test_gradients_and_second_derivatives_equal_central_differences(horizon, discount, dynamics):
    """With respect to reward, temperature and discount; at discount 1, the first exit, to reward and
    temperature.
    """
    knobs = np.array([0.1, 0.7, discount])
    with jax.enable_x64(True):
        gradient, second = map(np.asarray, derivatives(dynamics, horizon)(knobs))
    free = 3 if discount < 1 else 2

    def by_hand(some):
        return independently([*some, *knobs[free:]], dynamics=dynamics, horizon=horizon)

    expected, expected_second = central_differences(by_hand, knobs[:free])
    # Central differences with step 1e-3 are off by about 1e-6 times the third and fourth derivatives.
    np.testing.assert_allclose(gradient[:free], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(second[:free, :free], expected_second, rtol=1e-3, atol=1e-4)


def test_the_gradient_through_tied_actions_is_shared_between_them_and_never_nan():
    """A 5 x 5 grid, hard maximum, under jit: nearly every state has two equally good moves."""
    row, column = np.divmod(np.arange(25), 5)
    moves = [(0, 1), (0, -1), (1, 0), (-1, 0)]
    successor = np.stack(
        [np.clip(row + dr, 0, 4) * 5 + np.clip(column + dc, 0, 4) for dr, dc in moves], axis=1
    )[..., None]
    terminal = np.arange(25) == 24
    mdp = maxentrl.TabularMDP(
        (successor, np.ones((25, 4, 1))), -np.ones((25, 4)), terminal=terminal, initial=np.eye(25)[0]
    )

    def start_value(reward):
        return maxentrl.solve(mdp.with_reward(reward), temperature=0.0, discount=0.99).start_value

    with jax.enable_x64(True):
        gradient = np.asarray(jax.jit(jax.grad(start_value))(jnp.asarray(mdp.reward)))
    assert np.all(np.isfinite(gradient))
    # Two shortest moves in the first state, and eight steps on the way, each discounted once more.
    np.testing.assert_allclose(gradient[0], [0.5, 0, 0.5, 0], atol=1e-12)
    np.testing.assert_allclose(gradient.sum(), (1 - 0.99**8) / 0.01, rtol=1e-12)


def test_a_batch_of_rewards_is_solved_as_each_alone():
    rng = np.random.default_rng(3)
    mdp = as_mdp(random_problem(rng, S, A, 1))
    rewards = rng.normal(size=(4, S, A))

    def value(reward):
        return maxentrl.solve(mdp.with_reward(reward), temperature=0.5, discount=0.9).v

    with jax.enable_x64(True):
        together = jax.jit(jax.vmap(value))(jnp.asarray(rewards))
    alone = np.stack([value(reward) for reward in rewards])
    np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_a_large_sparse_problem_is_solved_without_a_table():
    """1e5 states: the table would take 160 GB; the answer is checked by one backup written here."""
    states, discount, temperature = 100_000, 0.9, 0.5
    rng = np.random.default_rng(0)
    near = rng.integers(-20, 21, (states, 2, 3)) + np.arange(states)[:, None, None]
    probability = rng.dirichlet(np.ones(3), (states, 2))
    reward = rng.normal(size=(states, 2))
    mdp = maxentrl.TabularMDP((near % states, probability), reward)
    plan = maxentrl.solve(mdp, temperature=temperature, discount=discount)
    q = reward + discount * (probability * plan.v[near % states]).sum(-1)
    backed_up = temperature * np.log(np.mean(np.exp(q / temperature), axis=1))
    assert plan.converged
    assert np.max(np.abs(backed_up - plan.v)) <= 2 * plan.error_bound + 1e-12
    with pytest.raises(maxentrl.InputError, match=r"the dense transition table needs about 160 GB of memory"):
        mdp.transition_matrix()


def test_single_precision_agrees_to_its_precision_and_admits_what_it_cannot_prove():
    problem = random_problem(np.random.default_rng(5), S, A, 1)
    double = maxentrl.solve(as_mdp(problem), temperature=0.5, discount=0.9)
    with pytest.warns(UserWarning, match=r"the tolerance 1e-06 was not reached .* proven to within"):
        single = maxentrl.solve(as_mdp(problem, dtype="float32"), temperature=0.5, discount=0.9)
    assert single.v.dtype == np.float32
    assert not single.converged
    # A few units in the last place of |V|, amplified by 1 / (1 - discount) = 10.
    np.testing.assert_allclose(
        single.v, double.v, rtol=0, atol=100 * np.finfo(np.float32).eps * np.abs(double.v).max()
    )
    assert np.max(np.abs(single.v - double.v)) <= single.error_bound + double.error_bound


def test_a_hard_solve_is_proven_however_the_compiler_rounds():
    # Without optimisation the values of actions are computed apart from their maximum, and may round differently.
    rng = np.random.default_rng(0)
    with unoptimised():
        for _ in range(12):
            problem = random_problem(rng, 7, 3, 1, terminal=True)
            problem["transition"] = 0.8 * problem["transition"] + 0.2 / 7
            mdp = as_mdp(problem, sparse=True).with_reward(-rng.random((7, 3)))
            found = maxentrl.solve(mdp, temperature=0.0, discount=1.0)
            assert found.error_bound < 1e-11
            np.testing.assert_allclose(np.exp(found.log_policy).sum(1), 1.0, rtol=1e-12)
