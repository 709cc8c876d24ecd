"""The toys of the training loop under names, for commands that know agents and environments by name."""

import functools
from dataclasses import dataclass

import pytest

import toy_learning as toy
from maxentrl import agents, envs
from maxentrl.app import cli
from maxentrl.learn import worlds


@dataclass(frozen=True)
class ToySettings:
    """What the toy can be told.

    warmup: steps of uniform actions.
    hidden: widths that nothing uses; as many
        as you like.
    rate: in units of nothing; None for none.
    steps, environments: how much is lived between gradient steps.
    """

    warmup: int = 30
    hidden: tuple[int, ...] = (8, 8)
    rate: float | None = None
    steps: int = 1
    environments: int = 1


@functools.cache
def make(settings: ToySettings = ToySettings()):
    return toy.agent(settings.steps, settings.environments, settings.warmup)._replace(settings=settings)


@functools.cache
def small_world(*, broken_after: float = float("inf")):
    return toy.environment(broken_after)


compiled_world, compiled = worlds.compiled_world, {}


def compiled_once(agent, env, seeds, starts):
    """The functions of a world are pure, so that many runs may share them: compiling them is most of the time."""
    key = (agent.settings, id(env), tuple(seeds), tuple(starts))
    if agent.name != "toy":
        return compiled_world(agent, env, seeds, starts)
    if key not in compiled:
        compiled[key] = compiled_world(agent, env, seeds, starts)
    return compiled[key]


def install(patch):
    """Let the command line know the toys."""
    patch.setitem(agents.AGENTS, "toy", agents.Kind(make, ToySettings))
    patch.setitem(envs.SIMULATORS, "small", small_world)
    patch.setattr(worlds, "compiled_world", compiled_once)


@pytest.fixture
def toys(monkeypatch):
    install(monkeypatch)


def contents(folder):
    """The bytes of every file but the one that holds dates."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "timing.json"
    }


OPTIONS = ("--log-every", "50", "--evaluate-every", "100", "--checkpoint-every", "80", "--evaluations", "3")
COMMAND = ("train", "toy", "--env", "small", "--seeds", "0-1", *OPTIONS)
"""300 steps of it have every kind of row at different times."""


def undisturbed(tmp_path_factory, steps):
    """The folder of a run of so many steps from which nothing was asked on its way."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        assert cli.main([*COMMAND, "--steps", str(steps), "--out", str(out)]) == cli.DONE
    return out
