"""What an expert did and what the best policy for a reward would do, counted alike: in expected discounted visits
per episode.

    mu_t(s, a) = discount^t Pr(s_t = s, a_t = a)

summed over time, [S, A]. Methods that compare an expert with optimal policies stand on these two tables.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from maxentrl.core.check import InputError, check_discount, check_horizon
from maxentrl.core.precision import in_double_precision
from maxentrl.core.types import Scalar
from maxentrl.core.words import many
from maxentrl.data.trajectories import Trajectories
from maxentrl.infer.policy import occupancy
from maxentrl.infer.solution import Solution, solve
from maxentrl.irl.demonstrations import check_demonstrations
from maxentrl.irl.reward import choices
from maxentrl.models.tabular import TabularMDP

LOST = 0.01
"""Share of the discounted steps of an episode that recordings may miss before it is worth a warning."""


ROUNDING = 1e-14
"""Plans are asked for no more precision than this share of largest reward * steps^2, which float64 can hold."""


class Response(NamedTuple):
    """policy: whole numbers [S], or [T, S] over a finite horizon; the best action. visits: [S, A] of that policy.
    shortfall: proven bound on how much more than this policy any other earns from the start, units of reward.
    """

    policy: np.ndarray
    visits: np.ndarray
    shortfall: float


def check_clock(discount: Scalar | None, horizon: int | None) -> float:
    """The discount (1 when only a horizon is given), checked with the horizon."""
    check_horizon(horizon)
    if discount is None and horizon is None:
        raise InputError(
            "give a discount below 1, a horizon, or discount 1 with terminal states (first exit)."
        )
    if discount is not None:
        check_discount(discount)
    return 1.0 if discount is None else float(discount)


def discounted_steps(discount: float, horizon: int | None) -> float:
    """How many steps an episode has at most, each counted with its discount; inf in first-exit problems."""
    if horizon is not None:
        return float(np.sum(discount ** np.arange(horizon)))
    return 1 / (1 - discount) if discount < 1 else float("inf")


@in_double_precision
def best_response(
    mdp: TabularMDP, reward: np.ndarray, *, discount: float, horizon: int | None, tolerance: float
) -> Response:
    """A deterministic policy that is best for this reward [S, A], and how far from best it can be.

    Of tied actions the first is taken.

    Args:
        tolerance: absolute, units of reward; of the plan (see `solve`).
    """
    steps = min(discounted_steps(discount, horizon), mdp.states)
    least = ROUNDING * float(np.abs(np.where(choices(mdp), reward, 0)).max()) * steps**2
    plan = solve(
        mdp.with_reward(reward),
        temperature=0.0,
        discount=discount,
        horizon=horizon,
        tolerance=max(tolerance, least),
    )
    policy, visits, earned = _follow(plan, jnp.asarray(discount, float), horizon)
    proven = float(plan.start_value) + float(plan.error_bound)
    small = np.asarray(policy).astype(np.min_scalar_type(mdp.actions - 1))
    return Response(small, np.asarray(visits), max(0.0, proven - float(earned)))


@eqx.filter_jit
def _follow(plan: Solution, discount, horizon: int | None):
    q = jnp.where(jnp.isfinite(jnp.asarray(plan.mdp.log_prior)), jnp.asarray(plan.q), -jnp.inf)
    policy = jnp.argmax(q, -1)
    visits = occupancy(
        plan.mdp, jnp.log(jax.nn.one_hot(policy, plan.mdp.actions)), discount=discount, horizon=horizon
    )
    visits = visits if horizon is None else jnp.sum(jnp.asarray(visits), 0)
    return policy, visits, jnp.sum(visits * jnp.asarray(plan.mdp.reward))


def policy_visits(mdp: TabularMDP, policy: np.ndarray, *, discount: float, horizon: int | None) -> np.ndarray:
    """[S, A] expected discounted visits per episode of a deterministic policy, [S] or [T, S]."""
    visits = np.asarray(occupancy(mdp, log_policy(policy, mdp.actions), discount=discount, horizon=horizon))
    return visits if horizon is None else visits.sum(0)


def log_policy(policy: np.ndarray, actions: int) -> np.ndarray:
    """log pi(a|s) of a deterministic policy: 0 or -inf, one axis more."""
    return np.where(np.arange(actions) == policy[..., None], 0.0, -np.inf)


def starts(mdp: TabularMDP) -> np.ndarray:
    """Where episodes begin, [S], summing to 1 in float64 too."""
    initial = np.asarray(mdp.initial, float)
    return initial / initial.sum()


class Demonstrated(NamedTuple):
    """visits: [S, A] per episode. initial: [S], where episodes begin: policies are compared from there.
    warnings: sentences.
    """

    visits: np.ndarray
    initial: np.ndarray
    warnings: list[str]


def demonstrated(mdp: TabularMDP, demos, *, discount: float, horizon: int | None) -> Demonstrated:
    """What an expert did, from trajectories or from expected visits [S, A] or [T, S, A].

    Trajectories are averaged by weight, and policies will begin where they began. Visits are those of one
    episode, as `occupancy` returns them, beginning in mdp.initial.

    Raises:
        InputError: for demonstrations that cannot have happened here, are longer than the horizon, or
            visits that no episode can hold.
    """
    if isinstance(demos, Trajectories):
        return _of_trajectories(mdp, demos, discount, horizon)
    visits = np.asarray(demos)
    allowed = choices(mdp)
    if visits.dtype.kind not in "fiub" or visits.shape[-2:] != allowed.shape or visits.ndim not in (2, 3):
        raise InputError(
            f"expected visits must be numbers [S, A] = {allowed.shape} or [T, S, A]; got {visits.dtype} "
            f"{visits.shape}."
        )
    if not (np.isfinite(visits).all() and (visits >= 0).all() and visits.any()):
        raise InputError("expected visits must be finite, not negative, and not all zero.")
    visits = (visits.sum(0) if visits.ndim == 3 else visits).astype(float)
    if (visits[~allowed] > 0).any():
        s, a = np.argwhere(~allowed & (visits > 0))[0]
        raise InputError(
            f"expected visits must be zero in terminal states and for forbidden actions; state "
            f"{mdp.state_name(int(s))}, action {mdp.action_name(int(a))} has some."
        )
    most = discounted_steps(discount, horizon)
    if visits.sum() > most * (1 + 1e-6):
        raise InputError(
            f"expected visits must be those of one episode, which has at most {most:.6g} discounted steps; they "
            f"sum to {visits.sum():.6g}. Divide counts by the number of episodes, and discount them."
        )
    return Demonstrated(visits, starts(mdp), [])


def _of_trajectories(
    mdp: TabularMDP, demos: Trajectories, discount: float, horizon: int | None
) -> Demonstrated:
    check_demonstrations(mdp, demos)
    if horizon is not None and demos.longest > horizon:
        i = int(demos.lengths.argmax())
        raise InputError(
            f"demonstrations must not be longer than the horizon of {many(horizon, 'step')}; "
            f"trajectory {demos.ids[i]!r} has {demos.lengths[i]}."
        )
    share = demos.weights / demos.weights.sum()
    i, t = np.nonzero(demos.recorded)
    pair = demos.states[i, t].astype(np.int64) * mdp.actions + demos.actions[i, t]
    counts = np.bincount(pair, share[i] * discount**t, minlength=mdp.states * mdp.actions)
    initial = np.bincount(demos.states[:, 0], share, minlength=mdp.states)
    last = demos.next_states[np.arange(demos.count), demos.lengths - 1]
    ended = (last >= 0) & np.asarray(mdp.terminal)[last]
    warnings = []
    if horizon is None and discount < 1:
        lost = float(share[~ended] @ discount ** demos.lengths[~ended])
    elif horizon is not None:
        steps = np.append(0.0, np.cumsum(discount ** np.arange(horizon)))
        lost = float(share[~ended] @ (1 - steps[demos.lengths[~ended]] / steps[-1]))
    else:
        lost = float(share[~ended].sum())
    if lost > LOST:
        warnings.append(
            f"{int((~ended).sum())} of {demos.count} demonstrations stop before the process ends, and "
            f"{lost:.1%} of its (discounted) steps are not recorded: the expert seems to do less of everything than "
            "policies that go on. Record longer, or give the length of the recordings as the horizon."
        )
    return Demonstrated(counts.reshape(mdp.states, mdp.actions), initial, warnings)
