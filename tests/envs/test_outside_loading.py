"""Environments by name."""

import importlib.util
import sys

import gymnasium
import numpy as np
import pytest

import worlds
from maxentrl.core.check import InputError
from maxentrl.envs.loading import load
from maxentrl.envs.outside import outside

MINE = """
import gymnasium
from gymnasium import spaces
import numpy as np

class Still(gymnasium.Env):
    observation_space = spaces.Box(-1, 1, (1,))
    action_space = spaces.Discrete(2)

    def __init__(self, limit=5):
        self.limit = limit

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.time += 1
        return np.zeros(1, np.float32), 0.0, False, self.time >= self.limit, {}

def several(count=2):
    return gymnasium.vector.SyncVectorEnv([Still] * count)

def wrong():
    return 3

class Bare(gymnasium.Env):
    action_space = spaces.Discrete(2)

class Seedless(Still):
    def reset(self):
        return np.zeros(1, np.float32), {}

class Falling(Still):
    def step(self, action):
        return super().step(action) if self.time < 2 else 1 / 0

def several_falling():
    return gymnasium.vector.SyncVectorEnv([Falling] * 2)

gymnasium.register("Quiet-v0", entry_point=Still, max_episode_steps=9)
number = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a module of a user's own."""
    (tmp_path / "my_worlds.py").write_text(MINE)
    (tmp_path / "my_broken.py").write_text("1 / 0\n")
    (tmp_path / "my_needy.py").write_text("import no_such_package\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    yield tmp_path
    for name in ("my_worlds", "my_broken", "my_needy"):
        sys.modules.pop(name, None)
    gymnasium.registry.pop("Quiet-v0", None)


def test_an_environment_of_ones_own_is_found_in_the_working_directory(folder):
    world = outside("my_worlds:Still", arguments={"limit": 2})
    assert world.name == "my_worlds:Still" and world.remarks == ()
    assert load("my_worlds:Still", {"limit": 4}).limit == 4
    assert outside("my_worlds:several", arguments={"count": 3}).count == 3
    assert outside("my_worlds:Quiet-v0").limit == 9
    assert isinstance(load("worlds:Walk"), worlds.Walk)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("my_world:Still", {}, "there is no module 'my_world' in "),
        ("my_worlds:Stil", {}, r"the module 'my_worlds' \(.*my_worlds.py\) has no 'Stil', but .*Still"),
        ("my_worlds:number", {}, "must be a class or a function that makes an environment; it is a int"),
        ("my_worlds:wrong", {}, "must make a gymnasium.Env; it made a builtins.int"),
        ("my_worlds:Still", {"size": 3}, r"with the arguments {'size': 3}: TypeError: .*'size'"),
        (
            "my_worlds:Bare",
            {},
            "my_worlds:Bare must have an observation_space, a space of Gymnasium's; it has none",
        ),
        ("my_broken:Still", {}, "importing 'my_broken' failed with ZeroDivisionError: division by zero"),
        ("my_needy:Still", {}, "the module 'my_needy' needs 'no_such_package', which is not installed"),
        ("CartPole-v1", {"size": 3}, r"CartPole-v1 cannot be made with the arguments {'size': 3}: TypeError"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_a_sentence(folder, name, arguments, message):
    with pytest.raises(InputError, match=message):
        load(name, arguments)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Seedless", r"environment 0 .*, episode 0, step 0: reset failed with TypeError: .*'seed'"),
        (
            "Falling",
            "environment 0 .*, episode 0, step 3: step failed with ZeroDivisionError: division by zero",
        ),
    ],
)
def test_whatever_an_environment_raises_is_told_with_where_it_was(folder, name, message):
    with pytest.raises(InputError, match=message):
        outside(f"my_worlds:{name}")


def test_whatever_a_vector_of_environments_raises_is_told_with_where_it_was(folder):
    world = outside("my_worlds:several_falling")
    world.reset(0)
    for _ in range(2):
        world.step(np.zeros(2, int))
    with pytest.raises(InputError, match=r"at steps 3, 3 .*: step failed with ZeroDivisionError"):
        world.step(np.zeros(2, int))


def test_an_unknown_id_brings_the_nearest():
    with pytest.raises(InputError, match="no Gymnasium environment 'Cartpol-v1'; near are CartPole-v"):
        load("Cartpol-v1")
    with pytest.raises(
        InputError, match=r"'CartPole-v7'; near are .*versioned environments: \[ `v0`, `v1` \]"
    ):
        load("CartPole-v7")
    with pytest.raises(InputError, match=r"no Gymnasium environment 'qqqqqqq': .* doesn't exist\.$"):
        load("qqqqqqq")
    with pytest.raises(InputError, match=r"pip install ale-py.*'ale_py:ALE/Pong-v5'"):
        load("ALE/Pong-v5")


@pytest.mark.filterwarnings("ignore:.*out of date:DeprecationWarning")
def test_what_gymnasium_no_longer_has_is_said_in_its_words():
    with pytest.raises(InputError, match="Please use `CliffWalking-v1` instead"):
        load("CliffWalking-v0")
    with pytest.raises(InputError, match=r"HalfCheetah-v3.*moved to the gymnasium-robotics project"):
        load("HalfCheetah-v3")


@pytest.mark.skipif(importlib.util.find_spec("mujoco") is not None, reason="MuJoCo is installed")
def test_a_missing_package_brings_the_line_that_installs_it():
    with pytest.raises(InputError, match=r'HalfCheetah-v5 needs .* run `pip install "maxentrl\[mujoco\]"`'):
        outside("HalfCheetah-v5")


@pytest.mark.skipif(importlib.util.find_spec("mujoco") is None, reason="MuJoCo is not installed")
def test_mujoco_is_an_environment_like_any_other():
    world = outside("HalfCheetah-v5")
    assert world.remarks == () and world.limit == 1000 and world.observation.shape == (17,)
