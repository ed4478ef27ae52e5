"""Stores: whole or not there, versioned, with provenance through all ancestors."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pytest

from humpback_pipeline.storage import (
    DatasetStore,
    ModelStore,
    NotMaterializedError,
    OutOfSpaceError,
    Provenance,
    atomic_directory,
    check_free_space,
    hash_model,
    remove_leftovers,
    write_text_atomic,
)
from humpback_pipeline.storage.atomic import temporary_paths

SCHEMA = {"id": pl.String, "n": pl.Int64}


def frame(*numbers: int) -> pl.DataFrame:
    return pl.DataFrame({"id": [f"r{n}" for n in numbers], "n": numbers}, schema=SCHEMA)


def test_dataset_reads_back_what_was_written_in_parts(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path, "demo", "abc")
    manifest = store.write("numbers", iter([frame(1, 2), frame(3)]), schema=SCHEMA, partition="a")
    assert store.read("numbers", "a")["n"].to_list() == [1, 2, 3]
    assert (manifest.rows, len(manifest.files), manifest.recipe_name) == (3, 2, "demo")
    assert manifest == store.manifest("numbers", "a")


def test_empty_dataset_keeps_its_schema(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path)
    assert store.write("numbers", [], schema=SCHEMA).rows == 0
    assert store.read("numbers").schema == pl.Schema(SCHEMA)


@pytest.mark.parametrize(
    "wrong", [pl.DataFrame({"id": ["a"]}), pl.DataFrame({"id": ["a"], "n": ["b"]})]
)
def test_frame_of_another_schema_is_refused_and_leaves_nothing(
    tmp_path: Path, wrong: pl.DataFrame
) -> None:
    store = DatasetStore(tmp_path)
    with pytest.raises(ValueError, match="dataset numbers"):
        store.write("numbers", wrong, schema=SCHEMA)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_failed_write_leaves_the_old_version_current(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path)
    store.write("numbers", frame(1), schema=SCHEMA)

    def broken():
        yield frame(2)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        store.write("numbers", broken(), schema=SCHEMA)
    assert store.read("numbers")["n"].to_list() == [1]
    assert len(store.versions("numbers").history()) == 1


def test_reading_before_the_first_version_says_what_to_materialise(tmp_path: Path) -> None:
    with pytest.raises(NotMaterializedError, match="'numbers'"):
        DatasetStore(tmp_path).read("numbers")


def test_old_versions_are_kept_up_to_the_limit(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path, keep_versions=2)
    for n in range(4):
        store.write("numbers", frame(n), schema=SCHEMA)
    history = store.versions("numbers").history()
    assert [pl.read_parquet(path / "*.parquet")["n"].item() for path in history] == [2, 3]


def test_content_hash_depends_on_content_alone(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path)
    first, second, third = (
        store.write("numbers", frame(n), schema=SCHEMA).content_hash for n in (1, 1, 2)
    )
    assert first == second != third


def test_provenance_reaches_through_all_ancestors(tmp_path: Path) -> None:
    datasets, models = DatasetStore(tmp_path), ModelStore(tmp_path)
    seeds = datasets.write(
        "seeds", frame(1), schema=SCHEMA, sources=Provenance(seed_files={"s.jsonl": "f00"})
    )
    with models.new("m0", inputs=[seeds], sources=Provenance(base_models={"b": "ba5e"})) as model:
        (model.folder / "model.safetensors").write_bytes(b"weights")
        model.facts["loss"] = 1.5
    assert model.manifest is not None
    scores = datasets.write("scores", frame(2), schema=SCHEMA, inputs=[model.manifest])
    assert scores.provenance == Provenance(
        seed_files={"s.jsonl": "f00"},
        base_models={"b": "ba5e"},
        models={"m0": model.manifest.content_hash},
        datasets={"seeds": seeds.content_hash},
    )
    assert scores.inputs == {"m0": model.manifest.content_hash}


def test_model_identity_ignores_logs_and_follows_weights(tmp_path: Path) -> None:
    for name, weights, log in (("a", b"1", "x"), ("b", b"1", "y"), ("c", b"2", "x")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(weights)
        (folder / "training.json").write_text(log)
    assert hash_model(tmp_path / "a") == hash_model(tmp_path / "b") != hash_model(tmp_path / "c")


def test_writer_killed_in_the_middle_leaves_no_version(tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib\n"
        "from humpback_pipeline.storage import atomic_directory\n"
        "with atomic_directory(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('x')\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(60)\n"
    )
    target = tmp_path / "version"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(target)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not target.exists()
    leftovers = list(tmp_path.glob(".tmp-*"))
    assert len(leftovers) == 1
    assert remove_leftovers(tmp_path) == []
    old = time.time() - 2 * 86_400
    os.utime(leftovers[0], (old, old))
    assert remove_leftovers(tmp_path) == leftovers
    assert not list(tmp_path.iterdir())


def test_leftovers_of_a_live_writer_are_left_alone_however_old(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "version") as folder:
        old = time.time() - 30 * 86_400
        os.utime(folder, (old, old))
        assert remove_leftovers(tmp_path) == []
    assert (tmp_path / "version").is_dir()


def test_atomic_directory_refuses_to_replace(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(FileExistsError), atomic_directory(tmp_path / "there"):
        pass


def test_atomic_text_replaces_whole_files(tmp_path: Path) -> None:
    write_text_atomic(tmp_path / "f", "one")
    write_text_atomic(tmp_path / "f", "two")
    assert (tmp_path / "f").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_full_disk_is_refused_before_writing(tmp_path: Path) -> None:
    with pytest.raises(OutOfSpaceError, match="HUMPBACK_HOME"):
        check_free_space(tmp_path / "not" / "yet", needed_bytes=10**18)


def test_leftovers_are_looked_for_while_others_write(tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            folder = tmp_path / "a" / ".tmp-x-1-2" / "deep"
            folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(tmp_path / "a" / ".tmp-x-1-2", ignore_errors=True)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(300):
            assert {path.name for path in temporary_paths(tmp_path)} <= {".tmp-x-1-2"}
            assert remove_leftovers(tmp_path) == []
    finally:
        stop.set()
        writer.join()
