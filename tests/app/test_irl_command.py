"""Recovering a reward from files: what comes out, and what is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import jax
import numpy as np
import pytest

from archives import TRILLION, with_false_header
from maxentrl import envs, solve, write_trajectories
from maxentrl.app import cli, problems
from maxentrl.core.check import InputError
from maxentrl.irl import sample_trajectories

MDP = envs.chain()
SETTING = ("--problem", "chain", "--temperature", "1", "--discount", "0.9", "--out", "run")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with 100 demonstrations and one feature, which is the reward itself."""
    monkeypatch.chdir(tmp_path)
    plan = solve(MDP, temperature=1.0, discount=0.9)
    key = jax.random.key(3, impl="threefry2x32")
    demos = sample_trajectories(MDP, plan.log_policy, key=key, count=100, horizon=20)
    write_trajectories("demos.csv", demos)
    np.savez("features.npz", features=np.asarray(MDP.reward)[:, :, None], names=np.array(["reward"]))
    return tmp_path


def test_the_weight_of_the_true_reward_is_found_within_its_standard_error(here, capsys):
    assert cli.main(["irl", "mce", *SETTING, "--demos", "demos.csv", "--features", "features.npz"]) == 0
    assert "reward" in capsys.readouterr().out
    manifest = json.loads((here / "run/manifest.json").read_text())
    (row,) = manifest["answer"]["weights"]
    # The true weight is 1; four standard errors leave a chance of 6e-5, and the key is fixed.
    assert abs(row["weight"] - 1) < 4 * row["standard_error"] and row["standard_error"] < 0.5
    assert set(manifest["inputs"]) == {"problem", "demonstrations", "features"}
    assert "The reward behind 100 demonstrations" in (here / "run/report.html").read_text()


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("0,99,0", "unknown state '99'"),
        ("0,0,7", "unknown action '7'"),
        ("0,0,0\n0,9,0", "gives this transition probability zero"),
        ("", "holds no row of demonstrations"),
    ],
)
def test_demonstrations_that_cannot_have_happened_are_one_sentence(here, capsys, rows, sentence):
    (here / "demos.csv").write_text("trajectory,state,action\n" + rows + "\n")
    before = sorted(here.rglob("*"))
    assert cli.main(["irl", "mce", *SETTING, "--demos", "demos.csv", "--features", "features.npz"]) == 2
    assert re.search(sentence, capsys.readouterr().err.splitlines()[-1]) and sorted(here.rglob("*")) == before


@pytest.mark.parametrize("missing", ["demos", "features"])
def test_a_missing_table_is_one_sentence(here, capsys, missing):
    files = {"demos": "demos.csv", "features": "features.npz"} | {missing: "gone.csv"}
    names = ("--demos", files["demos"], "--features", files["features"])
    assert cli.main(["irl", "mce", *SETTING, *names]) == 2
    assert "gone.csv" in capsys.readouterr().err


def test_features_of_states_in_a_csv_table_count_for_every_action(tmp_path):
    path = tmp_path / "features.csv"
    lines = [f"{MDP.state_name(s)},{s},{s * s}" for s in range(MDP.states)]
    path.write_text("\n".join(["state,first,second", *lines]) + "\n")
    names, table = problems.read_features(path, MDP)
    assert names == ("first", "second")
    np.testing.assert_array_equal(table[..., 0], np.repeat(np.arange(MDP.states)[:, None], MDP.actions, 1))
    np.testing.assert_array_equal(table[..., 1], table[..., 0] ** 2)


def test_features_of_pairs_in_a_csv_table_go_where_they_belong(tmp_path):
    path = tmp_path / "features.csv"
    pairs = [(s, a) for s in range(MDP.states) for a in range(MDP.actions)]
    path.write_text(
        "state,action,f\n" + "".join(f"{s},{MDP.action_name(a)},{10 * s + a}\n" for s, a in pairs)
    )
    _, table = problems.read_features(path, MDP)
    np.testing.assert_array_equal(table[..., 0], 10 * np.arange(MDP.states)[:, None] + np.arange(MDP.actions))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n0,1\n", "must begin with a header"),
        ("state,f,f\n0,1,1\n", "different feature names"),
        ("state,f\n0,1\n0,2\n", "occurs twice"),
        ("state,f\n99,1\n", "no state '99'"),
        ("state,f\n0\n", "must have 2 cells"),
        ("state,f\n0,one\n", "features must be numbers"),
        ("state,f\n0,1\n", "has no row for state"),
        ("state,f\n" + "".join(f"{s},nan\n" for s in range(MDP.states)), "must be finite"),
    ],
)
def test_a_malformed_table_of_features_is_refused(tmp_path, text, sentence):
    path = tmp_path / "features.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence):
        problems.read_features(path, MDP)


def test_features_in_an_npz_file_are_checked(tmp_path):
    path = tmp_path / "features.npz"
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read as an npz"):
        problems.read_features(path, MDP)
    with pytest.raises(InputError, match=r"features declares shape .* but 48 bytes are stored"):
        problems.read_features(with_false_header(path, "features", (TRILLION, 2)), MDP)
    for arrays, sentence in (
        ({"features": np.array([[{}]])}, "holds Python objects, which are never loaded"),
        ({"features": np.zeros((MDP.states, 2)), "names": np.array("one")}, "2 different names; got one"),
        ({"other": np.zeros(3)}, "must hold the array features; it holds other"),
        ({"features": np.zeros((2, 2))}, r"must be numbers \[S, F\]"),
        ({"features": np.zeros((MDP.states, 2)), "names": np.array(["a", "a"])}, "2 different names"),
    ):
        held: dict[str, Any] = arrays
        np.savez(path, **held)
        with pytest.raises(InputError, match=sentence):
            problems.read_features(path, MDP)
