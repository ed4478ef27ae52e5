"""HTTP bodies without their transfer and content encodings (RFC 9112, RFC 9110), size-limited."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Final

_CHUNK_SIZE: Final = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\n]{0,1000})?\r?\n")

_LINE_END: Final = re.compile(rb"\r?\n|")


class PayloadError(Exception):
    """The block holds no usable HTML page; `reason` is the name to count it by."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode_body(body: bytes, fields: Mapping[str, str], max_bytes: int) -> bytes:
    """Remove chunking, then compression, as the header fields (lower-case names) say.

    Many archives keep the headers of a body that they have decoded already, so a body that is not
    what they say is returned as it is. Inflates to at most one byte over `max_bytes`. Raises
    PayloadError: undecodable_body, too_large.
    """
    if "chunked" in fields.get("transfer-encoding", "").lower():
        body = _dechunk(body)
    encoding = fields.get("content-encoding", "").strip().lower()
    if encoding in ("gzip", "x-gzip"):
        return _inflate(body, 16 + zlib.MAX_WBITS, max_bytes) if body[:2] == b"\x1f\x8b" else body
    if encoding == "deflate":
        looks_zlib = len(body) > 1 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
        if not looks_zlib and b"<" in body[:256]:
            return body
        return _inflate(body, zlib.MAX_WBITS if looks_zlib else -zlib.MAX_WBITS, max_bytes)
    if encoding == "zstd" and body[:4] == b"\x28\xb5\x2f\xfd":
        return _unzstd(body, max_bytes)
    if encoding == "br" and b"<" not in body[:256]:
        return _unbrotli(body, max_bytes)
    return body


def _dechunk(body: bytes) -> bytes:
    """The chunks together; where they break off, what is left as it is."""
    pieces: list[bytes] = []
    at = 0
    while size := _CHUNK_SIZE.match(body, at):
        n_bytes = int(size[1], 16)
        if not n_bytes:
            return b"".join(pieces)
        end = size.end() + n_bytes
        pieces.append(body[size.end() : end])
        line_end = _LINE_END.match(body, end)
        at = line_end.end() if line_end else len(body)
    pieces.append(body[at:])
    return b"".join(pieces)


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


def _unzstd(body: bytes, max_bytes: int) -> bytes:
    import zstandard

    # Browsers accept a window of 8 MiB at most (RFC 9659).
    decoder = zstandard.ZstdDecompressor(max_window_size=8 << 20)
    return _bounded(lambda: decoder.stream_reader(BytesIO(body)).read(max_bytes + 1), max_bytes)


def _bounded(decode: Callable[[], bytes], max_bytes: int) -> bytes:
    try:
        decoded = decode()
    except Exception as error:
        raise PayloadError("undecodable_body") from error
    if len(decoded) > max_bytes:
        raise PayloadError("too_large")
    return decoded
