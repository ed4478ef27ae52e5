"""Build the bundled sample crawl: two WARC files from the page sources under `pages/`.

`python -m humpback_pipeline.examples.build_warc` rewrites `warc/*.warc.gz` byte for byte: dates
come from the pages, record ids are UUIDv5 of the URL, and gzip members carry no time stamp.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from email.utils import format_datetime
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final
from urllib.parse import urlsplit

from warcio.recordloader import ArcWarcRecord
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from humpback_pipeline.examples.page_source import (
    FrontMatter,
    Page,
    PageError,
    read_pages,
    render_page,
    template_environment,
)

EXAMPLES_DIR: Final = Path(__file__).resolve().parent
SHARD_FILES: Final = {"web": "web-00000.warc.gz", "clueweb22": "clueweb22-en0000-00.warc.gz"}

_RECORD_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_DNS, "crawler.example.com")
_USER_AGENT: Final = "sample-crawler/1.0 (+https://crawler.example.com/about)"
_LOGO_URL: Final = "https://static.kitchen.example.com/img/logo.png"
_LOGO_PNG: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


def build_shard(shard: str, source_dir: Path = EXAMPLES_DIR) -> bytes:
    """Build one shard, "web" or "clueweb22", and return the WARC file's bytes.

    web: request and response records with HTTP messages, as Common Crawl publishes them, and one
    image; clueweb22: `response` records whose payload is the HTML itself, under ClueWeb22's
    headers. `source_dir` holds `pages/` and `templates/`. Raises PageError.
    """
    pages = read_pages(source_dir / "pages" / shard)
    templates = template_environment(source_dir / "templates")
    payloads = [render_page(page, pages, templates) for page in pages]
    records = _web_records if shard == "web" else _clueweb22_records
    buffer = BytesIO()
    writer = WARCWriter(buffer, gzip=True, warc_version="WARC/1.0")
    writer.write_record(_warcinfo(SHARD_FILES[shard], min(page.head.crawl_date for page in pages)))
    for record in records(pages, payloads):
        writer.write_record(record)
    return buffer.getvalue()


def main(argv: Sequence[str] | None = None) -> None:
    """Rewrite both WARC files of the sample crawl; --check only compares them."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; write nothing")
    check_only = parser.parse_args(argv).check
    try:
        built = {name: build_shard(shard) for shard, name in SHARD_FILES.items()}
    except PageError as error:
        raise SystemExit(f"build_warc: {error}") from error
    for name, content in built.items():
        target = EXAMPLES_DIR / "warc" / name
        if not check_only:
            _replace_file(target, content)
            print(f"{target}: {len(content):,} bytes")
        elif not target.is_file() or target.read_bytes() != content:
            raise SystemExit(f"build_warc: {target} differs from its pages; run build_warc again")


def _web_records(pages: Sequence[Page], payloads: Sequence[bytes]) -> Iterator[ArcWarcRecord]:
    for page, payload in zip(pages, payloads, strict=True):
        # As on real servers, some pages state their charset in the HTTP header and others only in
        # the document or not at all.
        stated = page.path.suffix == ".md" and "charset" in page.head.model_fields_set
        charset = f"; charset={page.head.charset}" if stated else ""
        yield from _exchange(page.head, page.head.content_type + charset, payload)
    logo = FrontMatter(
        url=_LOGO_URL, title="logo", content_type="image/png", crawl_date=pages[-1].head.crawl_date
    )
    yield from _exchange(logo, logo.content_type, _LOGO_PNG)


def _exchange(head: FrontMatter, content_type: str, payload: bytes) -> Iterator[ArcWarcRecord]:
    """Yield the request record and the response record of one fetch."""
    address = urlsplit(head.url)
    path = address.path + (f"?{address.query}" if address.query else "")
    response_id = _record_id("response", head.url)
    # 192.0.2.0/24 is reserved for documentation (RFC 5737).
    host_number = hashlib.sha256(address.netloc.encode()).digest()[0]
    common = [
        ("WARC-Date", head.crawl_date.strftime("%Y-%m-%dT%H:%M:%SZ")),
        ("WARC-Target-URI", head.url),
        ("WARC-IP-Address", f"192.0.2.{host_number}"),
    ]
    request = [
        *common,
        ("WARC-Record-ID", _record_id("request", head.url)),
        ("WARC-Concurrent-To", response_id),
        ("Content-Type", "application/http; msgtype=request"),
    ]
    request_headers = [
        ("User-Agent", _USER_AGENT),
        ("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"),
        ("Accept-Language", "en-US,en;q=0.5"),
        ("Host", address.netloc),
        ("Connection", "Keep-Alive"),
    ]
    yield _record(
        "request", request, b"", StatusAndHeaders(f"GET {path} HTTP/1.1", request_headers)
    )
    response = [
        *common,
        ("WARC-Record-ID", response_id),
        ("WARC-Identified-Payload-Type", head.content_type),
        ("Content-Type", "application/http; msgtype=response"),
    ]
    response_headers = [
        ("Date", format_datetime(head.crawl_date, usegmt=True)),
        ("Server", "nginx"),
        ("Content-Type", content_type),
        ("Content-Length", str(len(payload))),
        ("Connection", "close"),
    ]
    status = f"{head.status.value} {head.status.phrase}"
    yield _record(
        "response", response, payload, StatusAndHeaders(status, response_headers, "HTTP/1.1")
    )


def _clueweb22_records(pages: Sequence[Page], payloads: Sequence[bytes]) -> Iterator[ArcWarcRecord]:
    for number, (page, payload) in enumerate(zip(pages, payloads, strict=True)):
        head = page.head
        headers = [
            ("WARC-Date", head.crawl_date.strftime("%Y-%m-%dT%H:%M:%S.%fZ")),
            ("WARC-Record-ID", _record_id("response", head.url)),
            ("WARC-Target-URI", head.url),
            ("WARC-Payload-Digest", f"sha1:{hashlib.sha1(payload).hexdigest()}"),
            ("ClueWeb22-ID", f"clueweb22-en0000-00-{number:05d}"),
            ("URL-Hash", hashlib.md5(head.url.encode()).hexdigest().upper()),
            ("Language", head.language),
            ("VDOM-Heading", ""),
            ("VDOM-Primary", ""),
            ("Content-Type", head.content_type),
        ]
        yield _record("response", headers, payload)


def _warcinfo(name: str, date: datetime) -> ArcWarcRecord:
    fields = (
        "software: humpback_pipeline.examples.build_warc\r\n"
        "format: WARC File Format 1.0\r\n"
        "description: sample crawl of fictional sites under reserved domain names\r\n"
    )
    headers = [
        ("WARC-Date", date.strftime("%Y-%m-%dT%H:%M:%SZ")),
        ("WARC-Record-ID", _record_id("warcinfo", name)),
        ("WARC-Filename", name),
        ("Content-Type", "application/warc-fields"),
    ]
    return _record("warcinfo", headers, fields.encode())


def _record_id(kind: str, url: str) -> str:
    return f"<urn:uuid:{uuid.uuid5(_RECORD_NAMESPACE, f'{kind} {url}')}>"


def _record(
    kind: str, headers: list[tuple[str, str]], payload: bytes, http: StatusAndHeaders | None = None
) -> ArcWarcRecord:
    # Built directly: warcio's create_warc_record would parse a bare HTML payload as HTTP.
    warc_headers = StatusAndHeaders("", [("WARC-Type", kind), *headers], "WARC/1.0")
    content_type = warc_headers.get_header("Content-Type")
    record = ArcWarcRecord(
        "warc", kind, warc_headers, BytesIO(payload), http, content_type, len(payload)
    )
    record.payload_length = len(payload)
    return record


def _replace_file(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=target.parent, delete=False) as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    Path(stream.name).chmod(0o644)
    Path(stream.name).replace(target)


if __name__ == "__main__":
    main()
