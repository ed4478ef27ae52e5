"""The pairs of known quality: which sets, which ids, which are taken."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.known_pairs import known_pairs, known_pairs_sources
from humpback_pipeline.stages.seed import write_seed_pairs
from humpback_pipeline.storage import NotMaterializedError, hash_file

CHOICES = [(1.0, "good one", "poor one"), (1.9, "poor two", "good two"), (1.5, "so", "so so")]


def write_lines(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def choices(n: int) -> list[dict[str, Any]]:
    return [
        {"instruction": f"Ask {i}.", "output_1": one, "output_2": two, "preference": preference}
        for i in range(n)
        for preference, one, two in CHOICES
    ]


def open_workspace(folder: Path, **overrides: str) -> Workspace:
    fields = {name.replace("__", "."): value for name, value in overrides.items()}
    workspace = Workspace(load_recipe("demo", {"home": str(folder / "home"), **fields}))
    write_seed_pairs(workspace)
    return workspace


def test_known_pairs_without_seeds_are_not_there(tmp_path: Path) -> None:
    workspace = Workspace(load_recipe("demo", {"home": str(tmp_path)}))
    with pytest.raises(NotMaterializedError):
        known_pairs(workspace)


def test_sets_of_the_demo_recipe(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path)
    pairs = known_pairs(workspace)
    n_seeds = workspace.recipe.curation.max_reference_pairs
    assert workspace.datasets.read("seed_pairs").height > n_seeds
    assert Counter(p.set for p in pairs) == {"seed": n_seeds, "labelled": 60, "hard": 60}
    assert len({p.pair_id for p in pairs}) == len(pairs)
    assert all(p.pair_id.startswith(f"{p.set}/") for p in pairs)
    assert {p.label for p in pairs if p.set == "seed"} == {None}
    assert {p.label for p in pairs if p.set == "hard"} == {0, 1}
    assert "too_broad" in {p.kind for p in pairs if p.set == "hard"}
    assert pairs == known_pairs(workspace)


def test_few_held_out_seeds_are_not_enough_but_fifty_are(tmp_path: Path) -> None:
    records = [
        {"instruction": f"Explain the {i}th step of baking.", "output": f"It rests {i} minutes."}
        for i in range(240)
    ]
    path = write_lines(tmp_path / "seeds.jsonl", records)
    most = {"seed__path": str(path), "curation__max_reference_pairs": "500"}
    few = open_workspace(tmp_path, **most, seed__dev_fraction="0.1")
    assert sum(p.set == "seed" for p in known_pairs(few)) == 240
    many = open_workspace(tmp_path, **most, seed__dev_fraction="0.4")
    held_out = many.datasets.read("seed_pairs")
    held_out = held_out.filter(held_out["split"] == "dev")
    assert held_out.height >= 50
    seeds = {p.pair_id for p in known_pairs(many) if p.set == "seed"}
    assert seeds == {f"seed/{pair_id}" for pair_id in held_out["pair_id"]}


def test_max_reference_pairs_takes_the_first_by_hash(tmp_path: Path) -> None:
    everything = known_pairs(open_workspace(tmp_path))
    some = known_pairs(open_workspace(tmp_path, curation__max_reference_pairs="30"))
    seeds = [p for p in everything if p.set == "seed"]
    assert [p for p in some if p.set == "seed"] == seeds[:30]


def test_preferences_give_two_rows_a_prompt_and_draws_none(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "preferences.jsonl", choices(3))
    workspace = open_workspace(tmp_path, evaluation__preferences=str(path))
    rows = [p for p in known_pairs(workspace) if p.set == "preference"]
    assert len(rows) == 12
    assert {(p.output, p.kind) for p in rows} == {
        ("good one", "preferred"),
        ("poor one", "other"),
        ("poor two", "other"),
        ("good two", "preferred"),
    }
    by_prompt = Counter(p.pair_id.rpartition("/")[0] for p in rows)
    assert set(by_prompt.values()) == {2}
    assert {p.pair_id.rpartition("/")[2] for p in rows} == {"1", "2"}


def test_empty_outputs_are_no_preference_that_could_be_rated(tmp_path: Path) -> None:
    records = [*choices(1), {**choices(1)[0], "instruction": "Say nothing.", "output_2": ""}]
    path = write_lines(tmp_path / "preferences.jsonl", records)
    workspace = open_workspace(tmp_path, evaluation__preferences=str(path))
    rows = [p for p in known_pairs(workspace) if p.set == "preference"]
    assert "Say nothing." not in {p.instruction for p in rows}
    assert len(rows) == 4


def test_max_preferences_counts_prompts(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "preferences.jsonl", choices(6))
    few = open_workspace(
        tmp_path, evaluation__preferences=str(path), evaluation__max_preferences="5"
    )
    rows = [p for p in known_pairs(few) if p.set == "preference"]
    assert len({p.pair_id.rpartition("/")[0] for p in rows}) == 5
    assert len(rows) == 10


def test_booleans_are_labels_and_pairs_without_ids_get_them(tmp_path: Path) -> None:
    records = [
        {"instruction": "Ask.", "output": "Yes.", "high_quality": True, "kind": "human pair"},
        {"instruction": "Ask.", "output": "Click!", "high_quality": False, "kind": "boilerplate"},
    ]
    path = write_lines(tmp_path / "labelled.jsonl", records)
    workspace = open_workspace(tmp_path, evaluation__labelled_pairs=str(path))
    good, bad = (p for p in known_pairs(workspace) if p.set == "labelled")
    assert (good.label, good.kind, bad.label, bad.kind) == (1, "human pair", 0, "boilerplate")
    assert good.pair_id.startswith("labelled/labelled-")


def test_sources_name_every_file_that_is_read_and_the_seeds(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "preferences.jsonl", choices(2))
    workspace = open_workspace(tmp_path, evaluation__preferences=str(path))
    sources = known_pairs_sources(workspace)
    seeds = workspace.datasets.manifest("seed_pairs")
    assert sources.datasets == {
        "seed_pairs": seeds.content_hash,
        "file/evaluation.labelled_pairs/labelled_pairs.jsonl": hash_file(
            workspace.recipe.evaluation.labelled_pairs
        ),
        "file/evaluation.hard_pairs/hard_pairs.jsonl": hash_file(
            Path(str(workspace.recipe.evaluation.hard_pairs))
        ),
        "file/evaluation.preferences/preferences.jsonl": hash_file(path),
    }
    assert sources.seed_files == seeds.provenance.seed_files


def test_pair_with_a_text_that_was_trained_on_is_seen(tmp_path: Path) -> None:
    seeds = [{"instruction": f"Ask {n} of them.", "output": f"Answer {n}."} for n in range(30)]
    seeds.append({"instruction": "Wave.", "output": "\U0001f44b"})  # no word at all
    labelled = [
        {"instruction": "  ask 3 of THEM", "output": "Cut.", "label": 0},
        {"instruction": "Ask another.", "output": "answer 4", "label": 1},
        {"instruction": "Answer 5.", "output": "Ask 5 of them.", "label": 0},
        {"instruction": "Ask 3 of them and more.", "output": "\U0001f44d", "label": 1},
    ]
    workspace = open_workspace(
        tmp_path,
        seed__path=str(write_lines(tmp_path / "seeds.jsonl", seeds)),
        seed__dev_fraction="0",
        evaluation__labelled_pairs=str(write_lines(tmp_path / "labelled.jsonl", labelled)),
        evaluation__hard_pairs="null",
    )
    rows = [p for p in known_pairs(workspace) if p.set == "labelled"]
    assert [p.seen for p in rows] == [True, True, False, False]
    assert all(p.seen for p in known_pairs(workspace) if p.set == "seed" and p.output[0] == "A")


def test_held_out_seeds_are_not_seen(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path, seed__dev_fraction="0.3")
    held_out = workspace.datasets.read("seed_pairs")
    held_out = held_out.filter(held_out["split"] == "dev")
    pairs = [
        {"instruction": i, "output": o, "label": n % 2}
        for n, (i, o) in enumerate(held_out.select("instruction", "output").iter_rows())
    ]
    path = write_lines(tmp_path / "labelled.jsonl", pairs)
    other = open_workspace(tmp_path, seed__dev_fraction="0.3", evaluation__labelled_pairs=str(path))
    known = known_pairs(other)
    assert len(pairs) > 10
    assert not any(p.seen for p in known if p.set == "labelled")
    assert sum(p.seen for p in known if p.set == "seed") > 10
