"""Runs of many seeds, in environments of either kind, behind one set of functions for the one training loop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from maxentrl.core.check import InputError
from maxentrl.core.contracts import Agent, Env, Outside
from maxentrl.core.machine import cores
from maxentrl.core.spaces import check_bounded
from maxentrl.learn import inside, outside
from maxentrl.learn import tally as tallies
from maxentrl.learn.compiling import often, once
from maxentrl.learn.tally import Tally

LIMIT = 10_000
"""Steps after which an evaluation episode ends where the environment has no limit of its own."""


class World(NamedTuple):
    """All seeds of a run. `tree` is everything that decides what comes next, as arrays.

    per_iteration: steps of one seed in one iteration.
    begin: () -> tree. advance: (tree, iterations) -> tree.
    tallies: tree -> the tally of each seed. cleared: tree -> tree with empty tallies.
    evaluate: tree -> returns [seeds, episodes] of the most likely actions from fixed starts.
    agents: tree -> the agent's state of each seed.
    restore: tree -> tree, once environments outside of JAX stand where the tree says.
    """

    per_iteration: int
    begin: Callable[[], Any]
    advance: Callable[[Any, int], Any]
    tallies: Callable[[Any], list[Tally]]
    cleared: Callable[[Any], Any]
    evaluate: Callable[[Any], np.ndarray]
    agents: Callable[[Any], list[Any]]
    restore: Callable[[Any], Any]
    close: Callable[[], None]


def key_of(seed) -> jax.Array:
    """The random key of a seed, a number or an array []; of an implementation that is named."""
    return jax.random.key(seed, impl="threefry2x32")


def compiled_world(agent: Agent, env: Env, seeds: Sequence[int], starts: Sequence[int]) -> World:
    """Seeds of an environment written in JAX, by one compiled program.

    On a CPU each seed is a call of it, and each core works on another seed: that is faster than all cores on one, and
    each gives the very numbers that it gives alone. On an accelerator all seeds are one call, side by side.

    starts: a seed for each evaluation episode.
    """
    agent.check(*inside.spaces(env))
    check_bounded(inside.spaces(env)[1], f"the action space of {env.name}")
    groups = calls(seeds)
    each_group = Abreast()

    def over_seeds(function, tree):
        """In a program: of a group, whose arrays are [seeds, ...]."""
        if len(groups[0]) == 1:
            return jax.tree.map(lambda x: x[None], function(jax.tree.map(lambda x: x[0], tree)))
        return jax.vmap(function)(tree)

    limit = env.limit or LIMIT

    def evaluate(tree, starts):
        keys = jax.vmap(lambda start: jax.random.fold_in(key_of(start), 1))(starts)
        return over_seeds(lambda state: inside.evaluate(agent, env, state, keys, limit), tree.agent)

    begin = once(lambda seeds: over_seeds(lambda seed: inside.begin(agent, env, key_of(seed)), seeds))
    advance = often(
        lambda tree, n: over_seeds(lambda now: inside.advance(agent, env, now, n), tree), donate=(0,)
    )
    cleared = often(lambda tree: tree._replace(tally=tallies.cleared(tree.tally)), donate=(0,))
    evaluated = often(evaluate)

    def by_seed(trees):
        return [
            jax.tree.map(lambda x, i=i: x[i], tree)
            for tree, group in zip(trees, groups, strict=True)
            for i in range(len(group))
        ]

    return World(
        agent.steps * agent.environments,
        lambda: tuple(begin(np.asarray(group)) for group in groups),
        lambda trees, n: each_group(advance, trees, np.int32(n)),
        lambda trees: by_seed(jax.device_get([tree.tally for tree in trees])),
        lambda trees: tuple(cleared(tree) for tree in trees),
        lambda trees: np.concatenate(each_group(evaluated, trees, np.asarray(starts))),
        lambda trees: by_seed([tree.agent for tree in trees]),
        lambda trees: trees,
        lambda: None,
    )


def calls(seeds: Sequence[int]) -> list[tuple[int, ...]]:
    """The seeds of each call of the program."""
    return [(seed,) for seed in seeds] if jax.default_backend() == "cpu" else [tuple(seeds)]


class Abreast:
    """Calls a compiled program for several trees at once, as many as there are cores; each in a thread of its own.

    The first call of a program is made alone, as it compiles.
    """

    def __init__(self):
        self._compiled: set[Any] = set()

    def __call__(self, program: Callable[..., Any], trees: Sequence[Any], *more: Any) -> tuple[Any, ...]:
        """What program(tree, *more) gives for each tree, once all are done."""
        double = jax.config.read("jax_enable_x64")

        def call(tree):
            with jax.enable_x64(double):  # what was switched on in one thread is off in others
                return jax.block_until_ready(program(tree, *more))

        alone = 0 if program in self._compiled else 1
        self._compiled.add(program)
        done = [call(tree) for tree in trees[:alone]]
        if len(trees) - alone < 2:
            return (*done, *map(call, trees[alone:]))
        with ThreadPoolExecutor(min(len(trees) - alone, cores())) as threads:
            return (*done, *threads.map(call, trees[alone:]))


def outer_world(
    agent: Agent, make: Callable[[int], Outside], seeds: Sequence[int], starts: Sequence[int]
) -> World:
    """Seeds of an environment stepped from Python, in turn; all share the compiled programs.

    make: how many environments side by side -> these. starts: as for `compiled_world`; the first one counts, for all
        evaluation episodes together.
    """
    worlds = [make(agent.environments) for _ in seeds]
    agent.check(worlds[0].observation, worlds[0].action)
    check_bounded(worlds[0].action, f"the action space of {worlds[0].name}")
    programs = outside.programs(agent)
    tests: list[Outside] = []

    def by_seed(one: Callable[[int], Any], doing: str = "") -> tuple[Any, ...]:
        found = []
        for i, seed in enumerate(seeds):
            with telling(f"{doing}seed {seed}"):
                found.append(one(i))
        return tuple(found)

    def begin():
        return by_seed(lambda i: outside.begin(agent, worlds[i], programs, seeds[i], key_of(seeds[i])))

    def advance(tree, n):
        return by_seed(lambda i: outside.advance(agent, worlds[i], programs, tree[i], n))

    def cleared(tree):
        return tuple(
            now._replace(learning=now.learning._replace(tally=tallies.cleared(now.learning.tally)))
            for now in tree
        )

    def evaluate(tree):
        if not tests:
            tests.append(make(len(starts)))
        limit = tests[0].limit or LIMIT

        def scores(i):
            return outside.evaluate(tests[0], programs, tree[i].learning.agent, 2**31 + starts[0], limit)

        return np.stack(by_seed(scores, "evaluation of "))

    def restore(tree):
        return by_seed(lambda i: tree[i]._replace(observation=worlds[i].restore(tree[i].world)))

    def close():
        for world in [*worlds, *tests]:
            world.close()

    return World(
        agent.steps * agent.environments,
        begin,
        advance,
        lambda tree: [jax.device_get(now.learning.tally) for now in tree],
        cleared,
        evaluate,
        lambda tree: [now.learning.agent for now in tree],
        restore,
        close,
    )


@contextlib.contextmanager
def telling(where: str) -> Iterator[None]:
    """What is wrong within is said with where it is."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{where}, {error}") from error
