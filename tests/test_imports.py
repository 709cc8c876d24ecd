"""The house rules that a machine can check: imports point down, and nothing is unpickled or evaluated."""

import ast
from pathlib import Path

import pytest

import maxentrl

ROOT = Path(maxentrl.__file__).parent

STANDS_ON = {
    "core": set(),
    "models": {"core"},
    "data": {"core"},
    "learn": {"core"},
    "infer": {"models"},
    "envs": {"models"},
    "assess": {"infer"},
    "control": {"infer"},
    "latent": {"infer", "learn"},
    "irl": {"infer", "learn", "data"},
    "agents": {"learn"},
    "app": {"assess", "control", "latent", "irl", "agents", "envs", "data"},
}
"""Each room and the rooms it is built on; what those stand on may be used too. Anything else points up or
sideways.
"""

FILES = sorted(ROOT.rglob("*.py"))


def below(room: str) -> set[str]:
    """The rooms under this one, all the way down."""
    return STANDS_ON[room].union(*(below(next_room) for next_room in STANDS_ON[room]))


def room_of(path: Path) -> str | None:
    """The room of a file, or None for the face of the package, which shows what is inside."""
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else None


def imported_rooms(path: Path):
    """(line, room) of each import of this package in a file, wherever it stands in it."""
    package = ["maxentrl", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, node.module] if node.module else start)
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "maxentrl":
                yield node.lineno, parts[1] if len(parts) > 1 else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    room = room_of(path)
    if room is None:
        return
    assert room in STANDS_ON, f"{room} is a new room: say in STANDS_ON what it stands on"
    allowed = below(room) | {room}
    wrong = [
        f"line {line}: {found or 'the face of the package'}"
        for line, found in imported_rooms(path)
        if found not in allowed
    ]
    assert not wrong, f"{path.relative_to(ROOT)} in {room} may import {sorted(allowed)}, but imports {wrong}"


def test_an_arrow_up_or_sideways_would_be_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path, raising=True)
    file = tmp_path / "models" / "house.py"
    file.parent.mkdir()
    file.write_text(
        "from maxentrl.data import trips\nfrom ..infer import solve\n"
        "from maxentrl import solve\nimport numpy\n"
    )
    assert [room for _, room in imported_rooms(file)] == ["data", "infer", "solve"]
    assert "infer" not in below("models") and "data" not in below("models")
    assert "agents" not in below("irl")
    assert "assess" not in below("irl") and not {"irl", "data"} & below("assess")


PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled_or_evaluated(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        where = f"{path.relative_to(ROOT)}, line {getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
            )
            assert not {module.split(".")[0] for module in modules} & PICKLES, where
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", None)
            assert name not in {"eval", "exec", "compile", "__import__"}, where
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle":
                    assert isinstance(keyword.value, ast.Constant) and keyword.value.value is False, where
