"""Web crawl to candidate answers: WARC files → pages → header-rooted segments → a clean sample."""

from humpback_pipeline.web.dedup import DedupDecision, DedupResult, deduplicate
from humpback_pipeline.web.extractors import EXTRACTORS
from humpback_pipeline.web.filters import FILTERS, FilterThresholds, drop_reason
from humpback_pipeline.web.navigation import load_navigation_headers
from humpback_pipeline.web.records import SEGMENT_SCHEMA, Document, Segment, segments_to_frame
from humpback_pipeline.web.screens import Screens, ScreenSettings
from humpback_pipeline.web.segments import SegmentLimits, extract_segments
from humpback_pipeline.web.selection import select_sample
from humpback_pipeline.web.shard import ShardSegments, segment_shard
from humpback_pipeline.web.shard_report import DropSample, ShardReport
from humpback_pipeline.web.warc import (
    DocumentReader,
    DroppedRecord,
    PageNotFoundError,
    read_document,
    read_documents,
)
from humpback_pipeline.web.warc_framing import NotAWarcError

__all__ = [
    "EXTRACTORS",
    "FILTERS",
    "SEGMENT_SCHEMA",
    "DedupDecision",
    "DedupResult",
    "Document",
    "DocumentReader",
    "DropSample",
    "DroppedRecord",
    "FilterThresholds",
    "NotAWarcError",
    "PageNotFoundError",
    "ScreenSettings",
    "Screens",
    "Segment",
    "SegmentLimits",
    "ShardReport",
    "ShardSegments",
    "deduplicate",
    "drop_reason",
    "extract_segments",
    "load_navigation_headers",
    "read_document",
    "read_documents",
    "segment_shard",
    "segments_to_frame",
    "select_sample",
]
