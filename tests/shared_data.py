"""Real data, which is not part of the repository: tests that need it are skipped where it is absent."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "shared" / "data"


def shared(name: str) -> Path:
    """The folder of one data set, or skip the test."""
    folder = FOLDER / name
    if not folder.is_dir():
        pytest.skip(f"the data set {name} is not beside the repository (shared/data/{name})")
    return folder
