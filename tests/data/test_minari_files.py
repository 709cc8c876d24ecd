"""What is written as a Minari data set comes back."""

import sys
import types

import numpy as np
import pytest

from maxentrl import InputError, TabularMDP
from maxentrl.data import trajectories_from_arrays
from maxentrl.data.minari_files import read_minari, write_minari

MDP = TabularMDP(np.full((4, 2, 4), 0.25), np.zeros((4, 2)), terminal=np.arange(4) == 3)
STATES = np.array([[0, 1, 2, 3], [2, 0, 1, -1]])
ACTIONS = np.array([[0, 1, 1], [1, 0, -1]])
DEMOS = trajectories_from_arrays(STATES, ACTIONS)


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    pytest.importorskip("minari", reason="the package minari is not installed")
    pytest.importorskip("h5py", reason="minari is installed without h5py")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path


@pytest.mark.filterwarnings("ignore")  # Minari warns about what a data set does not say of its authors.
def test_what_was_written_comes_back_by_name_and_by_folder(shelf):
    write_minari("maze/walk-v0", DEMOS, MDP)
    for where in ("maze/walk-v0", shelf / "maze" / "walk-v0"):
        found = read_minari(where, MDP)
        for field in ("states", "actions", "next_states", "lengths"):
            np.testing.assert_array_equal(getattr(found, field), getattr(DEMOS, field))
        assert found.ids == ("0", "1")
    import minari

    ends = [e.terminations[-1] for e in minari.load_dataset("maze/walk-v0").iterate_episodes()]
    assert ends == [True, False]
    with pytest.raises(InputError, match="Minari does not write a data set"):
        write_minari("maze/walk-v0", DEMOS, MDP)
    small = TabularMDP(np.full((3, 2, 3), 1 / 3), np.zeros((3, 2)))
    with pytest.raises(InputError, match="episode 0, step 3: unknown observation 3; known are 0 to 2"):
        read_minari("maze/walk-v0", small)


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A shelf of Minari's where a module stands in for h5py, so that nothing can truly be written."""
    pytest.importorskip("minari", reason="the package minari is not installed")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "h5py", types.ModuleType("h5py"))
    return tmp_path


@pytest.mark.parametrize("name", ["bad", "maze/bad", "", "maze/bad-v"])
def test_a_name_without_a_version_is_refused_with_one_that_has_it(stand_in, name):
    with pytest.raises(InputError, match=r'must look like "maze/expert-v0", with its version; got'):
        write_minari(name, DEMOS, MDP)
    assert not list(stand_in.iterdir())


def test_a_write_that_fails_leaves_the_name_free(stand_in, monkeypatch):
    import minari

    def fail(name, *_, **__):
        (stand_in / name / "data").mkdir(parents=True)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(minari, "create_dataset_from_buffers", fail)
    for _ in range(2):
        with pytest.raises(InputError, match=r"does not write a data set 'maze/walk-v0': .*No space left"):
            write_minari("maze/walk-v0", DEMOS, MDP)
    (stand_in / "maze/walk-v0").mkdir()
    with pytest.raises(InputError, match=r"there is one already in .*maze/walk-v0"):
        write_minari("maze/walk-v0", DEMOS, MDP)


def test_a_package_without_h5py_writes_nothing_and_says_what_to_install(stand_in, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"pip install 'maxentrl\[minari\]'"):
        write_minari("maze/walk-v0", DEMOS, MDP)
    assert not list(stand_in.iterdir())


def test_a_data_set_that_is_not_there_is_refused(shelf):
    for where in ("maze/none-v0", shelf):
        with pytest.raises(InputError, match="no Minari data set can be read at"):
            read_minari(where, MDP)


def test_what_the_format_does_not_hold_is_refused():
    cut = trajectories_from_arrays(STATES[:, :3], ACTIONS)
    with pytest.raises(InputError, match="trajectory '0' does not say it"):
        write_minari("a-v0", cut, MDP)
    for extra in ({"weights": [1.0, 2.0]}, {"groups": ["a", "b"]}):
        with pytest.raises(InputError, match="neither weights nor groups"):
            write_minari("a-v0", trajectories_from_arrays(STATES, ACTIONS, **extra), MDP)


def test_without_the_package_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "minari", None)
    monkeypatch.setitem(sys.modules, "minari.data_collector", None)
    for act in (lambda: read_minari("a-v0", MDP), lambda: write_minari("a-v0", DEMOS, MDP)):
        with pytest.raises(InputError, match=r"pip install 'maxentrl\[minari\]'"):
            act()
