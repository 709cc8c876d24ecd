"""Training as a whole job: from an agent and an environment to a run that can be looked at, acted with and gone on with."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from maxentrl import agents, envs
from maxentrl.app import saved_agents, train_folder
from maxentrl.app.record import plain
from maxentrl.app.saved_agents import Policy
from maxentrl.app.signals import listening
from maxentrl.app.tracking import check_tracking, tracking
from maxentrl.app.train_options import MADE, check_lists, read_duration, read_seeds
from maxentrl.app.train_results import curves, write_results
from maxentrl.app.train_watch import Clock, Stop, Watch
from maxentrl.core.check import InputError, check_count
from maxentrl.core.contracts import Agent, Env, Outside
from maxentrl.core.spaces import Space, same, width
from maxentrl.core.statistics import with_interval
from maxentrl.envs.layout import Layout
from maxentrl.envs.simulate import check_free_choice
from maxentrl.envs.together import Together
from maxentrl.learn import checkpoint, inside, loop, worlds

FILES = (".npz", ".csv")


class Site(NamedTuple):
    """Where an agent is trained: in JAX (`env`), or outside of it (`make`).

    name: as it was given; where it was not given by name, what it is called, and `MADE`.
    arguments: what it was made with. layout: where each part of an observation lies in its row, where it was laid out.
    remarks: what was odd about it when it was tried. resumable: whether a run in it can go on.
    """

    name: str
    arguments: dict[str, Any]
    env: Env | None
    make: Callable[[int], Outside] | None
    spaces: tuple[Space, Space]
    layout: Layout | None
    remarks: tuple[str, ...] = ()
    resumable: bool = True

    @property
    def named(self) -> bool:
        """Whether the name and the arguments make it again."""
        return not self.name.endswith(MADE)


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """What came of a training run.

    agent: who was trained. env: the name of where. seeds: of the runs.
    step: of each seed, at the end. finished: whether that was all that was asked. stopped: why not, or None.
    rows: the metrics, as in metrics.jsonl. policies: one for each seed.
    folder: where it is kept, or None. warnings: sentences for its reader. timing: as in timing.json.
    asked: the settings, as they are kept. resumable: whether it can go on.
    """

    agent: Agent
    env: str
    seeds: tuple[int, ...]
    step: int
    finished: bool
    stopped: str | None
    rows: list[dict[str, Any]]
    policies: tuple[Policy, ...]
    folder: Path | None
    warnings: list[str]
    timing: dict[str, Any]
    asked: dict[str, Any]
    resumable: bool

    @property
    def curves(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps [T] of the evaluations, and the mean returns [T, seeds] found there."""
        return curves(self.rows, self.seeds)

    def policy(self, seed: int | None = None) -> Policy:
        """The policy of a seed; of the first one unless given.

        Raises:
            InputError: for a seed that was not trained.
        """
        seed = self.seeds[0] if seed is None else seed
        if seed not in self.seeds:
            raise InputError(f"there is no seed {seed}; there are {', '.join(map(str, self.seeds))}.")
        return self.policies[self.seeds.index(seed)]

    def summary(self) -> str:
        """Lines to print."""
        steps, scores = self.curves
        lines = []
        if len(steps):
            found = with_interval(scores[-1])
            spread = ""
            if len(self.seeds) > 1:
                between = f"95 % interval {found.lower:.6g} to {found.upper:.6g}"
                spread = f" (interquartile mean of {len(self.seeds)} seeds, {between})"
            lines.append(f"return      {found.value:.6g}{spread} at step {steps[-1]}")
        rate = self.timing["steps_per_second"]
        speed = f"; {rate:.0f} steps per second after that" if rate is not None else ""
        lines.append(
            f"compiled    {self.timing['compilations']} programs in {self.timing['compile_seconds']:.1f} s{speed}"
        )
        return "\n".join(lines)


def train(
    agent: str | Agent,
    env: str | Env | Callable[[int], Outside],
    *,
    steps: int,
    seeds: int | str | Iterable[int] = 1,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    env_args: Mapping[str, Any] | None = None,
    resume: bool = False,
    max_time: int | float | str | None = None,
    log_every: int = 1000,
    evaluate_every: int = 5000,
    checkpoint_every: int = 10_000,
    evaluations: int = 10,
    track: Iterable[str] = (),
    watch: Watch | None = None,
) -> TrainedRun:
    """Train an agent from several seeds.

    Args:
        agent: a name among `maxentrl.agents.AGENTS`, with `settings` by name; or an `Agent`.
        env: a name: one of `maxentrl.envs`, a problem file, a Gymnasium id, or "module:Name"; with `env_args`. Or an
            `Env`; or a function that makes so many environments as an `Outside`.
        steps: environment steps of each seed.
        seeds: how many, counted from 0; or which, as numbers or as "0-31".
        out: folder of the run; nothing is written without it.
        resume: go on with the run in `out`; steps may be larger than before, all else must be the same. Where nothing
            is there yet, begin.
        max_time: stop after so many seconds ("10m" will do), with a checkpoint.
        log_every, evaluate_every, checkpoint_every: steps between rows of metrics, evaluations, checkpoints.
        evaluations: episodes of an evaluation; most likely actions, from the same starts each time.
        track: "tensorboard" and "wandb" get the same rows.
        watch: told what goes on; see `train_watch`.

    Returns:
        A `TrainedRun`. The first Ctrl-C or SIGTERM ends it early, with a checkpoint where there is a folder.

    Raises:
        InputError: for names, settings and folders that cannot be used.
        DivergedError: when a number is not finite any more, or the environment fails; it names the last good checkpoint.
        KeyboardInterrupt: for a signal before training began, when nothing is written, and for the second one.
    """
    if isinstance(agent, str):
        check_lists(agent, agents.kind(agent).settings, settings or {})
        agent = agents.make(agent, settings)
    elif settings is not None:
        raise InputError("settings go with the name of an agent; this one has its own.")
    told = dataclasses.asdict(agent.settings) if dataclasses.is_dataclass(agent.settings) else {}  # pyright: ignore[reportArgumentType]
    numbers = read_seeds(seeds)
    schedule = loop.Schedule(steps, log_every, evaluate_every, checkpoint_every)
    evaluations = check_count(evaluations, "evaluations", "episode")
    place = None if out is None else Path(out)
    if place is None and resume:
        raise InputError("resume needs the folder of the run; give out.")
    check_tracking(track := tuple(track), place)
    with contextlib.ExitStack() as stack:
        interrupted = stack.enter_context(listening())
        stop, clock = Stop(read_duration(max_time), interrupted), Clock()
        site = open_site(env, dict(env_args or {}))
        asked = {
            "agent": agent.name,
            "env": site.name,
            "env_args": site.arguments,
            "seeds": list(numbers),
            **dataclasses.asdict(schedule),
            "evaluations": evaluations,
            "settings": told,
        }
        agent.check(*site.spaces)
        found = None
        if place is not None and resume:
            found = train_folder.find(place, asked)
        elif place is not None:
            train_folder.check_free(place)
        watch = watch or Watch()
        watch.begin(schedule.steps, len(numbers), clock)
        if resume:
            watch.say(
                f"going on from step {found.step}" if found else f"nothing to go on from in {out}; beginning"
            )
        world = _world(agent, site, numbers, evaluations)
        stack.callback(world.close)
        tree = None
        if found is not None:
            # What an environment outside of JAX needs to come back to its step grows with its episode.
            tree = checkpoint.rebuilt(world.begin(), found.arrays, str(found.path), growing="world")
            tree = world.restore(tree)
        if interrupted.times:
            raise KeyboardInterrupt("interrupted before training began; nothing was written.")
        folder = None
        if place is not None:
            folder = train_folder.go_on(place, asked, found) if resume else train_folder.begin(place, asked)
            stack.callback(folder.close)
        tracked = stack.enter_context(tracking(track, place, asked, found))
        rows: list[dict[str, Any]] = [] if folder is None else folder.rows

        def record(row: dict[str, Any]) -> None:
            if folder is None:
                rows.append(plain(row))
            else:
                folder.add(row)
            tracked(row)
            watch.row(row)

        for row in rows:
            watch.row(row)
        done = loop.train(
            world,
            schedule,
            numbers,
            record,
            folder=None if folder is None else folder.checkpoints,
            facts=(lambda spare: {}) if folder is None else folder.facts,
            resume=None if found is None else (tree, found.step),
            stop=stop,
            watch=watch.step,
        )
        states = world.agents(done.tree)
        policies = tuple(
            Policy(agent, state, site.spaces, seed, site.layout)
            for seed, state in zip(numbers, states, strict=True)
        )
        warnings = [*site.remarks, *(found.remarks if found else ())]
        about = saved_agents.describe(
            agent, site.spaces, site.layout, site.name, site.arguments, numbers, done.step
        )
        timing = clock.timing(len(numbers))
        if folder is not None:
            watch.say("writing the report")
            write_results(folder, asked, about, states, policies, site, done.finished, timing, site.remarks)
        return TrainedRun(
            agent, site.name, numbers, done.step, done.finished, None if done.finished else stop.why, rows,
            policies, None if folder is None else folder.place, warnings, timing, asked, site.resumable,
        )  # fmt: skip


def open_site(env: str | Env | Callable[[int], Outside], arguments: dict[str, Any]) -> Site:
    """Where an agent is trained, from a name, an `Env` or a function.

    Raises:
        InputError: for a name that is unknown, arguments that it does not take, a problem that forbids actions, and
            what is no environment.
    """
    if isinstance(env, str):
        finite = env in envs.PROBLEMS or Path(env).suffix.lower() in FILES
        if finite:
            check_free_choice(envs.problem(env, **arguments), env)
        # One that is spelled like ours is refused by the sentence that names ours.
        ours = finite or env in envs.SIMULATORS
        if ours or (re.fullmatch("[a-z0-9_]+", env) and env not in gymnasium.registry):
            made = envs.make(env, **arguments)
            return Site(env, arguments, made, None, inside.spaces(made), None)
        return _outer(env, arguments, _maker(env, arguments))
    if arguments:
        raise InputError("env_args go with the name of an environment; this one is made already.")
    if isinstance(env, Env):
        if env.observation is None or env.action is None:
            raise InputError(f"the environment {env.name} must know its spaces, observation and action.")
        return Site(f"{env.name}{MADE}", {}, env, None, inside.spaces(env), None)
    return _outer(None, {}, env)


def _maker(name: str, arguments: dict[str, Any]) -> Callable[[int], Outside]:
    """Makes so many environments of that name; the first time, one of them is tried before."""
    from maxentrl.envs.outside import outside

    tried: list[bool] = []

    def make(count: int) -> Outside:
        made = outside(name, count, arguments, check=not tried)
        tried.append(True)
        return made

    return make


def _outer(name: str | None, arguments: dict[str, Any], make: Callable[[int], Outside]) -> Site:
    one = make(1) if _takes_count(make) else make
    if not isinstance(one, Outside):
        raise InputError(
            "env must be a name, an Env, or a function that makes so many environments as an Outside, such as lambda "
            f"count: outside(make, count) where make is a class or a function that makes one; got {type(one).__name__!r}."
        )
    try:
        layout, remarks = getattr(one, "layout", None), tuple(getattr(one, "remarks", ()))
        spaces, resumable = (one.observation, one.action), not isinstance(one, Together)
        return Site(name or f"{one.name}{MADE}", arguments, None, make, spaces, layout, remarks, resumable)
    finally:
        one.close()


def _takes_count(make: Any) -> bool:
    if not callable(make) or isinstance(make, type):
        return False
    try:
        inspect.signature(make).bind(1)
    except TypeError:
        return False
    return True


def _world(agent: Agent, site: Site, seeds: tuple[int, ...], evaluations: int) -> worlds.World:
    if site.env is not None:
        return worlds.compiled_world(agent, site.env, seeds, range(evaluations))
    return worlds.outer_world(agent, functools.partial(_made_alike, site), seeds, range(evaluations))


def _made_alike(site: Site, count: int) -> Outside:
    """So many environments of a site, with the spaces that the first one had.

    Raises:
        InputError: where they have others.
    """
    assert site.make is not None
    made = site.make(count)
    for what, before, now in zip(
        ("observation", "action"), site.spaces, (made.observation, made.action), strict=True
    ):
        if not same(before, now):
            made.close()
            raise InputError(
                f"{site.name}: the {what} space must be the same each time that the environment is made; this time it has "
                f"{width(now)} numbers or other bounds, and the first time it had {width(before)}."
            )
    return made
