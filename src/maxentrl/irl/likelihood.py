"""How likely demonstrations are under a reward given as a table, whatever made the table.

With given dynamics it is the decisions that are likely or not, L = sum log pi(a|s) of the soft-optimal
policy. With posterior dynamics it is whole trajectories, given where they start,

    L = sum log p(tau | start) + r(tau) / temperature - log Z(start)
    d log Z / dr(s,a) = posterior occupancy / temperature

where p holds prior and transitions.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from maxentrl.core.check import InputError, check_choice
from maxentrl.core.precision import in_double_precision
from maxentrl.core.types import Array, Dynamics, Scalar
from maxentrl.data.trajectories import Trajectories
from maxentrl.infer.solution import Solution, solve
from maxentrl.irl.demonstrations import check_demonstrations, check_visits, visits
from maxentrl.irl.endings import check_goes_on, endings
from maxentrl.irl.fitting import check_setting
from maxentrl.irl.reward import check_offset, choices
from maxentrl.irl.sensitivity import TOLERANCE
from maxentrl.models.precision import problem_in_float64
from maxentrl.models.tabular import TabularMDP


class Question(eqx.Module):
    """A problem whose reward is wanted. mdp: without names; its reward is the offset, which forbids nothing
    that `choices` allows."""

    mdp: TabularMDP
    allowed: Float[Array, "S A"]
    temperature: jax.Array
    discount: float | jax.Array
    horizon: int | None = eqx.field(static=True)
    dynamics: str = eqx.field(static=True)

    def solve(self, reward) -> Solution:
        """The plan for a reward [S, A]."""
        return solve(
            self.mdp.with_reward(reward),
            temperature=self.temperature,
            discount=self.discount,
            horizon=self.horizon,
            dynamics="given" if self.dynamics == "given" else "posterior",
            tolerance=TOLERANCE,
        )


class Seen(NamedTuple):
    """What a likelihood needs to know of demonstrations.

    decisions: [S, A] or [T, S, A], weighted counts.
    cut: [S] or [T+1, S], weighted count of trajectories whose recording ended in a state from which they went
        on (at that time). Only posterior dynamics ask, since there the future is evidence about the past.
    starts: [S], weighted count of trajectories that begin in each state. constant: what neither rewards nor priors
        change, nats.
    """

    decisions: Float[Array, "*T S A"]
    cut: Float[Array, "*times S"]
    starts: Float[Array, "S"]
    constant: float | jax.Array


@in_double_precision
def log_likelihood(
    mdp: TabularMDP,
    reward,
    demos: Trajectories | np.ndarray,
    *,
    temperature: Scalar = 1.0,
    discount: Scalar | None = None,
    horizon: int | None = None,
    dynamics: Dynamics = "given",
):
    """Log-likelihood [] of demonstrations under a reward [S, A], nats; differentiable in the reward.

    Of decisions with given dynamics, sum log pi(a|s); with posterior dynamics of whole trajectories, sum log
    p(actions, transitions | start, optimal). This is what a network is trained on, and what held-out demonstrations
    are to be asked.
    """
    question = ask_question(mdp, temperature, discount, horizon, dynamics, None)
    return total(question, look(question, mdp, demos), jnp.asarray(reward))


def ask_question(mdp, temperature, discount, horizon, dynamics, offset) -> Question:
    """The problem and the clock, checked."""
    discount = check_setting(temperature, discount, horizon)
    check_choice(dynamics, ("given", "posterior"), "dynamics")
    if dynamics == "posterior":
        check_goes_on(discount)
    world = problem_in_float64(mdp).bare().with_reward(check_offset(mdp, offset))
    allowed = jnp.asarray(choices(world), float)
    return Question(world, allowed, jnp.asarray(temperature, float), discount, horizon, dynamics)


def look(question: Question, mdp: TabularMDP, demos) -> Seen:
    """Demonstrations as a likelihood needs them, checked against the problem; `mdp` has its names."""
    mdp = question.mdp._replace(state_names=mdp.state_names, action_names=mdp.action_names)
    horizon, posterior = question.horizon, question.dynamics == "posterior"
    times = () if horizon is None else (horizon + 1,)
    cut = np.zeros((*times, mdp.states))
    if not isinstance(demos, Trajectories):
        decisions = check_visits(mdp, demos, horizon)
        if posterior and horizon is None:
            raise InputError(
                "posterior dynamics without a horizon need trajectories: visit counts do not say how many "
                "began."
            )
        starts = decisions[0].sum(-1) if horizon is not None else np.zeros(mdp.states)
        return Seen(decisions, cut, starts, 0.0)
    if not posterior:
        check_demonstrations(mdp, demos)
        return Seen(np.asarray(visits(mdp, demos, horizon).decisions), cut, np.zeros(mdp.states), 0.0)
    found = endings(mdp, demos, float(question.discount), horizon)
    decisions = np.asarray(visits(mdp, demos, horizon).decisions)
    return Seen(decisions, found.cut, found.starts, float(demos.weights @ found.log_constant))


def total(question: Question, seen: Seen, reward) -> jax.Array:
    """L, or -inf where the problem has no finite solution."""
    plan = question.solve(reward)
    decisions = jnp.asarray(seen.decisions)
    if question.dynamics == "given":
        log_pi = jnp.asarray(plan.log_policy)
        found = jnp.sum(jnp.where(decisions > 0, decisions * log_pi, 0.0))
    else:
        went_on = jnp.where(question.mdp.terminal, 0.0, jnp.asarray(plan.v))
        gain = reward / question.temperature + jnp.asarray(plan.mdp.log_prior)
        first = jnp.asarray(plan.v if question.horizon is None else plan.v[0])
        ahead = jnp.sum(jnp.asarray(seen.cut) * went_on) - jnp.sum(jnp.asarray(seen.starts) * first)
        found = seen.constant + jnp.sum(jnp.where(decisions > 0, decisions * gain, 0.0))
        found += ahead / question.temperature
    return jnp.where(jnp.isfinite(plan.error_bound), found, -jnp.inf)


def uniform(question: Question, seen: Seen) -> float:
    """The log-likelihood of the decisions when allowed actions are chosen uniformly."""
    decisions = np.asarray(seen.decisions).sum(-1).reshape(-1, question.mdp.states).sum(0)
    return -float(decisions @ np.log(np.maximum(np.asarray(question.allowed).sum(1), 1)))


def clock(question: Question) -> str:
    """The setting in words."""
    discount = float(question.discount)
    if question.horizon is not None:
        return f"horizon {question.horizon}" + ("" if discount == 1 else f", discount {discount:g}")
    return "first exit" if discount == 1 else f"discount {discount:g}"
