"""WARC file in, HTML pages out: every flavour that research crawls come in.

Common Crawl (WARC/1.0), ClueWeb12 and ClueWeb09 (WARC/0.18, bare-LF header lines, invalid dates)
hold HTTP responses, as ARC files do; ClueWeb22 holds the HTML itself. The format: ISO 28500.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final

from humpback_pipeline.text.language import language_code
from humpback_pipeline.web.http_payload import PayloadError, html_payload, is_http_message
from humpback_pipeline.web.records import Document
from humpback_pipeline.web.shards import file_name
from humpback_pipeline.web.warc_framing import (
    DamagedRecord,
    DamagedRecordError,
    RawRecord,
    RecordStream,
)

DEFAULT_MAX_HTML_BYTES: Final = 10_000_000
# Beside the page, an HTTP block holds its headers.
_HTTP_HEADER_BYTES: Final = 65_536
# One page is a small part of a file.
_LOOKUP_AHEAD_BYTES: Final = 1 << 18
_MAX_DROP_SAMPLES: Final = 5
_ID_FIELDS: Final = ("clueweb22-id", "warc-trec-id", "warc-record-id")
_LANGUAGE_FIELDS: Final = ("language", "warc-identified-content-language")


class PageNotFoundError(LookupError):
    """No page is at this offset, or not the one wanted, or several are; the message says which."""


@dataclass(frozen=True, slots=True)
class DroppedRecord:
    """A record that gave no page, kept for inspection: why, and where it is in its file."""

    reason: str
    offset: int
    url: str = ""
    detail: str = ""


class DocumentReader(Iterator[Document]):
    """Iterator over a WARC file's HTML pages; also a context manager that closes the file.

    dropped: reason → number of records that gave no page, so far; drop_samples: reason → the first
    few of them. n_records: records read so far. partial: None, or what of the file was lost to
    damage (known at the end of the iteration).
    """

    def __init__(self, location: Path | str, max_html_bytes: int) -> None:
        self.dropped: Counter[str] = Counter()
        self.drop_samples: dict[str, list[DroppedRecord]] = {}
        self.n_records = 0
        self._warc_file = file_name(location)
        self._max_html_bytes = max_html_bytes
        self._stream = RecordStream(location, max_html_bytes + _HTTP_HEADER_BYTES)
        self._records = iter(self._stream)

    @property
    def partial(self) -> str | None:
        """What of the file could not be read, or None."""
        return self._stream.partial

    def __next__(self) -> Document:
        for record in self._records:
            self.n_records += 1
            if isinstance(record, DamagedRecord):
                self._drop(DroppedRecord(record.reason, record.offset, detail=record.cause))
                continue
            try:
                return to_document(record, self._warc_file, self._max_html_bytes)
            except PayloadError as error:
                url = record.fields.get("warc-target-uri", "")
                self._drop(DroppedRecord(error.reason, record.offset, url))
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Close the file."""
        self._records = iter(())
        self._stream.close()

    def __enter__(self) -> DocumentReader:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _drop(self, dropped: DroppedRecord) -> None:
        self.dropped[dropped.reason] += 1
        samples = self.drop_samples.setdefault(dropped.reason, [])
        if len(samples) < _MAX_DROP_SAMPLES:
            samples.append(dropped)


def read_documents(
    path: str | Path, max_html_bytes: int = DEFAULT_MAX_HTML_BYTES
) -> DocumentReader:
    """Iterate over the HTML pages of a WARC or ARC file: responses of status 200.

    path: a local file, or a URL that fsspec can open (s3://, https://); plain, gzip or Zstandard. A
    page over `max_html_bytes` is dropped. Bad records never raise: they are counted by reason in
    the reader's `.dropped`, and `.partial` says what a damaged or cut file has lost. Raises
    NotAWarcError for a file of another format, OSError for one that cannot be read, LocationError
    for a URL that cannot be used.
    """
    return DocumentReader(path, max_html_bytes)


def read_document(
    path: str | Path,
    record_offset: int,
    document_id: str | None = None,
    max_html_bytes: int = DEFAULT_MAX_HTML_BYTES,
) -> Document:
    """Fetch one page back by the `record_offset` of its Document or Segment, without the rest.

    In a compressed file the offset is that of a gzip member or Zstandard frame. Where that holds
    several pages, `document_id` names the one; they are decompressed up to it, which takes as long
    as reading the file so far when all of it is one member (`warcio recompress` gives each record
    its own). Raises PageNotFoundError, and what read_documents raises.
    """
    found: list[Document] = []
    stream = RecordStream(
        path, max_html_bytes + _HTTP_HEADER_BYTES, read_ahead_bytes=_LOOKUP_AHEAD_BYTES
    )
    problem = "no record begins there"
    try:
        for record in stream.records_at(record_offset):
            try:
                document = to_document(record, file_name(path), max_html_bytes)
            except PayloadError as error:
                problem = f"the record there is no page ({error.reason})"
                continue
            if document_id is None or document.document_id == document_id:
                found.append(document)
            if found and (document_id is not None or len(found) > 1):
                break
    except DamagedRecordError as error:
        problem = str(error)
    finally:
        stream.close()
    where = f"{file_name(path)}, offset {record_offset}"
    if len(found) > 1:
        raise PageNotFoundError(f"{where}: several pages share this member; name a document_id.")
    if not found:
        wanted = f" {document_id!r}" if document_id else ""
        raise PageNotFoundError(f"{where}: no page{wanted}: {problem}.")
    return found[0]


def to_document(record: RawRecord, warc_file: str, max_html_bytes: int) -> Document:
    """The page that a record holds. Raises PayloadError if it holds none."""
    fields = record.fields
    if record.type != "response":
        raise PayloadError("not_response")
    document_id = _first(fields, _ID_FIELDS)
    # Some writers put the address in angle brackets, as the standard's first version asked for.
    url = fields.get("warc-target-uri", "").removeprefix("<").removesuffix(">").replace(" ", "%20")
    if not document_id or not url:
        raise PayloadError("malformed_record")
    if record.block is None:
        raise PayloadError("too_large")
    is_http = is_http_message(record.block, fields.get("content-type", ""))
    payload = html_payload(record.block, is_http, _stated_type(fields, is_http), max_html_bytes)
    return Document(
        document_id=document_id,
        url=url,
        language=_language(fields),
        html=payload.html,
        crawl_date=_crawl_date(fields.get("warc-date", "")),
        warc_file=warc_file,
        record_offset=record.offset,
        charset=payload.charset,
    )


def _first(fields: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := fields.get(name))), "")


def _stated_type(fields: Mapping[str, str], is_http: bool) -> str | None:
    """Media type by which the archive itself knows the payload, if it states one."""
    if identified := fields.get("warc-identified-payload-type"):
        return identified
    content_type = fields.get("content-type", "")
    return None if is_http or content_type.lower().startswith("application/http") else content_type


def _language(fields: Mapping[str, str]) -> str | None:
    return language_code(_first(fields, _LANGUAGE_FIELDS))


def _crawl_date(stated: str) -> datetime | None:
    try:
        date = datetime.fromisoformat(stated)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None  # ClueWeb09 holds dates such as 2009-03-65T08:43:19-0800
