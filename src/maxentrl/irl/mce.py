"""Maximum causal entropy inverse reinforcement learning: the linear reward under which the decisions are most
likely.

The demonstrator is taken to be soft-optimal under the dynamics as they are. Planning gives log pi; this
module fits the reward to it, and the gradient is demonstrations minus expectations (`sensitivity` has the
derivation).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np

from maxentrl.core.check import check_choice
from maxentrl.core.precision import in_double_precision
from maxentrl.core.types import Scalar
from maxentrl.data.trajectories import Trajectories
from maxentrl.infer.solution import solve
from maxentrl.irl.demonstrations import check_demonstrations, check_visits, visits
from maxentrl.irl.estimate import Estimate
from maxentrl.irl.fitting import Seen, check_start, climb, pose, record, setting_in_words, upright
from maxentrl.irl.sensitivity import Evidence, expected_arrivals
from maxentrl.models.tabular import TabularMDP

Loss = Literal["likelihood", "moments"]


def log_likelihood(
    mdp: TabularMDP,
    decisions,
    *,
    temperature: Scalar = 1.0,
    discount: Scalar | None = None,
    horizon: int | None = None,
):
    """Conditional log-likelihood sum_(t,s,a) decisions(t,s,a) log pi_t(a|s) [] of the soft-optimal policy,
    nats.

    Differentiable in the reward (`mdp.with_reward`), so any function that makes a reward can be trained on
    it: for exact occupancies, or deterministic dynamics, the gradient with respect to the reward is
    (decisions - occupancy) / temperature.

    Args:
        mdp: the problem with the reward in question.
        decisions: weighted counts [S, A], or [T, S, A] over a finite horizon.
        temperature, discount, horizon: as for `solve`.
    """
    plan = solve(mdp, temperature=temperature, discount=discount, horizon=horizon)
    return _seen(plan, decisions)


@in_double_precision
def _seen(plan, decisions):
    decisions = jnp.asarray(decisions)
    return jnp.sum(jnp.where(decisions > 0, decisions * jnp.asarray(plan.log_policy), 0.0))


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
    l2: float = 0.0,
    loss: Loss = "likelihood",
    max_steps: int = 100,
) -> Estimate:
    """Estimate the weights of a linear reward r(s,a) = offset(s,a) + sum_k weights_k features_k(s,a).

    Args:
        mdp: the problem. Its own reward is not used, except that -inf forbids an action. Its prior matters:
            with prior="counting" pi is proportional to exp(Q / temperature), as in most of the literature.
        features: [S, A, K]; or [S, K], features of the state in which the action is taken (not of the one it
            leads to).
        demos: `Trajectories`; or weighted visit counts, [S, A] or [T, S, A] over a finite horizon, for
            instance the exact occupancy of an expert.
        temperature: of the demonstrator, in (0, inf), units of reward. Weights and temperature are not
            identified together: doubling both changes nothing.
        discount: in [0, 1]; may be left out when a horizon is given. 1 without a horizon is the first-exit
            problem.
        horizon: steps T of a problem that ends by the clock; the policy then depends on the time.
            Demonstrations may be shorter (cut off), not longer; the first action of each is taken at time 0.
        feature_names: K names; "0", "1", ... unless given.
        offset: [S, A] fixed part of the reward; 0 unless given; -inf forbids an action.
        start: [K] weights at which the search starts; 0 unless given. It must be feasible (first exit).
        l2: the penalty (l2 / 2) sum weights^2 is subtracted from the log-likelihood of all demonstrations
            together. Standard errors then describe the penalised estimate.
        loss: "likelihood" maximises the conditional likelihood of the decisions, sum log pi(a|s). "moments"
            matches the features of the demonstrations with those that the model expects when it starts where
            they start (and, with a discount, starts again with probability 1 - discount at each state they
            visit). Where dynamics are deterministic, or the counts are exact expectations, the two are the
            same. Otherwise the gradient for one demonstration differs by discount * sum_t (E[dV(s_{t+1})] -
            dV(s_{t+1})) / temperature,
            the luck of its transitions, which is zero on average: both find the truth from enough data, and
            the likelihood, which does not take luck for intention, needs less of it.
        max_steps: Newton steps after which the search stops and says so.

    Returns:
        An `Estimate`, with standard errors of three kinds and the warnings in sentences. Ctrl-C ends the search
        between two compiled evaluations, and the best weights so far are returned, marked as interrupted.

    Raises:
        InputError: for shapes that do not fit, features that are not finite, demonstrations that cannot have
            happened.
        InfeasibleError: when the first-exit problem has no finite solution at the starting weights.

    Source: Ziebart (2010), chapters 5, 6 and 9; for first exit, Fosgerau, Frejinger & Karlstrom (2013).
    """
    check_choice(loss, ("likelihood", "moments"), "loss")
    task = pose(
        mdp,
        features,
        feature_names,
        offset,
        temperature=temperature,
        discount=discount,
        horizon=horizon,
        dynamics="given",
        l2=l2,
        max_steps=max_steps,
    )
    begin = check_start(start, task.names)
    discount = 1.0 if discount is None else discount
    seen, log_transitions = see(task.mdp, demos, discount, horizon, loss)
    found = climb(task, seen, begin)
    log_policy = np.asarray(found.best.memo.log_policy).swapaxes(-1, -2)
    decisions = seen.decisions
    taken = decisions > 0
    return record(
        task,
        seen,
        found,
        method=f"maximum causal entropy, {setting_in_words(temperature, discount, horizon)}, {loss}",
        settings={
            "temperature": float(temperature),
            "discount": float(discount),
            "horizon": horizon,
            "l2": l2,
            "loss": loss,
        },
        log_likelihood=float(decisions[taken] @ log_policy[taken]),
        log_transitions=log_transitions,
        robust=loss == "moments" or (isinstance(demos, Trajectories) and demos.groups is not None),
    )


def see(mdp: TabularMDP, demos, discount: Scalar, horizon: int | None, loss: Loss) -> tuple[Seen, np.ndarray]:
    """Demonstrations as the fit needs them, and [N] the log-probability of each one's transitions."""
    trajectories = isinstance(demos, Trajectories)
    if trajectories:
        log_transitions = check_demonstrations(mdp, demos).sum(1)
        found = visits(mdp, demos, horizon)
        decisions = np.asarray(found.decisions).swapaxes(-1, -2)
    else:
        log_transitions = np.zeros(1)
        decisions, found = check_visits(mdp, demos, horizon).swapaxes(-1, -2), None
    arrivals = np.asarray(expected_arrivals(mdp.bare(), decisions))
    surprise = np.zeros_like(arrivals)
    if found is not None and loss == "moments":
        surprise = np.asarray(found.arrivals) - arrivals
    led = float(discount) * (arrivals + surprise)
    if horizon is not None:
        led = np.concatenate([np.zeros_like(led[:1]), led[:-1]])
    evidence = Evidence(decisions, decisions.sum(-2) - led, surprise)
    paths = None
    if trajectories:
        known = demos.next_states if loss == "moments" else np.full_like(demos.next_states, -1)
        paths = upright(demos, known, horizon)
    return Seen(demos, evidence, paths, np.zeros_like(log_transitions)), log_transitions
