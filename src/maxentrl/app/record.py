"""A run folder: what was asked, of what, with which versions; what came out, and the proof that goes with it.

    manifest.json    question, settings, versions, seeds, SHA-256 of the input, certificate, answer, warnings
    metrics.jsonl    one row per line; metrics.csv holds the same rows
    *.csv            tables of some kinds of run, named for what they hold
    estimate.json    what a reward came out as; network/ holds it where it is one
    arrays.safetensors
    pictures/*.svg
    report.html
    timing.json      when it ran and how long it took: the one file that differs between two identical runs

The folder is written under another name beside its place and renamed when it is complete. A run that fails or
is interrupted leaves nothing behind, and an earlier run in the same place stays as it was.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import importlib.metadata
import io
import json
import math
import os
import platform
import secrets
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maxentrl.core.check import InputError
from maxentrl.core.files import flush_folder

FORMAT = "maxentrl run 1"
PACKAGES = (
    "maxentrl",
    "jax",
    "jaxlib",
    "equinox",
    "numpy",
    "scipy",
    "gymnasium",
    "matplotlib",
    "safetensors",
)


class Run:
    """A run that is being recorded. Fill it; `recording` writes the rest.

    manifest: what becomes manifest.json; any JSON value.
    rows: metrics, one mapping per row.
    tables: rows of further CSV files, by name.
    arrays: named NumPy arrays.
    pictures: SVG documents by name.
    documents: what becomes further JSON files, by name; any JSON value.
    folders: functions that write a folder of their own, by name.
    """

    def __init__(self, kind: str, settings: Mapping[str, Any]):
        self.manifest: dict[str, Any] = {
            "format": FORMAT,
            "kind": kind,
            "command": command_line(kind, settings),
            "settings": dict(settings),
            "versions": versions(),
            "seeds": {},
            "inputs": {},
            "problem": {},
            "certificate": {},
            "answer": {},
            "warnings": [],
        }
        self.rows: list[dict[str, Any]] = []
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self.arrays: dict[str, np.ndarray] = {}
        self.pictures: dict[str, bytes] = {}
        self.documents: dict[str, Any] = {}
        self.folders: dict[str, Callable[[Path], object]] = {}

    def warn(self, sentence: str) -> None:
        """Keep a sentence that the reader of the report must see; the same one is kept once."""
        if sentence not in self.manifest["warnings"]:
            self.manifest["warnings"].append(sentence)


@contextlib.contextmanager
def recording(
    out: str | Path, kind: str, settings: Mapping[str, Any], page: Callable[[Path], str]
) -> Iterator[Run]:
    """Record one run into the folder `out`, whole or not at all.

    Args:
        out: its place: a new name, an empty folder, or an earlier run of this kind, which is replaced on success.
        kind: the command that it belongs to, such as "irl mce"; it chooses the page.
        settings: every option, by name; None where it was not given.
        page: makes the text of report.html from the folder's path.

    Raises:
        InputError: if `out` holds something else or cannot be written; before any work begins.
    """
    out = Path(out)
    partial = _begin(out, kind)
    clock = _Clock()
    try:
        run = Run(kind, settings)
        yield run
        try:
            write_contents(partial, run)
            (partial / "report.html").write_text(page(partial), encoding="utf-8")
            write_json(partial / "timing.json", clock.stop())
            _commit(partial, out)
        except OSError as error:
            raise InputError(f"the run could not be written to {out}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def command_line(kind: str, settings: Mapping[str, Any]) -> str:
    """What to type to repeat a run, into a new folder named `again`."""
    words = ["maxentrl", *kind.split()]
    for name, value in settings.items():
        if value is None or value == []:
            continue
        if isinstance(value, tuple):
            # An option that is given once for each of its values.
            words += [word for item in value for word in _option(name, item)]
            continue
        if isinstance(value, list):
            value = ",".join(f"{item:g}" for item in value)
        words += [str(value)] if kind == "plan" and name == "problem" else _option(name, value)
    return shlex.join([*words, "--out", "again"])


def _option(name: str, value: Any) -> list[str]:
    """An option as words; in one word where the value could be taken for another option."""
    name, value = f"--{name.replace('_', '-')}", str(value)
    return [f"{name}={value}"] if value.startswith("-") else [name, value]


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The manifest of a finished run.

    Raises:
        InputError: if the folder is missing, is not a run, is damaged, or was written by a newer format.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the folder of a run.")
    return read_json(folder / "manifest.json", FORMAT, f"{folder} is not a run of maxentrl")


def read_json(path: Path, form: str, unless: str) -> dict[str, Any]:
    """A JSON object that says which format it has.

    Args:
        path: of the file.
        form: the format that is read here.
        unless: what is so where there is no such file, in words.

    Raises:
        InputError: if the file is missing, damaged, or of another format.
    """
    if not path.is_file():
        raise InputError(f"{unless}: there is no {path.name}.")
    try:
        words = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}.") from error
    found = words.get("format") if isinstance(words, dict) else None
    if found != form:
        raise InputError(f"{path} has the format {found!r}; this version reads {form!r}.")
    return words


def read_rows(folder: str | Path) -> list[dict[str, Any]]:
    """The metrics of a finished run, one mapping per row."""
    path = Path(folder) / "metrics.jsonl"
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def array_hash(*arrays) -> str:
    """SHA-256 of arrays: of their types, shapes and numbers, in order."""
    digest = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """The versions that decide what is computed, and the kind of machine."""
    found = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: NumPy numbers as Python's, infinities and NaN as words."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value) if isinstance(value, Path) else value


class _Clock:
    """Wall time of the run, and how much of it JAX spent tracing and compiling."""

    def __init__(self):
        import jax

        self.started = time.time()
        self.start = time.perf_counter()
        self.compiling = 0.0
        self.active = True
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **_: Any) -> None:
        # A listener cannot be taken out again through JAX's public interface, so it is silenced instead.
        if self.active and event.startswith("/jax/core/compile/"):
            self.compiling += duration_secs

    def stop(self) -> dict[str, Any]:
        self.active = False
        return {
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "wall_seconds": round(time.perf_counter() - self.start, 3),
            "compile_seconds": round(self.compiling, 3),
            "processors": os.cpu_count(),
        }


def _begin(out: Path, kind: str) -> Path:
    """Check that a run may be put at `out`, and open the folder in which it is prepared, beside it."""
    if out.exists() and not out.is_dir():
        raise InputError(f"the output folder {out} is a file; give a folder.")
    try:
        if out.is_dir() and any(out.iterdir()):
            _check_replaceable(out, kind)
        ancestor = out.absolute().parent
        while not ancestor.exists():
            ancestor = ancestor.parent
        partial = ancestor / f".{out.absolute().name}.{secrets.token_hex(4)}.partial"
        partial.mkdir()
    except OSError as error:
        raise InputError(f"the output folder {out} cannot be written: {error.strerror or error}.") from error
    return partial


def _check_replaceable(out: Path, kind: str) -> None:
    """What is at `out` is a run of the same kind, with nothing else beside it."""
    where, other = f"the output folder {out}", "give a new or empty folder"
    try:
        manifest = read_manifest(out)
    except InputError as error:
        raise InputError(f"{where} is not empty and not a run of maxentrl; {other}.") from error
    if (found := manifest.get("kind")) != kind:
        raise InputError(f"{where} holds a run of {found}, which {kind} does not replace; {other}.")
    own = {*manifest.get("files", ()), "manifest.json", "report.html", "timing.json"}
    for path in (p for p in out.rglob("*") if p.is_file() and not p.name.startswith(".")):
        if path.relative_to(out).as_posix() not in own:
            raise InputError(f"{where} holds {path}, which is not of that run; {other}.")


def write_contents(folder: Path, run: Run) -> None:
    """Write all that a run holds into an empty folder, and the manifest with the SHA-256 of each file last."""
    from safetensors.numpy import save

    (folder / "pictures").mkdir()
    for name, document in sorted(run.pictures.items()):
        (folder / "pictures" / f"{name}.svg").write_bytes(document)
    arrays = {name: np.ascontiguousarray(array) for name, array in run.arrays.items()}
    (folder / "arrays.safetensors").write_bytes(save(arrays))
    rows = [plain(row) for row in run.rows]
    lines = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    (folder / "metrics.jsonl").write_text(lines, encoding="utf-8")
    _write_table(folder / "metrics.csv", rows)
    for name, lines in run.tables.items():
        _write_table(folder / f"{name}.csv", [plain(line) for line in lines])
    for name, value in run.documents.items():
        write_json(folder / f"{name}.json", value)
    for name, write in run.folders.items():
        write(folder / name)
    contents = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    run.manifest["files"] = {name: file_hash(folder / name) for name in contents}
    write_json(folder / "manifest.json", run.manifest)


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    table = io.StringIO(newline="")
    writer = csv.DictWriter(
        table, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(table.getvalue(), encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """A JSON document that people can read."""
    path.write_text(
        json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )


def _commit(partial: Path, out: Path) -> None:
    """Put the finished folder in its place; an earlier run steps aside first and comes back if that fails."""
    for path in partial.rglob("*"):
        if path.is_file():
            with open(path, "rb") as written:
                os.fsync(written.fileno())
    for folder in (*(path for path in partial.rglob("*") if path.is_dir()), partial):
        flush_folder(folder)
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = partial.with_suffix(".replaced")
    replaced = out.exists()
    if replaced:
        os.rename(out, aside)
    try:
        os.rename(partial, out)
    except OSError:
        if replaced:
            os.rename(aside, out)
        raise
    flush_folder(out.parent)
    shutil.rmtree(aside, ignore_errors=True)
