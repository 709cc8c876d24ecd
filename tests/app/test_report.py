"""A report is one page that parses, asks for nothing from outside, and says what the numbers say."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from maxentrl import TabularMDP
from maxentrl.app import maps, pages, plots, recipes, report

VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Checks that tags close in order, and collects what a browser would fetch."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.words = ""

    def handle_starttag(self, tag, attrs):
        self.fetched += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    return reader


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "plan"
    recipes.plan("chain", temperature=0.5, discount=0.9, out=out)
    return out


def test_a_report_parses_and_fetches_nothing(run):
    page = read((run / "report.html").read_text(encoding="utf-8"))
    assert page.fetched and all(source.startswith("data:image/svg+xml;base64,") for source in page.fetched)
    style = (run / "report.html").read_text(encoding="utf-8").split("</style>")[0]
    assert "url(" not in style and "@import" not in style
    assert "further than" in page.words and "To get the same again" in page.words


def test_rewriting_a_report_gives_the_same_page(run):
    before = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    assert pages.rewrite(run) == run / "report.html"
    assert (run / "report.html").read_bytes() == before


def test_words_from_outside_are_made_harmless():
    page = report.document(
        "<script>", [report.table(("", ""), [("<b>", '"&')]), report.warnings(["<img src=x>"])]
    )
    assert not read(page).fetched and "<script>" not in page and "<b>" not in page


def test_a_formula_sets_letters_italic_and_words_upright():
    assert report.math("log P(s_t) < Σ_{s′} α") == (
        "log <i>P</i>(<i>s</i><sub><i>t</i></sub>) &lt; Σ<sub><i>s</i>′</sub> <i>α</i>"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.123456789, "0.123457"),
        (-2.0, "−2"),
        (3e-7, "3 × 10<sup>−7</sup>"),
        (np.inf, "∞"),
        ("inf", "∞"),
        (np.nan, "not known"),
    ],
)
def test_numbers_are_written_as_people_write_them(value, shown):
    assert report.number(value) == shown


def grid(wide: int, high: int, coordinates: bool = True) -> TabularMDP:
    states = wide * high
    transition = np.zeros((states, 2, states))
    transition[:, 0] = np.roll(np.eye(states), 1, axis=1)
    transition[:, 1] = np.eye(states)
    place = np.stack([np.arange(states) % wide, np.arange(states) // wide], 1) if coordinates else None
    return TabularMDP(transition, np.zeros((states, 2)), coordinates=place)


@pytest.mark.parametrize(
    "mdp", [grid(3, 2), grid(7, 1), grid(3, 2, coordinates=False), grid(60, 50, coordinates=True)][:3]
)
def test_pictures_are_well_formed_and_the_same_each_time(mdp):
    log_p = np.log(np.arange(1.0, mdp.states + 1))
    policy = np.full((mdp.states, 2), np.log(0.5))
    for draw in (
        lambda: plots.plan(mdp, log_p, policy, np.exp(log_p)),
        lambda: plots.messages(mdp, log_p, log_p, 2 * log_p, 0, 2),
    ):
        first = draw()
        assert first == draw()
        assert ElementTree.fromstring(first).tag.endswith("svg")
        # The only addresses in it are names of XML vocabularies; nothing is fetched.
        assert b'href="http' not in first


def test_a_map_needs_whole_numbers_and_one_place_for_each_state():
    assert maps.has_map(grid(3, 2)) and not maps.has_map(grid(3, 2, coordinates=False))
    for places in ([[0, 0], [0, 0]], [[0, 0], [0.5, 0]], [[0, 0], [np.nan, 0]], [[0, 0], [1e9, 1e9]]):
        transition = np.tile(np.eye(2)[:, None], (1, 1, 1))
        assert not maps.has_map(TabularMDP(transition, np.zeros((2, 1)), coordinates=places))


def test_the_other_pictures_are_well_formed():
    rows = [
        {"temperature": t, "start_value": 1.0, "expected_reward": 0.5, "policy_entropy": t}
        for t in (0.1, 1.0, np.inf)
    ]
    for picture in (
        plots.sweep(rows, None),
        plots.sweep(rows, 2.0, 0.1),
        plots.lottery(0.733, 0.027),
        plots.optimism(("a", "b"), (1.0, 0.4), (0.1, 0.4), "probability"),
        plots.weights(("x", "y"), (1.0, -1.0), (0.1, np.inf), (1.0, 0.0)),
    ):
        assert ElementTree.fromstring(picture).tag.endswith("svg")


def test_the_foremost_of_many_rows_stand_in_their_own_order_and_what_is_not_known_comes_last():
    few = [3.0, float("nan"), -4.0]
    assert report.foremost(few) == [0, 1, 2]
    many = [float("nan")] * 5 + [float(k) for k in range(report.LONG)]
    assert report.foremost(many) == list(range(5, 5 + report.LONG))
    assert report.folded("more", "") == "" and report.folded("a & b", "<p>c</p>").endswith(
        "<p>c</p></details>"
    )
