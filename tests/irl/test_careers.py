"""Real yearly choices of 1373 men, from the panel as it is, through the example's tables, to eleven weights."""

import numpy as np
import pytest

from irl.examples import example
from maxentrl.app.problems import read_features
from maxentrl.data import read_trajectories
from maxentrl.irl import mce
from maxentrl.irl.baselines import uniform_policy
from maxentrl.irl.validation import score
from maxentrl.models.edges import load_edges
from shared_data import shared

# Weight and standard error in the data set's README (career_decisions), an oracle of its own.
ORACLE = {
    "school": (1.03937022, 0.0755),
    "school after 12 years": (-0.51120767, 0.0631),
    "school after 16 years": (0.63984069, 0.0931),
    "back to school": (-2.66444923, 0.0666),
    "white collar": (-1.13741565, 0.0610),
    "white collar x years": (0.28654265, 0.0116),
    "blue collar": (-0.77573502, 0.0620),
    "blue collar x years": (0.07378518, 0.0086),
    "military": (-1.50044731, 0.0625),
    "same job": (2.04302848, 0.0384),
    "home again": (0.64485549, 0.0584),
}
CLOCK = {"horizon": 11, "discount": 0.95}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("career")
    example("career_decisions").convert(shared("career_decisions") / "panel.csv.gz", folder)
    mdp = load_edges(folder / "problem.csv")
    names, features = read_features(folder / "features.csv", mdp)
    return mdp, names, features, read_trajectories(folder / "demos.csv", mdp)


def test_eleven_coefficients_and_the_likelihood_are_those_of_the_oracle(tables):
    mdp, names, features, demos = tables
    assert (demos.count, demos.steps) == (1373, 12359)
    found = mce.fit(mdp, features, demos, feature_names=names, **CLOCK)
    assert abs(found.log_likelihood - -11983.999802) < 1e-3
    assert abs(found.log_likelihood_uniform - -19891.043160) < 1e-3
    assert found.converged and found.gradient_norm < 1e-6
    for name, (weight, _) in ORACLE.items():
        assert abs(found.named[name] - weight) < 1e-5, name
    # The README rounds its standard errors to four digits after the point.
    errors = dict(zip(names, found.standard_errors_of("hessian"), strict=True))
    for name, (_, error) in ORACLE.items():
        assert abs(errors[name] - error) < 5.1e-5, name
    np.testing.assert_allclose(
        score(mdp, uniform_policy(mdp), demos).log_likelihood, -19891.043160, atol=1e-3
    )


def test_another_start_ends_at_the_same_weights(tables):
    mdp, names, features, demos = tables
    start = np.random.default_rng(0).normal(size=len(names))
    found = mce.fit(mdp, features, demos, feature_names=names, start=start, **CLOCK)
    np.testing.assert_allclose([found.named[k] for k in ORACLE], [w for w, _ in ORACLE.values()], atol=1e-5)
