"""A training run is a folder that is written as it goes, and the same run has the same bytes however often it was cut."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

import maxentrl as me
import toy_learning as toy
from app.small_training import COMMAND, contents, toys, undisturbed  # noqa: F401 - a fixture
from maxentrl import envs
from maxentrl.app import cli, train_folder, train_watch
from maxentrl.learn import checkpoint, loop

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of 300 steps that nobody disturbed."""
    return undisturbed(tmp_path_factory, 300)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words, steps=300):
    return cli.main([*COMMAND, "--steps", str(steps), "--out", "run", *words])


def test_a_run_folder_holds_question_rows_curves_checkpoints_agents_and_a_report(whole):
    held = contents(whole)
    assert set(held) == {
        "question.json", "manifest.json", "metrics.jsonl", "metrics.csv", "curves.csv", "arrays.safetensors",
        "report.html", "pictures/returns.svg", "agent/agent.json", "agent/seed-0.safetensors", "agent/seed-1.safetensors",
        "checkpoints/step-000000000160.safetensors",
        "checkpoints/step-000000000240.safetensors", "checkpoints/step-000000000300.safetensors",
    } | {f"pictures/{name}.svg" for name in ("training",)}  # fmt: skip
    manifest = json.loads(held["manifest.json"])
    for name, digest in manifest["files"].items():
        assert hashlib.sha256(held[name]).hexdigest() == digest
    rows = [json.loads(line) for line in held["metrics.jsonl"].splitlines()]
    table = list(csv.DictReader(held["metrics.csv"].decode().splitlines()))
    assert [row["step"] for row in table] == [str(row["step"]) for row in rows]
    assert {(row["kind"], row["step"]) for row in rows if row["seed"] == 1} == (
        {("training", t) for t in range(50, 301, 50)} | {("evaluation", t) for t in (100, 200, 300)}
    )
    returns = load_file(whole / "arrays.safetensors")["evaluation_return"]
    last = [row["return"] for row in rows if row["kind"] == "evaluation" and row["step"] == 300]
    np.testing.assert_array_equal(returns[-1], last)
    # Of two scores nothing is left out, so that the interquartile mean is their mean.
    assert manifest["answer"]["final"]["iqm"] == pytest.approx(np.mean(last), rel=1e-15)
    assert "http" not in held["report.html"].decode().replace("http://www.w3.org", "")
    timing = json.loads((whole / "timing.json").read_text())
    assert timing["compilations"] > 0 and timing["compile_seconds"] > 0 and timing["steps"] == 600


def test_the_same_command_twice_leaves_the_same_bytes_also_by_the_command_that_the_page_names(whole, here):
    command = json.loads((whole / "manifest.json").read_text())["command"].split()
    assert command[:2] == ["maxentrl", "train"]
    assert cli.main(command[1:]) == cli.DONE
    assert contents(here / "again") == contents(whole)


def test_a_run_whose_time_is_over_keeps_a_checkpoint_and_goes_on_to_the_same_bytes(
    whole, here, capsys, monkeypatch
):
    monkeypatch.setattr(loop, "PIECE", 1e-9)
    assert run("--max-time", "0.000001") == cli.INTERRUPTED
    said = capsys.readouterr().err
    assert "stopped at step 1 of 300 (its time was over); it goes on with" in said
    again = re.search(r"^  (maxentrl train .* --out run --resume)$", said, re.MULTILINE)
    assert again and (here / "run/checkpoints/step-000000000001.safetensors").exists()
    answer = json.loads((here / "run/manifest.json").read_text())["answer"]
    assert answer["step"] == 1 and not answer["finished"] and answer["final"] is None
    assert cli.main(again[1].split()[1:]) == cli.DONE
    assert "going on from step 1" in capsys.readouterr().err
    assert contents(here / "run") == contents(whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_a_run_with_a_checkpoint_from_which_it_goes_on(
    whole, here, capsys, monkeypatch, number
):
    add = train_folder.Folder.add

    def struck(self, row):
        add(self, row)
        if len(self.rows) == 5:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "PIECE", 1e-9)
        patch.setattr(train_folder.Folder, "add", struck)
        assert run() == cli.INTERRUPTED
    assert "stopped at step 100 of 300 (interrupted)" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert run("--resume") == cli.DONE and contents(here / "run") == contents(whole)


def test_a_signal_after_the_time_is_over_does_not_break_off_the_checkpoint_and_a_second_one_does(
    whole, here, capsys, monkeypatch
):
    write, signals = checkpoint.write, []

    def struck(*words, **settings):
        for number in signals:
            os.kill(os.getpid(), number)
        return write(*words, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "PIECE", 1e-9)
        patch.setattr(checkpoint, "write", struck)
        signals[:] = [signal.SIGTERM]
        assert run("--max-time", "0.000001") == cli.INTERRUPTED
        assert "stopped at step 1 of 300 (its time was over)" in capsys.readouterr().err
        signals[:] = [signal.SIGTERM, signal.SIGINT]
        assert run("--max-time", "0.000001", "--resume") == cli.INTERRUPTED
        assert (
            "broken off. The last checkpoint is run/checkpoints/step-000000000001" in capsys.readouterr().err
        )
    assert run("--resume") == cli.DONE and contents(here / "run") == contents(whole)


def test_a_signal_before_training_begins_ends_it_with_a_sentence_and_nothing_written(here):
    program = """
import os, signal, sys
class Struck:
    def find_spec(self, name, path=None, target=None):
        if name == "jax":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Struck())
from maxentrl.app.cli import main
sys.exit(main(sys.argv[1:]))
"""
    words = ["train", "soft_q", "--env", "chain", "--steps", "20", "--out", "run"]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (
        cli.INTERRUPTED, "maxentrl: interrupted before training began; nothing was written.\n",
    )  # fmt: skip
    assert not list(here.iterdir())


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from app import small_training as small
import pytest
small.install(pytest.MonkeyPatch())
import jax
jax.config.update("jax_disable_most_optimizations", True)
from maxentrl.app import cli
replace, left = os.replace, int(sys.argv[2])
def struck(source, target):
    global left
    if "step-" in str(target):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
os.replace = struck
cli.main([*small.COMMAND, "--steps", "300", "--out", "run"])
"""


def test_a_run_that_is_killed_while_it_writes_a_checkpoint_goes_on_to_the_same_bytes(whole, here):
    # The third checkpoint lies on the disk but has not got its name: two are whole, and rows are ahead of them.
    words = [sys.executable, "-c", KILLED, str(Path(__file__).parents[1]), "3"]
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"}, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    kept = sorted(path.name for path in (here / "run/checkpoints").glob("step-*"))
    assert kept == ["step-000000000080.safetensors", "step-000000000160.safetensors"]
    assert len((here / "run/metrics.jsonl").read_text().splitlines()) == 2 * (4 + 2)
    assert not (here / "run/manifest.json").exists()
    assert run("--resume") == cli.DONE
    left = contents(here / "run")
    for path in (here / "run/checkpoints").glob("*.partial"):
        left.pop(f"checkpoints/{path.name}")
    assert {name: left[name] for name in left if "partial" not in name} == contents(whole)


def test_a_damaged_checkpoint_is_put_aside_with_a_warning_and_the_one_before_serves(
    whole, here, capsys, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(loop, "PIECE", 1e-9)
        stop = train_watch.Stop.__call__
        calls = []
        patch.setattr(
            train_watch.Stop, "__call__", lambda self: calls.append(1) or len(calls) >= 200 or stop(self)
        )
        assert run() == cli.INTERRUPTED
    newest = here / "run/checkpoints/step-000000000200.safetensors"
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(bytes(data))
    capsys.readouterr()
    assert run("--resume") == cli.DONE
    said = capsys.readouterr().err
    assert "going on from step 160" in said and "damaged: its checksum does not match" in said
    left = contents(here / "run")
    assert left.pop("checkpoints/step-000000000200.safetensors.refused") == bytes(data)
    assert left == contents(whole)


def test_a_checkpoint_of_an_environment_that_was_changed_since_is_refused_and_the_run_stays_as_it_was(
    whole, here, capsys, monkeypatch
):
    shutil.copytree(whole, here / "run")
    small = toy.environment()

    def reset(key):
        state, seen = small.reset(key)
        return (*state, jnp.zeros(())), seen

    def step(key, state, action):
        reached, answer = small.step(key, state[:2], action)
        return (*reached, state[2]), answer

    changed = small._replace(reset=reset, step=step)
    monkeypatch.setitem(envs.SIMULATORS, "small", lambda: changed)
    assert run("--resume", steps=400) == cli.BAD_INPUT
    assert (
        "step-000000000300.safetensors does not hold 0.env.2, which this run has" in capsys.readouterr().err
    )
    assert contents(here / "run") == contents(whole)


@pytest.mark.parametrize("steps", [130, 150, 160, 200])
def test_a_finished_run_may_be_given_more_steps_and_is_then_the_longer_run(whole, here, steps):
    # At 130 nothing would have been written down; at 150 and 160 the short run has an evaluation that the long one
    # has not, and at 160 a row of training, beside a checkpoint of both.
    assert run(steps=steps) == cli.DONE
    before = contents(here / "run")
    assert run("--resume", steps=steps) == cli.DONE
    assert contents(here / "run") == before
    assert run("--resume") == cli.DONE
    assert contents(here / "run") == contents(whole)


def test_a_run_that_diverges_has_a_status_of_its_own_and_names_the_last_good_checkpoint(here, capsys):
    # One episode in fifty begins beyond x + y = 1.6, where NaN is paid.
    words = [
        *COMMAND,
        "--checkpoint-every",
        "10",
        "--steps",
        "3000",
        "--out",
        "run",
        "--env-args",
        '{"broken_after": 1.6}',
    ]
    assert cli.main(words) == cli.DIVERGED
    said = capsys.readouterr().err
    assert re.search(
        r"toy cannot go on: reward was no finite number at step \d+ of seed [01]. The environment paid it",
        said,
    )
    assert re.search(r"The last good checkpoint is run/checkpoints/step-\d+.safetensors", said)
    assert not (here / "run/manifest.json").exists()


MINE = """
import gymnasium
import numpy as np

class Hill(gymnasium.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}
    observation_space = gymnasium.spaces.Dict(
        {"place": gymnasium.spaces.Box(-5, 5, (1,), np.float32), "clock": gymnasium.spaces.Box(0, 9, (1,), np.float32)}
    )
    action_space = gymnasium.spaces.Box(-0.5, 0.5, (2,), np.float32)

    def __init__(self, length=7, render_mode=None):
        self.length, self.render_mode = length, render_mode

    def look(self):
        return {"place": np.array([self.x], np.float32), "clock": np.array([self.t], np.float32)}

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.t = float(self.np_random.uniform(-1, 1)), 0
        return self.look(), {}

    def step(self, action):
        self.x = float(np.clip(self.x + action[0] + 0.1 * self.np_random.normal(), -5, 5))
        self.t += 1
        return self.look(), -self.x**2, False, self.t >= self.length, {}

    def render(self):
        return np.full((20, 30, 3), 25 * self.t, np.uint8)
"""


def test_an_environment_of_ones_own_is_trained_in_and_gone_on_with_to_the_same_bytes(
    here, capsys, monkeypatch
):
    (here / "mine_hill.py").write_text(MINE)
    monkeypatch.syspath_prepend(here)
    words = [
        "train",
        "toy",
        "--env",
        "mine_hill:Hill",
        "--env-args",
        '{"length": 6}',
        "--seeds",
        "2,5",
        *COMMAND[6:],
    ]
    assert cli.main([*words, "--steps", "130", "--out", "whole"]) == cli.DONE
    add = train_folder.Folder.add

    def struck(self, row):
        add(self, row)
        if len(self.rows) == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "PIECE", 1e-9)
        patch.setattr(train_folder.Folder, "add", struck)
        assert cli.main([*words, "--steps", "130", "--out", "run"]) == cli.INTERRUPTED
    assert cli.main([*words, "--steps", "130", "--out", "run", "--resume"]) == cli.DONE
    assert contents(here / "run") == contents(here / "whole")
    assert (here / "run/pictures/film.svg").exists() and "One episode of most likely actions" in (
        here / "run/report.html"
    ).read_text()
    policy = me.load_agent(here / "run", seed=5)
    action = policy.act({"place": np.array([0.5], np.float32), "clock": np.array([2.0], np.float32)})
    assert action.shape == (2,) and (np.abs(action) <= 0.5).all()
    assert cli.main(["rollouts", "run", "--episodes", "2", "--out", "demos.npz"]) == cli.DONE
    assert np.load("demos.npz")["observations"].shape == (2, 7, 2)
    assert (
        cli.main([*words, "--steps", "130", "--out", "else", "--env-args", '{"width": 6}']) == cli.BAD_INPUT
    )
