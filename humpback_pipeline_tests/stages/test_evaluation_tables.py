"""The stages behind the evaluation's tables: models against each other, improvement, the data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import judged_home as judged_home_module
import polars as pl
import pytest
from endpoint_server import Server
from judged_home import JudgeServer, _worth, answers_of, judged_home, write_answers
from tiny_models import save_tiny_model

from humpback_pipeline.evaluation.length_histograms import HISTOGRAM_SCHEMA
from humpback_pipeline.generation import EndpointError
from humpback_pipeline.lineage.measures import evaluations_of
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.data_analysis import write_data_statistics
from humpback_pipeline.stages.head_to_head import HEAD_TO_HEAD_SCHEMA, write_head_to_head
from humpback_pipeline.stages.improvement import IMPROVEMENT_SCHEMA, write_improvement
from humpback_pipeline.stages.instruction_diversity import (
    DIVERSITY_SCHEMA,
    write_instruction_diversity,
)
from humpback_pipeline.stages.length_histograms import write_length_histograms
from humpback_pipeline.stages.win_rates import write_win_rates

BASE = {"base": "base_responses"}
PNG = "data:image/png;base64,"


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    # Half as sure as it is of references, so that good beside bad stays below certainty.
    monkeypatch.setattr(judged_home_module, "_worth", lambda text: _worth(text) / 2)
    started = JudgeServer(lean=0.1)
    yield started
    started.server.stop()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tables") / "model")


def test_models_meet_on_every_prompt_and_the_matrix_says_who_wins(
    judge: JudgeServer, tmp_path: Path
) -> None:
    workspace = judged_home(tmp_path, judge.server)
    manifest = write_head_to_head(workspace, further=BASE)

    frame = workspace.datasets.read("head_to_head")
    assert dict(frame.schema) == HEAD_TO_HEAD_SCHEMA
    assert frame.height == 3 * 9
    facts = manifest.facts
    rates = {(r["model"], r["opponent"]): r["rate"] for r in facts["matrix"]["rows"]}
    # M_1 is good where M_0 is bad on three of nine prompts, and there 0.8 likely to be better.
    assert rates["m1", "m0"] == pytest.approx(100 * (3 * 0.8 + 6 * 0.5) / 9)
    assert rates["m0", "m1"] == pytest.approx(100 - rates["m1", "m0"])
    assert rates["base", "m1"] < rates["base", "m0"] < 50
    assert facts["models"] == ["m0", "m1", "base"]
    assert [row["model"] for row in facts["overall"]] == ["m1", "m0", "base"]
    assert facts["plot"].startswith(PNG)
    assert "9 prompts" in facts["small_sample"]
    assert facts["costs"][-1]["n_new"] == 54
    assert facts["judge"] in manifest.provenance.base_models
    assert write_head_to_head(workspace, further=BASE).version == manifest.version


def test_only_pairs_with_new_answers_are_judged_again_and_a_cut_off_run_goes_on(
    judge: JudgeServer, tmp_path: Path
) -> None:
    workspace = judged_home(tmp_path, judge.server, generation__chunk_size=4)
    plain = judge.reply

    def dying(path: str, body: dict[str, Any]) -> Any:
        return (503, "gone") if len(judge.server.bodies) > 25 else plain(path, body)

    judge.server.reply = dying
    with pytest.raises(EndpointError, match="503"):
        write_head_to_head(workspace, further=BASE)
    judge.server.reply = plain
    costs = write_head_to_head(workspace, further=BASE).facts["costs"][-1]
    assert costs["n_cached"] >= 20
    assert costs["n_new"] + costs["n_cached"] == 54
    write_answers(workspace, "m1", ["good again", *answers_of("m1", 9)[1:]])
    again = {
        row["model"]: row for row in write_head_to_head(workspace, further=BASE).facts["costs"]
    }
    assert again["base against m0"]["n_new"] == 0
    assert (again["all"]["n_new"], again["all"]["n_cached"]) == (4, 50)


def test_equal_answers_that_nobody_judged_say_nothing_of_the_judge(
    judge: JudgeServer, tmp_path: Path
) -> None:
    workspace = judged_home(tmp_path, judge.server)
    same = answers_of("m0", 9)[:6]
    write_answers(workspace, "m1", [*same, *answers_of("m1", 9)[6:]])
    facts = write_head_to_head(workspace).facts

    assert facts["costs"][-1]["n_verdicts"] == 6
    assert facts["position_bias_details"]["n"] == 3
    assert facts["position_bias"] == pytest.approx(0.2)  # and not a third of it
    (there, _) = facts["matrix"]["rows"]
    assert (there["n"], there["n_draws"] >= 6) == (9, True)


def test_improvement_counts_what_m0_lost_and_the_last_model_wins(
    judge: JudgeServer, tmp_path: Path
) -> None:
    workspace = judged_home(tmp_path, judge.server)
    write_win_rates(workspace)
    facts = write_improvement(workspace).facts

    frame = workspace.datasets.read("improvement_over_seed")
    assert dict(frame.schema) == IMPROVEMENT_SCHEMA
    everything = facts["by_category"][-1]
    # Of every three prompts M_0 wins the first and M_1 the first two.
    assert (everything["n"], everything["n_lost"], everything["n_won"]) == (9, 6, 3)
    assert (everything["turned_into_win"], everything["turned_into_loss"]) == (3, 0)
    assert everything["turned_share_low"] < 0.5 < everything["turned_share_high"]
    assert facts["sign_test_p"] == pytest.approx(0.25)
    assert facts["categories_by"] == {"file": 0, "words": 9}
    assert facts["by_prompt_set"] == []
    assert facts["plot"].startswith(PNG)
    assert (facts["before"], facts["after"]) == ("m0", "m1")


def test_categories_of_the_prompt_file_are_believed_and_sets_told_apart(
    judge: JudgeServer, tmp_path: Path
) -> None:
    workspace = judged_home(tmp_path, judge.server, n_prompts=6)
    write_win_rates(workspace)
    path = workspace.recipe.evaluation.prompts
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for i, row in enumerate(rows):
        row["dataset"] = "odd" if i % 2 else "even"
        if i < 4:
            row["category"] = "Information-seeking" if i < 2 else "information seeking"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    facts = write_improvement(workspace).facts
    assert facts["by_category"][0]["group"] == "information_seeking"
    assert facts["by_category"][0]["n"] >= 4
    assert facts["categories_by"] == {"file": 4, "words": 2}
    assert [row["group"] for row in facts["by_prompt_set"]] == ["even", "odd", "all"]


def data_home(folder: Path, model: Path) -> Workspace:
    """Seeds, two shards of augmented pairs, a curated set and answers, with a real tokenizer."""
    server = Server()
    server.stop()  # nothing here asks a judge
    workspace = judged_home(folder, server, base_model=model)
    write(workspace, "seed_pairs", {"pair_id": ["s1", "s2"]}, ["Write a poem.", "Name a sea."])
    for shard, topics in {"a": ("tea", "rain", "tea"), "b": ("snow", "ice")}.items():
        ids = [f"{shard}{i}" for i in range(len(topics))]
        texts = [f"Describe the {topic} in a few words." for topic in topics]
        write(workspace, "augmented_set", {"segment_id": ids}, texts, shard)
    ids = {"pair_id": ["w1", "w2"], "segment_id": ["a0", "b0"]}
    write(workspace, "curated_set_1", ids, ["Describe the tea in a few words.", "Why?"])
    return workspace


def write(
    workspace: Workspace,
    name: str,
    ids: Mapping[str, list[str]],
    instructions: list[str],
    partition: str | None = None,
) -> None:
    outputs = ["The sea is wide and blue. " * (i + 1) for i in range(len(instructions))]
    frame = pl.DataFrame({**ids, "instruction": instructions, "output": outputs})
    workspace.datasets.write(name, frame, schema=dict(frame.schema), partition=partition)


def test_length_histograms_count_every_text_of_data_and_answers(
    tmp_path: Path, model: Path
) -> None:
    workspace = data_home(tmp_path, model)
    manifest = write_length_histograms(workspace, ["a", "b"])

    table = workspace.datasets.read("length_histograms")
    assert dict(table.schema) == HISTOGRAM_SCHEMA
    counted = {
        tuple(key): group["n"].sum() for key, group in table.group_by("dataset", "field", "unit")
    }
    assert counted["seed_pairs", "instruction", "chars"] == 2
    assert counted["augmented_set", "output", "chars"] == 5
    assert counted["augmented_set", "output", "tokens"] == 5
    assert counted["m1", "output", "chars"] == 9
    assert counted["references", "output", "chars"] == 9
    rows = {(r["dataset"], r["field"], r["unit"]): r for r in manifest.facts["summary"]["rows"]}
    assert rows["seed_pairs", "instruction", "chars"]["mean"] == 12
    assert rows["augmented_set", "output", "chars"]["mean"] == 26 * (6 + 3) / 5
    assert 0 < rows["seed_pairs", "output", "tokens"]["mean"] < 40
    assert all(uri.startswith(PNG) for uri in manifest.facts["plots"].values())
    assert manifest.facts["token_note"] is None
    assert write_length_histograms(workspace, ["a", "b"]).version == manifest.version


def test_diversity_has_intervals_matched_figures_and_spread_in_any_order_of_shards(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = data_home(tmp_path, model)
    manifest = write_instruction_diversity(workspace, ["a", "b"])

    table = workspace.datasets.read("instruction_diversity")
    assert dict(table.schema) == DIVERSITY_SCHEMA
    rows = {row["dataset"]: row for row in table.iter_rows(named=True)}
    assert list(rows) == ["seed_pairs", "augmented_set", "curated_set_1"]
    augmented = rows["augmented_set"]
    assert (augmented["n"], augmented["n_total"], augmented["n_parsed"]) == (5, 5, 5)
    assert augmented["share_parsed_low"] < 1.0 == augmented["share_parsed"]
    assert augmented["n_matched"] == 2
    assert 0 <= augmented["embedding_distance"] < rows["curated_set_1"]["embedding_distance"]
    assert 1 <= augmented["vendi_score_matched"] <= 2
    assert rows["seed_pairs"]["seed_overlap"] is None
    assert manifest.facts["embedding_note"] is None
    assert manifest.facts["embedding_model"] == str(model)

    again = replace(workspace, rebuild=True)
    assert write_instruction_diversity(again, ["b", "a"]).content_hash == manifest.content_hash
    # A cap keeps the instructions whose ids have the lowest hashes.
    monkeypatch.setattr("humpback_pipeline.stages.instruction_diversity.MAX_PARSED", 3)
    write_instruction_diversity(again, ["a", "b"])
    capped = workspace.datasets.read("instruction_diversity").row(1, named=True)
    assert (capped["n"], capped["n_total"]) == (3, 5)


def test_diversity_goes_without_spread_where_the_model_has_no_table(
    tmp_path: Path, model: Path
) -> None:
    workspace = data_home(tmp_path, model)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "tokenizer.json").write_bytes((model / "tokenizer.json").read_bytes())
    workspace.__dict__["base_model"] = replace(workspace.base_model, path=bare)
    manifest = write_instruction_diversity(workspace, ["a", "b"])
    assert "no table" in manifest.facts["embedding_note"]
    table = workspace.datasets.read("instruction_diversity")
    assert table["embedding_distance"].null_count() == 3
    assert table["distinct_2"].null_count() == 0


def test_data_statistics_keep_the_papers_rows_and_a_plot(tmp_path: Path, model: Path) -> None:
    workspace = data_home(tmp_path, model)
    manifest = write_data_statistics(workspace, ["a", "b"])
    table = workspace.datasets.read("data_statistics")
    assert table["dataset"].to_list() == ["seed_pairs", "curated_set_1", "augmented_set"]
    assert table["n_examples"].to_list() == [2, 2, 5]
    assert set(manifest.facts["paper"][0]) == set(table.columns)
    assert manifest.facts["paper"][1]["n_examples"] == 41_821
    assert manifest.facts["plot"].startswith(PNG)


def test_models_page_finds_its_overall_rate_and_not_one_of_many_pairs(
    judge: JudgeServer, tmp_path: Path
) -> None:
    from humpback_pipeline.lineage.catalogue import Catalogue

    workspace = judged_home(tmp_path, judge.server)
    with workspace.models.new("m1") as made:
        (made.folder / "config.json").write_text("{}")
    assert made.manifest is not None
    answers = workspace.datasets.read("m1_responses")
    workspace.datasets.write(
        "m1_responses", answers, schema=dict(answers.schema), inputs=[made.manifest]
    )
    facts = write_head_to_head(workspace).facts
    catalogue = Catalogue(workspace.home)
    found = evaluations_of(catalogue, catalogue.resolve("m1"))
    assert found["head_to_head.rate"] == facts["overall"][0]["rate"]
    assert not [name for name in found if "matrix" in name]
