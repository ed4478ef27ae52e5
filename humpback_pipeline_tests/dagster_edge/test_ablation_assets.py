"""Ablations in a real run: tiny models trained, answering and judging, a partition a variant."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
import polars as pl
import pytest
import yaml
from rating_home import RatingHome, save_models

from humpback_pipeline.assets.ablations import build_ablations
from humpback_pipeline.automation.partitions import WARC_SHARDS
from humpback_pipeline.automation.tags import range_tags
from humpback_pipeline.resources import build_workspace
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.rater_calibration import write_rater_calibration
from humpback_pipeline.stages.rating import write_curation_scores
from humpback_pipeline.stages.win_rates import WIN_RATES_SCHEMA

pytestmark = pytest.mark.slow
SHARD = "pages"
VARIANTS = {
    "web": {"study": "quality_quantity", "data": "augmented", "curated": False, "size": [2, 4]},
    "untagged": {"study": "system_prompts", "data": "seed", "seeds": 6, "tags_in_training": False,
                 "tags_at_inference": "none"},
    "asked": {"study": "scorers", "scorer": "combined", "pick": "best", "size": 3, "pool": 6},
    "shown": {"study": "baselines", "method": "few_shot", "shots": 2},
    "made-up": {"study": "baselines", "source": "self_instruct", "size": 2},
}  # fmt: skip
NAMES = ["web-2", "web-4", "untagged", "asked", "shown", "made-up"]


@dataclass
class Ran:
    """One run of the job over some variants, and the home it wrote into."""

    workspace: Workspace
    result: dg.ExecuteInProcessResult
    instance: dg.DagsterInstance

    def page(self, asset: str, variant: str | None = None) -> dict[str, Any]:
        """Metadata of a partition as its page shows it."""
        events = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(
                dg.AssetKey(asset), asset_partitions=None if variant is None else [variant]
            ),
            limit=1,
        ).records
        assert events[0].asset_materialization is not None
        return {k: v.value for k, v in events[0].asset_materialization.metadata.items()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> RatingHome:
    folder = tmp_path_factory.mktemp("ablations")
    home = RatingHome.make(folder / "home", save_models(folder / "models"))
    home.write_pairs(SHARD, 0, 8)
    opened = recipe_of(home)
    write_rater_calibration(opened, 1)
    assert dict(write_curation_scores(opened, 1, [SHARD]))
    return home


def recipe_of(home: RatingHome, variants: Mapping[str, Any] = VARIANTS) -> Workspace:
    model = home.folder.parent / "models" / "first"
    return home.open(
        base_model=model,
        curation__iterations=1,
        curation__scorer="expected",
        evaluation__max_prompts=3,
        evaluation__sampling={"max_new_tokens": 8},
        training={"method": "full", "steps": 2, "batch_size": 2, "own_process": False,
                  "samples": 0, "dropout": 0.0, "max_tokens": 512},
        ablations=json.dumps(
            {"variants": variants, "self_instruct": {"max_rounds": 1, "prompts_per_round": 2,
                                                     "sampling": {"max_new_tokens": 32},
                                                     "output_sampling": {"max_new_tokens": 8}}}
        ),
    )  # fmt: skip


def run(home: RatingHome, names: list[str], instance: dg.DagsterInstance, **more: Any) -> Ran:
    opened = recipe_of(home, **more)
    path = home.folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(opened.recipe.model_dump(mode="json"), sort_keys=False))
    definitions = dg.Definitions(
        assets=build_ablations(opened.recipe),
        jobs=[dg.define_asset_job("job")],
        resources={"workspace": build_workspace(opened.recipe)},
        executor=dg.in_process_executor,
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HUMPBACK_RECIPE", str(path))
        job = definitions.resolve_job_def("job")
        result = job.execute_in_process(
            instance=instance, tags=range_tags(names), raise_on_error=False
        )
    return Ran(opened, result, instance)


@pytest.fixture(scope="module")
def ran(home: RatingHome, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions(WARC_SHARDS, [SHARD])
    return run(home, NAMES[:4], instance)


def test_one_run_over_variants_trains_and_judges_each_of_them(ran: Ran) -> None:
    assert ran.result.success
    for asset in ("ablation_model", "ablation_win_rate"):
        assert ran.instance.get_materialized_partitions(dg.AssetKey(asset)) == set(NAMES[:4])
    datasets = ran.workspace.datasets
    for name in NAMES[:4]:
        manifest = datasets.manifest("ablation_win_rate", name)
        preferences = datasets.read("ablation_win_rate", name)
        assert preferences.schema == pl.Schema(WIN_RATES_SCHEMA)
        assert preferences.height == 3
        assert manifest.facts["low"] <= manifest.facts["rate"] <= manifest.facts["high"]
        expected = (preferences["preference"].mean() - 1) * 100
        assert manifest.facts["rate"] == pytest.approx(expected)


def test_models_are_of_their_own_data_and_tags(ran: Ran) -> None:
    models = ran.workspace.models
    assert {n: models.manifest(f"ablation_model_{n}").rows for n in NAMES[:4]} == {
        "web-2": 2,
        "web-4": 4,
        "untagged": 6,
        "asked": 3 + ran.page("ablation_model", "asked")["seeds"],
    }
    hashes = {
        n: models.manifest(f"ablation_model_{n}").provenance.prompts["tags"] for n in NAMES[:3]
    }
    assert hashes["web-2"] == hashes["web-4"] != hashes["untagged"]
    assert "ablation_data/web-4" in models.manifest("ablation_model_web-4").inputs


def test_scaling_fits_what_is_there_and_names_what_is_missing(ran: Ran) -> None:
    facts = ran.workspace.datasets.manifest("scaling").facts
    assert [(fit["series"], fit["points"]) for fit in facts["fits"]] == [("web", 2)]
    assert facts["missing"] == ["shown", "made-up"]
    page = ran.page("scaling")
    assert "shown, made-up" in page["missing"]
    assert page["quality_quantity_curves"].startswith("![win rate against training examples")
    assert "59.96" in page["system_prompts"]
    assert "Small sample: with 3 prompts" in page["note"]
    assert "| Humpback | 6.95 |" in page["paper_alpha"]


def test_pages_tell_the_rate_its_interval_and_how_small_the_sample_is(ran: Ran) -> None:
    page = ran.page("ablation_win_rate", "web-4")
    assert "Small sample: with 3 prompts" in page["note"]
    assert "materialise win_rates" in page["versus_final"]
    assert "loss_curve" in ran.page("ablation_model", "web-4")


def test_baselines_join_later_and_what_is_there_is_not_made_again(
    home: RatingHome, ran: Ran
) -> None:
    """Few-shot prompting and self-instruct; also what the final model's win rate adds."""
    opened = ran.workspace
    before = opened.models.manifest("ablation_model_web-4").version
    web = opened.datasets.read("ablation_win_rate", "web-4")
    final = web.with_columns(model=pl.lit("m1"), preference=pl.col("preference") - 0.1)
    facts = {"judge": opened.judge.identity, "judge_settings": opened.judge_settings()}
    opened.datasets.write("win_rates", final, schema=dict(final.schema), facts=facts)
    answers = opened.datasets.read("ablation_responses", "web-4")
    opened.datasets.write("m1_responses", answers, schema=dict(answers.schema))
    again = run(home, NAMES, ran.instance)
    assert again.result.success
    assert opened.models.manifest("ablation_model_web-4").version == before
    assert again.workspace.datasets.manifest("scaling").facts["missing"] == []
    shown = opened.datasets.manifest("ablation_win_rate", "shown").facts
    assert (shown["n_seeds"], shown["n_augmented"]) == (0, 0)
    versus = opened.datasets.manifest("ablation_win_rate", "web-4").facts["versus_final"]
    assert versus["versus_final"] == pytest.approx(10.0)
    assert versus["n"] == 3
    other = answers.with_columns(reference=pl.lit("another reference"))
    opened.datasets.write("m1_responses", other, schema=dict(other.schema))
    assert run(home, ["web-4"], ran.instance).result.success
    assert opened.datasets.manifest("ablation_win_rate", "web-4").facts["versus_final"] is None
    assert not opened.models.versions("ablation_model_shown").has_current()
    with pytest.raises(KeyError):
        again.page("ablation_model", "shown")["loss_curve"]


def test_variant_that_cannot_be_made_is_named_and_the_others_are_kept(
    home: RatingHome, ran: Ran
) -> None:
    variants = {
        "none": {"study": "quality_quantity", "data": "augmented", "min_rating": 5.0},
        "fine": {"study": "seed_count", "data": "seed", "seeds": 4},
    }
    failed = run(home, list(variants), ran.instance, variants=variants)
    assert not failed.result.success
    (failure,) = [e for e in failed.result.all_events if e.is_step_failure]
    assert "1 of 2 variants could not be made" in str(failure.step_failure_data.error)
    assert "none: ablation none: no pair is left" in str(failure.step_failure_data.error)
    assert failed.workspace.models.versions("ablation_model_fine").has_current()
