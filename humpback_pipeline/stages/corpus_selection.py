"""The second stage of the corpus: one selection over the segments of all shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from humpback_pipeline.progress import OnProgress, ProgressMeter, ignore_progress
from humpback_pipeline.stages.corpus import SEGMENTS
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest
from humpback_pipeline.web import DedupDecision, deduplicate, select_sample

SELECTION = "corpus_selection"
SELECTION_SCHEMA = {
    "segment_id": pl.String,
    "shard": pl.String,
    "kept": pl.Boolean,
    "reason": pl.String,
    "duplicate_of": pl.String,
}
NOT_SAMPLED = "not_sampled"


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
