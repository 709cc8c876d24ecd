"""A file is written whole or not at all."""

import os
import stat

import pytest

from maxentrl.core.check import InputError
from maxentrl.core.files import open_atomically


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, InputError])
def test_a_crash_inside_the_block_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "held.bin"
    path.write_bytes(b"old")

    def crash():
        with open_atomically(path) as file:
            file.write(b"half of the n")
            raise failure

    with pytest.raises(failure):
        crash()
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["held.bin"]


def test_the_old_content_stands_until_the_block_has_ended(tmp_path):
    path = tmp_path / "held.bin"
    path.write_bytes(b"old")
    with open_atomically(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["held.bin"]


@pytest.mark.skipif(os.name != "posix", reason="the umask belongs to POSIX")
@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_the_result_has_the_permissions_of_any_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        (tmp_path / "ordinary").touch()
        with open_atomically(tmp_path / "ours"):
            pass
    finally:
        os.umask(before)
    ordinary, ours = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ordinary", "ours"))
    assert ours == ordinary == 0o666 & ~mask


def test_what_the_system_refuses_is_one_sentence_and_leaves_no_litter(tmp_path, monkeypatch):
    with (
        pytest.raises(InputError, match=r"absent/held\.bin cannot be written: No such file or directory\.$"),
        open_atomically(tmp_path / "absent" / "held.bin"),
    ):
        pass
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(InputError, match="folder cannot be written: Is a directory"),
        open_atomically(tmp_path / "folder"),
    ):
        pass
    with (
        pytest.raises(InputError, match="held cannot be written: No space left on device"),
        open_atomically(tmp_path / "held"),
    ):
        raise OSError(28, "No space left on device")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(InputError, match="held cannot be written: No space left on device"),
        open_atomically(tmp_path / "held") as file,
    ):
        file.write(b"new")
    assert os.listdir(tmp_path) == ["folder"]


def test_a_system_that_cannot_flush_folders_still_gets_its_file(tmp_path, monkeypatch):
    flush = os.fsync

    def only_files(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(22, "Invalid argument")
        flush(handle)

    monkeypatch.setattr(os, "fsync", only_files)
    with open_atomically(tmp_path / "held") as file:
        file.write(b"new")
    assert (tmp_path / "held").read_bytes() == b"new"
