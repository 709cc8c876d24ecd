"""The ladder of probes: what each claims to be its soft value is, found here by other means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from maxentrl.core.check import InputError
from maxentrl.core.spaces import Discrete, flat
from maxentrl.envs import probes
from maxentrl.envs.limited import Limited

T, G = 0.4, 0.8  # temperature and discount


def key(seed):
    return jax.random.key(seed, impl="threefry2x32")


def walk(probe, place, action):
    """One step from a place, as Python's numbers: reward, next place or None at the end."""
    action = jnp.int32(action) if isinstance(probe.env.action, Discrete) else jnp.array([action], jnp.float32)
    state = jnp.int32(place) if probe.env.limit is None else Limited(jnp.int32(place), jnp.int32(0))
    state, step = probe.env.step(key(0), state, action)
    place_next = int(state if probe.env.limit is None else state.inner)
    return float(step.reward), None if bool(step.terminated) else place_next, step


def soft_value(probe, place, steps=160):
    """By recursion over what `step` answers: a mean of two exponentials, or an integral over actions."""
    # Nowhere does an action decide what comes next, and what it pays is a parabola: three points find it.
    tried = (0, 1) if isinstance(probe.env.action, Discrete) else (-1.0, 0.0, 1.0)
    answers = [walk(probe, place, action)[:2] for action in tried]
    soft = soft_reward(probe, [reward for reward, _ in answers])
    (after,) = {after for _, after in answers}
    if after == place:
        return sum(G**k * soft for k in range(steps))  # what comes later weighs less than 0.8^160 = 3e-16
    return soft + (0.0 if after is None else G * soft_value(probe, after))


def soft_reward(probe, paid):
    if isinstance(probe.env.action, Discrete):
        return T * np.log((np.exp(paid[0] / T) + np.exp(paid[1] / T)) / 2)
    parabola = np.polynomial.Polynomial.fit([-1, 0, 1], paid, 2)
    return T * np.log(quad(lambda a: np.exp(parabola(a) / T), -1, 1, epsabs=1e-13)[0])


@pytest.mark.parametrize("actions", ["discrete", "continuous"])
@pytest.mark.parametrize("name", probes.LADDER)
def test_values_are_those_found_by_stepping_the_probe(name, actions):
    probe = probes.LADDER[name](actions)
    found = [soft_value(probe, place) for place in range(len(probe.observations))]
    np.testing.assert_allclose(probe.value(T, G), found, rtol=1e-6)  # rewards are float32


CLOSED = {
    "constant": ([1], [1 + T * np.log(2)]),
    "observed": ([-1, 1], [-1 + T * np.log(2), 1 + T * np.log(2)]),
    "delayed": ([G, 1], [T * np.log(2) * (1 + G) + G, 1 + T * np.log(2)]),
    "endless": ([1 / (1 - G)], [(1 + T * np.log(2)) / (1 - G)]),
}


@pytest.mark.parametrize("name", CLOSED)
def test_values_where_no_action_matters_are_those_of_the_docstrings(name):
    for actions, wanted in zip(("discrete", "continuous"), CLOSED[name], strict=True):
        probe = probes.LADDER[name](actions)
        np.testing.assert_allclose(probe.value(T, G), wanted, rtol=1e-14)
        assert probe.best is None


@pytest.mark.parametrize("name", probes.LADDER)
def test_values_are_the_soft_maximum_of_action_values(name):
    probe = probes.LADDER[name]("discrete")
    q = np.array([probe.action_value(a, T, G) for a in (0, 1)])
    np.testing.assert_allclose(T * np.log(np.exp(q / T).mean(0)), probe.value(T, G), rtol=1e-13)
    probe = probes.LADDER[name]("continuous")
    for k, value in enumerate(probe.value(T, G)):
        mass = quad(lambda a, k=k: np.exp(probe.action_value(a, T, G)[k] / T), -1, 1)[0]
        np.testing.assert_allclose(T * np.log(mass), value, rtol=1e-12)


@pytest.mark.parametrize("actions", ["discrete", "continuous"])
@pytest.mark.parametrize("name", ["chosen", "matched"])
def test_the_best_action_is_the_best_and_what_remains_at_temperature_zero(name, actions):
    probe = probes.LADDER[name](actions)
    tried = [0, 1] if actions == "discrete" else np.linspace(-1, 1, 81)
    q = np.array([probe.action_value(a, T, G) for a in tried])
    np.testing.assert_allclose(np.asarray(tried)[q.argmax(0)], probe.best.reshape(-1), atol=1e-12)
    np.testing.assert_allclose(probe.value(0, G), q.max(0), atol=1e-12)
    np.testing.assert_allclose(
        probe.value(1e-4, G), q.max(0), atol=1e-3
    )  # 1e-4 log 2, or less than 1e-4 * 10


@pytest.mark.parametrize("seen", ["numbers", "places"])
@pytest.mark.parametrize("actions", ["discrete", "continuous"])
@pytest.mark.parametrize("name", probes.LADDER)
def test_what_is_seen_is_what_the_probe_says_is_seen(name, actions, seen):
    """From the first step of an episode on, flat, as agents see it; and each probe is stepped in one scan."""
    probe = probes.LADDER[name](actions, seen)
    env = probe.env
    state, first = jax.vmap(env.reset)(jax.random.split(key(0), 64))
    started = set(np.asarray(state.inner if env.limit else state).tolist())
    assert started == ({0, 1} if name in ("observed", "matched") else {0})
    places = np.asarray(state.inner if env.limit else state)
    np.testing.assert_array_equal(flat(env.observation, first), probe.observations[places])
    for place in range(len(probe.observations)):
        _, after, step = walk(probe, place, 0)
        assert flat(env.observation, step.observation).dtype == jnp.float32
        if after is not None:
            np.testing.assert_array_equal(flat(env.observation, step.observation), probe.observations[after])


def test_only_the_endless_probe_is_truncated_and_it_is_never_terminated():
    env = probes.endless().env
    state, _ = env.reset(key(0))
    _, step = jax.lax.scan(lambda s, _: env.step(key(0), s, jnp.int32(0)), state, None, probes.LIMIT)
    np.testing.assert_array_equal(np.flatnonzero(step.truncated), [probes.LIMIT - 1])
    assert not step.terminated.any()
    for name, make in probes.LADDER.items():
        assert (make().env.limit is None) == (name != "endless")


@pytest.mark.parametrize(("temperature", "loss"), [(0.05, 0.0016), (0.1, 0.0047), (0.2, 0.0097)])
def test_a_squashed_normal_comes_within_a_hundredth_of_the_soft_value(temperature, loss):
    """As the docstring of `chosen` says, so that no agent is refused for the form of its policies: by quadrature."""
    assert abs(squashed_loss(temperature) - loss) < 1e-4  # half a digit, and the grid


def squashed_loss(temperature):
    """Soft value of `chosen` less that of the best tanh(normal), on a grid of means and deviations."""
    z, weight = np.polynomial.hermite_e.hermegauss(80)
    weight = weight / weight.sum()
    mean, log_std = np.meshgrid(np.linspace(0.3, 0.9, 61), np.linspace(-3, 0.5, 141), indexing="ij")
    u = mean[..., None] + np.exp(log_std)[..., None] * z
    a = np.tanh(u)
    log_density = -0.5 * (z**2 + np.log(2 * np.pi)) - log_std[..., None]
    log_density = log_density - 2 * (np.log(2) - u - np.logaddexp(0, -2 * u))
    worth = ((-((a - 0.5) ** 2) - temperature * log_density) * weight).sum(-1).max()
    return probes.chosen("continuous").value(temperature, 0.0)[0] - worth


def test_what_is_no_probe_is_refused(as_shipped):
    with pytest.raises(InputError, match="chosen: actions must be one of discrete, continuous; got 'both'"):
        probes.chosen("both")
    with pytest.raises(InputError, match="delayed: seen must be one of numbers, places; got 'all'"):
        probes.delayed("discrete", "all")
    with pytest.raises(InputError, match=r"temperature must lie in \[0, inf\), in units of reward; got -1"):
        probes.constant().value(-1, 0.9)
