"""The whole graph as a user runs it: a command, real step processes, a tiny real model."""

from __future__ import annotations

import json
import subprocess
import sys

import dagster as dg
import polars as pl
import psutil
import pytest
from filelock import FileLock
from projects import EXAMPLES, ROOT, SMALL_SHARDS, WEB, Project, make_project

from humpback_pipeline.stages.iteration import StaleRatingsError, write_curated_set
from humpback_pipeline.stages.report import report_path

pytestmark = pytest.mark.slow
SHARDS = {"repairs", "soils", "torn"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project(
        tmp_path_factory.mktemp("tiny") / "project",
        shards={name: SMALL_SHARDS[name] for name in ("repairs.warc.gz", "soils.warc.gz")},
        recipe={"curation.iterations": 2, "training.steps": 30},
    )
    # A third shard, cut in the middle of a gzip member.
    whole = (EXAMPLES / "warc" / WEB).read_bytes()
    (project.warc_dir / "torn.warc.gz").write_bytes(whole[: len(whole) // 8])
    return project


@pytest.fixture(scope="module")
def finished(project: Project) -> tuple[Project, str]:
    result = project.command("run")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return project, result.stdout


def test_one_run_materialises_every_asset_and_every_partition(
    finished: tuple[Project, str],
) -> None:
    project, _ = finished
    with project.instance() as instance:
        runs = instance.get_runs()
        assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS]
        for name in ("clueweb_segments", "augmented_set", "curation_scores_1", "curation_scores_2"):
            assert instance.get_materialized_partitions(dg.AssetKey(name)) == SHARDS
        models = ("m0", "m1", "m2", "model_cards")
        others = ("curated_set_2", "contamination", "win_rates", "exports", "report")
        for name in (*models, *others):
            assert instance.get_latest_materialization_event(dg.AssetKey(name)) is not None


def test_progress_and_summary_are_printed(finished: tuple[Project, str]) -> None:
    _, output = finished
    assert "training m1: 30/30 steps" in output
    for heading in (
        "Rows at every stage",
        "Loss on held-out",
        "Ratings by m0",
        "precision",
        "make ui",
    ):
        assert heading in output


def test_truncated_shard_yields_what_is_readable_and_says_what_was_lost(
    finished: tuple[Project, str],
) -> None:
    project, output = finished
    manifest = project.workspace().datasets.manifest("clueweb_segments", "torn")
    assert manifest.rows
    assert manifest.facts["partial"]
    assert f"torn: {manifest.facts['partial']}" in output
    with project.instance() as instance:
        records = instance.get_records_for_run(instance.get_runs()[0].run_id).records
        checks = [
            record.event_log_entry.dagster_event.asset_check_evaluation_data
            for record in records
            if record.event_log_entry.dagster_event is not None
            and record.event_log_entry.dagster_event.event_type_value == "ASSET_CHECK_EVALUATION"
        ]
    failed = [check for check in checks if not check.passed]
    # A model this small fails bounds of its own; none of them blocks.
    assert {check.severity for check in failed} == {dg.AssetCheckSeverity.WARN}
    of_segments = [c.check_name for c in failed if c.asset_key == dg.AssetKey("clueweb_segments")]
    assert of_segments == ["shard_read_whole"]


def test_every_rating_is_a_number_on_the_scale_for_every_augmented_pair(
    finished: tuple[Project, str],
) -> None:
    datasets = finished[0].workspace().datasets
    for shard in SHARDS:
        pairs = datasets.read("augmented_set", shard)
        scores = datasets.read("curation_scores_2", shard)
        assert scores["segment_id"].to_list() == pairs["segment_id"].to_list()
        assert scores["rating"].is_between(1.0, 5.0).all()


def test_curated_pairs_are_the_best_rated_and_none_is_a_seed(
    finished: tuple[Project, str],
) -> None:
    workspace = finished[0].workspace()
    shards = list(workspace.shards())
    curated = workspace.datasets.read("curated_set_1")
    scores = workspace.datasets.scan_partitions("curation_scores_1", shards).collect()
    left_out = scores.filter(~pl.col("segment_id").is_in(curated["segment_id"].implode()))
    seeds = workspace.datasets.read("seed_pairs")
    assert 0 < curated.height < scores.height
    assert not set(curated["instruction"]) & set(seeds["instruction"])
    dropped = workspace.datasets.manifest("curated_set_1").facts["dropped"]
    assert curated.height + sum(dropped.values()) == scores.height
    assert left_out.height == sum(dropped.values())


def test_models_name_everything_behind_them(finished: tuple[Project, str]) -> None:
    workspace = finished[0].workspace()
    manifest = workspace.models.manifest("m2")
    provenance = manifest.provenance
    assert set(provenance.warc_shards) == set(workspace.shards())
    assert {"m0", "m1", "backward_model"} <= set(provenance.models)
    assert provenance.seed_files
    assert {"backward", "rating", "tags"} <= set(provenance.prompts)
    assert str(workspace.recipe.base_model) in provenance.base_models
    training = json.loads((workspace.models.path("m2") / "training.json").read_text())
    assert training["base"]["content_hash"] == workspace.base_model.content_hash


def test_lineage_shows_in_the_assets_metadata(finished: tuple[Project, str]) -> None:
    project, _ = finished
    with project.instance() as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("m2"))
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    curated = project.workspace().datasets.manifest("curated_set_2")
    assert curated.content_hash[:12] in metadata["made_from"].value
    assert metadata["loss_curve"].value.startswith("![")


def test_report_is_one_page_with_the_runs_figures(finished: tuple[Project, str]) -> None:
    page = report_path(finished[0].workspace()).read_text()
    for text in ("curated_set_2", "m2", "tiny", "data:image/png;base64"):
        assert text in page


def test_one_shard_of_one_iteration_can_be_materialised_alone(
    finished: tuple[Project, str],
) -> None:
    project, _ = finished
    before = {
        shard: project.workspace().datasets.manifest("curation_scores_1", shard).version
        for shard in project.workspace().shards()
    }
    command = [sys.executable, "-m", "dagster", "asset", "materialize"]
    command += ["-m", "humpback_pipeline.definitions", "--select", "curation_scores_1"]
    # Nothing has changed, so that without it the version that is there would be kept.
    config = {"resources": {"workspace": {"config": {"rebuild": True}}}}
    result = subprocess.run(
        [*command, "--partition", "torn", "--config-json", json.dumps(config)],
        cwd=ROOT,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    changed = {
        shard
        for shard, version in before.items()
        if project.workspace().datasets.manifest("curation_scores_1", shard).version != version
    }
    assert changed == {"torn"}


def test_killed_run_leaves_no_process_and_its_slot_is_free_for_the_next(
    finished: tuple[Project, str],
) -> None:
    project, _ = finished
    before = project.workspace().models.manifest("m0").version
    command = [sys.executable, "-m", "humpback_pipeline", "run", "--job", "iteration_0"]
    # Another model, or there would be nothing to do.
    environment = {**project.environment, "HUMPBACK_SET": "training.seed=1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "▶ m0" in line:
            break
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]
    assert project.workspace().models.manifest("m0").version == before
    again = project.command("run", "--job", "iteration_0", environment=environment)
    assert again.returncode == 0, again.stdout[-2000:] + again.stderr[-2000:]
    assert "was killed: marked failed" in again.stdout
    assert project.workspace().models.manifest("m0").version != before


def test_second_run_in_the_same_home_is_refused(finished: tuple[Project, str]) -> None:
    project, _ = finished
    with FileLock(project.folder / "home" / "run.lock"):
        result = project.command("run", "--job", "iteration_0")
    assert result.returncode == 1
    assert "another run is at work" in result.stderr


def test_ratings_of_other_pairs_are_refused(finished: tuple[Project, str]) -> None:
    workspace = finished[0].workspace()
    shards = list(workspace.shards())
    pairs = workspace.datasets.read("augmented_set", "torn")
    changed = pairs.with_columns(instruction=pl.lit("Something else?"))
    workspace.datasets.write("augmented_set", changed, schema=pairs.schema, partition="torn")
    with pytest.raises(StaleRatingsError, match="'torn'"):
        write_curated_set(workspace, 1, shards)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("seed.path=absent.jsonl", "absent.jsonl"),
        ("corpus.warc_dir=absent", "HUMPBACK_WARC_DIR"),
        ("base_model=/absent/model", "base_model"),
        ("training.method=magic", "'full', 'lora' or 'qlora'"),
        ("evaluation.judge.model=/absent/judge", "/absent/judge"),
        ("evaluation.prompts=absent.jsonl", "absent.jsonl"),
        (
            "generation={engine: endpoint, endpoint: {base_url: 'http://127.0.0.1:9/v1'}}",
            "127.0.0.1:9",
        ),
    ],
)
def test_bad_input_ends_before_any_work_with_a_remedy(
    project: Project, setting: str, complaint: str
) -> None:
    home = project.folder / "never-written"
    environment = {**project.environment, "HUMPBACK_SET": setting, "HUMPBACK_HOME": str(home)}
    result = subprocess.run(
        [sys.executable, "-m", "humpback_pipeline", "run"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr
    assert not [path for path in home.rglob("*") if path.suffix in (".parquet", ".safetensors")]
