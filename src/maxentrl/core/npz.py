"""Named arrays from npz archives: sizes are checked before anything is read; nothing is ever unpickled."""

from __future__ import annotations

import contextlib
import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np

from maxentrl.core.check import InputError, check_memory

BROKEN = (
    *(OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error),
    *(MemoryError, SyntaxError, TypeError, tokenize.TokenError),
)
"""What reading a damaged archive can raise; the second line is from headers, which are Python literals."""


class Header(NamedTuple):
    """What an archive declares about one array, and `size`, the bytes it holds for it."""

    shape: tuple[int, ...]
    dtype: np.dtype
    size: int


def npz_keys(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The names in an npz archive, in its order.

    Raises:
        InputError: if the file is no archive, or a name occurs twice.
    """
    with _archive(path) as archive:
        return tuple(_members(path, archive))


def read_headers(path: str | os.PathLike[str], keys: Collection[str]) -> dict[str, Header]:
    """Shape and type of those arrays among `keys` that an npz archive holds, from their headers alone.

    Raises:
        InputError: naming the file and the key, if one holds Python objects, or declares another size than is
            stored.
    """
    with _archive(path) as archive:
        headers = {}
        for key, member in _members(path, archive).items():
            if key in keys:
                headers[key] = _header(path, key, archive, member)
        return headers


def read_npz(path: str | os.PathLike[str], keys: Collection[str]) -> dict[str, np.ndarray]:
    """Those arrays among `keys` that an npz archive holds; the others are neither read nor looked at.

    Args:
        path: an archive as `numpy.savez` or `numpy.savez_compressed` writes it.
        keys: the names to look for.

    Raises:
        InputError: naming the file and the key, as `read_headers`; or if the arrays do not fit into memory.
    """
    headers = read_headers(path, keys)
    # Three times: checking and converting an array makes copies of it.
    check_memory(3 * sum(header.size for header in headers.values()), f"{path}", "give a smaller file")
    arrays = {}
    with _archive(path) as archive:
        for key, member in _members(path, archive).items():
            if key in headers:
                with archive.open(member) as file:
                    arrays[key] = np.lib.format.read_array(file, allow_pickle=False)
    return arrays


@contextlib.contextmanager
def _archive(path: str | os.PathLike[str]) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except InputError:
        raise
    except BROKEN as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        reason = reason or type(error).__name__
        raise InputError(f"{path} cannot be read as an npz archive: {reason.rstrip('.')}.") from None


def _members(path: str | os.PathLike[str], archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        key = member.filename.removesuffix(".npy")
        if key in members:
            raise InputError(f"{path} holds {key!r} more than once; each key must occur once.")
        members[key] = member
    return members


def _header(
    path: str | os.PathLike[str], key: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> Header:
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise InputError(f"{path}: {key} has array format {version}; 1.0 and 2.0 can be read.")
        size = member.file_size - file.tell()
    if dtype.hasobject:
        raise InputError(
            f"{path}: {key} holds Python objects, which are never loaded; store numbers or text."
        )
    if any(isinstance(n, bool) or n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != size:
        raise InputError(f"{path}: {key} declares shape {shape} of {dtype}, but {size} bytes are stored.")
    return Header(shape, dtype, size)
