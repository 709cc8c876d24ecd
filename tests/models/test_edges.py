"""CSV edge lists: every row counts, and every complaint names its row."""

import csv

import numpy as np
import pytest

from maxentrl.core.check import InputError
from maxentrl.envs import random_mdp
from maxentrl.models import edges
from maxentrl.models.edges import load_edges, successor_lists
from maxentrl.models.transition import Sparse

HEADER = "state,action,next_state,probability,reward\n"

SHOP = """\
state,action,next_state,probability,reward
home,walk,shop,0.75,-1
home,walk,home,0.25,-3
home,drive,shop,1,-2
shop,"buy, pay",done,1.0,5e0

shop,walk,home,1,-1
"""


@pytest.fixture
def table(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "roads.csv"
        path.write_text(text, encoding=encoding, newline="")
        return path

    return write


def test_an_edge_list_is_the_problem_it_describes(table):
    mdp = load_edges(table(SHOP))
    assert isinstance(mdp.transition, Sparse)
    assert mdp.state_names == ("home", "shop", "done")
    assert mdp.action_names == ("walk", "drive", "buy, pay")
    np.testing.assert_array_equal(mdp.terminal, [False, False, True])
    np.testing.assert_array_equal(mdp.initial, [0.5, 0.5, 0])
    p = mdp.transition_matrix()
    np.testing.assert_array_equal(p[0, 0], [0.25, 0.75, 0])
    np.testing.assert_array_equal(p[0, 1], [0, 1, 0])
    np.testing.assert_array_equal(p[1, 2], [0, 0, 1])
    np.testing.assert_array_equal(
        np.isneginf(mdp.log_prior[:2]), [[False, False, True], [False, True, False]]
    )
    # r(home, walk) = 0.75 * -1 + 0.25 * -3
    assert mdp.reward[0, 0] == -1.5
    assert mdp.reward[1, 2] == 5.0


def test_the_order_of_columns_blanks_and_a_byte_order_mark_do_not_matter(table):
    rows = [[cell.strip() for cell in row] for row in csv.reader(SHOP.splitlines()) if row]
    turned = "\r\n".join(
        " , ".join(f'"{cell}"' if "," in cell else cell for cell in row[::-1]) for row in rows
    )
    turned = turned.replace('"buy, pay" ', '"buy, pay"')
    straight, other = load_edges(table(SHOP)), load_edges(table(turned, "utf-8-sig"))
    assert other.state_names == straight.state_names
    np.testing.assert_array_equal(other.transition_matrix(), straight.transition_matrix())
    np.testing.assert_array_equal(other.reward, straight.reward)


def test_column_start_is_the_start_distribution(table):
    mdp = load_edges(
        table(
            "state,action,next_state,probability,reward,start\na,x,b,1,0,0.25\na,y,b,1,0,.25\nb,x,a,1,0,0.75\n"
        )
    )
    np.testing.assert_array_equal(mdp.initial, [0.25, 0.75])


def test_a_problem_written_as_edges_is_read_as_the_same_problem(table):
    """In blocks of rows: the numbering must not depend on where a block ends."""
    made = random_mdp(300, 3, branching=4, terminal=20, forbidden=0.2, seed=5)
    p, lines = made.transition_matrix(), [HEADER]
    for s, a in np.argwhere(np.isfinite(made.log_prior) & ~made.terminal[:, None]):
        lines += [
            f"{s},{a},{n},{float(p[s, a, n])!r},{float(made.reward[s, a])!r}\n"
            for n in np.flatnonzero(p[s, a])
        ]
    assert len(lines) > 4 * edges.CHUNK
    read = load_edges(table("".join(lines)))
    states = [int(name) for name in read.state_names]
    actions = [int(name) for name in read.action_names]
    live = ~made.terminal[states]
    np.testing.assert_array_equal(read.terminal, ~live)
    # Both round the row sums, and the reward is a mean over a row: a few units in the last place.
    np.testing.assert_allclose(
        read.transition_matrix(),
        p[states][:, actions][:, :, states] * (~read.terminal)[:, None, None],
        rtol=1e-15 * 8,
    )
    np.testing.assert_array_equal(
        np.isfinite(read.log_prior)[live], np.isfinite(made.log_prior)[states][:, actions][live]
    )
    np.testing.assert_allclose(
        read.reward[live],
        np.where(np.isfinite(read.log_prior), made.reward[states][:, actions], 0)[live],
        rtol=1e-15 * 8,
    )


def test_parallel_edges_add_up_in_successor_lists():
    successor, probability = successor_lists(
        np.array([1, 0, 1, 1]),
        np.array([0, 0, 0, 1]),
        np.array([1, 0, 1, 0]),
        np.array([0.5, 1.0, 0.25, 0.125]),
        2,
        2,
    )
    np.testing.assert_array_equal(successor[..., 0], [[0, 0], [1, 0]])
    np.testing.assert_array_equal(probability[..., 0], [[1, 0], [0.75, 0.125]])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty; its first row must name the columns"),
        ("a,b\n", "row 1 must name the columns .*; state, action, next_state, probability, reward missing"),
        ("state;action;next_state;probability;reward\n", "row 1 must name the columns"),
        (HEADER.replace("reward", "reward,cost"), "each of the columns .* once.*got state, .*cost"),
        (HEADER.replace("reward", "reward,reward"), "once, and may name start; got"),
        (HEADER, "has a header but no rows"),
        (HEADER + "\n\n", "has a header but no rows"),
        (HEADER + "a,x,b,1,0\na,y,b,1\n", "row 3 must have 5 fields, as the header has; it has 4"),
        (HEADER + "a,x,b,1,0\n\na,,b,1,0\n", "row 4 has no action"),
        (HEADER + "a,x, ,1,0\n", "row 2 has no next_state"),
        (HEADER + "a,x,b,one,0\n", "row 2: probability must be a number in .0, 1.; got 'one'"),
        (HEADER + "a,x,b,1,0\nb,x,b,nan,0\n", "row 3: probability must be a number in .0, 1.; got 'nan'"),
        (HEADER + "a,x,b,1.5,0\n", "row 2: probability must .* got '1.5'"),
        (HEADER + "a,x,b,-0.5,0\n", "row 2: probability must .* got '-0.5'"),
        (HEADER + "a,x,b,1,\n", "row 2: reward must be finite .* got ''"),
        (HEADER + "a,x,b,1,-inf\n", "row 2: reward must be finite .leave an action out .* got '-inf'"),
        (HEADER + "a,x,b,.5,0\na,x,a,.4,0\n", "of state 'a', action 'x' must sum to 1; they sum to 0.9 "),
        (
            HEADER + "a,x,b,.5,0\na,y,b,1,0\na,x,b,.5,0\n",
            "rows 2 and 4 both give state 'a', action 'x', next",
        ),
        (HEADER + 'a,"x,b,1,0\n', "line 2 is not comma-separated text"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_row(table, text, sentence):
    with pytest.raises(InputError, match=r"roads\.csv.*" + sentence):
        load_edges(table(text))


@pytest.mark.parametrize(
    ("starts", "sentence"),
    [
        (("1", "0.5", "0"), "row 3 gives state 'a' start 0.5, but row 2 gives it 1"),
        (("0.5", "0.5", "0.4"), "start must sum to 1 over the states; it sums to 0.9"),
        (("1", "", "0"), "row 3: start must be a number in .0, 1.; got ''"),
    ],
)
def test_a_start_that_is_no_distribution_is_refused(table, starts, sentence):
    rows = ("a,x,b,1,0", "a,y,b,1,0", "b,x,a,1,0")
    text = HEADER.replace("reward", "reward,start")
    text += "".join(f"{row},{start}\n" for row, start in zip(rows, starts, strict=True))
    with pytest.raises(InputError, match=sentence):
        load_edges(table(text))


def test_a_file_that_is_no_text_is_refused(table, tmp_path):
    with pytest.raises(InputError, match=r"roads\.csv must be UTF-8 text"):
        load_edges(table(HEADER + "zürich,x,b,1,0\n", "latin-1"))
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        load_edges(tmp_path)
    with pytest.raises(InputError, match=r"absent\.csv cannot be read: No such file or directory"):
        load_edges(tmp_path / "absent.csv")
