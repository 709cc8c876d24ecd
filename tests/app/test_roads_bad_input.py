"""Whatever is wrong with the files of a road network is one sentence, status 2, and nothing is written; what is only odd
about them is a warning on the page."""

from __future__ import annotations

import json
import re

import pytest

from app.test_irl_bad_input import refused, warned
from maxentrl.app import cli

WAYS = (
    ("home", "park"),
    ("home", "road"),
    ("park", "work"),
    ("road", "work"),
    ("park", "road"),
    ("road", "park"),
)
MINUTES, NOISE = (3, 1, 1, 4, 2, 1), (0, 1, 0, 1, 0, 0)
NETWORK = "from,to,minutes,noise\n" + "".join(
    f"{a},{b},{m},{n}\n" for (a, b), m, n in zip(WAYS, MINUTES, NOISE, strict=True)
)
TRIPS = "trip,links\n" + "".join(
    f"{i},home {way} work\n"
    for i, way in enumerate(["park", "road", "road park", "park", "park road", "road"])
)
MCE = ("irl", "mce", "--problem", "network.csv", "--demos", "trips.csv", "--out", "run")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "network.csv").write_text(NETWORK)
    (tmp_path / "trips.csv").write_text(TRIPS)
    return tmp_path


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("", "trips.csv holds no row of trips"),
        ("1,home", "a trip needs at least two links, its origin and its goal; trip '1' has fewer"),
        ("1,home park\n2,home pub", "trips.csv, row 3: unknown link 'pub'; known are home, park, road, work"),
        (
            "1,home park\n2,home work\n3,park home",
            r"trip '2' goes at step 0 from link home to work \(trips.csv, row 3\), and no such arc is there \(2 such "
            r"steps, in 2 trips\)",
        ),
        (
            "1,home park road park\n2,home park",
            "trip '1' passes its goal, link park, at step 1 .trips.csv, row 2. and goes on .*--goal optional",
        ),
        ("1,home park\n1,home road", "ids must differ from each other; '1' occurs more than once"),
        ("1", "trips.csv, row 2: 2 fields are expected; got 1"),
    ],
)
def test_trips_that_cannot_be_used(here, capsys, rows, sentence):
    (here / "trips.csv").write_text("trip,links\n" + rows + "\n")
    assert re.search(sentence, refused(here, capsys, *MCE))


def test_trips_put_aside_that_cannot_be_used_are_refused_before_the_fit(here, capsys):
    (here / "test.csv").write_text("trip,links\n1,home work\n")
    said = refused(here, capsys, *MCE, "--test", "test.csv")
    assert (
        "among the trips for test, trip '1' goes at step 0 from link home to work (test.csv, row 2)" in said
    )


def test_a_seed_is_named_where_something_was_drawn_at_random_and_only_there(here):
    (here / "test.csv").write_text("trip,links\n1,home park work\n")
    for words, seeds in ((("--test", "test.csv"), {}), (("--test", "0.2"), {"split": 0})):
        assert cli.main([*MCE, "--l2", "0.1", *words]) == cli.DONE
        assert json.loads((here / "run/manifest.json").read_text())["seeds"] == seeds
        assert ("seed of the split" in (here / "run/report.html").read_text()) == bool(seeds)


def test_features_named_twice_are_refused(here, capsys):
    said = refused(here, capsys, *MCE, "--features", "minutes,noise,minutes")
    assert "features must differ from each other; 'minutes' is asked for 2 times" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            NETWORK.replace("home,park,3", "home,park,nan"),
            "network.csv, row 2: minutes must be a number; got 'nan'",
        ),
        (
            NETWORK.replace("home,park,3", "home,park,far"),
            "network.csv, row 2: minutes must be a number; got 'far'",
        ),
        (NETWORK.replace("home,park,3,0", "home,park,3"), "network.csv, row 2: 4 fields are expected; got 3"),
        (NETWORK + "home,park,1,1\n", "the arc from home to park occurs more than once"),
        ("from,to\nhome,park\npark,work\n", "feature"),
    ],
)
def test_networks_that_cannot_be_used(here, capsys, words, sentence):
    (here / "network.csv").write_text(words)
    assert re.search(sentence, refused(here, capsys, *MCE))


def test_features_of_the_wrong_length(here, capsys):
    (here / "more.csv").write_text("\n".join(NETWORK.splitlines()[:4]) + "\n")
    said = refused(here, capsys, *MCE, "--features", "more.csv")
    assert "more.csv: the arc from road to work must occur once; it occurs 0 times" in said


def test_weights_without_a_finite_solution_are_refused_with_the_loop(here, capsys):
    said = refused(here, capsys, *MCE, "--features", "noise")
    assert "a loop pays for itself" in said and "park -> road -> park" in said and "Traceback" not in said


def test_a_search_that_begins_where_loops_pay_survives_and_the_page_says_so(here):
    assert cli.main([*MCE, "--start", "5,5", "--l2", "0.1"]) == cli.DONE
    assert "It moved to weights that have a solution" in (here / "run/report.html").read_text()


def test_constant_and_collinear_columns_are_named(here):
    head, *rows = NETWORK.splitlines()
    rows = [f"{row},0,{2 * float(row.split(',')[2])}" for row in rows]
    (here / "network.csv").write_text("\n".join([f"{head},nothing,double", *rows]) + "\n")
    said = warned(here, *MCE, "--l2", "0.1")
    assert "the weight of nothing is not identified: it is zero" in said.lower()
    assert "minutes" in said and "double" in said and "collinear" in said


def test_trips_of_one_step_tell_nothing_where_there_is_one_way_and_the_page_says_so(here):
    (here / "trips.csv").write_text("trip,links\n1,park work\n2,park work\n3,road work\n")
    assert cli.main([*MCE, "--goal", "forced", "--l2", "0.1"]) == cli.DONE


def test_trips_that_were_entered_twice_are_a_warning(here):
    usual = "".join(f"{i},home {'park' if i % 2 else 'road'} work\n" for i in range(40))
    odd = "home " + "park road " * 4 + "work"
    (here / "trips.csv").write_text("trip,links\n" + usual + "".join(f"{name},{odd}\n" for name in "abc"))
    assert "trips are copies of others, link by link" in warned(here, *MCE)


def test_a_search_that_does_not_converge_is_kept_and_ends_with_status_three(here, capsys, monkeypatch):
    from maxentrl.irl import routes

    exact = routes.fit
    monkeypatch.setattr(routes, "fit", lambda *a, **k: exact(*a, **k, max_steps=1))
    assert cli.main([*MCE, "--l2", "0.1"]) == cli.NOT_CONVERGED
    assert "not converged" in capsys.readouterr().err
    assert "1 Newton step was taken" in (here / "run/report.html").read_text()


def test_an_interrupted_training_keeps_its_best_network(here, monkeypatch):
    from maxentrl.app import routes

    def stop(say, now, steps):
        if now.step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(routes, "_tell", stop)
    words = ("irl", "deep-maxent", *MCE[2:], "--hidden", "4", "--validation", "0", "--l2", "0.1")
    assert cli.main(words) == cli.INTERRUPTED
    answer = json.loads((here / "run/manifest.json").read_text())["answer"]
    assert "interrupted after" in answer["verdict"] and (here / "run/network").is_dir()
