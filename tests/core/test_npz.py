"""What an archive declares is compared with what it holds before anything is read."""

import zipfile

import numpy as np
import pytest

from archives import TRILLION, with_false_header
from maxentrl.core.check import InputError
from maxentrl.core.npz import npz_keys, read_headers, read_npz


def test_arrays_come_back_bit_for_bit_and_other_keys_are_not_looked_at(tmp_path):
    path = tmp_path / "held.npz"
    kept = {"numbers": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "text": np.array(["a", "bc"])}
    for write in (np.savez, np.savez_compressed):
        write(path, other=np.array([{}]), empty=np.zeros((0, 3)), **kept)
        found = read_npz(path, ("text", "numbers", "absent"))
        assert set(found) == set(kept) and npz_keys(path) == ("other", "empty", "numbers", "text")
        for key, array in kept.items():
            np.testing.assert_array_equal(found[key], array, strict=True)
        header = read_headers(path, ("empty",))["empty"]
        assert (header.shape, header.dtype, header.size) == ((0, 3), np.dtype("f8"), 0)


@pytest.mark.parametrize("shape", [(TRILLION,), (TRILLION, TRILLION), (-3, -2), (3, 3), (5,)])
def test_a_header_that_declares_another_size_than_is_stored_is_refused(shape, tmp_path):
    path = with_false_header(tmp_path / "bad.npz", "x", shape)
    for read in (read_headers, read_npz):
        with pytest.raises(InputError, match=r"bad\.npz: x declares shape .* but 48 bytes are stored"):
            read(path, ("x",))


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (True, True)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 'a')}",
        "{'descr': ('<f8', 3, 4, 5), 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': " + "(" * 3000,
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1L,",
        "{" * 300 + "}" * 300,
        "'''",
        "\x00",
    ],
)
def test_a_header_that_describes_no_array_is_refused(header, tmp_path):
    path, text = tmp_path / "bad.npz", header.encode()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(8))
    for read in (read_headers, read_npz):
        with pytest.raises(InputError, match=r"bad\.npz"):
            read(path, ("x",))


def test_more_than_the_memory_at_hand_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "large.npz"
    np.savez_compressed(path, x=np.zeros(1000))
    monkeypatch.setattr("maxentrl.core.check.available_memory", lambda: 2 * 8000)
    monkeypatch.setattr(np.lib.format, "read_array", None)
    with pytest.raises(InputError, match=r"large\.npz needs about 24 kB of memory, and 16 kB are available"):
        read_npz(path, ("x",))


def test_objects_and_members_that_are_no_arrays_are_refused(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, x=np.array([{}]))
    with pytest.raises(InputError, match=r"x holds Python objects, which are never loaded"):
        read_npz(path, ("x",))
    for content, sentence in ((b"text", "magic"), (b"\x93NUMPY\x03\x00" + bytes(20), "array format")):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", content)
        with pytest.raises(InputError, match=sentence):
            read_npz(path, ("x",))


def test_a_key_that_occurs_twice_is_refused(tmp_path):
    path = tmp_path / "bad.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"one")
        archive.writestr("x", b"other")
    with pytest.raises(InputError, match="holds 'x' more than once"):
        npz_keys(path)
