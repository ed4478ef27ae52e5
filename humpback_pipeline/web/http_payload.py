"""From a WARC block to HTML bytes: HTTP message, transfer and content encodings, size limits."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from warcio.bufferedreaders import ChunkedDataReader
from warcio.statusandheaders import StatusAndHeaders, StatusAndHeadersParser

_HTML_TYPES: Final = ("text/html", "application/xhtml+xml")
_CHARSET: Final = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_HTML_MARK: Final = re.compile(
    rb"<\s*(?:!doctype\s+html|html|head|body|title|meta)\b", re.IGNORECASE
)
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


class PayloadError(Exception):
    """The block holds no usable HTML page; `reason` is the name to count it by."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class HtmlPayload:
    """A page's HTML bytes and the charset that its HTTP header states, if any."""

    html: bytes
    charset: str | None


def html_payload(block: bytes, stated_type: str | None, max_html_bytes: int) -> HtmlPayload:
    """Take the HTML page out of a response record's block.

    block: an HTTP response, or (ClueWeb22) bare HTML. stated_type: the media type by which the
    archive itself identified the payload, if it did; it outranks the server's Content-Type.
    Raises PayloadError: http_status, not_html, empty_body, too_large, undecodable_body.
    """
    media_type, charset, body = stated_type, None, block
    if block[:5] == b"HTTP/":
        http, body = _split_http(block)
        if http.get_statuscode() != "200":
            raise PayloadError("http_status")
        content_type = http.get_header("Content-Type") or ""
        media_type = stated_type or content_type
        charset_match = _CHARSET.search(content_type)
        charset = charset_match[1].lower() if charset_match else None
        if _media_type(media_type) in (None, *_HTML_TYPES):
            body = _decode_body(body, http, max_html_bytes)
    if not body.strip():
        raise PayloadError("empty_body")
    if len(body) > max_html_bytes:
        raise PayloadError("too_large")
    if not _is_html(body, _media_type(media_type)):
        raise PayloadError("not_html")
    return HtmlPayload(body, charset)


def _media_type(content_type: str | None) -> str | None:
    return (content_type or "").split(";")[0].strip().lower() or None


def _is_html(body: bytes, media_type: str | None) -> bool:
    if media_type not in (None, *_HTML_TYPES):
        return False
    head = body[:4096]
    if b"\0" in head and not head.startswith(_UTF16_MARKS):
        return False  # an image or archive under a false Content-Type
    return bool(_HTML_MARK.search(head)) if media_type is None else b"<" in body


def _split_http(block: bytes) -> tuple[StatusAndHeaders, bytes]:
    stream = BytesIO(block)
    try:
        http = StatusAndHeadersParser(["HTTP/"], verify=False).parse(stream)
    except EOFError as error:
        raise PayloadError("malformed_http") from error
    return http, block[stream.tell() :]


def _decode_body(body: bytes, http: StatusAndHeaders, max_bytes: int) -> bytes:
    """Remove chunking, then compression; reads at most one byte over `max_bytes`."""
    if "chunked" in (http.get_header("Transfer-Encoding") or "").lower():
        # Falls back to the bytes as they are: some archives keep the header of a decoded body.
        body = ChunkedDataReader(BytesIO(body)).read()
    encoding = (http.get_header("Content-Encoding") or "").strip().lower()
    if encoding in ("gzip", "x-gzip"):
        return _inflate(body, 16 + zlib.MAX_WBITS, max_bytes) if body[:2] == b"\x1f\x8b" else body
    if encoding == "deflate":
        looks_zlib = len(body) > 1 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
        if not looks_zlib and b"<" in body[:256]:
            return body
        return _inflate(body, zlib.MAX_WBITS if looks_zlib else -zlib.MAX_WBITS, max_bytes)
    if encoding == "br" and b"<" not in body[:256]:
        return _unbrotli(body, max_bytes)
    return body


def _inflate(body: bytes, wbits: int, max_bytes: int) -> bytes:
    decoder = zlib.decompressobj(wbits)
    return _bounded(lambda: decoder.decompress(body, max_bytes + 1), max_bytes)


def _unbrotli(body: bytes, max_bytes: int) -> bytes:
    try:
        import brotli
    except ImportError as error:
        raise PayloadError("undecodable_body") from error
    decoder: Any = brotli.Decompressor()
    return _bounded(lambda: decoder.process(body, output_buffer_limit=max_bytes + 1), max_bytes)


def _bounded(decode: Callable[[], bytes], max_bytes: int) -> bytes:
    try:
        decoded = decode()
    except Exception as error:
        raise PayloadError("undecodable_body") from error
    if len(decoded) > max_bytes:
        raise PayloadError("too_large")
    return decoded
