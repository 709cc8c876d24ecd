"""What the documentation shows is run: its files are read, its commands and its Python give an answer."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import maxentrl as me
from maxentrl.app import cli
from maxentrl.app.problems import read_features

ROOT = Path(__file__).parent.parent
FILES = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [content for kind, content in found if kind == language]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the three small files of the page on files."""
    for name, content in re.findall(r"<!-- (\S+) -->\n```text\n(.*?)```", FILES, re.DOTALL):
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_of_the_page_on_files_and_of_the_readme_run(here):
    in_files = [line for block in blocks(FILES, "") for line in block.splitlines()]
    in_readme = [
        line.removeprefix(".venv/bin/") for block in blocks(README, "") for line in block.splitlines()
    ]
    plans, fits = (
        [line for line in in_files + in_readme if line.startswith(f"maxentrl {kind} ")]
        for kind in ("plan", "irl mce")
    )
    assert len(plans) == 2 and len(fits) == 2
    for command in (plans[0], fits[0]):
        assert cli.main(shlex.split(command)[1:]) == cli.DONE
    assert fits[1] == fits[0] and set(load_file("runs/plan/arrays.safetensors")) == {
        "v",
        "log_policy",
        "visits",
    }


def test_the_python_of_the_page_on_files_writes_what_can_be_read(here):
    *writing, _ = blocks(FILES, "python")
    for block in writing:
        exec(block, {})  # noqa: S102
    assert me.load_problem("problem.npz").action_names == ("leave", "stay")
    mdp = me.load_problem("problem.csv")
    assert me.read_trajectories("trips.npz", mdp).lengths.tolist() == [2, 3]
    for one, other in zip(
        read_features("features.npz", mdp), read_features("features.csv", mdp), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_the_python_of_the_readme_shows_that_luck_has_the_larger_evidence(capsys):
    (block,) = blocks(README, "python")
    exec(block, {})  # noqa: S102
    luck, skill = capsys.readouterr().out.splitlines()[-1].split(" >= ")
    assert float(luck) >= float(skill)
