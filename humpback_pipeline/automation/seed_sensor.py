"""The sensor of the seed data: a new content re-runs what depends on it, once, in order."""

import json
import time
import uuid
from dataclasses import asdict, dataclass, replace

import dagster as dg

from humpback_pipeline.assets.sources import seed_content
from humpback_pipeline.automation.in_flight import work_in_flight
from humpback_pipeline.automation.jobs import after_seed_change_job, all_job
from humpback_pipeline.automation.observation import SourceUnusableError, report_seed_data
from humpback_pipeline.automation.partitions import WARC_SHARDS
from humpback_pipeline.automation.settling import is_settled
from humpback_pipeline.automation.tags import SEED_CONTENT_TAG, range_tags, trigger_tags
from humpback_pipeline.recipe import Recipe
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.seeds import SeedDataError
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.sources import last_seed_change_s, seeds_read_last
from humpback_pipeline.stages.warc_files import recorded_source
from humpback_pipeline.storage import Manifest


@dataclass(frozen=True)
class SeedCursor:
    """What the sensor remembers between two looks.

    `seen` content since `seen_since_s`; `launched` is the content of its latest run, `read_then`
    what `seed_pairs` was made from at that time. `epoch` and `n_launched` make keys of runs, so
    that a crash cannot launch one twice, while the same content can come back and be run again.
    """

    epoch: str
    n_launched: int = 0
    seen: str = ""
    seen_since_s: float = 0.0
    launched: str = ""
    read_then: str = ""

    @classmethod
    def parse(cls, text: str | None) -> "SeedCursor":
        """Read a cursor; a new one if there is none that this version wrote."""
        try:
            return cls(**json.loads(text or ""))
        except (ValueError, TypeError):
            return cls(uuid.uuid4().hex[:12])

    def seeing(self, content: str, now_s: float) -> "SeedCursor":
        """After a look that found `content`."""
        return self if self.seen == content else replace(self, seen=content, seen_since_s=now_s)

    def launching(self, content_hash: str, read_last: str) -> "SeedCursor":
        """After launching a run."""
        n_launched = self.n_launched + 1
        return replace(self, n_launched=n_launched, launched=content_hash, read_then=read_last)

    def dump(self) -> str:
        """As Dagster stores it."""
        return json.dumps(asdict(self))


def build_seed_sensor(recipe: Recipe) -> dg.SensorDefinition:
    """The sensor, as often and on or off as the recipe says."""
    automation = recipe.automation
    on, off = dg.DefaultSensorStatus.RUNNING, dg.DefaultSensorStatus.STOPPED

    @dg.sensor(
        name="seed_data_sensor",
        jobs=[after_seed_change_job, all_job],
        minimum_interval_seconds=automation.look_every_s,
        default_status=on if automation.seed_sensor else off,
        description=(
            "Compares the content of the seed data, not its time stamp. A new content that is "
            "complete and valid is shown on seed_data with what changed, and launches one run of "
            "what depends on the seeds; broken data fail the tick and the check seed_data_valid."
        ),
    )
    def seed_data_sensor(
        context: dg.SensorEvaluationContext, workspace: WorkspaceResource
    ) -> dg.SensorResult:
        opened, now_s = workspace.open(), time.time()
        cursor = SeedCursor.parse(context.cursor).seeing(seed_content(opened), now_s)
        if not is_settled(
            now_s, _touched_s(opened), cursor.seen_since_s, opened.recipe.automation.settle_s
        ):
            return _skip(
                "the seed data were edited just now; waits until they are left alone", cursor
            )
        snapshot = read_seed_data(context.instance, opened)
        if snapshot is None:
            return _skip("the seed data are being written to", cursor)
        return _decide(context.instance, opened, snapshot, cursor)

    return seed_data_sensor


def read_seed_data(instance: dg.DagsterInstance, workspace: Workspace) -> Manifest | None:
    """Report the seed data; None while they change. Raises SourceUnusableError if broken."""
    try:
        return report_seed_data(instance, workspace)
    except SeedDataError as error:
        raise SourceUnusableError(
            f"nothing launched: the seed data cannot be used: {error}"
        ) from error


def change_reason(snapshot: Manifest, read_last: str) -> str:
    """What changed since the seed data that the graph was made from, in one line."""
    content_hash, diff = snapshot.facts["content_hash"], snapshot.facts["diff"]
    line = f"seed data changed from {read_last[:8]} to {content_hash[:8]}"
    if diff is None or diff["compared_with"] != read_last:
        return line
    return (
        f"{line}: {diff['added']} pairs added, {diff['removed']} removed, {diff['changed']} changed"
    )


def shards_without_segments(workspace: Workspace, registered: list[str]) -> list[str]:
    """Partitions that nothing was cut from yet. Raises SourceUnusableError for one without file."""
    missing = [key for key in registered if recorded_source(workspace, key) is None]
    if missing:
        files = workspace.shards()
        if lost := [key for key in missing if key not in files]:
            raise SourceUnusableError(
                f"nothing launched: the partitions {', '.join(lost)} have neither a WARC file nor "
                "segments, and a run over all shards would fail on them. Put the files back, or "
                f"run `python -m humpback_pipeline shards --forget {lost[0]}`."
            )
    return missing


def _decide(
    instance: dg.DagsterInstance, workspace: Workspace, snapshot: Manifest, cursor: SeedCursor
) -> dg.SensorResult:
    content_hash = snapshot.facts["content_hash"]
    if content_hash != cursor.launched:
        cursor = replace(cursor, launched="", read_then="")
    # Asked before what was read last: a run that ends in between has read what it could.
    waits_for = work_in_flight(instance)
    read_last = seeds_read_last(workspace)
    if read_last is None:
        return _skip("seed_pairs was never made; changes launch runs once it was", cursor)
    if content_hash == read_last:
        return _skip("seed data unchanged", replace(cursor, launched="", read_then=""))
    if waits_for:
        return _skip(f"the seed data changed; waits, as {waits_for}", cursor)
    if (content_hash, read_last) == (cursor.launched, cursor.read_then):
        return _skip(
            "the run for this content ended before it had read it; re-execute that run, or change "
            "the seed data",
            cursor,
        )
    registered = list(instance.get_dynamic_partitions(WARC_SHARDS))
    if not registered:
        return _skip("the seed data changed, but there is no partition to run", cursor)
    reason = change_reason(snapshot, read_last)
    job = after_seed_change_job
    if missing := shards_without_segments(workspace, registered):
        job = all_job
        reason += f"; segments of {', '.join(missing[:5])} are missing as well"
    request = dg.RunRequest(
        job_name=job.name,
        run_key=f"seeds-{cursor.epoch}-{cursor.n_launched}-{content_hash[:16]}",
        tags={
            **range_tags(registered),
            **trigger_tags("seed_change", reason),
            SEED_CONTENT_TAG: content_hash,
        },
    )
    after = cursor.launching(content_hash, read_last)
    return dg.SensorResult(run_requests=[request], cursor=after.dump())


def _touched_s(workspace: Workspace) -> float:
    try:
        return last_seed_change_s(workspace)
    except SeedDataError:  # nothing usable there: two looks decide
        return 0.0


def _skip(reason: str, cursor: SeedCursor) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=reason, cursor=cursor.dump())
