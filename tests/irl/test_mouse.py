"""Real mice in a labyrinth: the static reward maps of the oracle, and the published model with two maps."""

import csv

import numpy as np
import pytest

from irl.examples import example
from maxentrl import solve
from maxentrl.app.problems import read_features
from maxentrl.data import read_trajectories
from maxentrl.irl import mce
from maxentrl.irl.validation import compare, held_out, score
from maxentrl.models.edges import load_edges
from shared_data import shared

# discount, penalty: penalised objective, log-likelihood on train and val; from the data set's README.
ORACLE = {
    (0.7, 1): (4128.515376, -4107.032168, -1006.874558),
    (0.7, 10): (4228.885076, -4156.432179, -1022.070437),
    (0.9, 1): (4116.663530, -4103.486901, -1005.602210),
    (0.9, 10): (4179.300789, -4133.476048, -1015.814107),
    (0.99, 1): (4113.678238, -4102.693737, -1005.239244),
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mouse")
    example("mouse_labyrinth").convert(shared("mouse_labyrinth"), folder)
    mdp = load_edges(folder / "problem.csv")
    names, features = read_features(folder / "features.csv", mdp)
    train, val = (read_trajectories(folder / f"{part}.csv", mdp) for part in ("train", "val"))
    assert (train.count, train.steps, val.count, val.steps) == (160, 3520, 40, 880)
    return mdp, names, features, train, val


@pytest.mark.parametrize(("discount", "l2"), ORACLE)
def test_a_static_map_has_the_likelihoods_of_the_oracle(tables, discount, l2):
    mdp, names, features, train, val = tables
    found = mce.fit(mdp, features, train, feature_names=names, discount=discount, l2=float(l2))
    objective, on_train, on_val = ORACLE[discount, l2]
    assert abs(l2 / 2 * found.weights @ found.weights - found.log_likelihood - objective) < 1e-3
    assert abs(found.log_likelihood - on_train) < 1e-3
    assert abs(held_out(mdp, found, val).log_likelihood - on_val) < 1e-3
    if (discount, l2) == (0.7, 1):
        _, cloned, random = compare(mdp, found, train, val)
        assert abs(cloned.log_likelihood - -555.7746) < 1e-3
        assert abs(random.log_likelihood - -1219.9390) < 1e-3


def published(mdp) -> np.ndarray:
    """r_t(s) of the two-map model, [22, S], in the order of the problem's states."""
    folder = shared("mouse_labyrinth")
    tables = []
    for name in ("weights", "goal_maps"):
        with (folder / f"dirl_2maps_{name}.csv").open(newline="") as file:
            rows = list(csv.reader(file))[1:]
        tables.append(np.array(rows, float))
    weights, maps = tables
    return (weights @ maps.T)[:, [int(mdp.state_name(s)) for s in range(mdp.states)]]


def test_the_published_model_with_two_maps_foretells_the_validation_bouts_as_published(tables):
    """Its policy at time t is the stationary soft policy of r_t. The authors stop sweeping all times together when
    no value moves by 0.1, and keep the policy of the last sweep."""
    mdp, _, _, train, val = tables
    rewards = np.repeat(published(mdp)[:, :, None], mdp.actions, axis=2)
    plans = [
        solve(mdp.with_reward(r), temperature=1.0, discount=0.7, tolerance=1e-9).log_policy for r in rewards
    ]
    exact = np.array(plans)
    assert abs(score(mdp, exact, val).log_likelihood - -504.267290) < 1e-5
    assert abs(score(mdp, exact, train).log_likelihood - -2131.537175) < 1e-5
    p = np.asarray(mdp.transition_matrix())
    v, moved = np.zeros(rewards.shape[:2]), np.inf
    rough = exact
    while moved >= 0.1:
        q = rewards + 0.7 * np.einsum("sax,tx->tsa", p, v)
        new = np.log(np.exp(q).sum(-1))
        v, moved, rough = new, np.abs(new - v).max(), q - new[..., None]
    assert abs(score(mdp, rough, val).log_likelihood - -504.678225) < 1e-5
