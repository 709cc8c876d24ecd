"""Demonstrations meet a problem: could they have happened in it, how often was what done, and made-up
ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.stats import binom

from maxentrl.core.check import InputError, check_horizon, check_memory, check_shape
from maxentrl.core.precision import in_double_precision
from maxentrl.core.tables import place
from maxentrl.core.types import Array
from maxentrl.core.words import many
from maxentrl.data.trajectories import Trajectories, trajectories_from_arrays
from maxentrl.irl.reward import choices
from maxentrl.models.tabular import TabularMDP
from maxentrl.models.transition import SUM_TOLERANCE, Dense

BATCH = 4096
"""Trajectories sampled side by side; more would only take memory."""

FALSE_ALARMS, LENIENCE = 1e-3, 0.8
"""How often copies are suspected where chance alone repeats; what log-probabilities of trajectories are multiplied by."""


class Visits(NamedTuple):
    """All that a reward estimate needs to know of demonstrations.

    decisions: [S, A], or [T, S, A] over a finite horizon; weighted count of each decision.
    arrivals: [S] or [T, S]; weighted count of each state reached by the decisions (of time t). Where the
        state reached is unknown, each state counts with its probability.
    """

    decisions: Float[Array, "*T S A"]
    arrivals: Float[Array, "*T S"]


def check_demonstrations(mdp: TabularMDP, demos: Trajectories) -> np.ndarray:
    """Refuse demonstrations that cannot have happened in this problem.

    Returns:
        [N, T] log P(s'|s,a) of each recorded transition; 0 for padding and for unknown next states.

    Raises:
        InputError: for states or actions that the problem does not have, actions in terminal states or
            forbidden ones, and transitions of probability zero: how many, and the first.
    """
    for wrong, sentence in faults(mdp, demos):
        if wrong.any():
            raise InputError(sentence)
    recorded = demos.recorded
    reached = recorded & (demos.next_states >= 0)
    s, a, s_next = (
        np.where(where, x, 0)
        for where, x in zip(
            (recorded, recorded, reached), (demos.states, demos.actions, demos.next_states), strict=True
        )
    )
    with np.errstate(divide="ignore"):
        return np.where(reached, np.log(_probability(mdp, s, a, s_next)), 0.0)


def faults(mdp: TabularMDP, demos: Trajectories) -> Iterator[tuple[np.ndarray, str]]:
    """Steps [N, T] that cannot be used, reason by reason, with a sentence that counts them and lists the first.

    A step with an unknown state or action is judged no further.
    """
    recorded = demos.recorded
    reached = recorded & (demos.next_states >= 0)
    states = f"the problem has {mdp.states} states, 0 to {mdp.states - 1}"
    actions = f"the problem has {mdp.actions} actions, 0 to {mdp.actions - 1}"
    unknown = (
        (recorded & (demos.states >= mdp.states), states),
        (reached & (demos.next_states >= mdp.states), states),
        (recorded & (demos.actions >= mdp.actions), actions),
    )
    known = recorded.copy()
    for wrong, why in unknown:
        known &= ~wrong
        yield wrong, _sentence(wrong, mdp, demos, why)
    s, a = (np.where(known, x, 0) for x in (demos.states, demos.actions))
    ended = known & np.asarray(mdp.terminal)[s]
    yield ended, _sentence(ended, mdp, demos, "a terminal state ends the process, and nothing is done in it")
    forbidden = known & np.isneginf(np.asarray(mdp.log_prior))[s, a] & ~ended
    yield forbidden, _sentence(forbidden, mdp, demos, "the problem forbids this action in this state")
    moved = known & reached & ~ended & ~forbidden
    never = moved & (_probability(mdp, s, a, np.where(moved, demos.next_states, 0)) == 0)
    yield never, _sentence(never, mdp, demos, "the problem gives this transition probability zero")


def _sentence(wrong: np.ndarray, mdp: TabularMDP, demos: Trajectories, why: str) -> str:
    if not wrong.any():
        return ""
    i, t = np.argwhere(wrong)[0]
    state, action, following = (int(x[i, t]) for x in (demos.states, demos.actions, demos.next_states))
    names = [mdp.state_name(s) if 0 <= s < mdp.states else str(s) for s in (state, following)]
    act = mdp.action_name(action) if action < mdp.actions else str(action)
    then = "" if following < 0 else f", next state {names[1]}"
    return (
        f"{int(wrong.sum())} of {demos.steps} demonstrated steps cannot be used: {why}. "
        f"The first: trajectory {demos.ids[i]!r}, step {t}{place(demos.source, i, t)}: state {names[0]}, action "
        f"{act}{then}."
    )


def _probability(mdp: TabularMDP, s: np.ndarray, a: np.ndarray, s_next: np.ndarray) -> np.ndarray:
    """P(s_next | s, a) for arrays of indices."""
    if isinstance(mdp.transition, Dense):
        return np.asarray(mdp.transition.probability)[s, a, s_next]
    successor, probability = np.asarray(mdp.transition.successor), np.asarray(mdp.transition.probability)
    terms = (
        np.where(successor[a, k, s] == s_next, probability[a, k, s], 0.0) for k in range(successor.shape[1])
    )
    return sum(terms, start=np.zeros(s.shape))


def visits(mdp: TabularMDP, demos: Trajectories, horizon: int | None = None) -> Visits:
    """Weighted counts of decisions and arrivals: the sufficient statistics of demonstrations.

    Over a finite horizon they are kept per time step: [T, S, A] and [T, S].
    """
    if horizon is not None and demos.longest > horizon:
        i = int(demos.lengths.argmax())
        raise InputError(
            f"demonstrations must not be longer than the horizon of {many(horizon, 'step')}; "
            f"trajectory {demos.ids[i]!r} has {demos.lengths[i]}."
        )
    times = horizon or 1
    check_memory(
        times * mdp.states * mdp.actions * 8 * 4, "counting visits at each time", "shorten the horizon"
    )
    i, t = np.nonzero(demos.recorded)
    s, a, s_next = (x[i, t].astype(np.int64) for x in (demos.states, demos.actions, demos.next_states))
    when = t if horizon is not None else np.zeros_like(t)
    weight, known = demos.weights[i], s_next >= 0
    pair = (when * mdp.states + s) * mdp.actions + a
    shape = (times, mdp.states, mdp.actions)
    decisions = np.bincount(pair, weight, minlength=int(np.prod(shape))).reshape(shape)
    target = (when * mdp.states + s_next)[known]
    # bincount of nothing counts in whole numbers.
    arrivals = (
        np.bincount(target, weight[known], minlength=times * mdp.states).reshape(shape[:2]).astype(float)
    )
    lost, which = np.unique(pair[~known], return_inverse=True)
    for code, amount in zip(lost, np.bincount(which, weight[~known], minlength=len(lost)), strict=True):
        time, state, action = np.unravel_index(code, shape)
        arrivals[time] += amount * _row(mdp, int(state), int(action))
    return Visits(decisions, arrivals) if horizon is not None else Visits(decisions[0], arrivals[0])


def _row(mdp: TabularMDP, s: int, a: int) -> np.ndarray:
    """P(. | s, a) [S]."""
    if isinstance(mdp.transition, Dense):
        return np.asarray(mdp.transition.probability)[s, a]
    successor, probability = (
        np.asarray(x)[a, :, s] for x in (mdp.transition.successor, mdp.transition.probability)
    )
    return np.bincount(successor, probability, minlength=mdp.states)


def check_visits(mdp: TabularMDP, counts, horizon: int | None) -> np.ndarray:
    """Weighted counts of decisions given in place of demonstrations, [S, A] or [horizon, S, A], checked."""
    try:
        decisions = np.asarray(counts, float)
    except (TypeError, ValueError):
        raise InputError(
            f"demonstrations must be Trajectories, or an array of visit counts; got {type(counts).__name__}."
        ) from None
    if horizon is None:
        check_shape(decisions, (mdp.states, mdp.actions), "visit counts", "[S, A]")
    else:
        check_shape(decisions, (horizon, mdp.states, mdp.actions), "visit counts", "[horizon, S, A]")
    if not (np.isfinite(decisions).all() and (decisions >= 0).all() and decisions.any()):
        raise InputError("visit counts must be finite, not negative, and not all zero.")
    allowed = choices(mdp)
    if (decisions[..., ~allowed] > 0).any():
        s, a = np.argwhere(~allowed & (decisions.reshape(-1, *allowed.shape) > 0).any(0))[0]
        raise InputError(
            f"visit counts must be zero in terminal states and for forbidden actions; "
            f"state {mdp.state_name(int(s))}, action {mdp.action_name(int(a))} has some."
        )
    return decisions


def explain_copies(demos: Trajectories, log_policy: np.ndarray, log_transitions: np.ndarray) -> str | None:
    """One sentence when trajectories repeat others, step by step, more often than chance would; else None.

    Short and likely trajectories do repeat. Two questions are asked. Are there more equal pairs than expected, were
    each trajectory drawn again, from its start, by this policy? And is there one trajectory that is seen too often:
    r times among n has a chance of P(X >= r - 1) at most, X binomial of n - 1 draws, times the number of distinct
    trajectories that were looked at (Bonferroni)? As no policy is quite right, twice the expected pairs are allowed,
    and the logarithm of a trajectory's probability may be off by a fifth. Before that, `explain_whole_copies`.

    Args:
        log_policy: [S, A] or [T, S, A]. log_transitions: [N], summed log P(s'|s,a) of each trajectory.
    """
    i, t = np.nonzero(demos.recorded)
    s, a = demos.states[i, t], demos.actions[i, t]
    log_pi = log_policy[t, s, a] if log_policy.ndim == 3 else log_policy[s, a]
    log_path = log_transitions + np.bincount(i, log_pi, minlength=demos.count)
    rows = np.concatenate([demos.states, demos.actions, demos.next_states], axis=1)
    numbers: dict[bytes, int] = {}  # np.unique sorts whole rows, which takes longer than many a fit
    which = np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in rows])
    _, first, repeats = np.unique(which, return_index=True, return_counts=True)
    if whole := explain_whole_copies(which, demos.ids, "trajectories"):
        return whole
    starts = np.bincount(demos.states[:, 0])
    log_start = np.log(starts[demos.states[:, 0]] / demos.count)
    expected = (demos.count - 1) / 2 * float(np.exp(np.minimum(log_path + log_start, 0)).sum())
    pairs = float((repeats * (repeats - 1) / 2).sum())
    odd = repeats > 1
    # Pairs scatter more than independent events do when a few trajectories are common: hence the 2.
    if pairs <= 2 * expected + 6 * math.sqrt(expected) + 0.5:
        likely = np.exp(np.minimum(LENIENCE * log_path[first] + log_start[first], 0))
        chance = binom.logsf(repeats - 2, demos.count - 1, likely)
        odd &= chance + math.log(len(first)) < math.log(FALSE_ALARMS)
    if odd.any():
        twin = int(np.flatnonzero(odd[which] & (first[which] != np.arange(demos.count)))[0])
        return (
            f"{int((repeats - 1)[odd].sum())} of {demos.count} trajectories are copies of others, step by step "
            f"(the first: {demos.ids[twin]!r} of {demos.ids[first[which[twin]]]!r}), more than chance "
            "would bring under this reward; if they were entered twice, or are somebody's habit, the standard errors are "
            "too small."
        )
    return None


def explain_whole_copies(which: np.ndarray, ids: Sequence[str], name: str) -> str | None:
    """One sentence when all that was recorded seems to have been entered several times; else None.

    It does where a number k above 1 divides how often each of D distinct records occurs. Were they independent, the
    chance of that would be at most

        max(1/k, 1/sqrt(pi k))^(D - 1)

    however likely each of them is: the last count follows from the others, and one that is about k is k more often
    than every k-th time. All k together may raise FALSE_ALARMS, k a share of 1 / (k (k - 1)) of them.

    Args:
        which: int [N], the distinct record that each record is. ids: of the records. name: what they are called.
    """
    _, first, inverse, repeats = np.unique(which, return_index=True, return_inverse=True, return_counts=True)
    times = int(np.gcd.reduce(repeats))
    if times == 1:
        return None
    share = FALSE_ALARMS / (times * (times - 1))
    if max(1 / times, 1 / math.sqrt(math.pi * times)) ** (len(repeats) - 1) > share:
        return None
    model = first[inverse]
    twin = int(np.flatnonzero(model != np.arange(len(model)))[0])
    return (
        f"each of the {len(repeats)} different {name} occurs {times} times or a multiple of that, as if all had been "
        f"entered {times} times (the first: {ids[twin]!r} of {ids[model[twin]]!r}); the standard errors are then too small."
    )


@in_double_precision
def sample_trajectories(
    mdp: TabularMDP, log_policy, *, key: jax.Array, count: int, horizon: int
) -> Trajectories:
    """Let a policy act `count` times under the given dynamics, for at most `horizon` steps each.

    Args:
        mdp: the problem; starts are drawn from its initial distribution, among live states.
        log_policy: log pi(a|s), nats: [S, A], or [horizon, S, A] when it changes with time.
        key: of `jax.random`.
        count: number of trajectories, at least 1.
        horizon: steps after which recording stops. A terminal state ends a trajectory earlier.

    Returns:
        `Trajectories`, each with the state that its last action led to.

    Raises:
        InputError: for shapes that do not fit, a start that is terminal for certain, and a policy whose probabilities
            do not sum to 1 over the allowed actions of a live state.
    """
    check_horizon(horizon)
    if count < 1:
        raise InputError(f"count must be at least 1 trajectory; got {count}.")
    log_pi = jnp.asarray(log_policy, mdp.dtype)
    if log_pi.ndim == 3:
        check_shape(log_pi, (horizon, mdp.states, mdp.actions), "log_policy", "[horizon, S, A]")
    else:
        check_shape(log_pi, (mdp.states, mdp.actions), "log_policy", "[S, A]")
    if not (np.asarray(mdp.initial) > 0)[~np.asarray(mdp.terminal)].any():
        raise InputError(
            "trajectories start in live states, and initial has probability in terminal ones only."
        )
    total = np.exp(np.asarray(log_pi)).sum(-1, where=choices(mdp))
    wrong = ~(np.abs(total - 1) <= SUM_TOLERANCE["float32"]) & ~np.asarray(mdp.terminal)
    if wrong.any():
        *time, s = np.argwhere(wrong)[0]
        when = f" at time {time[0]}" if time else ""
        raise InputError(
            f"log_policy must sum to 1, as probabilities, over the allowed actions of each live state; state "
            f"{mdp.state_name(int(s))}{when} sums to {total[(*time, s)]:.6g} ({int(wrong.sum())} such rows in all)."
        )
    states, actions = _roll(mdp.bare(), log_pi, jax.random.split(key, count), horizon)
    return trajectories_from_arrays(np.asarray(states), np.asarray(actions))


@eqx.filter_jit
def _roll(mdp: TabularMDP, log_pi, keys, horizon: int):
    """States [N, horizon + 1] and actions [N, horizon], -1 after the end."""
    terminal = jnp.asarray(mdp.terminal)
    log_initial = jnp.where(terminal, -jnp.inf, jnp.log(jnp.asarray(mdp.initial)))

    def one_step(log_pi, state, key):
        for_action, for_state = jax.random.split(key)
        action = jax.random.categorical(for_action, log_pi[state])
        if isinstance(mdp.transition, Dense):
            reached = jax.random.categorical(
                for_state, jnp.log(jnp.asarray(mdp.transition.probability)[state, action])
            )
        else:
            slot = jax.random.categorical(
                for_state, jnp.log(jnp.asarray(mdp.transition.probability)[action, :, state])
            )
            reached = jnp.asarray(mdp.transition.successor)[action, slot, state]
        return action, reached

    def one_trajectory(key):
        first, rest = jax.random.split(key)
        start = jax.random.categorical(first, log_initial)

        def step(state, inputs):
            key, t = inputs
            alive = (state >= 0) & ~terminal[state]
            action, reached = one_step(log_pi[t] if log_pi.ndim == 3 else log_pi, state, key)
            state_next = jnp.where(alive, reached, -1).astype(state.dtype)
            return state_next, (state_next, jnp.where(alive, action, -1))

        _, (reached, actions) = jax.lax.scan(
            step, start, (jax.random.split(rest, horizon), jnp.arange(horizon))
        )
        return jnp.append(start, reached), actions

    if keys.shape[0] <= BATCH:
        return jax.vmap(one_trajectory)(keys)
    return jax.lax.map(one_trajectory, keys, batch_size=BATCH)
