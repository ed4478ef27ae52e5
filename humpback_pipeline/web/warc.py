"""WARC file in, HTML pages out: every flavour that research crawls come in.

Common Crawl (WARC/1.0), ClueWeb12 and ClueWeb09 (WARC/0.18, bare-LF header lines, invalid dates)
hold HTTP responses; ClueWeb22 holds the HTML itself. The format: ISO 28500.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final

from warcio.statusandheaders import StatusAndHeaders

from humpback_pipeline.web.http_payload import PayloadError, html_payload
from humpback_pipeline.web.records import Document
from humpback_pipeline.web.warc_framing import DamagedRecord, RawRecord, RecordStream

DEFAULT_MAX_HTML_BYTES: Final = 10_000_000
# Beside the page, an HTTP block holds its headers.
_HTTP_HEADER_BYTES: Final = 65_536
_ID_HEADERS: Final = ("ClueWeb22-ID", "WARC-TREC-ID", "WARC-Record-ID")
_LANGUAGE_HEADERS: Final = ("Language", "WARC-Identified-Content-Language")
_LANGUAGE_CODE: Final = re.compile(r"([a-z]{2})(?:[-_].*)?", re.IGNORECASE)


class DocumentReader(Iterator[Document]):
    """Iterator over a WARC file's HTML pages; also a context manager that closes the file.

    dropped: reason → number of records that gave no page, so far. n_records: records read so far.
    partial: None, or what of the file was lost to damage (known at the end of the iteration).
    """

    def __init__(self, path: Path, max_html_bytes: int) -> None:
        self.dropped: Counter[str] = Counter()
        self.n_records = 0
        self._warc_file = path.name
        self._max_html_bytes = max_html_bytes
        self._stream = RecordStream(path, max_html_bytes + _HTTP_HEADER_BYTES)
        self._records = iter(self._stream)

    @property
    def partial(self) -> str | None:
        """What of the file could not be read, or None."""
        return self._stream.partial

    def __next__(self) -> Document:
        for record in self._records:
            self.n_records += 1
            if isinstance(record, DamagedRecord):
                self.dropped[record.reason] += 1
                continue
            try:
                return self._document(record)
            except PayloadError as error:
                self.dropped[error.reason] += 1
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

    def _document(self, record: RawRecord) -> Document:
        headers = record.headers
        if record.type != "response":
            raise PayloadError("not_response")
        document_id = _first_header(headers, _ID_HEADERS)
        url = headers.get_header("WARC-Target-URI")
        if not document_id or not url:
            raise PayloadError("malformed_record")
        if record.block is None:
            raise PayloadError("too_large")
        payload = html_payload(record.block, _stated_type(record), self._max_html_bytes)
        return Document(
            document_id=document_id,
            url=url,
            language=_language(headers),
            html=payload.html,
            crawl_date=_crawl_date(headers.get_header("WARC-Date")),
            warc_file=self._warc_file,
            record_offset=record.offset,
            charset=payload.charset,
        )


def read_documents(
    path: str | Path, max_html_bytes: int = DEFAULT_MAX_HTML_BYTES
) -> DocumentReader:
    """Iterate over the HTML pages of a WARC file, gzip or plain: responses of status 200.

    A page over `max_html_bytes` is dropped. Bad records never raise: they are counted by reason in
    the reader's `.dropped`, and `.partial` says what a damaged or cut file has lost. Raises
    NotAWarcError for a file of another format, OSError for one that cannot be read.
    """
    return DocumentReader(Path(path), max_html_bytes)


def _first_header(headers: StatusAndHeaders, names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := headers.get_header(name))), None)


def _stated_type(record: RawRecord) -> str | None:
    """Media type by which the archive itself knows the payload, if it states one."""
    identified: str | None = record.headers.get_header("WARC-Identified-Payload-Type")
    if identified and identified.strip():
        return identified
    content_type: str = record.headers.get_header("Content-Type") or ""
    is_http = content_type.strip().lower().startswith("application/http")
    return None if is_http or record.block is None or record.block[:5] == b"HTTP/" else content_type


def _language(headers: StatusAndHeaders) -> str | None:
    stated = (_first_header(headers, _LANGUAGE_HEADERS) or "").split(",")[0].strip()
    match = _LANGUAGE_CODE.fullmatch(stated)
    return match[1].lower() if match else None


def _crawl_date(stated: str | None) -> datetime | None:
    try:
        date = datetime.fromisoformat((stated or "").strip())
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None  # ClueWeb09 holds dates such as 2009-03-65T08:43:19-0800
