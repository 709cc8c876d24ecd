"""Returns: what followed a step, partly seen and partly foretold."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def lambda_returns(
    reward, value_next, terminated, truncated, valid, *, discount: float, trace: float
) -> jax.Array:
    """What each step of one trajectory was worth, from rewards that were seen and values that are foretold.

        G_t = r_t + discount (1 - terminated_t) [ (1 - l_t) V(s_{t+1}) + l_t G_{t+1} ]

    with l_t = trace where the recording goes on behind step t, and 0 where it does not: at its last step, and where
    an episode was truncated. Only termination says that nothing follows. G_t - V(s_t) is the generalised advantage
    estimate. With soft rewards r - temperature (log pi - log rho) and soft values, returns are soft.

    Args:
        reward: [T], in time's order; episodes follow each other.
        value_next: V [T] of the state that step t truly reached, in units of reward.
        terminated, truncated: bool [T].
        valid: bool [T]; rows that no one lived through are skipped: the row before them goes on behind them.
        discount, trace: in [0, 1]. At trace 0 it is the target of one step, at 1 the sum of all that was seen.

    Returns:
        G [T]; 0 in rows that are not valid.

    Source: Sutton (1988); Schulman et al. (2016), equation 16.
    """

    def back(later, row):
        follows, total = later
        reward, value, terminated, truncated, valid = row
        mixed = value + jnp.where(follows & ~truncated, trace, 0.0) * (total - value)
        here = reward + jnp.where(terminated, 0.0, discount * mixed)
        return (follows | valid, jnp.where(valid, here, total)), jnp.where(valid, here, 0.0)

    rows = (reward, value_next, terminated, truncated, valid)
    nothing = (jnp.zeros((), bool), jnp.zeros((), jnp.result_type(reward)))
    return jax.lax.scan(back, nothing, rows, reverse=True)[1]
