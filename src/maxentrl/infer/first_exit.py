"""First-exit problems (discount 1, no horizon): when they have a finite solution, and whom to blame when not.

Values stay finite exactly when no loop that can be held for ever pays for itself. Under posterior dynamics,
or deterministic ones, a loop is a strongly connected component of the live states, and what it pays per step
is temperature * log of the spectral radius of rho exp(r / temperature) P inside it. Under given stochastic
dynamics the agent cannot wish its way back, so a loop is an end component: a set of states and actions that
never leave it. At temperature 0 what a loop pays is its best mean reward.
"""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from maxentrl.core.check import InfeasibleError, InputError
from maxentrl.core.soft import temperature_kind
from maxentrl.core.types import Temperatures
from maxentrl.core.words import noun
from maxentrl.infer import backup as one
from maxentrl.models.tabular import TabularMDP
from maxentrl.models.transition import Dense, Sparse

GAIN_SWEEPS = 5_000
NAMED = 8
"""States listed by name in a message; the rest are counted."""


class Edges:
    """The possible transitions of allowed actions in live states: flat arrays state, action, state_next."""

    def __init__(self, mdp: TabularMDP):
        allowed = ~np.asarray(mdp.terminal)[:, None] & np.isfinite(np.asarray(mdp.log_prior))
        if isinstance(mdp.transition, Dense):
            possible = (np.asarray(mdp.transition.probability) > 0) & allowed[:, :, None]
            self.state, self.action, self.state_next = np.nonzero(possible)
        else:
            possible = (np.asarray(mdp.transition.probability) > 0) & allowed.T[:, None, :]
            self.action, slot, self.state = np.nonzero(possible)
            self.state_next = np.asarray(mdp.transition.successor)[self.action, slot, self.state]


def require_exit(mdp: TabularMDP) -> None:
    """Refuse a first-exit problem in which some live state cannot reach a terminal one."""
    terminal = np.asarray(mdp.terminal)
    if not terminal.any():
        raise InputError(
            "discount 1 without a horizon is the first-exit problem, and needs terminal states; this problem "
            "has none. Give a discount below 1, a horizon, or mark the goals as terminal."
        )
    edges = Edges(mdp)
    safe = terminal.copy()
    while True:
        grown = safe.copy()
        grown[edges.state[safe[edges.state_next]]] = True
        if (grown == safe).all():
            break
        safe = grown
    if not safe.all():
        raise InfeasibleError(
            f"no terminal state can be reached from {_named(mdp, np.flatnonzero(~safe))}; "
            "discount 1 without a horizon needs an exit from every state."
        )


def explain_divergence(mdp: TabularMDP, temperatures: Temperatures, discount: float = 1.0) -> None:
    """Raise `InfeasibleError` for a stationary problem that was not solved, naming the loop that pays most.

    With posterior dynamics a discount below 1 is one more chance to leave: it costs t_state * log(discount) a
    step.
    """
    worst, gain = None, -math.inf
    optimistic = temperature_kind(temperatures.state) != "mean"
    for component in _loops(mdp) if optimistic else _end_components(mdp):
        found = _gain(mdp, temperatures, *component)
        if found > gain:
            worst, gain = component[0], found
    if discount < 1 and temperature_kind(temperatures.state) == "soft":
        gain += float(temperatures.state) * math.log(discount)
    if worst is None or gain < -1e-9:
        raise InfeasibleError(
            f"{_kind(discount)} could not be solved to a proven answer: every loop loses "
            f"reward (the dearest to hold loses {-gain:.3g} a step), but so slowly that the values cannot be "
            "bounded in this number format. Give a discount below 1 or lower the rewards."
        )
    alpha = temperatures.action
    radius = (
        f" (spectral radius {math.exp(min(gain / float(alpha), 700)):.6g}, must be below 1)"
        if temperature_kind(alpha) == "soft"
        else ""
    )
    raise InfeasibleError(
        f"{_kind(discount)} has no finite solution: looping through {_named(mdp, worst)} "
        f"pays {gain:.6g} a step at this temperature{radius}, so values grow without bound. Lower the "
        "rewards, change the temperature or the prior, or give a discount below 1."
    )


def _kind(discount: float) -> str:
    if discount == 1:
        return "this first-exit problem (discount 1, no horizon)"
    return f"this stationary problem with posterior dynamics and discount {discount:g}"


def _named(mdp: TabularMDP, states: np.ndarray) -> str:
    names = ", ".join(mdp.state_name(int(s)) for s in states[:NAMED])
    more = f" and {len(states) - NAMED} more" if len(states) > NAMED else ""
    return f"{noun(len(states), 'state')} {names}{more}"


def _loops(mdp: TabularMDP):
    """Strongly connected sets of live states that hold a transition: (states, allowed pairs [S, A])."""
    edges = Edges(mdp)
    label = _components(mdp, edges.state, edges.state_next)
    inside = (label[edges.state] == label[edges.state_next]) & ~np.asarray(mdp.terminal)[edges.state_next]
    pairs = np.zeros((mdp.states, mdp.actions), bool)
    pairs[edges.state[inside], edges.action[inside]] = True
    for name in np.unique(label[edges.state[inside]]):
        yield np.flatnonzero(label == name), pairs


def _end_components(mdp: TabularMDP):
    """Maximal end components (de Alfaro 1997): drop actions that may leave, split, until nothing changes."""
    edges = Edges(mdp)
    terminal = np.asarray(mdp.terminal)
    pairs = np.zeros((mdp.states, mdp.actions), bool)
    pairs[edges.state, edges.action] = True
    while True:
        kept = pairs[edges.state, edges.action]
        label = _components(mdp, edges.state[kept], edges.state_next[kept])
        leaves = kept & ((label[edges.state] != label[edges.state_next]) | terminal[edges.state_next])
        if not leaves.any():
            break
        pairs[edges.state[leaves], edges.action[leaves]] = False
    for name in np.unique(label[pairs.any(1)]):
        yield np.flatnonzero((label == name) & pairs.any(1)), pairs


def _components(mdp: TabularMDP, start, end) -> np.ndarray:
    graph = coo_matrix((np.ones(len(start), np.int8), (start, end)), shape=(mdp.states, mdp.states))
    return connected_components(graph, directed=True, connection="strong")[1]


def _gain(mdp: TabularMDP, temperatures: Temperatures, states: np.ndarray, pairs: np.ndarray) -> float:
    """What staying inside a loop pays per step at best: relative value iteration, damped against periods."""
    member = np.zeros(mdp.states, bool)
    member[states] = True
    log_prior = np.where(pairs & member[:, None], np.asarray(mdp.log_prior), -np.inf)
    transition = mdp.transition
    if isinstance(transition, Dense):
        inner = Dense(np.where(member[None, None, :], np.asarray(transition.probability), 0.0))
    else:
        inner = Sparse(
            transition.successor,
            np.where(member[np.asarray(transition.successor)], transition.probability, 0.0),
        )
    closed = eqx.tree_at(
        lambda m: (m.transition, m.log_prior, m.terminal), mdp.bare(), (inner, log_prior, ~member)
    )
    return float(_gain_iteration(closed, temperatures, jnp.asarray(member)))


@eqx.filter_jit
def _gain_iteration(closed: TabularMDP, temperatures: Temperatures, member):
    def sweep(_, state):
        v, _ = state
        change = jnp.where(member, one.backup(closed, v, temperatures)[1] - v, 0.0)
        moved = jnp.where(member, v + 0.5 * change, 0.0)
        top = jnp.max(jnp.where(member, moved, -jnp.inf))
        return jnp.where(member, moved - top, 0.0), jnp.max(jnp.where(member, change, -jnp.inf))

    return jax.lax.fori_loop(
        0, GAIN_SWEEPS, sweep, (jnp.zeros(closed.states, closed.dtype), jnp.asarray(0.0, closed.dtype))
    )[1]
