"""Runs of many seeds, in environments of either kind, behind one set of functions for the one training loop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from maxentrl.core.check import InputError, check_memory
from maxentrl.core.contracts import Agent, Env, Outside
from maxentrl.core.spaces import Space, check_bounded
from maxentrl.core.words import many
from maxentrl.learn import inside, outside
from maxentrl.learn import tally as tallies
from maxentrl.learn.compiling import often, once
from maxentrl.learn.replay import Remembering
from maxentrl.learn.seeds import over_seeds
from maxentrl.learn.tally import Tally

LIMIT = 10_000
"""Steps after which an evaluation episode ends where the environment has no limit of its own."""


class World(NamedTuple):
    """All seeds of a run. `tree` is everything that decides what comes next, as arrays: a tree for each seed.

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
    """Seeds of an environment written in JAX, by one compiled program (see `learn.seeds`).

    starts: a seed for each evaluation episode.
    """
    agent.check(*inside.spaces(env))
    check_room(agent, inside.spaces(env), len(seeds))
    check_bounded(inside.spaces(env)[1], f"the action space of {env.name}")
    limit = env.limit or LIMIT

    def evaluate(state, starts):
        keys = jax.vmap(lambda start: jax.random.fold_in(key_of(start), 1))(starts)
        return inside.evaluate(agent, env, state, keys, limit)

    begin = once(lambda seed: inside.begin(agent, env, key_of(seed)))
    advance = over_seeds(lambda tree, n: inside.advance(agent, env, tree, n), donate=(0,))
    cleared = often(lambda tree: tree._replace(tally=tallies.cleared(tree.tally)), donate=(0,))
    evaluated = over_seeds(evaluate)
    return World(
        agent.steps * agent.environments,
        lambda: tuple(begin(np.asarray(seed)) for seed in seeds),
        lambda trees, n: advance(trees, np.int32(n)),
        lambda trees: jax.device_get([tree.tally for tree in trees]),
        lambda trees: tuple(cleared(tree) for tree in trees),
        lambda trees: np.stack(evaluated([tree.agent for tree in trees], np.asarray(starts))),
        lambda trees: [tree.agent for tree in trees],
        lambda trees: trees,
        lambda: None,
    )


def outer_world(
    agent: Agent, make: Callable[[int], Outside], seeds: Sequence[int], starts: Sequence[int]
) -> World:
    """Seeds of an environment stepped from Python, in turn; all share the compiled programs.

    make: how many environments side by side -> these. starts: as for `compiled_world`; the first one counts, for all
        evaluation episodes together.

    Raises:
        InputError: for environments in which the agent cannot act, and where it is not as many as were asked for.
    """
    with contextlib.ExitStack() as stack:

        def opened(count: int, setting: str) -> Outside:
            with telling(f"{setting} = {count}"):
                world = make(count)
                stack.callback(world.close)
                if world.count != count:
                    raise InputError(f"{world.name} is {many(world.count, 'environment')} side by side.")
            return world

        worlds = [opened(agent.environments, "environments") for _ in seeds]
        tests = opened(len(starts), "evaluations")
        agent.check(tests.observation, tests.action)
        check_room(agent, (tests.observation, tests.action), len(seeds))
        check_bounded(tests.action, f"the action space of {tests.name}")
        close = stack.pop_all().close
    programs = outside.programs(agent)

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
        limit = tests.limit or LIMIT

        def scores(i):
            return outside.evaluate(tests, programs, tree[i].learning.agent, 2**31 + starts[0], limit)

        return np.stack(by_seed(scores, "evaluation of "))

    def restore(tree):
        return by_seed(lambda i: tree[i]._replace(observation=worlds[i].restore(tree[i].world)))

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


def check_room(agent: Agent, spaces: tuple[Space, Space], seeds: int) -> None:
    """What the agents of all seeds hold fits the memory of this machine.

    Raises:
        InputError: naming how many steps they remember, and what there is.
    """
    state = jax.eval_shape(lambda: agent.init(key_of(0), *spaces))
    needed = seeds * sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    if isinstance(state, Remembering):
        what = f"{agent.name}: {many(seeds, 'memory', 'memories')} of {len(state.memory.rows)} steps"
        check_memory(needed, what, "a smaller --capacity, or fewer seeds, will do")
    else:
        check_memory(
            needed, f"{agent.name} of {many(seeds, 'seed')}", "smaller networks, or fewer seeds, will do"
        )


@contextlib.contextmanager
def telling(where: str) -> Iterator[None]:
    """What is wrong within is said with where it is."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{where}, {error}") from error
