"""Every public function, jitted over a batch, answers as it does alone. A new function is a new row."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import pytest

import maxentrl
from maxentrl import TabularMDP

S, A, T, B = 4, 2, 3, 3

# All numbers are multiples of 1/8 and small, hence exact in float32 too: outside a float64 scope `jit`
# narrows what is
# handed to it, and these lose nothing by it.
RNG = np.random.default_rng(0)
TRANSITION = np.zeros((S, A, S))
for _s in range(S):
    for _a in range(A):
        TRANSITION[_s, _a, RNG.choice(S, 2, replace=False)] = [0.25, 0.75]
REWARDS = -RNG.integers(1, 16, (B, S, A)) / 8
REWARDS_IN_TIME = -RNG.integers(1, 16, (B, T, S, A)) / 8
POLICIES = np.array([[[0.25, 0.75]] * S, [[0.5, 0.5]] * S, [[0.75, 0.25]] * S], np.float32)
STARTS = np.array([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0], [0.125, 0.125, 0.25, 0.5]], np.float32)
MDP = TabularMDP(TRANSITION, REWARDS[0])
SPARSE = TabularMDP(
    (np.argsort(-TRANSITION, -1)[..., :2], -np.sort(-TRANSITION, -1)[..., :2]),
    REWARDS[0],
    terminal=np.arange(S) == 3,
)
KEYS = jax.random.split(jax.random.key(0, impl="threefry2x32"), B)


class Row(NamedTuple):
    """One public name, as a function of one array, and a batch of three of them."""

    name: str
    function: Callable
    batch: object
    rtol: float = 1e-9


def log(policy):
    return jax.numpy.log(policy)


def plan(mdp=MDP, **settings):
    return lambda reward: maxentrl.solve(mdp.with_reward(reward), **settings).v


TABLE = [
    Row("lme", lambda x: maxentrl.lme(x, None, 0.5), REWARDS.astype(np.float32), 1e-6),
    Row("tilt", lambda x: maxentrl.tilt(x, None, 0.5), REWARDS.astype(np.float32), 1e-5),
    Row("solve", plan(temperature=0.5, horizon=T), REWARDS),
    Row("solve", plan(temperature=0.5, horizon=T), REWARDS_IN_TIME),
    Row("solve", plan(temperature=0.5, discount=0.75), REWARDS),
    Row("solve", plan(SPARSE, temperature=0.0, discount=1.0), REWARDS),
    Row("solve", plan(SPARSE, temperature=0.5, discount=0.75, dynamics="posterior"), REWARDS),
    Row(
        "Solution",
        lambda reward: (lambda s: (s.q, s.log_policy, s.start_value, s.log_evidence))(
            maxentrl.solve(MDP.with_reward(reward), temperature=0.5, horizon=T)
        ),
        REWARDS,
    ),
    Row(
        "posterior",
        lambda reward: (
            maxentrl.posterior(MDP.with_reward(reward), temperature=0.5, horizon=T).log_state_action
        ),
        REWARDS,
    ),
    Row(
        "posterior",
        lambda reward: (
            maxentrl.posterior(
                SPARSE.with_reward(reward), temperature=0.5, horizon=T, dynamics="given", discount=0.75
            ).log_evidence
        ),
        REWARDS,
    ),
    Row(
        "Posterior",
        lambda key: maxentrl.posterior(MDP, temperature=0.5, horizon=T).sample(key, 5),
        KEYS,
    ),
    Row(
        "Posterior",
        lambda reward: (
            maxentrl.posterior(MDP.with_reward(reward), temperature=0.5, horizon=T).log_pairs(1).probability
        ),
        REWARDS,
    ),
    Row("evaluate", lambda p: maxentrl.evaluate(MDP, log(p), temperature=0.5, horizon=T), POLICIES, 1e-6),
    Row("evaluate", lambda p: maxentrl.evaluate(MDP, log(p), temperature=0.5, discount=0.75), POLICIES, 1e-6),
    Row("occupancy", lambda p: maxentrl.occupancy(MDP, log(p), horizon=T), POLICIES, 1e-6),
    Row("occupancy", lambda p: maxentrl.occupancy(SPARSE, log(p), discount=0.75), POLICIES, 1e-6),
    Row(
        "evidence_bound",
        lambda p: maxentrl.evidence_bound(MDP, log(p), temperature=0.5, horizon=T).evidence_bound,
        POLICIES,
        1e-6,
    ),
    Row("TabularMDP", lambda reward: MDP.with_reward(reward).reward, REWARDS),
    Row("TabularMDP", lambda p: MDP.with_prior(log(p)).log_prior, POLICIES, 1e-6),
    Row("TabularMDP", lambda p: MDP.with_initial(p).initial, STARTS),
    Row(
        "Dense",
        lambda p: maxentrl.Dense(p[:, None, :]).probability,
        np.stack([np.eye(S, dtype=np.float32)] * B),
    ),
    Row(
        "Sparse",
        lambda p: maxentrl.Sparse(SPARSE.transition.successor[:1], p[None]).probability,
        np.full((B, 2, S), 0.5, np.float32),
    ),
]

ON_THE_HOST = {
    "InfeasibleError",
    "InputError",
    "Trajectories",
    "agents",
    "assess",
    "envs",
    "irl",
    "load_agent",
    "load_problem",
    "read_trajectories",
    "save_problem",
    "train",
    "write_trajectories",
}
"""Names that are not functions of arrays: errors, files, records read from files, and rooms with tests of
their own.
"""


@pytest.mark.parametrize("row", TABLE, ids=[f"{i}-{row.name}" for i, row in enumerate(TABLE)])
def test_a_jitted_batch_is_each_alone(row):
    together = jax.jit(jax.vmap(row.function))(row.batch)
    for i in range(B):
        alone = jax.tree.leaves(row.function(row.batch[i]))
        for one, batch in zip(alone, jax.tree.leaves(together), strict=True):
            np.testing.assert_allclose(np.asarray(batch)[i], np.asarray(one), rtol=row.rtol, atol=row.rtol)


def test_every_public_name_has_its_row():
    assert {row.name for row in TABLE} | ON_THE_HOST == set(maxentrl.__all__)
