"""The lottery: the optimism of exact inference in one number."""

import math

import numpy as np
import pytest

import maxentrl as me
from maxentrl.core.check import InputError
from maxentrl.envs import lottery


@pytest.mark.parametrize(("dynamics", "probability"), [("posterior", 0.733), ("given", 0.027)])
def test_exact_inference_bets_and_control_does_not(dynamics, probability):
    mdp = lottery()
    plan = me.solve(mdp, temperature=1.0, horizon=2, dynamics=dynamics)
    post = me.posterior(mdp, temperature=1.0, horizon=2, dynamics=dynamics)
    for log_policy in (plan.log_policy, post.log_policy):
        assert abs(math.exp(log_policy[0, 0, 1]) - probability) < 5e-4  # three digits


@pytest.mark.parametrize("chance", [0.0, 0.05, 0.6, 1.0])
def test_the_bet_follows_the_two_means_and_no_convention_matters(chance):
    prize, loss, temperature = 3.0, -1.5, 0.7
    optimistic = chance * math.exp(prize / temperature) + (1 - chance) * math.exp(loss / temperature)
    expected = math.exp((chance * prize + (1 - chance) * loss) / temperature)
    mdp = lottery(prize=prize, loss=loss, chance=chance)
    for problem in (mdp, mdp.with_prior("counting")):
        for dynamics, x in (("posterior", optimistic), ("given", expected)):
            plan = me.solve(problem, temperature=temperature, horizon=2, dynamics=dynamics)
            np.testing.assert_allclose(np.exp(plan.log_policy[0, 0, 1]), x / (1 + x), rtol=1e-12)


def test_a_chance_that_is_no_probability_is_refused():
    for chance in (-0.1, 1.5, math.nan):
        with pytest.raises(InputError, match=f"chance must be a probability in .0, 1.; got {chance}"):
            lottery(chance=chance)
