"""The conversion scripts under examples/, as modules."""

import importlib.util
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[2] / "examples"


def example(name: str) -> ModuleType:
    """examples/<name>/convert.py."""
    spec = importlib.util.spec_from_file_location(f"examples_{name}", FOLDER / name / "convert.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
