"""Checks in real runs: what blocks stops the run there, what warns lets it go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from projects import Project, make_project

from humpback_pipeline.assets import corpus as corpus_assets
from humpback_pipeline.assets.checks import CHECKS
from humpback_pipeline.assets.common import freshness_policy
from humpback_pipeline.assets.corpus import CORPUS_ASSETS
from humpback_pipeline.assets.evaluation import build_evaluation
from humpback_pipeline.assets.iteration import build_iteration
from humpback_pipeline.assets.seed import SEED_ASSETS
from humpback_pipeline.automation.partitions import WARC_SHARDS
from humpback_pipeline.automation.sensors import range_tags
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.recipe_operations import AutomationRecipe
from humpback_pipeline.resources import build_workspace
from humpback_pipeline.stages import corpus


class Runs:
    """Runs of some assets of a project, in this process, on an instance of their own."""

    def __init__(self, project: Project, *selection: str) -> None:
        recipe = load_recipe(project.recipe)
        responses = build_evaluation(recipe.curation.iterations)[0]
        definitions = dg.Definitions(
            assets=[*SEED_ASSETS, *CORPUS_ASSETS, *build_iteration(0), responses],
            jobs=[dg.define_asset_job("job", dg.AssetSelection.assets(*selection))],
            resources={"workspace": build_workspace(recipe)},
            executor=dg.in_process_executor,
        )
        self.job = definitions.resolve_job_def("job")
        self.instance = dg.DagsterInstance.ephemeral()
        self.shards = list(project.workspace().shards())
        self.instance.add_dynamic_partitions(WARC_SHARDS, self.shards)

    def run(self, **config: Any) -> dg.ExecuteInProcessResult:
        partitioned = self.job.partitions_def is not None
        return self.job.execute_in_process(
            instance=self.instance,
            tags=range_tags(self.shards) if partitioned else {},
            run_config={"resources": {"workspace": {"config": config}}},
            raise_on_error=False,
        )

    def metadata(self, asset: str) -> dict[str, Any]:
        event = self.instance.get_latest_materialization_event(dg.AssetKey(asset))
        assert event is not None
        assert event.asset_materialization is not None
        return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def verdicts(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], Any]:
    return {
        (e.asset_key.to_user_string(), e.check_name): e
        for e in result.get_asset_check_evaluations()
    }


def materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    events = result.get_asset_materialization_events()
    return {event.asset_key.to_user_string() for event in events if event.asset_key}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = make_project(tmp_path / "project", recipe={"training.steps": 5})
    for name in ("HUMPBACK_RECIPE", "HUMPBACK_HOME"):
        monkeypatch.setenv(name, project.environment[name])
    return project


def test_rows_written_twice_stop_the_run_before_the_selection(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = corpus._parts
    twice = lambda segments, mark: [*(p := list(parts(segments, mark))), *p]  # noqa: E731
    monkeypatch.setattr(corpus, "_parts", twice)
    # Another process would not know of it.
    monkeypatch.setattr(
        corpus_assets,
        "write_all_segments",
        lambda workspace, shards, _: ((s, corpus.write_segments(workspace, s)) for s in shards),
    )
    runs = Runs(project, "clueweb_segments", "corpus_selection")
    result = runs.run()
    assert not result.success
    assert materialized(result) == {"clueweb_segments"}
    verdict = verdicts(result)["clueweb_segments", "schema_and_ids"]
    assert not verdict.passed
    assert verdict.severity == dg.AssetCheckSeverity.ERROR
    assert "garden: " in verdict.description
    table = verdict.metadata["shards"].value
    assert all(shard in table for shard in runs.shards)


def test_warnings_are_shown_with_numbers_and_stop_nothing(project: Project) -> None:
    runs = Runs(project, "clueweb_segments", "corpus_selection")
    strict = {"checks": {"min_segments_per_page": 99}, "corpus": {"sample_segments": 500}}
    result = runs.run(**strict)
    assert result.success
    assert materialized(result) == {"clueweb_segments", "corpus_selection"}
    warned = {key: e for key, e in verdicts(result).items() if not e.passed}
    assert warned.keys() == {("clueweb_segments", "yield"), ("corpus_selection", "sample_reached")}
    assert {e.severity for e in warned.values()} == {dg.AssetCheckSeverity.WARN}
    facts = warned["corpus_selection", "sample_reached"].metadata
    assert facts["asked_for"].value == 500
    assert 0 < facts["selected"].value < 500
    messages = [entry.user_message for entry in runs.instance.all_logs(result.run_id)]
    assert any(message.startswith("check yield: ") for message in messages)


def test_model_that_no_longer_loads_stops_what_would_use_it(project: Project) -> None:
    runs = Runs(project, "seed_pairs", "m0", "m0_responses")
    first = runs.run()
    assert first.success
    assert all(
        verdicts(first)["m0", name].passed for name in ("loss_is_sane", "loads_and_generates")
    )
    assert runs.metadata("m0")["made"] == "in this run"

    again = runs.run()
    assert again.success
    assert runs.metadata("m0")["made"].startswith("unchanged since ")

    weights = project.workspace().models.path("m0") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-64])
    broken = runs.run()
    assert not broken.success
    assert materialized(broken) == {"seed_pairs", "m0"}
    assert not verdicts(broken)["m0", "loads_and_generates"].passed

    mended = runs.run(rebuild=True)
    assert mended.success
    assert verdicts(mended)["m0", "loads_and_generates"].passed


def test_page_of_a_model_links_to_what_it_was_made_from(project: Project) -> None:
    runs = Runs(project, "seed_pairs", "m0")
    assert runs.run().success
    metadata = runs.metadata("m0")
    workspace = project.workspace()
    seeds, model = workspace.datasets.manifest("seed_pairs"), workspace.models.manifest("m0")
    assert "](/assets/seed_pairs)" in metadata["made_from"]
    assert f"[{seeds.version}](http://127.0.0.1:" in metadata["made_from"]
    assert seeds.content_hash[:12] in metadata["made_from"]
    assert metadata["lineage"].endswith(f"/lineage/model/m0?version={model.version}")


def test_every_check_has_a_text_and_its_asset_reports_it() -> None:
    iterations = 2
    assets = [
        *CORPUS_ASSETS,
        *(asset for t in range(iterations + 1) for asset in build_iteration(t)),
        *build_evaluation(iterations),
    ]
    specs = [spec for asset in assets for spec in asset.check_specs]
    own = [spec for spec in specs if spec.name in CHECKS]
    assert len(own) > 50
    for spec in own:
        assert spec.blocking == CHECKS[spec.name].blocking
        assert len(spec.description or "") > 30
    for asset in assets:
        name = asset.key.to_user_string()
        names = {spec.name for spec in own if spec.asset_key == asset.key}
        if name in ("report", "human_evaluation"):  # the latter grows as people judge
            continue
        dataset, model = {"schema_and_ids", "row_count_change"}, {"loads_and_generates"}
        assert dataset <= names or model <= names, name


@pytest.mark.parametrize(
    ("warn", "fail", "expected"),
    [
        (None, None, None),
        (None, 2.0, (None, 2 * 86_400)),
        (1.0, 2.0, (86_400, 2 * 86_400)),
        (None, 1e-9, (None, 60)),  # Dagster takes no window under a minute
    ],
)
def test_report_and_last_model_have_the_recipes_freshness(
    warn: float | None, fail: float | None, expected: tuple[int | None, int] | None
) -> None:
    policy = freshness_policy(AutomationRecipe(freshness_warn_days=warn, freshness_fail_days=fail))
    for asset in (build_iteration(2, policy)[-1], build_evaluation(2, policy)[-1]):
        found = asset.get_asset_spec(asset.key).freshness_policy
        if expected is None:
            assert found is None
            continue
        windows = found.warn_window, found.fail_window
        seconds = tuple(w.to_timedelta().total_seconds() if w else None for w in windows)
        assert seconds == expected
