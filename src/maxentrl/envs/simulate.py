"""Any tabular problem as a simulator."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from maxentrl.core.check import InputError
from maxentrl.core.contracts import Env, Step
from maxentrl.core.spaces import Discrete
from maxentrl.envs.limited import limited
from maxentrl.models.tabular import TabularMDP
from maxentrl.models.transition import Dense


def simulate(mdp: TabularMDP, *, limit: int | None = None, name: str = "problem") -> Env:
    """The problem as a pair of pure functions: the next state is drawn from P(s' | s, a).

    The state is its number, int32 [], and so is the observation. `terminated` is true from the moment a
    terminal state is entered; there every action stays and pays nothing. A problem has no time
    limit, so that `truncated` is never true unless one is set here; the state is then a `Limited`, which counts
    steps too. A forbidden action pays -inf and stays. Numbers are float32, as learners use them.

    Args:
        mdp: a problem whose reward does not change with time.
        limit: steps in an episode, or None.
        name: as messages and files call it.

    Returns:
        An `Env` for `jit`, `vmap` and `scan`.

    Raises:
        InputError: for a reward [T, S, A], or a limit below 1.
    """
    if mdp.reward.ndim != 2:
        raise InputError(
            f"simulate needs a reward that stays the same, [S, A]; "
            f"this one changes over {mdp.reward.shape[0]} steps."
        )
    allowed = np.isfinite(np.asarray(mdp.log_prior)) & ~np.asarray(mdp.terminal)[:, None]
    reward = np.where(allowed, mdp.reward, np.where(np.asarray(mdp.terminal)[:, None], 0, -np.inf))
    reward, allowed = jnp.asarray(reward.astype(np.float32)), jnp.asarray(allowed)
    terminal = jnp.asarray(mdp.terminal)
    log_initial = _log(mdp.initial)
    log_probability = _log(mdp.transition.probability)
    successor = None if isinstance(mdp.transition, Dense) else jnp.asarray(mdp.transition.successor)

    def reset(key):
        state = jax.random.categorical(key, log_initial).astype(jnp.int32)
        return state, state

    def step(key, state, action):
        if successor is None:
            drawn = jax.random.categorical(key, log_probability[state, action])
        else:
            drawn = successor[action, jax.random.categorical(key, log_probability[action, :, state]), state]
        state_next = jnp.where(allowed[state, action], drawn, state).astype(jnp.int32)
        return state_next, Step(state_next, reward[state, action], terminal[state_next], jnp.zeros((), bool))

    env = Env(reset, step, Discrete(mdp.states), Discrete(mdp.actions), name=name)
    return limited(env, limit)


def check_free_choice(mdp: TabularMDP, name: str) -> None:
    """Every action is allowed in every state that is not terminal: who learns by trying chooses among all of them.

    Raises:
        InputError: naming the first state, and the action that is forbidden there.
    """
    forbidden = np.isneginf(np.asarray(mdp.log_prior)) & ~np.asarray(mdp.terminal)[:, None]
    if forbidden.any():
        state, action = (int(i) for i in np.argwhere(forbidden)[0])
        raise InputError(
            f"{name} forbids the action {mdp.action_name(action)!r} in the state {mdp.state_name(state)!r}; training needs "
            f"a problem that allows every action in every state."
        )


def _log(probability) -> jax.Array:
    with np.errstate(divide="ignore"):
        return jnp.asarray(np.log(np.asarray(probability)).astype(np.float32))
