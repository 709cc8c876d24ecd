"""`solve`: planning over a finite horizon or a stationary future, and what a plan can be asked."""

from __future__ import annotations

import math
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Integer

from maxentrl.core.check import (
    InputError,
    check_choice,
    check_count,
    check_discount,
    check_horizon,
    check_temperature,
    check_tolerance,
    is_concrete,
)
from maxentrl.core.machine import return_freed_memory
from maxentrl.core.precision import in_double_precision
from maxentrl.core.soft import temperature_kind
from maxentrl.core.types import Array, Dynamics, Scalar, Temperatures
from maxentrl.core.words import many
from maxentrl.infer import backup as one
from maxentrl.infer import tabular
from maxentrl.infer.first_exit import explain_divergence, require_exit
from maxentrl.infer.posterior import check_reward_length
from maxentrl.infer.shared_successors import SharedSuccessors, shared_successors
from maxentrl.infer.stationary import FixedPoint, Problem, fixed_point, rounding_of, takes_iteration
from maxentrl.models.tabular import TabularMDP
from maxentrl.models.transition import Sparse

EXACT = 256
"""States up to which the linear systems of Newton's method are factorised at no cost worth saving."""

MANY = 250_000
"""States from which on the memory that the compiler used is given back before the solver asks for its own."""

ITERATIONS = 1_000
"""Backups of modified policy iteration after which Newton's method is tried instead."""


class Solution(eqx.Module):
    """A plan: soft values, and the policy that goes with them.

    v: [S], or [T+1, S] over a finite horizon, in units of reward; it includes the entropy of the current step.
    error_bound: proven bound on max |v - V*|; over a finite horizon one on the rounding of all its backups.
    sweeps: backups it took.
    converged: whether error_bound reached the tolerance asked for; over a finite horizon, whether all is finite.
    """

    mdp: TabularMDP
    temperatures: Temperatures
    discount: Scalar
    horizon: int | None = eqx.field(static=True)
    v: Float[Array, "*times S"]
    error_bound: Float[Array, ""]
    sweeps: Integer[Array, ""]
    converged: Bool[Array, ""]

    @property
    @in_double_precision
    def q(self) -> Float[Array, "*T S A"]:
        """Q [S, A] or [T, S, A]: the reward of the action and what follows, in units of reward."""
        return self._q().swapaxes(-1, -2)

    @property
    @in_double_precision
    def log_policy(self) -> Float[Array, "*T S A"]:
        """log pi(a | s) [S, A] or [T, S, A], nats; -inf for forbidden actions."""
        log_pi = (
            one.log_policy(self.mdp, self._q(), self.temperatures.action)
            if self.horizon is None
            else jax.vmap(lambda q: one.log_policy(self.mdp, q, self.temperatures.action))(self._q())
        )
        return log_pi.swapaxes(-1, -2)

    @property
    @in_double_precision
    def start_value(self) -> Float[Array, ""]:
        """The value [] before the start state is known: lme over the start distribution, at the state temperature."""
        v = self.v if self.horizon is None else self.v[0]
        return one.start_value(self.mdp, v, self.temperatures.state)

    @property
    @in_double_precision
    def log_evidence(self) -> Float[Array, ""]:
        """start_value / temperature [], nats: log p(O) with posterior dynamics, its lower bound with given ones.

        Raises:
            InputError: at temperature 0, where it is infinite.
        """
        if temperature_kind(self.temperatures.action) == "max":
            raise InputError("log_evidence needs a temperature above 0; start_value holds the value at 0.")
        return jnp.asarray(self.start_value) / self.temperatures.action

    def _q(self):
        if self.horizon is None:
            return one.action_values(self.mdp, self.v, self.temperatures.state, self.discount)
        return tabular.action_values(self.mdp, jnp.asarray(self.v), self.temperatures.state, self.discount)


@in_double_precision
def solve(
    mdp: TabularMDP,
    *,
    temperature: Scalar,
    discount: Scalar | None = None,
    horizon: int | None = None,
    dynamics: Dynamics = "given",
    state_temperature: Scalar | None = None,
    tolerance: float = 1e-6,
    max_sweeps: int = 1_000_000,
) -> Solution:
    """Plan: compute the soft-optimal values and policy.

        Q = r + lme over { s' with weight discount P; the end with weight 1 - discount } of V  at the state temperature
        V = lme over rho(.|s) of Q  at the action temperature

    Args:
        mdp: the problem.
        temperature: of the actions, in [0, inf], units of reward. 0 is the hard maximum, inf evaluates the prior.
        discount: in [0, 1]; 1 when absent and a horizon is given. Discount 1 without a horizon is the first-exit
            problem: it needs terminal states, and a solution exists only when no loop pays for itself.
        horizon: number of steps T, or None for the stationary problem.
        dynamics: "given" (control: expectation over next states) or "posterior" (exact inference: log-mean-exp at
            the same temperature, which is optimistic in a stochastic world).
        state_temperature: overrides `dynamics`: the temperature of the step over next states, in [0, inf].
        tolerance: absolute, in units of reward: the error bound to reach (stationary problems).
        max_sweeps: backups after which a stationary search gives up and says so.

    Returns:
        A `Solution`. Stationary values are differentiable in reward, prior, probabilities, temperature and discount
        by the implicit function theorem: d start_value / d reward is the occupancy of the policy.

    Raises:
        InputError: for values out of range, discount 1 with neither horizon nor terminal state, or terminal states
            that cannot be reached.
        InfeasibleError: for a problem without a finite solution; the message names the states that loop. Also where
            nothing can be proven in the number format, or within `max_sweeps`.

    Warns:
        UserWarning: when the tolerance was not reached; `error_bound` says what was.

    Source: Levine (2018), equations 4-25; Ziebart (2010), algorithm 9.1; Todorov (2006) for first exit.
    """
    check_temperature(temperature)
    check_choice(dynamics, ("given", "posterior"), "dynamics")
    if state_temperature is None:
        state_temperature = math.inf if dynamics == "given" else temperature
    check_temperature(state_temperature, "state_temperature")
    check_horizon(horizon)
    if discount is None:
        if horizon is None:
            raise InputError(
                "give a discount below 1, a horizon, or discount 1 with terminal states (first exit)."
            )
        discount = 1.0
    check_discount(discount)
    check_tolerance(tolerance)
    check_count(max_sweeps, "max_sweeps")
    check_reward_length(mdp, horizon)
    _check_unnormalised(mdp, temperature)
    mdp.check_memory(horizon)
    bare = mdp.bare()
    temperatures = Temperatures(_number(temperature, mdp.dtype), _number(state_temperature, mdp.dtype))
    # The solver in float64 takes the discount as it was given, whatever the format of the problem.
    problem = Problem(bare, temperatures, jnp.asarray(discount, float))
    if horizon is not None:
        answer = _over_horizon(problem, horizon)
    else:
        answer = _solve_stationary(mdp, problem, discount, tolerance, max_sweeps)
    return Solution(mdp, temperatures, discount, horizon, *answer)


def _solve_stationary(
    mdp: TabularMDP, problem: Problem, discount: Scalar, tolerance: float, max_sweeps: int
) -> FixedPoint:
    """Choose the solver, and refuse or warn where numbers can be looked at."""
    seen = is_concrete(discount)
    if seen and float(discount) == 1.0 and is_concrete(mdp):
        require_exit(mdp)
    iterate = (
        seen
        and float(discount) < 1.0
        and mdp.states > EXACT
        and takes_iteration(problem.mdp, problem.temperatures)
    )
    shared, transition = None, mdp.transition
    mixes = temperature_kind(problem.temperatures.action) != "max"
    if iterate and mixes and is_concrete(mdp) and isinstance(transition, Sparse) and transition.local:
        shared = shared_successors(transition.successor)
    limits = jnp.asarray(tolerance, float), jnp.asarray(max_sweeps)
    few = jnp.minimum(limits[1], ITERATIONS)
    if iterate and mdp.states >= MANY and is_concrete(problem):
        _stationary.lower(problem, limits[0], few, shared).compile()  # pyright: ignore[reportFunctionMemberAccess]
        return_freed_memory()
    answer = _stationary(problem, limits[0], few, shared) if iterate else _newton(problem, *limits)
    if not is_concrete(answer, discount):
        return answer
    if iterate and not bool(answer.converged) and int(answer.sweeps) < max_sweeps:
        second = _newton(problem, *limits)
        if float(second.error_bound) < float(answer.error_bound):
            answer = second
    if not bool(jnp.isfinite(answer.error_bound)):
        cut_short = int(answer.sweeps) >= max_sweeps
        explain_divergence(mdp, problem.temperatures, float(discount), cut_short=cut_short)
    _warn_unconverged(answer, tolerance)
    return answer


@eqx.filter_jit
def _over_horizon(problem: Problem, horizon: int) -> FixedPoint:
    mdp, temperatures, discount = problem
    v = tabular.backward(mdp, temperatures, horizon, jnp.asarray(discount, mdp.dtype))
    finite = jnp.all(jnp.isfinite(v))
    bound = jnp.where(finite, horizon * jax.lax.stop_gradient(rounding_of(problem)(v)), jnp.inf)
    return FixedPoint(v, bound.astype(mdp.dtype), jnp.asarray(horizon), finite)


@eqx.filter_jit
def _stationary(problem: Problem, tolerance, max_sweeps, shared: SharedSuccessors | None):
    return fixed_point(problem, tolerance=tolerance, max_sweeps=max_sweeps, discounted=True, shared=shared)


@eqx.filter_jit
def _newton(problem: Problem, tolerance, max_sweeps):
    return fixed_point(problem, tolerance=tolerance, max_sweeps=max_sweeps, discounted=False)


def _number(temperature: Scalar, dtype) -> Scalar:
    """0 and inf stay Python numbers, because they choose formulas; anything else becomes an array, compiled once."""
    if not is_concrete(temperature):
        return jnp.asarray(temperature, dtype)
    with np.errstate(over="ignore", under="ignore"):
        value = np.asarray(temperature, dtype)
    limits: dict[str, Scalar] = {"max": 0.0, "mean": math.inf}
    # What the format holds with fewer digits only is as good as 0 too: hardware takes it for that.
    kind = "max" if value < np.finfo(value.dtype).tiny else temperature_kind(value)
    return limits[kind] if kind in limits else jnp.asarray(value)


def _check_unnormalised(mdp: TabularMDP, temperature: Scalar) -> None:
    """The mean over actions is defined only for a normalised prior."""
    if temperature_kind(temperature) == "mean" and is_concrete(mdp.log_prior):
        total = jnp.sum(jnp.exp(jnp.asarray(mdp.log_prior)), 1)
        if not bool(jnp.all(jnp.asarray(mdp.terminal) | (jnp.abs(total - 1) < 1e-5))):
            raise InputError("temperature inf needs a normalised prior; the counting prior has no mean.")


def _warn_unconverged(answer, tolerance: float) -> None:
    if is_concrete(answer) and not bool(answer.converged):
        warnings.warn(
            f"the tolerance {tolerance:g} was not reached in {many(int(answer.sweeps), 'sweep')}: "
            f"the values are proven to within {float(answer.error_bound):.3g} only.",
            stacklevel=5,
        )
