"""The sensor of the corpus folder: new and changed WARC files are segmented, and they alone."""

import json
import time
import uuid
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import dagster as dg

from humpback_pipeline.automation.in_flight import work_in_flight
from humpback_pipeline.automation.jobs import after_new_shard_job
from humpback_pipeline.automation.observation import SourceUnusableError, report_corpus
from humpback_pipeline.automation.partitions import WARC_SHARDS, contiguous_groups, warc_shards
from humpback_pipeline.automation.settling import is_settled
from humpback_pipeline.automation.tags import range_tags, trigger_tags
from humpback_pipeline.recipe import Recipe
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.warc_files import WarcShard, gone_shards, refusal, survey_shards
from humpback_pipeline.web.shards import CorpusError

MAX_LISTED = 8
# Each run makes a new selection over all shards, so scattered changes are not run one by one.
MAX_RUNS = 8


@dataclass(frozen=True)
class ShardCursor:
    """What the sensor remembers between two looks, by partition key.

    `seen`: (signature, since when) of files that are not settled; `tried`: (signature, content hash
    or empty) of files whose run was launched and has not given segments yet. `epoch` and
    `n_launched` make keys of runs, so that a crash cannot launch one twice.
    """

    epoch: str
    n_launched: int = 0
    seen: dict[str, tuple[str, float]] = field(default_factory=dict)
    tried: dict[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None) -> "ShardCursor":
        """Read a cursor; a new one if there is none that this version wrote."""
        try:
            return cls(**json.loads(text or ""))
        except (ValueError, TypeError):
            return cls(uuid.uuid4().hex[:12])

    def dump(self) -> str:
        """As Dagster stores it."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class ShardWork:
    """What a look at the corpus folder calls for.

    `todo` are files to segment, `waiting` those still being written, `refused` no WARC (key → why).
    """

    shards: Sequence[WarcShard]
    todo: list[WarcShard]
    waiting: list[WarcShard]
    refused: dict[str, str]

    def summary(self) -> str:
        """Counts, for the reason of a skipped look."""
        counts = {
            "still being written": len(self.waiting),
            "cannot be opened": len(self.refused),
            "gone": sum(shard.state == "gone" and shard.is_ours for shard in self.shards),
            "not hashed yet": sum(shard.state == "unknown" for shard in self.shards),
        }
        notes = [f"{n} {what}" for what, n in counts.items() if n]
        n_files = sum(shard.path is not None for shard in self.shards)
        return ", ".join([f"{n_files} WARC files", *notes])


def find_work(
    shards: Sequence[WarcShard], cursor: ShardCursor, now_s: float, settle_s: float
) -> ShardWork:
    """Sort out new and changed files: ready, still being written, or no WARC."""
    work = ShardWork(shards, [], [], {})
    for shard in shards:
        if shard.state not in ("new", "changed") or shard.path is None:
            continue
        seen, since_s = cursor.seen.get(shard.key, ("", now_s))
        since_s = since_s if seen == shard.signature else now_s
        if not is_settled(now_s, shard.touched_s, since_s, settle_s):
            work.waiting.append(shard)
        elif why := _refusal(shard):
            work.refused[shard.key] = why
        elif not _was_tried(shard, cursor):
            work.todo.append(shard)
    return work


def after_look(cursor: ShardCursor, work: ShardWork, now_s: float) -> ShardCursor:
    """The cursor after a look that launched nothing."""
    seen: dict[str, tuple[str, float]] = {}
    for shard in work.waiting:
        before = cursor.seen.get(shard.key)
        is_same = before is not None and before[0] == shard.signature
        seen[shard.key] = (shard.signature, before[1] if before and is_same else now_s)
    tried = {
        shard.key: (shard.signature, shard.content_hash or cursor.tried[shard.key][1])
        for shard in work.shards
        if shard.key in cursor.tried and shard.state in ("new", "changed", "unknown")
        if _was_tried(shard, cursor)
    }
    return ShardCursor(cursor.epoch, cursor.n_launched, seen, tried)


def shard_runs(work: ShardWork, registered: Sequence[str]) -> list[list[str]]:
    """Ranges of partitions to run, one run each; the new ones will be registered at the end."""
    keys = {shard.key for shard in work.todo}
    new = [shard.key for shard in work.todo if not shard.is_registered]
    order = [*registered, *new]
    groups = contiguous_groups(keys, order)
    if len(groups) <= MAX_RUNS:
        return groups
    # One run over all between them instead: shards that have not changed are reused in it.
    return [order[order.index(groups[0][0]) : order.index(groups[-1][-1]) + 1]]


def shard_reason(work: ShardWork, keys: Collection[str]) -> str:
    """Why these partitions run, in one line."""
    parts = []
    for state, title in (("new", "new WARC files"), ("changed", "changed WARC files")):
        found = [shard.key for shard in work.todo if shard.key in keys and shard.state == state]
        rest = f" and {len(found) - MAX_LISTED} more" if len(found) > MAX_LISTED else ""
        if found:
            parts.append(f"{title}: {', '.join(found[:MAX_LISTED])}{rest}")
    return "; ".join(parts)


def look_at_corpus(
    context: dg.SensorEvaluationContext | dg.ScheduleEvaluationContext,
    workspace: Workspace,
    cursor: ShardCursor,
    now_s: float,
) -> ShardWork:
    """Look at the corpus folder and report what is wrong with it.

    Raises SourceUnusableError, a red tick, when the folder as a whole cannot be used.
    """
    instance, recipe = context.instance, workspace.recipe
    registered = instance.get_dynamic_partitions(WARC_SHARDS)
    try:
        shards = survey_shards(workspace, registered, hash_new=cursor.tried)
    except CorpusError as error:
        folder = recipe.corpus.warc_dir
        # Such as a disk that is not mounted. A server that does not answer has lost no file.
        if isinstance(folder, Path) and not folder.exists():
            report_corpus(instance, recipe, gone_shards(workspace, registered), {}, context.log)
        raise SourceUnusableError(f"the corpus folder cannot be used: {error}") from error
    work = find_work(shards, cursor, now_s, recipe.automation.settle_s)
    report_corpus(instance, recipe, shards, work.refused, context.log)
    return work


def build_shard_sensor(recipe: Recipe) -> dg.SensorDefinition:
    """The sensor, as often and on or off as the recipe says."""
    automation = recipe.automation
    on, off = dg.DefaultSensorStatus.RUNNING, dg.DefaultSensorStatus.STOPPED

    @dg.sensor(
        name="warc_shards_sensor",
        job=after_new_shard_job,
        minimum_interval_seconds=automation.look_every_s,
        default_status=on if automation.shard_sensor else off,
        description=(
            "Each new WARC file in the corpus folder becomes a partition and is segmented alone; a "
            "changed one (by content) is segmented again. Files that are gone or no WARC are "
            "reported by the checks of clueweb_segments; their partitions are kept."
        ),
    )
    def warc_shards_sensor(
        context: dg.SensorEvaluationContext, workspace: WorkspaceResource
    ) -> dg.SensorResult:
        opened, now_s = workspace.open(), time.time()
        cursor = ShardCursor.parse(context.cursor)
        registered = list(context.instance.get_dynamic_partitions(WARC_SHARDS))
        work = look_at_corpus(context, opened, cursor, now_s)
        cursor = after_look(cursor, work, now_s)
        if not work.todo:
            return dg.SensorResult(
                skip_reason=f"nothing new: {work.summary()}", cursor=cursor.dump()
            )
        if waits_for := work_in_flight(context.instance):
            reason = f"{shard_reason(work, {s.key for s in work.todo})}; waits, as {waits_for}"
            return dg.SensorResult(skip_reason=reason, cursor=cursor.dump())
        return _launch(work, registered, cursor)

    return warc_shards_sensor


def _launch(work: ShardWork, registered: Sequence[str], cursor: ShardCursor) -> dg.SensorResult:
    requests = []
    for keys in shard_runs(work, registered):
        tags = trigger_tags("new_shard", shard_reason(work, keys))
        requests.append(
            dg.RunRequest(
                run_key=f"shards-{cursor.epoch}-{cursor.n_launched}-{keys[0]}",
                # One shard is shown as such; several are a range.
                partition_key=keys[0] if len(keys) == 1 else None,
                tags=tags if len(keys) == 1 else {**range_tags(keys), **tags},
            )
        )
    new = [shard.key for shard in work.todo if not shard.is_registered]
    tried = {shard.key: (shard.signature, shard.content_hash or "") for shard in work.todo}
    after = ShardCursor(cursor.epoch, cursor.n_launched + 1, cursor.seen, {**cursor.tried, **tried})
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[warc_shards.build_add_request(new)] if new else [],
        cursor=after.dump(),
    )


def _refusal(shard: WarcShard) -> str | None:
    """Why a file cannot be opened; of one on a server only whether it is empty.

    Thousands of requests would not fit into a look. Such a file fails in its run, and alone.
    """
    if shard.path is None or (isinstance(shard.path, str) and shard.n_bytes != 0):
        return None
    return refusal(shard.path)


def _was_tried(shard: WarcShard, cursor: ShardCursor) -> bool:
    """Whether this content was launched before and gave no segments: it would fail again."""
    if shard.key not in cursor.tried or not shard.is_registered:
        return False
    signature, content_hash = cursor.tried[shard.key]
    if signature == shard.signature:
        return True
    # Touched since. Whether it changed shows once both contents are known.
    return bool(content_hash) and shard.content_hash in (None, content_hash)
