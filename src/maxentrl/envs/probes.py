"""A ladder of tiny problems with known answers: each rung can fail for one reason that the ones below cannot.

    constant   does the value learn a reward at all, and count the entropy of one step once?
    observed   does it look at the observation?
    delayed    does it look one step ahead, discounted, and add nothing at the end?
    endless    does it go on where only the recording ended? (a time limit is not the end)
    chosen     does the policy look at the reward, and weigh it against entropy by the temperature?
    matched    does the policy look at the observation?

Actions never decide where one gets to, so all there is to know of a step is what it pays and what comes next:

    Q(k, a) = offset[k] + pays(k, a) + discount V[next of k],   V[k] = soft maximum over a of Q(k, a)

Discrete actions are 0 and 1, and the soft maximum is that of the uniform prior, temperature log mean exp(Q /
temperature). Continuous actions are one number in [-1, 1], and the soft maximum is taken against Lebesgue measure,
temperature log of the integral of exp(Q / temperature): a step without consequence is worth temperature log 2 more
than it pays. Source: after Andy L. Jones, "Debugging reinforcement learning systems" (2021), and rejax's test
environments; the soft values are ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import erf

from maxentrl.core.check import InputError, check_choice
from maxentrl.core.contracts import Env, Step
from maxentrl.core.spaces import Discrete, box
from maxentrl.envs.limited import limited

Actions: TypeAlias = Literal["discrete", "continuous"]
Seen: TypeAlias = Literal["numbers", "places"]

LIMIT = 5
"""Steps after which the endless probe is cut off: half of what it pays at discount 0.9 lies beyond 6."""


class Probe(NamedTuple):
    """A tiny environment and the answer.

    env: the environment; it starts at any of its first places with equal chance.
    observations: float32 [K, d], what agents see at each place, flat.
    value: (temperature, discount) -> float64 [K], the soft-optimal value of each place.
    action_value: (action, temperature, discount) -> float64 [K], soft-optimal Q of this action at each place; then
        (Q - V) / temperature is the optimal policy's log-density (discrete: relative to the uniform prior).
    best: the most likely action at each place, int [K] or float [K, 1]; None where all actions are as good.
    """

    env: Env
    observations: np.ndarray
    value: Callable[[float, float], np.ndarray]
    action_value: Callable[[float, float, float], np.ndarray]
    best: np.ndarray | None


def constant(actions: Actions = "discrete", seen: Seen = "numbers") -> Probe:
    """One step that pays 1, whatever is done.

    V = 1 (discrete), 1 + temperature log 2 (continuous).
    """
    return _probe("constant", actions, seen, shown=[0], offset=[1])


def observed(actions: Actions = "discrete", seen: Seen = "numbers") -> Probe:
    """One step; -1 or 1 is seen, and paid, whatever is done.

    V = what is seen (discrete), and temperature log 2 more (continuous).
    """
    return _probe("observed", actions, seen, shown=[-1, 1], offset=[-1, 1], starts=2)


def delayed(actions: Actions = "discrete", seen: Seen = "numbers") -> Probe:
    """Two steps, the first of which pays nothing and the second 1; 0 is seen, then 1.

    V = (discount, 1) (discrete); with b = temperature log 2, (b + discount (1 + b), 1 + b) (continuous).
    """
    return _probe("delayed", actions, seen, shown=[0, 1], offset=[0, 1], following=[1, -1])


def endless(actions: Actions = "discrete", seen: Seen = "numbers", limit: int = LIMIT) -> Probe:
    """1 for every step, forever; only the recording is cut off, after `limit` steps.

    V = 1 / (1 - discount) (discrete), (1 + temperature log 2) / (1 - discount) (continuous). Whoever takes the end
    of the recording for the end learns less.
    """
    return _probe("endless", actions, seen, shown=[0], offset=[1], following=[0], limit=limit)


def chosen(actions: Actions = "discrete", seen: Seen = "numbers") -> Probe:
    """One step that pays by what is done: 1 for action 1 and 0 for action 0; or -(a - 1/2)^2.

    V = t log((1 + exp(1 / t)) / 2) (discrete), t log(sqrt(pi t) / 2 (erf(1 / (2 sqrt t)) + erf(3 / (2 sqrt t))))
    (continuous), at temperature t. The optimum is a normal cut off at -1 and 1. The best normal squashed by tanh is
    worth 0.0016, 0.0047 and 0.0097 less, at t = 0.05, 0.1 and 0.2.
    """
    return _probe("chosen", actions, seen, shown=[0], offset=[0], sign=[1])


def matched(actions: Actions = "discrete", seen: Seen = "numbers") -> Probe:
    """One step; -1 or 1 is seen, and what is done pays if it fits: action 0 at -1 and 1 at 1; or -(a - seen / 2)^2.

    V at both places as that of `chosen`.
    """
    return _probe("matched", actions, seen, shown=[-1, 1], offset=[0, 0], sign=[-1, 1], starts=2)


LADDER = {probe.__name__: probe for probe in (constant, observed, delayed, endless, chosen, matched)}
"""The probes by name, the simplest first."""


def _probe(
    name: str,
    actions: Actions,
    seen: Seen,
    *,
    shown: list[int],
    offset: list[int],
    sign: list[int] | None = None,
    following: list[int] | None = None,
    starts: int = 1,
    limit: int | None = None,
) -> Probe:
    """A walk over K places.

    shown: the number seen at each place. offset: what any action pays there.
    sign: which action pays there, -1 or 1 (0 or 1, or -1/2 or 1/2); None where no action matters.
    following: the next place, -1 for the end; None where each place is the last.
    starts: how many of the places it may start at.
    """
    check_choice(actions, ("discrete", "continuous"), f"{name}: actions")
    check_choice(seen, ("numbers", "places"), f"{name}: seen")
    discrete, count = actions == "discrete", len(shown)
    following = [-1] * count if following is None else following
    observations = (
        np.array(shown, np.float32)[:, None] if seen == "numbers" else np.eye(count, dtype=np.float32)
    )

    def pays(action, sign):
        return (2 * action - 1 == sign) * 1.0 if discrete else -((action - 0.5 * sign) ** 2)

    def observe(place):
        return jnp.asarray(observations)[place] if seen == "numbers" else place

    def reset(key):
        place = jax.random.randint(key, (), 0, starts)
        return place, observe(place)

    def step(key, place, action):
        reward = jnp.array(offset, jnp.float32)[place]
        if sign is not None:
            done = action if discrete else jnp.clip(action[0], -1.0, 1.0)
            reward = reward + pays(done, jnp.array(sign)[place])
        after = jnp.array(following)[place]
        place_next = jnp.where(after < 0, place, after)
        return place_next, Step(observe(place_next), reward, after < 0, jnp.zeros((), bool))

    def value(temperature: float, discount: float) -> np.ndarray:
        bonus = _soft_best(temperature, discrete, matters=sign is not None)
        return np.linalg.solve(
            np.eye(count) - discount * (np.array(following)[:, None] == np.arange(count)),
            np.array(offset, float) + bonus,
        )

    def action_value(action: float, temperature: float, discount: float) -> np.ndarray:
        ahead = np.append(value(temperature, discount), 0.0)[following]
        gain = 0.0 if sign is None else pays(action, np.array(sign, float))
        return np.array(offset, float) + gain + discount * ahead

    best = None
    if sign is not None:
        best = (np.array(sign) + 1) // 2 if discrete else 0.5 * np.array(sign, float)[:, None]
    env = Env(
        reset,
        step,
        box(-1.0, 1.0, (1,)) if seen == "numbers" else Discrete(count),
        Discrete(2) if discrete else box(-1.0, 1.0, (1,)),
        name=name,
    )
    return Probe(limited(env, limit), observations, value, action_value, best)


def _soft_best(temperature: float, discrete: bool, *, matters: bool) -> float:
    """The soft maximum of what actions pay: 0 for all; 0 and 1; or -(a - 1/2)^2, a in [-1, 1]."""
    t = float(temperature)
    if not 0 <= t < math.inf:
        raise InputError(f"temperature must lie in [0, inf), in units of reward; got {temperature}.")
    if not matters:
        return 0.0 if discrete else t * math.log(2)
    if t == 0:
        return 1.0 if discrete else 0.0
    if discrete:
        return t * float(np.logaddexp(0, 1 / t) - math.log(2))
    wide = math.sqrt(t)
    return t * math.log(0.5 * math.sqrt(math.pi) * wide * float(erf(0.5 / wide) + erf(1.5 / wide)))
