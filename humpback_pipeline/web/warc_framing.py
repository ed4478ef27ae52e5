"""Record framing of WARC files, by warcio, made to survive damage and hostile sizes.

warcio stops at the first damaged record and reads lines of any length. Here a damaged record
costs itself alone: reading resumes at the next record that can be found, and what was lost is told.
"""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from warcio.archiveiterator import ArchiveIterator
from warcio.bufferedreaders import BufferedReader
from warcio.statusandheaders import StatusAndHeaders

# It warns of every blank in a URL, of which a crawl has thousands.
logging.getLogger("warcio.recordloader").setLevel(logging.ERROR)

_GZIP_MAGIC: Final = b"\x1f\x8b\x08"
_RECORD_START: Final = re.compile(rb"WARC/\d")
# The headers of one record; ClueWeb22's VDOM headers run to tens of kilobytes.
_MAX_HEADER_BYTES: Final = 1 << 20
_SCAN_BYTES: Final = 1 << 20
_MAX_NOTES: Final = 5


class NotAWarcError(ValueError):
    """The file holds no WARC records; the message names the path and the remedy."""


class DamagedRecordError(Exception):
    """One record breaks the format; others of the file may be whole."""


class TruncatedMemberError(DamagedRecordError):
    """The file ends inside a gzip member."""


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One record: its WARC headers and its block; `block` is None when over the size limit."""

    type: str
    headers: StatusAndHeaders
    block: bytes | None
    offset: int


@dataclass(frozen=True, slots=True)
class DamagedRecord:
    """A place in the file where a record could not be read, and why."""

    reason: str
    offset: int


class RecordStream:
    """Iterate over a WARC file's records, gzip (member per record, or one member) or plain.

    Yields RawRecord, or DamagedRecord where the format breaks. After the iteration `partial` is
    None, or says what was lost. Raises NotAWarcError at once for a file of another format.
    """

    def __init__(self, path: Path, max_block_bytes: int) -> None:
        self.partial: str | None = None
        self._max_block_bytes = max_block_bytes
        self._notes: list[str] = []
        self._file: BinaryIO = path.open("rb")
        try:
            head = self._file.read(4096)
            self._compressed = head.startswith(b"\x1f\x8b")
            start = _inflate_head(head) if self._compressed else head
            # When not even the first member can be read, the next ones may still be whole.
            damaged = self._compressed and not start and self._find_record(1) is not None
            if not damaged and not _RECORD_START.match(start):
                raise NotAWarcError(_refusal(path, head, start))
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file; the stream ends."""
        self._file.close()

    def __iter__(self) -> Iterator[RawRecord | DamagedRecord]:
        offset: int | None = 0
        while offset is not None:
            offset = yield from self._read_from(offset)

    def _read_from(self, offset: int) -> Generator[RawRecord | DamagedRecord, None, int | None]:
        """Yield records from `offset` on; return where to resume after damage, or None."""
        self._file.seek(offset)
        records = _Records(self._file, self._compressed)
        raw: RawRecord
        try:
            for record in records:
                raw = _read_block(records, record, self._max_block_bytes)
                yield raw
            return None
        except OSError:
            raise
        # warcio meets hostile bytes with whatever its parser stumbles on (ValueError,
        # AttributeError, its own classes): any of them means that this record is damaged.
        except Exception as error:
            damaged_at, cause = records.record_offset, error
        resume_at = self._find_record(damaged_at + 1)
        self._note_loss(damaged_at, cause, resume_at)
        truncated = isinstance(cause, TruncatedMemberError) and resume_at is None
        yield DamagedRecord("truncated_record" if truncated else "malformed_record", damaged_at)
        return resume_at

    def _find_record(self, start: int) -> int | None:
        mark = _GZIP_MAGIC if self._compressed else b"WARC/"
        position, tail = start, b""
        while True:
            self._file.seek(position)
            chunk = self._file.read(_SCAN_BYTES)
            if not chunk:
                return None
            window, base = tail + chunk, position - len(tail)
            found = window.find(mark)
            while found >= 0:
                if self._is_record_start(base + found):
                    return base + found
                found = window.find(mark, found + 1)
            position += len(chunk)
            tail = window[-(len(mark) - 1) :]

    def _is_record_start(self, offset: int) -> bool:
        if self._compressed:
            self._file.seek(offset)
            return bool(_RECORD_START.match(_inflate_head(self._file.read(4096))))
        self._file.seek(max(0, offset - 1))
        head = self._file.read(8)
        return head[:1] == b"\n" and bool(_RECORD_START.match(head[1:]))

    def _note_loss(self, offset: int, cause: Exception, resume_at: int | None) -> None:
        what = str(cause).strip().splitlines()[0][:120] if str(cause).strip() else repr(cause)
        if resume_at is not None:
            end = f"reading went on with the record at offset {resume_at}"
        else:
            size = self._file.seek(0, 2)
            end = f"no record after it could be read (the file ends at offset {size})"
        self._notes.append(f"{what} at offset {offset}; {end}")
        more = len(self._notes) - _MAX_NOTES
        shown = [*self._notes[:_MAX_NOTES], f"and {more} more"] if more > 0 else self._notes
        self.partial = " | ".join(shown)


class _MemberReader(BufferedReader):
    """warcio's reader, strict: bad or cut gzip data raises, and header lines are bounded."""

    def __init__(self, stream: BinaryIO, compressed: bool) -> None:
        self._fed = False
        self.member_offset = stream.tell()
        self.header_bytes = 0
        super().__init__(stream, decomp_type="gzip" if compressed else None)

    def _init_decomp(self, decomp_type: str | None) -> None:
        super()._init_decomp(decomp_type)
        self._fed = False

    def _decompress(self, data: bytes) -> bytes:
        if not self.decompressor or not data:
            return data
        self._fed = True
        try:
            return self.decompressor.decompress(data)
        except zlib.error as error:
            raise DamagedRecordError(f"damaged gzip data ({error})") from error

    def _process_read(self, data: bytes) -> None:
        if not data and self.decompressor and self._fed and not self.decompressor.eof:
            raise TruncatedMemberError("gzip member truncated")
        super()._process_read(data)

    def read_next_member(self) -> bool:
        if not super().read_next_member():
            return False
        self.member_offset = self.stream.tell() - len(self.starting_data)
        return True

    def readline(self, length: int | None = None) -> bytes:
        limit = _MAX_HEADER_BYTES - self.header_bytes
        line: bytes = super().readline(min(length or limit, limit))
        self.header_bytes += len(line)
        if self.header_bytes >= _MAX_HEADER_BYTES:
            raise DamagedRecordError(f"record headers over {_MAX_HEADER_BYTES} bytes")
        return line


class _Records(ArchiveIterator):
    """warcio's iterator over one stretch of file, with raw blocks and strict boundaries."""

    def __init__(self, file: BinaryIO, compressed: bool) -> None:
        # ClueWeb22 blocks hold bare HTML: parsed as HTTP they would lose their first lines.
        super().__init__(file, no_record_parse=True)
        self.known_format = "warc"
        self.compressed = compressed
        self.reader = _MemberReader(file, compressed)

    @property
    def record_offset(self) -> int:
        return int(self.reader.member_offset if self.compressed else self.offset)

    def _raise_invalid_gzip_err(self) -> None:
        """Accept several records in one gzip member, which warcio refuses for random access."""

    def _consume_blanklines(self) -> tuple[bytes | None, int]:
        self.reader.header_bytes = empty_bytes = 0
        while True:
            line = self.reader.readline()
            if not line:
                return None, empty_bytes
            if line.strip():
                break
            empty_bytes += len(line)
        if not _RECORD_START.match(line):
            raise DamagedRecordError("record with a false Content-Length")
        return line, empty_bytes


def _read_block(records: _Records, record: object, max_block_bytes: int) -> RawRecord:
    """Read one record to its end, so that a false length shows before the record is passed on."""
    headers: StatusAndHeaders = record.rec_headers  # type: ignore[attr-defined]
    length: int | None = record.length  # type: ignore[attr-defined]
    if length is None or headers.get_header("Content-Length") is None:
        raise DamagedRecordError("record without Content-Length")
    if not headers.get_header("Content-Length").strip().isdigit():
        raise DamagedRecordError("record with a Content-Length that is no number")
    offset, block = records.record_offset, None
    if length <= max_block_bytes:
        block = record.raw_stream.read(length)  # type: ignore[attr-defined]
        if len(block) < length:
            raise DamagedRecordError(f"record cut after {len(block)} of {length} bytes")
    records.read_to_end()
    return RawRecord((headers.get_header("WARC-Type") or "").lower(), headers, block, offset)


def _inflate_head(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(data, 512)
    except zlib.error:
        return b""


def _refusal(path: Path, head: bytes, start: bytes) -> str:
    """Say what the file is instead of a WARC, and what to do about it."""
    if not head:
        found = "it is empty"
    elif head.startswith(b"\x28\xb5\x2f\xfd"):
        found = "it is Zstandard data; unpack it first"
    elif head.startswith(b"PK"):
        found = "it is a zip archive; unpack it first"
    elif start.startswith(b"filedesc://"):
        found = "it is an ARC file; convert it with `warcio recompress`"
    elif head.startswith(b"\x1f\x8b"):
        found = f"it is gzip data of something else, beginning {start[:40]!r}"
    else:
        found = f"it begins {head[:40]!r}"
    return (
        f"{path}: not a WARC file: {found}. A WARC file begins with `WARC/1.0` "
        "(or gzip data of that); download it again, or take it out of the WARC directory."
    )
