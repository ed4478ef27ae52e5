"""Work is done again exactly when something that shapes it has changed."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from humpback_pipeline.definitions import defs
from humpback_pipeline.preflight import _check_corpus
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.recipe_section import PACKAGE_DIR
from humpback_pipeline.stages import Workspace, code_versions
from humpback_pipeline.stages.corpus import write_segments
from humpback_pipeline.stages.corpus_selection import write_selection
from humpback_pipeline.stages.seed import write_seed_pairs
from humpback_pipeline.storage import FileHashes, Origin, Provenance, hash_file
from humpback_pipeline.web import NotAWarcError

EXAMPLES = PACKAGE_DIR / "examples"
SHARD = "clueweb22-en0000-00"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLES / "warc", tmp_path / "warc")
    shutil.copy(EXAMPLES / "seed_pairs.jsonl", tmp_path / "seeds.jsonl")
    return tmp_path


def open_workspace(folder: Path, **overrides: str) -> Workspace:
    places = {
        "home": str(folder / "home"),
        "corpus.warc_dir": str(folder / "warc"),
        "seed.path": str(folder / "seeds.jsonl"),
    }
    fields = {name.replace("__", "."): value for name, value in overrides.items()}
    return Workspace(load_recipe("demo", {**places, **fields}))


def test_unchanged_inputs_give_the_version_already_made(folder: Path) -> None:
    first = write_segments(open_workspace(folder), SHARD)
    (folder / "warc" / f"{SHARD}.warc.gz").touch()
    again = write_segments(open_workspace(folder, training__steps="99"), SHARD)
    assert again.version == first.version


@pytest.mark.parametrize("change", ["setting", "file", "code", "rebuild"])
def test_whatever_shapes_the_content_has_it_made_again(
    folder: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = open_workspace(folder)
    first = write_segments(workspace, SHARD)
    if change == "setting":
        workspace = open_workspace(folder, corpus__min_chars="700")
    elif change == "file":
        other = (EXAMPLES / "warc" / "web-00000.warc.gz").read_bytes()
        (folder / "warc" / f"{SHARD}.warc.gz").write_bytes(other)
    elif change == "code":
        monkeypatch.setitem(code_versions.CODE_VERSIONS, "clueweb_segments", "next")
    else:
        workspace = replace(workspace, rebuild=True)
    assert write_segments(workspace, SHARD).version != first.version


def test_seed_data_put_back_bring_their_version_back(folder: Path) -> None:
    workspace, seeds = open_workspace(folder), folder / "seeds.jsonl"
    original = seeds.read_text()
    first = write_seed_pairs(workspace)
    seeds.write_text("".join(original.splitlines(keepends=True)[:-8]))
    second = write_seed_pairs(workspace)
    seeds.write_text(original)
    third = write_seed_pairs(workspace)
    assert second.version != first.version == third.version
    assert workspace.datasets.manifest("seed_pairs").version == first.version
    assert workspace.datasets.read("seed_pairs").height == first.rows


def test_version_with_a_missing_part_is_not_taken_for_whole(folder: Path) -> None:
    workspace = open_workspace(folder)
    first = write_seed_pairs(workspace)
    (workspace.datasets.versions("seed_pairs").current() / "part-00000.parquet").unlink()
    assert write_seed_pairs(workspace).version != first.version


def test_selection_changes_only_with_the_segments_of_some_shard(folder: Path) -> None:
    workspace = open_workspace(folder)
    shards = [SHARD, "web-00000"]
    for shard in shards:
        write_segments(workspace, shard)
    first = write_selection(workspace, shards)
    assert write_selection(workspace, shards).version == first.version
    assert write_selection(workspace, shards[:1]).version != first.version


def test_segments_stay_when_their_file_is_removed_from_the_corpus(folder: Path) -> None:
    workspace = open_workspace(folder)
    first = write_segments(workspace, SHARD)
    (folder / "warc" / f"{SHARD}.warc.gz").unlink()
    assert write_segments(workspace, SHARD).version == first.version


def test_shard_of_another_corpus_is_no_removed_file(folder: Path) -> None:
    write_segments(open_workspace(folder), SHARD)
    (folder / "other").mkdir()
    shutil.copy(folder / "warc" / "web-00000.warc.gz", folder / "other")
    other = open_workspace(folder, corpus__warc_dir=str(folder / "other"))
    with pytest.raises(LookupError, match=SHARD):
        write_segments(other, SHARD)


def test_recipe_of_every_version_is_kept_under_its_hash(folder: Path) -> None:
    workspace = open_workspace(folder, corpus__min_chars="650")
    manifest = write_segments(workspace, SHARD)
    saved = workspace.home / "recipes" / f"{manifest.recipe_hash}.json"
    assert json.loads(saved.read_text())["corpus"]["min_chars"] == 650


def test_every_asset_has_a_code_version() -> None:
    for key in defs.resolve_asset_graph().get_all_asset_keys():
        assert code_versions.code_version(key.to_user_string())


def test_origins_differ_by_each_part_and_not_by_order() -> None:
    plain = Origin("a", sources=Provenance(prompts={"x": "1", "y": "2"}), settings={"p": 1, "q": 2})
    same = Origin("a", sources=Provenance(prompts={"y": "2", "x": "1"}), settings={"q": 2, "p": 1})
    assert plain.fingerprint == same.fingerprint
    others = [
        replace(plain, name="b"),
        replace(plain, settings={"p": 2, "q": 2}),
        replace(plain, code_version="2"),
        replace(plain, sources=Provenance(prompts={"x": "1", "y": "3"})),
    ]
    assert len({origin.fingerprint for origin in [plain, *others]}) == 5


def test_hash_of_a_file_follows_its_content_even_under_an_old_time_stamp(tmp_path: Path) -> None:
    path = tmp_path / "file"
    hashes = FileHashes(tmp_path / "notes")
    path.write_text("aaaa")
    stat = path.stat()
    assert hashes.hash(path) == hash_file(path)
    path.write_text("bbbb")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert hashes.hash(path) == hash_file(path)


def test_hash_of_an_untouched_file_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("content")
    hashes = FileHashes(tmp_path / "notes")
    first = hashes.hash(path)

    def fail(_: Path) -> str:
        raise AssertionError("the file was read again")

    monkeypatch.setattr("humpback_pipeline.storage.file_hashes.hash_file", fail)
    assert hashes.hash(path) == first


def test_segments_stay_when_every_file_is_removed(folder: Path) -> None:
    workspace = open_workspace(folder)
    first = write_segments(workspace, SHARD)
    write_segments(workspace, "web-00000")
    write_selection(workspace, [SHARD, "web-00000"])
    for path in (folder / "warc").iterdir():
        path.unlink()
    assert write_segments(workspace, SHARD).version == first.version
    assert any("stay in use" in line for line in corpus_line(workspace))


def test_file_that_is_no_warc_is_named_and_holds_up_nothing_else(folder: Path) -> None:
    workspace = open_workspace(folder)
    (folder / "warc" / "broken.warc.gz").write_bytes(b"not a WARC file at all" * 100)
    (line,) = corpus_line(workspace)
    assert "broken.warc.gz" in line
    for name in (SHARD, "web-00000"):
        (folder / "warc" / f"{name}.warc.gz").unlink()
    with pytest.raises(NotAWarcError, match="broken"):
        corpus_line(workspace)


def corpus_line(workspace: Workspace) -> list[str]:
    return [_check_corpus(workspace)]
