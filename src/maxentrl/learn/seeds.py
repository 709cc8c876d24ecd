"""One program for all seeds of a run: on a CPU each core works on another one, on an accelerator they go side by side."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from maxentrl.core.machine import cores
from maxentrl.learn.compiling import often


def over_seeds(function: Callable[..., Any], donate: tuple[int, ...] = ()) -> Callable[..., tuple[Any, ...]]:
    """(trees, *more) -> function(tree, *more) for the tree of each seed, once all are done.

    On a CPU it is compiled for one tree and called for each, which therefore gives the very numbers that it gives alone;
    a core for each seed is faster than all cores for one. It is compiled in the thread that asks, so that settings of JAX
    which hold in that thread alone hold for all. On an accelerator all trees are one call.

    donate: as for `often`, the trees at 0.
    """
    if jax.default_backend() != "cpu":
        return often(side_by_side(function), donate)
    program = often(function, donate)
    compiled: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def each(trees: Sequence[Any], *more: Any) -> tuple[Any, ...]:
        if len(trees) == 1:
            return (jax.block_until_ready(program(trees[0], *more)),)
        more = jax.tree.map(jnp.asarray, more)  # of the types that hold in this thread
        form = tuple(map(jax.typeof, jax.tree.leaves((trees[0], more))))
        if form not in compiled:
            compiled[form] = program.lower(trees[0], *more).compile()
        return abreast(lambda tree: jax.block_until_ready(compiled[form](tree, *more)), trees)

    return each


def side_by_side(function: Callable[..., Any]) -> Callable[..., tuple[Any, ...]]:
    """The same as one function of all trees, whose arrays are put together for it and taken apart again."""

    def together(trees: Sequence[Any], *more: Any) -> tuple[Any, ...]:
        stacked = jax.tree.map(lambda *x: jnp.stack(x), *trees)
        done = jax.vmap(lambda tree: function(tree, *more))(stacked)
        return tuple(jax.tree.map(lambda x, i=i: x[i], done) for i in range(len(trees)))

    return together


def abreast(call: Callable[[Any], Any], items: Sequence[Any]) -> tuple[Any, ...]:
    """call(item) for each, as many at a time as there are cores, each in a thread of its own.

    Raises:
        What a call raised first, once the others that were begun are done; no more are begun then.
    """
    waiting: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    for numbered in enumerate(items):
        waiting.put(numbered)
    found: list[Any] = [None] * len(items)
    failed: list[BaseException] = []

    def work() -> None:
        while not failed:
            try:
                at, item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                found[at] = call(item)
            except BaseException as error:
                failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(min(cores(), len(items)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return tuple(found)
