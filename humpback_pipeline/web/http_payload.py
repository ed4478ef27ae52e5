"""From a WARC block to HTML bytes: the HTTP message if there is one, what is HTML, size limits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from humpback_pipeline.web.charset import wide_encoding
from humpback_pipeline.web.http_body import PayloadError, decode_body
from humpback_pipeline.web.record_formats import parse_fields

__all__ = ["HtmlPayload", "PayloadError", "html_payload", "is_http_message"]

_HTML_TYPES: Final = ("text/html", "application/xhtml+xml")
_CHARSET: Final = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_HTML_MARK: Final = re.compile(
    rb"<\s*(?:!doctype\s+html|html|head|body|title|meta)\b", re.IGNORECASE
)
# Bare HTML (ClueWeb22) may begin with these letters as well: a status and a header line follow.
_HTTP_MESSAGE: Final = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+\d{3}\b[^\n]*\n(?:[\w-]+[ \t]*:|\r?\n)")
_HEADERS_END: Final = re.compile(rb"\n\r?\n")
_MAX_HEADER_BYTES: Final = 1 << 18
_HEAD_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class HtmlPayload:
    """A page's HTML bytes and the charset that its HTTP header states, if any."""

    html: bytes
    charset: str | None


def is_http_message(block: bytes, content_type: str) -> bool:
    """Whether a block is an HTTP response, by its record's Content-Type and by how it begins."""
    if block[:5] != b"HTTP/":
        return False
    return content_type.lower().startswith("application/http") or bool(_HTTP_MESSAGE.match(block))


def html_payload(
    block: bytes, is_http: bool, stated_type: str | None, max_html_bytes: int
) -> HtmlPayload:
    """Take the HTML page out of a response record's block.

    block: an HTTP response if `is_http`, or (ClueWeb22) bare HTML. stated_type: the media type by
    which the archive itself identified the payload, if it did; it outranks the server's
    Content-Type. Raises PayloadError: http_status, malformed_http, not_html, empty_body, too_large,
    undecodable_body.
    """
    media_type, charset, body = _media_type(stated_type), None, block
    if is_http:
        status, fields, body = _split_http(block)
        if status != "200":
            raise PayloadError("http_status")
        content_type = fields.get("content-type", "")
        media_type = media_type or _media_type(content_type)
        charset_match = _CHARSET.search(content_type)
        charset = charset_match[1].lower() if charset_match else None
        if media_type in (None, *_HTML_TYPES):
            body = decode_body(body, fields, max_html_bytes)
    if len(body) > max_html_bytes:
        raise PayloadError("too_large")
    if not body or body.isspace():
        raise PayloadError("empty_body")
    if not _is_html(body, media_type):
        raise PayloadError("not_html")
    return HtmlPayload(body, charset)


def _media_type(content_type: str | None) -> str | None:
    return (content_type or "").split(";")[0].strip().lower() or None


def _is_html(body: bytes, media_type: str | None) -> bool:
    if media_type not in (None, *_HTML_TYPES):
        return False
    head = body[:_HEAD_BYTES]
    is_marked = media_type is None
    if b"\0" in head:
        if encoding := wide_encoding(head):
            head = head.decode(encoding, "replace").encode()
        else:
            is_marked = True  # else an image or archive under a false Content-Type
    return bool(_HTML_MARK.search(head)) if is_marked else b"<" in body


def _split_http(block: bytes) -> tuple[str, dict[str, str], bytes]:
    """Status code, header fields and body of an HTTP response."""
    end = _HEADERS_END.search(block, 0, _MAX_HEADER_BYTES)
    if end is None and len(block) > _MAX_HEADER_BYTES:
        raise PayloadError("malformed_http")
    head = block[: end.end()] if end else block
    status = head.split(b"\n", 1)[0].split(None, 2)[1:2]
    return b"".join(status).decode("latin-1"), parse_fields(head), block[len(head) :]
