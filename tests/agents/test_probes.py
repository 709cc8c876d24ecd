"""Every agent climbs the ladder of probes, whose soft values are known; and a broken agent falls off where it should."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxentrl import agents
from maxentrl.core.contracts import Env
from maxentrl.core.spaces import Discrete
from maxentrl.envs import probes
from maxentrl.envs.limited import limited
from maxentrl.learn import inside
from unoptimised import unoptimised

T, G = 0.4, 0.5
"""Temperature and discount."""

RUNGS = list(probes.LADDER)
KEY = jax.random.key(0, impl="threefry2x32")
GRID = np.linspace(-1, 1, 2001)[1::2].astype(
    np.float32
)  # midpoints: squashed densities are not asked for at the ends

TOLERANCE = 0.05
"""In units of reward. A value is off by more than that after any mistake: by T log 2 = 0.28 where an entropy is forgotten
or counted twice, by 1/3 where the end of a recording is taken for the end, by T log((1 + exp(1 / T)) / 2) - 1/2 = 0.25
where the policy is uniform. Adam's steps of constant size, 0.005, leave a few times that.
"""

FROM_MEMORY = {"discount": G, "temperature": T, "hidden": (16,), "learning_rate": 5e-3, "environments": 4,
               "batch": 32, "capacity": 4000, "warmup": 100}  # fmt: skip
ON_POLICY = {"discount": G, "temperature": T, "hidden": (16,), "learning_rate": 1e-2, "decay": 400, "steps": 16,
             "environments": 16, "epochs": 2, "minibatches": 2}  # fmt: skip


class Climber(NamedTuple):
    """An agent and what it learns with. value: (agent, state, observations [K, d]) -> what it holds places to be worth."""

    settings: dict
    iterations: int
    value: Callable


def of_critics(agent, state, seen):
    """min_i Q_i - T log pi, averaged over the policy: by the sum, or by quadrature."""
    critics = [jax.tree.map(lambda x, i=i: x[i], state.learner.critics) for i in (0, 1)]
    discrete = agent.name == "discrete_sac"
    log_pi, pi = policy(agent, state, seen, "discrete" if discrete else "continuous")
    if discrete:
        q = np.stack([layers(critic, seen) for critic in critics]).min(0)
    else:
        both = np.concatenate([np.repeat(seen, len(GRID), 0), np.tile(GRID, len(seen))[:, None]], 1)
        q = np.stack([layers(critic, both) for critic in critics]).min(0).reshape(log_pi.shape)
    return ((q - T * (log_pi + (np.log(2) if discrete else 0.0))) * pi).sum(-1)


def of_actions(agent, state, seen):
    """T log mean exp(Q / T)."""
    q = state.q[np.argmax(seen, -1)] if agent.name == "soft_q" else layers(state.learner.online, seen)
    return T * np.log(np.exp(np.asarray(q, float) / T).mean(-1))


def layers(network, x, between=lambda x: np.maximum(x, 0)):
    """What a network says, in NumPy."""
    for layer in network[:-1]:
        x = between(x @ np.asarray(layer.weight) + np.asarray(layer.bias))
    return np.asarray(x @ np.asarray(network[-1].weight) + np.asarray(network[-1].bias), float)


CLIMBERS = {
    ("soft_q", "discrete"): Climber({"discount": G, "temperature": T}, 3000, of_actions),
    ("soft_dqn", "discrete"): Climber({**FROM_MEMORY, "target_rate": 0.05}, 1000, of_actions),
    ("discrete_sac", "discrete"): Climber({**FROM_MEMORY, "target_rate": 0.05}, 1000, of_critics),
    ("sac", "continuous"): Climber({**FROM_MEMORY, "target_rate": 0.05}, 2000, of_critics),
    ("sac_v1", "continuous"): Climber(
        {**FROM_MEMORY, "target_rate": 0.05}, 2000,
        lambda agent, state, seen: layers(state.learner.value, seen)[:, 0],
    ),
    **{
        (name, actions): Climber(
            ON_POLICY, 200, lambda agent, state, seen: layers(state.value, seen, np.tanh)[:, 0]
        )
        for name in ("soft_pg", "entropy_bonus_pg")
        for actions in ("discrete", "continuous")
    },
}  # fmt: skip


def probe_of(rung, name, actions):
    return probes.LADDER[rung](actions, "places" if name == "soft_q" else "numbers")


def climb(agent, actions, iterations):
    """The states of an agent after `iterations` on each rung. All rungs are one compiled program: which one is data."""
    rungs = [probe_of(rung, agent.name, actions).env for rung in RUNGS]
    # All of them count their steps, so that their states have one form.
    rungs = [env if env.limit else limited(env, 10**6) for env in rungs]
    observation = Discrete(2) if agent.name == "soft_q" else rungs[0].observation

    def learned(rung, key):
        env = Env(
            lambda key: jax.lax.switch(rung, [env.reset for env in rungs], key),
            lambda key, state, action: jax.lax.switch(rung, [env.step for env in rungs], key, state, action),
            observation, rungs[0].action,
        )  # fmt: skip
        begin = inside.begin(agent, env, key)
        return inside.advance(agent, env, begin, iterations).agent

    states = jax.jit(jax.vmap(learned))(jnp.arange(len(rungs)), jax.random.split(KEY, len(rungs)))
    return {rung: jax.tree.map(lambda x, i=i: np.asarray(x[i]), states) for i, rung in enumerate(RUNGS)}


@pytest.fixture(autouse=True, scope="module")
def _compiled_without_optimisation():
    """Compiling is most of the time here."""
    with unoptimised():
        yield


@functools.cache
def climbed(name, actions):
    climber = CLIMBERS[name, actions]
    agent = agents.make(name, climber.settings)
    return agent, climb(agent, actions, climber.iterations)


def policy(agent, state, seen, actions):
    """log pi and pi da [K, A], over both actions or over a grid of them."""
    tried = np.arange(2, dtype=np.int32) if actions == "discrete" else GRID[:, None]
    many = np.repeat(seen, len(tried), 0), np.concatenate([tried] * len(seen))
    log_pi = np.asarray(agent.log_density(state, *many), float).reshape(len(seen), -1)
    return log_pi, np.exp(log_pi) * (1.0 if actions == "discrete" else 2 / len(GRID))


@functools.cache
def best_squashed(matters):
    """What the best tanh(normal) loses against the soft optimum of a step, and what it is paid in the mean."""
    z, weight = np.polynomial.hermite_e.hermegauss(80)
    weight = weight / weight.sum()
    mean, log_std = np.meshgrid(np.linspace(0, 0.9, 91), np.linspace(-2, 0.5, 126), indexing="ij")
    u = mean[..., None] + np.exp(log_std)[..., None] * z
    log_density = -0.5 * (z**2 + np.log(2 * np.pi)) - log_std[..., None]
    log_density = log_density - 2 * (np.log(2) - u - np.logaddexp(0, -2 * u))
    paid = -matters * ((np.tanh(u) - 0.5) ** 2 @ weight)
    worth = paid - T * (log_density @ weight)
    best = np.unravel_index(worth.argmax(), worth.shape)
    soft = probes.chosen("continuous").value(T, 0.0)[0] if matters else T * np.log(2)
    return soft - worth[best], paid[best]


def answer(rung, name, actions):
    """What agents of this form of policy hold places to be worth at the end [K], and what their policies lose at least.

    The entropy bonus pays for entropy beside the reward, and its values are of rewards alone; in a single step it
    ends at the same policy.
    """
    probe, matters = probes.LADDER[rung](actions), rung in ("chosen", "matched")
    lost, paid = best_squashed(matters) if actions == "continuous" else (0.0, 1 / (1 + np.exp(-1 / T)))
    if name == "entropy_bonus_pg":
        return np.full(len(probe.observations), paid) if matters else probe.value(0.0, G), lost
    steps = {"delayed": [1 + G, 1.0], "endless": [1 / (1 - G)]}.get(rung, [1.0])  # discounted, to the end
    return probe.value(T, G) - lost * np.array(steps), lost


def missed(agent, state, rung, actions, value):
    """How far the values are off at most, and how much more than it must the policy loses at the worst place."""
    probe, wanted = probes.LADDER[rung](actions), answer(rung, agent.name, actions)
    seen = probe.observations
    if agent.name == "soft_q":  # its table has two rows on every rung
        seen = np.eye(2, dtype=np.float32)[: len(seen)]
    log_pi, pi = policy(agent, state, seen, actions)
    tried = (0, 1) if actions == "discrete" else GRID
    q = np.stack([probe.action_value(float(a), T, G) for a in tried], -1)
    log_best = (q - probe.value(T, G)[:, None]) / T - (np.log(2) if actions == "discrete" else 0.0)
    lost = T * ((log_pi - log_best) * pi).sum(-1)
    np.testing.assert_allclose(pi.sum(-1), 1, atol=1e-3)  # else it would be no policy; the grid is that fine
    return np.abs(value(agent, state, seen) - wanted[0]).max(), (lost - wanted[1]).max()


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize(("name", "actions"), CLIMBERS)
def test_values_and_policies_of_every_agent_are_the_exact_ones_on_every_rung(name, actions, rung):
    agent, states = climbed(name, actions)
    off, lost = missed(agent, states[rung], rung, actions, CLIMBERS[name, actions].value)
    assert off < TOLERANCE and lost < TOLERANCE / 2


def lived_otherwise(change):
    """Soft Q-learning that is told of each step something else."""
    agent = agents.make("soft_q", {"discount": G, "temperature": T})
    return agent._replace(
        update=lambda state, key, lived: agent.update(state, key, lived._replace(**change(lived)))
    )


def acts_otherwise(change):
    """Soft Q-learning whose values are right and whose policy is not."""
    agent = agents.make("soft_q", {"discount": G, "temperature": T})

    def log_density(table, seen, action):
        table, seen = change(table, seen)
        return agent.log_density(table, seen, action)

    return agent._replace(log_density=log_density)


def first(seen):
    return jnp.zeros_like(seen).at[..., 0].set(1.0)


BROKEN = {
    "constant": lived_otherwise(lambda lived: {"reward": 0 * lived.reward}),
    "observed": lived_otherwise(
        lambda lived: {
            "observation": first(lived.observation),
            "next_observation": first(lived.next_observation),
        }
    ),
    "delayed": agents.make("soft_q", {"discount": 0.0, "temperature": T}),
    "endless": lived_otherwise(lambda lived: {"terminated": lived.terminated | lived.truncated}),
    "chosen": acts_otherwise(lambda table, seen: (table._replace(q=0 * table.q), seen)),
    "matched": acts_otherwise(lambda table, seen: (table, first(jnp.asarray(seen)))),
}
"""Agents by what they do not see: the reward, the observation, the future, the difference between the end and the end
of the recording, the values that they have learned, the observation when they act.
"""


@pytest.mark.parametrize("rung", RUNGS)
def test_an_agent_with_one_fault_climbs_to_the_rung_that_is_about_it_and_no_further(rung):
    agent, (_, learned) = BROKEN[rung], climbed("soft_q", "discrete")
    if rung not in ("chosen", "matched"):
        learned = climb(agent, "discrete", 3000)
    failed = [
        each for each in RUNGS if max(missed(agent, learned[each], each, "discrete", of_actions)) > TOLERANCE
    ]
    assert failed[0] == rung


def test_the_ladder_is_for_all_agents():
    assert {name for name, _ in CLIMBERS} == set(agents.AGENTS)
