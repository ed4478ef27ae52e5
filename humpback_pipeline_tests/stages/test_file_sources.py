"""Provenance of data files: none hides behind another of the same name, folders count whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.seeds import SeedDataError
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.file_sources import file_source
from humpback_pipeline.stages.known_pairs import known_pairs, known_pairs_sources
from humpback_pipeline.stages.seed import write_seed_pairs
from humpback_pipeline.storage import hash_file

PAIR = '{{"instruction": "Ask.", "output": "{}", "label": {}}}\n'


def write_pairs(path: Path, word: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PAIR.format(word, 1) + PAIR.format(f"not {word}", 0))
    return path


def open_workspace(folder: Path, labelled: Path, hard: Path) -> Workspace:
    fields = {
        "home": str(folder / "home"),
        "evaluation.labelled_pairs": str(labelled),
        "evaluation.hard_pairs": str(hard),
    }
    workspace = Workspace(load_recipe("demo", fields))
    write_seed_pairs(workspace)
    return workspace


def test_two_files_of_one_name_are_two_sources(tmp_path: Path) -> None:
    labelled = write_pairs(tmp_path / "labelled" / "pairs.jsonl", "yes")
    hard = write_pairs(tmp_path / "hard" / "pairs.jsonl", "perhaps")
    workspace = open_workspace(tmp_path, labelled, hard)
    before = known_pairs_sources(workspace).datasets
    assert {before[key] for key in before if "pairs.jsonl" in key} == {
        hash_file(labelled),
        hash_file(hard),
    }
    for path in (labelled, hard):
        write_pairs(path, "changed")
        assert known_pairs_sources(workspace).datasets != before
        before = known_pairs_sources(workspace).datasets


def test_folder_is_all_its_data_files_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "labelled"
    write_pairs(folder / "a.jsonl", "yes")
    write_pairs(folder / "b.jsonl", "aye")
    hard = write_pairs(tmp_path / "hard.jsonl", "perhaps")
    workspace = open_workspace(tmp_path, folder, hard)
    assert sum(pair.set == "labelled" for pair in known_pairs(workspace)) == 4

    sources = [file_source(folder, "evaluation.labelled_pairs")]
    assert list(sources[0].datasets) == ["file/evaluation.labelled_pairs/labelled"]
    (folder / "README").write_text("Not data.")
    assert file_source(folder, "evaluation.labelled_pairs") == sources[0]
    write_pairs(folder / "b.jsonl", "changed")
    sources.append(file_source(folder, "evaluation.labelled_pairs"))
    (folder / "b.jsonl").rename(folder / "c.jsonl")
    sources.append(file_source(folder, "evaluation.labelled_pairs"))
    (folder / "c.jsonl").unlink()
    sources.append(file_source(folder, "evaluation.labelled_pairs"))
    assert len({str(source.datasets) for source in sources}) == 4


def test_missing_file_is_an_error_that_names_the_field(tmp_path: Path) -> None:
    with pytest.raises(SeedDataError, match=r"gone\.jsonl.*evaluation\.prompts"):
        file_source(tmp_path / "gone.jsonl", "evaluation.prompts")
