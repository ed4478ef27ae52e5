"""The first stage of the corpus: segments of each shard (paper section 2.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl

from humpback_pipeline.progress import OnProgress, Progress, ignore_progress, one_line
from humpback_pipeline.stages.corpus_settings import (
    segmenting_arguments,
    shaping_files,
    shaping_settings,
)
from humpback_pipeline.stages.page_mark import PageMark
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, NotMaterializedError, Origin, Provenance
from humpback_pipeline.storage.remote import redacted
from humpback_pipeline.web import (
    SEGMENT_SCHEMA,
    Segment,
    ShardReport,
    ShardSegments,
    segment_shard,
    segments_to_frame,
)
from humpback_pipeline.web.page_places import describe_place
from humpback_pipeline.web.shards import CorpusError, lies_below

SEGMENTS = "clueweb_segments"
SEGMENTS_PER_PART = 5_000
# Manifests are read often and by the thousand.
MAX_SAMPLE_CHARS = 1_000

SegmentShard = Callable[..., ShardSegments]
OnReport = Callable[[ShardReport], None]
Source = Path | str
_NO_PAGES: Mapping[int, str] = MappingProxyType({})


def write_segments(
    workspace: Workspace, shard: str, on_progress: OnProgress = ignore_progress
) -> Manifest:
    """Cut one WARC file into segments; the funnel and samples of what was dropped are facts.

    In this process: `segment_processes.write_all_segments` cuts many, and survives what kills a
    process. Raises NotAWarcError, OSError, CorpusError, and LookupError for a shard without file.
    """

    def tell(report: ShardReport) -> None:
        detail = f"{report.n_segments:,} segments"
        if report.last_header:
            detail += f", last: {one_line(report.last_header)}"
        pages, elapsed_s = report.n_documents, report.elapsed_s
        on_progress(Progress(f"segments of {shard}", pages, None, "pages", elapsed_s, detail))

    sources = sources_of(workspace)
    if kept := segments_of_removed_file(workspace, shard, sources):
        return kept
    return cut_shard(workspace, shard, sources.get(shard) or workspace.shard(shard), on_report=tell)


def cut_shard(
    workspace: Workspace,
    shard: str,
    source: Source,
    *,
    on_report: OnReport | None = None,
    skip: Mapping[int, str] = _NO_PAGES,
    mark: PageMark | None = None,
    segment: SegmentShard = segment_shard,
) -> Manifest:
    """Write one version of a shard's segments, or return the one already made from the same.

    skip: place (web/page_places.py) → reason of pages to leave out; mark: told of the page being
    worked on; segment: what cuts. Segments stream to Parquet: memory does not grow with the shard.
    """
    origin = segments_origin(workspace, shard, source)
    if unchanged := workspace.unchanged_dataset(origin, shard):
        return unchanged
    mark = mark or PageMark()
    segments = segment(
        source,
        **segmenting_arguments(workspace.recipe.corpus),
        on_progress=on_report,
        skip=skip,
        on_page=mark.at,
    )

    def facts() -> dict[str, Any]:
        skipped = {describe_place(place): reason for place, reason in skip.items()}
        report = segments.report
        return {**_shard_facts(report), "skipped_pages": skipped, "warc_file": redacted(source)}

    frames = _parts(segments, mark)
    return workspace.write_dataset(origin, frames, SEGMENT_SCHEMA, partition=shard, facts=facts)


def segments_origin(workspace: Workspace, shard: str, source: Source) -> Origin:
    """What a shard's segments would be made from now; the file is hashed if it is new."""
    corpus = workspace.recipe.corpus
    file = Provenance(warc_shards={shard: workspace.warc_hash(source)})
    return workspace.origin(
        SEGMENTS,
        sources=file.merged([shaping_files(corpus)]),
        settings=shaping_settings(corpus),
    )


def sources_of(workspace: Workspace) -> dict[str, Source]:
    """Shard → WARC file or URL; nothing if every file was taken away."""
    try:
        return dict(workspace.shards())
    except CorpusError:
        return {}


def segments_of_removed_file(
    workspace: Workspace, shard: str, sources: Mapping[str, Source]
) -> Manifest | None:
    """Segments of a file that is gone from this very place: they stay until the user decides."""
    if shard in sources:
        return None
    try:
        manifest = workspace.datasets.manifest(SEGMENTS, shard)
    except NotMaterializedError:
        return None
    source, place = str(manifest.facts.get("warc_file", "")), workspace.recipe.corpus.warc_dir
    return manifest if lies_below(source, place) else None


def _parts(segments: Iterator[Segment], mark: PageMark) -> Iterator[pl.DataFrame]:
    try:
        while part := list(islice(segments, SEGMENTS_PER_PART)):
            # No page is to blame for a slow disk.
            with mark.paused():
                yield segments_to_frame(part)
    finally:
        mark.between()


def _shard_facts(report: ShardReport) -> dict[str, Any]:
    samples = {
        reason: [{**asdict(sample), "text": sample.text[:MAX_SAMPLE_CHARS]} for sample in kept]
        for reason, kept in report.drop_samples.items()
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
        "masked": dict(report.masked),
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
