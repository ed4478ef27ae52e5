"""What kind of archive a file is: WARC or ARC, plain, gzip or Zstandard; or none, and then what."""

from __future__ import annotations

from typing import BinaryIO, Final

from humpback_pipeline.web.compression import GZIP, Codec
from humpback_pipeline.web.record_formats import ARC, WARC, RecordFormat, format_of
from humpback_pipeline.web.zstandard_frames import is_zstandard, zstandard_codec

_HEAD_BYTES: Final = 1 << 16
_HEAD_INFLATED_BYTES: Final = 1 << 14
# A file whose first record is damaged is searched so far for another one.
_SEARCH_BYTES: Final = 1 << 20


class NotAWarcError(ValueError):
    """The file holds no WARC or ARC records; the message names the path and the remedy."""


def detect_archive(file: BinaryIO, name: str) -> tuple[Codec | None, RecordFormat]:
    """The compression (None: plain) and record format of a file, wherever it is damaged.

    Raises NotAWarcError when no record begins the file, nor can be found soon after.
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    codec = GZIP if GZIP.magic.match(head) else None
    if is_zstandard(head):
        codec = zstandard_codec(file)
    start = head
    if codec is not None:
        n_skipped = codec.skipped(head)
        file.seek(n_skipped)
        start = codec.head(file.read(_HEAD_BYTES) if n_skipped else head, _HEAD_INFLATED_BYTES)
    if found := format_of(start):
        return codec, found
    codecs = [GZIP, zstandard_codec(file)]
    file.seek(0)
    if head and (searched := _search(file.read(_SEARCH_BYTES), codecs)):
        return searched
    raise NotAWarcError(_refusal(name, head, start))


def _search(data: bytes, codecs: list[Codec]) -> tuple[Codec | None, RecordFormat] | None:
    """Kind of the first whole record after a damaged beginning."""
    for codec in codecs:
        for magic in codec.magic.finditer(data):
            begins = data[magic.start() : magic.start() + _HEAD_BYTES]
            if found := format_of(codec.head(begins, _HEAD_INFLATED_BYTES)):
                return codec, found
    for record_format in (WARC, ARC):
        if record_format.resync.search(data):
            return None, record_format
    return None


def _refusal(name: str, head: bytes, start: bytes) -> str:
    """Say what the file is instead of a WARC, and what to do about it."""
    if not head:
        found = "it is empty"
    elif head.startswith(b"PK"):
        found = "it is a zip archive; unpack it first"
    elif head.startswith(b"\x1f\x8b"):
        found = f"it is gzip data of something else, beginning {start[:40]!r}"
    elif is_zstandard(head):
        found = f"it is Zstandard data of something else, beginning {start[:40]!r}"
    else:
        found = f"it begins {head[:40]!r}"
    return (
        f"{name}: not a WARC file: {found}. A WARC file begins with `WARC/1.0` (or gzip or "
        "Zstandard data of that); download it again, or take it out of the WARC directory."
    )
