"""Training in environments of Gymnasium's kind: gone on with by another process, as vectors, and going wrong on the way."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

import maxentrl as me
from app.small_training import COMMAND, OPTIONS, contents, toys  # noqa: F401 - a fixture
from maxentrl import InputError
from maxentrl.app import cli, plots_policy, train_folder
from maxentrl.app.rollouts import rollouts
from maxentrl.envs.outside import outside
from maxentrl.learn import loop

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working directory, in which modules of one's own are found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


PENDULUM = (
    "train", "sac", "--env", "Pendulum-v1", "--seeds", "3,4", "--hidden", "8", "--batch", "4", "--capacity", "150",
    "--warmup", "20", "--environments", "2", "--log-every", "50", "--evaluate-every", "240", "--checkpoint-every", "80",
    "--evaluations", "1",
)  # fmt: skip


def test_another_process_goes_on_in_the_middle_of_an_episode_to_the_bytes_of_a_straight_run(
    here, monkeypatch
):
    assert cli.main([*PENDULUM, "--steps", "240", "--out", "whole"]) == cli.DONE
    add = train_folder.Folder.add

    def struck(self, row):
        add(self, row)
        if (row["step"], row["seed"]) == (100, 3):  # 2 environments stand at step 50 of episodes of 200
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(train_folder.Folder, "add", struck)
        assert cli.main([*PENDULUM, "--steps", "240", "--out", "run"]) == cli.INTERRUPTED
    program = "import sys; from maxentrl.app.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, *PENDULUM, "--steps", "240", "--out", "run", "--resume"],
        env={**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},  # as here
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == cli.DONE, done.stderr
    assert "going on from step 100" in done.stderr
    assert contents(here / "run") == contents(here / "whole")


MINE = """
import gymnasium
import numpy as np

class Hill(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-5, 5, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-0.5, 0.5, (2,), np.float32)

    def __init__(self, wrong=None, when=25, unbounded=False):
        self.wrong, self.when, self.lived = wrong, when, 0
        if unbounded:
            self.action_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.t = self.np_random.uniform(-1, 1, 2).astype(np.float32), 0
        return self.x.copy(), {}

    def step(self, action):
        self.x = np.clip(self.x + action, -5, 5).astype(np.float32)
        self.t += 1
        self.lived += 1
        seen, reward = self.x.copy(), -float(self.x @ self.x)
        if self.lived == self.when:
            if self.wrong == "nan":
                seen[1] = np.nan
            if self.wrong == "shape":
                seen = seen[:1]
            if self.wrong == "error":
                raise ValueError("a slip")
            if self.wrong == "reward":
                reward = float("inf")
        return seen, reward, False, self.t >= 10, {}

def many(num_envs, wrong=None, when=25):
    return gymnasium.vector.SyncVectorEnv([lambda: Hill(wrong, when)] * num_envs)

def four():
    return many(4)
"""


LIT = """
class Lit(Hill):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}

    def __init__(self, render_mode=None):
        super().__init__()
        self.render_mode = render_mode

    def render(self):
        return np.zeros((4, 4, 3), np.uint8)
"""


def command(env, *words):
    return [
        "train",
        "toy",
        "--env",
        env,
        "--seeds",
        "0",
        *COMMAND[6:],
        "--steps",
        "130",
        "--out",
        "run",
        *words,
    ]


def refused(capsys, words):
    assert cli.main(words) == cli.BAD_INPUT
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("nan", "the observation is nan in entry (1,)"),
        ("shape", "the observation has shape (1,), where its space has (2,)"),
        ("reward", "the reward is inf; rewards must be finite in float32"),
        ("error", "step failed with ValueError: a slip."),
    ],
)
def test_what_goes_wrong_on_the_way_names_step_environment_episode_and_what_is_left(
    here, capsys, wrong, message
):
    (here / "mine_steep.py").write_text(MINE)
    words = command("mine_steep:Hill", "--env-args", f'{{"wrong": "{wrong}", "when": 95}}')
    assert cli.main(words) == cli.DIVERGED
    said = capsys.readouterr().err.strip().splitlines()[-1]
    # The environment is tried for 20 steps before, and it was another one.
    where = "seed 0, step 95 of the run, environment 0 (mine_steep:Hill), episode 9, step 5"
    assert said.startswith(f"maxentrl: toy cannot go on: {where}: {message}")
    assert said.endswith("The last good checkpoint is run/checkpoints/step-000000000080.safetensors.")


def test_an_environment_that_fails_before_anything_is_learned_is_bad_input(here, capsys):
    (here / "mine_steep.py").write_text(MINE)
    said = refused(capsys, command("mine_steep:Hill", "--env-args", '{"wrong": "error", "when": 3}'))
    assert "environment 0 (mine_steep:Hill), episode 0, step 3: step failed with ValueError: a slip." in said
    assert not (here / "run").exists()
    said = refused(capsys, command("Pendulum-v1", "--env-args", '{"g": "x"}'))
    assert "environment 0 (Pendulum-v1), episode 0, step 1: step failed with" in said


ODD = """
import gymnasium
import numpy as np

class Odd(gymnasium.Env):
    observation_space = gymnasium.spaces.Discrete(3, start=-1)

    def __init__(self, boxed=False):
        box = gymnasium.spaces.Box(np.full((2, 2), -3.0), np.full((2, 2), 5.0), dtype=np.float64)
        self.action_space = box if boxed else gymnasium.spaces.Discrete(2, start=5)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return -1, {}

    def step(self, action):
        assert action in self.action_space
        self.t += 1
        return (self.t + 1) % 3 - 1, 0.0, False, self.t >= 10, {}
"""


@pytest.mark.parametrize(
    ("boxed", "shape", "low", "high"), [(False, (), 5, 6), (True, (2, 2), -3.0, 5.0)], ids=["start", "shape"]
)
def test_an_agent_acts_and_is_kept_in_units_and_shape_of_the_environments_actions(
    here, boxed, shape, low, high
):
    (here / "mine_odd.py").write_text(ODD)
    agent = ("sac", "--hidden", "4", "--capacity", "200") if boxed else ("soft_q",)
    words = ("--env", "mine_odd:Odd", "--env-args", json.dumps({"boxed": boxed}), *OPTIONS)
    assert cli.main(["train", *agent, *words, "--steps", "60", "--out", "run"]) == cli.DONE
    policy, env = me.load_agent("run"), importlib.import_module("mine_odd").Odd(boxed)
    action = policy.act(env.reset(seed=0)[0], key=0)
    env.step(np.asarray(action, env.action_space.dtype))
    assert np.isfinite(policy.log_density(-1, action))
    assert cli.main(["rollouts", "run", "--episodes", "3", "--out", "kept.npz"]) == cli.DONE
    with np.load("kept.npz") as kept:
        assert kept["actions"].shape == (3, 10, *shape)
        assert kept["actions"].min() >= low and kept["actions"].max() <= high


def test_a_table_is_learned_of_an_environment_whose_observations_are_numbered(here):
    # FrozenLake without slipping, from Gymnasium: right is 2 and down is 1; reward 1 at the goal alone.
    words = ("--env", "FrozenLake-v1", "--env-args", '{"is_slippery": false, "map_name": "4x4"}', *OPTIONS)
    learning = ("--temperature", "0", "--epsilon", "1", "--steps", "12000")
    assert cli.main(["train", "soft_q", *words, *learning, "--out", "run"]) == cli.DONE
    rows = [json.loads(line) for line in (here / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["return"] for row in rows if row["kind"] == "evaluation"][-1] == 1.0


def test_actions_without_bounds_are_refused_before_anything_is_written(here, capsys):
    (here / "mine_wide.py").write_text(MINE)
    said = refused(capsys, command("mine_wide:Hill", "--env-args", '{"unbounded": true}'))
    assert "finite bounds" in said and "entry (0,) lies in [-inf, inf]" in said
    assert not (here / "run").exists()


def test_a_vector_of_environments_is_trained_in_and_said_not_to_be_gone_on_with(here, capsys):
    (here / "mine_many.py").write_text(MINE)
    words = command("mine_many:many", "--environments", "2")
    assert cli.main(words) == cli.DONE
    said = capsys.readouterr().err
    assert "is a vector environment, so a run in it cannot be continued bit for bit" in said
    words[words.index("130")] = "150"
    before = contents(here / "run")
    assert "cannot be continued bit for bit" in refused(capsys, [*words, "--resume"])
    assert contents(here / "run") == before


def test_a_run_that_cannot_go_on_is_not_told_how(here, capsys, monkeypatch):
    (here / "mine_short.py").write_text(MINE)
    monkeypatch.setattr(loop, "PIECE", 1e-9)
    assert cli.main(command("mine_short:many", "--max-time", "0.000001")) == cli.INTERRUPTED
    said = capsys.readouterr().err
    assert (
        "(its time was over); a run in a vector environment cannot go on." in said and "--resume" not in said
    )


SMALL = {"hidden": (4,), "capacity": 50, "warmup": 10, "batch": 4}


def test_an_environment_that_was_made_in_python_has_no_film_and_its_name_does_not_stand_for_it(here, request):
    (here / "mine_lit.py").write_text(MINE + LIT)
    gymnasium.register("Lit-v0", importlib.import_module("mine_lit").Lit)
    request.addfinalizer(lambda: gymnasium.registry.pop("Lit-v0"))

    def made(count):
        stacked = gymnasium.wrappers.FrameStackObservation
        return outside(lambda: stacked(gymnasium.make("Lit-v0", render_mode="rgb_array"), 2), count)

    run = me.train("sac", made, settings=SMALL, steps=20, evaluations=1, out="run")
    assert run.finished and run.env == "Lit-v0 (made in Python)"
    assert (here / "run/agent").is_dir() and not (here / "run/pictures/film.svg").exists()
    with pytest.raises(
        InputError, match=r"trained in Lit-v0 \(made in Python\), which its name does not make again"
    ):
        rollouts("run", "demos.npz")
    assert me.load_agent("run").act(np.zeros((2, 2), np.float32)).shape == (2,)


def test_a_picture_that_cannot_be_drawn_costs_no_results(here, monkeypatch):
    (here / "mine_dark.py").write_text(MINE + LIT)

    def fail(*_):
        raise RuntimeError("no light")

    monkeypatch.setattr(plots_policy, "filmstrip", fail)
    run = me.train("sac", "mine_dark:Lit", settings=SMALL, steps=20, evaluations=1, out="run")
    assert run.finished and (here / "run/agent").is_dir()
    assert (
        "What the policy does could not be drawn: RuntimeError: no light."
        in (here / "run/report.html").read_text()
    )


@pytest.mark.parametrize(("environments", "evaluations"), [(1, 4), (2, 4), (4, 3)])
def test_a_vector_of_a_size_of_its_own_must_be_as_many_as_is_asked_for(
    here, capsys, environments, evaluations
):
    (here / "mine_four.py").write_text(MINE)
    counts = {"environments": environments, "evaluations": evaluations}
    words = [word for name, count in counts.items() for word in (f"--{name}", str(count))]
    said = refused(capsys, command("mine_four:four", *words))
    wrong = next(name for name, count in counts.items() if count != 4)
    assert said.startswith(f"maxentrl: {wrong} = {counts[wrong]}, ") and "4 environments" in said
    assert not (here / "run").exists()
    assert cli.main(command("mine_four:four", "--environments", "4", "--evaluations", "4")) == cli.DONE


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("Pendulun-v1", "near are Pendulum-v1"),
        ("ALE/Pong-v5", "pip install ale-py"),
        ("mine:Hill", "there is no module 'mine'"),
    ],
)
def test_an_id_that_is_unknown_is_a_sentence_that_helps(here, capsys, env, message):
    assert message in refused(capsys, command(env))
    assert not list(here.iterdir())


@pytest.mark.skipif(importlib.util.find_spec("mujoco") is not None, reason="MuJoCo is installed")
def test_a_missing_extra_brings_the_line_that_installs_it(here, capsys):
    said = refused(capsys, command("HalfCheetah-v5"))
    assert 'pip install "maxentrl[mujoco]"' in said
    assert not list(here.iterdir())
