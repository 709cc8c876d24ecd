"""A disk that fails in the middle of a run costs a sentence and no more than the steps since the last checkpoint."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from pathlib import Path

import pytest

from app.small_training import COMMAND, contents, toys, undisturbed  # noqa: F401 - a fixture
from maxentrl.app import cli, train_folder
from maxentrl.learn import checkpoint

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of 200 steps that nobody disturbed: checkpoints of 17 kB, the first at 80 steps, and rows of 2 kB."""
    return undisturbed(tmp_path_factory, 200)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the command in a folder of its own; the exit status and the last line on stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        status = cli.main([*COMMAND, "--steps", "200", "--out", "run", *words])
        return status, (capsys.readouterr().err.strip().splitlines() or [""])[-1]

    return run


@contextlib.contextmanager
def room(most):
    """No file can grow beyond so many bytes: the system refuses to write, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def at_row(monkeypatch, number, then):
    """Do something as soon as so many rows are written."""
    add = train_folder.Folder.add

    def adding(self, row):
        add(self, row)
        if len(self.rows) == number:
            then()

    monkeypatch.setattr(train_folder.Folder, "add", adding)


def closed(patch):
    """No new file can be made beside the checkpoints, as in a folder without the permission to."""
    opened = Path.open

    def refusing(self, *words, **settings):
        if self.parent.name == "checkpoints":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(self, *words, **settings)

    patch.setattr(Path, "open", refusing)


CASES = {
    # The number of the row at which it happens; 5 and 6 are of step 100, and 12 is the last of step 200. What still
    # fits; what is said; and the step of the last good checkpoint.
    "checkpoint": (6, 4096, "run/checkpoints/step-000000000160.safetensors cannot be written: File too large.", 80),
    "rows": (5, None, "run/metrics.jsonl cannot be written: File too large.", 80),
    "results": (12, 20_000, "the results could not be written to run: File too large.", 200),
    "folder": (6, -1, "run/checkpoints/step-000000000160.safetensors cannot be written: Permission denied.", 80),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_disk_that_refuses_is_a_sentence_and_the_run_goes_on_from_the_last_good_checkpoint(
    whole, run, monkeypatch, case
):
    row, most, sentence, kept = CASES[case]
    with contextlib.ExitStack() as stack, monkeypatch.context() as patch:

        def refuse():
            if most == -1:
                closed(patch)
            else:
                stack.enter_context(room(most or os.path.getsize("run/metrics.jsonl") + 9))

        at_row(patch, row, refuse)
        status, said = run()
    left = f"run/checkpoints/step-{kept:012d}.safetensors"
    assert (status, said) == (cli.BAD_INPUT, f"maxentrl: {sentence} The last good checkpoint is {left}.")
    assert checkpoint.newest("run/checkpoints")[2]["step"] == kept
    assert not (Path("run") / "manifest.json").exists()
    assert run("--resume")[0] == cli.DONE
    assert contents(Path("run")) == contents(whole)


def test_a_disk_that_is_full_before_the_first_checkpoint_leaves_a_run_that_can_begin_again(whole, run):
    with room(4096):
        status, said = run()
    assert status == cli.BAD_INPUT
    assert said.endswith(
        "step-000000000080.safetensors cannot be written: File too large. There is no checkpoint from before."
    )
    assert run("--resume")[0] == cli.DONE
    assert contents(Path("run")) == contents(whole)


def test_a_folder_that_cannot_be_made_is_a_sentence_before_anything_is_computed(run):
    status, said = run("--out", "/proc/run")
    assert status == cli.BAD_INPUT and said.startswith(
        "maxentrl: the output folder /proc/run cannot be written: "
    )
