"""Ziebart, Maas, Bagnell & Dey (2008), algorithm 1, as printed: an optimistic backward pass, then visits sent
forward through the true dynamics. For comparison only.

    vector(w) = demonstrations - sum_t P_t(s) pi(a|s) f(s,a)      pi: posterior dynamics; P_t: given dynamics

In a deterministic world the vector is the gradient of the log-likelihood of trajectories, which then is that of
decisions. In a stochastic one it is the gradient of neither (nor of anything: its Jacobian is not symmetric), and
where it is zero the features of the demonstrations are those that the optimist meets with in the real world: an
estimate all the same, whose only honest standard error is the sandwich J^{-1} B J^{-T} of estimating equations.
"""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from maxentrl.core.check import InputError
from maxentrl.data.trajectories import Trajectories
from maxentrl.irl.estimate import null_directions, unknown
from maxentrl.irl.fitting import Climbed, Seen, Task, clusters, refuse_start
from maxentrl.irl.newton import HALVINGS, Maximum, interrupted_after, newton_steps, stopped_after
from maxentrl.irl.sensitivity import Derivatives, Evidence, Model, Plan, derivatives, objective, path_scores

TOLERANCE = 1e-10
"""Size of the vector, in units of its scaled slope, below which it counts as zero."""


@eqx.filter_jit
def vector(model: Model, evidence: Evidence, weights) -> jax.Array:
    """Demonstrations minus what the optimistic policy visits under the given dynamics, [K], over temperature."""
    return jnp.asarray(_forward(model, evidence, objective(model, evidence, weights)[1]).gradient)


def _forward(model: Model, evidence: Evidence, plan: Plan) -> Derivatives:
    """The flow of a plan through the dynamics as they are."""
    return derivatives(as_given(model), evidence, plan)


def as_given(model: Model) -> Model:
    """The model with its dynamics as they are."""
    return dataclasses.replace(model, dynamics="given")


@eqx.filter_jit
def _slope(model: Model, evidence: Evidence, weights):
    return jax.jacfwd(lambda w: vector(model, evidence, w))(weights)


def search(task: Task, seen: Seen, begin: np.ndarray) -> tuple[Climbed, dict[str, np.ndarray]]:
    """The weights at which the vector is zero, by Newton's method with halving; and their sandwich covariance.
    Ctrl-C ends the search, and the weights of the last step taken are returned.

    Raises:
        InputError: for a discount below 1, which the algorithm does not know.
    """
    model, evidence, l2 = task.model, seen.evidence, task.l2
    if float(model.discount) != 1.0:
        raise InputError(
            "the algorithm of 2008 knows no discount: give a horizon, or discount 1 (first exit)."
        )
    scale = task.scale(float(seen.decisions.sum()))

    def value(w: np.ndarray) -> tuple[float, Plan, np.ndarray]:
        found, plan = objective(model, evidence, w)
        at = np.asarray(vector(model, evidence, jnp.asarray(w))) - l2 * w
        size = float(np.linalg.norm(scale * at)) if np.isfinite(float(found)) else np.inf
        return (size if np.isfinite(size) else np.inf), plan, at

    w = begin
    size, plan, at = value(w)
    if not np.isfinite(size):
        refuse_start(model, begin)
    told = np.asarray(_forward(model, evidence, plan).fisher)
    converged, verdict, taken, interrupted = size <= TOLERANCE, "", 0, False
    try:
        while not converged and taken < task.max_steps:
            slope = -np.asarray(_slope(model, evidence, jnp.asarray(w))) + l2 * np.eye(len(w))
            step = scale * np.linalg.lstsq(slope * np.outer(scale, scale), scale * at, rcond=1e-10)[0]
            length = 1.0
            for _ in range(HALVINGS):
                tried = value(w + length * step)
                if tried[0] < size:
                    break
                length /= 2
            else:
                verdict = "not converged: no step made the vector smaller; the best weights found are kept."
                break
            w, (size, plan, at), taken = w + length * step, tried, taken + 1
            converged = size <= TOLERANCE
    except KeyboardInterrupt:
        verdict, interrupted = interrupted_after(taken), True
    if converged:
        verdict = f"converged in {newton_steps(taken)}."
    verdict = verdict or f"{stopped_after(task.max_steps)}, and the vector is not zero."
    slope = -np.asarray(_slope(model, evidence, jnp.asarray(w))) + l2 * np.eye(len(w))
    last = _forward(model, evidence, plan)
    around = np.asarray(last.fisher)
    blind = null_directions(told + around, scale)
    best = Maximum(w, float(objective(model, evidence, w)[0]), plan, bool(converged), verdict, interrupted)
    return Climbed(best, last, at, slope, scale, blind, around), _sandwich(model, plan, seen, slope, scale)


def _sandwich(
    model: Model, plan: Plan, seen: Seen, slope: np.ndarray, scale: np.ndarray
) -> dict[str, np.ndarray]:
    """J^{-1} B J^{-T}; infinite without trajectories, of a single cluster, or where J has no inverse."""
    count = len(slope)
    scaled = slope * np.outer(scale, scale)
    if not isinstance(seen.demos, Trajectories) or seen.paths is None or np.linalg.cond(scaled) > 1e10:
        return {"sandwich": unknown(count)}
    groups = clusters(seen.demos)
    if groups.max() == 0:
        return {"sandwich": unknown(count)}
    scores = np.asarray(path_scores(as_given(model), plan, seen.paths)) * seen.demos.weights[:, None]
    summed = np.zeros((int(groups.max()) + 1, count))
    np.add.at(summed, groups, scores)
    inverse = np.linalg.inv(scaled) * np.outer(scale, scale)
    return {"sandwich": inverse @ (summed.T @ summed) @ inverse.T}
