"""The commands that train agents and look at what came of it. Like `cli`, it imports nothing heavy before one begins."""

from __future__ import annotations

import dataclasses
import inspect
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from maxentrl.app.options import OUT
from maxentrl.app.progress import BAD_INPUT, DIVERGED, DONE, INTERRUPTED, progress
from maxentrl.app.signals import listening
from maxentrl.app.train_options import AGENTS, Training, options_of, read_arguments, settings_of

USAGE = "maxentrl train AGENT --env ID --steps N --out DIR"


@listening()  # already here, since what a signal raises while JAX is imported is lost, or ends the process
def train(words: Sequence[str]) -> int:
    """Train an agent: the first word is its name, the others are options, those of its settings among them."""
    if not words or words[0].startswith("-"):
        asked = bool(words) and words[0] in ("-h", "--help")
        print(_agents(), file=sys.stdout if asked else sys.stderr)
        return DONE if asked else BAD_INPUT

    from maxentrl import agents
    from maxentrl.learn.loop import DivergedError

    name = words[0]
    kind = agents.kind(name)
    form = options_of(name, kind.settings)

    both = [("training", OmitArgPrefixes[Training]), ("settings", OmitArgPrefixes[form])]
    question = dataclasses.make_dataclass("question", both)
    first = (inspect.getdoc(sys.modules[kind.make.__module__]) or "").split("\n")[0]
    asked = tyro.cli(question, prog=f"maxentrl train {name}", args=words[1:], description=first)
    try:
        return _train(name, asked.training, settings_of(kind.settings, asked.settings))
    except DivergedError as error:
        print(f"maxentrl: {name} cannot go on: {error}", file=sys.stderr)
        return DIVERGED
    except KeyboardInterrupt as error:
        said = str(error) or f"broken off. {_left(asked.training.out)}"
        print(f"maxentrl: {said}", file=sys.stderr)
        return INTERRUPTED


def _train(name: str, training: Training, settings: dict[str, Any]) -> int:
    from maxentrl.app.train_results import command
    from maxentrl.app.train_watch import watching
    from maxentrl.app.training import train

    with watching() as watch:
        done = train(
            name,
            training.env,
            settings=settings,
            env_args=read_arguments(training.env_args),
            steps=training.steps,
            seeds=training.seeds,
            out=training.out,
            resume=training.resume,
            max_time=training.max_time,
            log_every=training.log_every,
            evaluate_every=training.evaluate_every,
            checkpoint_every=training.checkpoint_every,
            evaluations=training.evaluations,
            track=training.track,
            watch=watch,
        )
    for sentence in done.warnings:
        print(f"maxentrl: {sentence}", file=sys.stderr)
    print(done.summary())
    print(f"report      {training.out / 'report.html'}")
    if done.finished:
        return DONE
    stopped = f"stopped at step {done.step} of {training.steps} ({done.stopped})"
    if not done.resumable:
        print(f"maxentrl: {stopped}; a run in a vector environment cannot go on.", file=sys.stderr)
        return INTERRUPTED
    again = command(done.asked).replace(" --out again", f" --out {shlex.quote(str(training.out))}")
    track = f" --track {' '.join(training.track)}" if training.track else ""
    print(f"maxentrl: {stopped}; it goes on with\n  {again}{track} --resume", file=sys.stderr)
    return INTERRUPTED


def _agents() -> str:
    lines = [
        f"usage: {USAGE} [OPTIONS]",
        "",
        "agents (maxentrl train AGENT --help names the options of each):",
        *(f"  {name:<17} {words}" for name, words in AGENTS.items()),
    ]
    return "\n".join(lines)


def _left(out: Path) -> str:
    from maxentrl.learn.checkpoint import files

    kept = files(out / "checkpoints")
    if not kept:
        return "There is no checkpoint yet."
    return f"The last checkpoint is {kept[0]}; the same command with --resume goes on from there."


def compare(
    runs: Positional[
        Annotated[tuple[Path, ...], arg(metavar="RUN", help="folders of training runs, two or more")]
    ],
    *,
    out: Annotated[Path, arg(help=OUT)] = Path("runs/compare"),
) -> int:
    """Compare training runs: curves, interquartile means, which one is better and how sure that is."""
    with progress() as say:
        from maxentrl.app.compare import compare

        done = compare(runs, out=out, say=say)
    print(done.summary())
    print(f"report      {out / 'report.html'}")
    return DONE


def rollouts(
    run: Positional[Annotated[Path, arg(metavar="RUN", help="folder of a training run")]],
    *,
    out: Annotated[
        str,
        arg(
            metavar="FILE",
            help="demonstrations: .npz; .csv where states are numbered; minari:NAME for a Minari data set",
        ),
    ],
    episodes: Annotated[int, arg(help="how many")] = 20,
    seed: Annotated[int | None, arg(help="which seed's agent; the first unless given")] = None,
    start: Annotated[int, arg(help="seed of the episodes")] = 0,
    most_likely: Annotated[bool, arg(help="most likely actions instead of drawn ones")] = False,
) -> int:
    """Let a trained agent act, and keep what it does as demonstrations."""
    with progress() as say:
        from maxentrl.app.rollouts import rollouts

        done = rollouts(run, out, episodes=episodes, seed=seed, start=start, most_likely=most_likely, say=say)
    print(done)
    return DONE
