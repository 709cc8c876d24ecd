"""Networks as rewards of a road network: trips to hundreds of goals, solved exactly at every step.

One factorisation answers for all goals as long as the reward of an arc does not ask where the trip is going
(`irl.routes`). It gives the log-likelihood and its derivative by the reward of every arc, observed steps minus
expected ones; the vector-Jacobian product of the network turns that into the derivative by its parameters.

The sum over all ways is finite only where loops cost enough. The search therefore begins at a reward that is
known to be feasible, such as the linear estimate, given as the offset of a network that begins at 0; and a step
that leaves the feasible set is halved until it does not.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from maxentrl.core.check import InfeasibleError, check_shape
from maxentrl.core.precision import in_double_precision
from maxentrl.data.trips import Trips
from maxentrl.infer.first_passage import Goal
from maxentrl.irl.ascent import Evaluation, Progress, Training, climb
from maxentrl.irl.deep_estimate import DeepEstimate
from maxentrl.irl.deep_maxent import check_output, explain, makers
from maxentrl.irl.networks import Maker, ask, check_numbers, network_in_float64
from maxentrl.irl.route_evidence import (
    arc_gradient,
    check_arc_rewards,
    evidence,
    log_uniform,
    trip_log_likelihood,
)
from maxentrl.models.network import Network


@in_double_precision
def fit(
    network: Network,
    features,
    trips: Trips,
    *,
    key: jax.Array,
    reward: eqx.Module | Maker | None = None,
    whole: bool = False,
    goal: Goal = "forced",
    temperature: float = 1.0,
    offset=None,
    validation: Trips | None = None,
    training: Training | None = None,
    members: int = 1,
    progress: Callable[[Progress], object] | None = None,
) -> DeepEstimate:
    """Train a network to be the reward r(arc) = offset(arc) + network(features(arc)).

    Args:
        network: links and arcs; the roads.
        features: [E, K], of arcs. Features of the link entered are `table[network.arc_to]`. With `whole`, any
            array.
        trips: the demonstrations; the last link of each is its goal.
        key: of `jax.random`, for the initial parameters.
        reward: an Equinox module that maps features [K] to a reward []; or a function that makes one from a
            key. `RewardNetwork`, two hidden layers of 64 rectified units, unless given.
        whole: the reward maps the whole array of features at once, to [E]: where arcs have parameters of
            their own, say.
        goal, temperature: as for `routes.fit`.
        offset: [E] fixed part of the reward, -inf for a closed arc; 0 unless given, which on most networks is
            infeasible: `routes.fit(...).reward` is a good one.
        validation: trips that decide when to stop, and nothing else.
        training, members, progress: as for `deep_maxent.fit`.

    Returns:
        A `DeepEstimate` whose rewards are [M, E].

    Raises:
        InputError: for shapes that do not fit, features that are not finite, trips that the network does not
            allow.
        InfeasibleError: when the initial reward has no finite solution.

    Source: Wulfmeier, Ondruska & Posner (2015); Fosgerau, Frejinger & Karlstrom (2013) for the model of trips.
    """
    training = Training() if training is None else training
    table = check_numbers(features)
    if not whole:
        check_shape(table, (network.arcs, None), "features", "[E, K]")
    base = np.zeros(network.arcs) if offset is None else np.asarray(offset, np.float64)
    is_open = np.isfinite(check_arc_rewards(network, base, temperature, "offset"))
    seen = evidence(network, trips, goal, is_open)
    held = None if validation is None else evidence(network, validation, goal, is_open)
    steps = float(trips.weights[seen.trip].sum())
    held_steps = 1.0 if held is None else float(held.trips.weights[held.trip].sum())
    inputs = jnp.asarray(table)

    def evaluate(net) -> Evaluation:
        rewards = base + np.asarray(_rewards(net, inputs, whole))
        nothing = jax.tree.map(jnp.zeros_like, eqx.filter(net, eqx.is_inexact_array))
        wrong = is_open & ~np.isfinite(rewards)
        if wrong.any():
            e = int(wrong.argmax())
            leaves, enters = network.ids[network.arc_from[e]], network.ids[network.arc_to[e]]
            trouble = f"the network gives the arc from {leaves} to {enters} the reward {rewards[e]}"
            return Evaluation(-np.inf, nothing, trouble)
        try:
            value, by_arc = arc_gradient(network, rewards, seen, temperature=temperature)
            other = None
            if held is not None:
                each = trip_log_likelihood(network, rewards, held, temperature=temperature)
                other = float(held.trips.weights @ each) / held_steps
        except InfeasibleError as error:
            return Evaluation(-np.inf, nothing, str(error).removesuffix("."))
        gradient = _pull(net, inputs, jnp.asarray(np.where(is_open, by_arc, 0.0) / steps), whole)
        return Evaluation(value / steps, gradient, None, other)

    trained = []
    for number, make in enumerate(makers(reward, table, whole, members)):
        net = network_in_float64(make(jax.random.fold_in(key, number)))
        check_output(net, inputs, whole, ((network.arcs,),), f"[E] = ({network.arcs},)")
        trained.append(climb(net, evaluate, training, member=number, progress=progress))
        if trained[-1].interrupted:
            break
    rewards = np.stack(
        [base + np.asarray(_rewards(network_in_float64(m.network), inputs, whole)) for m in trained]
    )
    held_out = None
    if held is not None:
        held_out = np.array(
            [m.validation[m.best_step] * held_steps for m in trained if m.validation is not None]
        )
    return DeepEstimate(
        method=f"deep recursive logit, {len(seen.asked.goals)} goals ({goal}), temperature {temperature:g}",
        members=tuple(trained),
        rewards=rewards,
        allowed=is_open,
        log_likelihoods=np.array([m.train[m.best_step] * steps for m in trained]),
        validation_log_likelihoods=held_out,
        log_likelihood_uniform=float(trips.weights @ log_uniform(seen)),
        steps=steps,
        validation_steps=None if held is None else held_steps,
        settings={
            "temperature": float(temperature),
            "goal": goal,
            "whole": whole,
            "members": members,
            **training.to_dict(),
        },
        warnings=explain(trained, members, held is not None),
    )


@eqx.filter_jit
def _rewards(net, inputs, whole: bool) -> jax.Array:
    """[E]: what the network says, without the offset."""
    return ask(net, inputs, whole).reshape(-1)


@eqx.filter_jit
def _pull(net, inputs, by_arc, whole: bool):
    """The derivative by arc [E] as one by the parameters."""
    _, back = eqx.filter_vjp(lambda n: ask(n, inputs, whole).reshape(-1), net)
    return back(by_arc)[0]
