"""Checks of what comes from outside, the seed data and the WARC files, and what their pages show.

They can be executed from the UI; the sensors report the same checks without a run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets.metadata import counts_table
from humpback_pipeline.assets.reported_checks import CONTENT
from humpback_pipeline.automation.partitions import WARC_SHARDS
from humpback_pipeline.evaluation.tables import render_markdown_table, truncate_text
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.seeds import SeedDataError, seed_content_hash
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.sources import observe_seeds, seed_settings
from humpback_pipeline.stages.warc_files import WarcShard, refusal, survey_shards
from humpback_pipeline.storage import Manifest, hash_text

SEED_DATA_KEY = dg.AssetKey("seed_data")
SEGMENTS_KEY = dg.AssetKey("clueweb_segments")
SEED_DATA_VALID = "seed_data_valid"
WARC_FILES_PRESENT = "warc_files_present"
WARC_FILES_READABLE = "warc_files_readable"
MAX_CELL_CHARS = 200
CORPUS_CHECKS = [
    dg.AssetCheckSpec(
        WARC_FILES_PRESENT,
        asset=SEGMENTS_KEY,
        description=(
            "Warns when the WARC file of a partition is gone. Partition and segments are kept "
            "until you delete the partition (`shards --forget KEY`)."
        ),
    ),
    dg.AssetCheckSpec(
        WARC_FILES_READABLE,
        asset=SEGMENTS_KEY,
        description="Fails when a file of the corpus folder cannot be opened as WARC.",
    ),
]


@dataclass(frozen=True)
class SeedLook:
    """One look at the seed data: its content, and the snapshot of its pairs or what is wrong."""

    content: str
    snapshot: Manifest | None
    check: dg.AssetCheckResult

    @property
    def problem(self) -> str:
        """What is wrong and how to mend it; empty if nothing is."""
        return "" if self.snapshot else str(self.check.description)


def look_at_seeds(workspace: Workspace) -> SeedLook:
    """Validate the seed data, take a snapshot of a new content, and judge it."""
    content = seed_content(workspace)
    try:
        snapshot = observe_seeds(workspace)
    except SeedDataError as error:
        return SeedLook(content, None, _refused(workspace, content, error))
    metadata = {
        CONTENT: dg.MetadataValue.text(content),
        "path": dg.MetadataValue.path(str(workspace.recipe.seed.path)),
        "pairs": snapshot.rows,
        "dropped": counts_table(snapshot.facts["dropped"]),
    }
    return SeedLook(content, snapshot, _seed_check(True, metadata, "The seed data can be used."))


def seed_content(workspace: Workspace) -> str:
    """Names the content and the settings it is read by; or says that there is nothing to read."""
    try:
        return f"{seed_content_hash(workspace.recipe.seed.path)}-{seed_settings(workspace)}"
    except SeedDataError as error:
        return f"unreadable-{hash_text(str(error))[:16]}"


def snapshot_metadata(workspace: Workspace, snapshot: Manifest) -> dict[str, Any]:
    """What the page of `seed_data` shows of one content: pairs, and what changed to get there."""
    metadata = {
        "left_out": counts_table(snapshot.facts["dropped"]),
        "format": snapshot.facts["format"],
        "path": dg.MetadataValue.path(str(workspace.recipe.seed.path)),
        "content_hash": dg.MetadataValue.text(snapshot.facts["content_hash"]),
    }
    diff = snapshot.facts["diff"]
    if diff is None:
        first = dg.MetadataValue.md("The first look at these seeds.")
        return {"pairs": snapshot.rows, "diff": first, **metadata}
    return {
        "pairs": snapshot.rows,
        "added": diff["added"],
        "removed": diff["removed"],
        "changed": diff["changed"],
        "diff": dg.MetadataValue.md(_diff_table(diff)),
        "compared_with": dg.MetadataValue.text(diff["compared_with"]),
        **metadata,
    }


def corpus_checks(
    shards: Sequence[WarcShard], refused: Mapping[str, str]
) -> list[dg.AssetCheckResult]:
    """Both checks of the corpus folder; `refused` says of a file's key why it cannot be opened."""
    gone = [shard.key for shard in shards if shard.state == "gone" and shard.is_ours]
    kept = (
        "Partitions and segments are kept. Put the files back, or remove a partition with "
        "`python -m humpback_pipeline shards --forget KEY`."
    )
    missing = f"No WARC file for {len(gone)} partitions: {_listed(gone)}. {kept}"
    unreadable = (
        f"{len(refused)} files cannot be opened as WARC and were left out: "
        f"{_listed([*refused])}. Replace them or move them away."
    )
    present = sum(shard.path is not None for shard in shards)
    return [
        dg.AssetCheckResult(
            asset_key=SEGMENTS_KEY,
            check_name=WARC_FILES_PRESENT,
            passed=not gone,
            severity=dg.AssetCheckSeverity.WARN,
            description=missing if gone else f"All partitions have their file ({present} files).",
            metadata={
                CONTENT: dg.MetadataValue.text(hash_text("\n".join(gone))[:16]),
                "missing": dg.MetadataValue.json(gone),
            },
        ),
        dg.AssetCheckResult(
            asset_key=SEGMENTS_KEY,
            check_name=WARC_FILES_READABLE,
            passed=not refused,
            severity=dg.AssetCheckSeverity.ERROR,
            description=unreadable if refused else f"All {present} files are WARC.",
            metadata={
                CONTENT: dg.MetadataValue.text(hash_text(str(sorted(refused.items())))[:16]),
                "unreadable": dg.MetadataValue.json(dict(refused)),
            },
        ),
    ]


@dg.asset_check(
    asset=SEED_DATA_KEY,
    name=SEED_DATA_VALID,
    description=(
        "The seed data can be read and used as the recipe says. If not, it names file, line, field "
        "and remedy, and nothing is launched until it is mended."
    ),
)
def seed_data_valid(workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """Validate the seed data as a run would."""
    return look_at_seeds(workspace.open()).check


@dg.multi_asset_check(name="warc_files", specs=CORPUS_CHECKS)
def warc_files(
    context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource
) -> Iterator[dg.AssetCheckResult]:
    """Look at every file of the corpus folder, without hashing any."""
    registered = context.instance.get_dynamic_partitions(WARC_SHARDS)
    shards = survey_shards(workspace.open(), registered, budget_s=0.0)
    reasons = {shard.key: refusal(shard.path) for shard in shards if shard.path}
    yield from corpus_checks(shards, {key: text for key, text in reasons.items() if text})


SOURCE_CHECKS = [seed_data_valid, warc_files]


def _refused(workspace: Workspace, content: str, error: SeedDataError) -> dg.AssetCheckResult:
    path = workspace.recipe.seed.path
    metadata: dict[str, Any] = {
        CONTENT: dg.MetadataValue.text(content),
        "path": dg.MetadataValue.path(str(path)),
    }
    if error.record is not None:
        record = error.record
        metadata |= {
            "file": dg.MetadataValue.path(record.file),
            "line": record.line,
            "field": record.field,
            "found": record.found,
            "remedy": record.remedy,
        }
    return _seed_check(False, metadata, str(error))


def _seed_check(passed: bool, metadata: dict[str, Any], text: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=SEED_DATA_KEY,
        check_name=SEED_DATA_VALID,
        passed=passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description=text,
        metadata=metadata,
    )


def _diff_table(diff: Mapping[str, Any]) -> str:
    if not diff["samples"]:
        return "The same pairs: only their order or their white space differ."
    rows = []
    for sample in diff["samples"]:
        before = sample["before"] or ("", "")
        after = sample["after"] or ("", "")
        cells = [
            old if old == new else f"{_cut(old)} → {_cut(new)}" if old and new else old or new
            for old, new in zip(before, after, strict=True)
        ]
        rows.append({"change": sample["change"], "instruction": cells[0], "output": cells[1]})
    counts = f"{diff['added']} added, {diff['removed']} removed, {diff['changed']} changed"
    table = render_markdown_table(pl.DataFrame(rows), max_chars=MAX_CELL_CHARS)
    return f"{counts}; the first of each:\n\n{table}"


def _cut(text: str) -> str:
    return truncate_text(text, MAX_CELL_CHARS // 2)


def _listed(keys: Sequence[str], limit: int = 10) -> str:
    rest = f" and {len(keys) - limit} more" if len(keys) > limit else ""
    return ", ".join(keys[:limit]) + rest
