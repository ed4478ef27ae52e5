"""Old versions: which are kept, what stays of the others, and publishing one again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humpback_pipeline.storage import DatasetStore, ModelStore, Versions
from humpback_pipeline.storage.manifest import Manifest
from humpback_pipeline.storage.retention import MEMBERSHIP_NAME, STAMP_FORMAT, expired, is_remnant
from humpback_pipeline.storage.versions import CURRENT_NAME, UnknownVersionError, read_manifest

SCHEMA = {"pair_id": pl.String, "url": pl.String, "split": pl.String, "output": pl.String}


def write(store: DatasetStore, *names: str) -> Manifest:
    rows = [(f"web-{n}", f"https://x.org/{n}", "train", f"long text of {n}") for n in names]
    return store.write("pairs", pl.DataFrame(rows, schema=SCHEMA, orient="row"), schema=SCHEMA)


def test_version_past_the_rule_keeps_manifest_and_ids_but_not_data(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path, keep_versions=1)
    first = write(store, "a", "b")
    write(store, "c")
    versions = store.versions("pairs")
    assert len(versions.history()) == 1
    remnant, whole = versions.remembered()
    assert is_remnant(remnant)
    assert not is_remnant(whole)
    assert read_manifest(remnant) == first
    membership = pl.read_parquet(remnant / MEMBERSHIP_NAME)
    assert membership.columns == ["pair_id", "url", "split"]
    assert membership["pair_id"].to_list() == ["web-a", "web-b"]
    assert not list(remnant.glob("part-*"))


def test_dataset_without_ids_is_remembered_by_its_manifest(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path, keep_versions=1)
    for n in (1, 2):
        store.write("table", pl.DataFrame({"n": [n]}), schema={"n": pl.Int64})
    remnant = store.versions("table").remembered()[0]
    assert sorted(path.name for path in remnant.iterdir()) == ["manifest.json"]


def test_old_model_keeps_its_texts_and_loses_its_weights(tmp_path: Path) -> None:
    store = ModelStore(tmp_path, keep_versions=1)
    for n in range(2):
        with store.new("m0") as model:
            (model.folder / "model.safetensors").write_text(f"weights {n}")
            (model.folder / "training.json").write_text(f'{{"run": {n}}}')
            (model.folder / "README.md").write_text("# m0")
            (model.folder / "tokenizer.json").write_text("{}")
    remnant = store.versions("m0").remembered()[0]
    assert sorted(p.name for p in remnant.iterdir()) == [
        "README.md",
        "manifest.json",
        "training.json",
    ]
    assert (remnant / "training.json").read_text() == '{"run": 0}'


def test_young_versions_are_kept_however_many(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path, keep_versions=1, keep_days=1.0)
    for name in "abcd":
        write(store, name)
    assert len(store.versions("pairs").history()) == 4
    Versions(tmp_path / "datasets" / "pairs", keep=2, keep_days=1e-9).prune()
    assert len(store.versions("pairs").history()) == 2


def test_published_old_version_is_current_and_survives_newer_ones(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path, keep_versions=2)
    versions = store.versions("pairs")
    old = write(store, "a")
    new = write(store, "b")
    assert versions.publish(old.version) == old
    assert versions.manifest() == old
    # Neither the newest nor among the newest two by name, but current.
    assert Versions(versions.folder, keep=1).prune() == []
    assert store.read("pairs")["pair_id"].to_list() == ["web-a"]
    versions.publish(new.version)
    assert Versions(versions.folder, keep=1).prune() == [old.version]


def test_publishing_what_is_not_there_says_why(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path, keep_versions=1)
    old, new = write(store, "a"), write(store, "b")
    versions = store.versions("pairs")
    with pytest.raises(UnknownVersionError, match=r"only remembered.*keep_versions = 1"):
        versions.publish(old.version)
    for name in ("20200101T000000000000-abcdef", "../pairs", ""):
        with pytest.raises(UnknownVersionError, match=f"does not exist; .*{new.version}"):
            versions.publish(name)
    assert versions.manifest() == new


def test_damaged_old_version_is_kept_and_does_not_stop_the_new_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = DatasetStore(tmp_path, keep_versions=1)
    old = write(store, "a")
    part = store.versions("pairs").current() / "part-00000.parquet"
    part.write_bytes(b"not parquet")
    new = write(store, "b")
    versions = store.versions("pairs")
    assert versions.manifest() == new
    assert [path.name for path in versions.history()] == [old.version, new.version]
    assert "rows cannot be noted" in caplog.text


@pytest.mark.parametrize("stop_at", ["rename", "rmtree"])
def test_kill_while_giving_up_data_leaves_the_version_or_its_memory(
    tmp_path: Path, stop_at: str
) -> None:
    store = DatasetStore(tmp_path, keep_versions=2)
    old, new = write(store, "a"), write(store, "b")
    code = f"""
import shutil, time
from pathlib import Path
from humpback_pipeline.storage import Versions
def stop(*arguments, **settings):
    Path({str(tmp_path)!r}, "reached").touch()
    time.sleep(60)
rename = Path.rename
if {stop_at!r} == "rename":
    # The first rename finishes the remnant, the second would take the version away.
    Path.rename = lambda self, target: (
        stop() if target.name.startswith(".tmp-") else rename(self, target)
    )
else:
    shutil.rmtree = lambda path, **settings: None if "remembered" in str(path) else stop()
Versions(Path({str(tmp_path)!r}, "datasets", "pairs"), keep=1).prune()
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        deadline = time.monotonic() + 30
        while not (tmp_path / "reached").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    versions = Versions(tmp_path / "datasets" / "pairs", keep=1)
    whole = [path.name for path in versions.history()]
    assert whole == ([old.version, new.version] if stop_at == "rename" else [new.version])
    assert [read_manifest(path).version for path in versions.remembered()] == [
        old.version,
        new.version,
    ]
    versions.prune()
    assert [path.name for path in versions.history()] == [new.version]
    assert pl.read_parquet(versions.remembered()[0] / MEMBERSHIP_NAME).height == 1


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.one_of(st.just("write"), st.integers(min_value=0, max_value=9)), min_size=1, max_size=8
    ),
    keep=st.integers(min_value=1, max_value=3),
)
def test_whatever_is_written_and_published_the_current_version_is_whole_and_none_forgotten(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str | int], keep: int
) -> None:
    store = DatasetStore(tmp_path_factory.mktemp("home"), keep_versions=keep)
    versions = store.versions("pairs")
    made = [write(store, "first")]
    current = made[0]
    for n, step in enumerate(steps):
        if step == "write":
            current = write(store, f"row{n}")
            made.append(current)
        else:
            kept = versions.history()
            current = versions.publish(kept[int(step) % len(kept)].name)
        assert versions.manifest() == current
        whole = [path.name for path in versions.history()]
        assert current.version in whole
        assert set(whole) >= {m.version for m in made[-keep:]}
        assert [read_manifest(p) for p in versions.remembered()] == made
        for path in versions.remembered():
            rows = pl.read_parquet(sorted(path.glob("*.parquet")))
            assert rows["pair_id"].len() == 1


@given(
    ages_days=st.lists(st.floats(min_value=0, max_value=100), min_size=1, max_size=12),
    keep=st.integers(min_value=1, max_value=5),
    keep_days=st.one_of(st.none(), st.floats(min_value=0.5, max_value=50)),
    data=st.data(),
)
def test_the_rule_gives_up_neither_current_nor_newest_nor_young(
    ages_days: list[float], keep: int, keep_days: float | None, data: st.DataObject
) -> None:
    now = datetime.now(UTC)
    stamps = sorted((now - timedelta(days=age)).strftime(STAMP_FORMAT) for age in ages_days)
    history = [Path("folder") / f"{stamp}-{n:06x}" for n, stamp in enumerate(stamps)]
    current = data.draw(st.sampled_from(history)).name
    gone = expired(history, current, keep, keep_days)
    assert current not in {path.name for path in gone}
    assert not set(gone) & set(history[-keep:])
    bound = timedelta(days=keep_days if keep_days is not None else 0)
    for path in gone:
        made = datetime.strptime(path.name.split("-")[0], STAMP_FORMAT).replace(tzinfo=UTC)
        assert datetime.now(UTC) - made >= bound
    if keep_days is None:
        assert len(history) - len(gone) <= keep + 1


def test_versions_without_a_pointer_are_not_guessed(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path)
    write(store, "a")
    versions = store.versions("pairs")
    (versions.folder / CURRENT_NAME).unlink()
    with pytest.raises(LookupError, match="nothing has been materialised"):
        versions.current()
    assert Versions(versions.folder, keep=1).prune() == []
