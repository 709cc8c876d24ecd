"""The one training loop: act and learn, write down what happened, evaluate, keep checkpoints, stop when told.

What is computed depends on the settings and the seeds alone. Time decides only how much is done between two looks at
the clock, and a run that was stopped, at any moment, goes on from its last checkpoint to the same numbers.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from maxentrl.core.check import InputError, check_count
from maxentrl.learn import checkpoint, tally
from maxentrl.learn.worlds import World

PIECE = 0.5
"""Seconds of work between two looks at the clock and at what was asked from outside; about, and at least one step."""


class DivergedError(RuntimeError):
    """A run cannot go on: a quantity was no finite number any more, or an environment outside of JAX failed.

    The message says which, since when, and what is left.
    """


@dataclass(frozen=True)
class Schedule:
    """When what is done, in environment steps of each seed; all are rounded up to whole iterations.

    steps: how long to train.
    log_every: a row of metrics.
    evaluate_every: an evaluation; the last step has one in any case.
    checkpoint_every: a checkpoint; the last step has one in any case.
    """

    steps: int
    log_every: int = 1000
    evaluate_every: int = 5000
    checkpoint_every: int = 10_000

    def __post_init__(self):
        for name in ("steps", "log_every", "evaluate_every", "checkpoint_every"):
            object.__setattr__(self, name, check_count(getattr(self, name), name, "step"))


class Progress(NamedTuple):
    """step: of each seed, so far. seconds: of this process, since training began. done: steps in it, of each seed."""

    step: int
    seconds: float
    done: int


class Trained(NamedTuple):
    """tree: the run at its end. step: of each seed. finished: whether that was the end of the schedule."""

    tree: Any
    step: int
    finished: bool


def train(
    world: World,
    schedule: Schedule,
    seeds: tuple[int, ...],
    record: Callable[[dict[str, Any]], None],
    *,
    folder: Path | None = None,
    facts: Callable[[int], dict[str, Any]] = lambda spare: {},
    resume: tuple[Any, int] | None = None,
    stop: Callable[[], bool] = lambda: False,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Trained:
    """Train all seeds to the end of the schedule, or until `stop`.

    Args:
        world: what is trained and where.
        schedule: when what is done.
        seeds: for the rows of metrics.
        record: takes each row: {"kind": "training" or "evaluation", "step", "seed", ...}.
        folder: where checkpoints go; none are written without it.
        facts: what to write into a checkpoint beside "step"; called when one is written, with the number of the latest
            rows that are there only because the run ended: whoever raises `steps` goes on as if they were not.
        resume: tree and step of a checkpoint, the tree from `World.restore`.
        stop: asked after every piece of work; the run is kept as it is then.
        watch: told after every piece of work.

    Returns:
        The run at its end.

    Raises:
        DivergedError: when a quantity is not finite any more, or an environment fails. No checkpoint is written from
            then on.
        InputError: when a checkpoint cannot be written; earlier ones are still there.
    """
    per = world.per_iteration
    last, log_every, evaluate_every, checkpoint_every = (
        math.ceil(x / per)
        for x in (schedule.steps, schedule.log_every, schedule.evaluate_every, schedule.checkpoint_every)
    )
    if resume is None:
        tree, at = world.begin(), 0
    else:
        tree, at = resume[0], resume[1] // per
    begun, first, length, spare = time.monotonic(), at, 1, 0

    def keep() -> None:
        if folder is None:
            return
        arrays = checkpoint.named(tree)
        for name, array in arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise DivergedError(_lost(name, at * per, folder))
        about = {"step": at * per, **facts(spare)}
        try:
            checkpoint.write(folder, at * per, arrays, about, every=checkpoint_every * per)
        except InputError as error:
            raise InputError(f"{error} {checkpoint.left(folder)}") from error

    def trained(tree: Any, step: int) -> Iterator[dict[str, Any]]:
        for seed, one in zip(seeds, world.tallies(tree), strict=True):
            yield {"kind": "training", "step": step, "seed": seed, **tally.summary(one)}

    def evaluated(tree: Any, step: int) -> Iterator[dict[str, Any]]:
        with _losing(folder):
            scores = world.evaluate(tree)
        for seed, found in zip(seeds, scores, strict=True):
            returns = [float(x) for x in found]
            row = {"return": float(np.mean(found)), "returns": returns}
            yield {"kind": "evaluation", "step": step, "seed": seed, **row}

    kept = at if resume is not None else -1
    while at < last:
        until = min(
            last, *(at - at % every + every for every in (log_every, evaluate_every, checkpoint_every))
        )
        piece = min(length, until - at)
        start = time.monotonic()
        with _losing(folder):
            tree = jax.block_until_ready(world.advance(tree, piece))
        taken = time.monotonic() - start
        at += piece
        length = max(1, round(piece * min(2.0, PIECE / max(taken, 1e-6))))
        for seed, one in zip(seeds, world.tallies(tree), strict=True):
            bad = tally.first_bad(one)
            if bad is not None:
                raise DivergedError(_diverged(*bad, seed, per, float(one.largest), folder))
        kinds = (trained, log_every), (evaluated, evaluate_every)
        due = [told for told, every in kinds if at % every == 0]
        # What is told only because the run ends comes last, so that whoever goes on can cut it off.
        extra = [told for told, every in kinds if at % every and at == last]
        for told in due + extra:
            for row in told(tree, at * per):
                record(row)
                spare += told in extra
        if at % log_every == 0:
            tree = world.cleared(tree)
        if at % checkpoint_every == 0 or at == last:
            keep()
            kept = at
        watch(Progress(at * per, time.monotonic() - begun, (at - first) * per))
        if at < last and stop():
            break
    if kept != at:
        keep()
    return Trained(tree, at * per, at >= last)


@contextlib.contextmanager
def _losing(folder: Path | None) -> Iterator[None]:
    """What an environment does wrong within loses the run."""
    try:
        yield
    except InputError as error:
        raise DivergedError(f"{error} {checkpoint.left(folder)}") from error


def _diverged(name: str, iteration: int, seed: int, per: int, largest: float, folder: Path | None) -> str:
    if name in tally.FROM_OUTSIDE:
        cause = f"The environment {tally.FROM_OUTSIDE[name]} it."
    else:
        cause = (
            f"The largest reward so far was {largest:.3g} in size; a smaller learning rate, or rewards divided by "
            "their size, often help."
        )
    return (
        f"{name.replace('_', ' ')} was no finite number at step {(iteration + 1) * per} of seed {seed}. {cause} "
        f"{checkpoint.left(folder)}"
    )


def _lost(name: str, step: int, folder: Path) -> str:
    return f"{name} was no finite number at step {step}, so no checkpoint was written there. {checkpoint.left(folder)}"
