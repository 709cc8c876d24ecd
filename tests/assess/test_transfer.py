"""Transfer to changed worlds, and counterfactual flows."""

import itertools

import numpy as np
import pytest

from maxentrl import InfeasibleError, InputError, TabularMDP
from maxentrl.assess import close, counterfactual, expected_flows, move_goal, shape, transfer
from maxentrl.envs import gridworld
from problems import as_mdp, random_problem

S, A = 4, 3


def returns(problem, reward, discount):
    """{deterministic policy: its discounted reward from the start}, by enumeration."""
    live = ~problem["terminal"]
    found = {}
    for policy in itertools.product(*(np.flatnonzero(np.isfinite(row)) for row in problem["log_prior"])):
        moves = problem["transition"][np.arange(S), policy] * live[:, None]
        gain = reward[np.arange(S), policy] * live
        found[policy] = float(problem["initial"] @ np.linalg.solve(np.eye(S) - discount * moves, gain))
    return found


@pytest.mark.parametrize("discount", [0.5, 0.95, 1.0])
def test_regret_is_what_enumeration_finds(discount):
    rng = np.random.default_rng(0)
    for i in range(6):
        problem = random_problem(rng, S, A, 1, terminal=discount == 1 or i % 2 == 0, forbidden=i % 3 == 0)
        problem["transition"] = 0.8 * problem["transition"] + 0.2 / S
        mdp = as_mdp(problem, sparse=True)
        # Losses, so that no loop of a first-exit problem pays for itself.
        truth, recovered = -rng.random((2, S, A))
        found = transfer(mdp, recovered, truth, discount=discount)
        by_truth, by_recovered = returns(problem, truth, discount), returns(problem, recovered, discount)
        chosen = max(by_recovered, key=lambda policy: by_recovered[policy])
        assert found.value == pytest.approx(by_truth[chosen], rel=1e-9)
        assert found.best == found.attainable == pytest.approx(max(by_truth.values()), rel=1e-9)
        assert found.regret == pytest.approx(max(by_truth.values()) - by_truth[chosen], abs=1e-9)
        allowed = np.isfinite(problem["log_prior"])
        blind = allowed / allowed.sum(1, keepdims=True) * ~problem["terminal"][:, None]
        moves = np.einsum("sa,sat->st", blind, problem["transition"])
        uniform = problem["initial"] @ np.linalg.solve(np.eye(S) - discount * moves, (blind * truth).sum(1))
        assert found.uniform == pytest.approx(uniform, rel=1e-9)
        assert found.normalised == pytest.approx(found.regret / (found.best - uniform), abs=1e-9)
        assert transfer(mdp, truth, truth, discount=discount).regret == 0


def test_a_soft_policy_of_the_true_reward_attains_less_than_the_best_and_cools_towards_it():
    rng = np.random.default_rng(1)
    problem = random_problem(rng, S, A, 4)
    mdp, truth = as_mdp(problem), rng.normal(size=(S, A))
    for clock in ({"discount": 0.9}, {"horizon": 4}):
        found = [transfer(mdp, truth, truth, temperature=t, **clock) for t in (10.0, 1.0, 0.1, 1e-3)]
        assert all(x.value == x.attainable and x.best >= x.value for x in found)
        assert all(warm.regret > cool.regret for warm, cool in itertools.pairwise(found))
        assert found[-1].regret < 1e-2 < found[0].regret
        assert found[0].log_policy.shape == ((4, S, A) if "horizon" in clock else (S, A))


def test_shaping_costs_nothing_where_it_was_made_and_something_where_the_dynamics_changed():
    rng = np.random.default_rng(2)
    costly = 0
    for _ in range(10):
        here, there = (as_mdp(random_problem(rng, S, A, 1)) for _ in range(2))
        truth = rng.normal(size=(S, A))
        recovered = 2 * (truth + shape(here, 3 * rng.normal(size=S), discount=0.9))
        assert transfer(here, recovered, truth, discount=0.9).regret < 1e-9
        costly += transfer(there, recovered, truth, discount=0.9).regret > 0.01
        # A potential that is averaged by the new dynamics moves with them.
        again = 2 * (truth + shape(there, 3 * rng.normal(size=S), discount=0.9))
        assert transfer(there, again, truth, discount=0.9).regret < 1e-9
    assert costly >= 5


def test_where_nothing_can_be_lost_the_normalised_regret_is_zero():
    mdp = TabularMDP(np.full((2, 2, 2), 0.5), np.zeros((2, 2)))
    found = transfer(mdp, [[1.0, 0.0], [0.0, 1.0]], np.ones((2, 2)), discount=0.9)
    assert found.regret == found.normalised == 0 and found.best == pytest.approx(10)


TEXT = """
    S..
    .#.
    ..G
"""


def test_a_closed_arc_carries_nothing_and_its_traffic_goes_elsewhere():
    mdp = gridworld(TEXT)
    change = counterfactual(mdp, close(mdp, 0, "right"), temperature=1.0, discount=1.0)
    right = mdp.action_names.index("right")
    assert change.before.actions[0, right] > 0.3 and change.after.actions[0, right] == 0
    assert change.actions[0, right] == -change.before.actions[0, right]
    assert change.states[np.asarray(mdp.terminal)] == pytest.approx(0, abs=1e-9)
    assert change.after.states[-1] == pytest.approx(1) and change.value < 0
    for part in (change.before, change.after):
        np.testing.assert_allclose(part.actions.sum(1)[:-1], part.states[:-1], rtol=1e-12)
        assert part.actions[-1].sum() == 0


@pytest.mark.parametrize("clock", [{"discount": 0.9}, {"discount": 1.0}, {"horizon": 12}])
def test_what_flows_in_flows_out(clock):
    mdp = gridworld(TEXT, slip=0.2)
    found = expected_flows(mdp, temperature=1.0, **clock)
    p = np.asarray(mdp.transition_matrix())
    arrived = clock.get("discount", 1.0) * np.einsum("sa,sat->t", found.actions, p) + np.asarray(mdp.initial)
    if "horizon" not in clock:
        np.testing.assert_allclose(found.states, arrived, atol=1e-9)
    else:
        assert found.actions.sum() <= 12 and found.states[-1] == pytest.approx(arrived[-1])
        assert found.actions.sum() == pytest.approx(found.states[:-1].sum())


@pytest.mark.parametrize(("slip", "prior"), [(0.0, "counting"), (0.2, "uniform")])
def test_a_moved_goal_gives_the_problem_that_is_drawn_with_the_goal_elsewhere(slip, prior):
    before = gridworld(TEXT, slip=slip, prior=prior)
    after = gridworld("S..\n.#.\nG..", slip=slip, prior=prior)
    rows = np.asarray(after.transition_matrix())[7]
    moved = move_goal(before, 7, 5, transition=rows, reward=np.full(4, -1.0), bonus=10.0)
    live = ~np.asarray(after.terminal)
    np.testing.assert_array_equal(moved.terminal, after.terminal)
    np.testing.assert_allclose(moved.transition_matrix()[live], after.transition_matrix()[live], atol=1e-15)
    np.testing.assert_allclose(moved.log_prior[live], after.log_prior[live], atol=1e-15)
    # The old goal's own reward is given without the bonus of the new one, which its row leads to.
    np.testing.assert_allclose(moved.reward[live], after.reward[live], atol=1e-12)
    assert moved.action_names == before.action_names
    np.testing.assert_array_equal(moved.coordinates, before.coordinates)
    assert expected_flows(moved, temperature=0.5, discount=1.0).states[5] == pytest.approx(1)


def test_a_goal_moves_in_full_tables_too_and_a_row_of_zeros_is_no_way_out():
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(3), (3, 2))
    mdp = TabularMDP(p, -np.ones((3, 2)), terminal=[False, False, True], state_names=("a", "b", "c"))
    moved = move_goal(mdp, "c", "b", transition=[[0.0, 0, 0], [0.5, 0.5, 0]], reward=[0.0, -2.0])
    assert moved.terminal.tolist() == [False, True, False]
    assert moved.log_prior[2].tolist() == [-np.inf, 0.0] and moved.reward[2].tolist() == [0.0, -2.0]
    np.testing.assert_allclose(moved.transition_matrix()[2, 1], [0.5, 0.5, 0])


def test_bad_input_is_one_sentence():
    p = np.zeros((3, 2, 3))
    p[0, :, 1] = p[1, :, 2] = p[2, :, 2] = 1
    mdp = TabularMDP(
        p,
        [[-1.0, -np.inf], [-1.0, -1.0], [0.0, 0.0]],
        terminal=[False, False, True],
        state_names=("a", "b", "c"),
    )
    with pytest.raises(
        InputError, match="state must be a name such as a, b, c, or a number from 0 to 2; got 'x'"
    ):
        close(mdp, "x", 0)
    with pytest.raises(InputError, match="action must be a number from 0 to 1; got 2"):
        close(mdp, "a", 2)
    with pytest.raises(InputError, match="action 1 of state a cannot be closed: no choice exists there"):
        close(mdp, "a", "1")
    with pytest.raises(InputError, match="action 0 of state a cannot be closed: it is the only action there"):
        close(mdp, "a", 0)
    rows = {"transition": np.eye(3)[:2], "reward": np.zeros(2)}
    with pytest.raises(InputError, match="origin must be a goal; state a is not terminal"):
        move_goal(mdp, "a", "b", **rows)
    with pytest.raises(InputError, match="to must not be a goal yet; state c is terminal"):
        move_goal(mdp, "c", "c", **rows)
    with pytest.raises(InputError, match=r"transition must have shape \[A, S\]"):
        move_goal(mdp, "c", "a", transition=np.eye(3), reward=np.zeros(2))
    with pytest.raises(InputError, match=r"rows must sum to 1; row \(state 2, action 0\) sums to 0.5"):
        move_goal(mdp, "c", "a", transition=[[0.5, 0, 0], [1, 0, 0]], reward=np.zeros(2))
    with pytest.raises(InputError, match="before and after must have the same states and actions"):
        counterfactual(mdp, gridworld(TEXT), temperature=1.0, discount=0.9)
    with pytest.raises(InputError, match="true_reward must be finite for every choice; state b, action 0"):
        transfer(mdp, np.zeros((3, 2)), [[0, 0], [np.nan, 0], [0, 0]], discount=0.9)
    with pytest.raises(InputError, match=r"reward must have shape \[S, A\]"):
        transfer(mdp, np.zeros((3, 2, 3)), np.zeros((3, 2)), discount=0.9)
    p[1, 0] = [1, 0, 0]
    loop = TabularMDP(p, -np.ones((3, 2)), terminal=[False, False, True])
    with pytest.raises(InfeasibleError, match="no terminal state can be reached"):
        counterfactual(loop, close(loop, 1, 1), temperature=1.0, discount=1.0)
