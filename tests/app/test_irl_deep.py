"""Networks as rewards from files to a run folder."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
from safetensors.numpy import load_file

from fields import write_field
from maxentrl.app import cli
from maxentrl.irl import deep_estimate

FILES = ("--problem", "problem.npz", "--demos", "trips.csv", "--features", "features.npz", "--out", "run")
SMALL = ("--discount", "0.95", "--hidden", "8,8", "--steps", "12")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_field(tmp_path, 40)
    return tmp_path


def answer_of(folder):
    return json.loads((folder / "manifest.json").read_text())["answer"]


def test_the_networks_of_a_run_can_be_loaded_and_are_those_that_were_trained(here, capsys):
    words = ("--members", "2", "--test", "0.2", "--close-arc", "0,down")
    # Twelve steps are too few to settle.
    assert cli.main(["irl", "deep-maxent", *FILES, *SMALL, *words]) == cli.NOT_CONVERGED
    assert "not converged" in capsys.readouterr().err
    found, answer = deep_estimate.load(here / "run/network"), answer_of(here / "run")
    assert len(found.members) == 2 == answer["networks"] and answer["spread"] > 0
    np.testing.assert_array_equal(found.reward, load_file(here / "run/arrays.safetensors")["reward"])
    rows = [json.loads(line) for line in (here / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["member"] == 1] == list(range(13))
    assert all("validation" in row for row in rows)
    held = {path.name for path in (here / "run/pictures").iterdir()}
    assert {"learning.svg", "scores.svg", "flows.svg", "reward.svg", "counterfactual.svg"} == held
    page = (here / "run/report.html").read_text()
    assert "differ by" in page and "2 networks trained by deep maximum entropy" in page


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_keeps_the_best_so_far(here, capsys, monkeypatch, number):
    from maxentrl.app import irl_deep

    tell = irl_deep._tell

    def stop(say, now, steps):
        tell(say, now, steps)
        if now.step == 5:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(irl_deep, "_tell", stop)
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # ignored where a shell runs us in the background
    try:
        assert cli.main(["irl", "deep-maxent", *FILES, *SMALL]) == cli.INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, before)
    assert "interrupted; the best that was found so far is kept" in capsys.readouterr().err
    found = deep_estimate.load(here / "run/network")
    assert found.members[0].interrupted and len(found.members[0].train) >= 5
    assert "interrupted after" in (here / "run/report.html").read_text().lower()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--hidden", "8,4"), "hidden layers must be alike"),
        (("--hidden", "many"), "hidden must be numbers with commas"),
        (("--hidden", "0"), "of at least one unit"),
        (("--steps", "0"), "max_steps must be a whole number"),
        (("--members", "0"), "members must be a whole number"),
        (("--validation", "1.5"), "must lie in"),
    ],
)
def test_a_training_that_makes_no_sense_is_one_sentence(here, capsys, words, sentence):
    before = sorted(here.rglob("*"))
    assert cli.main(["irl", "deep-maxent", *FILES, "--discount", "0.95", *words]) == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1] and sorted(here.rglob("*")) == before
