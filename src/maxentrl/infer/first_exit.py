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
from maxentrl.infer.first_passage import reach
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
    safe = reach(mdp.states, edges.state_next, edges.state, np.flatnonzero(terminal))
    if not safe.all():
        raise InfeasibleError(
            f"no terminal state can be reached from {_named(mdp, np.flatnonzero(~safe))}; "
            "discount 1 without a horizon needs an exit from every state."
        )


def explain_divergence(
    mdp: TabularMDP, temperatures: Temperatures, discount: float = 1.0, *, cut_short: bool = False
) -> None:
    """Raise `InfeasibleError` for a stationary problem that was not solved, naming the loop that pays most.

    With posterior dynamics a discount below 1 is one more chance to leave: it costs t_state * log(discount) a
    step. With given dynamics it leaves nothing to blame but the number format.

    cut_short: whether the search ended because of `max_sweeps`.
    """
    optimistic = temperature_kind(temperatures.state) != "mean"
    if discount < 1 and not optimistic:
        raise InfeasibleError(
            f"the values of this stationary problem with discount {discount} do not fit the number format {mdp.dtype}. "
            "Give smaller rewards and temperatures or a lower discount."
        )
    label, pairs = _loops(mdp) if optimistic else _end_components(mdp)
    gains = _gains(mdp, temperatures, label, pairs)
    worst = int(np.argmax(gains))
    gain = float(gains[worst])
    if discount < 1 and temperature_kind(temperatures.state) == "soft":
        gain += float(temperatures.state) * math.log(discount)
    remedy = "a discount below 1" if discount == 1 else "a lower discount"
    if gain < -1e-9:
        if cut_short:
            reason = "the search was cut short. Give more sweeps."
        elif gain == -math.inf:
            reason = (
                "no loop can be held for ever, but to leave takes too long, or rewards are too large, for the values "
                f"to be bounded in this number format. Give {remedy} or smaller rewards."
            )
        else:
            reason = (
                f"every loop loses reward (the dearest to hold loses {-gain:.3g} a step), but so slowly that the "
                f"values cannot be bounded in this number format. Give {remedy} or lower the rewards."
            )
        raise InfeasibleError(f"{_kind(discount)} could not be solved to a proven answer: {reason}")
    alpha = temperatures.action
    radius = (
        f" (spectral radius {math.exp(min(gain / float(alpha), 700)):.6g}, must be below 1)"
        if temperature_kind(alpha) == "soft"
        else ""
    )
    looping = _named(mdp, np.flatnonzero((label == worst) & pairs.any(1)))
    raise InfeasibleError(
        f"{_kind(discount)} has no finite solution: looping through {looping} "
        f"pays {gain:.6g} a step at this temperature{radius}, so values grow without bound. Lower the "
        f"rewards, change the temperature or the prior, or give {remedy}."
    )


def _kind(discount: float) -> str:
    if discount == 1:
        return "this first-exit problem (discount 1, no horizon)"
    return f"this stationary problem with posterior dynamics and discount {discount:g}"


def _named(mdp: TabularMDP, states: np.ndarray) -> str:
    names = ", ".join(mdp.state_name(int(s)) for s in states[:NAMED])
    more = f" and {len(states) - NAMED} more" if len(states) > NAMED else ""
    return f"{noun(len(states), 'state')} {names}{more}"


def _loops(mdp: TabularMDP) -> tuple[np.ndarray, np.ndarray]:
    """Strongly connected sets of live states that hold a transition: a label of each state [S], pairs inside [S, A]."""
    edges = Edges(mdp)
    label = _components(mdp, edges.state, edges.state_next)
    inside = label[edges.state] == label[edges.state_next]
    pairs = np.zeros((mdp.states, mdp.actions), bool)
    pairs[edges.state[inside], edges.action[inside]] = True
    return label, pairs


def _end_components(mdp: TabularMDP) -> tuple[np.ndarray, np.ndarray]:
    """Maximal end components (de Alfaro 1997), as `_loops`: drop actions that may leave, until nothing changes."""
    edges = Edges(mdp)
    terminal = np.asarray(mdp.terminal)
    pairs = np.zeros((mdp.states, mdp.actions), bool)
    pairs[edges.state, edges.action] = True
    while True:
        kept = pairs[edges.state, edges.action]
        label = _components(mdp, edges.state[kept], edges.state_next[kept])
        leaves = kept & ((label[edges.state] != label[edges.state_next]) | terminal[edges.state_next])
        if not leaves.any():
            return label, pairs
        pairs[edges.state[leaves], edges.action[leaves]] = False


def _components(mdp: TabularMDP, start, end) -> np.ndarray:
    graph = coo_matrix((np.ones(len(start), np.int8), (start, end)), shape=(mdp.states, mdp.states))
    return connected_components(graph, directed=True, connection="strong")[1]


def _gains(mdp: TabularMDP, temperatures: Temperatures, label: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """What staying inside each loop pays per step at best [S], by label; -inf for labels of no loop."""
    member = pairs.any(1)
    place = np.where(member, label, -1)
    transition = mdp.transition
    probability = np.asarray(transition.probability)
    if isinstance(transition, Dense):
        inner = Dense(np.where(place[:, None, None] == place, probability, 0.0))
    else:
        inner = Sparse(
            transition.successor,
            np.where(place[np.asarray(transition.successor)] == place, probability, 0.0),
        )
    closed = eqx.tree_at(
        lambda m: (m.transition, m.log_prior, m.terminal),
        mdp.bare(),
        (inner, np.where(pairs, np.asarray(mdp.log_prior), -np.inf), ~member),
    )
    gains = np.asarray(_gain_iteration(closed, temperatures, jnp.asarray(label)))
    return np.where(np.isnan(gains), -np.inf, gains)


@eqx.filter_jit
def _gain_iteration(closed: TabularMDP, temperatures: Temperatures, label):
    """Relative value iteration in all loops side by side, damped against periods."""
    member = ~jnp.asarray(closed.terminal)

    def highest(values):
        return jax.ops.segment_max(jnp.where(member, values, -jnp.inf), label, closed.states)

    def sweep(_, state):
        v, _ = state
        change = jnp.where(member, one.backup(closed, v, temperatures)[1] - v, 0.0)
        moved = v + 0.5 * change
        return jnp.where(member, moved - highest(moved)[label], 0.0), highest(change)

    zeros = jnp.zeros(closed.states, closed.dtype)
    return jax.lax.fori_loop(0, GAIN_SWEEPS, sweep, (zeros, zeros))[1]
