"""Link sizes are expected visits, and the model with one matrix per pair agrees with dense ones."""

import numpy as np
import pytest

from infer.networks import arc_flows, weights
from irl.towns import town
from maxentrl import InputError
from maxentrl.irl import routes, sized_routes
from maxentrl.irl.link_size import link_sizes

BASE = np.array([-0.5, 0.3, -1.6])


def small(seed=1):
    """Trips between ordinary links, which may pass their goals; or to goals that nothing leaves."""
    network, features, trips = town(seed, "optional", 40)
    return network, features, trips, routes.evidence(network, trips, "optional")


def dense_sizes(network, u, known):
    """[P, L] visits of each link, by following arcs; links that nothing leaves count as zero."""
    asked = known.asked
    sizes = np.zeros((len(known.counts), network.links))
    for p, q in enumerate(asked.pair):
        o, g = asked.links[asked.rows[q]], asked.links[asked.goals[asked.columns[q]]]
        sizes[p] = np.bincount(
            network.arc_to, arc_flows(network, u, o, g, "optional"), minlength=network.links
        )
        sizes[p, o] += 1
    sizes[:, network.final] = 0
    return sizes


def dense_log_likelihood(network, features, known, sizes, w):
    """One dense matrix per pair."""
    asked, total = known.asked, 0.0
    for p, q in enumerate(asked.pair):
        o, g = asked.links[asked.rows[q]], asked.links[asked.goals[asked.columns[q]]]
        u = features @ w[:-1] + w[-1] * sizes[p][network.arc_to]
        z = np.linalg.solve(np.eye(network.links) - weights(network, u), np.eye(network.links)[g])[o]
        steps = known.pair[known.trip] == p
        total += u[known.arcs[steps]].sum() - known.counts[p] * np.log(z)
    return total


def test_link_sizes_are_expected_visits():
    network, features, _, known = small()
    found = link_sizes(known, features @ BASE, least=1e-12)
    expected = dense_sizes(network, features @ BASE, known)
    dense = np.zeros_like(expected)
    for p, (used, size) in enumerate(zip(*found, strict=True)):
        dense[p, known.asked.links[used]] = size
    np.testing.assert_allclose(dense, expected, atol=1e-11)


@pytest.mark.parametrize("w", [[*BASE, -0.3], [*BASE, 0.05]])
def test_likelihood_gradient_and_curvature_equal_those_of_dense_matrices(w):
    network, features, _, known = small()
    w = np.array(w)
    sizes = dense_sizes(network, features @ BASE, known)
    whole = sized_routes.SizedLikelihood(
        known, features, link_sizes(known, features @ BASE, least=1e-12), 1.0, 0.0
    )
    level, memo = whole.value(w)
    assert level == pytest.approx(dense_log_likelihood(network, features, known, sizes, w), rel=1e-10)
    gradient, information = whole.slope(w, memo)

    def slope(w):
        def at(d):
            return dense_log_likelihood(network, features, known, sizes, w + d)

        # Five points: fourth order in the step, beside rounding of 1e-13 / step.
        return np.array([(8 * (at(d) - at(-d)) - at(2 * d) + at(-2 * d)) / 12e-3 for d in 1e-3 * np.eye(4)])

    np.testing.assert_allclose(gradient, slope(w), rtol=1e-8, atol=1e-7)
    hessian = np.array([(slope(w + d) - slope(w - d)) / 2e-4 for d in 1e-4 * np.eye(4)])
    np.testing.assert_allclose(information, -hessian, rtol=1e-5, atol=1e-4)


def test_the_fit_finds_the_maximum_and_without_sizes_it_is_the_plain_one():
    network, features, trips, known = small(2)
    found = sized_routes.fit(network, features, trips, 2 * BASE, goal="optional", temperature=2.0)
    assert found.converged and found.names[-1] == "link size" and found.gradient_norm < 1e-8
    plain = routes.fit(network, features, trips, goal="optional", temperature=2.0)
    assert found.log_likelihood > plain.log_likelihood and set(found.covariances) == {
        "hessian",
        "outer",
        "sandwich",
    }
    sizes = link_sizes(known, features @ (2 * BASE), temperature=2.0)
    whole = sized_routes.SizedLikelihood(known, features / 2, sizes, 2.0, 0.0)
    assert whole.value(np.append(plain.weights, 0.0))[0] == pytest.approx(plain.log_likelihood, rel=1e-12)
    assert whole.value(found.weights)[0] == pytest.approx(found.log_likelihood, rel=1e-12)


def test_sizes_that_reward_too_much_have_no_finite_solution():
    _, features, _, known = small()
    whole = sized_routes.SizedLikelihood(
        known, features, link_sizes(known, features @ BASE, least=1e-12), 1.0, 0.0
    )
    assert whole.value(np.array([*BASE, 30.0]))[0] == -np.inf


def test_what_link_sizes_cannot_do_is_refused():
    network, features, trips = town(3, "forced")
    known = routes.evidence(network, trips)
    with pytest.raises(InputError, match=r'goals that nothing leaves, or for goal="optional"; \d+ pairs'):
        link_sizes(known, features @ BASE)
    free = routes.evidence(network, trips, "optional")
    with pytest.raises(InputError, match="least must be a number above 0"):
        link_sizes(free, features @ BASE, least=0.0)
    for start in (None, np.append(BASE, 0.0)):
        for more, message in (
            ({"l2": -1.0}, "l2 must be"),
            ({"temperature": 0.0}, "temperature must lie in"),
        ):
            with pytest.raises(InputError, match=message):
                sized_routes.fit(network, features, trips, BASE, goal="optional", start=start, **more)
    with pytest.raises(InputError, match="'link size' is taken"):
        sized_routes.fit(
            network, features[:, :1], trips, BASE[:1], goal="optional", feature_names=["link size"]
        )
