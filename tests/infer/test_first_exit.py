"""First exit (discount 1, no horizon): solved where a finite answer exists, refused by name
where none does.
"""

import math
import time

import numpy as np
import pytest
from scipy.optimize import linprog

import maxentrl
from maxentrl import InfeasibleError, InputError, TabularMDP
from maxentrl.infer.first_exit import require_exit
from problems import as_mdp, random_problem

S, A = 6, 3


def exit_problem(rng, *, deterministic: bool):
    """An exit at the last state that each state can reach, and only losses on the way."""
    problem = random_problem(rng, S, A, 1, deterministic=deterministic)
    problem["terminal"] = np.arange(S) == S - 1
    if deterministic:
        problem["transition"][:-1, 0] = np.eye(S)[1:]
    else:
        problem["transition"] = 0.8 * problem["transition"]
        problem["transition"][..., S - 1] += 0.2
    problem["reward"] = -rng.uniform(0.1, 2, (1, S, A))
    return problem


def exponentiated_values(problem: dict, temperature: float):
    """z = exp(V / temperature) from its linear equation z = M z + b, and the spectral radius of M."""
    live = ~problem["terminal"]
    weight = np.exp(problem["log_prior"] + problem["reward"][0] / temperature)
    m = np.einsum("sa,sat->st", weight, problem["transition"])
    inner = m[np.ix_(live, live)]
    z = np.ones(len(live))
    z[live] = np.linalg.solve(np.eye(live.sum()) - inner, m[np.ix_(live, ~live)].sum(1))
    return z, np.abs(np.linalg.eigvals(inner)).max()


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_posterior_values_are_the_logs_of_a_linear_solution(sparse):
    """exp(V / temperature) is linear in this model (Todorov 2006), for any dynamics."""
    rng = np.random.default_rng(0)
    for i in range(20):
        problem, temperature = exit_problem(rng, deterministic=i % 2 == 0), 10 ** rng.uniform(-0.5, 1)
        plan = maxentrl.solve(
            as_mdp(problem, sparse=sparse), temperature=temperature, discount=1.0, dynamics="posterior"
        )
        z, radius = exponentiated_values(problem, temperature)
        assert radius < 1
        assert plan.converged
        assert np.max(np.abs(plan.v - temperature * np.log(z))) <= plan.error_bound + 1e-12 / (1 - radius)
        if i % 2 == 0:
            given = maxentrl.solve(as_mdp(problem, sparse=sparse), temperature=temperature, discount=1.0)
            np.testing.assert_allclose(given.v, plan.v, atol=given.error_bound + plan.error_bound)


def test_shortest_stochastic_paths_equal_a_linear_programme():
    """At temperature 0, V is the least vector that no backup raises: minimise sum V with V >= r + P V."""
    rng = np.random.default_rng(1)
    for _ in range(5):
        problem = exit_problem(rng, deterministic=False)
        plan = maxentrl.solve(as_mdp(problem), temperature=0.0, discount=1.0)
        live = ~problem["terminal"]
        rows = (problem["transition"] - np.eye(S)[:, None])[live][..., live].reshape(-1, live.sum())
        answer = linprog(
            np.ones(live.sum()), A_ub=rows, b_ub=-problem["reward"][0][live].ravel(), bounds=(None, None)
        )
        np.testing.assert_allclose(plan.v[live], answer.x, atol=1e-6)


def two_way_street(reward: float, **settings) -> TabularMDP:
    """States home, road and goal. One may go back and forth between home and road, or drive to the goal."""
    successor = np.array([[[1], [1]], [[0], [2]], [[2], [2]]])
    return TabularMDP(
        (successor, np.ones((3, 2, 1))),
        np.full((3, 2), reward),
        terminal=[False, False, True],
        state_names=["home", "road", "goal"],
        **settings,
    )


@pytest.mark.parametrize("dynamics", ["given", "posterior"])
def test_a_loop_that_pays_is_refused_by_name(dynamics):
    with pytest.raises(
        InfeasibleError, match=r"no finite solution: looping through states home, road pays .* a step"
    ):
        maxentrl.solve(two_way_street(1.0), temperature=1.0, discount=1.0, dynamics=dynamics)


def test_a_network_whose_linear_equation_has_a_negative_solution_is_refused_with_its_spectral_radius():
    """Per step exp(1) arrives, and half of it comes back every second step: radius exp(1) / sqrt(2)."""
    mdp = two_way_street(1.0)
    problem = {
        "transition": mdp.transition_matrix(),
        "reward": mdp.reward[None],
        "log_prior": mdp.log_prior,
        "terminal": np.asarray(mdp.terminal),
    }
    z, radius = exponentiated_values(problem, 1.0)
    assert z.min() < 0
    np.testing.assert_allclose(radius, math.e / math.sqrt(2))
    with pytest.raises(InfeasibleError, match=r"spectral radius 1\.9221\d*, must be below 1"):
        maxentrl.solve(mdp, temperature=1.0, discount=1.0, dynamics="posterior")


def test_the_counting_prior_pays_for_staying_and_can_make_a_loss_infeasible():
    """log 2 a step for two actions: -0.3 is then a gain on the street, and -0.8 is not. The uniform prior
    takes both.
    """
    assert maxentrl.solve(two_way_street(-0.3), temperature=1.0, discount=1.0).converged
    assert maxentrl.solve(two_way_street(-0.8, prior="counting"), temperature=1.0, discount=1.0).converged
    with pytest.raises(InfeasibleError, match="looping through states home, road"):
        maxentrl.solve(two_way_street(-0.3, prior="counting"), temperature=1.0, discount=1.0)


def test_a_loop_that_costs_nothing_is_refused_at_temperature_zero():
    with pytest.raises(InfeasibleError, match=r"looping through states home, road pays -?0 a step"):
        maxentrl.solve(two_way_street(0.0), temperature=0.0, discount=1.0)


def test_a_loop_that_leaks_is_feasible_for_control_and_not_for_optimists():
    """Each step ends with probability 1/2 and pays 1, so V = 2; wishing away the end pays 1 - log 2 > 0 a
    step.
    """
    mdp = TabularMDP([[[0.5, 0.5]], [[0, 1]]], [[1.0], [0.0]], terminal=[False, True])
    np.testing.assert_allclose(maxentrl.solve(mdp, temperature=1.0, discount=1.0).v, [2.0, 0.0], atol=1e-9)
    with pytest.raises(InfeasibleError, match=r"looping through state 0 pays 0\.3068\d* a step"):
        maxentrl.solve(mdp, temperature=1.0, discount=1.0, dynamics="posterior")
    # Discount 0.5 in the graphical model is one more leak: 1 - log 2 - log 2 < 0, and z = e/4 (z + 1) + e/2.
    plan = maxentrl.solve(mdp, temperature=1.0, discount=0.5, dynamics="posterior")
    np.testing.assert_allclose(
        plan.v[0], math.log(0.75 * math.e / (1 - math.e / 4)), atol=plan.error_bound + 1e-12
    )


def test_posterior_dynamics_with_too_weak_a_discount_are_refused():
    mdp = TabularMDP([[[1.0]]], [[1.0]])
    with pytest.raises(
        InfeasibleError,
        match=r"posterior dynamics and discount 0\.9 has no finite solution: .* or give a lower discount\.",
    ):
        maxentrl.solve(mdp, temperature=1.0, discount=0.9, dynamics="posterior")


def test_of_many_loops_the_one_that_pays_most_is_named_with_what_it_pays():
    """Three lone states, each free to stay or go; and two that swap, at (3 + 1) / 2 - log 2 a step."""
    successor = np.array([[0, 5], [1, 5], [2, 5], [4, 5], [3, 5], [5, 5]])
    reward = np.array([0.1, 1.9, 0.5, 3.0, 1.0, 0.0])[:, None] * np.ones(2)
    mdp = TabularMDP((successor[..., None], np.ones((6, 2, 1))), reward, terminal=np.arange(6) == 5)
    for dynamics in ("given", "posterior"):
        with pytest.raises(InfeasibleError, match=r"looping through states 3, 4 pays 1\.30685 a step"):
            maxentrl.solve(mdp, temperature=1.0, discount=1.0, dynamics=dynamics)


def test_values_beyond_the_number_format_are_not_blamed_on_loops_where_every_loop_is_discounted():
    mdp = TabularMDP([[[1.0]]], [[1e308]])
    with pytest.raises(
        InfeasibleError, match=r"problem with discount 0\.9 do not fit the number format float64"
    ):
        maxentrl.solve(mdp, temperature=1.0, discount=0.9)


def test_an_exit_too_rare_for_the_number_format_is_not_called_a_loop():
    mdp = TabularMDP([[[1.0, 1e-20]], [[0, 1]]], [[-1.0], [0.0]], terminal=[False, True])
    with pytest.raises(InfeasibleError, match="no loop can be held for ever, but to leave takes too long"):
        maxentrl.solve(mdp, temperature=1.0, discount=1.0)


def test_a_search_that_was_cut_short_says_so():
    with pytest.raises(InfeasibleError, match="not be solved to a proven answer: the search was cut short"):
        maxentrl.solve(walk(60), temperature=1.0, discount=1.0, max_sweeps=1)


def walk(length: int) -> TabularMDP:
    """A corridor that is left at its far end, at a loss for each step."""
    place = np.arange(length)
    successor = np.stack([np.maximum(place - 1, 0), np.minimum(place + 1, length - 1)], 1)[..., None]
    return TabularMDP(
        (successor, np.ones((length, 2, 1))), -np.ones((length, 2)), terminal=place == length - 1
    )


def test_the_search_for_exits_takes_time_in_proportion_to_the_corridor():
    """Layer after layer took a pass over all edges for each: sixteen times longer for four times the length."""
    seconds = []
    for length in (10_000, 40_000):
        mdp, tries = walk(length), []
        for _ in range(3):
            begin = time.perf_counter()
            require_exit(mdp)
            tries.append(time.perf_counter() - begin)
        seconds.append(min(tries))
    assert seconds[1] < 10 * seconds[0]


def test_a_goal_that_cannot_be_reached_is_refused_by_name():
    successor = np.array([[[1]], [[0]], [[2]]])
    mdp = TabularMDP(
        (successor, np.ones((3, 1, 1))),
        -np.ones((3, 1)),
        terminal=[False, False, True],
        state_names=["a", "b", "goal"],
    )
    with pytest.raises(InfeasibleError, match=r"no terminal state can be reached from states a, b;"):
        maxentrl.solve(mdp, temperature=1.0, discount=1.0)


def test_discount_one_without_horizon_or_goal_is_refused():
    mdp = as_mdp(random_problem(np.random.default_rng(0), S, A, 1))
    with pytest.raises(
        InputError, match="first-exit problem, and needs terminal states; this problem has none"
    ):
        maxentrl.solve(mdp, temperature=1.0, discount=1.0)


def test_an_infeasible_problem_is_an_input_error():
    """So that one `except` catches everything a user can cause."""
    assert issubclass(InfeasibleError, InputError)
    assert issubclass(InputError, ValueError)
