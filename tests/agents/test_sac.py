import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.squashed import best, reward_and_entropy, temperature_of
from agents.steps import KEY, ONE, constant, in_standard_errors, steps
from maxentrl.agents.normal_policy import DENSITIES, normal_parameters
from maxentrl.agents.sac import (
    SACSettings,
    action_values,
    learner,
    policy_loss,
    sac,
    soft_value,
    temperature_loss,
    values_of_actions,
)
from maxentrl.core.check import InputError
from maxentrl.core.spaces import Discrete, box
from maxentrl.learn.adam import at_rest, descend
from maxentrl.learn.nets import Layer
from unoptimised import unoptimised


def still(count):
    """Rows for losses that look at observations alone: there is one, and it is 1."""
    one = jnp.ones((count, 1))
    return steps(one, jnp.zeros((count, 1)), jnp.zeros(count), one)


@pytest.mark.parametrize("family", ["tanh_normal", "normal"])
def test_log_densities_integrate_to_one(family):
    with jax.enable_x64(True):
        agent = sac(SACSettings(policy=family, hidden=(), capacity=1))
        state = agent.init(KEY, ONE, ONE)
        state = state._replace(learner=state.learner._replace(policy=constant(0.4, -0.6)))
        high = 1.0 if family == "tanh_normal" else 8.0
        grid = np.linspace(-high, high, 100_001)
        log_density = np.asarray(
            agent.log_density(state, jnp.ones((len(grid), 1)), jnp.asarray(grid[:, None]))
        )
        centre = float(agent.mode(state, jnp.ones((1, 1)))[0, 0])
    # The trapezoidal rule on a smooth density that vanishes at both ends.
    assert np.trapezoid(np.exp(log_density), grid) == pytest.approx(1.0, abs=1e-6)
    assert centre == pytest.approx(math.tanh(0.4) if family == "tanh_normal" else 0.4, abs=1e-12)


def gradients(policy, values, family, temperature, count):
    """The gradient of the policy's loss in its biases, for `count` draws of noise."""
    batch = still(1)

    def one(noise):
        loss = partial(policy_loss, values=values, density=DENSITIES[family], temperature=temperature)
        gradient, _ = jax.grad(lambda p: loss(p, noise=noise, batch=batch), has_aux=True)(policy)
        return gradient[-1].bias

    return jax.jit(jax.vmap(one))(jax.random.normal(KEY, (count, 1, 1)))


def test_the_reparameterised_gradient_is_that_of_the_kl_divergence_for_a_normal_policy_and_a_quadratic_value():
    curvature, peak, temperature, mean, x = 3.0, 0.3, 0.5, -0.2, -0.7
    policy = (Layer(jnp.zeros((1, 2)), jnp.array([mean, x])),)
    drawn = gradients(
        policy, lambda s, a: -0.5 * curvature * (a[None, :, 0] - peak) ** 2, "normal", temperature, 100_000
    )
    log_std = float(normal_parameters(policy, jnp.ones((1, 1)))[1][0, 0])
    # temperature KL(N(mean, std^2) || exp(Q / temperature) / Z) = curvature ((mean - peak)^2 + std^2) / 2
    # - temperature log std + constant
    slope = 1 / (1 + math.exp(-(x + 5))) - 1 / (1 + math.exp(-(x - 2)))
    analytic = [
        curvature * (mean - peak),
        (curvature * math.exp(2 * log_std) - temperature) * slope,
    ]
    assert in_standard_errors(np.asarray(drawn) - analytic).max() < 5


def bumpy(a):
    return np.sin(3 * a) + a


def test_the_policys_gradient_vanishes_at_the_best_squashed_normal_and_nowhere_near_it():
    temperature = 0.4
    (mean, log_std), _ = best(bumpy, temperature)

    def values(s, a):
        return (jnp.sin(3 * a) + a)[None, :, 0]

    there = gradients(constant(mean, log_std), values, "tanh_normal", temperature, 100_000)
    beside = gradients(constant(mean + 0.2, log_std - 0.2), values, "tanh_normal", temperature, 100_000)
    assert in_standard_errors(there).max() < 5
    assert in_standard_errors(beside).min() > 10


def test_the_loss_of_the_policy_is_minus_the_value_by_quadrature():
    with jax.enable_x64(True):
        loss, _ = policy_loss(
            constant(0.3, -0.4),
            lambda s, a: (jnp.sin(3 * a) + a)[None, :, 0],
            DENSITIES["tanh_normal"],
            0.4,
            jax.random.normal(KEY, (200_000, 1)),
            still(200_000),
        )
    mean, entropy = reward_and_entropy(bumpy, 0.3, -0.4)
    # |sin 3a + a| < 2, and temperature log pi spreads by less: a standard error below 2 / sqrt(200000) = 0.0045.
    assert float(loss) == pytest.approx(-(mean + 0.4 * entropy), abs=5 * 0.0045)


def test_the_learned_temperature_of_a_quadratic_bandit_has_its_closed_form():
    curvature, target_entropy = 3.0, 0.3
    rates = 0.5e-2 * (1 + np.cos(np.linspace(0, np.pi, 3000, endpoint=False), dtype=np.float32))
    batch = still(256)

    def step(carry, given):
        policy, log_temperature, states = carry
        key, rate = given
        gradient, (log_density, _) = jax.grad(policy_loss, has_aux=True)(
            policy,
            lambda s, a: -0.5 * curvature * a[None, :, 0] ** 2,
            DENSITIES["normal"],
            jnp.exp(log_temperature),
            jax.random.normal(key, (256, 1)),
            batch,
        )
        policy, first = descend(gradient, states[0], policy, rate)
        gradient = jax.grad(temperature_loss)(log_temperature, log_density, target_entropy, batch.valid)
        log_temperature, second = descend(gradient, states[1], log_temperature, rate)
        return (policy, log_temperature, (first, second)), None

    policy, start = constant(0.5, 0.0), jnp.zeros(())
    carry = policy, start, (at_rest(policy), at_rest(start))
    (policy, log_temperature, _), _ = jax.jit(lambda c, k: jax.lax.scan(step, c, k))(
        carry, (jax.random.split(KEY, 3000), jnp.asarray(rates))
    )
    # std^2 = temperature / curvature, and log(2 pi e std^2) / 2 = target entropy. The tolerance is a hundredth: the
    # step size falls to 0, and what is left is the noise of the last few hundred batches.
    closed = curvature * math.exp(2 * target_entropy) / (2 * math.pi * math.e)
    assert float(jnp.exp(log_temperature)) == pytest.approx(closed, rel=0.01)


@pytest.mark.parametrize("hidden", [(), (4,), (4, 3)])
def test_the_values_of_actions_are_the_values_and_their_gradients_in_the_action_agree(hidden):
    with jax.enable_x64(True):
        critics = (
            learner(SACSettings(hidden=hidden)).init(KEY, box(-1.0, 1.0, (2,)), box(-1.0, 1.0, (3,))).critics
        )
        seen, done = jax.random.normal(KEY, (5, 2)), jax.random.normal(KEY, (5, 3))
        one, two = (
            jax.value_and_grad(lambda a, f=f: jnp.sum(jnp.sin(f(critics, seen, a))))(done)
            for f in (action_values, values_of_actions)
        )
    np.testing.assert_allclose(one[0], two[0], rtol=1e-12)  # float64
    np.testing.assert_allclose(one[1], two[1], rtol=1e-12, atol=1e-14)


def test_the_smaller_of_two_values_has_a_derivative_however_the_compiler_rounds():
    # Without optimisation the values are computed apart from their minimum, and may round differently.
    critics = (Layer(jax.random.normal(KEY, (2, 2, 1)), jnp.zeros((2, 1))),)
    action, seen = jax.random.normal(KEY, (128, 1)), jnp.ones((128, 1))

    def value(action):
        return jnp.sum(soft_value(values_of_actions(critics, seen, jnp.tanh(action)), 0.0, 1.0))

    with unoptimised():
        found = jax.jit(jax.grad(value))(action)
    both = jax.jacobian(lambda a: values_of_actions(critics, seen, jnp.tanh(a)).sum(1))(action)[:, :, 0]
    smaller = jnp.argmin(values_of_actions(critics, seen, jnp.tanh(action)), 0)
    np.testing.assert_allclose(found[:, 0], both[smaller, jnp.arange(128)], rtol=1e-5)


def test_with_too_little_entropy_the_temperature_rises_and_with_too_much_it_falls():
    valid = jnp.ones(2, bool)
    little, much = jnp.array([3.0, 1.0]), jnp.array([-3.0, -1.0])  # log-densities: entropies -2 and 2
    assert (
        jax.grad(temperature_loss)(0.0, little, 0.0, valid)
        < 0
        < jax.grad(temperature_loss)(0.0, much, 0.0, valid)
    )


def test_a_bandit_whose_values_are_linear_is_learned_with_its_temperature():
    """Linear critics hold it exactly: what is left is the noise of Adam, a few of its steps of 0.002."""
    entropy = 0.0
    learning = learner(SACSettings(hidden=(), learning_rate=2e-3, target_entropy=entropy))

    def step(state, key):
        one, two = jax.random.split(key)
        action = jax.random.uniform(one, (128, 1), minval=-1.0, maxval=1.0)
        seen = jnp.ones((128, 1))
        return learning.learn(state, two, steps(seen, action, 2.0 * action[:, 0], seen, terminated=True))

    state, info = jax.jit(lambda s, k: jax.lax.scan(step, s, k))(
        learning.init(KEY, ONE, ONE), jax.random.split(KEY, 6000)
    )
    temperature = temperature_of(lambda a: 2.0 * a, entropy)
    (mean, log_std), _ = best(lambda a: 2.0 * a, temperature)
    found = [float(x[0, 0]) for x in normal_parameters(state.policy, jnp.ones((1, 1)))]
    assert float(info["temperature"][-1000:].mean()) == pytest.approx(temperature, rel=0.02)
    assert float(info["entropy"][-1000:].mean()) == pytest.approx(entropy, abs=0.02)
    assert found == pytest.approx([mean, log_std], abs=0.05)


SMALL = learner(SACSettings(hidden=(4,)))
LEARN = jax.jit(SMALL.learn)


def random_steps(count, **flags):
    random = np.random.default_rng(1)
    o, n, u = (jnp.asarray(random.normal(size=(count, 1)), jnp.float32) for _ in range(3))
    return steps(o, jnp.tanh(u), jnp.full(count, 0.7), n, **flags)


def test_nothing_follows_a_terminated_step_and_the_value_follows_a_truncated_one():
    state = SMALL.init(KEY, ONE, ONE)
    target = [
        float(LEARN(state, KEY, random_steps(4, **flags))[1]["target"])
        for flags in ({}, {"truncated": True}, {"terminated": True}, {"terminated": True, "truncated": True})
    ]
    assert target[0] == target[1] != target[2] == target[3] == pytest.approx(0.7, abs=1e-7)


def test_nothing_is_learned_from_steps_that_no_one_lived_through():
    state, batch = SMALL.init(KEY, ONE, ONE), random_steps(4)
    batch = batch._replace(valid=jnp.array([True, True, False, False]))
    other = batch._replace(
        reward=batch.reward.at[2:].set(1e6), observation=batch.observation.at[2:].set(-7.0)
    )
    assert jax.tree.all(
        jax.tree.map(lambda x, y: (x == y).all(), *(LEARN(state, KEY, x) for x in (batch, other)))
    )


def test_a_learned_temperature_stays_within_its_bounds():
    settings = SACSettings(hidden=(4,), learning_rate=0.5, temperature_bounds=(0.5, 2.0), target_entropy=50.0)
    learning = learner(settings)
    learn, state = jax.jit(learning.learn), learning.init(KEY, ONE, ONE)
    for _ in range(4):
        state, _ = learn(state, KEY, random_steps(4))
    assert float(jnp.exp(state.log_temperature)) == pytest.approx(2.0, rel=1e-6)


def test_actions_lie_within_the_bounds_and_uniform_ones_fill_them():
    state, seen = SMALL.init(KEY, ONE, ONE), jnp.ones((1000, 1))
    drawn, even = SMALL.act(state, KEY, seen), SMALL.uniform(state, KEY, seen)
    assert drawn.shape == even.shape == (1000, 1)
    assert float(jnp.abs(drawn).max()) <= 1 and float(jnp.abs(even).max()) <= 1
    assert float(even.std()) == pytest.approx(1 / math.sqrt(3), abs=0.05)  # five standard errors


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"temperature": 0.0}, r"temperature must be a finite number above 0.*got 0\.0"),
        ({"temperature": 0.1, "target_entropy": -1.0}, "either a temperature.*or a target_entropy"),
        ({"target_entropy": math.inf}, "target_entropy must be a finite number of nats; got inf"),
        ({"temperature_bounds": (1.0, 0.5)}, r"temperature_bounds must be .*in order; got \(1\.0, 0\.5\)"),
        ({"policy": "beta"}, "policy must be one of tanh_normal, normal; got 'beta'"),
        ({"discount": 1.5}, r"discount must be one number in \[0, 1\]"),
        ({"learning_rate": -1.0}, "learning_rate must be a finite number above 0"),
        ({"target_rate": 0.0}, r"target_rate must lie in \(0, 1\]"),
        ({"hidden": (0,)}, "hidden layers must be at least 1 wide"),
    ],
)
def test_settings_out_of_range_are_refused_in_a_sentence(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        sac(SACSettings(**settings))


def test_spaces_it_cannot_act_in_are_refused_with_the_agents_that_can():
    agent = sac()
    agent.check(box(-np.inf, np.inf, (3,)), ONE)
    with pytest.raises(
        InputError,
        match="here they are numbers below 2; soft_dqn, discrete_sac, soft_pg and entropy_bonus_pg can act here",
    ):
        agent.check(ONE, Discrete(2))
    with pytest.raises(InputError, match="must have finite bounds"):
        agent.check(ONE, box(-1.0, np.inf, (1,)))
