"""Hand-made WARC bytes of every flavour, and pages to put in them."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

import zstandard

from humpback_pipeline.web import Document

Headers = Sequence[tuple[str, str]]


def page(body: str, title: str = "Tides") -> bytes:
    return (
        f"<!DOCTYPE html><html lang='en'><head><title>{title}</title></head>"
        f"<body>{body}</body></html>"
    ).encode()


def document(body: str, **fields: object) -> Document:
    values: dict[str, object] = {
        "document_id": "doc-1",
        "url": "https://harbour.example.com/tides",
        "language": None,
        "html": page(body),
    }
    return Document(**{**values, **fields})  # type: ignore[arg-type]


def record(
    headers: Headers, block: bytes, version: str = "WARC/1.0", newline: str = "\r\n"
) -> bytes:
    lines = [version, *(f"{name}: {value}" for name, value in headers)]
    if not any(name == "Content-Length" for name, _ in headers):
        lines.append(f"Content-Length: {len(block)}")
    return (newline.join(lines) + newline * 2).encode() + block + b"\r\n\r\n"


def http(
    body: bytes, status: str = "200 OK", headers: Headers = (), newline: str = "\r\n"
) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    return (newline.join(lines) + newline * 2).encode() + body


def common_crawl(
    body: bytes,
    number: int = 0,
    status: str = "200 OK",
    http_headers: Headers = (("Content-Type", "text/html; charset=UTF-8"),),
    extra: Headers = (),
) -> bytes:
    return record(
        [
            ("WARC-Type", "response"),
            ("WARC-Date", "2022-08-24T01:02:03Z"),
            ("WARC-Record-ID", f"<urn:uuid:{number:032x}>"),
            ("WARC-Target-URI", f"https://example.com/{number}"),
            ("Content-Type", "application/http; msgtype=response"),
            *extra,
        ],
        http(body, status, http_headers),
    )


def clueweb22(body: bytes, number: int = 0, language: str = "en") -> bytes:
    return record(
        [
            ("WARC-Type", "response"),
            ("WARC-Date", "2022-08-24T00:00:00.000123Z"),
            ("WARC-Record-ID", f"<urn:uuid:{number:032x}>"),
            ("WARC-Target-URI", f"https://example.com/{number}"),
            ("ClueWeb22-ID", f"clueweb22-en0000-00-{number:05d}"),
            ("URL-Hash", "0123456789ABCDEF0123456789ABCDEF"),
            ("Language", language),
            ("VDOM-Heading", ""),
            ("Content-Type", "text/html"),
        ],
        body,
    )


def clueweb12(body: bytes, number: int = 0) -> bytes:
    return record(
        [
            ("WARC-Type", "response"),
            ("WARC-Date", "2012-02-10T21:46:44Z"),
            ("WARC-TREC-ID", f"clueweb12-0000tw-00-{number:05d}"),
            ("WARC-Target-URI", f"https://example.com/{number}"),
            ("WARC-Record-ID", f"<urn:uuid:{number:032x}>"),
            ("Content-Type", "application/http; msgtype=response"),
        ],
        http(body, headers=[("Content-Type", "text/html")]),
    )


def clueweb09(body: bytes, number: int = 0, date: str = "2009-03-65T08:43:19-0800") -> bytes:
    return record(
        [
            ("WARC-Type", "response"),
            ("WARC-Target-URI", f"https://example.com/{number}"),
            ("WARC-Date", date),
            ("WARC-Record-ID", f"<urn:uuid:{number:032x}>"),
            ("WARC-TREC-ID", f"clueweb09-en0000-00-{number:05d}"),
            ("Content-Type", "application/http;msgtype=response"),
            ("WARC-Identified-Payload-Type", ""),
        ],
        http(body, headers=[("Content-Type", "text/html")], newline="\n"),
        version="WARC/0.18",
        newline="\n",
    )


def warcinfo() -> bytes:
    return record(
        [
            ("WARC-Type", "warcinfo"),
            ("WARC-Record-ID", "<urn:uuid:info>"),
            ("Content-Type", "application/warc-fields"),
        ],
        b"software: tests\r\n",
    )


def gzip_members(*records: bytes) -> bytes:
    return b"".join(gzip.compress(one, mtime=0) for one in records)


def zstd_frames(*records: bytes, dictionary: bytes | None = None, packed: bool = False) -> bytes:
    """A .warc.zst with a frame for each record, after the dictionary's frame if there is one."""
    known = zstandard.ZstdCompressionDict(dictionary) if dictionary is not None else None
    compressor = zstandard.ZstdCompressor(level=3, dict_data=known, write_checksum=True)
    frames = [compressor.compress(one) for one in records]
    if dictionary is not None:
        held = zstandard.ZstdCompressor().compress(dictionary) if packed else dictionary
        frames.insert(0, b"\x5d\x2a\x4d\x18" + len(held).to_bytes(4, "little") + held)
    return b"".join(frames)


def arc_header() -> bytes:
    block = b"1 0 Internet Archive\nURL IP-address Archive-date Content-type Archive-length\n"
    line = b"filedesc://a.arc 0.0.0.0 20080430204825 text/plain %d\n" % len(block)
    return line + block + b"\n"


def arc_record(
    body: bytes, number: int = 0, status: str = "200 OK", content_type: str = "text/html"
) -> bytes:
    block = http(body, status, [("Content-Type", content_type)])
    url = f"https://example.com/{number}"
    return f"{url} 192.0.2.1 20080430204826 {content_type} {len(block)}\n".encode() + block + b"\n"
