"""The folder of a training run, which is written as it goes.

    question.json    what was asked, from the first moment on
    metrics.jsonl    a row as soon as it is known
    checkpoints/     the whole run, so that it can go on
    ... and from the end of the run, or from where it was stopped, all that any run folder holds, and
    agent/           what was learned, to act with

Whoever goes on from a checkpoint cuts metrics.jsonl back to the rows that it knows, so that a run that was killed ends
with the same files as one that was not; only timing.json differs.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maxentrl.app.record import FORMAT, Run, plain, read_json, versions, write_contents, write_json
from maxentrl.core.check import InputError
from maxentrl.core.files import flush_folder, open_atomically
from maxentrl.core.words import many
from maxentrl.learn import checkpoint

STEPS = "steps"
"""The one setting that may change when a run goes on, and only upwards."""


class Found(NamedTuple):
    """A checkpoint to go on from.

    path, arrays, step: of the checkpoint. refused: newer ones that cannot be used; remarks: sentences about these.
    rows: those that it goes on from. asked: what it was asked before.
    """

    path: Path
    arrays: dict[str, np.ndarray]
    step: int
    refused: list[Path]
    remarks: list[str]
    rows: list[dict[str, Any]]
    asked: Mapping[str, Any]


class Folder:
    """A run folder that is open for writing, by `begin` or `go_on`."""

    def __init__(self, place: Path, rows: list[dict[str, Any]]):
        self.place = place
        self.rows = rows
        self._file: Any = None

    @property
    def checkpoints(self) -> Path:
        return self.place / "checkpoints"

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row of metrics and hand it to the system at once."""
        row = dict(plain(row))
        self.rows.append(row)
        try:
            if self._file is None:
                self._file = open(self.place / "metrics.jsonl", "a", encoding="utf-8")  # noqa: SIM115
            self._file.write(_line(row))
            self._file.flush()
        except OSError as error:
            raise InputError(
                f"{self.place / 'metrics.jsonl'} cannot be written: {error.strerror or error}. {self._left()}"
            ) from error

    def facts(self, spare: int) -> dict[str, Any]:
        """What a checkpoint must know: how many rows there are, but for the last `spare`. They are brought to the disk
        before it is.
        """
        try:
            if self._file is not None:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise InputError(
                f"{self.place / 'metrics.jsonl'} cannot be written: {error.strerror or error}. {self._left()}"
            ) from error
        return {"rows": len(self.rows) - spare}

    def close(self) -> None:
        if self._file is not None:
            # Rows are handed over one by one, so that one which still waits here was refused, and told of, before.
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def end(self, run: Run, page: Callable[[Path], str], timing: Mapping[str, Any]) -> None:
        """Write all that a run folder holds beside its rows; it is prepared whole, and the manifest comes last."""
        self.close()
        partial = self.place / ".ending.partial"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir()
            run.rows = self.rows
            write_contents(partial, run)
            (partial / "report.html").write_text(page(partial), encoding="utf-8")
            write_json(partial / "timing.json", timing)
            for path in (p for p in partial.rglob("*") if p.is_file()):
                with open(path, "rb") as written:
                    os.fsync(written.fileno())
            (self.place / "manifest.json").unlink(missing_ok=True)
            for path in sorted(partial.iterdir(), key=lambda p: (p.name == "manifest.json", p.name)):
                target = self.place / path.name
                if target.is_dir():
                    shutil.rmtree(target)
                os.replace(path, target)
            partial.rmdir()
            flush_folder(self.place)
        except OSError as error:
            raise InputError(
                f"the results could not be written to {self.place}: {error.strerror or error}. {self._left()}"
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _left(self) -> str:
        return checkpoint.left(self.checkpoints)


def check_free(place: Path) -> None:
    """A new run may have its folder here.

    Raises:
        InputError: if something is there already.
    """
    if place.exists() and not place.is_dir():
        raise InputError(f"the output folder {place} is a file; give a folder.")
    try:
        if _is_free(place):
            return
    except OSError as error:
        raise InputError(f"the output folder {place} cannot be read: {error.strerror or error}.") from error
    if (place / "question.json").is_file():
        raise InputError(
            f"{place} holds a training run already; go on with it by --resume, or give a new folder."
        )
    raise InputError(f"the output folder {place} is not empty; training needs a new or an empty folder.")


def begin(place: Path, settings: Mapping[str, Any]) -> Folder:
    """A new run folder with its question.

    Raises:
        InputError: if something is there already, or it cannot be written.
    """
    check_free(place)
    try:
        place.mkdir(parents=True, exist_ok=True)
        _ask(place, settings)
    except OSError as error:
        raise InputError(
            f"the output folder {place} cannot be written: {error.strerror or error}."
        ) from error
    return Folder(place, [])


def find(place: Path, settings: Mapping[str, Any]) -> Found | None:
    """The last whole checkpoint of a run that shall go on; None where it has none yet. Nothing is written.

    Raises:
        InputError: for another kind of folder, settings that differ, and rows that are missing.
    """
    if _is_free(place):
        return None
    before = question(place)
    _compare(place, before["settings"], plain(settings))
    kept = checkpoint.files(place / "checkpoints")
    if not kept:
        return None
    path, arrays, facts, remarks = checkpoint.newest(place / "checkpoints")
    rows, step = int(facts.get("rows", 0)), int(facts["step"])
    lines = _rows(place / "metrics.jsonl", rows)
    if step >= settings[STEPS]:
        lines += _spare(place / "metrics.jsonl", rows, step)
    if before.get("versions") != versions():
        remarks = [*remarks, _changed(place, before.get("versions") or {})]
    refused = [other for other in kept if other > path]
    return Found(path, arrays, step, refused, remarks, lines, before["settings"])


def go_on(place: Path, settings: Mapping[str, Any], found: Found | None) -> Folder:
    """The folder of a run that goes on, with its files brought back to where its checkpoint stands; or begins, where
    nothing was found.

    Newer checkpoints that cannot be used are put aside with `.refused` behind their names.

    Raises:
        InputError: if it cannot be written.
    """
    if found is None and _is_free(place):
        return begin(place, settings)
    try:
        if found is None:
            (place / "metrics.jsonl").unlink(missing_ok=True)
            _ask(place, settings)
            return Folder(place, [])
        for bad in found.refused:
            os.replace(bad, bad.with_name(f"{bad.name}.refused"))
        if settings[STEPS] != found.asked[STEPS]:
            _ask(place, settings)
        # From here on what it says of the files is no longer true, until the run has ended again.
        (place / "manifest.json").unlink(missing_ok=True)
        with open_atomically(place / "metrics.jsonl") as file:
            file.write("".join(map(_line, found.rows)).encode())
    except OSError as error:
        raise InputError(f"the run in {place} cannot be written: {error.strerror or error}.") from error
    return Folder(place, found.rows)


def _is_free(place: Path) -> bool:
    return not place.exists() or (place.is_dir() and not any(place.iterdir()))


def question(place: Path) -> dict[str, Any]:
    """What was asked of the training run in this folder.

    Raises:
        InputError: if it holds none.
    """
    path = place / "question.json"
    words = read_json(path, FORMAT, f"{place} holds no training run")
    if words.get("kind") != "train":
        raise InputError(f"{path} is not the question of a training run.")
    if not isinstance(words.get("settings"), dict) or not isinstance(words["settings"].get(STEPS), int):
        raise InputError(f"{path} is damaged: it has no settings.")
    return words


def _ask(place: Path, settings: Mapping[str, Any]) -> None:
    words = {"format": FORMAT, "kind": "train", "settings": plain(settings), "versions": versions()}
    with open_atomically(place / "question.json") as file:
        file.write((json.dumps(words, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def _compare(place: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """The same question as before, but for the number of steps, which may be larger."""
    if before.get("agent") != now.get("agent"):
        # Its settings are others then, and to name each of them would hide what differs.
        before, now = (
            {name: value for name, value in s.items() if name != "settings"} for s in (before, now)
        )
    old, new = _flat(before), _flat(now)
    differ = [name for name in [*old, *(n for n in new if n not in old)] if old.get(name) != new.get(name)]
    told = [f"{name} was {old.get(name)!r} and is {new.get(name)!r}" for name in differ if name != STEPS]
    if told:
        raise InputError(
            f"{place} was begun with other settings: {'; '.join(told)}. Only steps may be raised."
        )
    if now[STEPS] < before[STEPS]:
        raise InputError(
            f"{place} was begun with other settings: steps was {before[STEPS]} and is {now[STEPS]}; it may only be raised."
        )


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the agent beside those of the run."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if name == "settings":
            found |= {f"{settings.get('agent')}'s {key}": each for key, each in value.items()}
        else:
            found[name] = value
    return found


def _rows(path: Path, count: int) -> list[dict[str, Any]]:
    """The first rows of the metrics.

    Raises:
        InputError: when there are fewer, or one of them is damaged.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[:count] if count else []
        found = [json.loads(line) for line in lines]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            f"{path} cannot be read up to row {count}, which the checkpoint knows of: {error}."
        ) from error
    if len(found) < count:
        raise InputError(
            f"{path} has {many(len(found), 'row')}, and the checkpoint knows of {count}: it was cut."
        )
    return found


def _spare(path: Path, count: int, step: int) -> list[dict[str, Any]]:
    """The rows of the last step behind the first ones: they are there because the run ended."""
    found = []
    with contextlib.suppress(json.JSONDecodeError):
        for line in path.read_text(encoding="utf-8").splitlines()[count:]:
            found.append(json.loads(line))
    return [row for row in found if row.get("step") == step]


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def _changed(place: Path, before: Mapping[str, str]) -> str:
    now = versions()
    told = [
        f"{k} {before.get(k)} then, {now.get(k)} now"
        for k in {**before, **now}
        if before.get(k) != now.get(k)
    ]
    return f"{place} was begun with other versions ({', '.join(told)}), so it will not end in the very same numbers."
