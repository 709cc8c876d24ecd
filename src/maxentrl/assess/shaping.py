"""Potential shaping: the rewards that change no policy, and how much of a given reward is one of them.

    shaping(s, a) = discount * E[ potential(s') | s, a ] - potential(s)

with potential 0 at terminal states. Adding it to a reward lowers every value by the potential and leaves every
comparison between actions, hence every policy, hard or soft, as it was (Ng, Harada & Russell 1999, theorem 1).
Where nothing terminates and the discount is below 1, a constant reward c is shaping too, by the potential
-c / (1 - discount); where something terminates it is not, because it pays for staying alive.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import lsmr

from maxentrl.core.check import InputError, check_discount, check_shape
from maxentrl.models.precision import problem_in_float64
from maxentrl.models.tabular import TabularMDP
from maxentrl.models.transition import Dense

DIRECT = 512
"""Up to this many live states least squares are solved by singular values; beyond, by Krylov's method."""


class Choices:
    """The decisions that a problem offers, one row for each allowed action of a live state.

    state, action: [N]. flow: sparse [N, S], the probability of each next state. allowed: bool [S, A].
    live: [L], the live states.
    """

    def __init__(self, mdp: TabularMDP):
        mdp = problem_in_float64(mdp)
        terminal = np.asarray(mdp.terminal)
        self.shape = (mdp.states, mdp.actions)
        self.allowed = np.isfinite(np.asarray(mdp.log_prior)) & ~terminal[:, None]
        self.state, self.action = np.nonzero(self.allowed)
        self.live = np.flatnonzero(~terminal)
        if isinstance(mdp.transition, Dense):
            rows = np.asarray(mdp.transition.probability)[self.allowed]
            self.flow = csr_array(rows)
        else:
            successor = np.asarray(mdp.transition.successor)[self.action, :, self.state]
            chance = np.asarray(mdp.transition.probability)[self.action, :, self.state]
            row = np.repeat(np.arange(len(self.state)), successor.shape[1])
            self.flow = csr_array(
                (chance.ravel(), (row, successor.ravel())), shape=(len(self.state), mdp.states)
            )
            self.flow.sum_duplicates()
        self.flow.eliminate_zeros()

    def table(self, values: np.ndarray) -> np.ndarray:
        """Values [N, ...] of the choices as a table [S, A, ...], 0 where there is no choice."""
        out = np.zeros((*self.shape, *values.shape[1:]))
        out[self.state, self.action] = values
        return out

    def shaping(self, potential: np.ndarray, discount: float) -> np.ndarray:
        """discount * E[potential(s')] - potential(s) [N, ...], from a potential [S, ...]; 0 at terminal states."""
        inside = np.zeros_like(potential)
        inside[self.live] = potential[self.live]
        return discount * (self.flow @ inside) - inside[self.state]

    def rewards(self, mdp: TabularMDP, reward, name: str) -> np.ndarray:
        """A reward [S, A] or [S, A, S] as its expectation [N] at each choice."""
        table = np.asarray(reward)
        if table.dtype.kind not in "fiub" or table.ndim not in (2, 3):
            raise InputError(
                f"{name} must be numbers [S, A], or [S, A, S] when it depends on the next state; "
                f"got {table.dtype} {table.shape}."
            )
        if table.ndim == 2:
            check_shape(table, self.shape, name, "[S, A]")
            values = table[self.state, self.action].astype(np.float64)
        else:
            check_shape(table, (*self.shape, self.shape[0]), name, "[S, A, S]")
            row, successor = self.flow.nonzero()
            paid = table[self.state[row], self.action[row], successor]
            values = np.bincount(row, self.flow.data * paid, minlength=len(self.state))
        wrong = ~np.isfinite(values)
        if wrong.any():
            s, a = self.state[wrong][0], self.action[wrong][0]
            raise InputError(
                f"{name} must be finite for every choice; state {mdp.state_name(int(s))}, action "
                f"{mdp.action_name(int(a))} holds {values[wrong][0]} ({int(wrong.sum())} such entries in all)."
            )
        return values


def shape(mdp: TabularMDP, potential, *, discount: float) -> np.ndarray:
    """The shaping reward discount * E[potential(s')] - potential(s), [S, A], 0 where there is no choice.

    Args:
        potential: [S], in units of reward; taken as 0 at terminal states.
        discount: in [0, 1].

    Source: Ng, Harada & Russell (1999), equation 2; here in expectation over the next state.
    """
    check_discount(discount)
    values = np.asarray(potential, np.float64)
    check_shape(values, (mdp.states,), "potential", "[S]")
    choices = Choices(mdp)
    return choices.table(choices.shaping(values, float(discount)))


def closest_potential(choices: Choices, rewards: np.ndarray, discount: float) -> np.ndarray:
    """The potentials [S, ...] whose shaping is nearest, in squares over the choices, to rewards [N, ...].

    The smallest such potential where it is not unique (discount 1 and no end).
    """
    columns = rewards.reshape(len(rewards), -1)
    live = choices.live
    potential = np.zeros((choices.shape[0], columns.shape[1]))
    here = csr_array(
        (np.ones(len(choices.state)), (np.arange(len(choices.state)), choices.state)),
        shape=choices.flow.shape,
    )
    system = csr_array(discount * choices.flow - here)[:, live]
    if len(live) <= DIRECT:
        potential[live] = np.linalg.lstsq(system.toarray(), columns, rcond=None)[0]
    else:
        # Krylov's method meets the one small singular value, that of the constant, in one step.
        for k in range(columns.shape[1]):
            potential[live, k] = lsmr(system, columns[:, k], atol=1e-14, btol=1e-14, maxiter=20 * len(live))[
                0
            ]
    return potential.reshape(choices.shape[0], *rewards.shape[1:])


def unshaped(choices: Choices, rewards: np.ndarray, discount: float) -> tuple[np.ndarray, np.ndarray]:
    """(potential [S, ...], rest [N, ...]): rewards [N, ...] = shaping by the potential + the smallest rest."""
    potential = closest_potential(choices, rewards, discount)
    return potential, rewards - choices.shaping(potential, discount)


def unshaped_in_time(
    choices: Choices, rewards: np.ndarray, discount: float, horizon: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same over a finite horizon, where the potential depends on time and is 0 at the end, last step first.

        reward(s, a) = discount * E[potential_{t+1}(s')] - potential_t(s) + rest_t(s, a)

    Backwards in time there is one candidate: minus the mean over actions. All rests are zero exactly when the
    reward changes no policy at any time.

    Yields:
        potential [S, ...] and rest [N, ...] of t = horizon - 1, ..., 0.
    """
    count = np.maximum(np.bincount(choices.state, minlength=choices.shape[0]), 1)
    count = count.reshape(-1, *(1,) * (rewards.ndim - 1))
    potential = np.zeros((choices.shape[0], *rewards.shape[1:]))
    for _ in range(horizon):
        ahead = rewards - discount * (choices.flow @ potential)
        mean = np.zeros_like(potential)
        np.add.at(mean, choices.state, ahead)
        mean /= count
        potential = -mean
        yield potential, ahead - mean[choices.state]
