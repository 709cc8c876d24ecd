"""What an estimate was made from, as hashes."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np


class Identity(NamedTuple):
    """Hashes that tell what an estimate was made from: the demonstrations, each column of features, the
    offset, the world (transitions, prior and terminal states; or the arcs of a network)."""

    data: str
    columns: tuple[str, ...]
    offset: str
    world: str


def fingerprint(*tables: np.ndarray) -> str:
    """A short name for the contents of some arrays."""
    digest = hashlib.sha256()
    for table in tables:
        digest.update(str(table.shape).encode() + np.ascontiguousarray(table).tobytes())
    return digest.hexdigest()[:16]
