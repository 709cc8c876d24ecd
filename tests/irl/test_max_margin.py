"""Maximum margin planning: the objective is what it says, its minimum is proven, and what is learned carries over."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from irl.worlds import A, K, S, flow, key, policy, world
from maxentrl import InfeasibleError, InputError, TabularMDP
from maxentrl.data import trajectories_from_arrays
from maxentrl.envs import gridworld
from maxentrl.irl import max_margin as mm
from maxentrl.irl import sample_trajectories
from maxentrl.irl.margins import evaluate, make_program

TRUE = np.array([0.5, -0.3, 0.8])
DISCOUNT = 0.9


def example(seed: int, weight: float = 1.0, wishes: np.ndarray = TRUE) -> mm.Example:
    """A map, an expert that is best in it, and a loss of 1 (about) for each action that is not the expert's."""
    mdp, features = world(seed)
    pi = policy(mdp, features, wishes, temperature=0.0, discount=DISCOUNT)
    visits = flow(mdp, pi, np.asarray(mdp.initial), DISCOUNT)
    loss = (pi < 0.5) * np.random.default_rng(seed).uniform(0.5, 1.5, (S, A))
    return mm.Example(mdp, features, visits, loss, weight, f"m{seed}")


def every_policy(one: mm.Example) -> tuple[np.ndarray, np.ndarray]:
    """Features ahead of the expert [A^S, K] and losses [A^S] of all deterministic policies of a map."""
    begun = np.asarray(one.mdp.initial)
    visits = np.array(
        [
            flow(one.mdp, np.eye(A)[list(taken)], begun, DISCOUNT)
            for taken in itertools.product(range(A), repeat=S)
        ]
    )
    ahead = np.einsum("psa,sak->pk", visits - np.asarray(one.demos), one.features)
    return ahead, np.tensordot(visits, np.asarray(one.loss), 2)


EXAMPLES = [example(3), example(4, weight=2.0, wishes=-TRUE)]
"""Two experts that contradict each other, so that some slack remains."""
TABLES = [every_policy(one) for one in EXAMPLES]
SETTING: dict[str, Any] = {"discount": DISCOUNT, "regularisation": 0.05}


def program(examples, clock: dict, power: int = 1):
    clock = {"discount": 1.0, "horizon": None} | clock
    options: dict[str, Any] = {
        "regularisation": 0.05,
        "ceiling": None,
        "feature_names": None,
        "precision": 1e-10,
    }
    return make_program(examples, power=power, **clock, **options)


def enumerated(w: np.ndarray, power: int, regularisation: float = 0.05) -> float:
    """The objective with the maximum taken over the list of all policies."""
    slacks = [(ahead @ w + loss).max() for ahead, loss in TABLES]
    shares = [one.weight / len(EXAMPLES) for one in EXAMPLES]
    hinges = sum(c * max(x, 0) ** power for c, x in zip(shares, slacks, strict=True))
    return float(regularisation / 2 * w @ w + hinges)


def enumerated_minimum(power: int, regularisation: float = 0.05) -> float:
    """The quadratic program with one constraint for each policy, by a general solver."""
    shares = np.array([one.weight / len(EXAMPLES) for one in EXAMPLES])

    def objective(x):
        return (regularisation / 2 * x[:K] @ x[:K] + shares @ x[K:] ** power) / size

    def slope(x):
        return np.append(regularisation * x[:K], power * shares * x[K:] ** (power - 1)) / size

    sides, offsets = [], []
    for i, (ahead, loss) in enumerate(TABLES):
        sides.append(np.column_stack([-ahead, np.tile(np.eye(len(EXAMPLES))[i], (len(ahead), 1))]))
        offsets.append(-loss)
    side, offset = np.concatenate(sides), np.concatenate(offsets)
    begin, size = np.append(np.zeros(K), [loss.max() for _, loss in TABLES]), 1.0
    size = objective(begin)  # a general solver likes numbers near 1
    limits = [(None, None)] * K + [(0, None)] * len(EXAMPLES)
    constraint = {"type": "ineq", "fun": lambda x: side @ x + offset, "jac": lambda x: side}
    found = minimize(
        objective,
        begin,
        jac=slope,
        bounds=limits,
        constraints=[constraint],
        method="SLSQP",
        options={"ftol": 1e-13, "maxiter": 300},
    )
    assert found.success
    return float(found.fun * size)


@pytest.mark.parametrize("power", [1, 2])
def test_the_objective_is_the_worst_case_over_all_policies_listed(power):
    for seed in range(4):
        w = np.random.default_rng(seed).normal(size=K)
        value = evaluate(program(EXAMPLES, {"discount": DISCOUNT}, power), w)
        # Equal to the precision of plans, 1e-10 of the loss, and rounding.
        assert value.objective == pytest.approx(enumerated(w, power), rel=1e-8)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("clock", [{"discount": DISCOUNT}, {"horizon": 8}, {"horizon": 8, "discount": 0.9}])
def test_subgradients_are_central_differences(power, clock):
    examples = EXAMPLES
    if "horizon" in clock:
        pi = [policy(one.mdp, one.features, TRUE, **clock) for one in EXAMPLES]
        visits = [
            flow(one.mdp, p, np.asarray(one.mdp.initial), **clock)
            for one, p in zip(EXAMPLES, pi, strict=True)
        ]
        examples = [
            mm.Example(one.mdp, one.features, v, one.loss) for one, v in zip(EXAMPLES, visits, strict=True)
        ]
    problem = program(examples, clock, power)
    for seed in range(3):
        w = np.random.default_rng(seed).normal(size=K)
        slope = evaluate(problem, w).subgradient
        # The objective is a piecewise polynomial of degree 2 (q = 1, 2), for which central differences are exact.
        step = 1e-4
        numeric = [
            (evaluate(problem, w + step * e).objective - evaluate(problem, w - step * e).objective)
            / (2 * step)
            for e in np.eye(K)
        ]
        np.testing.assert_allclose(slope, numeric, rtol=1e-8, atol=1e-8 * np.abs(slope).max())


def test_the_hinge_is_zero_exactly_when_every_policy_is_beaten_by_its_loss():
    one, (ahead, loss) = EXAMPLES[0], TABLES[0]
    problem = program([one], {"discount": DISCOUNT})
    met = 0
    for scale in np.geomspace(0.1, 1000, 15):
        for direction in (TRUE, -TRUE, np.array([1.0, 0.0, 0.0])):
            (margin,) = evaluate(problem, scale * direction).margins
            beaten = bool((ahead @ (scale * direction) + loss <= 1e-9).all())
            assert margin >= -1e-9
            assert (margin < 1e-8) == beaten
            met += beaten
    assert 0 < met < 45


@pytest.mark.parametrize("power", [1, 2])
def test_the_quadratic_program_finds_the_minimum_over_all_policies_listed(power):
    found = mm.fit(EXAMPLES, power=power, tolerance=1e-9, **SETTING)
    least = enumerated_minimum(power)
    assert found.converged and not found.warnings
    # The general solver stops within about 1e-7 of the optimum, relative.
    assert found.objective == pytest.approx(least, rel=1e-6)
    assert found.bound <= least + 1e-6 * least
    assert enumerated(found.weights, power) == pytest.approx(found.objective, rel=1e-8)
    slacks = [max(0, (ahead @ found.weights + loss).max()) for ahead, loss in TABLES]
    np.testing.assert_allclose(found.slacks, slacks, rtol=1e-7)


@pytest.mark.parametrize("power", [1, 2])
def test_subgradient_descent_approaches_the_same_minimum_and_bounds_its_distance(power):
    exact = mm.fit(EXAMPLES, power=power, tolerance=1e-9, **SETTING)
    found = mm.fit(
        EXAMPLES, method="subgradient", power=power, tolerance=1e-2, max_iterations=2000, **SETTING
    )
    assert found.converged
    assert exact.objective * (1 - 1e-9) <= found.objective <= 1.01 * exact.objective
    assert found.bound <= exact.objective * (1 + 1e-9)
    assert found.objective - exact.objective <= found.gap * (1 + 1e-9)
    # The average falls where single steps jump: the first objective is that of no weights at all.
    assert found.history[0] == pytest.approx(enumerated(np.zeros(K), power), rel=1e-8)
    assert found.objective <= found.history.min() + 1e-12


def test_the_objective_is_convex():
    problem = program(EXAMPLES, {"discount": DISCOUNT}, 2)
    rng = np.random.default_rng(0)
    for _ in range(5):
        a, b = rng.normal(size=(2, K))
        ends = [evaluate(problem, w).objective for w in (a, b)]
        assert evaluate(problem, 0.3 * a + 0.7 * b).objective <= 0.3 * ends[0] + 0.7 * ends[1] + 1e-9


def test_without_a_loss_no_weights_at_all_are_optimal_and_with_one_they_are_not():
    plain = [mm.Example(one.mdp, one.features, one.demos, np.zeros((S, A))) for one in EXAMPLES]
    found = mm.fit(plain, **SETTING)
    np.testing.assert_array_equal(found.weights, 0)
    assert found.objective < 1e-12 and any("every loss is zero" in w for w in found.warnings)
    assert np.linalg.norm(mm.fit(EXAMPLES, **SETTING).weights) > 0.1


def terrain(seed: int, size: int = 8) -> tuple[TabularMDP, np.ndarray]:
    """A map with a goal in its corner, three kinds of ground and a constant: features [S, 4] of leaving a cell."""
    lines = ["." * size] * (size - 1) + ["." * (size - 1) + "G"]
    mdp = gridworld("\n".join(lines), goals={"G": 0.0}, step_reward=0.0)
    ground = np.random.default_rng(seed).uniform(size=(size + 2, size + 2, 3))
    smooth = np.mean([ground[i : i + size, j : j + size] for i in range(3) for j in range(3)], 0)
    features = ((smooth - smooth.min((0, 1))) / np.ptp(smooth, axis=(0, 1))).reshape(-1, 3)
    return mdp, np.column_stack([features**2, np.ones(len(features))])


COSTS = np.array([-3.0, -1.0, -0.1, -0.1])


def walk(seed: int) -> mm.Example:
    """Ten shortest paths of an expert on a map."""
    mdp, features = terrain(seed)
    pi = policy(mdp, np.repeat(features[:, None], 4, 1), COSTS, temperature=0.0, discount=1.0)
    first = np.eye(4)[pi.argmax(1)]
    with np.errstate(divide="ignore"):
        demos = sample_trajectories(mdp, np.log(first), key=key(seed), count=10, horizon=100)
    return mm.Example(mdp, features, demos, name=str(seed))


def test_weights_learned_on_some_maps_plan_better_on_others_than_random_ones_do():
    found = mm.fit([walk(i) for i in range(3)], discount=1.0, ceiling=-0.01, regularisation=1e-2)
    assert found.converged and not found.warnings
    unseen = [walk(i) for i in range(10, 14)]
    learned = mm.planned_loss(unseen, found.weights, discount=1.0).mean()
    rng = np.random.default_rng(0)
    random = [mm.planned_loss(unseen, -rng.uniform(0.01, 1, 4), discount=1.0).mean() for _ in range(10)]
    assert learned < min(random)
    # Each reward, and the loss on top of it, costs at least the ceiling, on all maps learned from.
    for one in (walk(i) for i in range(3)):
        augmented = found.reward(one.features)[:, None] + mm.path_loss(one.mdp, one.demos)
        assert augmented[~np.asarray(one.mdp.terminal)].max() <= -0.01 + 1e-9


@pytest.mark.parametrize("method", ["qp", "subgradient"])
def test_a_ceiling_binds_in_both_methods_and_they_agree(method):
    exact = mm.fit(EXAMPLES[:1], ceiling=0.5, tolerance=1e-9, **SETTING)
    found = mm.fit(EXAMPLES[:1], ceiling=0.5, method=method, tolerance=1e-2, **SETTING)
    free = mm.fit(EXAMPLES[:1], tolerance=1e-9, **SETTING)
    assert found.converged and found.objective <= 1.01 * exact.objective
    assert found.reward(EXAMPLES[0].features).max() <= 0.5 + 1e-9
    assert free.objective < exact.objective and free.reward(EXAMPLES[0].features).max() > 0.5


def test_the_loss_of_a_path_is_zero_on_it_and_rises_with_the_distance():
    mdp = gridworld("....\n....", goals={}, step_reward=0.0)
    demos = trajectories_from_arrays(np.array([[0, 1]]), np.array([[1]]))
    np.testing.assert_array_equal(mm.path_loss(mdp, demos)[:, 0], [0, 1, 1, 1, 1, 1, 1, 1])
    smooth = mm.path_loss(mdp, demos, width=1.0)
    np.testing.assert_allclose(smooth[:4, 2], 1 - np.exp(-(np.arange(4) ** 2) / 2), atol=1e-15)
    visits = np.zeros((8, 4))
    visits[0, 1] = 1
    np.testing.assert_array_equal(mm.path_loss(mdp, visits), mm.path_loss(mdp, demos))
    with pytest.raises(InputError, match="width must be at least 0"):
        mm.path_loss(mdp, demos, width=-1.0)
    with pytest.raises(InputError, match="needs the coordinates of the states"):
        mm.path_loss(mdp.bare(), demos, width=1.0)


def test_an_expert_that_was_luckier_than_any_policy_can_be_is_warned_about():
    one = EXAMPLES[0]
    ahead = np.abs(one.features[..., :1])
    lucky = np.zeros((S, A))
    lucky[np.unravel_index(ahead[..., 0].argmax(), (S, A))] = 1 / (1 - DISCOUNT)
    found = mm.fit([mm.Example(one.mdp, ahead, lucky, one.loss, name="m")], ceiling=None, **SETTING)
    assert any("map m: the expert earned" in w and "more than any policy" in w for w in found.warnings)


def test_a_search_that_ends_too_early_says_so_and_keeps_the_best():
    for method in ("qp", "subgradient"):
        found = mm.fit(EXAMPLES, method=method, max_iterations=2, tolerance=1e-6, **SETTING)
        assert not found.converged and any("stopped after 2 evaluations" in w for w in found.warnings)
        assert found.objective <= found.history.min()


def test_the_record_is_printed_and_turned_into_plain_types():
    found = mm.fit(EXAMPLES, feature_names=["sun", "rain", "snow"], **SETTING)
    assert "rain" in found.summary() and "map m4: slack" in found.summary()
    assert found.to_dict()["slacks"] == dict(zip(["m3", "m4"], found.slacks.tolist(), strict=True))
    assert list(found.named) == ["sun", "rain", "snow"]
    with pytest.raises(InputError, match="with K = 3"):
        found.reward(np.zeros((2, 5)))


ONE = EXAMPLES[0]
HOLED = np.where(np.arange(S * A * K).reshape(S, A, K) == 21, np.nan, ONE.features)
STRANGE = trajectories_from_arrays(np.array([[0, 9]]), np.array([[1]]))


def other(**changes) -> list[mm.Example]:
    fields: dict[str, Any] = {
        "mdp": ONE.mdp,
        "features": ONE.features,
        "demos": ONE.demos,
        "loss": ONE.loss,
        "name": "odd",
        **changes,
    }
    return [EXAMPLES[1], mm.Example(**fields)]


@pytest.mark.parametrize(
    ("examples", "options", "sentence"),
    [
        ([], {}, "there are no examples"),
        (other(name="m4"), {}, "names of examples must differ from each other; 'm4' occurs more than once"),
        (EXAMPLES, {"discount": None}, "give a discount below 1, a horizon"),
        (EXAMPLES, {"discount": 1.0}, "needs a ceiling below 0, so that no loop pays for itself; got None"),
        (EXAMPLES, {"discount": 1.0, "ceiling": 0.0}, "needs a ceiling below 0"),
        (EXAMPLES, {"regularisation": 0.0}, "regularisation must be a positive number"),
        (EXAMPLES, {"tolerance": -1.0}, "tolerance must be a positive number"),
        (EXAMPLES, {"max_iterations": 0}, "max_iterations must be at least 1"),
        (EXAMPLES, {"ceiling": np.inf}, "ceiling must be a finite number"),
        (EXAMPLES, {"feature_names": ["a"]}, "map m3: feature_names must be 3 different names; got a"),
        (other(features=ONE.features[..., :2]), {}, "map odd has 2, map m4 has 3"),
        (
            other(features=HOLED),
            {},
            "map odd: features must be finite; feature 0 in state 2, action 1 is nan",
        ),
        (other(loss=-np.ones((S, A))), {}, "map odd: loss must be finite numbers of at least 0"),
        (other(loss=np.ones(A)), {}, r"map odd: loss must be .* \[S, A\] = \(6, 3\)"),
        (other(loss=np.full((S, A), np.nan)), {}, "map odd: loss must be finite"),
        (other(weight=0.0), {}, "map odd: the weight of an example must be a positive number"),
        (other(demos=STRANGE), {}, "map odd: 1 of 1 demonstrated steps cannot be used"),
        (other(demos=np.zeros((S, A))), {}, "map odd: expected visits must be finite"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_with_a_sentence(examples, options, sentence):
    with pytest.raises(InputError, match=sentence):
        mm.fit(examples, **{**SETTING, **options})


@pytest.mark.parametrize("power", [1, 2])
def test_a_search_to_which_no_plan_tells_anything_new_ends_and_says_so(power):
    # Features times s under lambda are features under lambda / s^2: here 1e-16 of it, which is about rounding.
    large = [dataclasses.replace(one, features=1e8 * one.features) for one in EXAMPLES]
    found = mm.fit(large, power=power, **SETTING)
    assert len(found.history) < 20 and not found.converged and found.gap > 0
    assert "No further plan told anything new: the features are so large" in found.verdict
    # What is proven stays true: without a length to pay for, weights of those features reach the lowest slack.
    assert found.bound <= enumerated_minimum(power, 1e-6) <= found.objective


def test_unknown_methods_and_powers_are_refused(as_shipped):
    with pytest.raises(InputError, match="method must be one of subgradient, qp"):
        mm.fit(EXAMPLES, method="svm", **SETTING)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="power must be 1 or 2; got 3"):
        mm.fit(EXAMPLES, power=3, **SETTING)  # type: ignore[arg-type]


def test_a_ceiling_that_no_weights_can_keep_is_refused():
    with pytest.raises(InfeasibleError, match="no weights keep every reward at or below the ceiling"):
        mm.fit(EXAMPLES, ceiling=-100.0, **SETTING)


def test_plans_need_as_many_weights_as_features():
    with pytest.raises(InputError, match=r"weights must have shape \[K\] = \(3\)"):
        mm.planned_loss(EXAMPLES, np.zeros(2), discount=DISCOUNT)
    with pytest.raises(InputError, match="weights must be finite"):
        mm.planned_loss(EXAMPLES, np.full(K, np.nan), discount=DISCOUNT)
