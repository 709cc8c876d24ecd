"""Adam's ascent (Kingma & Ba 2015) for a likelihood that may not exist everywhere: what cannot be evaluated
is never kept."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from maxentrl.core.check import InfeasibleError, InputError
from maxentrl.core.precision import to_host
from maxentrl.core.words import many
from maxentrl.irl.networks import first_not_finite

HALVINGS = 30
"""Of one step; a step of a billionth that cannot be evaluated means that none can."""

GAIN = 1e-5
"""Nats per decision: a training likelihood that rises by less over `patience` steps has settled."""


@dataclasses.dataclass(frozen=True)
class Training:
    """How a network is trained.

    max_steps: gradient steps at most.
    learning_rate: of Adam, at the beginning; it falls to 0 along a half cosine over max_steps.
    weight_decay: decoupled (Loshchilov & Hutter 2019): each step shrinks the arrays of two or more axes, which
        leaves biases alone, by learning_rate * weight_decay.
    patience: with validation demonstrations, steps without a better validation likelihood after which the
        search ends; without, steps over which the training likelihood must have settled.
    """

    max_steps: int = 500
    learning_rate: float = 0.01
    weight_decay: float = 0.0
    patience: int = 100

    def __post_init__(self):
        for name in ("max_steps", "patience"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise InputError(f"{name} must be a whole number of steps, at least 1; got {value!r}.")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate must be a positive number; got {self.learning_rate}.")
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(f"weight_decay must be a number of at least 0; got {self.weight_decay}.")

    def to_dict(self) -> dict[str, float | int]:
        """The settings by name."""
        return dataclasses.asdict(self)


class Evaluation(NamedTuple):
    """A log-likelihood per decision, its gradient (a tree like the network), and why it cannot be used, or
    None. Another likelihood, of validation demonstrations, may stand beside it."""

    value: float
    gradient: object
    trouble: str | None
    validation: float | None = None


class Progress(NamedTuple):
    """What a progress callback is told after each step: the numbers, and the network as it is."""

    member: int
    step: int
    train: float
    validation: float | None
    network: eqx.Module


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
    """A trained network.

    network: the parameters of `best_step`: of the highest validation likelihood where there is one, else of
        the highest training likelihood.
    train, validation: [steps + 1] log-likelihood per decision, nats, from the initial network on; validation
        is None without validation demonstrations.
    converged: whether the search ended of itself. interrupted: whether somebody stopped it.
    verdict: one sentence on how it ended.
    """

    network: eqx.Module
    best_step: int
    train: np.ndarray
    validation: np.ndarray | None
    converged: bool
    interrupted: bool
    verdict: str


def climb(
    network,
    evaluate: Callable[[eqx.Module], Evaluation],
    training: Training,
    *,
    member: int = 0,
    progress: Callable[[Progress], object] | None = None,
) -> Member:
    """Train a network until it no longer gets better, keeping its best parameters.

    A step to parameters whose likelihood or gradient is not finite is taken back and halved until it can be
    evaluated. Ctrl-C ends the search, and what was found is returned.

    Raises:
        InfeasibleError: when the initial parameters cannot be evaluated.
    """
    now = evaluate(network)
    trouble = _trouble(now)
    if trouble:
        raise InfeasibleError(
            f"the network cannot be trained from its initial parameters: {trouble}. Give another network, or "
            "an offset under which the problem has a finite solution."
        )
    arrays, rest = eqx.partition(network, eqx.is_inexact_array)
    state = _adam(training.weight_decay).init(arrays)
    train, validation = [now.value], [now.validation]
    best, best_step = arrays, 0
    size, converged, interrupted, step, verdict = 1.0, False, False, 0, ""
    try:
        while True:
            if progress is not None:
                progress(Progress(member, step, now.value, now.validation, eqx.combine(arrays, rest)))
            verdict = _settled(train, validation, best_step, training)
            if verdict or step == training.max_steps:
                break
            rate = training.learning_rate * (1 + math.cos(math.pi * step / training.max_steps)) / 2
            gradient = eqx.filter(now.gradient, eqx.is_inexact_array)
            change, state_next = _propose(gradient, state, arrays, training.weight_decay)
            for _ in range(HALVINGS):
                tried_arrays = _move(arrays, change, jnp.asarray(size * rate))
                tried = evaluate(eqx.combine(tried_arrays, rest))
                trouble = _trouble(tried)
                if trouble is None:
                    break
                size /= 2
            else:
                verdict = f"stopped at step {step + 1}: however small, no step can be evaluated; {trouble}"
                break
            arrays, state, now, step = tried_arrays, state_next, tried, step + 1
            # One bad step does not make the following ones small for ever.
            size = min(1.0, size * 1.1)
            train.append(now.value)
            validation.append(now.validation)
            if _score(train, validation, step) > _score(train, validation, best_step):
                best, best_step = arrays, step
    except KeyboardInterrupt:
        interrupted = True
        verdict = f"interrupted after {many(step, 'step')}"
    converged = verdict.startswith("settled")
    if not verdict:
        rise = train[-1] - train[max(0, len(train) - 1 - training.patience)]
        verdict = (
            f"not converged: {step} steps were taken, and the last {min(step, training.patience)} raised the "
            f"training log-likelihood by {rise:.2g} per decision"
        )
    return Member(
        network=to_host(eqx.combine(best, rest)),
        best_step=best_step,
        train=np.array(train),
        validation=None if validation[0] is None else np.array(validation, float),
        converged=converged,
        interrupted=interrupted,
        verdict=f"{verdict}; the parameters of step {best_step} are kept.",
    )


def _trouble(found: Evaluation) -> str | None:
    """Why an evaluation cannot be stepped on."""
    if found.trouble:
        return found.trouble
    name = first_not_finite(eqx.filter(found.gradient, eqx.is_inexact_array))
    return None if name is None else f"the gradient with respect to {name} is not finite"


def _score(train: list, validation: list, step: int) -> float:
    """What the best step is best by."""
    return train[step] if validation[step] is None else validation[step]


def _settled(train: list, validation: list, best_step: int, training: Training) -> str:
    step, patience = len(train) - 1, training.patience
    if step < patience:
        return ""
    if validation[0] is not None:
        if step - best_step >= patience:
            return (
                f"settled after {many(step, 'step')}: the validation likelihood has not risen for {patience}"
            )
        return ""
    if abs(train[-1] - train[-1 - patience]) < GAIN:
        return f"settled after {many(step, 'step')}: {patience} more changed the likelihood by less than {GAIN:g}"
    return ""


def _adam(weight_decay: float) -> optax.GradientTransformation:
    def matrices(tree):
        return jax.tree.map(lambda x: jnp.ndim(x) > 1, tree)

    return optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(-weight_decay, matrices))


@eqx.filter_jit
def _propose(gradient, state, arrays, weight_decay: float):
    return _adam(weight_decay).update(gradient, state, arrays)


@eqx.filter_jit
def _move(arrays, change, size):
    return jax.tree.map(lambda x, d: x + size * d, arrays, change)
