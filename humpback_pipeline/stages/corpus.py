"""The first stage of the corpus: segments of each shard (paper section 2.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from humpback_pipeline.progress import (
    OnProgress,
    Progress,
    ignore_progress,
    one_line,
)
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, NotMaterializedError, Provenance
from humpback_pipeline.web import (
    SEGMENT_SCHEMA,
    FilterThresholds,
    Segment,
    ShardReport,
    segment_shard,
    segments_to_frame,
)
from humpback_pipeline.web.shards import CorpusError

SEGMENTS = "clueweb_segments"
SEGMENTS_PER_PART = 5_000


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
