"""Whatever is wrong with the files of an inverse problem is one sentence, status 2, and nothing is written; what is
only odd about them is a warning on the page."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from maxentrl.app import cli

PROBLEM = """state,action,next_state,probability,reward
home,walk,park,1,0
home,ride,road,1,0
park,on,work,1,0
park,back,home,1,0
road,on,work,0.8,0
road,on,road,0.2,0
"""
TRIPS = """trajectory,group,state,action,next_state
a,x,home,walk,park
a,x,park,on,work
b,x,home,ride,road
b,x,road,on,work
c,y,home,walk,park
c,y,park,back,home
c,y,home,walk,park
c,y,park,on,work
d,y,home,ride,road
d,y,road,on,road
d,y,road,on,work
e,z,home,walk,park
e,z,park,on,work
"""
FEATURES = "state,action,effort\nhome,walk,2\nhome,ride,1\npark,on,1\npark,back,1\nroad,on,1\n"
FILES = ("--problem", "problem.csv", "--demos", "trips.csv", "--features", "features.csv", "--out", "run")
MCE = ("irl", "mce", *FILES, "--discount", "0.9")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, words in (("problem", PROBLEM), ("trips", TRIPS), ("features", FEATURES)):
        (tmp_path / f"{name}.csv").write_text(words)
    return tmp_path


def refused(here, capsys, *words):
    """The sentence of a command that must be refused without leaving anything behind."""
    before = sorted(here.rglob("*"))
    assert cli.main(words) == cli.BAD_INPUT
    said = capsys.readouterr()
    assert sorted(here.rglob("*")) == before and not said.out and "Traceback" not in said.err
    last = said.err.strip().splitlines()[-1]
    assert last.startswith("maxentrl: ")
    return last


def warned(here, *words):
    assert cli.main(words) == cli.DONE
    found = json.loads((here / "run/manifest.json").read_text())["warnings"]
    page = (here / "run/report.html").read_text()
    assert page.count('class="warning"') == len(found)
    return " ".join(found)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("", "trips.csv holds no row of demonstrations"),
        (
            "a,x,home,walk,park\na,x,pub,on,work",
            "trips.csv, row 3: unknown state 'pub'; known are home, park, road",
        ),
        ("a,x,home,fly,park", "trips.csv, row 2: unknown action 'fly'; known are walk, ride, on, back"),
        ("a,x,home,walk,moon", "trips.csv, row 2: unknown next state 'moon'; known are"),
        (
            "a,x,home,walk,road",
            "1 of 1 demonstrated steps cannot be used.*probability zero.*'a', step 0 .trips.csv, row 2.: state",
        ),
        ("a,x,home,back,home", "the problem forbids this action in this state.*state home, action back"),
        ("a,x,work,on,work", "a terminal state ends the process"),
        ("a,x,home,walk", "trips.csv, row 2: 5 fields are expected; got 4"),
        ("a,x,home,,", "holds no action"),
    ],
)
def test_demonstrations_that_cannot_be_used(here, capsys, rows, sentence):
    (here / "trips.csv").write_text("trajectory,group,state,action,next_state\n" + rows + "\n")
    assert re.search(sentence, refused(here, capsys, *MCE))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "state,action,effort\nhome,walk,nan\nhome,ride,1\npark,on,1\npark,back,1\nroad,on,1\n",
            "effort of state home",
        ),
        ("state,action,effort\nhome,walk,2\n", "no row for state home, action ride"),
        (
            "state,action,effort\npub,walk,2\n",
            "line 2: the problem has no state 'pub'; known are home, park, road",
        ),
        (
            "state,action,effort\nhome,fly,2\n",
            "line 2: the problem has no action 'fly'; known are walk, ride, on",
        ),
        ("state,action,effort\nhome,walk,much\n", "line 2: features must be numbers; got much"),
        ("effort\n1\n", "must begin with a header"),
    ],
)
def test_features_that_cannot_be_used(here, capsys, words, sentence):
    (here / "features.csv").write_text(words)
    assert re.search(sentence, refused(here, capsys, *MCE))


def test_features_of_the_wrong_length(here, capsys):
    np.savez(here / "features.npz", features=np.zeros((3, 2)))
    words = [*MCE, "--features", "features.npz"]
    assert re.search(
        r"must be numbers \[S, F\] or \[S, A, F\] with S = 4 and A = 4; got float64 \(3, 2\)",
        refused(here, capsys, *words),
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--temperature", "0"), r"temperature must lie in \(0, inf\)"),
        (("--discount", "2"), r"discount must be one number in \[0, 1\]"),
        (("--l2", "-1"), "l2 must be a number of at least 0"),
        (("--start", "1,2"), r"start must be .*\[K\]|start"),
        (("--start", "one"), 'start must be numbers with commas between them, such as "-2.5,-1"'),
        (("--test", "1.5"), r"share of test demonstrations must lie in \(0, 1\); got 1.5"),
        (("--test", "gone.csv"), "no file of demonstrations at gone.csv"),
        (("--split", "gone.csv"), "no file of labels at gone.csv"),
        (("--test", "0.2", "--split", "split.csv"), "give --test or --split, not both"),
        (("--split", "split.csv"), "trajectory 'b' has no label"),
        (("--split", "odd.csv"), "must call each trajectory train, validation or test.*'red'"),
        (("--offset", "features.csv", "--features", "gone.csv"), "features file gone.csv does not exist"),
        (("--offset", "two.csv"), "the offset two.csv must hold one column of numbers; it has p, q"),
        (("--close-arc", "home"), "--close-arc must be STATE,ACTION"),
        (("--close-arc", "pub,on"), "state must be a name such as home, park, road.*'pub'"),
        (("--close-arc", "park,fly"), "action must be a name.*'fly'"),
        (("--close-arc", "road,on"), "cannot be closed: it is the only action there"),
        (("--move-goal", "work,pub"), "the problem has no state 'pub'; known are home, park, road, work"),
        (("--move-goal", "home,park"), "origin must be a goal|cannot be moved"),
        (
            ("--move-goal", "work,park"),
            "the goal work cannot be moved: nothing says what could be done in it",
        ),
        (("--demos", "some/where"), "neither a .csv, .csv.gz or .npz file, nor a Minari data set"),
        (("--demos", "maze/expert-v0"), "Minari data set"),
    ],
)
def test_options_that_make_no_sense(here, capsys, words, sentence):
    (here / "split.csv").write_text("trajectory,split\na,train\n")
    (here / "odd.csv").write_text("trajectory,split\na,red\nb,train\nc,train\nd,train\ne,train\n")
    (here / "two.csv").write_text("state,p,q\nhome,1,2\npark,1,2\nroad,1,2\n")
    assert re.search(sentence, refused(here, capsys, *MCE, *words))


def test_features_must_be_given(here, capsys):
    words = ("irl", "mce", *FILES[:4], "--out", "run", "--discount", "0.9")
    assert "give --features: a table of what the reward may depend on" in refused(here, capsys, *words)


def test_groups_must_be_there_to_split_by_them(here, capsys):
    (here / "trips.csv").write_text("trajectory,state,action\na,home,walk\na,park,on\nb,home,ride\n")
    assert "no groups to split by" in refused(here, capsys, *MCE, "--test", "0.5", "--by", "group")


def test_changes_under_posterior_dynamics_in_a_world_of_chance_have_no_one_meaning(here, capsys):
    words = ("irl", "maxent", *FILES, "--discount", "0.9", "--close-arc", "home,ride")
    assert "recover the reward with irl mce" in refused(here, capsys, *words)


def test_roads_take_no_options_of_tables(here, capsys):
    (here / "problem.csv").write_text("from,to,length\n1,2,1\n2,3,1\n")
    assert "--discount is not for road networks" in refused(here, capsys, *MCE)


def test_demonstrations_put_aside_that_cannot_be_used_are_refused_before_the_fit(here, capsys):
    (here / "more.csv").write_text("trajectory,state,action,next_state\nx,home,walk,park\nx,park,on,home\n")
    said = refused(here, capsys, *MCE, "--test", "more.csv")
    assert "among the demonstrations for test, 1 of 2 demonstrated steps cannot be used" in said
    assert "trajectory 'x', step 1 (more.csv, row 3): state park, action on, next state home" in said


def test_a_seed_is_named_where_something_was_drawn_at_random_and_only_there(here):
    (here / "more.csv").write_text("trajectory,state,action,next_state\nx,home,walk,park\n")
    for words, seeds in ((("--test", "more.csv"), {}), (("--test", "0.2"), {"demonstrations put aside": 0})):
        assert cli.main([*MCE, *words]) == cli.DONE
        assert json.loads((here / "run/manifest.json").read_text())["seeds"] == seeds
        assert ("seed of the" in (here / "run/report.html").read_text()) == bool(seeds)


def test_demonstrations_of_one_step_are_enough(here):
    (here / "trips.csv").write_text(
        "trajectory,state,action\n1,home,walk\n2,home,ride\n3,home,walk\n4,park,on\n5,park,back\n"
    )
    assert cli.main(MCE) == cli.DONE


def test_a_group_is_never_torn_apart(here):
    assert cli.main([*MCE, "--test", "0.34", "--by", "group"]) == cli.DONE
    answer = json.loads((here / "run/manifest.json").read_text())["answer"]
    test = next(part for part in answer["demonstrations"] if part["part"] == "test")
    assert "by 1 group " in test["sentences"][0]


def test_journeys_that_reach_no_goal_are_a_warning(here):
    (here / "trips.csv").write_text(
        "trajectory,state,action,next_state\na,home,walk,park\na,park,back,home\nb,home,ride,road\nc,home,walk,park\n"
    )
    words = ("irl", "mce", *FILES, "--discount", "1", "--start=-1", "--l2", "1")
    assert "None of the 3 demonstrations reaches a terminal state" in warned(here, *words)
    (here / "trips.csv").write_text(TRIPS + "f,z,home,walk,park\n")
    assert "1 of 6 demonstrations end before a terminal state is reached (the first: 'f')" in warned(
        here, *words
    )


def test_constant_and_collinear_columns_are_named(here):
    lines = [line.split(",") for line in FEATURES.splitlines()[1:]]
    rows = [f"{s},{a},{f},{3 * float(f)},0" for s, a, f in lines]
    (here / "features.csv").write_text("\n".join(["state,action,effort,triple,nothing", *rows]) + "\n")
    said = warned(here, *MCE).lower()
    assert "the weight of nothing is not identified" in said and "effort" in said and "collinear" in said


def test_trajectories_that_were_entered_twice_are_a_warning(here):
    # Being stuck on the road six times in a row has a chance of 0.2^6; four of ten are.
    stuck = "{0},z,home,ride,road\n" + "{0},z,road,on,road\n" * 6 + "{0},z,road,on,work\n"
    (here / "trips.csv").write_text(TRIPS + "".join(stuck.format(name) for name in "fghi"))
    assert "copies of others" in warned(here, *MCE)


def test_a_search_that_does_not_converge_is_kept_and_ends_with_status_three(here, capsys, monkeypatch):
    from maxentrl.irl import mce

    exact = mce.fit
    monkeypatch.setattr(mce, "fit", lambda *a, **k: exact(*a, **k, max_steps=1))
    assert cli.main(MCE) == cli.NOT_CONVERGED
    assert "not converged" in capsys.readouterr().err
    assert "1 Newton step was taken" in (here / "run/report.html").read_text()


def test_weights_without_a_finite_solution_are_left_for_others_or_named(here, capsys):
    # Going round by the park pays for itself at this start; at 0 it does not, and the search stays where it must.
    words = ("irl", "mce", *FILES, "--discount", "1")
    said = refused(here, capsys, *words, "--start", "5")
    assert "at the starting weights" in said and "Give other starting weights" in said
    assert cli.main(words) == cli.DONE
