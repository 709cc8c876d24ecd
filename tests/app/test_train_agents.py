"""Trained agents are kept as numbers, act in the environment's own units, and say exactly how likely an action is."""

from __future__ import annotations

import json
import shutil

import gymnasium
import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import maxentrl as me
import toy_learning as toy
from maxentrl import InputError, agents
from maxentrl.app import saved_agents
from maxentrl.app.rollouts import rollouts
from maxentrl.app.saved_agents import describe, load_agent, save_agents
from maxentrl.core.spaces import Box, Discrete, box

LOW, HIGH = np.array([-2.0, 1.0], np.float32), np.array([2.0, 1.5], np.float32)
SPACES = (box([-1.0, -np.inf], [1.0, np.inf]), Box(LOW, HIGH))
SAC = agents.make("sac", {"hidden": (6,), "capacity": 4, "temperature_bounds": [1e-3, 10.0]})


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A run folder with agents of two seeds, as they were born."""
    run = tmp_path_factory.mktemp("runs")
    states = [SAC.init(jax.random.key(s, impl="threefry2x32"), *SPACES) for s in (0, 3)]
    save_agents(run / "agent", describe(SAC, SPACES, None, "somewhere", {"wind": 1}, (0, 3), 7), states)
    return run, states


def test_three_lines_load_an_agent_and_act(kept):
    run, states = kept
    policy = me.load_agent(run)
    action = policy.act([0.3, -5.0])
    assert policy.seed == 0 and action.shape == (2,) and (action >= LOW).all() and (action <= HIGH).all()
    mode = np.asarray(SAC.mode(states[0], jax.numpy.array([[0.3, -5.0]])))[0]
    # From [-1, 1] to units of the environment, in float32.
    np.testing.assert_allclose(action, LOW + (mode + 1) / 2 * (HIGH - LOW), rtol=1e-6)
    other = me.load_agent(run / "agent", seed=3)
    assert other.seed == 3 and not np.array_equal(other.act([0.3, -5.0]), action)


def test_many_observations_are_as_many_single_ones(kept):
    policy = load_agent(kept[0])
    seen = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    together = policy.act(seen)
    # A batch may be summed in another order: a few units in the last place of float32.
    np.testing.assert_allclose(together, [policy.act(row) for row in seen], rtol=1e-5)
    given = policy.act(seen, key=1)
    np.testing.assert_allclose(
        policy.log_density(seen, given),
        [policy.log_density(s, a) for s, a in zip(seen, given, strict=True)], rtol=1e-4, atol=1e-4,
    )  # fmt: skip


def test_a_key_draws_an_action_and_the_same_key_the_same_one(kept):
    policy = load_agent(kept[0])
    drawn = [policy.act([0.0, 0.0], key=key) for key in (1, 1, 2, jax.random.key(1, impl="threefry2x32"))]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], drawn[3])
    assert not np.array_equal(drawn[0], drawn[2])


def test_the_density_integrates_to_one_over_the_environments_own_actions(kept):
    policy = load_agent(kept[0])
    # Midpoints, in t with a = middle + half * tanh(t): the density falls off as a power at the bounds in a, and fast in t.
    t = (np.arange(160) + 0.5) / 160 * 12 - 6
    weight = (12 / 160) * (1 - np.tanh(t) ** 2)
    first, second = np.meshgrid(np.tanh(t), np.tanh(t), indexing="ij")
    unit = np.stack([first.ravel(), second.ravel()], -1)
    action = ((LOW + HIGH) / 2 + unit * (HIGH - LOW) / 2).clip(LOW, HIGH).astype(np.float32)
    log_density = policy.log_density(np.tile([[0.3, -0.5]], (len(action), 1)), action)
    total = np.sum(np.exp(log_density).reshape(160, 160) * np.outer(weight, weight)) * np.prod(
        (HIGH - LOW) / 2
    )
    # What is left is float32 near the bounds: actions are rounded to about 1e-7 of their range.
    assert total == pytest.approx(1.0, abs=2e-3)


def test_probabilities_of_discrete_actions_sum_to_one(tmp_path):
    dqn = agents.make("soft_dqn", {"hidden": [5], "capacity": 4})
    spaces = (Discrete(3), Discrete(4))
    state = dqn.init(jax.random.key(0, impl="threefry2x32"), *spaces)
    save_agents(tmp_path / "agent", describe(dqn, spaces, None, "somewhere", {}, (0,), 7), [state])
    policy = load_agent(tmp_path)
    # Sums of four probabilities in float32.
    assert np.exp([policy.log_density(2, a) for a in range(4)]).sum() == pytest.approx(1.0, abs=1e-6)
    assert policy.act(2) == np.argmax([policy.log_density(2, a) for a in range(4)])
    assert policy.act(np.array([0, 1, 2])).shape == (3,) and isinstance(policy.act(1, key=0), int)
    for action in (4, -1, 0.5):
        with pytest.raises(InputError, match="every action must lie in the action space"):
            policy.log_density(2, action)


@pytest.mark.parametrize(
    ("name", "space", "other"),
    [
        ("discrete_sac", Discrete(2, start=5), 4),
        ("sac", Box(np.full((2, 2), -3, np.float32), np.full((2, 2), 5, np.float32)), np.full((2, 2), 5.5)),
    ],
)
def test_actions_have_the_start_and_the_shape_of_the_environments_own(tmp_path, name, space, other):
    agent, spaces = agents.make(name, {"hidden": [5], "capacity": 4}), (SPACES[0], space)
    state = agent.init(jax.random.key(0, impl="threefry2x32"), *spaces)
    save_agents(tmp_path / "agent", describe(agent, spaces, None, "somewhere", {}, (0,), 7), [state])
    policy, seen = load_agent(tmp_path), np.array([0.3, -5.0], np.float32)
    mode = np.asarray(agent.mode(state, seen[None]))[0]
    if isinstance(space, Discrete):
        own, unit = 5 + mode, 0.0
        total = np.exp([policy.log_density(seen, a) for a in (5, 6)]).sum()
        assert total == pytest.approx(1.0, abs=1e-6)  # float32
    else:
        own, unit = 1 + 4 * mode.reshape(2, 2), 4 * np.log(4.0)
    for key in (None, 0):
        action = policy.act(seen, key=key)
        many = policy.act(np.stack([seen] * 3), key=key)
        assert np.shape(action) == np.shape(own) and many.shape == (3, *np.shape(own))
    np.testing.assert_allclose(policy.act(seen), own, rtol=1e-6)
    # The density per unit of the environment is that of the agent's own action, over how large a unit is there.
    given = np.float32(agent.log_density(state, seen[None], mode[None])[0]) - unit
    assert policy.log_density(seen, policy.act(seen)) == pytest.approx(given, abs=1e-4)
    with pytest.raises(InputError, match="every action must lie in the action space"):
        policy.log_density(seen, other)


def test_dict_observations_are_laid_out_as_in_training(tmp_path):
    from gymnasium import spaces as gym

    from maxentrl.envs.layout import flatten, layout

    space = gym.Dict({"place": gym.Box(-1, 1, (2,)), "kind": gym.Discrete(3)})
    found = layout(space)
    both = (found.space, SPACES[1])
    state = SAC.init(jax.random.key(0, impl="threefry2x32"), *both)
    save_agents(tmp_path / "agent", describe(SAC, both, found, "somewhere", {}, (0,), 7), [state])
    policy = load_agent(tmp_path)
    seen = {"place": np.array([0.5, -0.5], np.float32), "kind": np.int64(2)}
    np.testing.assert_array_equal(policy.act(seen), policy.act_on_rows(flatten(found, seen)[None])[0])
    many = {"place": np.stack([seen["place"]] * 3), "kind": np.array([2, 2, 2])}
    assert policy.act(many).shape == (3, 2)
    with pytest.raises(InputError, match="'kind' is missing"):
        policy.act({"place": seen["place"]})
    with pytest.raises(InputError, match="'place' is missing"):
        policy.act({"kind": 2})


@pytest.mark.parametrize(
    ("observation", "sentence"),
    [
        ([1.0, 2.0, 3.0], r"an observation must have shape \(2,\), or \(N, ...\) for many; got \(3,\)"),
        ([1.0, np.nan], "observations must be finite"),
    ],
)
def test_an_observation_of_another_kind_is_one_sentence(kept, observation, sentence):
    with pytest.raises(InputError, match=sentence):
        load_agent(kept[0]).act(observation)


def test_an_action_outside_of_the_bounds_or_of_another_shape_has_no_density(kept):
    policy = load_agent(kept[0])
    with pytest.raises(InputError, match=r"every action must lie in the action space; 3\.0 does not"):
        policy.log_density([0.0, 0.0], [3.0, 1.2])
    with pytest.raises(InputError, match=r"actions must have shape \(2,\); got \(1,\)"):
        policy.log_density([0.0, 0.0], [1.2])


@pytest.fixture
def copy(kept, tmp_path):
    shutil.copytree(kept[0] / "agent", tmp_path / "agent")
    return tmp_path


def changed(folder, **words):
    path = folder / "agent" / "agent.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **words}))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            {"format": "maxentrl agent 1"},
            "has the format 'maxentrl agent 1'; this version reads 'maxentrl agent 2'",
        ),
        ({"agent": "sax"}, r"there is no agent 'sax' \(did you mean sac\?\)"),
        ({"settings": {"hiden": [6]}}, r"sac has no setting 'hiden' \(did you mean hidden\?\)"),
        ({"settings": {"hidden": [7]}}, "its settings say"),
        ({"settings": {"hidden": [10**9]}}, "its settings say"),
        ({"settings": {"hidden": [6, 6]}}, "lacks"),
        ({"observation": {"kind": "sphere"}}, "is damaged"),
        ({"action": {"kind": "discrete", "count": 2}}, "sac needs actions in a box"),
        ({"settings": {"hidden": ["six"]}}, "holds settings that make no agent"),
        ({"seeds": [0, 1]}, "cannot be read"),
    ],
)
def test_words_that_do_not_fit_the_numbers_are_refused_before_anything_is_read(copy, words, sentence):
    changed(copy, **words)
    with pytest.raises(InputError, match=sentence):
        load_agent(copy, seed=1 if "seeds" in words else None)


def test_numbers_that_are_cut_foreign_or_of_another_type_are_refused(copy):
    path = copy / "agent" / "seed-0.safetensors"
    whole = path.read_bytes()
    for damage in (whole[:-10], b"not an archive", whole + b"x"):
        path.write_bytes(damage)
        with pytest.raises(InputError, match=r"seed-0\.safetensors is damaged"):
            load_agent(copy)
    path.write_bytes(whole)
    arrays = load_file(path)
    save_file({name: array.astype(np.float64) for name, array in arrays.items()}, path)
    with pytest.raises(InputError, match="as float64; its settings say float32"):
        load_agent(copy)
    save_file({**arrays, "more": np.zeros(1)}, path)
    with pytest.raises(InputError, match="holds more; its settings say otherwise"):
        load_agent(copy)


def test_a_folder_without_an_agent_or_a_seed_that_was_not_trained_is_one_sentence(kept, tmp_path):
    with pytest.raises(InputError, match=r"holds no saved agent: there is no agent\.json"):
        load_agent(tmp_path)
    with pytest.raises(InputError, match="has no seed 1; it has 0, 3"):
        load_agent(kept[0], seed=1)
    (tmp_path / "agent.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        load_agent(tmp_path)


def test_training_from_python_gives_rows_curves_and_policies(tmp_path):
    agent = toy.agent()
    run = me.train(agent, toy.environment(), steps=200, seeds=(4, 2), evaluate_every=100, evaluations=3)
    steps, returns = run.curves
    assert list(steps) == [100, 200] and returns.shape == (2, 2) and run.finished and run.folder is None
    assert {row["seed"] for row in run.rows} == {4, 2} and run.policy(2).seed == 2
    assert np.all(np.abs(run.policy().act([0.5, 0.5])) <= 0.1)
    with pytest.raises(InputError, match="there is no seed 0; there are 4, 2"):
        run.policy(0)
    # The same numbers alone, outside of a folder and inside of one.
    alone = me.train(
        agent, toy.environment(), steps=200, seeds=(2,), evaluate_every=100, evaluations=3, out=tmp_path / "r"
    )
    np.testing.assert_array_equal(alone.curves[1][:, 0], returns[:, 1])
    again = load_agent(tmp_path / "r", agent=agent)
    np.testing.assert_array_equal(again.act([0.5, 0.5]), run.policy(2).act([0.5, 0.5]))
    with pytest.raises(InputError, match="there is no agent 'toy'"):
        load_agent(tmp_path / "r")


def test_what_makes_no_sense_from_python_is_one_sentence():
    agent, env = toy.agent(), toy.environment()
    for asked, sentence in (
        ({"resume": True}, "resume needs the folder of the run; give out"),
        ({"settings": {"hidden": (3,)}}, "settings go with the name of an agent"),
        ({"env_args": {"wind": 1}}, "env_args go with the name of an environment"),
        ({"track": ("tensorboard",)}, "track tensorboard writes into the folder of the run; give out"),
        ({"track": ("paper",)}, "track must be one of tensorboard, wandb; got 'paper'"),
    ):
        with pytest.raises(InputError, match=sentence):
            me.train(agent, env, steps=10, **asked)


class Made:
    """An environment's maker, and what is no environment at all."""


@pytest.mark.parametrize(
    ("env", "got"),
    [
        (lambda: gymnasium.make("Pendulum-v1"), "function"),
        (lambda count: gymnasium.make("Pendulum-v1"), "TimeLimit"),
        (Made, "type"),
        (Made(), "Made"),
        (gymnasium.make("Pendulum-v1"), "TimeLimit"),
        (gymnasium.make_vec("Pendulum-v1", 2), "SyncVectorEnv"),
    ],
)
def test_what_is_no_environment_is_told_what_may_be_one(env, got, as_shipped):
    sentence = f"env must be a name, an Env, or a function .* lambda count: outside.*; got '{got}'"
    with pytest.raises(InputError, match=sentence):
        me.train("sac", env, steps=10)


def test_numbers_of_another_kind_are_whole_or_refused(as_shipped):
    env = toy.environment()
    with pytest.raises(InputError, match="the environment environment must know its spaces"):
        me.train("sac", env._replace(observation=None, name="environment"), steps=10)
    for asked, sentence in (
        ({"steps": 4e1}, r"steps must be a whole number of steps, at least 1; got 40\.0"),
        ({"evaluations": 2.0}, r"evaluations must be a whole number of episodes, at least 1; got 2\.0"),
        (
            {"settings": {"hidden": 64}},
            r"sac's hidden must be numbers in brackets, such as \(64, 64\); got 64",
        ),
    ):
        with pytest.raises(InputError, match=sentence):
            me.train("sac", env, **{"steps": 10, **asked})
    run = me.train(toy.agent(), env, steps=np.int64(20), seeds=np.arange(2), evaluations=np.int64(1))
    assert run.asked["seeds"] == [0, 1] and type(run.asked["steps"]) is int and run.step == 20


def test_rollouts_of_a_file_that_cannot_hold_them_are_refused(copy):
    changed(copy, env="pendulum", env_args={})
    for out, sentence in (
        ("demos.txt", r"demonstrations are written as \.npz, \.csv or minari:NAME; got demos\.txt"),
        ("demos.csv", "pendulum has no numbered states, which a CSV of demonstrations needs"),
    ):
        with pytest.raises(InputError, match=sentence):
            rollouts(copy, out)
    with pytest.raises(InputError, match="there must be at least 1 episode; got 0"):
        rollouts(copy, "demos.npz", episodes=0)


def test_settings_and_spaces_come_back_from_json_as_they_were(kept):
    about = saved_agents.read_about(kept[0] / "agent")
    for found, given in zip(about.spaces, SPACES, strict=True):
        np.testing.assert_array_equal(found.low, given.low)
        np.testing.assert_array_equal(found.high, given.high)
    assert agents.make(about.agent, about.settings).settings == SAC.settings
