"""A temperature for each group of drivers, from files: in the folder, on the page and on the screen; and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from app.test_irl_bad_input import refused
from infer.networks import city, walk
from maxentrl.app import cli, pages
from maxentrl.data.trips import read_trips
from maxentrl.irl import temperatures
from maxentrl.irl.route_evidence import expected_flows, trip_log_likelihood
from maxentrl.models.network import read_network

HEAT = {"calm": 0.5, "hasty": 1.5}
NETWORK = city(1)
FEATURES = np.column_stack([np.random.default_rng(1).uniform(0, 2, (NETWORK.arcs, 2)), np.ones(NETWORK.arcs)])
TRUE = np.array([-0.6, 0.4, -2.0])
MCE = ("irl", "mce", "--problem", "network.csv", "--demos", "trips.csv", "--out", "run")
FREE = (*MCE, "--temperatures", "free", "--temperature", "0.5")


def trips() -> list[list[str]]:
    """Rows of 150 trips of each of two groups, who want the same and choose at different temperatures."""
    rng, rows = np.random.default_rng(3), []
    for name, heat in HEAT.items():
        while len(rows) < 150 * (1 + list(HEAT).index(name)):
            o, g = int(rng.integers(12)), int(rng.integers(15))
            if o == g:
                continue
            found = walk(NETWORK, FEATURES @ TRUE / heat, o, g, "forced", rng)
            rows.append([str(len(rows)), " ".join(map(str, found)), name])
    return rows


ROWS = trips()


def write(path: str, header: list[str], rows) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ends = zip(NETWORK.arc_from, NETWORK.arc_to, FEATURES, strict=True)
    write("network.csv", ["from", "to", "minutes", "trees", "const"], [[a, b, *row] for a, b, row in ends])
    write("trips.csv", ["trip", "links", "group"], ROWS)
    return tmp_path


def test_temperatures_of_drivers_are_those_of_the_library_and_foretell_trips_put_aside(here, capsys):
    assert cli.main([*FREE, "--test", "0.25"]) == cli.DONE
    assert "The temperatures differ: against one common temperature" in capsys.readouterr().out
    manifest = json.loads(Path("run/manifest.json").read_text())
    answer, arrays = manifest["answer"], load_file("run/arrays.safetensors")
    calm, hasty = answer["temperatures"]
    assert (calm["group"], calm["temperature"], calm["fixed"]) == ("calm", 0.5, True)
    # The truth lies within four standard errors of the logarithm; the trips are fixed.
    assert abs(np.log(hasty["temperature"] / 1.5)) < 4 * hasty["standard_error"] / hasty["temperature"] < 2
    network = read_network("network.csv")
    everyone = read_trips("trips.csv", network)
    with open("run/trips.csv", newline="") as file:
        table = list(csv.DictReader(file))
    aside = [int(row["trip"]) for row in table]
    fitted = everyone.take(np.setdiff1d(np.arange(everyone.count), aside))
    direct = temperatures.fit_routes(network, FEATURES, fitted, temperature=0.5)
    np.testing.assert_allclose(arrays["temperatures"], direct.temperatures, rtol=1e-12)
    np.testing.assert_allclose(arrays["weights"], direct.weights.weights, rtol=1e-12)
    assert answer["temperatures_test"]["degrees"] == 1
    assert answer["aic"] == pytest.approx(2 * 4 - 2 * direct.weights.log_likelihood, rel=1e-12)
    estimate = json.loads(Path("run/estimate.json").read_text())
    assert [row["group"] for row in estimate["temperatures"]] == ["calm", "hasty"]
    # Each trip put aside is foretold, and sent on its way, at the temperature of its driver.
    total = np.zeros(network.arcs)
    for row, i in zip(table, aside, strict=True):
        one = everyone.take([i])
        assert one.groups is not None
        reward, heat = arrays["reward"], direct.named[one.groups[0]]
        single = trip_log_likelihood(network, reward, one, temperature=heat)
        np.testing.assert_allclose(float(row["log_likelihood linear reward"]), single[0], rtol=1e-9)
        total += expected_flows(network, reward, one.origins, one.goals, temperature=heat).arcs
    np.testing.assert_allclose(arrays["predicted"], total, rtol=1e-9, atol=1e-9)
    page = Path("run/report.html").read_text()
    for words in ("<h2>Temperatures</h2>", "The temperatures differ", "0.5 units of reward for calm"):
        assert words in page
    assert page.count("<img") == 4 and Path("run/pictures/temperatures.svg").is_file()
    assert "--temperatures free" in manifest["command"] and pages.page(Path("run")) == page


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--l2", "1"), "--l2 is not for --temperatures free"),
        (("--loss", "moments"), "--loss moments is not for road networks"),
        (("--test", "0.2", "--by", "group"), "--by group is not for --temperatures free"),
        (("--close-arc", "0,1"), "--close-arc predicts flows at one temperature"),
        (("--test", "more.csv"), "the group 'new', of which there were none to fit"),
    ],
)
def test_what_has_no_meaning_beside_free_temperatures_of_drivers_is_refused(here, capsys, more, sentence):
    write("more.csv", ["trip", "links", "group"], [[*ROWS[0][:2], "new"]])
    assert sentence in refused(here, capsys, *FREE, *more)


@pytest.mark.parametrize("column", [None, "calm"])
def test_drivers_of_one_group_tell_no_temperature(here, capsys, column):
    header, rows = ["trip", "links", "group"], [[*row[:2], column] for row in ROWS]
    width = 2 if column is None else 3
    write("trips.csv", header[:width], [row[:width] for row in rows])
    said = refused(here, capsys, *FREE)
    assert "the trips to fit are of one group" in said and "named in the column group" in said


def test_a_search_for_temperatures_that_is_cut_short_is_kept_and_says_so(here, capsys, monkeypatch):
    exact = temperatures.fit_routes
    monkeypatch.setattr("maxentrl.app.routes.fit_routes", lambda *a, **k: exact(*a, **k, max_steps=1))
    assert cli.main(FREE) == cli.NOT_CONVERGED
    assert "not converged" in capsys.readouterr().err and Path("run/temperatures.csv").is_file()
