"""The two plain records of this room: a crawled page and a header-rooted segment of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

import polars as pl

SEGMENT_SCHEMA: pl.Schema = pl.Schema(
    [
        ("segment_id", pl.String),
        ("document_id", pl.String),
        ("url", pl.String),
        ("language", pl.String),
        ("header", pl.String),
        ("header_level", pl.Int8),
        ("header_path", pl.List(pl.String)),
        ("text", pl.String),
        ("text_chars", pl.Int32),
        ("crawl_date", pl.Datetime("us", "UTC")),
        ("warc_file", pl.String),
        ("record_offset", pl.Int64),
        ("document_hash", pl.String),
    ]
)


@dataclass(frozen=True, slots=True)
class Document:
    """One HTML page of a crawl, as fetched with status 200.

    document_id: ClueWeb22-ID, else WARC-TREC-ID, else WARC-Record-ID.
    language: two-letter code that the corpus states for the page, else None.
    html: the page's bytes, transfer and content encodings removed.
    crawl_date: in UTC; None when the record states none or an impossible one.
    charset: what the HTTP header states, unchecked.
    warc_file, record_offset: file name, and byte offset of the record (of its gzip member).
    """

    document_id: str
    url: str
    language: str | None
    html: bytes
    crawl_date: datetime | None = None
    warc_file: str = ""
    record_offset: int = 0
    charset: str | None = None

    def content_hash(self) -> str:
        """BLAKE2b-128 of the page's bytes, in hexadecimal: equal pages have equal ones."""
        return hashlib.blake2b(self.html, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Segment:
    """The part of a page rooted at one header: the paper's candidate answer (section 2.1).

    header_path: headers from the page's outermost down to `header` itself.
    text: Markdown that begins with the header's own line and holds its lower sub-headings.
    text_chars: length of `text` in characters.
    document_hash: of the bytes of the page it is from.
    """

    segment_id: str
    document_id: str
    url: str
    language: str | None
    header: str
    header_level: int
    header_path: tuple[str, ...]
    text: str
    text_chars: int
    crawl_date: datetime | None
    warc_file: str
    record_offset: int
    document_hash: str = ""


def segments_to_frame(segments: Iterable[Segment]) -> pl.DataFrame:
    """Put segments in a frame of SEGMENT_SCHEMA's columns, in the order given."""
    rows = [{**asdict(segment), "header_path": list(segment.header_path)} for segment in segments]
    return pl.DataFrame(rows, schema=SEGMENT_SCHEMA)
