"""A checkpoint comes back whole, bit for bit, or is refused with a sentence."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save

from maxentrl.core.check import InputError
from maxentrl.learn import checkpoint
from maxentrl.learn.replay import Memory

TREE = {
    "weights": (jnp.arange(6.0).reshape(2, 3), jnp.float32(0.1)),
    "key": jax.random.key(3, impl="threefry2x32"),
    "counts": np.arange(4),
    "flag": jnp.array([True, False]),
}
FACTS = {"step": 7, "rows": 3, "name": "müh"}


@pytest.fixture
def written(tmp_path):
    return checkpoint.write(tmp_path, 7, checkpoint.named(TREE), FACTS)


def test_a_tree_comes_back_bit_for_bit(written):
    arrays, facts = checkpoint.read(written)
    tree = checkpoint.rebuilt(TREE, arrays, str(written))
    assert facts == FACTS
    assert jax.tree.structure(tree) == jax.tree.structure(TREE)
    for name, array in checkpoint.named(tree).items():
        assert array.tobytes() == checkpoint.named(TREE)[name].tobytes()
    assert jax.random.key_impl(tree["key"]) == jax.random.key_impl(TREE["key"])


def test_the_same_run_gives_the_same_bytes(tmp_path, written):
    again = checkpoint.write(tmp_path / "again", 7, checkpoint.named(TREE), FACTS)
    assert again.read_bytes() == written.read_bytes()


def test_every_flipped_bit_is_noticed_or_harmless(tmp_path, written):
    whole = written.read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "flipped.safetensors"
    for bit in rng.choice(8 * len(whole), 300, replace=False):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(flipped)
        try:
            arrays, facts = checkpoint.read(path)
        except InputError:
            continue
        assert facts == FACTS
        for name, array in checkpoint.named(TREE).items():
            assert arrays[name].tobytes() == array.tobytes()


def test_every_truncated_file_is_refused(tmp_path, written):
    whole = written.read_bytes()
    path = tmp_path / "short.safetensors"
    for length in [*range(0, 40), *range(40, len(whole), 37)]:
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"damaged|not a checkpoint"):
            checkpoint.read(path)


def test_a_foreign_file_and_a_newer_version_are_refused(tmp_path):
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(save({"x": np.zeros(2)}, {"format": "pt"}))
    with pytest.raises(InputError, match="is not a checkpoint of this library"):
        checkpoint.read(path)
    path.write_bytes(
        save({"x": np.zeros(2)}, {"maxentrl": json.dumps({"format": checkpoint.FORMAT, "version": 99})})
    )
    with pytest.raises(InputError, match="version 99; version 4 can be read here"):
        checkpoint.read(path)
    with pytest.raises(InputError, match="cannot be read"):
        checkpoint.read(tmp_path / "absent.safetensors")


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(tmp_path):
    checkpoint.write(tmp_path, 5, {"x": np.arange(3)}, {"step": 5})
    last = checkpoint.write(tmp_path, 10, {"x": np.arange(3) + 1}, {"step": 10})
    last.write_bytes(last.read_bytes()[:-1])
    path, arrays, facts, remarks = checkpoint.newest(tmp_path)
    assert (path.name, facts["step"], arrays["x"].tolist()) == ("step-000000000005.safetensors", 5, [0, 1, 2])
    assert len(remarks) == 1 and "damaged" in remarks[0]


def test_no_checkpoint_that_can_be_used_is_said_with_the_reasons(tmp_path):
    with pytest.raises(InputError, match="holds no checkpoint"):
        checkpoint.newest(tmp_path)
    checkpoint.write(tmp_path, 5, {"x": np.arange(3)}, {}).write_bytes(b"")
    with pytest.raises(InputError, match=r"no checkpoint that can be used: .*damaged"):
        checkpoint.newest(tmp_path)


def test_another_form_is_refused_by_the_name_of_the_array(written):
    arrays, _ = checkpoint.read(written)
    with pytest.raises(InputError, match="does not hold more"):
        checkpoint.rebuilt({**TREE, "more": jnp.zeros(1)}, arrays, "it")
    with pytest.raises(InputError, match="holds flag, which this run does not have"):
        checkpoint.rebuilt({k: x for k, x in TREE.items() if k != "flag"}, arrays, "it")
    with pytest.raises(InputError, match=r"holds counts as int64 \(4,\); this run has int64 \(5,\)"):
        checkpoint.rebuilt({**TREE, "counts": np.arange(5)}, arrays, "it")


@pytest.mark.parametrize("held", [0, 3, 40, 95])
@pytest.mark.parametrize("seeds", [None, 2])
def test_a_memory_is_kept_by_its_rows_in_use_and_comes_back_bit_for_bit(tmp_path, held, seeds):
    rows, written = jnp.zeros((40, 3)), jnp.int32(held)
    rows = rows.at[: min(held, 40)].set(jnp.arange(3.0) - jnp.arange(min(held, 40.0))[:, None])
    if seeds:  # side by side, and the second one has seen less
        rows, written = jnp.stack([rows, rows.at[2:].set(0.0)]), jnp.array([held, min(held, 2)])
    tree = {"agent": Memory(rows, written), "more": jnp.ones(2)}
    path = checkpoint.write(tmp_path, 5, checkpoint.named(tree), {})
    arrays, _ = checkpoint.read(path)
    assert arrays["agent.rows"].shape[-2] == min(held, 40)
    back = checkpoint.rebuilt(tree, arrays, "it")
    for one, other in zip(jax.tree.leaves(tree), jax.tree.leaves(back), strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def test_a_memory_of_another_size_or_with_rows_missing_is_refused():
    tree = {"memory": Memory(jnp.ones((40, 3)), jnp.int32(7))}
    arrays = checkpoint.named(tree)
    assert arrays["memory.rows"].shape == (7, 3)
    for changed in (
        {**arrays, "memory.written": np.array(8, np.int32)},
        {**arrays, "memory.rows": np.ones((7, 4), np.float32)},
        {**arrays, "memory.rows": np.ones((7, 3), np.float64)},
        {**arrays, "memory.rows": np.ones(3, np.float32)},
    ):
        with pytest.raises(InputError, match=r"it holds memory.rows as .*; this run has float32 \(40, 3\)"):
            checkpoint.rebuilt(tree, changed, "it")
    full = checkpoint.named({"memory": Memory(jnp.ones((40, 3)), jnp.int32(99))})
    with pytest.raises(
        InputError, match=r"it holds memory.rows as float32 \(40, 3\); this run has float32 \(20, 3\)"
    ):
        checkpoint.rebuilt({"memory": Memory(jnp.ones((20, 3)), jnp.int32(0))}, full, "it")


def test_the_newest_two_stay_and_one_in_between_goes_with_the_next(tmp_path):
    def steps():
        return [int(path.stem.split("-")[1]) for path in checkpoint.files(tmp_path)]

    for step, left in [(10, [10]), (20, [20, 10]), (23, [23, 20, 10]), (27, [27, 20, 10]), (30, [30, 20])]:
        checkpoint.write(tmp_path, step, {"x": np.zeros(1)}, {}, every=10)
        assert steps() == left


def test_there_is_always_one_before_to_fall_back_to(tmp_path):
    for step, before in [(1, None), (2, 1), (3, 2), (10, 3), (11, 10), (20, 10)]:
        path = checkpoint.write(tmp_path, step, {"x": np.zeros(1)}, {"step": step}, every=10)
        if before is not None:
            whole = path.read_bytes()
            path.write_bytes(whole[:-1])
            assert checkpoint.newest(tmp_path)[2]["step"] == before
            path.write_bytes(whole)


def test_a_folder_that_cannot_be_written_leaves_what_was_there(tmp_path):
    kept = checkpoint.write(tmp_path, 5, {"x": np.arange(3)}, {})
    before = kept.read_bytes()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        checkpoint.write(tmp_path / "file" / "folder", 6, {"x": np.arange(3)}, {})
    assert kept.read_bytes() == before


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_disk_that_fails_at_any_call_leaves_the_checkpoint_before(tmp_path, monkeypatch, call):
    import os

    checkpoint.write(tmp_path, 5, {"x": np.arange(3)}, {"step": 5})

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    if call == "write":
        monkeypatch.setattr("maxentrl.learn.checkpoint.save", full)
    else:
        monkeypatch.setattr(os, call, full)
    with pytest.raises(InputError, match="No space left on device"):
        checkpoint.write(tmp_path, 10, {"x": np.arange(3)}, {"step": 10})
    monkeypatch.undo()
    assert checkpoint.newest(tmp_path)[2]["step"] == 5
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000000005.safetensors"]


def test_what_a_killed_writer_left_goes_with_the_next_checkpoint(tmp_path):
    (tmp_path / ".step-000000000005.safetensors.0123.partial").write_bytes(b"half of it")
    checkpoint.write(tmp_path, 10, {"x": np.zeros(1)}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000000010.safetensors"]
