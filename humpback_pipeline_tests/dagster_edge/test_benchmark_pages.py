"""What the pages of benchmarks, safety and bias show, in real runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import yaml
from curated_home import SHARD, CuratedHome

from humpback_pipeline.assets.benchmarks import build_benchmarks
from humpback_pipeline.assets.data_bias import data_bias_asset
from humpback_pipeline.assets.safety import EXCERPT_CHARS, safety_asset
from humpback_pipeline.automation.partitions import WARC_SHARDS
from humpback_pipeline.generation import ChoiceProbabilities, GenerationRequest
from humpback_pipeline.generation.engine import ClosesOnExit
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.resources import build_workspace
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.judge import Judge
from humpback_pipeline.stages.safety import SAFETY_RESPONSES, SAFETY_RESPONSES_SCHEMA

REFUSAL, HARM = "I'm sorry, but I can't help with that.", "Take the ladder. " * 40


class ReadingJudge(ClosesOnExit):
    """Finds a refusal in every answer that is sorry, harm in all others."""

    name = "judge"
    model_hash = "0"
    n_truncated = 0
    identity: dict[str, str | int] = {"engine": "judge"}  # noqa: RUF012

    def choose(
        self, requests: Sequence[GenerationRequest], choices: tuple[str, ...]
    ) -> list[ChoiceProbabilities]:
        return [self._one(request) for request in requests]

    def _one(self, request: GenerationRequest) -> ChoiceProbabilities:
        text = request.messages[-1]["content"]
        wanted = "The answer refuses" if "sorry" in text else "The answer is harmful"
        lines = [line for line in text.splitlines() if line[:3] in ("1. ", "2. ", "3. ")]
        shares = tuple(0.8 if line[3:].startswith(wanted) else 0.1 for line in lines)
        return ChoiceProbabilities(request.request_id, shares, 0.9)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CuratedHome:
    selection = "{min_rating: 3.0, near_duplicate_threshold: null}"
    home = CuratedHome(tmp_path, {"curation__selection": selection, "curation__iterations": 1})
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(home.workspace.recipe.model_dump(mode="json")))
    monkeypatch.setenv("HUMPBACK_RECIPE", str(recipe))
    return home


def page(home: CuratedHome, asset: dg.AssetsDefinition) -> tuple[dict[str, Any], dict[str, bool]]:
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions(WARC_SHARDS, [SHARD])
    workspace = build_workspace(home.workspace.recipe)
    result = dg.materialize([asset], instance=instance, resources={"workspace": workspace})
    (event,) = result.get_asset_materialization_events()
    shown = {key: value.value for key, value in event.materialization.metadata.items()}
    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    return shown, checks


def test_bias_page_compares_the_data_sets_and_says_what_it_cannot_see(home: CuratedHome) -> None:
    home.write_pairs(["You idiot, ask a woman.", *(f"Ask about {n}." for n in "abcdefghi")])
    home.rate(1, [5.0] * 5 + [1.0] * 5)
    home.select(1)
    shown, checks = page(home, data_bias_asset(["augmented_set", "curated_set_1"]))
    assert all(checks.values())
    assert shown["pairs_measured"] == {"seed_pairs": 1, "augmented_set": 10, "curated_set_1": 5}
    lines = shown["comparison"].splitlines()
    assert "seed\\_pairs | augmented\\_set | curated\\_set\\_1" in lines[0]
    toxic = next(line for line in lines if line.startswith("| toxic |"))
    assert "10.0% \\[1.8, 40.4\\] of 10" in toxic
    assert "20.0% \\[3.6, 62.4\\] of 5" in toxic
    assert any("gender: women" in line for line in lines)
    assert shown["plot"].startswith("![")
    assert shown["plot_mentions"].startswith("![")
    assert "quotation" in shown["what_it_cannot_see"]


def test_safety_page_has_rates_tests_and_samples_cut_short(
    home: CuratedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_answers(home, {"m0": HARM, "m1": REFUSAL})

    @contextmanager
    def judge_generator(self: Workspace) -> Iterator[ReadingJudge]:
        yield ReadingJudge()

    monkeypatch.setattr(Workspace, "judge_generator", judge_generator)
    monkeypatch.setattr(Workspace, "judge", Judge("a judge", "0" * 64))
    shown, checks = page(home, safety_asset())
    assert all(checks.values())
    rows = [line for line in shown["rates"].splitlines() if "| S\\_a |" in line]
    assert "| m0 | S\\_a | harmful | 8 | 0.00 \\[0.00, 0.32\\] | 1.00 \\[0.68, 1.00\\]" in rows[0]
    assert "| m1 | S\\_a | harmful | 8 | 1.00 \\[0.68, 1.00\\] | 0.00 \\[0.00, 0.32\\]" in rows[2]
    assert "0.008" in shown["changes"]  # 2 / 2**8
    assert "agree on 100% of 36 answers" in shown["judge_and_rule"]
    assert shown["judge"] == "a judge"
    assert shown["plot"].startswith("![")
    assert max(len(cell) for cell in shown["samples"].split("|")) <= EXCERPT_CHARS + 12


def test_safety_page_is_shown_where_the_judge_judges_nothing(
    home: CuratedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_answers(home, {"m0": HARM, "m1": REFUSAL})

    class SilentJudge(ReadingJudge):
        def _one(self, request: GenerationRequest) -> ChoiceProbabilities:
            return ChoiceProbabilities(request.request_id, (1 / 3, 1 / 3, 1 / 3), 0.0)

    @contextmanager
    def judge_generator(self: Workspace) -> Iterator[ReadingJudge]:
        yield SilentJudge()

    monkeypatch.setattr(Workspace, "judge_generator", judge_generator)
    monkeypatch.setattr(Workspace, "judge", Judge("a judge", "0" * 64))
    shown, checks = page(home, safety_asset())
    assert not checks["safety_judge_follows"]
    assert shown["unjudged"] == 36
    assert shown["judge_and_rule"] == "The judge has judged none of the answers."


def write_answers(home: CuratedHome, by_model: dict[str, str]) -> None:
    rows = [
        (model, tag, f"p{n}", "theft", n < 8, f"Ask {n}.", output, 9, "stop")
        for model, output in by_model.items()
        for tag in ("seed", "both")
        for n in range(9)
    ]
    frame = pl.DataFrame(rows, schema=SAFETY_RESPONSES_SCHEMA, orient="row")
    home.workspace.datasets.write(SAFETY_RESPONSES, frame, schema=SAFETY_RESPONSES_SCHEMA)


def test_group_has_only_what_the_recipe_asks_for() -> None:
    def names(**fields: str) -> list[str]:
        changes = {"evaluation.benchmarks": "null", "evaluation.safety": "null", **fields}
        assets = build_benchmarks(load_recipe("demo", changes))
        return [asset.key.to_user_string() for asset in assets]

    assert names() == []
    assert names(**{"evaluation.benchmarks": "{tasks: [piqa]}"}) == ["benchmark_results"]
    assert names(**{"evaluation.safety": "{}"}) == ["safety_responses", "safety"]
