"""Compressions of WARC files: how members begin and decode, and how their damage is named."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, cast

from isal import isal_zlib

# What is passed over without being a page may not inflate without end: from here on, at this ratio
# of output to input, it counts as a bomb. Real text stays far below it.
_BOMB_BYTES: Final = 128 << 20
_BOMB_RATIO: Final = 100


class DamagedRecordError(Exception):
    """One record breaks the format; others of the file may be whole."""

    reason = "malformed_record"


class DamagedMemberError(DamagedRecordError):
    """A member cannot be decompressed any further."""


class TruncatedMemberError(DamagedMemberError):
    """The file ends inside a member."""

    reason = "truncated_record"


class DecompressionBombError(DamagedMemberError):
    """A member inflates to far more than it can hold."""

    reason = "too_large"


class Decoder(Protocol):
    """What decompresses one member; as `zlib.decompressobj`."""

    @property
    def eof(self) -> bool:
        """Whether the member is at its end."""

    @property
    def unused_data(self) -> bytes:
        """Input that follows the member."""

    @property
    def unconsumed_tail(self) -> bytes:
        """Input not looked at yet, as `max_length` was reached."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """What `data` adds to the output."""


@dataclass(frozen=True, slots=True)
class Codec:
    """A compression: how members begin, how they are decoded, what decoding raises.

    `skipped` tells how many bytes at a member's place hold something else; `name` and `unit` are
    for messages.
    """

    name: str
    unit: str
    magic: re.Pattern[bytes]
    new_decoder: Callable[[], Decoder]
    error: type[Exception]
    skipped: Callable[[bytes], int] = lambda _: 0

    def head(self, data: bytes, n_bytes: int = 512) -> bytes:
        """First bytes of the member that begins with `data`; none if it cannot be decoded."""
        try:
            return self.new_decoder().decompress(data, n_bytes)
        except self.error:
            return b""


GZIP: Final = Codec(
    "gzip",
    "member",
    re.compile(rb"\x1f\x8b\x08[\x00-\x1f]"),
    # ISA-L inflates in less than half the time of zlib, and inflating is most of reading.
    lambda: isal_zlib.decompressobj(16 + isal_zlib.MAX_WBITS),
    cast(type[Exception], isal_zlib.error),  # its stubs call it an instance
)


@dataclass(frozen=True, slots=True)
class BombGuard:
    """Tells when passing over part of a member gives far more bytes than went in.

    n_read, n_produced: bytes into and out of the decoder where the part begins.
    """

    n_read: int
    n_produced: int

    def check(self, n_read: int, n_produced: int) -> None:
        """Raise DecompressionBombError for a bomb, given the same two counts now."""
        read, produced = n_read - self.n_read, n_produced - self.n_produced
        if produced > _BOMB_BYTES and produced > _BOMB_RATIO * max(read, 1):
            raise DecompressionBombError(f"{read:,} bytes inflate to over {produced:,}")
