"""Identifiability: what no data, and what not these data, can tell about the weights of a linear reward."""

import numpy as np
import pytest

from maxentrl import InputError, TabularMDP, solve
from maxentrl.assess import identify, shape, starc
from problems import as_mdp, random_problem

S, A = 5, 3


def world(rng, *, terminal=False, sparse=False):
    problem = random_problem(rng, S, A, 1, terminal=terminal)
    problem["transition"] = 0.8 * problem["transition"] + 0.2 / S
    return problem, as_mdp(problem, sparse=sparse)


def policy(mdp, reward, **clock):
    return np.exp(
        np.asarray(solve(mdp.with_reward(reward), temperature=0.5, tolerance=1e-11, **clock).log_policy)
    )


def fisher_of(problem, mdp, features, weights, visits, discount):
    """Fisher information at these visits [S], from central differences of log pi."""
    step, score = 1e-5, []
    for k in range(features.shape[-1]):
        change = step * np.eye(features.shape[-1])[k]
        up, down = (
            np.log(policy(mdp, features @ (weights + d), discount=discount)) for d in (change, -change)
        )
        score.append((up - down) / (2 * step))
    pi = policy(mdp, features @ weights, discount=discount)
    return np.einsum("s,sa,ksa,lsa->kl", visits, pi, np.array(score), np.array(score)), np.log(pi)


@pytest.mark.parametrize("discount", [0.5, 0.99, 1.0])
def test_a_shaping_direction_is_recognised_every_time_and_true_ones_never_are(discount):
    rng = np.random.default_rng(0)
    for i in range(50):
        problem, mdp = world(rng, terminal=discount == 1 or i % 2 == 0, sparse=i % 3 == 0)
        potential = 4 * rng.normal(size=S) * ~problem["terminal"]
        truth = rng.normal(size=(S, A, 2))
        hidden = shape(mdp, potential, discount=discount)[..., None]
        # The shaping is not a feature: it is the difference of two of them.
        features = np.concatenate([truth, truth[..., :1] + hidden], -1)
        features[problem["terminal"]] = np.nan
        assert identify(mdp, features[..., :2], discount=discount).identified
        found = identify(mdp, features, discount=discount, feature_names=("a", "b", "c"))
        (direction,) = found.directions
        assert direction.kind == "shaping" and direction.features == ("a", "c")
        assert direction in found.by_no_data and not found.by_other_data
        # Rounding of a linear system with condition 1 / (1 - discount).
        np.testing.assert_allclose(direction.weights @ [1, 0, 1], 0, atol=1e-9)
        assert direction.residual < 1e-10
        np.testing.assert_allclose(
            shape(mdp, direction.potential, discount=discount),
            np.where(problem["terminal"][:, None], 0, direction.weights[2] * hidden[..., 0]),
            atol=1e-10,
        )


def test_no_policy_changes_along_a_direction_that_no_data_identify_and_values_change_by_its_potential():
    rng = np.random.default_rng(1)
    for clock in ({"discount": 0.9}, {"horizon": 4, "discount": 0.9}):
        _, mdp = world(rng)
        base = rng.normal(size=(S, A))
        features = np.stack([base, base + shape(mdp, rng.normal(size=S), discount=0.9), np.ones((S, A))], -1)
        for direction in identify(mdp, features, **clock).directions:
            change = features @ direction.weights
            plans = [
                solve(mdp.with_reward(r), temperature=0.5, tolerance=1e-11, **clock)
                for r in (base, base + change)
            ]
            np.testing.assert_allclose(plans[0].log_policy, plans[1].log_policy, atol=1e-9)
            np.testing.assert_allclose(plans[1].v - plans[0].v, -direction.potential, atol=1e-9)


def test_over_a_finite_horizon_a_stationary_potential_shows_at_the_end_and_a_constant_does_not():
    rng = np.random.default_rng(2)
    _, mdp = world(rng)
    features = np.stack([shape(mdp, rng.normal(size=S), discount=1.0), np.full((S, A), 2.0)], -1)
    (direction,) = identify(mdp, features, horizon=3).directions
    assert direction.kind == "constant" and direction.features == ("1",)
    # The clock pays 2 a step for the steps that are left.
    np.testing.assert_allclose(-direction.potential[:, 0], [6, 4, 2, 0])
    assert [d.features for d in identify(mdp, features, discount=0.5, horizon=1).directions] == [("1",)]


def test_a_constant_is_identified_where_something_terminates():
    rng = np.random.default_rng(3)
    features = np.stack([rng.normal(size=(S, A)), np.full((S, A), 2.0)], -1)
    for discount in (0.9, 1.0):
        assert identify(world(rng, terminal=True)[1], features, discount=discount).identified
    (direction,) = identify(world(rng)[1], features, discount=0.9).directions
    assert direction.kind == "constant" and "the same for every choice" in direction.sentence
    np.testing.assert_allclose(direction.potential, -2 / (1 - 0.9), rtol=1e-10)


def test_each_lost_direction_is_named_after_its_plainest_reason():
    rng = np.random.default_rng(4)
    _, mdp = world(rng)
    a, b, potential = rng.normal(size=(S, A)), rng.normal(size=(S, A)), rng.normal(size=S)
    features = np.stack(
        [a, np.zeros((S, A)), b, 2 * a - b, np.ones((S, A)), shape(mdp, potential, discount=0.9)], -1
    )
    names = ("slope", "nothing", "noise", "mixture", "step", "pull")
    found = identify(mdp, features, discount=0.9, feature_names=names)
    assert [(d.kind, set(d.features)) for d in sorted(found.directions, key=lambda d: len(d.features))] == [
        ("zero", {"nothing"}),
        ("constant", {"step"}),
        ("shaping", {"pull"}),
        ("collinear", {"slope", "noise", "mixture"}),
    ]
    text = found.summary()
    assert "the weight of nothing is not identified by any demonstrations in this problem: it is zero" in text
    assert "they cancel for every choice" in text and "it is potential shaping" in text
    assert (
        f"in state {int(potential.argmax())} and" in text or f"in state {int(potential.argmin())} and" in text
    )
    assert found.to_dict()["directions"][0]["kind"] in ("zero", "collinear")
    assert identify(mdp, features[..., [0, 2]], discount=0.9).summary() == "all 2 weights are identified."


def test_features_that_depend_on_the_state_alone_are_shaping_when_nothing_follows():
    rng = np.random.default_rng(5)
    _, mdp = world(rng)
    found = identify(mdp, rng.normal(size=(S, 2)), discount=0.0)
    assert [d.kind for d in found.directions] == ["shaping", "shaping"]
    assert identify(mdp, rng.normal(size=(S, 2)), discount=0.9).identified


def test_what_these_data_do_not_tell_is_told_apart_from_what_no_data_tell():
    rng = np.random.default_rng(6)
    for i in range(10):
        # Two rooms without a door: whoever is in the first never faces the choices of the second.
        transition = np.zeros((6, 2, 6))
        transition[:3, :, :3] = rng.dirichlet(np.ones(3), (3, 2))
        transition[3:, :, 3:] = rng.dirichlet(np.ones(3), (3, 2))
        mdp = TabularMDP(transition, np.zeros((6, 2)), state_names=tuple("abcdef"))
        features = np.zeros((6, 2, 4))
        features[:3, :, 0], features[3:, :, 1] = rng.normal(size=(2, 3, 2))
        features[..., 2] = features[..., 0] + shape(mdp, rng.normal(size=6), discount=0.9)
        features[..., 3] = rng.normal(size=(6, 2))
        visits = np.array([5.0, 3, 2, 0, 0, 0]) * (1, 1e4)[i % 2]
        fisher, log_pi = fisher_of(None, mdp, features, np.zeros(4), visits, 0.9)
        found = identify(
            mdp,
            features,
            discount=0.9,
            fisher=fisher,
            decisions=visits.sum(),
            temperature=0.5,
            log_policy=log_pi,
            feature_names=("near", "far", "near and pull", "both"),
        )
        (never,), (unseen,) = found.by_no_data, found.by_other_data
        assert never.kind == "shaping" and set(never.features) == {"near", "near and pull"}
        assert unseen.features == ("far",) and unseen.potential is None and unseen.residual > 0.1
        assert "not identified by these demonstrations, though others could tell" in unseen.sentence
        told = unseen.sentence.split("Decisions in states ")[1].removesuffix(" would tell.").split(", ")
        assert sorted(told) == ["d", "e", "f"]
        seen, _ = fisher_of(None, mdp, features, np.zeros(4), np.ones(6), 0.9)
        assert not identify(mdp, features, discount=0.9, fisher=seen, temperature=0.5).by_other_data


def test_long_directions_are_abbreviated():
    rng = np.random.default_rng(7)
    _, mdp = world(rng)
    features = rng.normal(size=(S, A, 8))
    features[..., 7] = features[..., :7].sum(-1)
    (direction,) = identify(mdp, features, discount=0.9).directions
    assert direction.kind == "collinear" and "and 2 more features" in direction.sentence


def test_bad_input_is_one_sentence():
    mdp = TabularMDP(np.full((2, 2, 2), 0.5), np.zeros((2, 2)))
    with pytest.raises(InputError, match=r"features must be numbers \[S, A, K\] or \[S, K\]"):
        identify(mdp, np.zeros(2), discount=0.9)
    with pytest.raises(InputError, match=r"features must have shape \[S, A, K\] = \(2, 2, any\)"):
        identify(mdp, np.zeros((2, 3, 1)), discount=0.9)
    with pytest.raises(InputError, match="feature 0 in state 1, action 0 is nan"):
        identify(mdp, np.array([[0.0], [np.nan]]), discount=0.9)
    with pytest.raises(InputError, match="feature_names must be 1 different names"):
        identify(mdp, np.zeros((2, 1)), discount=0.9, feature_names=("a", "b"))
    with pytest.raises(InputError, match=r"fisher must have shape \[K, K\] = \(1, 1\)"):
        identify(mdp, np.ones((2, 1)), discount=0.9, fisher=np.eye(2))
    with pytest.raises(InputError, match="fisher must be finite; 1 entries are not"):
        identify(mdp, np.ones((2, 1)), discount=0.9, fisher=[[np.nan]])
    with pytest.raises(InputError, match="decisions must be a positive number; got 0"):
        identify(mdp, np.ones((2, 1)), discount=0.9, fisher=[[1.0]], decisions=0)
    with pytest.raises(InputError, match="discount must be one number"):
        identify(mdp, np.ones((2, 1)), discount=-1)
    with pytest.raises(InputError, match="horizon must be at least 1"):
        identify(mdp, np.ones((2, 1)), horizon=0)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_a_constant_is_shaping_in_float32_too(sparse):
    mdp = as_mdp(random_problem(np.random.default_rng(0), 30, A, 1), sparse=sparse, dtype="float32")
    ones = np.ones((30, A))
    (direction,) = identify(mdp, ones[..., None], discount=0.9).directions
    assert direction.kind == "constant"
    assert starc(mdp, ones, 0 * ones, discount=0.9) == 0
