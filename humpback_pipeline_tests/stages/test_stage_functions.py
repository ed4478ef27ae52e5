"""Stages without Dagster: the same functions from a notebook."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.recipe_section import PACKAGE_DIR
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.corpus import write_segments
from humpback_pipeline.stages.corpus_selection import write_selection
from humpback_pipeline.stages.seed import write_seed_pairs
from humpback_pipeline.stages.summary import text_histogram
from humpback_pipeline.web.shards import CorpusError, list_shards

WARC = PACKAGE_DIR / "examples" / "warc"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("HUMPBACK_HOME", str(tmp_path / "home"))
    shutil.copytree(WARC, tmp_path / "warc")
    monkeypatch.setenv("HUMPBACK_WARC_DIR", str(tmp_path / "warc"))
    return Workspace(load_recipe("demo", {"corpus.sample_segments": "20"}))


def test_seed_pairs_keep_their_count_and_source(workspace: Workspace) -> None:
    manifest = write_seed_pairs(workspace)
    assert manifest.rows == manifest.facts["n_read"] == 88
    assert manifest.provenance.seed_files.keys() == {"seed_pairs.jsonl"}


def test_funnel_of_a_shard_adds_up(workspace: Workspace) -> None:
    manifest = write_segments(workspace, "web-00000")
    facts = manifest.facts
    assert manifest.rows + sum(facts["segment_drops"].values()) == facts["n_candidates"]
    assert facts["document_drops"]["language"] >= 3
    assert (
        workspace.datasets.read("clueweb_segments", "web-00000")["text_chars"]
        .is_between(600, 3_000)
        .all()
    )


def test_same_shard_twice_gives_the_same_content(workspace: Workspace) -> None:
    first = write_segments(workspace, "clueweb22-en0000-00")
    second = write_segments(replace(workspace, rebuild=True), "clueweb22-en0000-00")
    assert first.content_hash == second.content_hash
    assert first.version != second.version


def test_selection_keeps_one_of_a_shard_that_occurs_twice(
    workspace: Workspace, tmp_path: Path
) -> None:
    shutil.copy(WARC / "web-00000.warc.gz", tmp_path / "warc" / "again.warc.gz")
    shards = ["again", "web-00000"]
    segments = [write_segments(workspace, shard) for shard in shards]
    manifest = write_selection(workspace, shards)
    frame = workspace.datasets.read("corpus_selection")
    assert frame.height == manifest.rows == sum(m.rows or 0 for m in segments)
    duplicates = frame.filter(pl.col("reason").str.ends_with("_duplicate"))
    assert duplicates.height >= (segments[0].rows or 0)
    kept = frame.filter("kept")
    assert kept.height == kept["segment_id"].n_unique() == 20


def test_selection_does_not_depend_on_the_order_of_shards(workspace: Workspace) -> None:
    shards = list(workspace.shards())
    for shard in shards:
        write_segments(workspace, shard)

    def kept(order: list[str]) -> set[str]:
        write_selection(workspace, order)
        return set(workspace.datasets.read("corpus_selection").filter("kept")["segment_id"])

    assert kept(shards) == kept(shards[::-1])


def test_shard_keys_name_folders_and_drop_suffixes(tmp_path: Path) -> None:
    for name in ("en00/a.warc.gz", "en00/b.warc", "c.warc.gz", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert list(list_shards(tmp_path)) == ["c", "en00--a", "en00--b"]


def test_unusable_corpus_folder_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="HUMPBACK_WARC_DIR"):
        list_shards(tmp_path / "absent")
    with pytest.raises(CorpusError, match=r"\.warc\.gz"):
        list_shards(tmp_path)
    for name in ("a.warc", "a.warc.gz"):
        (tmp_path / name).touch()
    with pytest.raises(CorpusError, match="same name"):
        list_shards(tmp_path)


def test_partition_without_its_file_says_so(workspace: Workspace) -> None:
    with pytest.raises(LookupError, match="'gone' has no WARC file"):
        write_segments(workspace, "gone")


def test_histogram_counts_every_value_once() -> None:
    lines = text_histogram(pl.Series([1.0, 3.0, 5.0, 4.99])).splitlines()
    assert sum(int(line.split()[1]) for line in lines) == 4
