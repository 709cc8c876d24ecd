"""What a reward is good for elsewhere: planned with in a world that changed, and the flows that it predicts there.

A reward that was recovered in one world stands for every reward that differs from it by shaping there. In another world
these need not agree, because shaping averages a potential over next states, which are others now. `transfer` says what
that costs, where the true reward is known; `counterfactual` predicts, where it is not.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from maxentrl.assess.shaping import Choices
from maxentrl.core.check import InputError, check_shape
from maxentrl.core.precision import in_double_precision
from maxentrl.core.types import Scalar
from maxentrl.infer.policy import evaluate, occupancy
from maxentrl.infer.solution import solve
from maxentrl.models.tabular import TabularMDP
from maxentrl.models.transition import Dense


class Transfer(NamedTuple):
    """What planning with one reward is worth under another, in units of the true reward, from the start.

    log_policy: [S, A] or [T, S, A], planned with the reward in question.
    value: its expected true reward. best: the most that any policy gets. uniform: what choosing uniformly among the
        allowed actions gets.
    attainable: what the policy gets that is planned with the true reward at the same temperature; `best` at
        temperature 0.
    regret: best - value, at least 0. normalised: regret / (best - uniform): 0 is perfect, 1 no better than choosing
        blindly, above 1 worse than that.
    """

    log_policy: np.ndarray
    value: float
    best: float
    uniform: float
    attainable: float
    regret: float
    normalised: float


def transfer(
    mdp: TabularMDP,
    reward,
    true_reward,
    *,
    temperature: Scalar = 0.0,
    discount: Scalar | None = None,
    horizon: int | None = None,
) -> Transfer:
    """Plan with `reward` in this world and collect `true_reward` there.

        value = E[ sum_t discount^t true_reward(s_t, a_t) ] under the policy planned with `reward`

    Args:
        mdp: the world, usually another than the one in which the reward was recovered. Its own reward is not used,
            except that -inf forbids an action.
        reward, true_reward: [S, A].
        temperature: of the policy, in [0, inf), units of `reward`. Above 0 even the true reward has regret: compare
            `value` with `attainable`.
        discount, horizon: as for `solve`.

    Raises:
        InputError: for rewards that do not fit or are not finite where a choice exists.
        InfeasibleError: for a first-exit problem without a finite solution under one of the rewards.
    """
    choices = Choices(mdp)
    recovered, truth = (
        mdp.with_reward(choices.table(_table(choices, mdp, table, name)))
        for table, name in ((reward, "reward"), (true_reward, "true_reward"))
    )
    clock = {"discount": discount, "horizon": horizon}
    gain = np.float64(1.0 if discount is None else discount)

    def worth(log_policy) -> float:
        return float(_worth(truth.bare(), log_policy, gain, horizon))

    log_policy = np.asarray(solve(recovered, temperature=temperature, **clock).log_policy)
    value = worth(log_policy)
    best = worth(solve(truth, temperature=0.0, **clock).log_policy)
    with np.errstate(divide="ignore"):
        blind = np.log(choices.allowed / np.maximum(choices.allowed.sum(1, keepdims=True), 1))
    uniform = worth(blind)
    attainable = worth(solve(truth, temperature=temperature, **clock).log_policy)
    # Two evaluations of the same policy agree to rounding; a gain over the best is nothing else.
    regret = max(best - value, 0.0)
    room = best - uniform
    normalised = regret / room if room > 1e-12 * max(abs(best), abs(uniform)) else 0.0
    return Transfer(log_policy, value, best, uniform, attainable, regret, normalised)


# Compiled once for problems of one shape: a scan over a horizon would be compiled anew at each call.
@in_double_precision
@eqx.filter_jit
def _worth(mdp: TabularMDP, log_policy, discount, horizon: int | None):
    v = jnp.asarray(evaluate(mdp, log_policy, temperature=0.0, discount=discount, horizon=horizon))
    return jnp.asarray(mdp.initial) @ (v if horizon is None else v[0])


@in_double_precision
@eqx.filter_jit
def _taken(mdp: TabularMDP, log_policy, discount, horizon: int | None):
    taken = jnp.asarray(occupancy(mdp, log_policy, discount=discount, horizon=horizon))
    return taken if horizon is None else taken.sum(0)


def _table(choices: Choices, mdp: TabularMDP, reward, name: str) -> np.ndarray:
    check_shape(reward, choices.shape, name, "[S, A]")
    return choices.rewards(mdp, reward, name)


def close(mdp: TabularMDP, state: int | str, action: int | str) -> TabularMDP:
    """The same problem with one arc closed: the action is forbidden in this state.

    The prior is shared among the actions that are left.

    Args:
        state, action: numbers, or the names that the problem gives them.

    Raises:
        InputError: for an unknown state or action, one that is forbidden already, or the last one of its state.
    """
    s, a = (
        _number(state, mdp.states, mdp.state_names, "state"),
        _number(action, mdp.actions, mdp.action_names, "action"),
    )
    allowed = Choices(mdp).allowed
    where = f"action {mdp.action_name(a)} of state {mdp.state_name(s)}"
    if not allowed[s, a]:
        raise InputError(f"{where} cannot be closed: no choice exists there.")
    if allowed[s].sum() == 1:
        raise InputError(f"{where} cannot be closed: it is the only action there.")
    reward = np.array(mdp.reward)
    reward[..., s, a] = -np.inf
    return mdp.with_reward(reward)


def move_goal(
    mdp: TabularMDP, origin: int | str, to: int | str, *, transition, reward, bonus: float = 0.0
) -> TabularMDP:
    """The same problem with a goal moved: `to` terminates, and `origin` is a place like others.

    A terminal state keeps no actions, so what can be done in the old goal has to be said.

    Args:
        origin, to: states, by number or name. `origin` is terminal, `to` is not.
        transition: [A, S], where the actions lead from the old goal. A row of zeros forbids its action.
        reward: [A], what they pay, in units of reward.
        bonus: what entering the goal pays, if the reward of the problem holds it: taken from every choice in proportion to
            its chance of leading to the old goal, and given for leading to the new one.

    Raises:
        InputError: for an unknown state, an `origin` that is not a goal or a `to` that is, or rows that are not
            probabilities.
    """
    old = _number(origin, mdp.states, mdp.state_names, "origin")
    new = _number(to, mdp.states, mdp.state_names, "to")
    terminal = np.array(mdp.terminal)
    if not terminal[old]:
        raise InputError(f"origin must be a goal; state {mdp.state_name(old)} is not terminal.")
    if terminal[new]:
        raise InputError(f"to must not be a goal yet; state {mdp.state_name(new)} is terminal.")
    rows, gains = np.asarray(transition, np.float64), np.asarray(reward, np.float64)
    check_shape(rows, (mdp.actions, mdp.states), "transition", "[A, S]")
    check_shape(gains, (mdp.actions,), "reward", "[A]")
    terminal[old], terminal[new] = False, True
    exists = rows.any(1)
    table, log_prior = np.array(mdp.reward), np.array(mdp.log_prior)
    table[..., old, :] = np.where(exists, gains, 0.0)
    # What the prior says of a terminal state means nothing: the new place gets the kind that the others have.
    live = ~np.asarray(mdp.terminal)
    normalised = np.allclose(np.exp(log_prior[live]).sum(1), 1, atol=1e-5)
    weight = 1 / max(int(exists.sum()), 1) if normalised else 1.0
    log_prior[old] = np.where(exists, np.log(weight), -np.inf)
    flow = _with_rows(mdp, old, rows)
    moved = TabularMDP(
        flow,
        table,
        prior=log_prior,
        initial=mdp.initial,
        terminal=terminal,
        dtype="float64" if mdp.dtype == np.float64 else "float32",
        state_names=mdp.state_names,
        action_names=mdp.action_names,
        coordinates=mdp.coordinates,
    )
    if bonus == 0:
        return moved
    choices = Choices(moved)
    change = choices.table(choices.flow @ np.where(np.arange(mdp.states) == new, bonus, 0.0))
    before = Choices(mdp)
    change -= before.table(before.flow @ np.where(np.arange(mdp.states) == old, bonus, 0.0))
    return moved.with_reward(np.asarray(moved.reward) + np.where(choices.allowed, change, 0.0))


def _with_rows(mdp: TabularMDP, state: int, rows: np.ndarray):
    """The transitions of the problem with the rows of one state exchanged, full or as successor lists."""
    if isinstance(mdp.transition, Dense):
        full = np.array(mdp.transition.probability)
        full[state] = rows
        return full
    successor, chance = (
        np.asarray(x).transpose(2, 0, 1) for x in (mdp.transition.successor, mdp.transition.probability)
    )
    width = max(successor.shape[2], int((rows > 0).sum(1).max()))
    room = ((0, 0), (0, 0), (0, width - successor.shape[2]))
    successor, chance = np.pad(successor, room), np.pad(chance, room)
    order = np.argsort(-rows, axis=1, kind="stable")[:, :width]
    successor[state], chance[state] = order, np.take_along_axis(rows, order, 1)
    return successor, chance


def _number(which: int | str, count: int, names: tuple[str, ...] | None, what: str) -> int:
    """A state or an action by its name or number."""
    if isinstance(which, str) and names and which in names:
        return names.index(which)
    if isinstance(which, str) and which.isdecimal() and not names:
        which = int(which)
    if not isinstance(which, str) and 0 <= which < count:
        return int(which)
    known = f"a name such as {', '.join(names[:3])}, or a number" if names else "a number"
    raise InputError(f"{what} must be {known} from 0 to {count - 1}; got {which!r}.")


@dataclasses.dataclass(frozen=True, eq=False)
class Flows:
    """How often each state is visited and each action taken, expected from the start, discounted as the problem is.

    states: [S]; for a terminal state, how often it is reached.
    actions: [S, A].
    value: the soft value of the start, in units of reward.
    """

    states: np.ndarray
    actions: np.ndarray
    value: float


@dataclasses.dataclass(frozen=True, eq=False)
class Counterfactual:
    """Predicted flows before and after a change of the world."""

    before: Flows
    after: Flows

    @property
    def states(self) -> np.ndarray:
        """[S], change of the visits."""
        return self.after.states - self.before.states

    @property
    def actions(self) -> np.ndarray:
        """[S, A], change of how often each action is taken."""
        return self.after.actions - self.before.actions

    @property
    def value(self) -> float:
        """Change of the soft value of the start, in units of reward."""
        return self.after.value - self.before.value


def expected_flows(
    mdp: TabularMDP, *, temperature: Scalar, discount: Scalar | None = None, horizon: int | None = None
) -> Flows:
    """The flows of the soft-optimal policy, under the given dynamics; those of a horizon are summed over time.

    Args: as for `solve`; times the number of journeys these are expected counts.
    """
    plan = solve(mdp, temperature=temperature, discount=discount, horizon=horizon)
    gain = 1.0 if discount is None else float(discount)
    taken = np.asarray(_taken(mdp.bare(), plan.log_policy, np.float64(gain), horizon))
    choices = Choices(mdp)
    reached = gain * (choices.flow.T @ taken[choices.state, choices.action]) + np.asarray(mdp.initial)
    return Flows(
        np.where(np.asarray(mdp.terminal), reached, taken.sum(1)), taken, float(np.asarray(plan.start_value))
    )


def counterfactual(
    before: TabularMDP,
    after: TabularMDP,
    *,
    temperature: Scalar,
    discount: Scalar | None = None,
    horizon: int | None = None,
) -> Counterfactual:
    """Predicted flows before and after a change, for instance `after = close(before, state, action)`.

    Give both problems the recovered reward: `before = mdp.with_reward(estimate.reward)`.

    Raises:
        InputError: for problems of different size.
        InfeasibleError: when the changed problem has no solution, such as a goal that can no longer be reached.
    """
    if (before.states, before.actions) != (after.states, after.actions):
        raise InputError(
            f"before and after must have the same states and actions; got {before.states} states and {before.actions} "
            f"actions, then {after.states} and {after.actions}."
        )
    clock = {"temperature": temperature, "discount": discount, "horizon": horizon}
    return Counterfactual(expected_flows(before, **clock), expected_flows(after, **clock))
