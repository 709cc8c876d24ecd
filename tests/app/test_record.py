"""A run folder holds everything, whole or not at all, and the same command writes the same bytes."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from maxentrl.app import recipes, record
from maxentrl.app.report import document
from maxentrl.core.check import InputError

ALWAYS = {"manifest.json", "metrics.jsonl", "metrics.csv", "arrays.safetensors", "report.html", "timing.json"}


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def page(_: Path) -> str:
    return document("a run", [])


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "plan"
    recipes.plan("FrozenLake-v1", temperature=0.1, horizon=8, dynamics="posterior", sweep=(0.1, 1.0), out=out)
    return out


def test_a_run_folder_holds_settings_versions_hashes_metrics_arrays_pictures_and_a_report(planned):
    held = contents(planned)
    assert set(held) == ALWAYS | {f"pictures/{name}.svg" for name in ("plan", "messages", "sweep")}
    manifest = json.loads(held["manifest.json"])
    assert manifest["settings"]["temperature"] == 0.1 and manifest["settings"]["horizon"] == 8
    assert {"python", "jax", "numpy", "maxentrl"} <= set(manifest["versions"])
    assert len(manifest["inputs"]["problem"]) == 64
    assert manifest["command"].startswith("maxentrl plan FrozenLake-v1 --temperature 0.1 --horizon 8")
    assert set(json.loads(held["timing.json"])) == {
        "started",
        "wall_seconds",
        "compile_seconds",
        "processors",
    }
    for name, digest in manifest["files"].items():
        assert hashlib.sha256(held[name]).hexdigest() == digest
    arrays = load_file(planned / "arrays.safetensors")
    assert arrays["v"].shape == (9, 16) and arrays["log_policy"].shape == (8, 16, 4)
    rows = [json.loads(line) for line in held["metrics.jsonl"].splitlines()]
    table = list(csv.DictReader(held["metrics.csv"].decode().splitlines()))
    assert [float(row["start_value"]) for row in table] == [row["start_value"] for row in rows]


def test_the_numbers_of_a_posterior_run_obey_evidence_is_bound_plus_divergence(planned):
    answer = json.loads((planned / "manifest.json").read_text())["answer"]
    # log p(O) >= bound of the best policy >= bound of any other; start_value is temperature * log evidence.
    assert answer["log_evidence"] >= answer["best_evidence_bound"] >= answer["evidence_bound"]
    np.testing.assert_allclose(answer["start_value"], 0.1 * answer["log_evidence"], rtol=1e-10)
    np.testing.assert_allclose(answer["given_value"], 0.1 * answer["evidence_bound"], rtol=1e-9)


def test_the_same_command_twice_gives_the_same_bytes_apart_from_the_clock(planned, tmp_path):
    again = tmp_path / "again"
    recipes.plan(
        "FrozenLake-v1", temperature=0.1, horizon=8, dynamics="posterior", sweep=(0.1, 1.0), out=again
    )
    first, second = contents(planned), contents(again)
    assert first.pop("timing.json") and second.pop("timing.json")
    assert first == second


def test_an_earlier_run_is_replaced_on_success_and_kept_on_failure(tmp_path):
    out = tmp_path / "run"
    for number in (1, 2):
        with record.recording(out, "plan", {"number": number}, page) as run:
            run.arrays["number"] = np.array([number])
    assert record.read_manifest(out)["settings"]["number"] == 2
    before = contents(out)
    with pytest.raises(RuntimeError), record.recording(out, "plan", {"number": 3}, page):
        raise RuntimeError
    assert contents(out) == before and [p.name for p in tmp_path.iterdir()] == ["run"]


def test_only_a_run_of_the_same_kind_with_nothing_else_beside_it_is_replaced(tmp_path):
    out = tmp_path / "run"

    def again(kind):
        with record.recording(out, kind, {}, page):
            pass

    again("plan")
    before = contents(out)
    with pytest.raises(
        InputError, match="run holds a run of plan, which compare does not replace; give a new"
    ):
        again("compare")
    assert contents(out) == before
    (out / "inner").mkdir()
    (out / "inner" / "letter.txt").write_text("keep me")
    with pytest.raises(InputError, match=r"holds .*letter.txt, which is not of that run; give a new"):
        again("plan")
    assert (out / "inner" / "letter.txt").read_text() == "keep me"


def test_a_run_that_cannot_be_put_in_its_place_leaves_nothing_half_written(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    out = tmp_path / "run"
    with record.recording(out, "plan", {"number": 1}, page):
        pass
    before = contents(out)
    monkeypatch.setattr(record, "write_json", fail)
    with pytest.raises(InputError, match="No space left on device"), record.recording(out, "plan", {}, page):
        pass
    assert contents(out) == before and [p.name for p in tmp_path.iterdir()] == ["run"]


def test_every_file_of_a_run_has_ordinary_permissions(planned, tmp_path):
    (tmp_path / "ordinary").touch()
    ordinary = (tmp_path / "ordinary").stat().st_mode
    assert {p.stat().st_mode for p in planned.rglob("*") if p.is_file()} == {ordinary}


def test_numbers_that_json_cannot_hold_are_written_as_words():
    assert record.plain({"a": np.array([1.0, np.inf]), "b": (np.int32(2), float("nan"))}) == {
        "a": [1.0, "inf"],
        "b": [2, "nan"],
    }


def test_the_hash_of_arrays_sees_values_types_and_shapes():
    x = np.arange(4.0)
    digests = {record.array_hash(a) for a in (x, x + 1, x.astype(np.float32), x.reshape(2, 2))}
    assert len(digests) == 4 and record.array_hash(x) == record.array_hash(x.copy())
