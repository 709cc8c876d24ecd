"""Tables as text: CSV with a header, gzip-compressed or not, read into columns by name."""

from __future__ import annotations

import csv
import gzip
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maxentrl.core.check import InputError


class Source(NamedTuple):
    """Where demonstrations were read, for messages.

    file: its name. rows: the row of each step, as an editor counts them, in an array of the same shape as the steps; None
    where the file has no rows.
    """

    file: str
    rows: np.ndarray | None


def place(source: Source | None, *step: int | np.integer) -> str:
    """The file and row of a step, in brackets and behind a space; nothing where they are not known."""
    if source is None:
        return ""
    return f" ({source.file}" + (")" if source.rows is None else f", row {source.rows[step]})")


def read_columns(
    path: str | os.PathLike[str], required: Sequence[str], what: str
) -> tuple[dict[str, list[str]], np.ndarray]:
    """The columns of a .csv or .csv.gz file as text without spaces around it, by name, and the row number of
    each line as an editor counts them.

    Args:
        path: the file.
        required: columns that must be there. Others are returned too.
        what: what the file holds, for messages.

    Raises:
        InputError: for a file that is missing, malformed, or has no row.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no file of {what} at {path}.")
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            lines = [(reader.line_num, row) for row in reader if row]
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise InputError(f"{path.name} cannot be read as a table of {what}: {error}") from error
    for name in required:
        if name not in header:
            raise InputError(
                f"{path.name} must have the columns {', '.join(required)}; "
                f"{name} is missing among {', '.join(header)}."
            )
    if len(set(header)) != len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise InputError(f"{path.name} names the column {twice} more than once.")
    if not lines:
        raise InputError(f"{path.name} holds no row of {what}.")
    wrong = next(((number, row) for number, row in lines if len(row) != len(header)), None)
    if wrong:
        raise InputError(
            f"{path.name}, row {wrong[0]}: {len(header)} fields are expected; got {len(wrong[1])}."
        )
    cells = zip(*(row for _, row in lines), strict=True)
    columns = {name: [cell.strip() for cell in column] for name, column in zip(header, cells, strict=True)}
    return columns, np.array([number for number, _ in lines])


def as_numbers(cells: Sequence[str], name: str, path: str | os.PathLike[str], rows: np.ndarray) -> np.ndarray:
    """A column of text as float64; the first cell that is not a finite number is named with its row."""
    try:
        values = np.array([float(cell) for cell in cells])
    except ValueError:
        values = np.array([_number(cell) for cell in cells])
    wrong = ~np.isfinite(values)
    if wrong.any():
        i = int(wrong.argmax())
        raise InputError(
            f"{Path(path).name}, row {rows[i]}: {name} must be a number; got {cells[i]!r} "
            f"({int(wrong.sum())} such rows in all)."
        )
    return values


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
