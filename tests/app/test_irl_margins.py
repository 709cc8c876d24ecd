"""Apprenticeship learning and maximum margin planning from files to a run folder."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fields import features, field, write_field
from maxentrl import read_trajectories, save_problem
from maxentrl.app import cli
from maxentrl.irl import apprenticeship, max_margin

FILES = ("--problem", "problem.npz", "--demos", "trips.csv", "--features", "features.npz")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_field(tmp_path, 30)
    return tmp_path


def answer_of(folder):
    return json.loads((folder / "manifest.json").read_text())["answer"]


@pytest.mark.parametrize("method", ["max-margin", "projection"])
def test_the_apprentice_is_that_of_the_library(here, method):
    words = ("--discount", "0.9", "--method", method, "--test", "0.2", "--out", "run")
    assert cli.main(["irl", "apprenticeship", *FILES, *words]) in (cli.DONE, cli.NOT_CONVERGED)
    answer = answer_of(here / "run")
    rows = [json.loads(line) for line in (here / "run/metrics.jsonl").read_text().splitlines()]
    # The projection method's answer may be nearer than the last of its points.
    assert len(rows) == answer["policies"] and rows[-1]["margin"] >= answer["margin"]
    assert method == "projection" or rows[-1]["margin"] == answer["margin"]
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    # The distance to the expert never grows (Abbeel & Ng 2004, lemma 3); 1e-9 is the rounding of the program.
    assert (np.diff([row["margin"] for row in rows]) <= 1e-9).all()
    assert {"mixture", "fitted"} == set(answer["test_margin"])
    names = [row["name"] for row in answer["agreement"]["rows"]]
    assert names == ["mixture", "behaviour cloning", "random choice"]
    page = (here / "run/report.html").read_text()
    assert "An apprentice of 24 demonstrations" in page and "Does it do what was done?" in page
    demos = read_trajectories(here / "trips.csv", field())
    whole = apprenticeship.fit(field(), features(field()), demos, discount=0.9, method=method)
    assert json.loads((here / "run/estimate.json").read_text())["features"] == ["0", "1"] or whole.names


def test_an_apprentice_that_is_stopped_is_kept_and_ends_with_status_three(here):
    words = ("--discount", "0.9", "--steps", "1", "--tolerance", "1e-9", "--out", "run")
    assert cli.main(["irl", "apprenticeship", *FILES, *words]) == cli.NOT_CONVERGED
    # Once, in the box of warnings.
    assert (here / "run/report.html").read_text().count("stopped after 1 policy at") == 1


def test_maximum_margin_planning_learns_from_several_maps(here):
    save_problem(field(), here / "other.npz")
    maps = (*FILES, "--problem", "other.npz", "--demos", "trips.csv", "--features", "features.npz")
    words = ("--discount", "0.9", "--tolerance", "0.01", "--test", "0.2", "--out", "run")
    assert cli.main(["irl", "max-margin", *maps, *words]) == cli.DONE
    answer = answer_of(here / "run")
    assert [one["name"] for one in answer["maps"]] == ["map 1, problem.npz", "map 2, other.npz"]
    # The same map twice: the same numbers twice, and those of the library for one.
    first, second = answer["maps"]
    assert {k: v for k, v in first.items() if k != "name"} == {k: v for k, v in second.items() if k != "name"}
    history = [json.loads(line) for line in (here / "run/metrics.jsonl").read_text().splitlines()]
    assert min(row["above_bound"] for row in history) == pytest.approx(answer["gap"])
    held = {path.name for path in (here / "run/pictures").iterdir()}
    assert {"gap.svg", "reward-1.svg", "reward-2.svg", "flows-1.svg", "flows-2.svg"} <= held
    assert "demonstrations in 2 maps are best" in (here / "run/report.html").read_text()


def test_the_weights_are_those_of_the_library(here):
    assert cli.main(["irl", "max-margin", *FILES, "--discount", "0.9", "--out", "run"]) == cli.DONE
    demos = read_trajectories(here / "trips.csv", field())
    found = max_margin.fit([max_margin.Example(field(), features(field()), demos)], discount=0.9)
    np.testing.assert_allclose(
        [row["weight"] for row in answer_of(here / "run")["weights"]], found.weights, rtol=1e-12
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--problem", "problem.npz"), "once for each map, in the same order; got 2, 1 and 1"),
        (
            ("--problem", "problem.npz", "--demos", "trips.csv", "--features", "other.npz"),
            "every map must have the same features",
        ),
    ],
)
def test_maps_that_do_not_fit_each_other_are_one_sentence(here, capsys, words, sentence):
    np.savez(here / "other.npz", features=features(field()), names=np.array(["step", "water"]))
    before = sorted(here.rglob("*"))
    assert cli.main(["irl", "max-margin", *FILES, *words, "--discount", "0.9", "--out", "run"]) == 2
    assert sentence in capsys.readouterr().err and sorted(here.rglob("*")) == before
