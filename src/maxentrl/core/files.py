"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from maxentrl.core.check import InputError


@contextlib.contextmanager
def open_atomically(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file for writing bytes; it takes the place of `path` once the block has ended without an error.

    The bytes go to a new file beside `path`, are flushed to the disk, and only then get the name: whoever
    looks, and whenever the power fails, `path` holds either what it held before or all that was written. The
    result has the permissions that any new file would have. If anything goes wrong, nothing is left behind.

    Raises:
        InputError: for anything that the operating system refuses, inside the block as well.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        try:
            # Mode x never writes into a file that is there already. A file of `tempfile` would be readable
            # by its owner alone; this one obeys the umask from the beginning.
            with partial.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        flush_folder(path.parent)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from error


def flush_folder(folder: str | os.PathLike[str]) -> None:
    """Bring the names in a folder to the disk, where the system can.

    One that cannot is no reason to fail: the names are in place, and what they name is whole.
    """
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
