"""What happened since the last look: sums that live beside the agent, so that no piece of a run depends on its clock.

A tally is a tree of arrays that is carried through the compiled program and set to zero at every row of the metrics.
It also holds when each quantity was first not a finite number: the run is stopped there, by name.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maxentrl.core.contracts import Transition

NEVER = np.iinfo(np.int32).max
FROM_OUTSIDE = {"observation": "showed", "reward": "paid"}
"""What the environment may give that is not finite, and how: the cause of all else that is not, the first one first."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Tally:
    """names: K words, what `update` reports beside "updates". All numbers of a kind are one array, since a program costs
    as much time for each array that it is handed as for a small product of matrices.

    sums: float32 [K], each weighted by its gradient steps. updates: float32 [], the number of these.
    bad: int32 [2 + K], for observation, reward and the names: the iteration since the beginning of the run in which it
        was first not finite, or NEVER.
    ended: int32 [2], episodes that ended, and their steps. score: float32 [], the sum of their returns.
    largest: float32 [], the largest reward met, in size.
    """

    names: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    sums: Any
    updates: Any
    bad: Any
    ended: Any
    score: Any
    largest: Any


def nothing(infos: dict[str, Any]) -> Tally:
    """A tally of nothing yet, for infos of these names."""
    names = tuple(name for name in infos if name != "updates")
    zero = jnp.zeros(())
    return Tally(
        names,
        jnp.zeros(len(names)),
        zero,
        jnp.full(len(FROM_OUTSIDE) + len(names), NEVER, jnp.int32),
        jnp.zeros(2, jnp.int32),
        zero,
        zero,
    )


def cleared(tally: Tally) -> Tally:
    """The same with all sums at zero; what was bad stays bad."""
    return dataclasses.replace(jax.tree.map(jnp.zeros_like, tally), bad=tally.bad)


def updated(tally: Tally, iteration, info: dict[str, jax.Array], lived: Transition) -> Tally:
    """One gradient phase more: `info` of `update`, and the steps that led to it."""
    found = jnp.array([info[name] for name in tally.names], jnp.float32)
    # The observation before, too: what a reset shows is the next one of no step.
    seen = jnp.isfinite(lived.observation) & jnp.isfinite(lived.next_observation)
    whole = jnp.array([jnp.all(seen), jnp.all(jnp.isfinite(lived.reward))])
    finite = jnp.concatenate([whole, jnp.isfinite(found)])
    return dataclasses.replace(
        tally,
        sums=tally.sums + info["updates"] * found,
        updates=tally.updates + info["updates"],
        bad=jnp.where(finite, tally.bad, jnp.minimum(tally.bad, iteration)),
        largest=jnp.maximum(tally.largest, jnp.max(jnp.abs(lived.reward))),
    )


def with_episodes(tally: Tally, over, score, length) -> Tally:
    """Episodes that ended, where `over` [..., N]; their returns and lengths."""
    counts = jnp.array([jnp.sum(over, dtype=jnp.int32), jnp.sum(jnp.where(over, length, 0), dtype=jnp.int32)])
    return dataclasses.replace(
        tally,
        ended=tally.ended + counts,
        score=tally.score + jnp.sum(jnp.where(over, score, 0.0)),
    )


def summary(tally: Tally) -> dict[str, float | int | None]:
    """Averages, as numbers for a row of metrics; None where there is nothing to average."""
    (episodes, steps), updates = (int(x) for x in tally.ended), float(tally.updates)
    row: dict[str, float | int | None] = {
        "episodes": episodes,
        "return": float(tally.score) / episodes if episodes else None,
        "length": steps / episodes if episodes else None,
        "updates": int(updates),
    }
    for name, total in zip(tally.names, tally.sums, strict=True):
        row[name] = float(total) / updates if updates else None
    return row


def first_bad(tally: Tally) -> tuple[str, int] | None:
    """The quantity that was not finite first, and in which iteration; of several at once, the environment's."""
    first = int(np.argmin(tally.bad))  # of equal ones the first, and what comes from outside stands first
    at = int(tally.bad[first])
    return None if at == NEVER else ((*FROM_OUTSIDE, *tally.names)[first], at)
