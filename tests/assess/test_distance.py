"""Distances between rewards: what they must not see, what they must see, and that they are distances."""

import itertools
from functools import partial

import numpy as np
import pytest

from maxentrl import InputError, TabularMDP
from maxentrl.assess import dard, epic, minimal, regret_bound, shape, starc, value_adjusted
from problems import as_mdp, random_problem

S, A = 5, 3
FORMS = {"minimal": minimal, "value-adjusted": value_adjusted}

# Both sides are float64 numbers of order 1 after linear systems of condition about 1 / (1 - discount).
EXACT = 1e-10


def world(rng, *, terminal=False, sparse=False, forbidden=False):
    """A problem, as plain arrays and as the library's; what ends can be reached from everywhere."""
    problem = random_problem(rng, S, A, 1, terminal=terminal, forbidden=forbidden)
    problem["transition"] = 0.8 * problem["transition"] + 0.2 / S
    return problem, as_mdp(problem, sparse=sparse)


def shaped(table, potential, discount):
    """A reward [S, A, S] with the shaping of every triple."""
    return table + discount * potential - potential[:, None, None]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("discount", [0.0, 0.5, 0.99, 1.0])
def test_starc_sees_neither_scale_nor_shaping_nor_redistribution(form, sparse, discount):
    rng = np.random.default_rng(0)
    for i in range(10):
        problem, mdp = world(rng, terminal=discount == 1 or i % 2 == 0, sparse=sparse, forbidden=i % 3 == 0)
        table, potential = rng.normal(size=(S, A, S)), 5 * rng.normal(size=S)
        potential[problem["terminal"]] = 0
        spread = rng.normal(size=(S, A, S))
        spread -= np.einsum("sat,sat->sa", spread, problem["transition"])[:, :, None]
        other = 3.7 * shaped(table, potential, discount) + spread
        measure = partial(starc, mdp, discount=discount, canonical=FORMS[form])
        assert measure(table, other) < EXACT
        expected = np.einsum("sat,sat->sa", table, problem["transition"])
        assert measure(expected, table) < EXACT
        assert measure(expected, 2 * expected + shape(mdp, potential, discount=discount)) < EXACT
        assert measure(table, -other) == pytest.approx(1.0)


@pytest.mark.parametrize("form", FORMS)
def test_constants_are_seen_by_starc_only_where_something_ends(form):
    rng = np.random.default_rng(1)
    measure = partial(starc, discount=0.9, canonical=FORMS[form])
    for _ in range(10):
        reward = rng.normal(size=(S, A))
        _, endless = world(rng)
        assert measure(endless, reward, reward + 2) < EXACT
        _, ending = world(rng, terminal=True)
        assert measure(ending, reward, reward + 2) > 0.01


def test_a_reward_that_is_nothing_but_shaping_is_half_a_unit_from_any_other():
    rng = np.random.default_rng(2)
    _, mdp = world(rng)
    reward, nothing = rng.normal(size=(S, A)), shape(mdp, rng.normal(size=S), discount=0.9)
    for form in FORMS.values():
        assert starc(mdp, nothing, reward, discount=0.9, canonical=form) == pytest.approx(0.5)
        assert starc(mdp, nothing, np.ones((S, A)), discount=0.9, canonical=form) == 0
    triples = shaped(np.zeros((S, A, S)), rng.normal(size=S), 0.9)
    rewards = rng.normal(size=(S, A, S))
    assert epic(triples, rewards, discount=0.9) == pytest.approx(np.sqrt(0.5))
    assert dard(mdp, triples, rewards, discount=0.9) == pytest.approx(np.sqrt(0.5))
    assert epic(triples, np.ones((S, A, S)), discount=0.9) == 0


@pytest.mark.parametrize("discount", [0.0, 0.5, 0.99, 1.0])
def test_epic_and_dard_see_neither_scale_nor_constants_nor_shaping_of_every_triple(discount):
    rng = np.random.default_rng(3)
    for i in range(10):
        _, mdp = world(rng, sparse=i % 2 == 0)
        table = rng.normal(size=(S, A, S))
        other = 2.5 * shaped(table, 5 * rng.normal(size=S), discount) + 1.5
        share = {"states": rng.dirichlet(np.ones(S)), "actions": rng.dirichlet(np.ones(A))}
        assert epic(table, other, discount=discount) < EXACT
        assert epic(table, other, discount=discount, **share) < EXACT
        coverage = rng.dirichlet(np.ones(S * A * S)).reshape(S, A, S)
        assert epic(table, other, discount=discount, coverage=coverage, **share) < EXACT
        assert dard(mdp, table, other, discount=discount) < EXACT
        visits = rng.dirichlet(np.ones(S * A)).reshape(S, A)
        assert dard(mdp, table, other, discount=discount, coverage=visits, actions=share["actions"]) < EXACT
        assert epic(table, -other, discount=discount) == pytest.approx(1.0)
        assert dard(mdp, table, -other, discount=discount) == pytest.approx(1.0)


def test_epic_is_the_correlation_of_rewards_shaped_by_the_value_of_acting_and_moving_at_random():
    # The canonical reward is the advantage in a world whose next state is drawn from `states` whatever is done
    # (Gleave et al. 2021, section 4), here from its Bellman equation.
    rng = np.random.default_rng(4)
    states, actions, discount = rng.dirichlet(np.ones(S)), rng.dirichlet(np.ones(A)), 0.8
    tables = rng.normal(size=(2, S, A, S))
    weights = states[:, None, None] * actions[None, :, None] * states
    forms = []
    for table in tables:
        mean = np.einsum("a,sat,t->s", actions, table, states)
        value = np.linalg.solve(np.eye(S) - discount * np.tile(states, (S, 1)), mean)
        forms.append((table + discount * value - value[:, None, None]).ravel())
    covariance = np.cov(np.array(forms), aweights=weights.ravel(), ddof=0)
    correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    found = epic(*tables, discount=discount, states=states, actions=actions)
    assert found == pytest.approx(np.sqrt((1 - correlation) / 2), rel=1e-12)


def test_dard_is_the_correlation_of_its_equation_summed_term_by_term():
    rng = np.random.default_rng(5)
    problem, mdp = world(rng)
    p, actions, discount = problem["transition"], rng.dirichlet(np.ones(A)), 0.8
    tables = rng.normal(size=(2, S, A, S))
    forms = np.zeros((2, S, A, S))
    for i, s, a, t in itertools.product(range(2), range(S), range(A), range(S)):
        total = tables[i, s, a, t]
        for act, x, y in itertools.product(range(A), range(S), range(S)):
            chance = actions[act] * p[s, act, x] * p[t, act, y]
            total += chance * (
                discount * tables[i, t, act, y] - tables[i, s, act, x] - discount * tables[i, x, act, y]
            )
        forms[i, s, a, t] = total
    weights = np.broadcast_to(actions[None, :, None] / S, p.shape) * p
    covariance = np.cov(forms.reshape(2, -1), aweights=weights.ravel(), ddof=0)
    correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    found = dard(mdp, *tables, discount=discount, actions=actions)
    assert found == pytest.approx(np.sqrt((1 - correlation) / 2), rel=1e-10)


def test_shaping_already_averaged_over_next_states_is_seen_by_epic_and_dard_and_not_by_starc():
    rng = np.random.default_rng(6)
    _, mdp = world(rng)
    reward = rng.normal(size=(S, A))
    other = reward + shape(mdp, rng.normal(size=S), discount=0.9)
    assert starc(mdp, reward, other, discount=0.9) < EXACT
    assert epic(reward, other, discount=0.9) > 0.05
    assert dard(mdp, reward, other, discount=0.9) > 0.01


def test_each_is_a_distance_in_the_unit_interval():
    rng = np.random.default_rng(7)
    for i in range(20):
        _, mdp = world(rng, terminal=i % 2 == 0)
        tables = rng.normal(size=(3, S, A, S))
        tables[2] = tables[0] + 0.3 * rng.normal(size=(S, A, S))
        if i % 5 == 0:
            tables[1] = shaped(np.zeros((S, A, S)), rng.normal(size=S), 0.9)
        for measure in (
            partial(starc, mdp, discount=0.9),
            partial(starc, mdp, discount=0.9, canonical=value_adjusted),
            partial(dard, mdp, discount=0.9),
            partial(epic, discount=0.9),
        ):
            d = {(i, j): measure(tables[i], tables[j]) for i in range(3) for j in range(3)}
            assert all(0 <= value <= 1 + EXACT for value in d.values())
            assert all(d[i, i] == 0 and d[i, j] == d[j, i] for i, j in d)
            assert all(d[i, k] <= d[i, j] + d[j, k] + EXACT for i, j, k in itertools.permutations(range(3)))


def best_by_enumeration(problem, reward, discount):
    """Value from the start of every deterministic policy; sequence of (policy, value)."""
    for policy in itertools.product(*(np.flatnonzero(np.isfinite(row)) for row in problem["log_prior"])):
        moves = problem["transition"][np.arange(S), policy]
        value = np.linalg.solve(np.eye(S) - discount * moves, reward[np.arange(S), policy])
        yield policy, float(problem["initial"] @ value)


def test_no_policy_that_the_other_reward_prefers_loses_more_than_the_bound():
    rng = np.random.default_rng(8)
    discount = 0.7
    for i in range(12):
        problem, mdp = world(rng, forbidden=i % 2 == 0)
        reward = rng.normal(size=(S, A))
        other = reward + (0.01, 0.3, 3)[i % 3] * rng.normal(size=(S, A))
        bound, d = (
            regret_bound(mdp, reward, other, discount=discount),
            starc(mdp, reward, other, discount=0.7),
        )
        assert bound == pytest.approx(
            np.linalg.norm(minimal(mdp, reward, discount=discount)) * 2 * d * np.sqrt(2) / (1 - discount)
        )
        first = np.array([v for _, v in best_by_enumeration(problem, reward, discount)])
        second = np.array([v for _, v in best_by_enumeration(problem, other, discount)])
        loss = (first[:, None] - first)[second[:, None] <= second].max()
        assert loss <= bound
    assert regret_bound(mdp, reward, 4 * reward + 1, discount=discount) < 1e-8


def test_rewards_with_different_best_policies_are_apart():
    rng = np.random.default_rng(9)
    apart = 0
    for _ in range(30):
        problem, mdp = world(rng)
        reward = rng.normal(size=(S, A))
        other = reward + 0.3 * rng.normal(size=(S, A))
        first, second = (
            max(best_by_enumeration(problem, table, 0.7), key=lambda pair: pair[1])[0]
            for table in (reward, other)
        )
        if first != second:
            apart += 1
            for form in FORMS.values():
                assert starc(mdp, reward, other, discount=0.7, canonical=form) > 1e-3
    assert apart >= 5


def test_the_minimal_form_is_the_projection_off_the_span_of_all_shapings():
    rng = np.random.default_rng(10)
    for sparse in (False, True):
        problem, mdp = world(rng, terminal=True, forbidden=True, sparse=sparse)
        allowed = np.isfinite(problem["log_prior"]) & ~problem["terminal"][:, None]
        basis = [
            (0.9 * problem["transition"][:, :, s] - (np.arange(S)[:, None] == s))[allowed]
            for s in np.flatnonzero(~problem["terminal"])
        ]
        q = np.linalg.qr(np.array(basis).T)[0]
        reward = rng.normal(size=(S, A))
        found = minimal(mdp, reward, discount=0.9)
        np.testing.assert_allclose(found[allowed], reward[allowed] - q @ (q.T @ reward[allowed]), atol=1e-12)
        assert not found[~allowed].any()


def test_the_value_adjusted_form_is_the_advantage_over_a_fixed_policy():
    rng = np.random.default_rng(11)
    problem, mdp = world(rng, terminal=True)
    pi = rng.dirichlet(np.ones(A), S)
    p = problem["transition"] * ~problem["terminal"][:, None, None]
    reward = rng.normal(size=(S, A)) * ~problem["terminal"][:, None]
    value = np.linalg.solve(np.eye(S) - 0.9 * np.einsum("sa,sat->st", pi, p), (pi * reward).sum(1))
    advantage = (reward + 0.9 * p @ value - value[:, None]) * ~problem["terminal"][:, None]
    found = value_adjusted(mdp, reward, discount=0.9, log_policy=np.log(pi))
    np.testing.assert_allclose(found, advantage, atol=1e-12)


@pytest.mark.parametrize("canonical", [minimal, value_adjusted])
def test_a_constant_is_no_reward_in_float32_either(canonical):
    from maxentrl.envs import random_mdp

    mdp = random_mdp(30, 3, seed=0, dtype="float32")
    reward = np.random.default_rng(1).normal(size=(30, 3))
    assert starc(mdp, reward, 2 * reward + 7, discount=0.9, canonical=canonical) < 1e-9


def test_large_problems_are_projected_by_krylov_s_method_to_the_same_distance():
    from maxentrl.envs import random_mdp

    mdp = random_mdp(600, 3, branching=2, seed=0)
    rng = np.random.default_rng(12)
    reward, potential = rng.normal(size=(600, 3)), 5 * rng.normal(size=600)
    for discount in (0.9, 0.999):
        other = 2 * reward + shape(mdp, potential, discount=discount)
        # Its tolerance is 1e-14 of the condition number, about 2 / (1 - discount).
        assert starc(mdp, reward, other, discount=discount) < 1e-9


def test_bad_input_is_one_sentence():
    mdp = TabularMDP(np.full((2, 2, 2), 0.5), [[0.0, -np.inf], [0.0, 0.0]], state_names=("home", "work"))
    good, hole = np.zeros((2, 2)), np.array([[0.0, 0.0], [np.nan, 0.0]])
    with pytest.raises(InputError, match=r"discount must be one number in \[0, 1\]; got 2"):
        starc(mdp, good, good, discount=2)
    with pytest.raises(
        InputError, match=r"other must be finite for every choice; state work, action 0 holds"
    ):
        starc(mdp, good, hole, discount=0.9)
    with pytest.raises(InputError, match=r"reward must have shape \[S, A, S\] = \(2, 2, 2\)"):
        starc(mdp, np.zeros((2, 2, 3)), good, discount=0.9)
    with pytest.raises(InputError, match="reward must be numbers"):
        minimal(mdp, np.zeros(2), discount=0.9)
    with pytest.raises(InputError, match="regret_bound needs a discount below 1"):
        regret_bound(mdp, good, good, discount=1)
    with pytest.raises(InputError, match="state home forbids action 1"):
        dard(mdp, good, good, discount=0.9)
    with pytest.raises(InputError, match=r"entry \(1, 0, 0\) is not"):
        epic(good, hole, discount=0.9)
    with pytest.raises(InputError, match="states must hold probabilities that sum to 1; they sum to 2"):
        epic(good, good, discount=0.9, states=[1, 1])
    with pytest.raises(InputError, match=r"actions must have shape \(2,\)"):
        epic(good, good, discount=0.9, actions=[1.0])
    with pytest.raises(InputError, match="about the same states and actions"):
        epic(good, np.zeros((3, 2)), discount=0.9)
    with pytest.raises(InputError, match=r"potential must have shape"):
        shape(mdp, np.zeros(3), discount=0.9)
