"""Ctrl-C and SIGTERM end a search between two of its steps; the best so far is a whole run, marked as interrupted."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
from safetensors.numpy import load_file

from app import test_roads_bad_input as roads
from app.test_irl_bad_input import FEATURES, FILES, PROBLEM, TRIPS
from fields import write_field
from maxentrl.app import cli
from maxentrl.irl import apprenticeship, fitting, margin_search, ziebart2008
from maxentrl.irl.routes import Likelihood


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, words in (("problem", PROBLEM), ("trips", TRIPS), ("features", FEATURES)):
        (tmp_path / f"{name}.csv").write_text(words)
    return tmp_path


@pytest.fixture(autouse=True)
def _heard():
    """A shell that starts tests in the background has Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def stop_at(monkeypatch, place, name, call, number=signal.SIGINT):
    """Send ourselves a signal at the call of this number."""
    work, calls = getattr(place, name), []

    def stopped(*args, **kwargs):
        calls.append(name)
        if len(calls) == call:
            os.kill(os.getpid(), number)
        return work(*args, **kwargs)

    monkeypatch.setattr(place, name, stopped)


def interrupted(here, capsys, *words):
    """The answer of a run that ends with the status of an interruption, and its estimate; both marked."""
    assert cli.main(["irl", *words]) == cli.INTERRUPTED
    said = capsys.readouterr()
    assert "maxentrl: interrupted; the best that was found so far is kept in run." in said.err
    answer = json.loads((here / "run/manifest.json").read_text())["answer"]
    assert answer["interrupted"] and not answer["converged"] and "interrupted after" in answer["verdict"]
    warned = json.loads((here / "run/manifest.json").read_text())["warnings"]
    assert any("interrupted after" in sentence.lower() for sentence in warned)
    assert "interrupted after" in (here / "run/report.html").read_text().lower()
    assert not [path for path in here.iterdir() if "partial" in path.name]
    return answer


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_causal_fit_keeps_its_weights(here, capsys, monkeypatch, number):
    # The first derivatives look for directions that do nothing; at the third, one step has been taken.
    stop_at(monkeypatch, fitting, "derivatives", 3, number)
    answer = interrupted(here, capsys, "mce", *FILES, "--discount", "0.9")
    assert "interrupted after 1 Newton step:" in answer["verdict"]
    weights = load_file(here / "run/arrays.safetensors")["weights"]
    # One step uphill from 0.
    assert weights[0] != 0 and answer["log_likelihood"] > answer["log_likelihood_uniform"]


@pytest.mark.parametrize(
    ("place", "name", "words"),
    [
        (fitting, "derivatives", ("--discount", "0.9")),
        (ziebart2008, "_slope", ("--method", "ziebart2008", "--horizon", "4", "--start=-1")),
    ],
)
def test_an_interrupted_fit_of_whole_trajectories_keeps_its_weights(
    here, capsys, monkeypatch, place, name, words
):
    stop_at(monkeypatch, place, name, 2)
    answer = interrupted(here, capsys, "maxent", *FILES, *words)
    assert "Newton step" in answer["verdict"]


def test_an_interrupted_fit_of_temperatures_keeps_both(here, capsys, monkeypatch):
    stop_at(monkeypatch, fitting, "derivatives", 3)
    answer = interrupted(here, capsys, "mce", *FILES, "--discount", "0.9", "--temperatures", "free")
    # Stopped while all groups still shared one temperature.
    assert {row["temperature"] for row in answer["temperatures"]} == {1.0}


def test_an_interrupted_apprentice_keeps_its_policies(here, capsys, monkeypatch):
    stop_at(monkeypatch, apprenticeship, "best_response", 2)
    words = ("--discount", "0.9", "--tolerance", "1e-9")
    answer = interrupted(here, capsys, "apprenticeship", *FILES, *words)
    assert answer["policies"] == 1 and len((here / "run/metrics.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize("method", ["qp", "subgradient"])
def test_an_interrupted_search_for_margins_keeps_its_weights(here, capsys, monkeypatch, method):
    write_field(here, 10)
    stop_at(monkeypatch, margin_search, "evaluate", 3)
    files = ("--problem", "problem.npz", "--demos", "trips.csv", "--features", "features.npz", "--out", "run")
    words = ("--discount", "0.9", "--tolerance", "1e-9", "--method", method)
    answer = interrupted(here, capsys, "max-margin", *files, *words)
    assert answer["evaluations"] == 2 and answer["objective"] >= answer["bound"]


@pytest.mark.parametrize("method", ["mce", "deep-maxent"])
def test_an_interrupted_fit_of_roads_keeps_its_weights(here, capsys, monkeypatch, method):
    (here / "network.csv").write_text(roads.NETWORK)
    (here / "trips.csv").write_text(roads.TRIPS)
    stop_at(monkeypatch, Likelihood, "slope", 2)
    words = ("--hidden", "4", "--validation", "0") if method == "deep-maxent" else ()
    answer = interrupted(here, capsys, method, *roads.MCE[2:], "--l2", "0.1", *words)
    linear = answer["linear"] if method == "deep-maxent" else answer
    assert linear["interrupted"] and "interrupted after 1 Newton step:" in linear["verdict"]
    assert np.isfinite(load_file(here / "run/arrays.safetensors")["reward"]).all()


def test_a_fit_that_is_interrupted_before_its_first_step_leaves_nothing(here, capsys, monkeypatch):
    stop_at(monkeypatch, fitting, "objective", 1)
    before = sorted(here.rglob("*"))
    assert cli.main(["irl", "mce", *FILES, "--discount", "0.9"]) == cli.INTERRUPTED
    assert "interrupted; nothing was written" in capsys.readouterr().err and sorted(here.rglob("*")) == before
