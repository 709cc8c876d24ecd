"""Vector environments in each of the three ways in which they begin episodes anew."""

from itertools import chain, pairwise

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from maxentrl.core.check import InputError
from maxentrl.envs.outside import outside
from worlds import Broken, Dice, Nested, Steered, Walk

MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]


class Recorder(gymnasium.Wrapper):
    """A plain environment that writes down what it lived through."""

    def __init__(self, env):
        super().__init__(env)
        self.steps, self.now = [], None

    def reset(self, **settings):
        self.now, info = self.env.reset(**settings)
        return self.now, info

    def step(self, action):
        answer = self.env.step(action)
        self.steps.append((self.now, action, *answer[:4]))
        self.now = answer[0]
        return answer


def lived(world, steps):
    return [world.step(np.asarray([3, 4])) for _ in range(steps)]


def vector(make, mode, count=3):
    recorders = [Recorder(make()) for _ in range(count)]
    return recorders, SyncVectorEnv([lambda r=r: r for r in recorders], autoreset_mode=mode)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_no_step_ever_crosses_the_end_of_an_episode(mode):
    recorders, envs = vector(lambda: gymnasium.make("CartPole-v1", max_episode_steps=25), mode)
    world = outside(envs)
    before = world.reset(11)
    rng = np.random.default_rng(0)
    told = [[] for _ in recorders]
    wasted = 0
    for _ in range(300):
        action = rng.integers(0, 2, world.count).astype(np.int32)
        got = world.step(action)
        for i in np.flatnonzero(got.valid):
            told[i].append(
                (
                    before[i],
                    action[i],
                    got.next_observation[i],
                    got.reward[i],
                    got.terminated[i],
                    got.truncated[i],
                )
            )
        wasted += np.sum(~got.valid)
        before = got.observation
    ends = 0
    for rows, recorder in zip(told, recorders, strict=True):
        # All that happened was told, once, in order, and nothing else was.
        assert len(rows) == len(recorder.steps)
        for mine, theirs in zip(rows, recorder.steps, strict=True):
            for one, other in zip(mine, theirs, strict=True):
                np.testing.assert_array_equal(one, other)
        # And between steps of one episode the world stands still.
        for this, following in pairwise(rows):
            if this[4] or this[5]:
                ends += 1
                assert np.all(np.abs(following[0]) <= 0.05)
            else:
                np.testing.assert_array_equal(this[2], following[0])
    assert ends > 20 and {row[5] for row in chain(*told)} == {True, False}
    assert (wasted > 20) == (mode == AutoresetMode.NEXT_STEP)
    world.close()


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize("make", [Nested, Steered, Dice])
def test_nested_observations_and_boxes_of_actions_pass_through_in_every_mode(make, mode):
    recorders, envs = vector(lambda: make() if make is Dice else make(limit=4), mode, count=2)
    world = outside(envs)
    single = outside(make, check=False)
    before = world.reset(0)
    assert world.layout.record() == single.layout.record()
    rng, reached = np.random.default_rng(1), [[], []]
    for _ in range(12):
        if make is Steered:
            low, high = world.action
            action = rng.uniform(low, high, (2, *low.shape)).astype(np.float32)
        else:
            action = rng.integers(3, 5, 2).astype(np.int32)
        got = world.step(action)
        assert np.isfinite(got.observation).all() and got.observation.shape == before.shape
        for i in np.flatnonzero(got.valid):
            reached[i].append(got.next_observation[i])
    # `single` shares the layout, whose own test spells it out; here it is about which observation was taken.
    for rows, recorder in zip(reached, recorders, strict=True):
        ends = [step[2] for step in recorder.steps]
        plan = single.episodes[0]
        np.testing.assert_array_equal(rows, [plan._look(seen) for seen in ends])


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_environments_in_processes_of_their_own_are_those_in_this_process(mode):
    # Processes that are forked from one with threads may hang, and JAX has threads.
    both = [
        outside(AsyncVectorEnv([Nested] * 2, autoreset_mode=mode, context="forkserver")),
        outside(SyncVectorEnv([Nested] * 2, autoreset_mode=mode)),
    ]
    np.testing.assert_array_equal(*(world.reset(3) for world in both))
    rng, ends = np.random.default_rng(0), 0
    for _ in range(40):
        action = rng.integers(3, 5, 2).astype(np.int32)
        apart, here = (world.step(action) for world in both)
        for one, other in zip(apart, here, strict=True):
            np.testing.assert_array_equal(one, other)
        ends += np.sum(here.terminated | here.truncated)
    assert ends > 5
    for world in both:
        world.close()


def test_a_class_of_vector_environments_is_told_how_many_are_wanted():
    name = "gymnasium.envs.classic_control.cartpole:CartPoleVectorEnv"
    world = outside(name, count=3, arguments={"max_episode_steps": 5})
    assert world.count == 3 and world.reset(0).shape == (3, 4)
    ended = [world.step(np.zeros(3, np.int32)).truncated for _ in range(5)]
    assert ended[-1].all() and not np.any(ended[:-1])
    with pytest.raises(InputError, match="has 2 environments, and 3 were asked for"):
        outside(name, count=3, arguments={"num_envs": 2})
    assert outside(lambda num_envs: SyncVectorEnv([Walk] * num_envs), count=2).count == 2


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    def run(seed):
        world = outside(vector(Walk, AutoresetMode.NEXT_STEP)[1])
        return [world.reset(seed), *(world.step(np.asarray([3, 4, 3])).observation for _ in range(30))]

    assert np.array_equal(run(1), run(1)) and not np.array_equal(run(1), run(2))
    # Gymnasium seeds its environments seed, seed + 1, ...: were seeds handed on as they are, environment 1 of seed 1
    # would live through what environment 0 of seed 2 does.
    assert not np.array_equal(run(1)[0][1], run(2)[0][0])


def test_gymnasiums_own_vector_cartpole_is_understood():
    world = outside(gymnasium.make_vec("CartPole-v1", 4, vectorization_mode="vector_entry_point"), count=4)
    assert (world.count, world.limit, world.name) == (4, 500, "CartPole-v1")
    assert world.remarks == (
        "CartPole-v1 is a vector environment, so a run in it cannot be continued bit for bit.",
    )
    world.reset(0)
    steps = [world.step(np.ones(4, np.int32)) for _ in range(40)]
    over = [step.terminated | step.truncated for step in steps]
    for ended, following in zip(over, steps[1:], strict=False):
        assert np.array_equal(following.valid, ~ended)
        assert np.all(np.abs(following.observation[ended]) <= 0.05)
    assert np.any(over)


def test_a_run_in_a_vector_environment_cannot_be_continued_and_says_so():
    world = outside(vector(Walk, AutoresetMode.DISABLED)[1])
    world.reset(0)
    assert world.save() == {}
    with pytest.raises(InputError, match=r"cannot be continued bit for bit.*a function that makes a single"):
        world.restore({})


def test_vector_environments_that_do_not_keep_their_word_are_refused():
    with pytest.raises(InputError, match="has 3 environments, and 2 were asked for"):
        outside(vector(Walk, AutoresetMode.DISABLED)[1], count=2)
    with pytest.raises(InputError, match="takes no arguments"):
        outside(vector(Walk, AutoresetMode.DISABLED)[1], arguments={"limit": 3})
    _, envs = vector(Walk, AutoresetMode.SAME_STEP)
    envs.metadata["autoreset_mode"] = "Sometimes"
    with pytest.raises(InputError, match="must be NextStep, SameStep or Disabled; got 'Sometimes'"):
        outside(envs)
    _, envs = vector(Walk, AutoresetMode.NEXT_STEP)
    del envs.metadata["autoreset_mode"]
    assert any("taken for the next step" in words for words in outside(envs).remarks)
    _, envs = vector(lambda: Walk(limit=1), AutoresetMode.DISABLED)
    envs.metadata["autoreset_mode"] = AutoresetMode.SAME_STEP
    world = outside(envs)
    world.reset(0)
    with pytest.raises(InputError, match="its infos have no 'final_obs'"):
        world.step(np.full(3, 3))


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize(
    ("kind", "when", "message"),
    [
        ("nan", 3, r"the observation is nan in entry \(1,\)"),
        ("nan", 5, r"the observation is nan in entry \(1,\)"),
        ("reward", 3, "the reward is -inf"),
    ],
)
def test_what_is_not_finite_is_named_by_environment_episode_and_step(kind, when, message, mode):
    world = outside(
        SyncVectorEnv([lambda: Walk(limit=7), lambda: Broken(kind, when=when)], autoreset_mode=mode)
    )
    world.reset(0)
    where = rf"environment 1 \(SyncVectorEnv\), episode 2, step {when}: {message}"
    with pytest.raises(InputError, match=where):
        lived(world, 30)


def test_observations_of_another_shape_are_refused():
    class Shrinking(gymnasium.vector.VectorWrapper):
        def step(self, actions):
            seen, *rest = self.env.step(actions)
            return seen[:, :1], *rest

    world = outside(Shrinking(vector(Walk, AutoresetMode.NEXT_STEP)[1]))
    world.reset(0)
    with pytest.raises(
        InputError, match=r"at steps 1, 1, 1 .* has shape \(3, 1\), where its space has \(3, 2\)"
    ):
        world.step(np.full(3, 3))
    world = outside(vector(lambda: Walk(limit=1), AutoresetMode.NEXT_STEP)[1])
    world.reset(0)
    world.envs.step = lambda native: (np.zeros((3, 2)), np.zeros(2), np.zeros(3, bool), np.zeros(3, bool), {})
    with pytest.raises(InputError, match=r"rewards must have shape \(3,\); they have \(2,\)"):
        world.step(np.full(3, 3))
