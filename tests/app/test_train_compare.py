"""Runs side by side, demonstrations made by what was trained, and rows that go elsewhere as well."""

from __future__ import annotations

import json
import sys
import types

import numpy as np
import pytest

import maxentrl as me
from app.small_training import contents
from maxentrl import InputError
from maxentrl.app import cli
from maxentrl.app.record import plain
from maxentrl.app.train_folder import begin
from maxentrl.core.statistics import interquartile_mean
from maxentrl.learn import loop

ASKED = {
    "agent": "sac",
    "env": "pendulum",
    "env_args": {},
    "steps": 20,
    "evaluations": 10,
    "settings": {"hidden": [8]},
}


def made_up(place, seeds, shift=0.0, **changes):
    """A run folder with rows as a run would have written them."""
    asked = {**ASKED, "seeds": list(seeds), **changes}
    folder = begin(place, asked)
    rng = np.random.default_rng(len(seeds))
    for step in (10, 20):
        for seed in seeds:
            value = float(rng.normal() + shift + step)
            folder.add(
                {"kind": "evaluation", "step": step, "seed": seed, "return": value, "returns": [value]}
            )
    folder.close()
    return place


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_comparison_names_the_better_run_and_how_sure_that_is(here, capsys):
    made_up(here / "a", range(6))
    made_up(here / "b", range(5), shift=10.0, settings={"hidden": [16]})
    assert cli.main(["compare", "a", "b", "--out", "both"]) == cli.DONE
    said = capsys.readouterr().out
    assert "P(a > b) = 0.000 (95 % interval 0.000 to 0.000)" in said
    answer = json.loads((here / "both/manifest.json").read_text())["answer"]
    rows = [json.loads(line) for line in (here / "a/metrics.jsonl").read_text().splitlines()]
    last = [row["return"] for row in rows if row["step"] == 20]
    assert answer["runs"][0]["value"] == pytest.approx(float(interquartile_mean(last)), rel=1e-15)
    assert answer["differ"] == [["hidden", [8], [16]]]
    page = (here / "both/report.html").read_text()
    assert "The best of them at the end is b" in page and "maxentrl compare a b --out again" in page
    before = {
        p.name: p.read_bytes() for p in (here / "both").rglob("*") if p.is_file() and p.name != "timing.json"
    }
    assert cli.main(["compare", "a", "b", "--out", "both"]) == cli.DONE
    assert before == {
        p.name: p.read_bytes() for p in (here / "both").rglob("*") if p.is_file() and p.name != "timing.json"
    }


def test_what_cannot_be_compared_is_one_sentence(here, capsys):
    made_up(here / "a", range(2))
    made_up(here / "b", range(2), env="cartpole")
    begin(here / "c", plain({**ASKED, "seeds": [0]}))
    for words, sentence in (
        (("a",), "a comparison needs two runs or more; got 1"),
        (("a", "./a"), "is given more than once"),
        (("a", "b"), "returns of different environments cannot be compared: a is on pendulum, b on cartpole"),
        (("a", "c"), "c has no evaluation of all its seeds yet"),
        (("a", "nowhere"), "nowhere holds no training run"),
    ):
        assert cli.main(["compare", *words, "--out", "both"]) == cli.BAD_INPUT
        assert sentence in capsys.readouterr().err
    assert not (here / "both").exists()


def test_no_command_replaces_a_training_run(here, capsys):
    words = (
        "train",
        "soft_q",
        "--env",
        "chain",
        "--env-args",
        '{"limit": 9}',
        "--steps",
        "20",
        "--evaluations",
        "1",
    )
    for name in ("a", "b"):
        assert cli.main([*words, "--out", name]) == cli.DONE
    before = contents(here)
    for words in (("compare", "a", "b"), ("plan", "chain", "--temperature", "1", "--horizon", "3")):
        assert cli.main([*words, "--out", "a"]) == cli.BAD_INPUT
        assert f"a holds a run of train, which {words[0]} does not replace" in capsys.readouterr().err
    assert contents(here) == before


def test_tabular_rollouts_are_demonstrations_that_can_be_read_again(here, capsys):
    words = (
        "train",
        "soft_q",
        "--env",
        "chain",
        "--env-args",
        '{"limit": 12}',
        "--steps",
        "40",
        "--out",
        "run",
    )
    assert cli.main([*words, "--evaluations", "2"]) == cli.DONE
    mdp = me.envs.chain()
    for name in ("demos.csv", "demos.npz"):
        assert cli.main(["rollouts", "run", "--episodes", "5", "--out", name]) == cli.DONE
        assert "5 episodes" in capsys.readouterr().out
        demos = me.read_trajectories(name, mdp)
        assert demos.count == 5 and demos.longest <= 12
        me.irl.check_demonstrations(mdp, demos)


def test_rollouts_in_real_numbers_are_padded_arrays_and_the_rewards_those_of_the_environment(here):
    run = me.train(
        "sac", "pendulum", env_args={"limit": 7}, settings={"hidden": (4,), "capacity": 50, "warmup": 10, "batch": 4},
        steps=20, evaluations=1, out="run",
    )  # fmt: skip
    assert run.finished
    assert cli.main(["rollouts", "run", "--episodes", "3", "--out", "demos.npz"]) == cli.DONE
    held = np.load("demos.npz")
    assert held["observations"].shape == (3, 8, 3) and held["actions"].shape == (3, 7, 1)
    assert list(held["lengths"]) == [7, 7, 7] and not held["terminated"].any()
    cosine, sine, speed = np.moveaxis(held["observations"][:, :-1].astype(float), -1, 0)
    torque = held["actions"][..., 0].astype(float)
    cost = np.arctan2(sine, cosine) ** 2 + 0.1 * speed**2 + 0.001 * torque**2
    # Angles are had back from sine and cosine in float32, whose error is a few times 1e-7, times 2 pi.
    np.testing.assert_allclose(held["rewards"], -cost, atol=2e-5)
    assert (np.abs(torque) <= 2).all() and torque.std() > 0
    page = (here / "run/report.html").read_text()
    assert "The torque of the most likely action" in page and (here / "run/pictures/policy.svg").exists()


@pytest.fixture
def boards(monkeypatch):
    """Stand-ins for both packages that write down what they are told."""
    told = []

    class Writer:
        def __init__(self, logdir, **more):
            told.append(("open", logdir, more))

        def add_scalar(self, name, value, global_step):
            told.append((name, value, global_step))

        def flush(self):
            pass

        def close(self):
            told.append(("close",))

    class Account:
        def log(self, values, step):
            told.append((values, step))

        def finish(self):
            told.append(("finish",))

    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=Writer))
    monkeypatch.setitem(
        sys.modules, "wandb", types.SimpleNamespace(init=lambda **asked: told.append(asked) or Account())
    )
    return told


def test_boards_are_told_the_numbers_of_every_row(tmp_path, boards):
    from maxentrl.app.tracking import tracking

    row = {
        "kind": "training",
        "step": 5,
        "seed": 3,
        "loss": 0.5,
        "return": None,
        "returns": [1.0],
        "episodes": 2,
    }
    asked = {"agent": "sac", "env": "pendulum"}
    with tracking(("tensorboard",), tmp_path, asked, types.SimpleNamespace(step=4)) as take:
        take(row)
    assert boards == [
        ("open", str(tmp_path / "tensorboard" / "seed-3"), {"purge_step": 5}),
        ("training/loss", 0.5, 5), ("training/episodes", 2.0, 5), ("close",),
    ]  # fmt: skip
    boards.clear()
    with tracking(("wandb",), tmp_path, asked) as take:
        take(row)
    assert boards[0]["config"] == asked and boards[0]["project"] == "maxentrl"
    assert boards[1:] == [({"seed 3/training/loss": 0.5, "seed 3/training/episodes": 2.0}, 5), ("finish",)]


def test_the_command_that_goes_on_names_the_boards(here, boards, capsys, monkeypatch):
    monkeypatch.setattr(loop, "PIECE", 1e-9)
    words = ("train", "soft_q", "--env", "chain", "--steps", "2000", "--out", "run", "--max-time", "0.000001")
    assert cli.main([*words, "--track", "wandb"]) == cli.INTERRUPTED
    assert "--out run --track wandb --resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "package", "line"),
    [
        ("tensorboard", "tensorboardX", r"pip install 'maxentrl\[tracking\]'"),
        ("wandb", "wandb", "pip install wandb"),
    ],
)
def test_a_board_that_is_missing_is_the_line_that_installs_it(tmp_path, monkeypatch, kind, package, line):
    from maxentrl.app.tracking import tracking

    monkeypatch.setitem(sys.modules, package, None)
    with (
        pytest.raises(InputError, match=f"the package {package} is missing.*{line}"),
        tracking((kind,), tmp_path, {}),
    ):
        pass
