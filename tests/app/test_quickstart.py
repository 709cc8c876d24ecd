"""The first minute, once: its numbers are those of the theory."""

from __future__ import annotations

import json

import numpy as np
import pytest

from maxentrl import TabularMDP, evaluate, solve
from maxentrl.app import quickstart as first
from maxentrl.app.problems import open_problem


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    return first.quickstart(tmp_path_factory.mktemp("runs") / "quickstart")


def test_the_quickstart_shows_optimism_its_cure_and_the_reward(shown):
    answer = json.loads((shown.folder / "manifest.json").read_text())["answer"]
    exact, control = answer["optimism"]["exact"], answer["optimism"]["control"]
    assert exact["believes"] > 0.99 and exact["gets"] < 0.05
    # Under given dynamics belief and truth are one number; both are sums of 51 x 17 terms in float64.
    np.testing.assert_allclose(control["believes"], control["gets"], rtol=1e-10)
    assert exact["bound"] <= control["bound"] <= answer["optimism"]["log_evidence"]
    # 0.05 e^4 + 0.95 e^-4 against e^-3.6, each as x / (1 + x), with rounding of the last digit shown.
    assert (
        round(answer["lottery"]["optimistic"], 3) == 0.733
        and round(answer["lottery"]["variational"], 3) == 0.027
    )
    for row in answer["irl"]["weights"]:
        # Four standard errors; the key is fixed.
        assert abs(row["weight"] - row["true"]) < 4 * row["standard_error"] < 0.5
    assert shown.converged and "report" in shown.summary and "0.733" in shown.summary


def test_the_quickstart_page_has_every_picture(shown):
    page = (shown.folder / "report.html").read_text(encoding="utf-8")
    names = {path.stem for path in (shown.folder / "pictures").iterdir()}
    assert names == {"plan", "sweep", "optimism", "lottery", "messages", "weights"}
    assert page.count("<img ") == len(names)


def test_paying_on_arrival_changes_nothing_under_control():
    lake: TabularMDP = open_problem(first.PROBLEM).mdp
    paid, goal = first.pay_on_arrival(lake)
    # The prize comes one step later, so over T + 1 steps without discount the two are worth the same.
    before = solve(lake, temperature=0.1, horizon=9).start_value
    after = solve(paid, temperature=0.1, horizon=10)
    assert paid.reward[goal].min() == 1.0
    value = evaluate(paid, after.log_policy, temperature=0.1, horizon=10)
    np.testing.assert_allclose(value[0][:16] @ np.asarray(lake.initial), before, rtol=1e-10)
