"""Answers from first principles, in plain NumPy. Nothing here may import what it is there to check.

A problem is a dictionary: transition [S, A, S], reward [T, S, A] (finite where an action is allowed),
log_prior [S, A] (-inf forbids), initial [S], terminal bool [S].
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np


class Enumeration(NamedTuple):
    """Sums over every trajectory s_0, a_0, ..., s_{T-1}, a_{T-1}. States past the real ones (death) are cut
    off.
    """

    log_evidence: float
    initial: np.ndarray
    state: np.ndarray
    state_action: np.ndarray
    pairs: np.ndarray
    message: np.ndarray
    policy: np.ndarray
    dynamics: np.ndarray
    forward: np.ndarray


def with_death(problem: dict, discount: float) -> dict:
    """The graphical model of a discount: after each step the process falls into one more, absorbing,
    worthless state.

    Terminal states become what they mean: one action that does nothing, for ever.
    """
    p, prior = problem["transition"], np.exp(problem["log_prior"])
    states, actions, _ = p.shape
    extra = 0 if discount == 1 else 1
    absorbing = np.concatenate([problem["terminal"], np.ones(extra, bool)])
    total = states + extra
    moved = np.zeros((total, actions, total))
    moved[:states, :, :states] = discount * p
    moved[:states, :, states:] = 1 - discount
    weight = np.zeros((total, actions))
    weight[:states] = prior
    reward = np.zeros((len(problem["reward"]), total, actions))
    reward[:, :states] = np.where(prior > 0, problem["reward"], 0.0)
    for s in np.flatnonzero(absorbing):
        moved[s] = 0
        moved[s, :, s] = 1
        weight[s] = np.eye(actions)[0]
        reward[:, s] = 0
    initial = np.concatenate([problem["initial"], np.zeros(extra)])
    return {
        "transition": moved,
        "weight": weight,
        "reward": reward,
        "initial": initial,
        "absorbing": absorbing,
    }


def trajectory_weights(weight, transition, first: int = 0):
    """The weight of each trajectory that starts in each state at time `first`: one entry per trajectory.

    weight [T, S, A] is what a step is worth, transition [S, A, S]. Axes: s_first, a_first, ..., s_{T-1},
    a_{T-1}.
    """
    joint = weight[first]
    for step in weight[first + 1 :]:
        joint = joint[..., None] * transition
        joint = joint[..., None] * step
    return joint


def keep(joint, *axes: int) -> np.ndarray:
    """Sum a table of trajectories over every axis but these."""
    return joint.sum(tuple(axis for axis in range(joint.ndim) if axis not in axes))


def enumerate_posterior(problem: dict, temperature: float, discount: float = 1.0) -> Enumeration:
    """Exact inference in the optimality model by listing all trajectories."""
    m = with_death(problem, discount)
    states, horizon = len(problem["initial"]), len(m["reward"])
    weight = m["weight"] * np.exp(m["reward"] / temperature)
    suffixes = [trajectory_weights(weight, m["transition"], t) for t in range(horizon)]
    joint = m["initial"].reshape(-1, *[1] * (2 * horizon - 1)) * suffixes[0]
    evidence = joint.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        message = np.stack([temperature * np.log(keep(w, 0)) for w in suffixes])
        policy = np.stack([keep(w, 0, 1) / keep(w, 0)[:, None] for w in suffixes])
        dynamics = [keep(w, 0, 1, 2) / keep(w, 0, 1)[:, :, None] for w in suffixes[:-1]]
    forward = []
    for t in range(horizon):
        past = m["initial"]
        for s in range(t):
            past = past[..., None] * weight[s]
            past = past[..., None] * m["transition"]
        forward.append(keep(past, past.ndim - 1))
    marginals = joint / evidence
    cut = slice(None, states)
    return Enumeration(
        log_evidence=math.log(evidence),
        initial=keep(marginals, 0)[cut],
        state=np.stack([keep(marginals, 2 * t) for t in range(horizon)])[:, cut],
        state_action=np.stack([keep(marginals, 2 * t, 2 * t + 1) for t in range(horizon)])[:, cut],
        pairs=np.stack([keep(marginals, 2 * t, 2 * t + 1, 2 * t + 2) for t in range(horizon - 1)])[
            :, cut, :, cut
        ],
        message=message[:, cut],
        policy=policy[:, cut],
        dynamics=np.stack(dynamics)[:, cut, :, cut],
        forward=np.stack(forward)[:, cut],
    )


def roll_out_by_enumeration(problem: dict, policy, discount: float = 1.0):
    """State [T, S], state-action [T, S, A] and pair [T-1, S, A, S] marginals of a policy [T, S, A] under the
    dynamics.
    """
    m = with_death(problem, discount)
    states, horizon = len(problem["initial"]), len(m["reward"])
    weight = np.broadcast_to(m["weight"], m["reward"].shape).copy()
    weight[:, ~m["absorbing"]] = policy[:, ~problem["terminal"]]
    joint = m["initial"].reshape(-1, *[1] * (2 * horizon - 1)) * trajectory_weights(weight, m["transition"])
    cut = slice(None, states)
    return (
        np.stack([keep(joint, 2 * t) for t in range(horizon)])[:, cut],
        np.stack([keep(joint, 2 * t, 2 * t + 1) for t in range(horizon)])[:, cut],
        np.stack([keep(joint, 2 * t, 2 * t + 1, 2 * t + 2) for t in range(horizon - 1)])[:, cut, :, cut],
    )


def soft_values(problem: dict, temperature: float, discount: float = 1.0):
    """Soft value iteration as its definition reads, state by state: V [T+1, S] and policy [T, S, A], given
    dynamics.
    """
    p, prior = problem["transition"], np.exp(problem["log_prior"])
    states, actions, _ = p.shape
    horizon = len(problem["reward"])
    values = np.zeros((horizon + 1, states))
    policy = np.zeros((horizon, states, actions))
    for t in reversed(range(horizon)):
        for s in np.flatnonzero(~problem["terminal"]):
            allowed = [a for a in range(actions) if prior[s, a] > 0]
            q = {a: problem["reward"][t, s, a] + discount * p[s, a] @ values[t + 1] for a in allowed}
            total = math.fsum(prior[s, a] * math.exp(q[a] / temperature) for a in allowed)
            values[t, s] = temperature * math.log(total)
            for a in allowed:
                policy[t, s, a] = prior[s, a] * math.exp((q[a] - values[t, s]) / temperature)
    return values, policy


def exact_stationary(
    transition, reward, log_prior, terminal, action, state, discount, *, steps=60, horizon=None
):
    """V* [N, S] of N stationary problems by Newton's method, its residual taken in extended precision.

    `action` and `state` are the two temperatures: "max" or "mean", or an array [N] of positive numbers. The
    error is that of extended precision, not of float64: each correction is solved for a residual that was
    not rounded. With a horizon: the value of that many steps. Returns V and the last residual [N].
    """
    wide = np.longdouble
    p, r, gamma = transition.astype(wide), reward.astype(wide), np.asarray(discount, wide)[:, None, None]
    weight = np.exp(log_prior.astype(wide))
    live = ~terminal

    def look_ahead(v):
        if isinstance(state, str):
            return gamma * np.einsum("nsat,nt->nsa", p, v), p * gamma[..., None]
        t = np.asarray(state, wide)[:, None, None, None]
        top = np.maximum(v.max(1), 0)[:, None, None]
        tilted = gamma[..., None] * p * np.exp((v[:, None, None, :] - top[..., None]) / t)
        total = tilted.sum(-1) + (1 - gamma) * np.exp(-top / t[..., 0])
        total = np.where(total > 0, total, 1)
        return top + t[..., 0] * np.log(total), tilted / total[..., None]

    def backup(v):
        ahead, dynamics = look_ahead(v)
        q = r + ahead
        if isinstance(action, str) and action == "max":
            masked = np.where(weight > 0, q, -np.inf)
            new = masked.max(-1)
            policy = (np.arange(q.shape[-1]) == masked.argmax(-1)[..., None]).astype(wide)
        elif isinstance(action, str):
            policy, new = weight, (weight * np.where(weight > 0, q, 0)).sum(-1)
        else:
            t = np.asarray(action, wide)[:, None, None]
            masked = np.where(weight > 0, q, -np.inf)
            top = masked.max(-1, keepdims=True)
            score = weight * np.exp((masked - top) / t)
            new = (top + t * np.log(score.sum(-1, keepdims=True)))[..., 0]
            policy = score / score.sum(-1, keepdims=True)
        chain = np.einsum("nsa,nsat->nst", policy, dynamics) * live[..., None]
        return np.where(live, new, 0), chain

    v = np.zeros(r.shape[:2], wide)
    for _ in range(horizon or 0):
        v, _ = backup(v)
    if horizon:
        return v, None
    eye = np.eye(r.shape[1])
    for _ in range(steps):
        new, chain = backup(v)
        v = v + np.linalg.solve(eye - chain.astype(float), (new - v).astype(float)[..., None])[..., 0]
    return v, np.abs(backup(v)[0] - v).max(1)


def all_deterministic_policies(states: int, actions: int):
    """Every map from states to actions."""
    return itertools.product(range(actions), repeat=states)
