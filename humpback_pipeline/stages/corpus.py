"""Corpus stages: segments of each shard, then one selection over all (paper section 2.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from humpback_pipeline.progress import (
    OnProgress,
    Progress,
    ProgressMeter,
    ignore_progress,
    one_line,
)
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, NotMaterializedError, Provenance
from humpback_pipeline.web import (
    SEGMENT_SCHEMA,
    DedupDecision,
    FilterThresholds,
    Segment,
    ShardReport,
    deduplicate,
    segment_shard,
    segments_to_frame,
    select_sample,
)
from humpback_pipeline.web.shards import CorpusError

SEGMENTS = "clueweb_segments"
SELECTION = "corpus_selection"
SELECTION_SCHEMA = {
    "segment_id": pl.String,
    "shard": pl.String,
    "kept": pl.Boolean,
    "reason": pl.String,
    "duplicate_of": pl.String,
}
SEGMENTS_PER_PART = 5_000
NOT_SAMPLED = "not_sampled"


def write_segments(
    workspace: Workspace, shard: str, on_progress: OnProgress = ignore_progress
) -> Manifest:
    """Cut one WARC file into segments; the funnel and samples of what was dropped are facts.

    Segments stream to Parquet, so memory does not grow with the shard. Raises NotAWarcError.
    """
    corpus = workspace.recipe.corpus
    if not _has_file(workspace, shard) and (kept := _segments_of_removed_file(workspace, shard)):
        return kept
    path = workspace.shard(shard)
    origin = workspace.origin(
        SEGMENTS,
        sources=Provenance(warc_shards={shard: workspace.warc_hash(path)}),
        settings=corpus.model_dump(
            mode="json",
            include={"extractor", "languages", "min_chars", "max_chars", "max_html_bytes"},
        ),
    )
    if unchanged := workspace.unchanged_dataset(origin, shard):
        return unchanged

    def tell(report: ShardReport) -> None:
        detail = f"{report.n_segments:,} segments"
        if report.last_header:
            detail += f", last: {one_line(report.last_header)}"
        on_progress(
            Progress(
                f"segments of {shard}", report.n_documents, None, "pages", report.elapsed_s, detail
            )
        )

    segments = segment_shard(
        path,
        extractor=corpus.extractor,
        languages=corpus.languages,
        thresholds=FilterThresholds(
            min_chars=corpus.min_chars, max_chars=corpus.max_chars, languages=corpus.languages
        ),
        max_html_bytes=corpus.max_html_bytes,
        on_progress=tell,
    )
    return workspace.write_dataset(
        origin,
        _parts(segments),
        SEGMENT_SCHEMA,
        partition=shard,
        facts=lambda: {**_shard_facts(segments.report), "warc_file": str(path)},
    )


def _has_file(workspace: Workspace, shard: str) -> bool:
    try:
        return shard in workspace.shards()
    except CorpusError:  # every file was taken away
        return False


def _segments_of_removed_file(workspace: Workspace, shard: str) -> Manifest | None:
    """Segments of a file that is gone from this very folder: they stay until the user decides."""
    try:
        manifest = workspace.datasets.manifest(SEGMENTS, shard)
    except NotMaterializedError:
        return None
    source = Path(str(manifest.facts.get("warc_file", "")))
    folder = workspace.recipe.corpus.warc_dir.resolve()
    return manifest if source.resolve().is_relative_to(folder) else None


def write_selection(
    workspace: Workspace, shards: Sequence[str], on_progress: OnProgress = ignore_progress
) -> Manifest:
    """Drop duplicates across all shards, then sample; one row for every segment of every shard.

    Columns: `SELECTION_SCHEMA`. `reason` is exact_duplicate, near_duplicate, not_sampled or empty.
    """
    corpus = workspace.recipe.corpus
    origin = workspace.origin(
        SELECTION,
        inputs=workspace.datasets.manifests(SEGMENTS, shards),
        settings=corpus.model_dump(
            mode="json",
            include={
                "near_duplicate_jaccard",
                "sample_segments",
                "sample_seed",
                "max_segments_per_host",
            },
        ),
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    places: list[tuple[str, str]] = []
    n_segments = sum(manifest.rows or 0 for manifest in origin.inputs)
    meter = ProgressMeter("duplicates", n_segments, "segments", on_progress)
    decisions = deduplicate(_texts(workspace, shards, places, meter), corpus.near_duplicate_jaccard)
    candidates = [
        (decision.segment_id, url)
        for decision, (_, url) in zip(decisions, places, strict=True)
        if decision.kept
    ]
    sample = set(
        select_sample(
            candidates, corpus.sample_segments, corpus.sample_seed, corpus.max_segments_per_host
        )
    )
    frame = pl.DataFrame(
        [
            _selection_row(decision, shard, decision.kept and decision.segment_id in sample)
            for decision, (shard, _) in zip(decisions, places, strict=True)
        ],
        schema=SELECTION_SCHEMA,
        orient="row",
    )
    kept = frame.filter("kept")
    return workspace.write_dataset(
        origin,
        frame,
        SELECTION_SCHEMA,
        facts={
            "n_selected": kept.height,
            "reasons": dict(Counter(frame.filter(~pl.col("kept"))["reason"].to_list())),
            "selected_by_shard": dict(Counter(kept["shard"].to_list())),
        },
    )


def _parts(segments: Iterator[Segment]) -> Iterator[pl.DataFrame]:
    while part := list(islice(segments, SEGMENTS_PER_PART)):
        yield segments_to_frame(part)


def _shard_facts(report: ShardReport) -> dict[str, Any]:
    samples = {
        reason: [asdict(sample) for sample in kept] for reason, kept in report.drop_samples.items()
    }
    return {
        "extractor": report.extractor,
        "n_records": report.n_records,
        "n_documents": report.n_documents,
        "n_candidates": report.n_candidates,
        "document_drops": dict(report.document_drops),
        "segment_drops": dict(report.segment_drops),
        "languages": dict(report.languages),
        "hosts": report.top_hosts,
        "partial": report.partial,
        "elapsed_s": round(report.elapsed_s, 2),
        "drop_samples": samples,
        "funnel": {
            "1 records": report.n_records,
            "2 HTML pages": report.n_documents,
            "3 header subtrees": report.n_candidates,
            "4 segments": report.n_segments,
        },
    }


@dataclass(frozen=True, slots=True)
class _Text:
    segment_id: str
    text: str


def _texts(
    workspace: Workspace,
    shards: Sequence[str],
    places: list[tuple[str, str]],
    meter: ProgressMeter,
) -> Iterator[_Text]:
    """Texts of all shards, one shard in memory at a time; `places` gets (shard, url) of each."""
    for shard in shards:
        columns = ["segment_id", "text", "url"]
        frame = workspace.datasets.scan(SEGMENTS, shard).select(columns).collect()
        for segment_id, text, url in frame.iter_rows():
            places.append((shard, url))
            meter.advance(detail=shard)
            yield _Text(segment_id, text)


def _selection_row(decision: DedupDecision, shard: str, sampled: bool) -> tuple[Any, ...]:
    reason = decision.reason or ("" if sampled else NOT_SAMPLED)
    return decision.segment_id, shard, sampled, reason, decision.duplicate_of
