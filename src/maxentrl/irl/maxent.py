"""Maximum entropy inverse reinforcement learning: the linear reward under which whole trajectories, luck included,
are most likely.

    p(trajectory | optimal, start) = prod_t rho(a|s) P(s'|s,a) exp(r(s,a) / temperature) / Z(start)

Z is the backward message at the start, temperature * log Z = V, and its derivative is the posterior marginal that
forward and backward messages give together. So the gradient is demonstrations minus marginals, and minus the
second derivative is the covariance of feature sums under the posterior: the objective is concave. The posterior
tilts the dynamics too: a demonstrator is thought to have drawn whole trajectories, the lucky ones more often. In a
deterministic world that is the same as planning, and the estimate that of `mce`. In a stochastic one it is not,
and for people and machines that must take their chances as they come, `mce` is the right model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np

from maxentrl.core.check import InputError, check_choice, check_shape
from maxentrl.core.precision import in_double_precision
from maxentrl.core.types import Scalar
from maxentrl.data.trajectories import Trajectories
from maxentrl.infer.solution import solve
from maxentrl.irl import ziebart2008
from maxentrl.irl.demonstrations import check_visits, visits
from maxentrl.irl.endings import check_goes_on, endings
from maxentrl.irl.estimate import Estimate
from maxentrl.irl.fitting import Seen, Task, check_start, climb, pose, record, setting_in_words, upright
from maxentrl.irl.sensitivity import Evidence
from maxentrl.models.tabular import TabularMDP

Method = Literal["exact", "ziebart2008"]


def log_likelihood(
    mdp: TabularMDP,
    decisions,
    starts,
    *,
    temperature: Scalar = 1.0,
    discount: Scalar | None = None,
    horizon: int | None = None,
):
    """Log-likelihood [] of complete trajectories given their starts, nats, up to what no reward changes.

        sum decisions (r / temperature + log rho) - sum starts V / temperature

    Differentiable in the reward (`mdp.with_reward`): the gradient is (decisions - posterior marginals) /
    temperature, in any world.

    Args:
        mdp: the problem with the reward in question.
        decisions: weighted counts [S, A], or [T, S, A] over a finite horizon.
        starts: [S] weighted count of the trajectories that begin in each state.
        temperature, discount, horizon: as for `fit`.
    """
    plan = solve(mdp, temperature=temperature, discount=discount, horizon=horizon, dynamics="posterior")
    return _seen(plan, decisions, starts)


@in_double_precision
def _seen(plan, decisions, starts):
    temperature, decisions = plan.temperatures.action, jnp.asarray(decisions)
    gain = jnp.asarray(plan.mdp.reward) / temperature + jnp.asarray(plan.mdp.log_prior)
    v = jnp.asarray(plan.v if plan.horizon is None else plan.v[0])
    return jnp.sum(jnp.where(decisions > 0, decisions * gain, 0.0)) - jnp.asarray(starts) @ v / temperature


@in_double_precision
def fit(
    mdp: TabularMDP,
    features,
    demos: Trajectories | np.ndarray,
    *,
    temperature: Scalar = 1.0,
    discount: Scalar | None = None,
    horizon: int | None = None,
    feature_names: Sequence[str] | None = None,
    offset=None,
    start=None,
    starts=None,
    l2: float = 0.0,
    method: Method = "exact",
    max_steps: int = 100,
) -> Estimate:
    """Estimate the weights of a linear reward r(s,a) = offset(s,a) + sum_k weights_k features_k(s,a).

    What is maximised is sum_i weight_i log p(trajectory_i | optimal, the start it was recorded with). The
    start is given, not explained: the lecture's log Z sums over starts as well, weighted with p(s_1), which
    would take demonstrators who begin in a good place for having chosen it. With one start the two are the
    same.

    A trajectory ends in a terminal state, at the horizon, or, with probability 1 - discount a step, anywhere:
    the discount is the exact one of the graphical model, an end that is part of what is explained. So, when
    the discount is below 1, a trajectory that does not say where its last action led has ended there. One that
    stops in a live state before the horizon was cut off: its likelihood is that of what was recorded, summed
    over all ways to go on, and the objective is then not concave in general.

    Args:
        mdp, features, temperature, feature_names, offset, l2, max_steps: as for `mce.fit`.
        demos: `Trajectories`; or weighted visit counts, [S, A] or [T, S, A] over a finite horizon, of complete
            trajectories.
        discount: in [0, 1]; may be left out when a horizon is given. 1 without a horizon is the first-exit
            problem.
        horizon: steps T of a problem that ends by the clock.
        start: [K] weights at which the search starts; 0 unless given. It must be feasible.
        starts: [S] how many trajectories begin in each state, for visit counts only: needed when there is no
            horizon; with one, the counts of time 0 are taken.
        method: "exact"; or "ziebart2008", for comparison, which sends visits through the true dynamics after an
            optimistic backward pass, as algorithm 1 of the paper does. In a stochastic world its "gradient" is
            the derivative of nothing (see `ziebart2008`).

    Returns:
        An `Estimate`. Its log_likelihood holds the recorded transitions too, under posterior dynamics. Ctrl-C ends the
        search as for `mce.fit`.

    Raises:
        InputError: as for `mce.fit`, and for a trajectory that is cut off without saying where.
        InfeasibleError: when there is no finite solution at the starting weights. Below discount 1 that can
            happen too: optimism outweighs the discount when a step pays more than -temperature * log(discount).

    Source: Ziebart, Maas, Bagnell & Dey (2008); Levine (2018), equations 4-14, for messages under posterior
    dynamics.
    """
    check_choice(method, ("exact", "ziebart2008"), "method")
    task = pose(
        mdp,
        features,
        feature_names,
        offset,
        temperature=temperature,
        discount=discount,
        horizon=horizon,
        dynamics="posterior",
        l2=l2,
        max_steps=max_steps,
    )
    begin = check_start(start, task.names)
    discount = 1.0 if discount is None else discount
    seen = see(task.mdp, demos, discount, horizon, starts)
    spread = None
    if method == "exact":
        found = climb(task, seen, begin)
    else:
        found, spread = ziebart2008.search(task, seen, begin)
    log_path, log_policy = explained(task, seen, found.best.memo, found.best.argument)
    name = "maximum entropy" if method == "exact" else "maximum entropy as printed in 2008"
    return record(
        task,
        seen,
        found,
        method=f"{name}, {setting_in_words(temperature, discount, horizon)}",
        settings={
            "temperature": float(temperature),
            "discount": float(discount),
            "horizon": horizon,
            "dynamics": "posterior",
            "l2": l2,
            "method": method,
        },
        log_likelihood=float(seen.weights @ log_path),
        log_transitions=log_path - log_policy,
        robust=isinstance(demos, Trajectories) and demos.groups is not None,
        spread=spread,
    )


def see(mdp: TabularMDP, demos, discount: Scalar, horizon: int | None, starts=None) -> Seen:
    """Demonstrations as the fit needs them: `begun` counts starts, minus the places where some were cut off."""
    check_goes_on(float(discount))
    if not isinstance(demos, Trajectories):
        decisions = check_visits(mdp, demos, horizon)
        begun = _starts(mdp, decisions, horizon, starts)
        evidence = Evidence(decisions.swapaxes(-1, -2), begun, None)
        return Seen(demos, evidence, None, np.zeros(1))
    if starts is not None:
        raise InputError("starts is for visit counts; trajectories say themselves where they begin.")
    found = endings(mdp, demos, float(discount), horizon)
    decisions = visits(mdp, demos, horizon).decisions.swapaxes(-1, -2)
    begun = found.starts - found.cut
    if horizon is not None:
        begun = -found.cut[:horizon]
        begun[0] += found.starts
    evidence = Evidence(decisions, begun, None)
    return Seen(demos, evidence, upright(demos, found.next_states, horizon), found.log_constant)


def _starts(mdp: TabularMDP, decisions: np.ndarray, horizon: int | None, starts) -> np.ndarray:
    """[S] or [T, S]: where the trajectories behind visit counts begin."""
    if starts is None and horizon is None:
        raise InputError(
            "visit counts [S, A] do not say where trajectories begin, and under posterior dynamics that does "
            "not follow from them: give starts, [S] how many begin in each state."
        )
    first = decisions[0].sum(-1) if starts is None else np.asarray(starts, float)
    check_shape(first, (mdp.states,), "starts", "[S]")
    if not (np.isfinite(first).all() and (first >= 0).all() and first.any()):
        raise InputError("starts must be finite, not negative, and not all zero.")
    if horizon is None:
        return first
    return np.concatenate([first[None], np.zeros((horizon - 1, mdp.states))])


def explained(task: Task, seen: Seen, plan, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-probability [N] of each trajectory given its start, under posterior dynamics; of its decisions alone.

    For visit counts, one number: that of all trajectories, without the constant of their transitions.
    """
    temperature, v = float(task.model.temperature), np.asarray(plan.v)
    log_prior = np.asarray(task.model.mdp.log_prior)
    gain = np.asarray(task.model.reward(weights)) / temperature + log_prior
    log_pi = np.asarray(plan.log_policy).swapaxes(-1, -2)
    if not isinstance(seen.demos, Trajectories):
        counts = seen.decisions
        first = v[:-1] if task.model.horizon is not None else v
        flat = counts.reshape(-1, *gain.shape).sum(0)
        total = (
            float(flat[flat > 0] @ gain[flat > 0]) - float(np.sum(seen.evidence.begun * first)) / temperature
        )
        return np.array([total]), np.array([float(counts[counts > 0] @ log_pi[counts > 0])])
    demos, paths = seen.demos, seen.paths
    i, t = np.nonzero(demos.recorded)
    s, a = demos.states[i, t], demos.actions[i, t]
    log_path = seen.log_constant + np.bincount(i, gain[s, a], minlength=demos.count)
    at = log_pi[t, s, a] if log_pi.ndim == 3 else log_pi[s, a]
    log_policy = np.bincount(i, at, minlength=demos.count)
    rows, last = np.arange(demos.count), demos.lengths - 1
    reached = np.asarray(paths.next_states)[last, rows] if paths is not None else np.full(demos.count, -1)
    later = v[demos.lengths] if v.ndim == 2 else np.broadcast_to(v, (demos.count, len(v)))
    now = v[0] if v.ndim == 2 else v
    # Terminal states are worth 0, and so is the end of the horizon: what is left was cut off.
    after = np.where(reached >= 0, later[rows, np.maximum(reached, 0)], 0.0)
    return log_path + (after - now[demos.states[:, 0]]) / temperature, log_policy
