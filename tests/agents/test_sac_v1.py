import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.squashed import best
from maxentrl.agents.normal_policy import normal_parameters
from maxentrl.agents.sac_v1 import SACv1Settings, learner, sac_v1, value_loss
from maxentrl.core.check import InputError
from maxentrl.core.contracts import Transition
from maxentrl.core.spaces import Discrete, box
from maxentrl.learn.nets import forward

KEY = jax.random.key(0, impl="threefry2x32")
ONE, TWO = box(-1.0, 1.0, (1,)), box(0.0, 1.0, (2,))
SETTINGS = SACv1Settings(
    hidden=(), discount=0.8, temperature=0.5, learning_rate=3e-3, target_rate=0.05, capacity=1
)


def turns(key, count, terminated=False):
    """Steps of two states that take turns, one-hot, with reward 2 a in the first and 2 a + 1 in the second."""
    which, action = jax.random.split(key)
    state = jax.random.bernoulli(which, 0.5, (count,))
    action = jax.random.uniform(action, (count, 1), minval=-1.0, maxval=1.0)
    seen = jnp.stack([~state, state], 1).astype(jnp.float32)
    flags = [jnp.full(count, flag) for flag in (terminated, False, True)]
    return Transition(seen, action, 2 * action[:, 0] + state, seen[:, ::-1], *flags)


@pytest.fixture(scope="module")
def learned():
    learning = learner(SETTINGS)

    def step(state, key):
        one, two = jax.random.split(key)
        return learning.learn(state, two, turns(one, 256))

    return jax.jit(lambda s, k: jax.lax.scan(step, s, k))(
        learning.init(KEY, TWO, ONE), jax.random.split(KEY, 8000)
    )


def test_the_value_of_two_states_in_turns_is_the_one_by_quadrature(learned):
    """Rewards and values are linear here, so that linear networks hold them: the rest is the noise of Adam's steps."""
    state, _ = learned
    parameters, free = best(lambda a: 2 * a, SETTINGS.temperature)
    # V_0 = free + discount V_1 and V_1 = free + 1 + discount V_0
    value = np.linalg.solve([[1, -SETTINGS.discount], [-SETTINGS.discount, 1]], [free, free + 1])
    np.testing.assert_allclose(forward(state.value, jnp.eye(2))[:, 0], value, rtol=0.02)
    found = normal_parameters(state.policy, jnp.eye(2))
    np.testing.assert_allclose(np.stack(found)[..., 0].T, [parameters, parameters], atol=0.06)


def test_at_convergence_the_value_network_holds_what_the_critics_imply(learned):
    _, info = learned
    gap = np.asarray(info["value_gap"])
    # One batch tells what the critics imply up to the spread of temperature log pi - Q over 256 draws, which is below
    # 1 / 16; a thousand batches in a row, whose networks differ, agree with zero within a fiftieth.
    assert abs(gap[0]) > 0.2
    assert abs(gap[-1000:].mean()) < 0.02


def test_the_value_network_expects_no_update_where_it_holds_what_the_critics_imply():
    value = learner(SETTINGS).init(KEY, TWO, ONE).value
    batch = turns(KEY, 16)
    gradient, _ = jax.grad(value_loss, has_aux=True)(value, batch, forward(value, batch.observation)[:, 0])
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))


def test_nothing_follows_a_terminated_step_and_the_slow_value_follows_a_truncated_one():
    learning = learner(SETTINGS)
    state, learn = learning.init(KEY, TWO, ONE), jax.jit(learning.learn)
    goes_on, ends = turns(KEY, 8), turns(KEY, 8, terminated=True)
    cut = goes_on._replace(truncated=jnp.ones(8, bool))
    target = [float(learn(state, KEY, batch)[1]["target"]) for batch in (goes_on, cut, ends)]
    follows = forward(state.slow_value, goes_on.next_observation)[:, 0]
    assert target[2] == pytest.approx(float(ends.reward.mean()), abs=1e-6)
    assert target[0] == target[1] == pytest.approx(target[2] + 0.8 * float(follows.mean()), abs=1e-5)


def test_bad_settings_and_spaces_are_refused_in_a_sentence():
    with pytest.raises(InputError, match=r"sac_v1: temperature must be a finite number above 0.*got inf"):
        sac_v1(SACv1Settings(temperature=math.inf))
    with pytest.raises(
        InputError,
        match=r"sac_v1 needs actions in a box, .* numbers below 3; soft_dqn, discrete_sac, soft_pg and",
    ):
        sac_v1().check(ONE, Discrete(3))
    sac_v1().check(ONE, ONE)
