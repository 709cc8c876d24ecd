"""The command line answers at once; every bad input is one sentence, exit status 2 and nothing written."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from maxentrl.app import cli

PLAN = ("plan", "chain", "--temperature", "0.5", "--discount", "0.9")
HEAVY = ("jax", "numpy", "scipy", "matplotlib", "gymnasium", "rich", "equinox")


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from maxentrl.app.cli import main; raise SystemExit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], here: Path, *arguments: str) -> str:
    """Run a command that must be refused; return its sentence, and check that nothing is left behind."""
    before = sorted(here.rglob("*"))
    assert cli.main(arguments) == 2
    said = capsys.readouterr()
    last = said.err.strip().splitlines()[-1]
    assert last.startswith("maxentrl: ") and "Traceback" not in said.err and not said.out
    assert sorted(here.rglob("*")) == before
    return last


@pytest.mark.parametrize(
    "words", [("--help",), ("plan", "--help"), ("irl", "mce", "--help"), ("irl", "max-margin", "--help")]
)
def test_help_is_answered_before_anything_heavy_is_imported(words):
    begun = time.perf_counter()
    answer = start(*words)
    # 0.5 s is promised on a quiet machine; the factor leaves room for a busy one.
    assert time.perf_counter() - begun < 5
    assert answer.returncode == 0 and "maxentrl" in answer.stdout
    look = f"import sys; from maxentrl.app import cli; print([m for m in {HEAVY} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", look], text=True).strip() == "[]"


def test_the_list_of_agents_is_printed_without_them():
    look = f"""
import sys
from maxentrl.app import cli
status = cli.main(["train", "--help"])
print([m for m in {HEAVY} if m in sys.modules], status)
"""
    lines = subprocess.check_output([sys.executable, "-c", look], text=True).splitlines()
    assert lines[-1] == "[] 0"
    from maxentrl import agents

    assert {line.split()[0] for line in lines if line.startswith("  ")} == set(agents.AGENTS)


def test_an_unknown_command_ends_with_status_two():
    assert start("nonsense").returncode == 2


def test_a_plan_ends_with_status_zero_and_says_where_the_report_is(here, capsys):
    assert cli.main([*PLAN, "--out", "deep/run"]) == 0
    said = capsys.readouterr()
    assert "report      deep/run/report.html" in said.out and "proven to within" in said.out
    assert json.loads((here / "deep/run/manifest.json").read_text())["certificate"]["converged"] is True
    assert sorted(path.name for path in (here / "deep").iterdir()) == ["run"]


@pytest.mark.parametrize("temperature", ["0", "inf"])
def test_the_limits_of_temperature_are_planned_with_posterior_dynamics_too(here, temperature):
    asked = ["plan", "lottery", "--temperature", temperature, "--horizon", "2", "--dynamics", "posterior"]
    assert cli.main([*asked, "--out", "run"]) == 0
    assert "log_evidence" not in json.loads((here / "run/manifest.json").read_text())["answer"]


def test_a_plan_that_does_not_converge_is_kept_and_ends_with_status_three(here, capsys, monkeypatch):
    from maxentrl.app import recipes

    exact = recipes.solve
    monkeypatch.setattr(recipes, "solve", lambda *a, **k: exact(*a, **k, tolerance=1e-300, max_sweeps=1))
    assert cli.main([*PLAN, "--out", "run"]) == 3
    assert "not converged" in capsys.readouterr().err
    manifest = json.loads((here / "run/manifest.json").read_text())
    assert not manifest["certificate"]["converged"] and "was not reached" in manifest["warnings"][0]
    assert "and no closer" in (here / "run/report.html").read_text()


def test_an_interrupted_run_leaves_nothing_behind(here, capsys, monkeypatch):
    from maxentrl.app import recipes

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(recipes, "solve", interrupt)
    assert cli.main([*PLAN, "--out", "run"]) == 130
    assert "interrupted" in capsys.readouterr().err and not list(here.iterdir())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("NoSuchLake-v1", "--temperature", "1", "--discount", "0.9"), "NoSuchLake"),
        (("CartPole-v1", "--temperature", "1", "--discount", "0.9"), "CartPole-v1.*table"),
        (("missing.npz", "--temperature", "1", "--discount", "0.9"), "missing.npz"),
        (("missing.csv", "--temperature", "1", "--discount", "0.9"), "missing.csv"),
        (("chain", "--temperature", "-1", "--discount", "0.9"), r"temperature must lie in \[0, inf\].*-1"),
        (("chain", "--temperature", "nan", "--discount", "0.9"), r"temperature must lie in \[0, inf\].*nan"),
        (
            ("chain", "--temperature", "1", "--discount", "1.5"),
            r"discount must be one number in \[0, 1\].*1.5",
        ),
        (("chain", "--temperature", "1", "--discount", "-0.1"), r"discount must be one number in \[0, 1\]"),
        (("chain", "--temperature", "1", "--discount", "nan"), r"discount must be one number in \[0, 1\]"),
        (("chain", "--temperature", "1", "--discount", "1"), "needs terminal states"),
        (("chain", "--temperature", "1"), "give a discount below 1, a horizon"),
        (("chain", "--temperature", "1", "--horizon", "0"), "horizon must be at least 1 step; got 0"),
        (("chain", "--temperature", "1", "--discount", "0.9", "--sweep", "1,two"), "sweep must be numbers"),
        (("chain", "--temperature", "1", "--discount", "0.9", "--sweep", "-1"), "sweep must lie in"),
    ],
)
def test_a_problem_or_setting_that_cannot_be_used_is_one_sentence(here, capsys, options, sentence):
    import re

    assert re.search(sentence, refused(capsys, here, "plan", *options, "--out", "run"))


def test_a_malformed_problem_file_is_one_sentence(here, capsys):
    (here / "bad.npz").write_bytes(b"not an archive")
    (here / "bad.csv").write_text("a,b\n1,2\n")
    for name in ("bad.npz", "bad.csv"):
        words = refused(capsys, here, "plan", name, "--temperature", "1", "--discount", "0.9", "--out", "run")
        assert name in words


def test_a_file_of_objects_is_refused_and_never_unpickled(here, capsys):
    np.savez(
        here / "evil.npz", transition=np.array([{"code": "run me"}], dtype=object), reward=np.zeros((1, 1))
    )
    words = refused(
        capsys, here, "plan", "evil.npz", "--temperature", "1", "--discount", "0.9", "--out", "run"
    )
    assert "evil.npz" in words


def test_an_output_folder_that_cannot_be_written_is_one_sentence(here, capsys):
    (here / "file.txt").write_text("in the way")
    assert "cannot be written: Not a directory" in refused(capsys, here, *PLAN, "--out", "file.txt/run")
    assert "is a file; give a folder" in refused(capsys, here, *PLAN, "--out", "file.txt")


def test_a_folder_of_something_else_is_not_touched(here, capsys):
    (here / "mine").mkdir()
    (here / "mine" / "letter.txt").write_text("keep me")
    assert "not a run of maxentrl" in refused(capsys, here, *PLAN, "--out", "mine")


def test_a_report_of_no_run_is_one_sentence(here, capsys):
    assert "is not a folder" in refused(capsys, here, "report", "nowhere")
    (here / "empty").mkdir()
    assert "there is no manifest.json" in refused(capsys, here, "report", "empty")
    (here / "empty" / "manifest.json").write_text("{")
    assert "cannot be read as JSON" in refused(capsys, here, "report", "empty")
    (here / "empty" / "manifest.json").write_text('{"format": "maxentrl run 99"}')
    assert "this version reads" in refused(capsys, here, "report", "empty")
    (here / "empty" / "manifest.json").write_text('{"format": "maxentrl run 1", "kind": "plan"}')
    assert "is damaged" in refused(capsys, here, "report", "empty")
