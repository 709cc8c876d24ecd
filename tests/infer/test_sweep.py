"""The fast routes say what the definitions say: one sweep of the value, and mass sent forward."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import maxentrl as me
from maxentrl import Sparse, TabularMDP
from maxentrl.core.types import Temperatures
from maxentrl.infer import backup as one
from maxentrl.infer import sending, sweep, tabular
from maxentrl.models.arrivals import arrivals

A, K, S = 3, 4, 40
DISCOUNT = 0.9
EPS = {"float64": 2.0**-52, "float32": 2.0**-23}


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def problem(local: bool, prior: str, dtype: str = "float64", actions: int = A, count: int = K) -> TabularMDP:
    """Random lists with forbidden actions and a terminal state, marked as local or not."""
    rng = np.random.default_rng(3)
    successor = rng.integers(0, S, (S, actions, count))
    probability = rng.dirichlet(np.ones(count), (S, actions)).astype(dtype)
    reward = rng.normal(size=(S, actions))
    reward[rng.random((S, actions)) < 0.2] = -np.inf
    reward[:, 0] = 0.3
    weights = np.log(rng.dirichlet(np.ones(actions), S)) if prior == "uneven" else prior
    terminal = np.arange(S) == 3
    mdp = TabularMDP((successor, probability), reward, prior=weights, terminal=terminal, dtype=dtype)
    lists = mdp.transition
    assert isinstance(lists, Sparse)
    return mdp._replace(transition=Sparse(lists.successor, lists.probability, local))


@pytest.mark.parametrize("temperature", [0.0, 0.3, np.inf])
@pytest.mark.parametrize(("local", "dtype"), [(True, "float64"), (False, "float64"), (False, "float32")])
def test_the_value_sweep_and_its_gradient_equal_those_of_the_backup(temperature, local, dtype):
    mdp = problem(local, "uneven", dtype)
    temperatures = Temperatures(temperature, np.inf)
    v = np.random.default_rng(1).normal(size=S).astype(dtype)

    def defined(reward, v, discount):
        return one.backup(mdp.with_reward(reward), v, temperatures, discount)[1]

    def swept(reward, v, discount):
        return one.value_backup(mdp.with_reward(reward), v, temperatures, discount)

    where = (jnp.asarray(mdp.reward), jnp.asarray(v), jnp.asarray(DISCOUNT, dtype))
    (old, back), (new, back_new) = jax.vjp(defined, *where), jax.vjp(swept, *where)
    # A few roundings of numbers of order 1 to 10, and of sums of up to S of them in the gradients.
    assert new.dtype == dtype
    np.testing.assert_allclose(new, old, rtol=0, atol=64 * EPS[dtype])
    cotangent = jnp.cos(jnp.arange(S, dtype=dtype))
    for expected, found in zip(back(cotangent), back_new(cotangent), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=64 * S * EPS[dtype])


@pytest.mark.parametrize(("actions", "count"), [(20, 2), (2, 20)])
def test_long_lists_of_actions_or_successors_change_nothing(actions, count):
    mdp = problem(True, "uniform", "float64", actions, count)
    v = np.random.default_rng(1).normal(size=S)
    for temperature in (0.0, 0.3, np.inf):
        temperatures = Temperatures(temperature, np.inf)
        expected = one.backup(mdp, v, temperatures, DISCOUNT)[1]
        found = one.value_backup(mdp, v, temperatures, DISCOUNT)
        np.testing.assert_allclose(found, expected, rtol=0, atol=64 * EPS["float64"])


def test_scores_that_tie_have_the_derivatives_of_a_softmax():
    lists, v = jax.tree.map(jnp.asarray, problem(True, "uniform").transition), jnp.zeros(S)
    prior = jnp.array([0.25, 0.25, 0.5])

    def total(extra):
        pay = tuple(jnp.full(S, extra[a] + 0.5 * jnp.log(prior[a])) for a in range(A))
        value = sweep.value(
            lists.successor, lists.probability, sweep.Payoff(pay, None), v, 0.5, 1.0, kind="soft", local=True
        )
        return value[0]

    # Scores at which actions 0 and 1 tie, and with them together action 2.
    for extra in (np.zeros(A), np.array([0.0, 0.0, -0.5 * np.log(2.0)])):
        weight = np.exp(extra / 0.5) * np.asarray(prior)
        pi = weight / weight.sum()
        np.testing.assert_allclose(jax.grad(total)(extra), pi, atol=1e-14)
        np.testing.assert_allclose(
            jax.hessian(total)(extra), (np.diag(pi) - np.outer(pi, pi)) / 0.5, atol=1e-14
        )


def test_the_second_derivative_in_the_temperature_is_the_slope_of_the_first():
    mdp = problem(False, "uneven")

    def total(temperature):
        return jnp.sum(tabular.backward(mdp, Temperatures(temperature, jnp.inf), 3))

    slope, step = jax.grad(total), 1e-5
    difference = (slope(0.5 + step) - slope(0.5 - step)) / (2 * step)
    # The error of a central difference: step^2 times a third derivative of order 1e4, and rounding / step.
    np.testing.assert_allclose(jax.grad(slope)(0.5), difference, rtol=1e-6)


def crowd() -> Sparse:
    """Lists in which a quarter of all entries lead to one state, and one list is empty."""
    rng = np.random.default_rng(5)
    successor = rng.integers(0, S, (A, K, S)).astype(np.int32)
    successor[:, 0] = 7
    probability = rng.dirichlet(np.ones(K), (A, S)).transpose(0, 2, 1).copy()
    probability[1, 2] = 0.0
    return Sparse(successor, probability)


def turned() -> Sparse:
    """The same with its entries in order of arrival as well; those of the crowd do not fit into the lists."""
    lists = crowd()
    return Sparse(*jax.tree.leaves(lists), arrivals=arrivals(lists.successor, lists.probability))


def parted() -> Sparse:
    """The same as if no two actions' flows fitted into the cache: each action has lists of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maxentrl.models.arrivals.CACHE", 1)
        patch.setattr("maxentrl.models.arrivals.FEW", 1)
        return turned()


FORMS = pytest.mark.parametrize("form", [crowd, turned, parted])


@FORMS
def test_mass_sent_forward_is_the_transposed_product(form):
    lists, mass = form(), np.random.default_rng(1).random((A, S))
    expected = np.zeros(S)
    for a, k, s in np.ndindex(A, K, S):
        expected[lists.successor[a, k, s]] += mass[a, s] * lists.probability[a, k, s]
    np.testing.assert_allclose(sending.push(lists, mass), expected, rtol=A * K * S * EPS["float64"])


@FORMS
@pytest.mark.parametrize("spread", [1.0, 3000.0])
def test_log_mass_sent_forward_is_right_within_and_beyond_the_range_of_the_number_format(spread, form):
    lists, rng = form(), np.random.default_rng(1)
    log_mass = -spread * rng.random((A, S))
    log_mass[0, :5] = -np.inf
    expected = np.full(S, -np.inf)
    for a, k, s in np.ndindex(A, K, S):
        if lists.probability[a, k, s] > 0:
            flow = log_mass[a, s] + np.log(lists.probability[a, k, s])
            expected[lists.successor[a, k, s]] = np.logaddexp(expected[lists.successor[a, k, s]], flow)
    found = sending.log_push(lists, jnp.asarray(log_mass))
    # Each exponential of an argument up to `spread` is off by that many units in the last place.
    np.testing.assert_allclose(found, expected, rtol=0, atol=4 * A * K * S * (1 + spread) * EPS["float64"])
    reached = expected > -np.inf
    slope = jax.grad(lambda x: jnp.sum(jnp.where(reached, sending.log_push(lists, x), 0.0)))(
        jnp.asarray(log_mass)
    )
    # Each arriving sum is shared out among what it is made of: the shares add up to one per state reached.
    np.testing.assert_allclose(jnp.sum(slope), reached.sum(), rtol=S * (1 + spread) * EPS["float64"])


@FORMS
@pytest.mark.parametrize("spread", [1.0, 3000.0])
def test_a_message_sent_with_common_weights_is_the_same_mass_sent_in_logs(spread, form):
    lists, rng = form(), np.random.default_rng(2)
    log_a, log_weight = -spread * rng.random(S), -spread * rng.random((A, S))
    log_a[:3], log_weight[1, 5:9] = -np.inf, -np.inf
    common = sending.sending(lists, jnp.asarray(log_weight))
    found = sending.send(lists, jnp.asarray(log_a), common)
    expected = sending.log_push(crowd(), jnp.asarray(log_a + log_weight))
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=4 * A * K * S * (1 + 2 * spread) * EPS["float64"]
    )


def test_lists_in_parts_read_the_flow_of_one_action_each():
    together, apart = turned().arrivals, parted().arrivals
    assert together is not None and apart is not None
    for arrived, whole in ((together, False), (apart, True)):
        used = np.where(arrived.probability > 0, arrived.source // S, -1)
        assert all(len(set(row[row >= 0])) <= 1 for row in used) is whole


def test_states_whose_neighbours_lead_to_neighbours_are_local():
    here = np.arange(1000)
    near = np.stack([np.minimum(here + 1, 999), here], 1)[:, None]
    far = np.random.default_rng(0).integers(0, 1000, (1000, 1, 2))
    half = np.full((1000, 1, 2), 0.5)
    for successor, local in ((near, True), (far, False)):
        lists = TabularMDP((successor, half), np.zeros((1000, 1))).transition
        assert isinstance(lists, Sparse) and lists.local is local


def test_long_horizons_of_large_problems_are_answered_as_from_the_lists(monkeypatch):
    lists = crowd()
    lists.probability[1] = lists.probability[0]
    mdp = TabularMDP(lists, np.random.default_rng(4).random((S, A)))
    policy = jnp.asarray(mdp.log_prior)

    def both():
        post = me.posterior(mdp, temperature=0.5, horizon=20, dynamics="given")
        return *post.log_forward, *post.log_state, *me.occupancy(mdp, policy, horizon=20)

    plain = both()
    monkeypatch.setattr(tabular, "LARGE", 1)
    monkeypatch.setattr(tabular, "cores", lambda: 2)
    for weighted in (True, False):
        assert tabular.prepared(mdp, 20, weighted=weighted).transition.arrivals is not None
    # 20 steps, each a sum of at most A K S terms, in logs of at most 100.
    for found, expected in zip(both(), plain, strict=True):
        np.testing.assert_allclose(found, expected, rtol=20 * A * K * S * EPS["float64"], atol=1e-12)
