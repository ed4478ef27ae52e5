"""Curated sets for other tools: every format read back, cards as the Hub reads them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import yaml
from curated_home import CuratedHome
from huggingface_hub import DatasetCard

from humpback_pipeline.assets.exports import exports_asset
from humpback_pipeline.resources import build_workspace
from humpback_pipeline.stages import pair_batches
from humpback_pipeline.stages.exports import exports_path, write_exports
from humpback_pipeline.storage.replacing import replaced_directory

RATINGS = [5.0, 4.8, 4.6, 4.4, 4.2, 4.1, 1.9, 1.8, 1.7, 1.6]
LABELLED = [5.0, 4.5, 4.0, 3.5, 2.0, 2.0, 4.2, 2.0]


def open_home(folder: Path, **fields: str) -> CuratedHome:
    home = CuratedHome(
        folder,
        {
            "curation__selection": "{min_rating: 3.0, near_duplicate_threshold: null}",
            "curation__iterations": "1",
            **fields,
        },
    )
    home.rate(1, RATINGS, LABELLED)
    home.select(1)
    return home


@pytest.fixture
def home(tmp_path: Path) -> CuratedHome:
    return open_home(tmp_path)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    lines = (folder / name / "train.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_every_format_reads_back_as_the_curated_set(
    home: CuratedHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(pair_batches, "ROWS_AT_ONCE", 4)  # several batches
    manifest = write_exports(home.workspace)
    folder = exports_path(home.workspace) / "curated_set_1"
    kept = home.workspace.datasets.read("curated_set_1")
    pairs = list(zip(kept["instruction"], kept["output"], strict=True))
    cache = str(tmp_path / "cache")

    loaded = datasets.load_dataset(str(folder), split="train", cache_dir=cache)
    assert list(zip(loaded["instruction"], loaded["output"], strict=True)) == pairs
    assert loaded["rating"] == kept["rating"].to_list()
    assert loaded["pair_id"] == kept["pair_id"].to_list()
    assert set(loaded["origin"]) == {"web"}
    assert datasets.load_from_disk(str(folder / "datasets")).to_list() == loaded.to_list()

    for config in ("messages", "alpaca"):
        path = str(folder / config / "train.jsonl")
        again = datasets.load_dataset("json", data_files=path, split="train", cache_dir=cache)
        assert again.to_list() == rows_of(folder, config)
    assert rows_of(folder, "alpaca") == [
        {"instruction": instruction, "input": "", "output": output} for instruction, output in pairs
    ]
    assert rows_of(folder, "messages")[0] == {
        "messages": [
            {"role": "user", "content": pairs[0][0]},
            {"role": "assistant", "content": pairs[0][1]},
        ]
    }
    table = home.workspace.datasets.read("exports")
    assert set(table["format"]) == {"parquet", "messages", "alpaca", "datasets", "card"}
    assert set(table["n"]) == {6}
    listed = {row["path"] for row in table.to_dicts()}
    root = exports_path(home.workspace)
    there = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    assert there == {*listed, "exports.json"}
    assert json.loads((root / "exports.json").read_text())["fingerprint"] == manifest.fingerprint


def test_training_set_has_train_seeds_first_and_tags_of_each_origin(tmp_path: Path) -> None:
    home = open_home(tmp_path, exports__training_set="true", exports__system_tags="true")
    seeds = pl.DataFrame(
        {
            "pair_id": ["seed-1", "seed-2"],
            "instruction": ["Name a reef.", "Held out?"],
            "output": ["A reef.", "Yes."],
            "split": ["train", "dev"],
        }
    )
    home.workspace.datasets.write("seed_pairs", seeds, schema=dict(seeds.schema))
    write_exports(home.workspace)
    folder = exports_path(home.workspace) / "training_set"
    chat = home.workspace.recipe.chat
    first, second, *rest = rows_of(folder, "messages")
    assert first["messages"] == [
        {"role": "system", "content": chat.tag_seed},
        {"role": "user", "content": "Name a reef."},
        {"role": "assistant", "content": "A reef."},
    ]
    assert second["messages"][0] == {"role": "system", "content": chat.tag_web}
    assert len(rest) == 5
    parquet = pl.read_parquet(folder / "data" / "train.parquet")
    assert parquet["origin"].to_list() == ["seed"] + ["web"] * 6
    assert parquet["rating"].null_count() == 1
    assert "The seeds are somebody's work too" in (folder / "README.md").read_text()


def test_card_has_the_hub_s_metadata_and_says_where_the_pairs_are_from(tmp_path: Path) -> None:
    home = open_home(tmp_path, exports__license="cc-by-4.0", exports__formats="[alpaca]")
    write_exports(home.workspace)
    card = DatasetCard.load(exports_path(home.workspace) / "curated_set_1" / "README.md")
    data = card.data.to_dict()
    assert (data["license"], data["language"]) == ("cc-by-4.0", ["en"])
    assert data["size_categories"] == ["n<1K"]
    assert data["task_categories"] == ["text-generation"]
    assert "instruction-backtranslation" in data["tags"]
    manifest = home.workspace.datasets.manifest("curated_set_1")
    quality = manifest.facts["quality"]
    for words in (
        "6 pairs of instruction and output",
        "min\\_rating 3",
        f"precision {quality['precision']:.2f}",
        manifest.content_hash,
        manifest.recipe_hash,
        "low\\_rating 4",
        "Limits and bias",
        "augmented\\_set/pages",
    ):
        assert words in card.text, words
    assert not (exports_path(home.workspace) / "curated_set_1" / "messages").exists()


def test_unknown_licence_is_what_a_recipe_without_one_says(home: CuratedHome) -> None:
    write_exports(home.workspace)
    card = DatasetCard.load(exports_path(home.workspace) / "curated_set_1" / "README.md")
    assert card.data.license == "unknown"


def test_nothing_is_written_again_until_something_changes_or_is_lost(home: CuratedHome) -> None:
    first = write_exports(home.workspace)
    root = exports_path(home.workspace)
    written = (root / "exports.json").stat().st_mtime_ns
    assert write_exports(home.workspace).version == first.version
    assert (root / "exports.json").stat().st_mtime_ns == written

    (root / "curated_set_1" / "alpaca" / "train.jsonl").unlink()
    again = write_exports(home.workspace)
    assert again.content_hash == first.content_hash  # the same bytes, `datasets`' own included
    assert (root / "curated_set_1" / "alpaca" / "train.jsonl").is_file()

    write_exports(replace(home.workspace, rebuild=True))
    assert (root / "exports.json").stat().st_mtime_ns > written


def test_what_is_exported_no_more_does_not_stay_behind(tmp_path: Path) -> None:
    home = open_home(tmp_path, exports__training_set="true")
    write_exports(home.workspace)
    root = exports_path(home.workspace)
    assert (root / "training_set").is_dir()
    home.open(curation__iterations="1", exports__formats="[]")
    write_exports(home.workspace)
    assert {path.name for path in root.iterdir()} == {"curated_set_1", "exports.json"}
    files = {p.name for p in (root / "curated_set_1").rglob("*") if p.is_file()}
    assert files == {"train.parquet", "README.md"}
    assert [p.name for p in root.parent.iterdir()] == [root.name]  # no leftovers


def test_empty_curated_set_is_exported_as_such(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    home.open(curation__iterations="1", curation__selection="{min_rating: 5.0}")
    home.rate(1, [1.0] * 10)
    home.select(1)
    write_exports(home.workspace)
    folder = exports_path(home.workspace) / "curated_set_1"
    assert pl.read_parquet(folder / "data" / "train.parquet").height == 0
    assert (folder / "alpaca" / "train.jsonl").read_text() == ""
    assert not (folder / "datasets").exists()  # `datasets` reads none without rows


def test_folder_is_replaced_whole_or_left_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "export"
    with replaced_directory(target) as folder:
        (folder / "old").write_text("old")

    def fail() -> None:
        with replaced_directory(target) as folder:
            (folder / "half").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names_in(target) == ["old"]
    with replaced_directory(target) as folder:
        (folder / "new").write_text("new")
    assert names_in(target) == ["new"]
    assert names_in(tmp_path) == ["export"]


def test_setting_that_is_taken_back_is_taken_back_in_the_files(home: CuratedHome) -> None:
    for licence in ("mit", "gpl", "mit"):  # as long as each other, so sizes do not tell
        home.open(curation__iterations="1", exports__license=licence)
        write_exports(home.workspace)
        card = exports_path(home.workspace) / "curated_set_1" / "README.md"
        assert f"license: {licence}\n" in card.read_text()


def test_old_folder_comes_back_where_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "export"
    with replaced_directory(target) as folder:
        (folder / "old").write_text("old")
    rename = Path.rename

    def refused(path: Path, to: Path) -> Path:
        if to == target and "new-" in path.name:
            raise OSError("no")
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(OSError, match="no"), replaced_directory(target):
        pass
    assert names_in(target) == ["old"]
    assert names_in(tmp_path) == ["export"]


def test_page_shows_files_folder_and_card(
    home: CuratedHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(home.workspace.recipe.model_dump(mode="json")))
    monkeypatch.setenv("HUMPBACK_RECIPE", str(recipe))
    definitions = dg.Definitions(
        assets=[exports_asset(["curated_set_1"])],
        jobs=[dg.define_asset_job("job")],
        resources={"workspace": build_workspace(home.workspace.recipe)},
        executor=dg.in_process_executor,
    )
    result = definitions.resolve_job_def("job").execute_in_process()
    (event,) = result.asset_materializations_for_node("exports")
    page = {name: value.value for name, value in event.metadata.items()}
    assert page["folder"] == str(exports_path(home.workspace))
    assert "curated\\_set\\_1/alpaca/train.jsonl" in page["files"]
    assert page["dataset_card_curated_set_1"].startswith("```yaml\n")
    assert "license: unknown" in page["dataset_card_curated_set_1"]
    assert all(check.passed for check in result.get_asset_check_evaluations())
