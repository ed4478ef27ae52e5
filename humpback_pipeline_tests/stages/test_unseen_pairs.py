"""Known pairs that are seeds as well: left out of what is measured, or said to flatter it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rated_pairs import open_workspace, ratings_of, write_ratings

from humpback_pipeline.recipe_section import PACKAGE_DIR
from humpback_pipeline.stages import Workspace, selection_quality
from humpback_pipeline.stages.checks.selection_quality import check_known_pairs_unseen
from humpback_pipeline.stages.selection_quality import write_selection_quality


@pytest.fixture(autouse=True)
def base_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of the base model's engine."""

    def rate(opened: Workspace, rater: str, *_: Any) -> tuple[pl.DataFrame, None]:
        return ratings_of(opened, rater, skill=0.3), None

    monkeypatch.setattr(selection_quality, "rate_known_pairs", rate)


def rows_of(name: str) -> list[dict[str, Any]]:
    lines = (PACKAGE_DIR / "examples" / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def open_with_seeds(folder: Path, extra: Sequence[dict[str, Any]], **fields: str) -> Workspace:
    """The demo's seeds and these, all trained on, and ratings by M_0 and M_1."""
    path = folder / "seeds.jsonl"
    texts = [(row["instruction"], row["output"]) for row in (*rows_of("seed_pairs.jsonl"), *extra)]
    lines = [json.dumps({"instruction": i, "output": o}) + "\n" for i, o in dict(texts).items()]
    path.write_text("".join(lines))
    workspace = open_workspace(folder, seed__path=str(path), seed__dev_fraction="0", **fields)
    write_ratings(workspace)
    return workspace


def test_pairs_of_the_seeds_are_left_out_of_every_table(tmp_path: Path) -> None:
    labelled, hard = rows_of("labelled_pairs.jsonl"), rows_of("hard_pairs.jsonl")
    mine = [labelled[n] for n in (0, 1, 2)]
    # The answer alone is known: what is made of it with other instructions is known as well.
    ((answer, n_hard),) = Counter(row["output"] for row in hard).most_common(1)
    seeds = [*mine, {"instruction": "Tell me something.", "output": answer}]
    workspace = open_with_seeds(tmp_path, seeds)
    manifest = write_selection_quality(workspace)

    assert n_hard > 1
    counts = {"n": 60, "n_in_seeds": 3, "n_measured": 57, "flattered": False}
    assert manifest.facts["seen"]["labelled"] == counts
    comparison = manifest.facts["comparison"]
    assert {row["n"] for row in comparison["labelled"]} == {57}
    assert {row["n"] for row in comparison["hard"]} == {60 - n_hard}
    kinds = {row["flaw"]: row["n"] for row in comparison["by_flaw"]}
    left = [row for row in labelled[3:] if row["label"] == 0]
    assert sum(kinds.values()) == len(left)
    outcome = check_known_pairs_unseen(manifest)
    assert outcome.passed
    assert "3 of 60 labelled pairs" in outcome.message
    assert "57 are measured" in outcome.message
    # The rows stay for other thresholds; only the figures are without them.
    assert workspace.datasets.read("selection_quality")["seen"].sum() > 0


def test_too_few_unseen_pairs_have_all_measured_and_it_is_said(
    tmp_path: Path,
) -> None:
    mine = rows_of("labelled_pairs.jsonl")[:45]
    workspace = open_with_seeds(tmp_path, mine)
    manifest = write_selection_quality(workspace)

    counts = manifest.facts["seen"]["labelled"]
    assert (counts["n_measured"], counts["flattered"]) == (60, True)
    assert {row["n"] for row in manifest.facts["comparison"]["labelled"]} == {60}
    outcome = check_known_pairs_unseen(manifest)
    assert not outcome.passed
    assert outcome.message.startswith("FLATTERED: 45 of 60 labelled pairs")
    assert "Give evaluation.labelled_pairs" in outcome.message
    assert "None of 60 hard pairs" in outcome.message


def test_preference_that_was_trained_on_is_left_out_with_both_outputs(tmp_path: Path) -> None:
    path = tmp_path / "preferences.jsonl"
    rows = [
        {"instruction": f"Ask {n}.", "output_1": f"a{n}", "output_2": f"b{n}", "preference": 1.0}
        for n in range(30)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    seed = {"instruction": "Something else.", "output": "B7!"}
    workspace = open_with_seeds(tmp_path, [seed], evaluation__preferences=str(path))
    manifest = write_selection_quality(workspace)

    counts = manifest.facts["seen"]["preference"]
    assert (counts["n"], counts["n_in_seeds"], counts["n_measured"]) == (30, 1, 29)
    assert {row["n"] for row in manifest.facts["comparison"]["preferences"]} == {29}
