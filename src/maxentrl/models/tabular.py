"""Finite decision processes: states, actions, transition probabilities, rewards and an action prior.

The public shapes put the state first, as people write tables; transitions keep the state last inside, because
one action's probabilities then lie side by side in memory and a backup reads them in order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from maxentrl.core.check import InputError, check_memory, check_shape, is_concrete, size
from maxentrl.core.precision import aligned, in_double_precision, to_host
from maxentrl.core.types import Array
from maxentrl.models.arrivals import arrivals
from maxentrl.models.transition import (
    SUM_TOLERANCE,
    Dense,
    Sparse,
    Transition,
    as_transition,
    check_transition,
    floats,
)


class TabularMDP(eqx.Module):
    """A finite Markov decision process with an action prior, checked once, here.

    Args:
        transition: `[S, A, S]` probabilities; or padded successor lists, a pair of integers `[S, A, K]` and
            probabilities `[S, A, K]` (padding has probability 0); or a `Dense` or `Sparse`. What is sparse
            stays sparse. Each row of an allowed action in a live state sums to 1.
        reward: `[S, A]`, or `[T, S, A]` when it changes with time (finite horizons only), in units of reward.
            -inf forbids an action; other non-finite values are refused.
        prior: `"uniform"` (over the allowed actions), `"counting"` (log-weight 0 for every allowed action:
            the formulas `log sum exp` and `reward + temperature * entropy` of most of the literature), or
            log-weights `[S, A]` in nats, -inf to forbid. The prior convention measures entropy relative to
            the prior and gives a terminal state no advantage or penalty; counting pays temperature * log A
            for each step alive.
        initial: `[S]` start probabilities; uniform over the live states when absent.
        terminal: bool `[S]`; states of value 0 in which nothing happens any more.
        dtype: "float64" (default) or "float32".
        state_names, action_names: labels for reports and demonstrations; "0", "1", ... when absent.
        coordinates: `[S, 2]` column and row (or x and y) of each state, for pictures only.

    Raises:
        InputError: with the first offending row, state or entry.
    """

    transition: Transition
    reward: Float[Array, "*T S A"]
    log_prior: Float[Array, "S A"]
    initial: Float[Array, "S"]
    terminal: Bool[Array, "S"]
    coordinates: Float[Array, "S 2"] | None
    state_names: tuple[str, ...] | None = eqx.field(static=True)
    action_names: tuple[str, ...] | None = eqx.field(static=True)

    @in_double_precision
    def __init__(
        self,
        transition,
        reward,
        *,
        prior: Literal["uniform", "counting"] | Array = "uniform",
        initial=None,
        terminal=None,
        dtype: Literal["float64", "float32"] = "float64",
        state_names: Sequence[str] | None = None,
        action_names: Sequence[str] | None = None,
        coordinates=None,
    ):
        if dtype not in SUM_TOLERANCE:
            raise InputError(f"dtype must be float64 or float32; got {dtype!r}.")
        transition = as_transition(transition, dtype)
        states, actions = transition.shape
        terminal = _check_terminal(terminal, states)
        reward, forbidden = _check_reward(reward, states, actions, terminal, dtype)
        log_prior = _check_prior(prior, forbidden, terminal, states, actions, dtype)
        check_transition(transition, ~terminal[:, None] & np.isfinite(log_prior))
        self.transition = transition
        self.reward = aligned(reward)
        self.log_prior = aligned(log_prior)
        self.terminal = aligned(terminal)
        self.initial = aligned(_check_initial(initial, terminal, states, dtype))
        self.coordinates = None if coordinates is None else np.asarray(coordinates, float)
        if self.coordinates is not None:
            check_shape(self.coordinates, (states, 2), "coordinates", "[S, 2]")
        self.state_names = _check_names(state_names, states, "state_names")
        self.action_names = _check_names(action_names, actions, "action_names")
        for array in jax.tree.leaves(
            (self.transition, self.reward, self.log_prior, self.terminal, self.initial)
        ):
            array.flags.writeable = False

    @classmethod
    def from_gymnasium(cls, env, **settings) -> TabularMDP:
        """The process in a Gymnasium environment with a transition table: `models.sources.from_gymnasium`."""
        from maxentrl.models.sources import from_gymnasium

        return from_gymnasium(env, **settings)

    @property
    def states(self) -> int:
        """Number of states S."""
        return self.transition.shape[0]

    @property
    def actions(self) -> int:
        """Number of actions A."""
        return self.transition.shape[1]

    @property
    def dtype(self):
        """The number format of every computation on this problem."""
        return self.log_prior.dtype

    def state_name(self, state: int) -> str:
        """The user's name of a state, or its number."""
        return self.state_names[state] if self.state_names else str(state)

    def action_name(self, action: int) -> str:
        """The user's name of an action, or its number."""
        return self.action_names[action] if self.action_names else str(action)

    @in_double_precision
    def with_reward(self, reward) -> TabularMDP:
        """The same process with another reward, `[S, A]` or `[T, S, A]`; works under jit, grad and vmap.

        Traced rewards are taken as they are; others are checked as at construction. -inf forbids an
        action, and a normalised prior is then shared among the actions that are left.
        """
        if is_concrete(reward):
            forbidden = np.isneginf(self.log_prior)
            reward, more = _check_reward(
                reward, self.states, self.actions, np.asarray(self.terminal), self.dtype.name
            )
            if np.any(more & ~forbidden):
                return self._replace(reward=reward, log_prior=self._forbid(np.asarray(more)))
        return self._replace(reward=jnp.asarray(reward, self.dtype))

    def _forbid(self, forbidden: np.ndarray) -> np.ndarray:
        """The log-prior without these actions: a normalised row is conditioned on what is left."""
        old, terminal = np.asarray(self.log_prior), np.asarray(self.terminal)
        new = _check_prior(old, forbidden, terminal, self.states, self.actions, self.dtype.name)
        normalised = np.abs(np.exp(old).sum(1, keepdims=True) - 1) < SUM_TOLERANCE["float32"]
        left = np.exp(new).sum(1, keepdims=True)
        return np.where(normalised & ~terminal[:, None], new - np.log(np.where(left > 0, left, 1)), new)

    @in_double_precision
    def with_prior(self, prior) -> TabularMDP:
        """The same process with another action prior: "uniform", "counting" or log-weights `[S, A]`."""
        if not isinstance(prior, str) and not is_concrete(prior):
            return self._replace(log_prior=jnp.asarray(prior, self.dtype))
        forbidden = np.isneginf(np.asarray(self.log_prior))
        terminal = np.asarray(self.terminal)
        return self._replace(
            log_prior=_check_prior(prior, forbidden, terminal, self.states, self.actions, self.dtype.name)
        )

    @in_double_precision
    def with_initial(self, initial) -> TabularMDP:
        """The same process with other start probabilities `[S]`."""
        if is_concrete(initial):
            initial = _check_initial(initial, np.asarray(self.terminal), self.states, self.dtype.name)
        return self._replace(initial=jnp.asarray(initial, self.dtype))

    @in_double_precision
    def with_terminal(self, terminal) -> TabularMDP:
        """The same process in which these states, bool `[S]`, end it too: one network, another goal.

        States that are terminal already stay so, because their rows were cleared. Works under jit and vmap:
        many goals are one program,

            vmap(lambda goal: solve(mdp.with_terminal(jnp.arange(mdp.states) == goal), ...).v)(goals)
        """
        if is_concrete(terminal):
            terminal = _check_terminal(np.asarray(terminal) | np.asarray(self.terminal), self.states)
        return self._replace(terminal=jnp.asarray(terminal) | jnp.asarray(self.terminal))

    def with_arrivals(self, *, weighted: bool = False) -> TabularMDP:
        """The same process with a second copy of its successor lists, in order of arrival; itself when dense.

        On several cores, or an accelerator, mass then moves forward about twice as fast. `posterior` and
        `occupancy` do this themselves over long horizons; do it once where they are called often. `weighted`: laid
        out for messages of rewards that stay the same, which `posterior` sends, instead of for policies.
        """
        lists = self.transition
        if isinstance(lists, Dense) or lists.arrivals is not None:
            return self
        turned = arrivals(lists.successor, lists.probability, weighted=weighted)
        return self._replace(transition=Sparse(lists.successor, lists.probability, lists.local, turned))

    def bare(self) -> TabularMDP:
        """The same process without names and coordinates: what keys compiled functions stays small."""
        return self._replace(coordinates=None, state_names=None, action_names=None)

    def _replace(self, **changes) -> TabularMDP:
        """A copy with some fields exchanged, past the checks that __init__ makes."""
        copy = object.__new__(TabularMDP)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in changes:
                value = changes[field.name]
                value = to_host(jnp.asarray(value)) if eqx.is_array(value) else value
            object.__setattr__(copy, field.name, value)
        return copy

    @in_double_precision
    def transition_matrix(self) -> Float[Array, "S A S"]:
        """The full table `[S, A, S]`. Asked for by name, as it can be large; refused when memory is short."""
        if isinstance(self.transition, Dense):
            return self.transition.probability
        successor, probability = self.transition.successor, self.transition.probability
        needed = self.states**2 * self.actions * self.dtype.itemsize
        check_memory(needed, "the dense transition table", "keep the successor lists")
        action = jnp.arange(self.actions)[:, None, None]
        state = jnp.arange(self.states)[None, None, :]
        table = jnp.zeros((self.states, self.actions, self.states), self.dtype)
        return table.at[state, action, successor].add(probability)

    def memory(self, horizon: int | None = None) -> int:
        """Estimated peak bytes of a solve beside the problem itself, over `horizon` steps or stationary."""
        item = self.dtype.itemsize
        table = self.states * self.actions * item
        if horizon is not None:
            return (horizon + 1) * self.states * item + 4 * table
        if isinstance(self.transition, Dense):
            return self.states**2 * item * 3 + 4 * table
        return 4 * table + 2 * np.size(self.transition.successor) * 4 + 20 * self.states * item

    def check_memory(self, horizon: int | None = None, copies: int = 1) -> None:
        """Refuse, before it begins, a solve whose estimate exceeds the memory at hand."""
        check_memory(
            self.memory(horizon) * copies,
            f"solving {self.states} states",
            "shorten the horizon or aggregate states",
        )

    def __repr__(self) -> str:
        form = type(self.transition).__name__.lower()
        held = size(sum(np.size(leaf) * leaf.dtype.itemsize for leaf in jax.tree.leaves(self)))
        return f"TabularMDP(states={self.states}, actions={self.actions}, {form}, {self.dtype}, {held})"


def _check_terminal(terminal, states: int) -> np.ndarray:
    if terminal is None:
        return np.zeros(states, bool)
    array = np.asarray(terminal)
    if array.dtype != bool or array.shape != (states,):
        raise InputError(
            f"terminal must be {states} truth values, one per state; got {array.dtype} {array.shape}."
        )
    if array.all():
        raise InputError("terminal marks every state; at least one state must be live.")
    return array


def _check_reward(reward, states: int, actions: int, terminal: np.ndarray, dtype: str):
    """The reward, with 0 where it does not matter, and bool [S, A]: where -inf forbids the action."""
    array = floats(reward, "reward", dtype)
    if array.ndim not in (2, 3) or array.shape[-2:] != (states, actions) or 0 in array.shape:
        raise InputError(
            f"reward must have shape [S, A] = ({states}, {actions}), or [T, S, A] when it changes with time; "
            f"got {array.shape}."
        )
    live = ~terminal[:, None]
    wrong = (np.isnan(array) | np.isposinf(array)) & live
    if wrong.any():
        *time, s, a = np.argwhere(wrong)[0]
        when = f" at time {time[0]}" if time else ""
        raise InputError(
            f"reward must be finite, or -inf to forbid an action; state {s}, action {a}{when} holds "
            f"{array[(*time, s, a)]} ({int(wrong.sum())} such entries in all)."
        )
    forbidden = np.isneginf(array)
    if array.ndim == 3 and np.any(forbidden.any(0) & ~forbidden.all(0) & live):
        s, a = np.argwhere(forbidden.any(0) & ~forbidden.all(0) & live)[0]
        raise InputError(
            f"reward -inf must forbid an action at every time or never; state {s}, action {a} is "
            "forbidden at some times only."
        )
    return np.where(np.isfinite(array), array, 0).astype(dtype, copy=False), (
        forbidden.any(0) if array.ndim == 3 else forbidden
    )


def _check_prior(prior, forbidden, terminal, states: int, actions: int, dtype: str) -> np.ndarray:
    """Log-weights [S, A], -inf where forbidden; every live state keeps an action."""
    if isinstance(prior, str):
        if prior not in ("uniform", "counting"):
            raise InputError(f"prior must be uniform, counting or log-weights [S, A]; got {prior!r}.")
        weights = np.zeros((states, actions), dtype)
    else:
        weights = floats(prior, "prior", dtype)
        check_shape(weights, (states, actions), "prior", "[S, A]")
        wrong = (np.isnan(weights) | np.isposinf(weights)) & ~terminal[:, None]
        if wrong.any():
            s, a = np.argwhere(wrong)[0]
            raise InputError(
                f"prior must hold log-weights in [-inf, inf); state {s}, action {a} holds {weights[s, a]}."
            )
        weights = np.where(np.isnan(weights), 0, weights)
    weights = np.where(forbidden & ~terminal[:, None], -np.inf, weights).astype(dtype)
    empty = np.isneginf(weights).all(1) & ~terminal
    if empty.any():
        raise InputError(
            f"every live state needs at least one allowed action; state {int(np.argmax(empty))} has none "
            f"({int(empty.sum())} such states in all)."
        )
    if isinstance(prior, str) and prior == "uniform":
        count = np.maximum(np.isfinite(weights).sum(1, keepdims=True), 1)
        weights = np.where(np.isfinite(weights), -np.log(count), -np.inf).astype(dtype)
    return weights


def _check_initial(initial, terminal, states: int, dtype: str) -> np.ndarray:
    if initial is None:
        return (~terminal / (~terminal).sum()).astype(dtype)
    array = floats(initial, "initial", dtype)
    check_shape(array, (states,), "initial", "[S]")
    if not np.all(array >= 0):
        s = int(np.argmax(~(array >= 0)))
        raise InputError(f"initial must hold probabilities; state {s} holds {array[s]}.")
    if not abs(array.sum() - 1) <= SUM_TOLERANCE[dtype]:
        raise InputError(f"initial must sum to 1; it sums to {array.sum():.10g}.")
    return array / array.sum()


def _check_names(names, count: int, what: str) -> tuple[str, ...] | None:
    if names is None:
        return None
    names = tuple(str(name) for name in names)
    if len(names) != count:
        raise InputError(f"{what} must hold {count} names; got {len(names)}.")
    if len(set(names)) != count:
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{what} must differ from each other; {twice!r} occurs more than once.")
    return names
