"""Deep maximum entropy inverse reinforcement learning: a network as the reward under which the decisions are
most likely.

The problem is solved exactly at every step, so the log-likelihood L of the demonstrations and its derivative
with respect to the reward of every state and action are exact, and the chain rule does the rest:

    dL / d parameters = sum_(s,a) dL / dr(s,a) * dr(s,a) / d parameters
    dL / dr(s,a) = (demonstrations - expectations)(s,a) / temperature

The expectations are those of the soft-optimal policy (dynamics "given"), or of the posterior over
trajectories (dynamics "posterior"), where they are the derivative of log Z.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from maxentrl.core.check import InputError
from maxentrl.core.precision import in_double_precision
from maxentrl.core.types import Dynamics, Scalar
from maxentrl.data.trajectories import Trajectories
from maxentrl.irl.ascent import Evaluation, Member, Progress, Training, climb
from maxentrl.irl.deep_estimate import DeepEstimate
from maxentrl.irl.likelihood import Question, Seen, ask_question, clock, look, total, uniform
from maxentrl.irl.networks import Maker, RewardNetwork, ask, check_numbers, network_in_float64
from maxentrl.irl.reward import check_features, choices
from maxentrl.models.tabular import TabularMDP


@in_double_precision
def fit(
    mdp: TabularMDP,
    features,
    demos: Trajectories | np.ndarray,
    *,
    key: jax.Array,
    network: eqx.Module | Maker | None = None,
    whole: bool = False,
    temperature: Scalar = 1.0,
    discount: Scalar | None = None,
    horizon: int | None = None,
    dynamics: Dynamics = "given",
    offset=None,
    validation: Trajectories | np.ndarray | None = None,
    training: Training | None = None,
    members: int = 1,
    progress: Callable[[Progress], object] | None = None,
) -> DeepEstimate:
    """Train a network to be the reward r(s,a) = offset(s,a) + network(features(s,a)).

    Every step looks at all demonstrations: they enter as counts, and a problem is solved once however many
    there are.

    Args:
        mdp: the problem. Its own reward is not used, except that -inf forbids an action. Its prior matters,
            as for `mce.fit`.
        features: [S, A, K]; or [S, K], features of the state in which the action is taken. With `whole`, any
            array.
        demos: `Trajectories`; or weighted visit counts, [S, A] or [T, S, A] over a finite horizon.
        key: of `jax.random`, for the initial parameters.
        network: an Equinox module that maps features [K] to a reward []; or a function that makes one from a
            key. `RewardNetwork`, two hidden layers of 64 rectified units on features standardised over all choices, unless
            given.
        whole: the network maps the whole array of features at once, for instance a map [H, W, C] through
            convolutions, to rewards of states, [H, W] or [S], with the states row by row; or to [S, A].
        temperature, discount, horizon: as for `mce.fit`.
        dynamics: "given": the demonstrator is soft-optimal under the dynamics as they are (maximum causal
            entropy), and L = sum log pi(a|s). "posterior": demonstrations are draws from the posterior over
            trajectories, and L = sum log p(trajectory | optimal).
        offset: [S, A] fixed part of the reward; 0 unless given. The default network begins at 0, so an offset
            is where the search starts.
        validation: demonstrations that decide when to stop, and nothing else.
        training: how long and how fast; see `Training`.
        members: networks trained from different keys: an ensemble, whose spread says how far the
            demonstrations determine the reward. Needs a function of a key where `network` is given.
        progress: called after each step with a `Progress`; raising KeyboardInterrupt ends the training there.

    Returns:
        A `DeepEstimate`. An interrupted run returns the best parameters so far, and says so.

    Raises:
        InputError: for shapes that do not fit, features that are not finite, demonstrations that cannot have
            happened.
        InfeasibleError: when the initial network cannot be evaluated.

    Source: Wulfmeier, Ondruska & Posner (2015), equations 9-12; Ziebart (2010) for the causal form.
    """
    question = ask_question(mdp, temperature, discount, horizon, dynamics, offset)
    training = Training() if training is None else training
    if whole:
        table = rows = check_numbers(features)
    else:
        table, _ = check_features(mdp, features)
        allowed = choices(mdp)
        rows = table[allowed]
        if np.ndim(features) == 2:
            # Features of states are asked once per state, and are those of any choice there.
            table = table[np.arange(mdp.states), allowed.argmax(1)]
            rows = table[allowed.any(1)]
    seen = look(question, mdp, demos)
    held = None if validation is None else look(question, mdp, validation)
    decisions = float(np.asarray(seen.decisions).sum())
    held_total = 1.0 if held is None else float(np.asarray(held.decisions).sum())
    inputs = jnp.asarray(table)
    drawn = inputs.shape[:-1] if math.prod(inputs.shape[:-1]) == mdp.states else (mdp.states,)
    shapes = (drawn, (mdp.states, mdp.actions))

    def evaluate(net) -> Evaluation:
        value, other, gradient, reward = _likelihoods(net, inputs, question, seen, held, whole)
        trouble = None
        if not np.isfinite(reward).all():
            s, a = np.argwhere(~np.isfinite(reward))[0]
            trouble = (
                f"the network gives state {mdp.state_name(int(s))}, action {mdp.action_name(int(a))} "
                f"the reward {float(reward[s, a])}"
            )
        elif not math.isfinite(value):
            trouble = "the problem has no finite solution under the network's reward"
        validated = None if other is None else other / held_total
        return Evaluation(float(value) / decisions, gradient, trouble, validated)

    trained: list[Member] = []
    for number, make in enumerate(makers(network, rows, whole, members)):
        net = network_in_float64(make(jax.random.fold_in(key, number)))
        check_output(
            net, inputs, whole, shapes, f"rewards of states, {shapes[0]}, or of actions, {shapes[1]}"
        )
        trained.append(climb(net, evaluate, training, member=number, progress=progress))
        if trained[-1].interrupted:
            break
    rewards = np.stack(
        [np.asarray(_reward(network_in_float64(m.network), inputs, question, whole)) for m in trained]
    )
    if offset is not None:
        rewards[:, np.isneginf(np.asarray(offset)) & ~np.asarray(mdp.terminal)[:, None]] = -np.inf
    held_out = None
    if held is not None:
        held_out = np.array(
            [m.validation[m.best_step] * held_total for m in trained if m.validation is not None]
        )
    return DeepEstimate(
        method=f"deep maximum entropy, {dynamics} dynamics, {clock(question)}",
        members=tuple(trained),
        rewards=rewards,
        allowed=np.asarray(question.allowed) > 0,
        log_likelihoods=np.array([m.train[m.best_step] * decisions for m in trained]),
        validation_log_likelihoods=held_out,
        log_likelihood_uniform=uniform(question, seen) if dynamics == "given" else None,
        steps=decisions,
        validation_steps=None if held is None else held_total,
        settings={
            "temperature": float(temperature),
            "discount": float(question.discount),
            "horizon": horizon,
            "dynamics": dynamics,
            "whole": whole,
            "members": members,
            **training.to_dict(),
        },
        warnings=explain(trained, members, held is not None),
    )


def _reward(network, inputs, question: Question, whole: bool) -> jax.Array:
    """[S, A]: offset + network, and 0 where there is no choice."""
    said = ask(network, inputs, whole)
    shape = question.mdp.reward.shape
    table = said if said.shape == shape else said.reshape(shape[0], 1)
    return jnp.where(question.allowed > 0, jnp.asarray(question.mdp.reward) + table, 0.0)


@eqx.filter_jit
def _evaluate(network, inputs, question: Question, seen: Seen, held: Seen | None, whole: bool):
    def value(net):
        reward = _reward(net, inputs, question, whole)
        return total(question, seen, reward), reward

    (found, reward), gradient = eqx.filter_value_and_grad(value, has_aux=True)(network)
    other = None if held is None else total(question, held, reward)
    return found, other, gradient, reward


def _likelihoods(network, inputs, question: Question, seen: Seen, held: Seen | None, whole: bool):
    found, other, gradient, reward = _evaluate(network, inputs, question, seen, held, whole)
    return float(found), None if other is None else float(other), gradient, np.asarray(reward)


def makers(network, rows: np.ndarray, whole: bool, members: int) -> list[Maker]:
    """For each member a function that makes its network from a key; the default one is standardised by these features
    [..., K]."""
    if isinstance(members, bool) or not isinstance(members, int | np.integer) or members < 1:
        raise InputError(f"members must be a whole number of networks, at least 1; got {members!r}.")
    if network is None:
        if whole:
            raise InputError("whole=True needs a network: the default one sees one row of features.")
        return [lambda key: RewardNetwork(rows, key)] * members
    if not isinstance(network, eqx.Module):
        return [network] * members
    if members > 1:
        raise InputError(
            f"{members} members need different beginnings: give a function that makes a network from a key "
            "in place of one network."
        )
    return [lambda key: network]


def check_output(network, inputs, whole: bool, shapes: tuple[tuple[int, ...], ...], words: str) -> None:
    """What the network says has the right shape; found out without computing it."""
    seen = inputs if whole else inputs.reshape(-1, inputs.shape[-1])[0]
    shape = getattr(eqx.filter_eval_shape(lambda net: net(seen), network), "shape", None)
    if not whole and shape not in ((), (1,)):
        raise InputError(f"network must map features [K] to one reward []; it gives {shape}.")
    if whole and shape not in shapes:
        raise InputError(f"network must map the features to {words}; it gives {shape}.")


def explain(trained: list[Member], members: int, validated: bool) -> tuple[str, ...]:
    """The sentences to read before the numbers."""
    whose = [
        f"network {number} of {members}: " if members > 1 else "" for number in range(1, len(trained) + 1)
    ]
    sentences = [name + m.verdict for name, m in zip(whose, trained, strict=True) if not m.converged]
    if len(trained) < members:
        sentences.append(f"{len(trained)} of {members} networks were trained before the interruption.")
    if not validated:
        sentences.append(
            "no validation demonstrations were given: a network that is trained for long enough explains "
            "chance, and only held-out demonstrations could tell."
        )
    return tuple(sentences)
