"""Zstandard frames of .warc.zst files, by the `zstandard` package.

A frame for each record, with or without a dictionary in the file's first frame, as in the IIPC's
specification (iipc.github.io/warc-specifications/specifications/warc-zstd), or one frame for all.
"""

from __future__ import annotations

import re
from typing import Any, BinaryIO, Final

import zstandard

from humpback_pipeline.web.compression import Codec

_DICTIONARY_MAGIC: Final = b"\x5d\x2a\x4d\x18"
_SKIPPABLE: Final = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_FRAME: Final = re.compile(rb"\x28\xb5\x2f\xfd")
_MAX_DICTIONARY_BYTES: Final = 16 << 20
# The package gives whatever its input holds, at most 128 KiB for each four bytes: with so few at a
# time a bomb comes in pieces of 32 MiB.
_STEP_BYTES: Final = 1 << 10
_MAX_WINDOW_BYTES: Final = 128 << 20


def is_zstandard(head: bytes) -> bool:
    """Whether a file that begins so holds Zstandard frames."""
    return bool(_FRAME.match(head) or _SKIPPABLE.match(head))


def zstandard_codec(file: BinaryIO) -> Codec:
    """The codec of a file, with its dictionary if it begins with one."""
    dictionary = _read_dictionary(file)
    context = zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=_MAX_WINDOW_BYTES)
    return Codec(
        "zstd", "frame", _FRAME, lambda: _FrameDecoder(context), zstandard.ZstdError, _skipped
    )


class _FrameDecoder:
    """One frame; as `zlib.decompressobj`."""

    def __init__(self, context: zstandard.ZstdDecompressor) -> None:
        self._object: Any = context.decompressobj()
        self.eof = False
        self.unused_data = self.unconsumed_tail = b""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Bytes of the frame; somewhat over `max_length` at times, by a step's output."""
        pieces, n_bytes, at = [], 0, 0
        while at < len(data) and n_bytes < max_length:
            piece = self._object.decompress(data[at : at + _STEP_BYTES])
            at += _STEP_BYTES
            pieces.append(piece)
            n_bytes += len(piece)
            if self._object.eof:
                self.eof = True
                self.unused_data = self._object.unused_data + data[at:]
                break
        self.unconsumed_tail = b"" if self.eof else data[at:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _skipped(head: bytes) -> int:
    """Length of a frame that holds no data, such as a dictionary; 0 for any other."""
    return 8 + int.from_bytes(head[4:8], "little") if _SKIPPABLE.match(head) else 0


def _read_dictionary(file: BinaryIO) -> zstandard.ZstdCompressionDict | None:
    file.seek(0)
    head = file.read(8)
    if not head.startswith(_DICTIONARY_MAGIC):
        return None
    n_bytes = _skipped(head) - 8
    if n_bytes > _MAX_DICTIONARY_BYTES:
        return None  # no record will decode, which is then said of each
    data = file.read(n_bytes)
    if _FRAME.match(data):
        try:
            with zstandard.ZstdDecompressor().stream_reader(data) as reader:
                data = reader.read(_MAX_DICTIONARY_BYTES)
        except zstandard.ZstdError:
            return None
    try:
        return zstandard.ZstdCompressionDict(data)
    except zstandard.ZstdError:
        return None
