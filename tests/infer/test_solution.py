"""`solve`: what it refuses, and how the parts of a plan hang together."""

import math
import subprocess
import sys

import numpy as np
import pytest

import maxentrl
from maxentrl import InputError
from problems import as_mdp, random_problem

S, A = 6, 3


@pytest.fixture(scope="module")
def small():
    return as_mdp(random_problem(np.random.default_rng(0), S, A, 1))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"temperature": -0.5}, r"temperature must lie in \[0, inf\], in units of reward; got -0\.5"),
        ({"temperature": math.nan}, r"temperature must lie in \[0, inf\], in units of reward; got nan"),
        (
            {"temperature": "hot"},
            r"temperature must be one number in \[0, inf\], in units of reward; got 'hot'",
        ),
        ({"state_temperature": -1.0}, r"state_temperature must lie in \[0, inf\]"),
        ({"discount": 1.01}, r"discount must be one number in \[0, 1\]; got 1\.01"),
        ({"discount": -0.01}, r"discount must be one number in \[0, 1\]; got -0\.01"),
        ({"discount": math.nan}, r"discount must be one number in \[0, 1\]; got nan"),
        ({"discount": None}, "give a discount below 1, a horizon, or discount 1 with terminal states"),
        ({"discount": 1.0}, "needs terminal states; this problem has none"),
        ({"horizon": 0}, "horizon must be at least 1 step; got 0"),
        ({"horizon": 1.5}, r"horizon must be a whole number of steps, at least 1, or None; got 1\.5"),
        ({"tolerance": math.nan}, "tolerance must be a finite number of at least 0; got nan"),
        ({"tolerance": -1.0}, r"tolerance must be a finite number of at least 0; got -1\.0"),
        ({"max_sweeps": 0}, "max_sweeps must be a whole number, at least 1; got 0"),
        ({"dynamics": "wishful"}, "dynamics must be one of given, posterior; got 'wishful'"),
        ({"horizon": 10**12}, r"solving 6 states needs about .* of memory, and .* are available"),
    ],
)
@pytest.mark.usefixtures("as_shipped")
def test_bad_settings_are_answered_with_a_sentence(small, settings, sentence):
    with pytest.raises(InputError, match=sentence):
        maxentrl.solve(small, **{"temperature": 1.0, "discount": 0.9, **settings})


def test_the_counting_prior_has_no_mean(small):
    with pytest.raises(
        InputError, match="temperature inf needs a normalised prior; the counting prior has no mean"
    ):
        maxentrl.solve(small.with_prior("counting"), temperature=math.inf, discount=0.9)


def test_a_reward_that_changes_with_time_needs_its_horizon():
    mdp = as_mdp(random_problem(np.random.default_rng(0), S, A, 4), changing=True)
    with pytest.raises(
        InputError, match=r"a reward that changes with time.*needs a finite horizon; got horizon None"
    ):
        maxentrl.solve(mdp, temperature=1.0, discount=0.9)
    with pytest.raises(InputError, match="reward covers 4 steps, but the horizon is 5"):
        maxentrl.solve(mdp, temperature=1.0, horizon=5)


def test_a_plan_hangs_together():
    """Q = r + discount P V, V = lme Q, and Q - V = temperature (log pi - log rho), to rounding and the error
    bound.
    """
    problem = random_problem(np.random.default_rng(2), S, A, 1, forbidden=True)
    plan = maxentrl.solve(as_mdp(problem), temperature=0.5, discount=0.9)
    allowed = np.isfinite(problem["log_prior"])
    q = problem["reward"][0] + 0.9 * problem["transition"] @ plan.v
    np.testing.assert_allclose(plan.q[allowed], q[allowed], rtol=1e-13)
    advantage = 0.5 * (plan.log_policy[allowed] - problem["log_prior"][allowed])
    np.testing.assert_allclose(advantage, (q - plan.v[:, None])[allowed], atol=1e-12 + plan.error_bound)
    assert np.all(np.exp(plan.log_policy[~allowed]) == 0)
    np.testing.assert_allclose(plan.start_value, problem["initial"] @ plan.v, rtol=1e-13)
    np.testing.assert_allclose(plan.log_evidence, plan.start_value / 0.5, rtol=1e-15)


def test_a_long_horizon_forgets_that_it_ends(small):
    far = maxentrl.solve(small, temperature=0.5, discount=0.8, horizon=200)
    forever = maxentrl.solve(small, temperature=0.5, discount=0.8)
    # What is beyond the horizon is worth at most 0.8^200 of the largest value.
    np.testing.assert_allclose(far.v[0], forever.v, atol=1e-12)
    assert far.v.shape == (201, S)


def test_at_temperature_zero_there_is_no_evidence(small):
    plan = maxentrl.solve(small, temperature=0.0, discount=0.9)
    with pytest.raises(InputError, match="log_evidence needs a temperature above 0"):
        _ = plan.log_evidence
    # Every trajectory is as optimal as any at temperature inf.
    assert maxentrl.solve(small, temperature=math.inf, discount=0.9).log_evidence == 0


def test_a_warning_points_at_the_line_that_asked():
    """In a process of its own: here the type checker stands between the library and who calls it."""
    asking = (
        "import maxentrl as me; from maxentrl.infer.policy import soft_policy_iteration\n"
        "mdp = me.envs.random_mdp(5)\n"
        "me.solve(mdp, temperature=1.0, discount=0.9, max_sweeps=1)\n"
        "soft_policy_iteration(mdp, temperature=1.0, discount=0.9, max_steps=2)\n"
    )
    told = subprocess.run([sys.executable, "-c", asking], capture_output=True, text=True, check=True).stderr
    assert "<string>:3: UserWarning: the tolerance 1e-06 was not reached" in told
    assert "<string>:4: UserWarning: the tolerance 1e-10 was not reached in 2 evaluations" in told
