"""Distances between rewards that see past what no behaviour can show: potential shaping and positive scale.

| distance | what it compares | what it does not see |
|---|---|---|
| `starc` | expected rewards of the choices that exist | scale, shaping, how a reward is spread over next states |
| `dard` | rewards of transitions that can happen | scale, constants, shaping of every transition |
| `epic` | rewards of all triples (s, a, s') | scale, constants, shaping of every transition |

Which to take. `starc` is zero when two rewards rank all policies alike in this problem and only then, and bounds what
acting on the wrong one costs (`regret_bound`): it is the one to report. `epic` asks for no dynamics and holds for all
of them at once, at the price of comparing rewards where no transition leads. `dard` stands between the two.

A reward [S, A] says nothing about next states. For `dard` and `epic` it pays the same whatever follows, and shaping
that was already averaged over next states, as in `shaping.shape`, is then a different reward; only `starc` sees that it
is not. All distances lie in [0, 1], are symmetric and obey the triangle inequality; 1 is a reward against its negative.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from maxentrl.assess.shaping import Choices, unshaped
from maxentrl.core.check import InputError, check_discount, check_memory, check_shape
from maxentrl.infer.policy import evaluate
from maxentrl.models.precision import problem_in_float64
from maxentrl.models.tabular import TabularMDP

TRIVIAL = 1e-10
"""What is left of a reward, relative to it, below which it counts as nothing but shaping."""


def minimal(mdp: TabularMDP, reward, *, discount: float) -> np.ndarray:
    """The smallest reward [S, A] that differs from this one by shaping: the part of it that matters.

        minimal(r) = r - shaping by the potential that leaves the smallest sum of squares over all choices

    Args:
        mdp: the dynamics, the choices and the terminal states; its own reward is not used.
        reward: [S, A]; or [S, A, S], of which the expectation over next states is taken.
        discount: in [0, 1].

    Source: Skalse et al. (2024), minimal canonicalisation for the L2 norm, here weighted by the dynamics, which makes
    it a projection of expected rewards.
    """
    check_discount(discount)
    choices = Choices(mdp)
    return choices.table(unshaped(choices, choices.rewards(mdp, reward, "reward"), float(discount))[1])


def value_adjusted(mdp: TabularMDP, reward, *, discount: float, log_policy=None) -> np.ndarray:
    """Value-adjusted levelling [S, A]: what a choice gains over a fixed policy, its advantage.

        c(r)(s, a) = E[ r(s, a, s') + discount V(s') ] - V(s),   V the value of the fixed policy under r

    Args:
        reward, discount: as for `minimal`; discount 1 needs a policy that ends.
        log_policy: [S, A]; uniform over the allowed actions unless given.

    Source: Skalse et al. (2024), proposition 2.
    """
    choices = Choices(mdp)
    rewards = choices.rewards(mdp, reward, "reward")
    if log_policy is None:
        with np.errstate(divide="ignore"):
            log_policy = np.log(choices.allowed / np.maximum(choices.allowed.sum(1, keepdims=True), 1))
    value = evaluate(
        problem_in_float64(mdp.bare()).with_reward(choices.table(rewards)),
        log_policy,
        temperature=0.0,
        discount=discount,
    )
    return choices.table(rewards + choices.shaping(np.asarray(value, np.float64), float(discount)))


def starc(
    mdp: TabularMDP, reward, other, *, discount: float, canonical: Callable[..., np.ndarray] = minimal
) -> float:
    """Standardised reward comparison: half the distance between canonical rewards of length 1, in [0, 1].

        d = || c(r1) / ||c(r1)||  -  c(r2) / ||c(r2)|| || / 2       (L2 over the choices)

    Does not see positive scale, shaping (with it constants, where nothing terminates), or how a reward is spread over
    next states. It is 0 exactly when the two rewards rank all policies alike in this problem, from starts that reach every
    state. A reward that is nothing
    but shaping ranks all policies the same: its distance is 0 from another such and 1/2 from any other reward.

    Args:
        mdp: the dynamics, the choices and the terminal states; its own reward is not used.
        reward, other: [S, A], or [S, A, S] when they depend on the next state, in any units.
        discount: in [0, 1]; at 1 without an end, constants are seen.
        canonical: `minimal`, or `value_adjusted`, or another function of (mdp, reward, discount=...).

    Raises:
        InputError: for shapes that do not fit, or a reward that is not finite where a choice exists.

    Source: Skalse et al. (2024), definition 3, with L2 norms.
    """
    first, second = (
        _standard(mdp, table, discount, canonical, name)[0]
        for name, table in (("reward", reward), ("other", other))
    )
    return 0.5 * float(np.linalg.norm(first - second))


def regret_bound(mdp: TabularMDP, reward, other, *, discount: float) -> float:
    """The most reward, in units of `reward`, that a policy can lose which `other` prefers.

    If `other` ranks policy 2 at least as high as policy 1, then

        J1(policy 1) - J1(policy 2) <= ||c(r1)|| * 2 d * sqrt(2) / (1 - discount)

    with d the distance `starc` and c the part that matters (`minimal`): occupancies are positive and sum to at most 1 / (1 -
    discount), so two of them are at most sqrt(2) / (1 - discount) apart. Hence a policy that is best for `other` loses no
    more than this under `reward`. The bound holds for every start; it is loose.

    Raises:
        InputError: for discount 1, where occupancies have no common bound.

    Source: Skalse et al. (2024), soundness theorem and its proof, with the constant of our norms.
    """
    if float(discount) >= 1:
        raise InputError(
            f"regret_bound needs a discount below 1: without it visits have no bound; got {discount}."
        )
    first, size = _standard(mdp, reward, discount, minimal, "reward")
    second, _ = _standard(mdp, other, discount, minimal, "other")
    return size * float(np.linalg.norm(first - second)) * math.sqrt(2) / (1 - float(discount))


def _standard(mdp: TabularMDP, reward, discount, canonical, name: str) -> tuple[np.ndarray, float]:
    """The canonical reward at length 1, or 0 when nothing is left of it; and its length."""
    check_discount(discount)
    choices = Choices(mdp)
    given = float(np.linalg.norm(choices.rewards(mdp, reward, name)))
    table = np.asarray(canonical(mdp, reward, discount=discount))
    size = float(np.linalg.norm(table))
    if size <= TRIVIAL * given:
        return np.zeros_like(table), 0.0
    return table / size, size


def epic(reward, other, *, discount: float, states=None, actions=None, coverage=None) -> float:
    """Equivalent-policy invariant comparison: Pearson distance of canonically shaped rewards, in [0, 1].

        C(R)(s, a, s') = R(s, a, s') + E[ discount R(s', A, S') - R(s, A, S') - discount R(S, A, S') ]
        d = sqrt( (1 - correlation of C(R1) and C(R2)) / 2 )

    with S, S' drawn from `states` and A from `actions`. Does not see positive scale, constants, or R + discount
    potential(s') - potential(s) on all triples, which includes the rows of terminal states. No dynamics enter: rewards
    are needed, and compared, where no transition leads. A reward of which nothing is left counts as uncorrelated.

    Args:
        reward, other: [S, A, S]; or [S, A], which pays the same whatever follows.
        discount: in [0, 1].
        states: [S] probabilities; uniform unless given. actions: [A]; uniform unless given.
        coverage: [S, A, S] probabilities of the triples that are compared; those of independent draws unless given.

    Source: Gleave et al. (2021), section 4; the canonical shaping is definition 4.1.
    """
    check_discount(discount)
    first, second = _triples(reward, "reward"), _triples(other, "other")
    if first.shape != second.shape:
        raise InputError(
            f"reward and other must be about the same states and actions; got {np.shape(reward)} and "
            f"{np.shape(other)}."
        )
    count, choices = first.shape[:2]
    on_states = _distribution(states, (count,), "states")
    on_actions = _distribution(actions, (choices,), "actions")
    weights = (
        on_states[:, None, None] * on_actions[None, :, None] * on_states
        if coverage is None
        else _distribution(coverage, first.shape, "coverage")
    )

    def canonical(table: np.ndarray) -> np.ndarray:
        mean = np.einsum("a,sat,t->s", on_actions, table, on_states)
        return table + discount * mean - mean[:, None, None] - discount * (on_states @ mean)

    return _pearson_distance(canonical, first, second, weights)


def dard(mdp: TabularMDP, reward, other, *, discount: float, actions=None, coverage=None) -> float:
    """Dynamics-aware reward distance: as `epic`, but shaped along transitions and compared where they lead, in [0, 1].

        C(R)(s, a, s') = R(s, a, s') + E[ discount R(s', A, S'') - R(s, A, S') - discount R(S', A, S'') ]

    with A from `actions`, S' ~ P(.|s, A) and S'' ~ P(.|s', A). Does not see positive scale, constants, or shaping of
    every transition, discount potential(s') - potential(s). The last term asks for rewards of (S', A, S''), a step away from
    the transitions that can happen. Terminal states are read as staying where they are, with the rewards in their rows.

    Args:
        mdp: the dynamics; its own reward is not used. Every action must be allowed in every live state.
        reward, other: [S, A, S]; or [S, A], which pays the same whatever follows.
        discount: in [0, 1].
        actions: [A] probabilities; uniform unless given.
        coverage: [S, A] probabilities of the choices that are compared, each with the next states that the dynamics
            give it; independent draws of a live state and of an action unless given.

    Source: Wulfe et al. (2022), equation 3.
    """
    check_discount(discount)
    live, allowed = ~np.asarray(mdp.terminal), np.isfinite(np.asarray(mdp.log_prior))
    if (live[:, None] & ~allowed).any():
        s, a = np.argwhere(live[:, None] & ~allowed)[0]
        raise InputError(
            "dard compares what the same action does in two states and needs all of them allowed; state "
            f"{mdp.state_name(int(s))} forbids action {mdp.action_name(int(a))}."
        )
    shape = (mdp.states, mdp.actions, mdp.states)
    tables = _triples(reward, "reward"), _triples(other, "other")
    for table, name in zip(tables, ("reward", "other"), strict=True):
        check_shape(table, shape, name, "[S, A, S]")
    chance = np.array(mdp.transition_matrix(), np.float64)
    chance[~live, :, ~live] = 1.0
    on_actions = _distribution(actions, (mdp.actions,), "actions")
    on_choices = (
        np.outer(live / live.sum(), on_actions)
        if coverage is None
        else _distribution(coverage, shape[:2], "coverage")
    )

    def canonical(table: np.ndarray) -> np.ndarray:
        mean = np.einsum("a,sat,sat->s", on_actions, chance, table)
        after = np.zeros((shape[0], shape[0]))
        for a, share in enumerate(on_actions):
            after += share * (chance[:, a] @ table[:, a] @ chance[:, a].T)
        return table + discount * mean - mean[:, None, None] - discount * after[:, None, :]

    return _pearson_distance(canonical, *tables, on_choices[:, :, None] * chance)


def _triples(reward, name: str) -> np.ndarray:
    """A reward as [S, A, S], finite everywhere."""
    table = np.asarray(reward)
    if table.dtype.kind not in "fiub" or table.ndim not in (2, 3) or 0 in table.shape:
        raise InputError(f"{name} must be numbers [S, A, S] or [S, A]; got {table.dtype} {table.shape}.")
    states, actions = table.shape[:2]
    check_memory(
        6 * 8 * states * actions * states, f"a reward of {states} states for every next state", "use starc"
    )
    if table.ndim == 2:
        table = np.broadcast_to(table[:, :, None], (states, actions, states))
    check_shape(table, (states, actions, states), name, "[S, A, S]")
    if not np.isfinite(table).all():
        where = ", ".join(str(int(i)) for i in np.argwhere(~np.isfinite(table))[0])
        raise InputError(
            f"{name} must be finite on every triple, those that cannot happen included; entry ({where}) is not."
        )
    return table.astype(np.float64)


def _distribution(values, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Probabilities; uniform when there are none."""
    if values is None:
        return np.full(shape, 1 / math.prod(shape))
    table = np.asarray(values, np.float64)
    if table.shape != shape:
        raise InputError(f"{name} must have shape {shape}; got {table.shape}.")
    if not (table >= 0).all() or not abs(table.sum() - 1) <= 1e-9:
        raise InputError(f"{name} must hold probabilities that sum to 1; they sum to {table.sum():.10g}.")
    return table


def _pearson_distance(canonical: Callable[[np.ndarray], np.ndarray], first, second, weights) -> float:
    """sqrt((1 - correlation) / 2), as half the distance of standardised variables, which keeps small ones exact."""
    size = np.sqrt(weights)

    def standard(table: np.ndarray) -> np.ndarray:
        values = canonical(table)
        centred = (values - np.sum(weights * values)) * size
        left = float(np.linalg.norm(centred))
        return centred / left if left > TRIVIAL * np.max(np.abs(table)) else np.zeros_like(centred)

    one, two = standard(first), standard(second)
    apart = float(np.linalg.norm(one - two))
    return apart * (0.5 if one.any() and two.any() else math.sqrt(0.5))
