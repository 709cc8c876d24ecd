"""From what an expert does on average, its reward and its policy come back; and what cannot come back is said."""

import numpy as np
import pytest

from irl.worlds import A, K, S, flow, policy, world
from maxentrl.irl import mce

DISCOUNT = 0.9
PROBLEMS = 100


def problem(seed: int):
    """A world, features, weights of size one, and the exact occupancy of 1000 experts."""
    mdp, features = world(1000 + seed)
    weights = np.random.default_rng(seed).normal(size=K)
    pi = policy(mdp, features, weights, discount=DISCOUNT)
    return mdp, features, weights, pi, 1000 * flow(mdp, pi, np.asarray(mdp.initial), discount=DISCOUNT)


def shapings(mdp) -> np.ndarray:
    """[S A, S]: the rewards discount * P phi - phi of potentials; with phi constant, the constants too."""
    p = np.asarray(mdp.transition_matrix())
    return (DISCOUNT * p - np.eye(S)[:, None]).reshape(S * A, S)


def distance(mdp, one: np.ndarray, other: np.ndarray) -> float:
    """Half the distance of two rewards, each without its shaping part and of length one: in [0, 1]."""
    basis = np.linalg.qr(shapings(mdp))[0]
    plain = []
    for reward in (one.ravel(), other.ravel()):
        rest = reward - basis @ (basis.T @ reward)
        plain.append(rest / np.linalg.norm(rest))
    return float(np.linalg.norm(plain[0] - plain[1]) / 2)


def test_a_hundred_identified_problems_are_solved_and_not_warned_about():
    warned, variation, apart = 0, [], []
    for seed in range(PROBLEMS):
        mdp, features, weights, pi, visits = problem(seed)
        found = mce.fit(mdp, features, visits, discount=DISCOUNT)
        assert found.converged
        warned += bool(found.warnings)
        learned = policy(mdp, features, found.weights, discount=DISCOUNT)
        variation.append(np.abs(learned - pi).sum(1).max() / 2)
        apart.append(distance(mdp, found.reward, features @ weights))
    assert max(variation) <= 1e-3 and max(apart) < 0.02 and warned < 0.05 * PROBLEMS
    # Far better than asked for: counts are known to rounding.
    assert max(variation) < 1e-7 and max(apart) < 1e-7


def test_a_hundred_problems_with_too_many_features_are_solved_up_to_what_cannot_be_known_and_flagged():
    """One more feature, which adds nothing: a constant, a shaping, a copy of others, or nothing at all."""
    rng = np.random.default_rng(7)
    for seed in range(PROBLEMS):
        mdp, features, weights, pi, visits = problem(seed)
        extra = {
            0: lambda: np.full((S, A), rng.normal()),
            1: lambda m=mdp: (shapings(m) @ rng.normal(size=S)).reshape(S, A),
            2: lambda f=features: f @ rng.normal(size=K),
            3: lambda: np.zeros((S, A)),
            4: lambda m=mdp, f=features: (
                (shapings(m) @ rng.normal(size=S)).reshape(S, A) + f @ rng.normal(size=K)
            ),
        }[seed % 5]()
        found = mce.fit(mdp, np.concatenate([features, extra[..., None]], -1), visits, discount=DISCOUNT)
        assert any("is not identified" in sentence for sentence in found.warnings), seed
        learned = policy(mdp, found.reward[..., None], np.ones(1), discount=DISCOUNT)
        assert np.abs(learned - pi).sum(1).max() / 2 <= 1e-3
        assert distance(mdp, found.reward, features @ weights) < 0.02


@pytest.mark.parametrize("blind", [0.0, 1.0])
def test_the_distance_sees_what_changes_a_policy_and_nothing_else(blind):
    mdp, features, weights, _, _ = problem(0)
    rng = np.random.default_rng(8)
    reward = features @ weights
    shaped = 3 * reward + (shapings(mdp) @ rng.normal(size=S)).reshape(S, A)
    other = reward if blind == 0.0 else rng.normal(size=(S, A))
    assert (distance(mdp, shaped, other) > 0.1) == (blind == 1.0)
