"""Archives that lie."""

import zipfile
from pathlib import Path

import numpy as np

TRILLION = 10**12


def with_false_header(path: Path, key: str, shape: tuple[int, ...] = (TRILLION,)) -> Path:
    """An npz archive with one array, of 6 numbers, whose header declares another shape."""
    with zipfile.ZipFile(path, "w") as archive, archive.open(f"{key}.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
        file.write(bytes(48))
    return path
