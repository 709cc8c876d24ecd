"""What happened since the last look: sums that live beside the agent, so that no piece of a run depends on its clock.

A tally is a tree of arrays that is carried through the compiled program and set to zero at every row of the metrics.
It also holds when each quantity was first not a finite number: the run is stopped there, by name.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

NEVER = np.iinfo(np.int32).max


class Tally(NamedTuple):
    """infos: sums of what `update` reports, each weighted by its gradient steps; "updates" their number.

    episodes, score, length: how many ended, and the sums of their returns and steps.
    largest: the largest reward met, in size.
    bad: for each quantity, the iteration since the beginning of the run in which it was first not finite, or NEVER.
    """

    infos: dict[str, jax.Array]
    episodes: jax.Array
    score: jax.Array
    length: jax.Array
    largest: jax.Array
    bad: dict[str, jax.Array]


def nothing(infos: dict[str, Any]) -> Tally:
    """A tally of nothing yet, for infos of these names."""
    zero, count = jnp.zeros(()), jnp.zeros((), jnp.int32)
    names = ["reward", "observation", *(name for name in infos if name != "updates")]
    return Tally(
        {name: zero for name in infos},
        count,
        zero,
        count,
        zero,
        {name: jnp.full((), NEVER, jnp.int32) for name in names},
    )


def cleared(tally: Tally) -> Tally:
    """The same with all sums at zero; what was bad stays bad."""
    return jax.tree.map(jnp.zeros_like, tally)._replace(bad=tally.bad)


def updated(tally: Tally, iteration, info: dict[str, jax.Array], reward, observation) -> Tally:
    """One gradient phase more: `info` of `update`, and the rewards and observations that led to it."""
    weight = info["updates"]
    infos = {
        name: total + (info[name] if name == "updates" else weight * info[name])
        for name, total in tally.infos.items()
    }
    values = {"reward": reward, "observation": observation, **info}
    bad = {
        name: jnp.where(jnp.all(jnp.isfinite(values[name])), first, jnp.minimum(first, iteration))
        for name, first in tally.bad.items()
    }
    return tally._replace(infos=infos, bad=bad, largest=jnp.maximum(tally.largest, jnp.max(jnp.abs(reward))))


def ended(tally: Tally, over, score, length) -> Tally:
    """Episodes that ended, where `over` [N]; their returns and lengths."""
    return tally._replace(
        episodes=tally.episodes + jnp.sum(over, dtype=jnp.int32),
        score=tally.score + jnp.sum(jnp.where(over, score, 0.0)),
        length=tally.length + jnp.sum(jnp.where(over, length, 0), dtype=jnp.int32),
    )


def summary(tally: Tally) -> dict[str, float | int | None]:
    """Averages, as numbers for a row of metrics; None where there is nothing to average."""
    episodes, updates = int(tally.episodes), float(tally.infos["updates"])
    row: dict[str, float | int | None] = {
        "episodes": episodes,
        "return": float(tally.score) / episodes if episodes else None,
        "length": int(tally.length) / episodes if episodes else None,
        "updates": int(updates),
    }
    for name, total in tally.infos.items():
        if name != "updates":
            row[name] = float(total) / updates if updates else None
    return row


def first_bad(tally: Tally) -> tuple[str, int] | None:
    """The quantity that was not finite first, and in which iteration; of several at once, one of the environment's: it is
    the cause of the others.
    """
    cause = ("reward", "observation")
    name, at = min(tally.bad.items(), key=lambda item: (int(item[1]), item[0] not in cause))
    return None if int(at) == NEVER else (name, int(at))
