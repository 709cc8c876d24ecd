"""What a training run can be told, in words: seeds, durations, and every setting of an agent as an option."""

from __future__ import annotations

import dataclasses
import inspect
import json
import operator
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

RENAMED = {"steps": "steps_per_update"}
"""Settings of agents whose option has another name; --steps is the length of the run."""

AGENTS = {
    "soft_q": "tabular soft Q-learning",
    "soft_dqn": "soft Q-learning with a network",
    "soft_pg": "the soft policy gradient",
    "entropy_bonus_pg": "policy gradient with an entropy bonus",
    "sac": "soft actor-critic",
    "sac_v1": "soft actor-critic with a value network",
    "discrete_sac": "soft actor-critic for discrete actions",
}
"""All agents by name, in words."""

MADE = " (made in Python)"
"""Behind the name of an environment that was not given by name, and that its name does not make again."""

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is trained, and for how long."""

    env: Annotated[
        str,
        arg(
            metavar="ID",
            help="an environment of ours by name, a problem file, a Gymnasium id, or module:Name of your own",
        ),
    ]
    env_args: Annotated[
        str | None, arg(metavar="JSON", help="arguments of the environment, such as '{\"gravity\": 9.8}'")
    ] = None
    steps: Annotated[
        int, arg(help="environment steps of each seed, rounded up to whole updates of the agent")
    ]
    seeds: Annotated[str, arg(metavar="N-N|N,N", help='seeds to train, such as "0-31" or "0,3,5"')] = "0"
    out: Annotated[
        Path,
        arg(metavar="DIR", help="folder of the run: a new name, an empty folder, or with --resume that run"),
    ]
    resume: Annotated[bool, arg(help="go on with the run in that folder from its last checkpoint")] = False
    max_time: Annotated[
        str | None,
        arg(
            metavar="TIME",
            help='stop after this long with a checkpoint; seconds, or such as "10m" or "1h30m"',
        ),
    ] = None
    log_every: Annotated[int, arg(help="steps between rows of metrics")] = 1000
    evaluate_every: Annotated[int, arg(help="steps between evaluations")] = 5000
    checkpoint_every: Annotated[int, arg(help="steps between checkpoints")] = 10_000
    evaluations: Annotated[int, arg(help="episodes of an evaluation, from the same starts each time")] = 10
    track: Annotated[
        tuple[Literal["tensorboard", "wandb"], ...], arg(help="also write the metrics there")
    ] = ()


def read_seeds(seeds: str | int | Iterable[int]) -> tuple[int, ...]:
    """Seeds from "0-31", "0,3,5" or both mixed; from a number of them, counted from 0; or from a list.

    Raises:
        InputError: for no seeds, one that repeats, is negative or no whole number below 2^32.
    """
    from maxentrl.core.check import InputError

    if isinstance(seeds, str):
        found: list[int] = []
        for part in seeds.split(","):
            ends = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
            if not ends:
                raise InputError(f'seeds must look like "0-31" or "0,3,5"; got {seeds!r}.')
            first, last = int(ends[1]), int(ends[2] or ends[1])
            if last < first:
                raise InputError(
                    f"seeds from {first} to {last} are none; the first must not be above the last."
                )
            if last - first >= 100_000:
                raise InputError(f"seeds {part.strip()} are {last - first + 1}; at most 100000 are possible.")
            found += range(first, last + 1)
    elif isinstance(seeds, Iterable):
        found = list(seeds)
    else:
        try:
            found = list(range(operator.index(seeds)))
        except TypeError:
            raise InputError(
                f'seeds must be a number of them, a list, or such as "0-31"; got {seeds!r}.'
            ) from None
        if not found:
            raise InputError(f"there must be at least 1 seed; got {seeds}.")
    if not found:
        raise InputError("there must be at least 1 seed; got none.")
    known: dict[int, None] = {}
    for seed in map(_seed, found):
        if seed in known:
            raise InputError(f"seeds must differ; {seed} occurs more than once.")
        known[seed] = None
    return tuple(known)


def _seed(seed: Any) -> int:
    from maxentrl.core.check import InputError

    try:
        found = -1 if isinstance(seed, bool) else operator.index(seed)
    except TypeError:
        found = -1
    if not 0 <= found < 2**32:
        raise InputError(f"a seed must be a whole number in [0, 2^32); got {seed!r}.")
    return found


def read_duration(words: str | int | float | None) -> float | None:
    """Seconds, from a number of them or from words such as "90s", "10m" or "1h30m".

    Raises:
        InputError: for anything else, and for a time that is not above 0.
    """
    from maxentrl.core.check import InputError

    if words is None:
        return None
    seconds = None
    if isinstance(words, int | float) or re.fullmatch(r"\d+(\.\d+)?", words):
        seconds = float(words)
    elif re.fullmatch(r"(\d+(\.\d+)?[hms])+", words):
        seconds = sum(float(n) * UNITS[u] for n, _, u in re.findall(r"(\d+(\.\d+)?)([hms])", words))
    if seconds is None or not 0 < seconds < float("inf"):
        raise InputError(
            f'a time must be seconds above 0, or such as "90s", "10m" or "1h30m"; got {words!r}.'
        )
    return seconds


def read_arguments(words: str | None) -> dict[str, Any]:
    """Arguments by name from JSON.

    Raises:
        InputError: for text that is no JSON object.
    """
    from maxentrl.core.check import InputError

    try:
        found = json.loads(words) if words else {}
    except json.JSONDecodeError as error:
        raise InputError(
            f"env-args must be JSON, such as '{{\"gravity\": 9.8}}'; {words!r} is not: {error}."
        ) from None
    if not isinstance(found, dict):
        raise InputError(f"env-args must be a JSON object, such as '{{\"gravity\": 9.8}}'; got {words!r}.")
    return found


def options_of(name: str, form: type) -> type:
    """A dataclass of options for a dataclass of settings: the same names, with the sentences of its docstring."""
    sentences = field_sentences(form)
    hints = typing.get_type_hints(form)
    fields = []
    for field in dataclasses.fields(form):
        hint, default = hints[field.name], field.default
        described: dict[str, Any] = {"help": sentences.get(field.name, "").replace("`", "").rstrip(".")}
        if _is_tuple(hint):
            described["metavar"] = "N,N,..."
            hint, default = str, _joined(default)
        fields.append(
            (
                RENAMED.get(field.name, field.name),
                Annotated[hint, arg(**described)],
                dataclasses.field(default=default),
            )
        )
    made = dataclasses.make_dataclass(f"{name}_settings", fields, frozen=True, kw_only=True)
    made.__doc__ = f"Settings of {name}."
    return made


def settings_of(form: type, options: Any) -> dict[str, Any]:
    """The settings by name that options say.

    Raises:
        InputError: for a list of numbers that is none.
    """
    hints = typing.get_type_hints(form)
    found = {}
    for field in dataclasses.fields(form):
        value = getattr(options, RENAMED.get(field.name, field.name))
        if _is_tuple(hints[field.name]):
            value = _numbers(value, field.name, hints[field.name])
        found[field.name] = value
    return found


def words_of(form: type, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Options by name for those settings that are not what they are unless something is said."""
    found = {}
    for field in dataclasses.fields(form):
        value = settings.get(field.name, field.default)
        value = tuple(value) if isinstance(value, list) else value
        if value != field.default:
            words = _joined(value) if isinstance(value, tuple) else "None" if value is None else value
            found[RENAMED.get(field.name, field.name)] = words
    return found


def check_lists(name: str, form: type, settings: Mapping[str, Any]) -> None:
    """Settings of which there are several numbers are given as several.

    Raises:
        InputError: for the first that is not.
    """
    from maxentrl.core.check import InputError

    hints = typing.get_type_hints(form)
    for key, value in settings.items():
        if _is_tuple(hints.get(key)) and not isinstance(value, list | tuple):
            raise InputError(f"{name}'s {key} must be numbers in brackets, such as (64, 64); got {value!r}.")


def field_sentences(form: type) -> dict[str, str]:
    """What the docstring of a dataclass, or of one that it extends, says of each field: "name: words" on a line of its
    own, or "one, other: words".
    """
    found: dict[str, str] = {}
    names: list[str] = []
    known = {field.name for field in dataclasses.fields(form)}
    kinds = [kind for kind in reversed(form.__mro__) if dataclasses.is_dataclass(kind)]
    for line in (line for kind in kinds for line in inspect.cleandoc(kind.__doc__ or "").splitlines()[1:]):
        start = re.match(r"([a-z_]+(?:, [a-z_]+)*): (.*)", line)
        if start and set(start[1].split(", ")) <= known:
            names = start[1].split(", ")
            for name in names:
                found[name] = start[2]
        elif line.strip() and names:
            for name in names:
                found[name] += f" {line.strip()}"
        elif not line.strip():
            names = []
    return found


def _is_tuple(hint: Any) -> bool:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_is_tuple(part) for part in typing.get_args(hint))
    return typing.get_origin(hint) is tuple


def _joined(values: Any) -> str:
    return ",".join(f"{value:.17g}" if isinstance(value, float) else str(value) for value in values or ())


def _numbers(words: str, name: str, hint: Any) -> tuple[float | int, ...]:
    from maxentrl.core.check import InputError

    number: Callable[[str], float | int] = int if int in typing.get_args(hint) else float
    try:
        bare = words.strip("()[] ").removesuffix(",")
        return tuple(number(part) for part in bare.split(",") if bare)
    except ValueError:
        example = "64,64" if number is int else "0.001,10"
        raise InputError(
            f'{name} must be numbers with commas between them, such as "{example}"; got {words!r}.'
        ) from None
