"""Networks as rewards: the chain rule holds, a linear one is the linear estimate, nothing learned is lost."""

import json
import shutil

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from irl.worlds import CLOCKS, A, K, S, demonstrate, flow, key, policy, world
from maxentrl import InfeasibleError, InputError
from maxentrl.core.precision import in_double_precision
from maxentrl.irl import deep_maxent, maxent, mce
from maxentrl.irl.ascent import Training
from maxentrl.irl.deep_estimate import load
from maxentrl.irl.likelihood import log_likelihood
from maxentrl.irl.networks import RewardNetwork, ask, network_in_float64, parameters, with_parameters

TRUE = np.array([0.2, -0.5, 0.6])
SHORT = Training(max_steps=30, patience=30)


class Linear(eqx.Module):
    weights: jax.Array

    def __call__(self, features):
        return features @ self.weights


class Rootish(eqx.Module):
    """Fine above 0, and not a number below, where the demonstrations want it to go."""

    weights: jax.Array

    def __call__(self, features):
        return -jnp.sqrt(self.weights[0]) * features[0] ** 2


class Blurred(eqx.Module):
    """A convolution over a map of 2 x 3 cells."""

    layer: eqx.nn.Conv2d

    def __init__(self, key):
        self.layer = eqx.nn.Conv2d(K, 1, 3, padding="SAME", key=key)

    def __call__(self, drawn):
        return self.layer(jnp.moveaxis(drawn, -1, 0))[0]


@pytest.fixture(scope="module")
def small():
    mdp, features = world(31)
    return mdp, features, demonstrate(mdp, features, TRUE, CLOCKS["discounted"], seed=0, count=40)


@pytest.mark.parametrize("clock", CLOCKS)
def test_the_gradient_by_weights_is_autodiff_is_central_differences(clock):
    mdp, features = world(30, ends=clock == "first exit")
    settings = CLOCKS[clock]
    expert = flow(mdp, policy(mdp, features, TRUE, **settings), np.asarray(mdp.initial), **settings)

    @in_double_precision
    def check():
        net = RewardNetwork(features, key(0), width=5, depth=1)
        # Away from its beginning, where all but the last layer have no gradient.
        start = jax.tree.map(
            lambda x: x + 0.1 * jax.random.normal(key(1), x.shape) if eqx.is_inexact_array(x) else x,
            network_in_float64(net).perceptron,
        )
        arrays, rest = eqx.partition(start, eqx.is_inexact_array)
        offset = -0.7 * (clock == "first exit")

        def reward_of(arrays):
            moved = eqx.tree_at(lambda net: net.perceptron, net, eqx.combine(arrays, rest))
            table = ask(moved, jnp.asarray(features), False) + offset
            return jnp.where(np.asarray(mdp.terminal)[:, None], 0.0, table)

        def value(arrays):
            return log_likelihood(mdp, reward_of(arrays), expert, **settings)

        by_autodiff = jax.grad(value)(arrays)
        reward, back = jax.vjp(reward_of, arrays)
        pi = policy(mdp, np.asarray(reward)[..., None], np.ones(1), **settings)
        weights = expert - flow(mdp, pi, np.asarray(mdp.initial), **settings)
        weights = weights.sum(0) if weights.ndim == 3 else weights
        (by_weights,) = back(jnp.asarray(weights))
        direction = jax.tree.map(lambda x: jax.random.normal(key(2), x.shape), arrays)
        step = 1e-5
        ahead, behind = (
            value(jax.tree.map(lambda x, d, h=h: x + h * d, arrays, direction)) for h in (step, -step)
        )
        inner = sum(
            jnp.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (by_autodiff, direction)), strict=True)
        )
        return by_autodiff, by_weights, (ahead - behind) / (2 * step), inner

    by_autodiff, by_weights, difference, inner = check()
    for one, other in zip(jax.tree.leaves(by_autodiff), jax.tree.leaves(by_weights), strict=True):
        # Values are known to 1e-9.
        np.testing.assert_allclose(one, other, atol=2e-8)
    # step^2 times a third derivative.
    assert float(difference) == pytest.approx(float(inner), rel=1e-6)


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_linear_network_finds_the_linear_estimate(clock):
    mdp, features = world(32, ends=clock == "first exit")
    settings = CLOCKS[clock]
    demos = demonstrate(mdp, features, TRUE, settings, seed=4, count=60)
    start = np.array([0.0, 0.0, 0.5])
    exact = mce.fit(mdp, features, demos, start=start, **settings)
    found = deep_maxent.fit(
        mdp,
        features,
        demos,
        key=key(0),
        network=Linear(jnp.asarray(start)),
        training=Training(max_steps=200, learning_rate=0.1),
        **settings,
    )
    # What is left of Adam's circling is nothing beside what the demonstrations leave open.
    assert np.all(np.abs(found.network.weights - exact.weights) < 0.01 * exact.standard_errors)
    assert exact.log_likelihood - 1e-4 < found.log_likelihood < exact.log_likelihood + 1e-9
    assert found.log_likelihood_uniform == pytest.approx(exact.log_likelihood_uniform, rel=1e-12)
    assert found.converged, found.verdict


def test_a_linear_network_under_posterior_dynamics_finds_the_linear_estimate():
    mdp, features = world(32)
    settings = CLOCKS["finite"]
    demos = demonstrate(mdp, features, TRUE, settings, seed=4, count=60)
    exact = maxent.fit(mdp, features, demos, **settings)
    found = deep_maxent.fit(
        mdp, features, demos, key=key(0), network=Linear(jnp.zeros(K)), dynamics="posterior",
        training=Training(max_steps=150, learning_rate=0.1), **settings,
    )  # fmt: skip
    assert np.all(np.abs(found.network.weights - exact.weights) < 0.02 * exact.standard_errors)


def test_a_network_learns_what_no_line_can_say(small):
    """The truth is the product of two features; the network beats every linear reward on held-out decisions."""
    mdp, features, _ = small
    truth = 2.0 * features[..., :1] * features[..., 1:2]
    train, test = (demonstrate(mdp, truth, np.ones(1), CLOCKS["discounted"], s, count=300) for s in (5, 6))
    linear = mce.fit(mdp, features, train, discount=0.9)
    found = deep_maxent.fit(
        mdp, features, train, key=key(1), discount=0.9, validation=test.take(np.arange(150)),
        training=Training(max_steps=150),
    )  # fmt: skip
    rest = test.take(np.arange(150, 300))
    held_out = [log_likelihood(mdp, r, rest, discount=0.9) for r in (found.reward, linear.reward)]
    assert held_out[0] > held_out[1] + 20
    assert found.validation_log_likelihood is not None and found.warnings in ((), (found.verdict,))


def test_the_parameters_of_the_best_validation_likelihood_are_kept(small):
    mdp, features, demos = small
    few, others = demos.take(np.arange(3)), demos.take(np.arange(3, 40))
    found = deep_maxent.fit(
        mdp, features, few, key=key(2), discount=0.9, validation=others,
        training=Training(max_steps=200, learning_rate=0.05, patience=40),
    )  # fmt: skip
    member = found.members[0]
    assert member.converged and "the validation likelihood has not risen for 40" in found.verdict
    assert member.best_step == int(member.validation.argmax()) < len(member.validation) - 1
    assert found.validation_log_likelihood == pytest.approx(member.validation.max() * others.steps, rel=1e-12)
    by_hand = log_likelihood(mdp, found.reward, others, discount=0.9)
    assert found.validation_log_likelihood == pytest.approx(float(by_hand), rel=1e-12)


def test_parameters_that_cannot_be_evaluated_are_stepped_back_from_and_named():
    mdp, features = world(33)
    features = np.abs(features) + 0.5
    demos = demonstrate(mdp, features**2, np.array([3.0, 0, 0]), CLOCKS["discounted"], seed=1, count=30)
    network = Rootish(jnp.array([0.5]))
    found = deep_maxent.fit(
        mdp, features, demos, key=key(0), network=network, discount=0.9,
        training=Training(max_steps=60, learning_rate=0.4),
    )  # fmt: skip
    assert np.isfinite(found.network.weights).all() and (found.network.weights >= 0).all()
    assert np.isfinite(found.reward).all() and np.isfinite(found.members[0].train).all()
    assert found.log_likelihood >= found.members[0].train[0] * demos.steps
    with pytest.raises(
        InfeasibleError,
        match="from its initial parameters: the network gives state 0, action 0 the reward nan",
    ):
        deep_maxent.fit(mdp, features, demos, key=key(0), network=Rootish(jnp.array([-1.0])), discount=0.9)


def test_a_search_whose_every_step_is_broken_keeps_the_last_good_parameters(small):
    mdp, features, demos = small

    class Trap(eqx.Module):
        weights: jax.Array

        def __call__(self, row):
            # One value of the parameter is fine; every other is not.
            return jnp.where(self.weights[0] == 0.25, row[0] * self.weights[0], jnp.nan)

    found = deep_maxent.fit(
        mdp, features, demos, key=key(0), network=Trap(jnp.array([0.25])), discount=0.9, training=SHORT
    )
    assert not found.converged and found.network.weights[0] == 0.25
    assert "however small, no step can be evaluated; the network gives state 0" in found.verdict
    assert "the reward nan; the parameters of step 0 are kept" in found.verdict
    assert found.warnings[0] == found.verdict


def test_an_infeasible_proposal_is_halved_and_survived():
    """First exit with the counting prior: rewards near 0 have no finite solution, and a large step goes there."""
    mdp, features = world(34, ends=True, deterministic=True, prior="counting")
    offset = np.full((S, A), -1.4)
    demos = demonstrate(
        mdp,
        np.ones((S, A, 1)) * offset[..., None],
        np.ones(1),
        CLOCKS["first exit"],
        seed=2,
        count=40,
        steps=60,
    )
    found = deep_maxent.fit(
        mdp, features, demos, key=key(3), offset=offset, discount=1.0,
        training=Training(max_steps=40, learning_rate=0.5),
    )  # fmt: skip
    assert np.isfinite(found.members[0].train).all()
    assert found.log_likelihood >= found.members[0].train[0] * demos.steps
    with pytest.raises(InfeasibleError, match="no finite solution under the network's reward"):
        deep_maxent.fit(mdp, features, demos, key=key(3), discount=1.0)


def test_what_the_offset_forbids_has_the_reward_minus_infinity():
    mdp, features = world(34)
    offset = np.zeros((S, A))
    offset[1, 2] = -np.inf
    counts = np.isfinite(offset).astype(float)
    found = deep_maxent.fit(
        mdp, features, counts, key=key(3), offset=offset, discount=0.9, members=2,
        training=Training(max_steps=2),
    )  # fmt: skip
    np.testing.assert_array_equal(np.isneginf(found.reward), np.isneginf(offset))
    np.testing.assert_array_equal(found.allowed, np.isfinite(offset))
    assert np.isfinite(found.spread).all() and found.spread[1, 2] == 0


def test_an_interrupted_run_keeps_its_progress(small):
    mdp, features, demos = small
    told = []

    def stop(progress):
        told.append(progress)
        if progress.member == 1 and progress.step == 3:
            raise KeyboardInterrupt

    found = deep_maxent.fit(
        mdp, features, demos, key=key(4), discount=0.9, training=SHORT, members=3, progress=stop
    )
    assert len(found.members) == 2 and found.members[1].interrupted and not found.converged
    assert "interrupted after 3 steps" in found.members[1].verdict
    assert "2 of 3 networks were trained before the interruption." in found.warnings
    assert len(found.members[1].train) == 4 and told[-1].train == found.members[1].train[-1]


def test_an_ensemble_differs_and_its_spread_is_free_of_constants(small):
    mdp, features, demos = small
    found = deep_maxent.fit(
        mdp, features, demos, key=key(5), discount=0.9, training=SHORT, members=3, validation=demos
    )
    assert found.rewards.shape == (3, S, A) and found.best == found.validation_log_likelihoods.argmax()
    centred = found.rewards - found.rewards.mean((1, 2), keepdims=True)
    np.testing.assert_allclose(found.spread, centred.std(0, ddof=1), rtol=1e-12)
    assert (found.spread > 0).all() and "3 networks, whose rewards differ by" in found.summary()


def test_a_whole_map_is_seen_by_a_convolution_as_state_rewards(small):
    mdp, features, demos = small
    drawn = features[:, 0].reshape(2, 3, K)
    found = deep_maxent.fit(
        mdp, drawn, demos, key=key(6), network=Blurred, whole=True, discount=0.9, training=SHORT
    )
    net = found.network
    # A convolution by hand: the map framed by zeros, nine shifts.
    framed = np.pad(drawn, ((1, 1), (1, 1), (0, 0)))
    kernel = np.asarray(net.layer.weight)[0]
    by_hand = float(net.layer.bias[0, 0, 0]) + sum(
        framed[i : i + 2, j : j + 3] @ kernel[:, i, j] for i in range(3) for j in range(3)
    )
    np.testing.assert_allclose(found.reward, np.repeat(by_hand.reshape(S, 1), A, 1), rtol=1e-12)
    assert found.log_likelihood > found.members[0].train[0] * demos.steps


def test_features_of_states_and_of_actions_give_the_same_answer(small):
    mdp, features, demos = small
    states = features[:, 0]
    wide = np.repeat(states[:, None], A, 1)
    one, two = (
        deep_maxent.fit(mdp, table, demos, key=key(7), discount=0.9, training=Training(max_steps=5))
        for table in (states, wide)
    )
    # The same sums in another order, in a network of float32: a few units in the last place after five steps.
    np.testing.assert_allclose(one.reward, two.reward, rtol=64 * 2.0**-23, atol=64 * 2.0**-23)


def test_the_posterior_form_is_trained_on_whole_trajectories(small):
    mdp, features, _ = small
    demos = demonstrate(mdp, features, TRUE, {"horizon": 6}, seed=8, count=30)
    found = deep_maxent.fit(mdp, features, demos, key=key(8), horizon=6, dynamics="posterior", training=SHORT)
    by_hand = log_likelihood(mdp, found.reward, demos, horizon=6, dynamics="posterior")
    assert found.log_likelihood == pytest.approx(float(by_hand), rel=1e-12)
    assert found.log_likelihood > found.members[0].train[0] * demos.steps
    assert found.log_likelihood_uniform is None


def test_an_estimate_comes_back_from_its_folder_bit_for_bit(small, tmp_path):
    mdp, features, demos = small
    found = deep_maxent.fit(
        mdp, features, demos, key=key(9), discount=0.9, training=SHORT, members=2, validation=demos
    )
    found.save(tmp_path / "run")
    back = load(tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "arrays.safetensors",
        "estimate.json",
    ]
    assert back.to_dict() == found.to_dict() and back.summary() == found.summary()
    for name in ("rewards", "allowed", "log_likelihoods", "validation_log_likelihoods"):
        np.testing.assert_array_equal(getattr(back, name), getattr(found, name), strict=True)
    for one, other in zip(back.members, found.members, strict=True):
        np.testing.assert_array_equal(one.train, other.train, strict=True)
        np.testing.assert_array_equal(one.validation, other.validation, strict=True)
        mine, theirs = parameters(one.network), parameters(other.network)
        assert mine.keys() == theirs.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], theirs[name], strict=True)
    again = in_double_precision(ask)(back.network, features, False)
    np.testing.assert_array_equal(np.asarray(again), in_double_precision(ask)(found.network, features, False))
    found.save(tmp_path / "run")  # in place of itself


def test_a_network_of_ones_own_comes_back_into_its_structure(small, tmp_path):
    mdp, features, demos = small
    found = deep_maxent.fit(
        mdp, features, demos, key=key(9), network=Linear(jnp.zeros(K)), discount=0.9, training=SHORT
    )
    found.save(tmp_path)
    with pytest.raises(InputError, match="networks of the kind Linear: give networks of the same structure"):
        load(tmp_path)
    back = load(tmp_path, [Linear(jnp.zeros(K))])
    np.testing.assert_array_equal(back.network.weights, found.network.weights, strict=True)
    with pytest.raises(InputError, match=r"weights has shape \(2,\) in the network and \(3,\) in the file"):
        load(tmp_path, [Linear(jnp.zeros(2))])
    with pytest.raises(InputError, match="holds 1 networks; 2 were given"):
        load(tmp_path, [Linear(jnp.zeros(K))] * 2)
    with pytest.raises(InputError, match="bias is only in the file"):
        with_parameters(Linear(jnp.zeros(K)), {"weights": np.zeros(K), "bias": np.zeros(1)})


def test_features_where_nothing_is_chosen_do_not_matter():
    mdp, features = world(14, ends=True)
    demos = demonstrate(mdp, features, np.array([0.5, -0.3, 1.0]), {"discount": 0.9}, seed=3, count=20)
    fits = []
    for nothing in (0.0, 1e6, np.nan):
        table = features[:, 0].copy()
        table[-1] = nothing
        fits.append(
            deep_maxent.fit(mdp, table, demos, key=key(0), discount=0.9, training=Training(max_steps=3))
        )
    for found in fits[1:]:
        np.testing.assert_array_equal(found.rewards, fits[0].rewards)
        assert found.log_likelihood == fits[0].log_likelihood
    np.testing.assert_allclose(fits[0].network.shift, features[:-1, 0].mean(0), rtol=1e-12)


def test_a_folder_that_was_changed_is_refused(small, tmp_path):
    mdp, features, demos = small
    deep_maxent.fit(mdp, features, demos, key=key(9), discount=0.9, training=Training(max_steps=2)).save(
        tmp_path
    )
    arrays = tmp_path / "arrays.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"is not the file that estimate\.json was written with"):
        load(tmp_path)
    (tmp_path / "estimate.json").write_text("{}")
    with pytest.raises(InputError, match="is not an estimate of the format"):
        load(tmp_path)
    (tmp_path / "estimate.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        load(tmp_path)
    with pytest.raises(InputError, match="holds no estimate: No such file"):
        load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="cannot be made"):
        deep_maxent.fit(mdp, features, demos, key=key(9), discount=0.9, training=Training(max_steps=1)).save(
            arrays / "inside"
        )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    mdp, features = world(41)
    demos = demonstrate(mdp, features, TRUE, CLOCKS["discounted"], seed=1, count=5)
    folder = tmp_path_factory.mktemp("saved")
    deep_maxent.fit(mdp, features, demos, key=key(9), discount=0.9, training=Training(max_steps=2)).save(
        folder
    )
    return folder


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (("members",), None, "members must be of type list; got 'None'"),
        (("members",), [], "at least one member"),
        (("members",), [3], "member 0 must hold names and values; got int"),
        (("members", 0, "best_step"), None, "member 0: best_step must be of type int"),
        (("members", 0, "best_step"), 99, "best_step must be a step of its history; got 99"),
        (("members", 0, "network", "width"), "a", "network: width must be of type int; got 'a'"),
        (("members", 0, "network", "width"), -3, "does not hold a network of 3 features and 2 layers of -3"),
        (("members", 0, "network", "width"), 10**9, "2 layers of 1000000000"),
        (("members", 0, "network", "depth"), 10**9, "1000000000 layers of 64"),
        (("method",), 5, "method must be of type str; got '5'"),
        (("log_likelihood_uniform",), "zz", "log_likelihood_uniform must be of type .*; got 'zz'"),
        (("validation_decisions",), 7, "does not hold the numbers of the 1 networks"),
    ],
)
def test_words_that_were_changed_are_refused_before_anything_is_made(saved, tmp_path, place, value, sentence):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    words = json.loads((saved / "estimate.json").read_text())
    inner = words
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    (tmp_path / "estimate.json").write_text(json.dumps(words))
    with pytest.raises(InputError, match=sentence):
        load(tmp_path)


def test_words_nested_without_end_are_refused(saved, tmp_path):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    (tmp_path / "estimate.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="is not JSON"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"features": np.ones((S, A, K + 1)) * np.nan}, "features must be finite"),
        ({"features": np.ones(4)}, r"features must be numbers \[S, A, K\] or \[S, K\]"),
        ({"network": eqx.nn.Linear(K, 2, key=key(0))}, r"one reward \[\]; it gives \(2,\)"),
        ({"whole": True}, "whole=True needs a network"),
        ({"whole": True, "network": Linear(jnp.ones(K))}, "or to"),
        ({"whole": True, "network": Linear(jnp.ones(K)), "features": np.full((S, K), np.inf)}, r"entry \(0, 0\) is inf"),
        ({"network": Linear(jnp.ones(K)), "members": 2}, "2 members need different beginnings"),
        ({"members": 0}, "members must be a whole number of networks, at least 1; got 0"),
        ({"discount": None}, "give a discount below 1, a horizon, or"),
        ({"demos": np.zeros((S, A))}, "visit counts must be finite, not negative, and not all zero"),
        ({"validation": np.ones((S, A + 1))}, "visit counts must have shape"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_from_is_refused(small, settings, sentence):
    mdp, features, demos = small
    given = {
        "features": features,
        "demos": demos,
        "discount": 0.9,
        "training": Training(max_steps=1),
        **settings,
    }
    if sentence.startswith("or to"):
        given["features"] = features[:, :, None] * np.ones((1, 1, 2, 1))
        sentence = r"rewards of states, \(6,\), or of actions, \(6, 3\); it gives \(6, 3, 2\)"
    with pytest.raises(InputError, match=sentence):
        deep_maxent.fit(mdp, given.pop("features"), given.pop("demos"), key=key(0), **given)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"max_steps": 0}, "max_steps must be a whole number of steps, at least 1; got 0"),
        ({"patience": True}, "patience must be a whole number"),
        ({"learning_rate": 0.0}, "learning_rate must be a positive number; got 0.0"),
        ({"weight_decay": -1.0}, "weight_decay must be a number of at least 0; got -1.0"),
    ],
)
def test_a_training_that_cannot_be_is_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        Training(**settings)


def test_weight_decay_shrinks_matrices_and_leaves_biases_alone(small):
    mdp, features, demos = small
    nets = [
        deep_maxent.fit(
            mdp, features, demos, key=key(10), discount=0.9, network=lambda k: eqx.nn.Linear(K, "scalar", key=k),
            training=Training(max_steps=200, learning_rate=0.05, weight_decay=decay),
        ).network
        for decay in (0.0, 3.0)
    ]  # fmt: skip
    assert np.abs(nets[1].weight).sum() < 0.8 * np.abs(nets[0].weight).sum()
