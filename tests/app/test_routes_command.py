"""Rewards of roads from files: what comes out, what is predicted of a changed network, and what is refused."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from irl.towns import TRUE, town
from maxentrl import InfeasibleError, InputError
from maxentrl.app import pages, routes
from maxentrl.data.trips import read_trips
from maxentrl.irl import route_evidence
from maxentrl.irl.deep_estimate import load
from maxentrl.models.network import read_arc_features, read_network

NETWORK, FEATURES, TRIPS = town(1, "forced", count=240)


def write(path: Path, header: list[str], rows) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_network(path: Path, network, features, names) -> None:
    ends = zip(network.arc_from, network.arc_to, features, strict=True)
    write(path, ["from", "to", *names], [[a, b, *row] for a, b, row in ends])


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a network of 15 links, places for them, and trips of drivers with known weights."""
    monkeypatch.chdir(tmp_path)
    write_network(Path("network.csv"), NETWORK, FEATURES, ["minutes", "trees", "const"])
    rng = np.random.default_rng(0)
    write(
        Path("links.csv"),
        ["link", "x", "y"],
        [[i, *xy] for i, xy in enumerate(rng.uniform(size=(NETWORK.links, 2)))],
    )
    rows = [[i, " ".join(map(str, TRIPS.sequence(i))), i % 7] for i in range(TRIPS.count)]
    write(Path("trips.csv"), ["trip", "links", "group"], rows)
    return tmp_path


def answer(folder="run"):
    return json.loads(Path(folder, "manifest.json").read_text())


def test_the_true_weights_are_found_and_trips_put_aside_are_foretold(here):
    done = routes.irl_mce("network.csv", "trips.csv", out="run", test="0.25", links="links.csv")
    assert done.converged and "turn frequencies" in done.summary()
    manifest = answer()
    for row, true in zip(manifest["answer"]["weights"], TRUE, strict=True):
        # Five standard errors; the trips are fixed.
        assert abs(row["weight"] - true) < 5 * row["standard_error"] < 3
    assert set(manifest["inputs"]) == {"network", "links", "trips"}
    facts = manifest["problem"]["trips"]
    aside = round(0.25 * TRIPS.count)
    assert (facts["train"]["trips"], facts["test"]["trips"]) == (TRIPS.count - aside, aside)
    scores = manifest["answer"]["scores"]
    by_name = {row["name"]: row for row in scores["rows"]}
    assert scores["on"] == "test"
    assert by_name["linear reward"]["per_trip"] > by_name["turn frequencies"]["per_trip"]
    # The scores are those of the library, on the trips that the table lists.
    rows = read(Path("run/trips.csv"))
    network = read_network("network.csv", "links.csv")
    held = read_trips("trips.csv", network).take([int(row["trip"]) for row in rows])
    single = route_evidence.trip_log_likelihood(network, load_file("run/arrays.safetensors")["reward"], held)
    np.testing.assert_allclose(
        [float(row["log_likelihood linear reward"]) for row in rows], single, rtol=1e-12
    )
    assert by_name["linear reward"]["log_likelihood"] == pytest.approx(single.sum(), rel=1e-12)
    # Flows of the trips put aside: as many arrive as set out.
    arcs = read(Path("run/arcs.csv"))
    goals = set(held.goals.tolist())
    for what in ("observed", "predicted"):
        total = sum(float(row[what]) for row in arcs if int(row["to"]) in goals)
        assert total >= held.count - 1e-9
    page = Path("run/report.html").read_text()
    assert f"The reward behind {TRIPS.count - aside} trips in network.csv" in page and page.count("<img") == 4
    assert "http" not in page.replace("http://www.w3.org", "")
    assert pages.page(Path("run")) == page


def test_the_same_command_writes_the_same_bytes(here):
    for out in ("first", "second"):
        routes.irl_mce(
            "network.csv", "trips.csv", "minutes,const", out=out, close_arc=["0,1"], links="links.csv"
        )
    names = {p.relative_to("first") for p in Path("first").rglob("*") if p.is_file()}
    assert {Path("lost.csv"), Path("changes.csv"), Path("pictures/changes.svg")} <= names
    for name in names - {Path("timing.json")}:
        assert Path("first", name).read_bytes() == Path("second", name).read_bytes(), name
    words = answer("first")["command"]
    assert "--features minutes,const" in words and "--close-arc 0,1" in words


def test_features_may_stand_in_another_file_and_be_named(here):
    write_network(Path("more.csv"), NETWORK, FEATURES[:, :2] * 10, ["a", "b"])
    both = routes.irl_mce("network.csv", "trips.csv", "more.csv", out="both").estimate
    one = routes.irl_mce("network.csv", "trips.csv", "more.csv:b", out="one").estimate
    assert both.names == ("a", "b") and one.names == ("b",)
    assert set(answer("one")["inputs"]) == {"network", "features", "trips"}
    with pytest.raises(InputError, match=r"no file of features of arcs at gone\.csv"):
        routes.irl_mce("network.csv", "trips.csv", "gone.csv", out="run")
    with pytest.raises(InputError, match="colour is missing among from, to, minutes"):
        routes.irl_mce("network.csv", "trips.csv", "minutes,colour", out="run")


def test_labels_say_which_trips_are_fitted(here):
    labels = [[i, ("train", "test", "validation")[i % 3]] for i in range(TRIPS.count)]
    write(Path("split.csv"), ["trip", "split"], labels)
    routes.irl_mce("network.csv", "trips.csv", out="run", split="split.csv")
    parts = answer()["problem"]["trips"]
    assert {name: part["trips"] for name, part in parts.items()} == {
        "train": len(range(0, TRIPS.count, 3)),
        "test": len(range(1, TRIPS.count, 3)),
        "validation": len(range(2, TRIPS.count, 3)),
    }
    assert [row["trip"] for row in read(Path("run/trips.csv"))] == [str(i) for i in range(1, TRIPS.count, 3)]
    with pytest.raises(InputError, match="got both"):
        routes.irl_mce("network.csv", "trips.csv", out="run", split="split.csv", test=0.5)
    write(Path("split.csv"), ["trip", "split"], [[i, "spare"] for i in range(TRIPS.count)])
    with pytest.raises(InputError, match=r"must label trips train, test or validation.*'spare'"):
        routes.irl_mce("network.csv", "trips.csv", out="run", split="split.csv")


def test_groups_are_put_aside_whole_and_cluster_the_errors(here):
    routes.irl_mce("network.csv", "trips.csv", out="run", test=0.3, by="group")
    manifest = answer()
    groups = {int(row["trip"]) % 7 for row in read(Path("run/trips.csv"))}
    assert len(groups) == 2 == manifest["problem"]["trips"]["test"]["groups"]
    assert manifest["problem"]["trips"]["train"]["groups"] == 5
    assert manifest["answer"]["default_standard_errors"] == "sandwich"


CROSSING = """from,to,minutes
start,left,1
start,right,1.5
left,end,1
right,end,1
other,right,1
left,other,1
end,start,1
"""


@pytest.fixture
def crossing(tmp_path, monkeypatch):
    """Two ways to an end; from `other` there is one way only."""
    monkeypatch.chdir(tmp_path)
    Path("network.csv").write_text(CROSSING)
    trips = ["start left end"] * 8 + ["start right end"] * 4 + ["other right end"] * 3
    write(Path("trips.csv"), ["links"], [[trip] for trip in trips])
    return tmp_path


def flows(name: str, column: str) -> dict[tuple[str, str], float]:
    return {(row["from"], row["to"]): float(row[column]) for row in read(Path("run", name))}


def test_a_closed_arc_sends_trips_elsewhere_and_those_that_cannot_arrive_are_named(crossing):
    done = routes.irl_mce("network.csv", "trips.csv", out="run", close_arc=["right,end"])
    changed = done.answer["what_if"]
    # `other` leads to `right` only, which leads to `end` only.
    assert changed["lost"] == [{"origin": "other", "goal": "end", "trips": 3.0}]
    assert (changed["trips_lost"], changed["trips"]) == (3.0, 15.0)
    after, before = flows("changes.csv", "after"), flows("changes.csv", "before")
    assert after["right", "end"] == 0 and after["left", "end"] == pytest.approx(12)
    assert before["right", "end"] + before["left", "end"] == pytest.approx(15)
    assert changed["trips_through"] == pytest.approx(before["right", "end"])
    # A driver who had two ways and now has one loses log(1 + exp(-difference)) of the way that is left.
    (weight,) = done.estimate.weights
    ways = np.exp(weight * np.array([2.0, 2.5, 4.0]))
    assert changed["loss_per_trip"] == pytest.approx(np.log(ways.sum() / ways[0]), rel=1e-9)
    assert any("3 of 15 trips can no longer arrive: from other to end (3)" in w for w in answer()["warnings"])
    page = Path("run/report.html").read_text()
    assert "What if the arc from right to end is closed?" in page
    # Without places there is no map, and yet a picture of the arcs that change most.
    assert (
        "Expected trips on the arcs that change most" in page
        and not Path("run/pictures/changes.svg").exists()
    )
    assert Path("run/pictures/shifts.svg").is_file()


def test_a_moved_goal_takes_its_trips_along(crossing):
    done = routes.irl_mce("network.csv", "trips.csv", out="run", move_goal=["end,left"])
    after = flows("changes.csv", "after")
    # Twelve go straight from start to left; three come from other by right, end and start.
    assert after["start", "left"] == pytest.approx(15) and after["end", "start"] >= 3
    assert done.answer["what_if"]["trips_moved"] == 15 and not done.answer["what_if"]["lost"]


def test_a_goal_may_move_to_where_a_trip_begins(crossing):
    done = routes.irl_mce("network.csv", "trips.csv", out="run", move_goal=["end,start"])
    # Twelve are there already and go nowhere.
    assert flows("changes.csv", "after")["end", "start"] == pytest.approx(3)
    assert done.answer["what_if"]["trips_lost"] == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"close_arc": ["start"]}, "an arc to close is written as two links .* got 'start'"),
        ({"close_arc": ["start,end"]}, "no arc leads from link start to end.*after it come left, right"),
        ({"close_arc": ["start,gone"]}, "unknown link 'gone'"),
        ({"move_goal": ["left,end"]}, "no trip has the goal left.*goals are end"),
        ({"move_goal": ["end,left", "end,right"]}, "goal end can move to one other link"),
        ({"test": 1.5}, r"share of test demonstrations must lie in \(0, 1\)"),
        ({"test": "gone.csv"}, r"no file of trips at gone\.csv"),
        ({"by": "group", "test": 0.5}, "no groups to split by"),
        ({"start": [1.0, 2.0]}, r"start must have shape \[K\] = \(1\); got \(2,\)"),
        ({"temperature": 0.0}, r"temperature must lie in \(0, inf\)"),
        ({"links": "gone.csv"}, r"no file of links at gone\.csv"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_leaves_nothing(crossing, options, sentence):
    before = sorted(crossing.rglob("*"))
    with pytest.raises(InputError, match=sentence):
        routes.irl_mce("network.csv", "trips.csv", out="run", **options)
    assert sorted(crossing.rglob("*")) == before


def test_the_report_tells_why_the_beginning_was_infeasible(crossing):
    done = routes.irl_mce("network.csv", "trips.csv", out="run", start=[1.0])
    assert done.converged and "a loop pays for itself" in done.answer["beginning"]["infeasible"]
    page = Path("run/report.html").read_text()
    assert "a loop pays for itself" in page and "It moved to weights that have a solution" in page


def test_features_that_let_a_loop_be_free_are_refused_with_the_loop(crossing):
    Path("network.csv").write_text(
        CROSSING.replace("start,right,1.5", "start,right,1").replace(",1\n", ",0\n")
    )
    with pytest.raises(InfeasibleError, match=r"a loop pays for itself.*links start -> .* earn 0 per step"):
        routes.irl_mce("network.csv", "trips.csv", out="run")


def test_a_search_that_is_cut_short_keeps_its_results_and_says_so(here, monkeypatch):
    fit = routes.routes.fit
    monkeypatch.setattr(routes.routes, "fit", lambda *args, **more: fit(*args, **more, max_steps=1))
    done = routes.irl_mce("network.csv", "trips.csv", out="run")
    assert not done.converged and not done.answer["converged"]
    assert Path("run/report.html").is_file()


def test_a_network_is_trained_from_the_linear_reward_and_kept(here):
    done = routes.irl_deep(
        "network.csv",
        "trips.csv",
        out="run",
        test=0.2,
        validation=0.2,
        hidden=(4,),
        steps=30,
        links="links.csv",
    )
    names = [row["name"] for row in done.answer["scores"]["rows"]]
    assert names == ["deep reward", "linear reward", "turn frequencies", "uniform choice"]
    (member,) = done.estimate.members
    assert member.validation[member.best_step] >= member.validation[0]
    arrays = load_file("run/arrays.safetensors")
    assert arrays["rewards"].shape == (1, NETWORK.arcs)
    np.testing.assert_array_equal(load("run/network").rewards, arrays["rewards"])
    assert len(read(Path("run/metrics.csv"))) == len(done.estimate.members[0].train)
    page = Path("run/report.html").read_text()
    assert "A network trained on trips" in page and pages.page(Path("run")) == page
    with pytest.raises(InputError, match="hidden layers must be alike, of at least one unit; got 3, 4"):
        routes.irl_deep("network.csv", "trips.csv", out="run", hidden=(3, 4))


def test_features_of_the_file_are_those_that_are_fitted(here):
    network = read_network("network.csv")
    table, names = read_arc_features("network.csv", network)
    done = routes.irl_mce("network.csv", "trips.csv", out="run")
    direct = routes.routes.fit(network, table, read_trips("trips.csv", network), feature_names=names)
    assert done.estimate.names == names
    np.testing.assert_array_equal(done.estimate.weights, direct.weights)


def test_the_page_names_the_weights_that_no_trips_can_tell(here):
    # A climb adds up to the same on all ways between two links; a column of zeros adds nothing to any.
    height = np.random.default_rng(5).normal(size=NETWORK.links)
    climb = height[NETWORK.arc_to] - height[NETWORK.arc_from]
    table = np.column_stack([FEATURES, climb, np.zeros(NETWORK.arcs)])
    write_network(Path("network.csv"), NETWORK, table, ["minutes", "trees", "const", "climb", "zero"])
    routes.irl_mce("network.csv", "trips.csv", out="run")
    found = {d["kind"]: d for d in answer()["answer"]["identification"]["directions"]}
    assert set(found) == {"zero", "shaping"} and set(found["shaping"]["weights"]) == {"climb"}
    page = Path("run/report.html").read_text()
    assert "The weight of climb is not identified by any trips on this network" in page
    assert "their values above are one choice among many" in page
    routes.irl_mce("network.csv", "trips.csv", "minutes,trees,const", out="run", l2=0.5)
    page = Path("run/report.html").read_text()
    assert "All weights are identified" in page and "0.25 times the sum of squared weights" in page
