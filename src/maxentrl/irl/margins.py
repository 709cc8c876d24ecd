"""How far demonstrations are from beating every other policy by its loss: the objective of maximum margin planning.

    c(w) = lambda / 2 |w|^2 + 1/n sum_i beta_i max(0, xi_i)^q
    xi_i = max over policies of (w . features + loss_i) . visits  -  w . features . visits of the expert in map i

The loss stands inside the maximum: a policy must be beaten by more, the more it differs from the expert. The
maximum over policies is one plan for the reward w . features + loss. Each plan gives a cut, a linear function of
w that lies below xi_i everywhere; the program of all cuts so far is small, and its minimum is a lower bound.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from maxentrl.core.check import InfeasibleError, InputError
from maxentrl.data.trajectories import Trajectories
from maxentrl.irl.best_response import Response, best_response, demonstrated
from maxentrl.irl.min_norm import minimise, project
from maxentrl.irl.reward import check_features, choices
from maxentrl.models.precision import problem_in_float64
from maxentrl.models.tabular import TabularMDP


@dataclasses.dataclass(frozen=True, eq=False)
class Example:
    """One map, and what an expert did in it.

    mdp: its own reward is not used, except that -inf forbids an action.
    features: [S, A, K]; or [S, K], features of the state in which the action is taken.
    demos: `Trajectories`: plans then begin where they begin; or expected discounted visits per episode, [S, A]
        or [T, S, A], beginning in mdp.initial.
    loss: [S, A] or [S], at least 0; how bad each choice is that the expert would not make. `path_loss` unless
        given.
    weight: beta, positive; how much this example counts.
    name: for messages; its number unless given.
    """

    mdp: TabularMDP
    features: np.ndarray
    demos: Trajectories | np.ndarray
    loss: np.ndarray | None = None
    weight: float = 1.0
    name: str | None = None


class Map(NamedTuple):
    """An example, checked: its problem in float64, features [S, A, K], loss [S, A], the expert's expected
    features [K] and share beta / n.
    """

    name: str
    mdp: TabularMDP
    features: np.ndarray
    loss: np.ndarray
    expert: np.ndarray
    share: float


class Program(NamedTuple):
    """All that the objective depends on. normals [R, K] . w <= limits [R] keep rewards below a ceiling.
    precision: of each plan, absolute.
    """

    maps: tuple[Map, ...]
    names: tuple[str, ...]
    regularisation: float
    power: int
    discount: float
    horizon: int | None
    normals: np.ndarray
    limits: np.ndarray
    precision: float
    warnings: tuple[str, ...]


class Value(NamedTuple):
    """The objective at some weights. objective: never below the truth, as plans are exact to a proven bound only.
    subgradient: [K]. margins: [n]; xi.
    features: [n, K] and losses: [n], the cuts xi_i(w') >= losses_i + w' . features_i for all w'.
    """

    objective: float
    subgradient: np.ndarray
    margins: np.ndarray
    features: np.ndarray
    losses: np.ndarray


def path_loss(mdp: TabularMDP, demos: Trajectories | np.ndarray, width: float = 0.0) -> np.ndarray:
    """A loss [S, A] that is 0 in states which the demonstrations visited, and 1 elsewhere.

    With a width it rises smoothly, 1 - exp(-distance^2 / (2 width^2)), with the distance to the nearest visited
    state on the map (units of mdp.coordinates).
    """
    if isinstance(demos, Trajectories):
        states = np.unique(demos.states[demos.recorded])
        visited = np.isin(np.arange(mdp.states), states)
    else:
        visited = np.asarray(demos).reshape(-1, mdp.states, mdp.actions).sum((0, 2)) > 0
    if not width >= 0:
        raise InputError(f"width must be at least 0, in units of the coordinates; got {width}.")
    loss = (~visited).astype(float)
    if width > 0:
        if mdp.coordinates is None:
            raise InputError("a loss with a width needs the coordinates of the states; the problem has none.")
        place = np.asarray(mdp.coordinates)
        near = np.full(mdp.states, np.inf)
        for point in place[visited]:
            near = np.minimum(near, ((place - point) ** 2).sum(1))
        loss = 1 - np.exp(-near / (2 * width**2))
    return np.repeat(loss[:, None], mdp.actions, 1)


def make_program(
    examples: Sequence[Example],
    *,
    discount: float,
    horizon: int | None,
    regularisation: float,
    power: int,
    ceiling: float | None,
    feature_names: Sequence[str] | None,
    precision: float,
) -> Program:
    """Check the examples, and bring them into one form. precision: of plans, as a share of the largest loss."""
    if len(examples) == 0:
        raise InputError("there are no examples; at least one map with demonstrations is needed.")
    maps, warnings = [], []
    total = len(examples)
    labels = [str(i) if example.name is None else example.name for i, example in enumerate(examples)]
    if len(set(labels)) != total:
        twice = next(label for label in labels if labels.count(label) > 1)
        raise InputError(f"names of examples must differ from each other; {twice!r} occurs more than once.")
    for label, example in zip(labels, examples, strict=True):
        try:
            found, said = _check_example(example, label, total, feature_names, discount, horizon)
        except InputError as error:
            raise InputError(f"map {label}: {error}") from error
        if maps and found.features.shape[2] != maps[0].features.shape[2]:
            raise InputError(
                f"maps must have the same features; map {label} has {found.features.shape[2]}, map "
                f"{maps[0].name} has {maps[0].features.shape[2]}."
            )
        maps.append(found)
        warnings += [f"map {label}: {sentence}" for sentence in said]
    count = maps[0].features.shape[2]
    names = tuple(str(name) for name in (range(count) if feature_names is None else feature_names))
    largest = max(float(one.loss.max()) for one in maps)
    if largest == 0:
        warnings.append(
            "every loss is zero: nothing then asks for a margin, and weights of zero (or the smallest that the "
            "ceiling allows) are optimal, whatever the expert did."
        )
    exits = discount == 1 and horizon is None
    normals, limits = np.zeros((0, count)), np.zeros(0)
    if ceiling is not None:
        # A first-exit problem can be planned when each reward, and the loss on top of it, costs something.
        rows = [
            np.concatenate([one.features, ceiling - exits * one.loss[:, :, None]], 2)[choices(one.mdp)]
            for one in maps
        ]
        table = np.unique(np.concatenate(rows), axis=0)
        normals, limits = table[:, :-1], table[:, -1]
    return Program(
        maps=tuple(maps),
        names=names,
        regularisation=regularisation,
        power=power,
        discount=discount,
        horizon=horizon,
        normals=normals,
        limits=limits,
        precision=precision * (largest if largest > 0 else 1.0),
        warnings=tuple(warnings),
    )


def _check_example(
    example: Example, label: str, total: int, feature_names, discount: float, horizon: int | None
) -> tuple[Map, list[str]]:
    # Distances between policies are small differences of large numbers.
    mdp = problem_in_float64(example.mdp)
    mdp = mdp.with_reward(np.zeros((mdp.states, mdp.actions)))
    table, _ = check_features(example.mdp, example.features, feature_names)
    found = demonstrated(example.mdp, example.demos, discount=discount, horizon=horizon)
    loss = path_loss(mdp, example.demos) if example.loss is None else np.asarray(example.loss, float)
    if loss.shape == (mdp.states,):
        loss = np.repeat(loss[:, None], mdp.actions, 1)
    if loss.shape != (mdp.states, mdp.actions) or not (np.isfinite(loss).all() and (loss >= 0).all()):
        raise InputError(
            f"loss must be finite numbers of at least 0, [S, A] = ({mdp.states}, {mdp.actions}) or [S]; got "
            f"shape {loss.shape}, smallest {loss.min(initial=np.inf):g}."
        )
    if not (np.isfinite(example.weight) and example.weight > 0):
        raise InputError(f"the weight of an example must be a positive number; got {example.weight}.")
    one = Map(
        name=label,
        mdp=mdp.with_initial(found.initial),
        features=table,
        loss=np.where(choices(mdp), loss, 0.0),
        expert=np.einsum("sa,sak->k", found.visits, table),
        share=example.weight / total,
    )
    return one, found.warnings


def evaluate(program: Program, w: np.ndarray) -> Value:
    """The objective at w, one of its subgradients, and the cuts that this took: one plan for each map.

    subgradient = lambda w + 1/n sum_i beta_i q xi_i^(q-1) (features of the best policy - of the expert)
    """
    count = len(program.maps)
    margins, proven, losses = np.zeros(count), np.zeros(count), np.zeros(count)
    features = np.zeros((count, len(w)))
    for i, one in enumerate(program.maps):
        answer = _plan(program, one, one.features @ w + one.loss)
        features[i] = np.einsum("sa,sak->k", answer.visits, one.features) - one.expert
        losses[i] = np.sum(answer.visits * one.loss)
        margins[i] = features[i] @ w + losses[i]
        proven[i] = margins[i] + answer.shortfall
    shares, q = np.array([one.share for one in program.maps]), program.power
    slope = shares * q * np.maximum(margins, 0) ** (q - 1) * (margins > 0)
    return Value(
        objective=program.regularisation / 2 * float(w @ w) + float(shares @ np.maximum(proven, 0) ** q),
        subgradient=program.regularisation * w + slope @ features,
        margins=margins,
        features=features,
        losses=losses,
    )


def plan_plainly(program: Program, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Plans for the reward alone, loss aside: [n] their expected loss, and [n] how much more than the best possible
    the expert earned (at most 0, unless its demonstrations are not what any policy does on average).
    """
    losses, ahead = np.zeros(len(program.maps)), np.zeros(len(program.maps))
    for i, one in enumerate(program.maps):
        answer = _plan(program, one, one.features @ w)
        losses[i] = np.sum(answer.visits * one.loss)
        earned = np.einsum("sa,sak->k", answer.visits, one.features) @ w
        ahead[i] = one.expert @ w - earned - answer.shortfall
    return losses, ahead


def _plan(program: Program, one: Map, reward: np.ndarray) -> Response:
    clock = {"discount": program.discount, "horizon": program.horizon}
    return best_response(one.mdp, reward, tolerance=program.precision, **clock)


def smallest_weights(program: Program) -> np.ndarray:
    """The shortest weights [K] that keep all rewards at or below the ceiling; 0 where there is none."""
    try:
        return project(np.zeros(len(program.names)), program.normals, program.limits)
    except InfeasibleError as error:
        raise InfeasibleError(
            "no weights keep every reward at or below the ceiling; a feature that is the same positive number "
            "in every choice always makes it possible."
        ) from error


class Cuts:
    """The cuts found so far, and the program that has them in place of the maximum over policies."""

    def __init__(self, program: Program):
        self.program = program
        count = len(program.maps)
        # The expert itself: xi >= 0. It comes first, and is where the search for multipliers begins.
        self.features = [np.zeros(len(program.names)) for _ in range(count)]
        self.losses = [0.0] * count
        self.map = list(range(count))
        self.known: set[bytes] = set()
        self.held = np.zeros(0, int)

    def add(self, value: Value) -> bool:
        """Take in the cuts of an evaluation, each once; whether any was new."""
        before = len(self.known)
        for i, (features, loss) in enumerate(zip(value.features, value.losses, strict=True)):
            mark = np.append(features, (loss, i)).tobytes()
            if mark not in self.known:
                self.known.add(mark)
                self.features.append(features)
                self.losses.append(float(loss))
                self.map.append(i)
        return len(self.known) > before

    def solve(self) -> tuple[np.ndarray, float]:
        """The weights that are best as far as the cuts tell, and the lower bound on the objective they prove.

        Solved in its dual, one multiplier for each cut: w = - sum multiplier * features / lambda. With q = 1 those
        of a map sum to its share; with q = 2 they are only at least 0. Any such multipliers prove a bound. Rows
        of the ceiling are let in as they are violated.
        """
        program = self.program
        root = np.sqrt(program.regularisation)
        count, size = len(self.map), len(program.names)
        shares = np.array([one.share for one in program.maps])
        where = np.array(self.map)
        own = np.zeros((count, len(shares)))
        if program.power == 2:
            own[np.arange(count), where] = 1 / np.sqrt(2 * shares[where])
        groups = where if program.power == 1 else np.full(count, -1)
        totals = shares if program.power == 1 else np.zeros(0)
        cuts = np.column_stack([np.array(self.features) / root, own])
        scale = 1 + np.abs(program.limits)
        while True:
            ceilings = np.zeros((len(self.held), cuts.shape[1]))
            ceilings[:, :size] = program.normals[self.held] / root
            rows = np.concatenate([cuts, ceilings])
            linear = np.append(self.losses, -program.limits[self.held])
            found = minimise(rows, linear, np.append(groups, np.full(len(self.held), -1)).astype(int), totals)
            sent = found.x @ rows
            w = -sent[:size] / root
            excess = (program.normals @ w - program.limits) / scale
            excess[self.held] = 0.0
            if not (excess > 1e-10).any():
                return w, float(linear @ found.x - 0.5 * sent @ sent)
            self.held = np.append(self.held, int(excess.argmax()))
