"""Pairs and judgements in a home: what is written, what is reused, what the judge says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from human_judging import responses

from humpback_pipeline.judging import JudgingQueue, read_pairs
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.recipe_file import RecipeError
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.human_evaluation import (
    human_comparisons,
    human_folder,
    judgements_folder,
    pairs_file,
    write_human_evaluation,
    write_human_pairs,
)
from humpback_pipeline.storage import Manifest

PREFERENCES = {"m0": 1.3, "m2": 1.9}


class HumanHome:
    """Twelve prompts answered by M_0 … M_2, win rates and a head-to-head table of theirs."""

    def __init__(self, folder: Path, **fields: Any) -> None:
        self.folder = folder
        self.workspace = self.open(**fields)
        self.answer()
        prompts = [f"p{i}" for i in range(12)]
        rates = [
            pl.DataFrame({"model": model, "prompt_id": prompts, "preference": value})
            for model, value in PREFERENCES.items()
        ]
        self.write("win_rates", pl.concat(rates))
        # Seen from the other side than the recipe's comparison.
        head = {"model": "m0", "opponent": "m2", "prompt_id": prompts, "preference": [1.2] * 12}
        self.write("head_to_head", pl.DataFrame(head))

    def open(self, **fields: Any) -> Workspace:
        given = {"home": self.folder / "home", "evaluation.human.n_pairs": 3}
        given |= {name.replace("__", "."): value for name, value in fields.items()}
        self.workspace = Workspace(load_recipe("demo", {n: str(v) for n, v in given.items()}))
        return self.workspace

    def answer(self, suffix: str = "") -> None:
        for model, frame in responses(models=("m0", "m1", "m2")).items():
            changed = frame.with_columns(output=pl.col("output") + suffix)
            self.write(f"{model}_responses", changed)

    def write(self, name: str, frame: pl.DataFrame) -> None:
        self.workspace.datasets.write(name, frame, schema=dict(frame.schema))

    def pairs(self) -> pl.DataFrame:
        write_human_pairs(self.workspace)
        return self.workspace.datasets.read("human_evaluation_pairs")

    def judge(self, annotator: str, winner: str = "m2", n: int = 99) -> Manifest:
        """Have an annotator prefer one model wherever it takes part, and import that."""
        queue = JudgingQueue(
            read_pairs(pairs_file(self.workspace)), judgements_folder(self.workspace), annotator
        )
        for row in self.pairs().head(n).iter_rows(named=True):
            sides = {row["first_model"]: "first", row["second_model"]: "second"}
            queue.answer(row["pair_id"], sides.get(winner, "no_difference"))
        return write_human_evaluation(self.workspace)


@pytest.fixture
def home(tmp_path: Path) -> HumanHome:
    return HumanHome(tmp_path)


def test_default_comparisons_are_of_the_final_model(home: HumanHome) -> None:
    assert human_comparisons(home.workspace) == [("m2", "m0"), ("m2", "reference")]
    assert home.pairs()["comparison"].value_counts(sort=True)["count"].to_list() == [3, 3]


def test_comparisons_of_the_recipe_may_be_of_any_models(home: HumanHome) -> None:
    home.open(evaluation__human__comparisons="[[m1, m0], [reference, m1], [final, base]]")
    assert human_comparisons(home.workspace) == [("m1", "m0"), ("reference", "m1"), ("m2", "base")]


@pytest.mark.parametrize(
    ("comparisons", "problem"),
    [
        ("[[m7, m0]]", r"comparisons\[0\]: there is no model m7; .* base and m0 to m2"),
        ("[[m2, m0], [final, m2]]", r"comparisons\[1\]: compares m2 with itself"),
    ],
)
def test_comparison_that_the_models_do_not_allow_names_its_field(
    home: HumanHome, comparisons: str, problem: str
) -> None:
    home.open(evaluation__human__comparisons=comparisons)
    with pytest.raises(ValueError, match=problem):
        write_human_pairs(home.workspace)


@pytest.mark.parametrize("comparisons", ["[]", "[[gpt4, m0]]", "[[m0, m0]]", "[[m0]]"])
def test_recipe_refuses_what_is_no_comparison(comparisons: str) -> None:
    with pytest.raises(RecipeError, match=r"evaluation\.human\.comparisons"):
        load_recipe("demo", {"evaluation.human.comparisons": comparisons})


def test_pairs_are_reused_and_missing_files_are_written_again(home: HumanHome) -> None:
    first = write_human_pairs(home.workspace)
    pairs_file(home.workspace).unlink()
    assert write_human_pairs(home.workspace) == first
    assert len(read_pairs(pairs_file(home.workspace))) == 6


def test_without_judgements_the_table_is_empty_and_nothing_fails(home: HumanHome) -> None:
    home.pairs()
    manifest = write_human_evaluation(home.workspace)
    assert manifest.rows == 0
    assert manifest.facts["shares"] == manifest.facts["judge"] == []
    assert manifest.facts["n_pairs"] == 6


def test_judgements_are_imported_when_they_come_and_reused_while_they_stay(
    home: HumanHome,
) -> None:
    home.pairs()
    empty = write_human_evaluation(home.workspace)
    ada = home.judge("ada", n=4)
    assert (empty.rows, ada.rows) == (0, 4)
    assert write_human_evaluation(home.workspace).version == ada.version
    both = home.judge("bob", winner="m0")
    assert both.rows == 10
    facts = both.facts
    assert (facts["n_judged"], facts["n_complete"], facts["n_files"]) == (6, 4, 2)
    assert (facts["annotators"]["n_annotators"], facts["annotators"]["n_pairs"]) == (2, 4)
    assert len(facts["by_annotators"]) == 1
    assert both.provenance.datasets["file/evaluation.human.judgements"]
    assert json.dumps(facts, allow_nan=False)


def test_judge_is_compared_from_the_comparisons_side(home: HumanHome) -> None:
    home.pairs()
    rows = {row["comparison"]: row for row in home.judge("ada").facts["judge"]}
    # Of M_0 against M_2 the judge said 1.2, so 1.8 for M_2; over the references 1.9.
    assert rows["m2 vs m0"]["agreement"] == rows["m2 vs reference"]["agreement"] == 1.0
    assert rows["m2 vs m0"]["same_side"] == 1.0
    home.open(evaluation__human__judge_draw_band=0.35)
    rows = {row["comparison"]: row for row in write_human_evaluation(home.workspace).facts["judge"]}
    assert (rows["m2 vs m0"]["agreement"], rows["m2 vs reference"]["agreement"]) == (0.0, 1.0)


def test_judgements_of_answers_that_have_changed_are_not_counted(home: HumanHome) -> None:
    home.pairs()
    home.judge("ada")
    home.answer(suffix=" again")
    home.pairs()
    manifest = write_human_evaluation(home.workspace)
    assert (manifest.rows, manifest.facts["n_bad"]) == (0, {"unknown_pair": 6})
    assert manifest.facts["bad"][0]["file"] == "ada.jsonl"


def test_judgements_folder_may_be_elsewhere(home: HumanHome, tmp_path: Path) -> None:
    home.open(evaluation__human__judgements=tmp_path / "shared")
    home.pairs()
    assert home.judge("ada").rows == 6
    assert (tmp_path / "shared" / "ada.jsonl").is_file()
    assert not (human_folder(home.workspace) / "judgements").exists()
