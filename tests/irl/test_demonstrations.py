"""Demonstrations are held against the problem, counted, and made up in the right proportions."""

import numpy as np
import pytest
from scipy.special import gammaln

from irl.worlds import A, S, demonstrate, flow, key, policy, world
from maxentrl import InputError, TabularMDP
from maxentrl.data import trajectories_from_arrays
from maxentrl.irl import check_demonstrations, sample_trajectories, visits
from maxentrl.irl.demonstrations import explain_copies, explain_whole_copies

P = np.array(
    [[[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]], [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]], [[1.0, 0, 0], [1.0, 0, 0]]]
)
REWARD = np.array([[0.0, 0.0], [0.0, -np.inf], [0.0, 0.0]])
NAMES = {"state_names": ("home", "road", "work"), "action_names": ("stay", "go")}
MDP = TabularMDP(P, REWARD, terminal=np.array([False, False, True]), **NAMES)
# The same by successor lists, with a successor that occurs twice.
LISTS = (np.array([[[0, 1, 1], [2, 0, 0]], [[1, 0, 0], [1, 0, 0]], [[0, 0, 0], [0, 0, 0]]]),
         np.array([[[0.5, 0.2, 0.3], [1, 0, 0]], [[1, 0, 0]] * 2, [[1, 0, 0]] * 2]))  # fmt: skip
SPARSE = TabularMDP(LISTS, REWARD, terminal=np.array([False, False, True]), **NAMES)


@pytest.mark.parametrize("mdp", [MDP, SPARSE])
def test_the_log_probability_of_each_transition_is_returned(mdp):
    demos = trajectories_from_arrays(np.array([[0, 0, 1], [0, 2, -1]]), np.array([[0, 0, -1], [1, -1, -1]]))
    np.testing.assert_allclose(check_demonstrations(mdp, demos), np.log([[0.5, 0.5], [1, 1]]), rtol=1e-12)


@pytest.mark.parametrize("mdp", [MDP, SPARSE])
@pytest.mark.parametrize(
    ("states", "actions", "sentence"),
    [
        ([[0, 3]], [[0, 0]], r"1 of 2 .* the problem has 3 states, 0 to 2.*trajectory '0', step 1: state 3"),
        ([[0, 3]], [[0]], "the problem has 3 states.*step 0: state home, action stay, next state 3"),
        ([[0, 0]], [[0, 2]], "the problem has 2 actions, 0 to 1.*action 2"),
        ([[0, 2, 0]], [[1, 0, 0]], "a terminal state ends the process.*step 1: state work"),
        ([[0, 1, 1]], [[0, 1, 0]], "forbids this action.*step 1: state road, action go"),
        ([[0, 2, -1], [0, 1, 0]], [[0, -1, -1], [0, 0, -1]], r"2 of 3 .* probability zero\. The first: "
         "trajectory '0', step 0: state home, action stay, next state work"),
    ],
)  # fmt: skip
def test_what_cannot_have_happened_is_counted_and_the_first_is_shown(mdp, states, actions, sentence):
    demos = trajectories_from_arrays(np.array(states), np.array(actions))
    with pytest.raises(InputError, match=sentence):
        check_demonstrations(mdp, demos)


@pytest.mark.parametrize("mdp", [MDP, SPARSE])
def test_visits_count_weighted_decisions_and_arrivals_and_an_unknown_arrival_by_its_probability(mdp):
    demos = trajectories_from_arrays(
        np.array([[0, 0], [0, -1]]), np.array([[0, 0], [1, -1]]), weights=[1.0, 3.0]
    )
    found = visits(mdp, demos)
    assert found.decisions.tolist() == [[2, 3], [0, 0], [0, 0]]
    np.testing.assert_allclose(found.arrivals, [1.5, 0.5, 3], rtol=1e-12)
    by_time = visits(mdp, demos, horizon=3)
    assert by_time.decisions.shape == (3, 3, 2) and by_time.arrivals.shape == (3, 3)
    np.testing.assert_array_equal(by_time.decisions.sum(0), found.decisions)
    np.testing.assert_allclose(by_time.arrivals, [[1, 0, 3], [0.5, 0.5, 0], [0, 0, 0]], rtol=1e-12)


def test_samples_visit_as_often_as_expected():
    """Each decision at each time is a proportion of 3000 trajectories: six of its standard errors."""
    mdp, features = world(40, ends=True)
    pi = policy(mdp, features, np.array([0.2, -0.5, 0.6]), discount=1.0)
    demos = sample_trajectories(mdp, np.log(np.stack([pi] * 8)), key=key(1), count=3000, horizon=8)
    check_demonstrations(mdp, demos)
    expected = flow(mdp, np.stack([pi] * 8), np.asarray(mdp.initial), horizon=8)
    found = visits(mdp, demos, horizon=8).decisions / 3000
    assert np.all(np.abs(found - expected) <= 6 * np.sqrt(expected * (1 - expected) / 3000) + 1e-12)
    ended = demos.next_states[np.arange(3000), demos.lengths - 1] == S - 1
    assert np.all(ended | (demos.lengths == 8)) and np.all(demos.states != S - 1)


def test_successor_lists_are_sampled_alike():
    demos = sample_trajectories(SPARSE, _stay(), key=key(2), count=2000, horizon=1)
    check_demonstrations(SPARSE, demos)
    start_home = demos.states[:, 0] == 0
    share = np.mean(demos.next_states[start_home, 0] == 1)
    assert abs(share - 0.5) < 6 * 0.5 / np.sqrt(start_home.sum())


def _stay():
    with np.errstate(divide="ignore"):
        return np.log(np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]))


@pytest.mark.parametrize("count", [96, 360, 1200])
@pytest.mark.parametrize("p", [[1.0], [0.5, 0.5], [0.9, 0.1], [0.6, 0.2, 0.1, 0.1], [0.96, *[0.01] * 4]])
def test_trajectories_that_repeat_by_chance_alone_seem_entered_twice_once_in_a_thousand_times(p, count):
    rng, tried, ids = np.random.default_rng(0), 1000, [str(i) for i in range(count)]
    alarms = sum(
        explain_whole_copies(np.repeat(np.arange(len(p)), rng.multinomial(count, p)), ids, "trips")
        is not None
        for _ in range(tried)
    )
    # A binomial with a chance of 1e-3 exceeds 5 of 1000 less than once in a thousand times.
    assert alarms <= 5


@pytest.mark.parametrize("k", [2, 3, 4, 5, 12])
@pytest.mark.parametrize("kinds", [2, 3, 4])
def test_counts_that_all_are_multiples_are_no_likelier_than_stated(k, kinds):
    """Enumerated: Pr(k divides all counts | all kinds occur) of a multinomial, for many probabilities of the kinds."""
    rng = np.random.default_rng(k)
    bound = max(1 / k, 1 / np.sqrt(np.pi * k)) ** (kinds - 1)
    chances = [np.full(kinds, 1 / kinds), *rng.dirichlet(np.ones(kinds), 20)]
    for total in range(kinds * k, kinds * k + 3 * k + 1, k):
        n = np.arange(1, total + 1)
        for p in chances:
            # Generating functions, coefficient by coefficient: the sum over counts of the product of p^n / n!.
            terms = np.zeros((kinds, total + 1))
            terms[:, 1:] = np.exp(n * np.log(total * p[:, None]) - gammaln(n + 1) - total * p[:, None])
            every = divided = np.eye(total + 1)[0]
            for row in terms:
                every = np.convolve(every, row)[: total + 1]
                divided = np.convolve(divided, np.where(np.arange(total + 1) % k == 0, row, 0))[: total + 1]
            assert divided[total] <= bound * every[total] * (1 + 1e-9)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"count": 0}, "count must be at least 1 trajectory; got 0"),
        ({"horizon": 0}, "horizon must be at least 1 step"),
        ({"log_policy": np.zeros((2, 2))}, r"log_policy must have shape \[S, A\]"),
        ({"log_policy": np.zeros((2, 3, 2))}, r"log_policy must have shape \[horizon, S, A\]"),
        (
            {"log_policy": np.zeros((3, 2))},
            r"log_policy must sum to 1.* state home sums to 2 \(1 such rows in all\)",
        ),
        ({"log_policy": np.full((3, 2), np.nan)}, r"state home sums to nan \(2 such"),
        ({"log_policy": np.full((1, 3, 2), -np.inf)}, r"state home at time 0 sums to 0 \(2 such"),
        (
            {"log_policy": np.log([[0.5, 0.5]] * 3)},
            "allowed actions of each live state; state road sums to 0.5",
        ),
        ({"mdp": MDP.with_initial([0.0, 0, 1])}, "initial has probability in terminal ones only"),
    ],
)
def test_samples_that_cannot_be_drawn_are_refused(change, sentence):
    arguments = {"mdp": MDP, "log_policy": _stay(), "key": key(0), "count": 1, "horizon": 1} | change
    with pytest.raises(InputError, match=sentence):
        sample_trajectories(arguments.pop("mdp"), arguments.pop("log_policy"), **arguments)


def test_one_path_that_is_seen_too_often_is_noticed_among_common_ones():
    mdp, features = world(41)
    weights = np.array([0.2, -0.5, 0.6])
    log_policy = np.log(policy(mdp, features, weights, discount=0.9))
    long = demonstrate(mdp, features, weights, {"discount": 0.9}, 0, count=30)
    # The first 200 are short and repeat by chance; then one path of some steps comes five times.
    short = demonstrate(mdp, features, weights, {"discount": 0.9}, 1, count=200)
    states = np.full((205, long.states.shape[1]), -1)
    actions = np.full((205, long.actions.shape[1]), -1)
    states[:200, :2], actions[:200, :1] = short.states[:, :2], short.actions[:, :1]
    states[200:, :9], actions[200:, :8] = long.states[4, :9], long.actions[4, :8]
    demos = trajectories_from_arrays(states, actions)
    sentence = explain_copies(demos, log_policy, check_demonstrations(mdp, demos).sum(1))
    assert sentence is not None
    assert sentence.startswith(
        "4 of 205 trajectories are copies of others, step by step (the first: '201' of '200')"
    )


def test_short_trajectories_that_repeat_by_chance_are_not_copies_and_doubled_long_ones_are():
    mdp, features = world(41)
    weights = np.array([0.2, -0.5, 0.6])
    log_policy = np.log(policy(mdp, features, weights, discount=0.9))
    for seed in range(5):
        long = demonstrate(mdp, features, weights, {"discount": 0.9}, seed, count=30)
        demos = trajectories_from_arrays(long.states[:, :2], long.actions[:, :1])
        assert len(np.unique(np.concatenate([demos.states, demos.actions], 1), axis=0)) <= S * A
        assert explain_copies(demos, log_policy, check_demonstrations(mdp, demos).sum(1)) is None
    assert explain_copies(long, log_policy, check_demonstrations(mdp, long).sum(1)) is None
    rows = np.append(np.arange(30), [4, 4])
    doubled = trajectories_from_arrays(
        long.states[rows], long.actions[rows], next_states=long.next_states[rows]
    )
    sentence = explain_copies(doubled, log_policy, check_demonstrations(mdp, doubled).sum(1))
    assert (
        sentence is not None
        and "2 of 32 trajectories are copies of others" in sentence
        and "'30' of '4'" in sentence
    )


def test_a_table_that_was_entered_twice_is_noticed_however_likely_its_trajectories_are():
    rng = np.random.default_rng(0)
    short = rng.integers(0, 15, 100)  # a hundred trajectories of fifteen kinds: repeated by chance alone
    ids = [str(i) for i in range(300)]
    assert explain_whole_copies(short, ids, "trips") is None
    assert (
        explain_whole_copies(np.tile(np.arange(11), 2), ids, "trips") is None
    )  # 2^-10 is more than half of one in a thousand
    assert explain_whole_copies(np.tile(np.arange(12), 2), ids, "trips") is not None
    twice = explain_whole_copies(np.tile(short, 2), ids, "trips")
    kinds = len(set(short))
    assert twice is not None and twice.startswith(
        f"each of the {kinds} different trips occurs 2 times or a multiple"
    )
    assert explain_whole_copies(np.append(np.tile(short, 2), 3), ids, "trips") is None
    # Whoever is entered three times may have been so in turn, as in a table that repeats every line.
    assert "3 times (the first: '1' of '0')" in (
        explain_whole_copies(np.repeat(short, 3), ids, "trips") or ""
    )
