"""A linear reward from files: what the run folder holds, and that its numbers are those of the library."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from fields import MUD, STEP, features, field, write_field
from maxentrl import read_trajectories, solve, write_trajectories
from maxentrl.app import cli, pages
from maxentrl.data import trajectories_from_arrays
from maxentrl.irl import maxent, mce, sample_trajectories
from maxentrl.irl.validation import compare

FILES = ("--problem", "problem.npz", "--demos", "trips.csv", "--features", "features.npz", "--out", "run")
PATHS = (*FILES, "--discount", "1")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run with everything that can be asked for."""
    with pytest.MonkeyPatch.context() as patch:
        here = tmp_path_factory.mktemp("mce")
        patch.chdir(here)
        write_field(here)
        changes = ("--close-arc", "0,right", "--move-goal", "3,10")
        assert cli.main(["irl", "mce", *PATHS, "--test", "0.25", "--seed", "3", *changes]) == cli.DONE
        yield here / "run"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_field(tmp_path, 40)
    return tmp_path


def answer_of(folder):
    return json.loads((folder / "manifest.json").read_text())["answer"]


def test_the_folder_holds_weights_pictures_tables_and_the_estimate(run):
    held = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    pictures = ("weights", "scores", "flows", "reward", "counterfactual")
    assert {f"pictures/{name}.svg" for name in pictures} | {
        "estimate.json",
        "flows.csv",
        "counterfactual.csv",
    } < held
    manifest = json.loads((run / "manifest.json").read_text())
    assert set(manifest["files"]) == held - {"manifest.json", "report.html", "timing.json"}
    estimate = json.loads((run / "estimate.json").read_text())
    arrays = load_file(run / "arrays.safetensors")
    assert list(estimate["weights"].values()) == arrays["weights"].tolist()
    # True weights within four standard errors: a chance of 1e-4, and the seed is fixed.
    for found, error, true in zip(
        estimate["weights"].values(), estimate["standard_errors"]["hessian"], (STEP, MUD), strict=True
    ):
        assert abs(found - true) < 4 * error


def test_held_out_likelihood_and_baselines_are_those_of_the_library(run):
    from maxentrl.data.split import split

    mdp, demos = field(), read_trajectories(run.parent / "trips.csv", field())
    key = jax.random.fold_in(jax.random.key(3, impl="threefry2x32"), 0)
    parts = split(demos, test=0.25, key=key)
    estimate = mce.fit(mdp, features(mdp), parts.train, discount=1.0)
    scores = answer_of(run)["scores"]
    assert scores["part"] == "test"
    for row, true in zip(scores["rows"], compare(mdp, estimate, parts.train, parts.test), strict=True):
        np.testing.assert_allclose(row["per_decision"], true.per_decision, rtol=1e-9)
        np.testing.assert_allclose((row["lower"], row["upper"]), true.interval, rtol=1e-9)


def test_a_closed_arc_carries_nothing_and_a_moved_goal_takes_every_journey(run):
    found, arrays = answer_of(run)["counterfactual"], load_file(run / "arrays.safetensors")
    assert arrays["flows_before"][0, 1] > 0 and arrays["flows_after"][0, 1] == 0
    ends = {row["state"]: (row["before"], row["after"]) for row in found["ends"]}
    # Every journey ends somewhere: at the old goal before, at the new one after.
    np.testing.assert_allclose(ends["3"][0], 1, atol=1e-9)
    np.testing.assert_allclose(ends["10"][1], 1, atol=1e-9)
    assert len((run / "counterfactual.csv").read_text().splitlines()) == found["choices"] + 1


def test_the_page_has_every_section_and_can_be_written_again(run):
    words = (run / "report.html").read_text()
    for title in ("The demonstrations", "What is known", "Does it foretell", "Where it leads", "What if?"):
        assert title in words
    assert "the action right is closed in 0" in words and "All weights are identified" in words
    pages.rewrite(run)
    assert (run / "report.html").read_text() == words


def test_the_command_in_the_manifest_gives_the_same_bytes(run, monkeypatch):
    import shlex

    monkeypatch.chdir(run.parent)
    command = json.loads((run / "manifest.json").read_text())["command"]
    assert cli.main(shlex.split(command)[1:]) == cli.DONE
    for path in run.rglob("*"):
        if path.is_file() and path.name != "timing.json":
            assert (run.parent / "again" / path.relative_to(run)).read_bytes() == path.read_bytes(), path


def test_predicted_flows_of_the_demonstrations_hold_all_their_decisions(run):
    rows = [line.split(",") for line in (run / "flows.csv").read_text().splitlines()[1:]]
    observed = sum(float(row[2]) for row in rows)
    assert observed == answer_of(run)["scores"]["rows"][0]["decisions"]


def test_labels_say_which_demonstrations_are_for_what(here):
    lines = [f"{i},{'test' if i % 4 == 0 else 'train'}" for i in range(40)]
    (here / "split.csv").write_text("\n".join(["trajectory,split", *lines]) + "\n")
    assert cli.main(["irl", "mce", *PATHS, "--split", "split.csv"]) == cli.DONE
    parts = {part["part"]: part["trajectories"] for part in answer_of(here / "run")["demonstrations"]}
    assert parts == {"fitted to": 30, "test": 10}


def test_another_file_may_hold_the_test_demonstrations(here):
    write_trajectories(here / "more.npz", read_trajectories(here / "trips.csv", field()).take(np.arange(7)))
    assert cli.main(["irl", "mce", *PATHS, "--test", "more.npz"]) == cli.DONE
    assert answer_of(here / "run")["demonstrations"][1]["trajectories"] == 7


def test_on_deterministic_roads_maximum_entropy_finds_the_weights_of_maximum_causal_entropy(here):
    assert cli.main(["irl", "maxent", *PATHS]) == cli.DONE
    demos = read_trajectories(here / "trips.csv", field())
    weights = [row["weight"] for row in answer_of(here / "run")["weights"]]
    causal = mce.fit(field(), features(field()), demos, discount=1.0)
    # Both are maxima to 1e-8 of what is the same function on deterministic problems.
    np.testing.assert_allclose(weights, causal.weights, rtol=1e-6)
    whole = maxent.fit(field(), features(field()), demos, discount=1.0)
    np.testing.assert_allclose(weights, whole.weights, rtol=1e-12)
    assert "as if the dynamics could be chosen too" in (here / "run" / "report.html").read_text()


def test_the_page_of_the_algorithm_of_2008_says_what_it_solves(here):
    assert cli.main(["irl", "maxent", *PATHS, "--method", "ziebart2008"]) == cli.DONE
    words = (here / "run" / "report.html").read_text()
    assert "Dey (2008), algorithm 1, as printed" in words and "lucky trajectories" not in words
    # There is one kind of standard error, so nothing is said of how others compare with it.
    assert "The first two kinds of standard error" not in words


def test_an_offset_is_part_of_the_reward_and_a_known_weight_may_go_there(here):
    mdp = field()
    table = features(mdp)[..., 0:1] * STEP
    np.savez(here / "offset.npz", features=table, names=np.array(["known"]))
    np.savez(here / "features.npz", features=features(mdp)[..., 1:], names=np.array(["mud"]))
    assert cli.main(["irl", "mce", *PATHS, "--offset", "offset.npz"]) == cli.DONE
    (row,) = answer_of(here / "run")["weights"]
    assert abs(row["weight"] - MUD) < 4 * row["standard_error"]


def test_what_no_demonstrations_can_tell_is_a_sentence_on_the_page(here):
    mdp = field()
    table = np.concatenate([features(mdp), features(mdp)[..., :1] * 2], -1)
    np.savez(here / "features.npz", features=table, names=np.array(["step", "mud", "twice"]))
    assert cli.main(["irl", "mce", *PATHS]) == cli.DONE
    found = answer_of(here / "run")["identification"]
    assert not found["identified"] and found["directions"][0]["kind"] == "collinear"
    words = (here / "run" / "report.html").read_text()
    assert "the features are collinear" in words and "any number" in words


def crowd(folder, heat=(0.5, 2.0), count=60):
    """Walks of two people who want the same and choose at different temperatures."""
    mdp = field()
    paths = []
    for g, t in enumerate(heat):
        plan = solve(mdp, temperature=t, discount=1.0)
        key = jax.random.key(g, impl="threefry2x32")
        paths.append(sample_trajectories(mdp, plan.log_policy, key=key, count=count, horizon=200))
    long = max(part.longest for part in paths)
    tables = [
        np.concatenate([np.pad(x, ((0, 0), (0, long - x.shape[1])), constant_values=-1) for x in columns])
        for columns in ([p.states for p in paths], [p.actions for p in paths], [p.next_states for p in paths])
    ]
    names = [name for name in ("calm", "hasty") for _ in range(count)]
    demos = trajectories_from_arrays(*tables[:2], next_states=tables[2], groups=names)
    write_trajectories(folder / "trips.csv", demos)


def test_groups_have_temperatures_of_their_own_in_the_folder_on_the_page_and_on_the_screen(here, capsys):
    crowd(here)
    free = ("--temperatures", "free", "--temperature", "0.5")
    assert cli.main(["irl", "mce", *PATHS, *free, "--test", "0.25", "--seed", "1"]) == cli.DONE
    assert "The temperatures differ: against one common temperature" in capsys.readouterr().out
    found, estimate = answer_of(here / "run"), json.loads((here / "run" / "estimate.json").read_text())
    calm, hasty = found["temperatures"]
    assert (calm["group"], calm["temperature"], calm["fixed"]) == ("calm", 0.5, True)
    # The truth lies within four standard errors of the logarithm; the keys are fixed.
    assert abs(np.log(hasty["temperature"] / 2)) < 4 * hasty["standard_error"] / hasty["temperature"] < 2
    assert [row["group"] for row in estimate["temperatures"]] == ["calm", "hasty"]
    lines = (here / "run" / "temperatures.csv").read_text().splitlines()
    assert len(lines) == 3 and lines[2].startswith("hasty,")
    assert load_file(here / "run" / "arrays.safetensors")["temperatures"][0] == 0.5
    assert found["temperatures_test"]["degrees"] == 1
    linear, cloned, random = (row["per_decision"] for row in found["scores"]["rows"])
    assert linear > max(cloned, random)
    words = (here / "run" / "report.html").read_text()
    for part in ("<h2>Temperatures</h2>", "The temperatures differ", "the temperature of calm is given"):
        assert part in words
    manifest = json.loads((here / "run" / "manifest.json").read_text())
    assert manifest["settings"]["temperatures"] == "free" and "--temperatures free" in manifest["command"]
    pages.rewrite(here / "run")
    assert (here / "run" / "report.html").read_text() == words


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ((), "weights and temperature are only known together"),
        (("--l2", "1"), "--l2 is not for --temperatures free"),
        (("--loss", "moments"), "--loss moments is not for --temperatures free"),
        (("--test", "0.2", "--by", "group"), "--by group is not for --temperatures free"),
        (("--close-arc", "0,right"), "--close-arc predicts flows at one temperature"),
    ],
)
def test_what_has_no_meaning_beside_free_temperatures_is_refused(here, capsys, more, sentence):
    assert cli.main(["irl", "mce", *PATHS, "--temperatures", "free", *more]) == cli.BAD_INPUT
    assert sentence in capsys.readouterr().err and not (here / "run").exists()


def test_without_a_map_the_decisions_that_change_most_are_drawn(here):
    with np.load(here / "problem.npz") as held:
        kept = {name: held[name] for name in held if name != "coordinates"}
    np.savez(here / "problem.npz", **kept)
    assert cli.main(["irl", "mce", *PATHS, "--close-arc", "0,right"]) == cli.DONE
    assert "<figcaption>Expected decisions per journey that change" in (here / "run/report.html").read_text()
    assert not (here / "run/pictures/counterfactual.svg").exists()


@pytest.mark.parametrize("option", [("--links", "links.csv"), ("--goal", "optional")])
def test_what_only_roads_have_is_refused_elsewhere(here, capsys, option):
    assert cli.main(["irl", "mce", *PATHS, *option]) == cli.BAD_INPUT
    said = capsys.readouterr().err
    assert f"{option[0]} is for road networks" in said and not (here / "run").exists()


def test_features_of_a_time_limit_are_planned_for(here):
    assert cli.main(["irl", "mce", *FILES, "--horizon", "60"]) == cli.DONE
    assert "over 60 steps" in (here / "run" / "report.html").read_text()
