"""A corpus of many files: broken ones beside sound ones, and files behind a URL."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import yaml

from humpback_pipeline.preflight import _check_corpus
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.stages import Workspace, shard_files
from humpback_pipeline.stages.corpus import write_segments
from humpback_pipeline.stages.warc_files import openable_shards, refusal, survey_shards
from humpback_pipeline.stages.warc_hashes import hash_until
from humpback_pipeline.storage import hash_file
from humpback_pipeline.storage.file_hashes import FileHashes, file_signature
from humpback_pipeline.web import NotAWarcError
from humpback_pipeline.web.shards import list_shards

WARC_BYTES = gzip.compress(
    b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 2\r\n\r\nok\r\n\r\n", mtime=0
)


def open_workspace(folder: Path, warc_dir: str) -> Workspace:
    recipe = {
        "name": "sources",
        "home": str(folder / "home"),
        "base_model": "x",
        "seed": {"path": str(folder / "seeds.jsonl")},
        "corpus": {"warc_dir": warc_dir},
        "evaluation": {
            "prompts": "bundled:evaluation_prompts.jsonl",
            "labelled_pairs": "bundled:labelled_pairs.jsonl",
        },
    }
    path = folder / "sources.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return Workspace(load_recipe(str(path)))


@pytest.fixture
def local(tmp_path: Path) -> Workspace:
    (tmp_path / "warc").mkdir()
    return open_workspace(tmp_path, str(tmp_path / "warc"))


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Workspace]:
    store = fsspec.filesystem("memory")
    store.pipe("/sources/en/a.warc.gz", WARC_BYTES)
    store.pipe("/sources/b.warc.gz", WARC_BYTES)
    yield open_workspace(tmp_path, "memory://sources")
    store.rm("/sources", recursive=True)


def test_broken_files_are_named_and_the_others_can_be_opened(local: Workspace) -> None:
    folder = Path(local.recipe.corpus.warc_dir)
    for name, data in {"a": WARC_BYTES, "b": b"", "c": b"junk", "d": WARC_BYTES[:40]}.items():
        (folder / f"{name}.warc.gz").write_bytes(data)
    good, refused = openable_shards(local)
    assert good == ["a", "d"]
    assert "it is empty" in refused["b"]
    assert "it begins b'junk'" in refused["c"]
    assert "2 WARC files" in _check_corpus(local)
    assert "2 more cannot be opened" in _check_corpus(local)
    for name in good:
        (folder / f"{name}.warc.gz").unlink()
    with pytest.raises(NotAWarcError, match="it is empty"):
        _check_corpus(local)


def test_remote_files_are_listed_hashed_and_compared(remote: Workspace) -> None:
    assert remote.shards() == {
        "b": "memory://sources/b.warc.gz",
        "en--a": "memory://sources/en/a.warc.gz",
    }
    url = remote.shard("en--a")
    assert isinstance(url, str)
    assert refusal(url) is None
    assert _check_corpus(remote) == "corpus: 2 WARC files in memory://sources"
    first = remote.warc_hash(url)
    assert hash_until(remote, url, time.monotonic() + 9) == first
    manifest = write_segments(remote, "en--a")
    assert manifest.provenance.warc_shards == {"en--a": first}
    assert manifest.facts["warc_file"] == url
    assert write_segments(remote, "en--a").version == manifest.version
    states = {shard.key: shard.state for shard in survey_shards(remote, ["en--a"])}
    assert states == {"b": "new", "en--a": "same"}
    fsspec.filesystem("memory").pipe("/sources/en/a.warc.gz", WARC_BYTES * 2)
    changed = next(s for s in survey_shards(remote, ["en--a"]) if s.key == "en--a")
    assert (changed.state, changed.n_bytes) == ("changed", 2 * len(WARC_BYTES))
    assert changed.touched_s == pytest.approx(time.time(), abs=100)
    assert write_segments(remote, "en--a").version != manifest.version


def test_remote_files_that_are_gone_are_told_from_another_corpus(
    remote: Workspace, tmp_path: Path
) -> None:
    manifest = write_segments(remote, "b")
    store = fsspec.filesystem("memory")
    store.rm("/sources/b.warc.gz")
    (gone,) = (shard for shard in survey_shards(remote, ["b"]) if shard.key == "b")
    assert (gone.state, gone.is_ours) == ("gone", True)
    assert write_segments(remote, "b").version == manifest.version
    store.pipe("/other/c.warc.gz", WARC_BYTES)
    other = open_workspace(tmp_path, "memory://other")
    assert [shard.is_ours for shard in survey_shards(other, ["b"])] == [False, True]
    store.rm("/other", recursive=True)


def test_empty_remote_file_is_left_out(remote: Workspace) -> None:
    store = fsspec.filesystem("memory")
    store.pipe("/sources/z.warc.gz", b"")
    good, refused = openable_shards(remote)
    assert (good, list(refused)) == (["b", "en--a"], ["z"])


def test_shard_is_found_without_listing_anew_for_each(
    local: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(local.recipe.corpus.warc_dir)
    for name in "abc":
        (folder / f"{name}.warc.gz").write_bytes(WARC_BYTES)
    listings = []

    def counted(place: Path | str) -> dict[str, Path | str]:
        listings.append(place)
        return list_shards(place)

    monkeypatch.setattr(shard_files, "list_shards", counted)
    assert [local.shard(name) for name in "abc"] == [folder / f"{n}.warc.gz" for n in "abc"]
    assert len(listings) == 1
    (folder / "b.warc.gz").unlink()
    (folder / "d.warc.gz").write_bytes(WARC_BYTES)
    with pytest.raises(LookupError, match="'b' has no WARC file"):
        local.shard("b")
    assert local.shard("d") == folder / "d.warc.gz"
    assert len(listings) == 2


def test_known_hash_is_forgotten_when_the_file_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    path.write_bytes(WARC_BYTES)
    hashes = FileHashes(tmp_path / "notes")
    assert hashes.known(path) is None
    assert hashes.hash(path) == hashes.known(path) == hash_file(path)
    signature = file_signature(path)
    path.write_bytes(WARC_BYTES * 2)
    assert hashes.known(path) is None
    assert file_signature(path) != signature
