"""Records of WARC and ARC files, made to survive damage and hostile sizes.

A damaged record costs itself alone: reading resumes at the next record that can be found, and what
was lost is told. Within a member that is the next head of a record; where the compression itself is
damaged, the next member. (warcio, which others use, stops at the first damage, and reads lines of
any length.)
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from humpback_pipeline.storage.remote import STREAM_BLOCK_BYTES, open_location, redacted
from humpback_pipeline.web.compression import (
    DamagedMemberError,
    DamagedRecordError,
    TruncatedMemberError,
)
from humpback_pipeline.web.members import MemberStream
from humpback_pipeline.web.record_formats import RESYNC_OVERLAP_BYTES
from humpback_pipeline.web.warc_detection import NotAWarcError, detect_archive

__all__ = ["DamagedRecord", "DamagedRecordError", "NotAWarcError", "RawRecord", "RecordStream"]

# The headers of one record; ClueWeb22's VDOM headers run to tens of kilobytes.
_MAX_HEADER_BYTES: Final = 1 << 20
_MIN_SCAN_BYTES: Final = 1 << 13
_MAX_SCAN_BYTES: Final = 1 << 20
_MEMBER_HEAD_BYTES: Final = 1 << 14
_MAX_BLANK_BYTES: Final = 8
_MAX_NOTES: Final = 5
# Going back over a false size means to decompress the member again up to there.
_MAX_REWINDS: Final = 20
_LENGTH: Final = re.compile(r"[0-9]{1,18}")


class _CutRecordError(DamagedRecordError):
    """A record's block is shorter than its head says."""


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One record: its header fields by lower-case name, and its block.

    block: None when over the size limit. offset: of the record in a plain file, else of the member
    that it is in.
    """

    type: str
    fields: Mapping[str, str]
    block: bytes | None
    offset: int


@dataclass(frozen=True, slots=True)
class DamagedRecord:
    """A place in the file where a record could not be read: a reason to count it by, and why."""

    reason: str
    offset: int
    cause: str


class RecordStream:
    """Iterate over the records of a WARC or ARC file, plain, gzip or Zstandard, local or remote.

    Compressed files may have a member for each record, or fewer. Yields RawRecord, or DamagedRecord
    where the format breaks. After the iteration `partial` is None, or says what was lost. Raises
    NotAWarcError at once for a file of another format, OSError when reading fails.
    """

    def __init__(
        self,
        location: Path | str,
        max_block_bytes: int,
        *,
        read_ahead_bytes: int = STREAM_BLOCK_BYTES,
    ) -> None:
        self.partial: str | None = None
        self._max_block_bytes = max_block_bytes
        self._notes: list[str] = []
        self._n_notes = 0
        self._n_rewinds = 0
        self._file = open_location(location, read_ahead_bytes)
        try:
            self._codec, self._format = detect_archive(self._file, redacted(location))
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file; the stream ends."""
        self._file.close()

    def __iter__(self) -> Iterator[RawRecord | DamagedRecord]:
        offset: int | None = 0
        while offset is not None:
            stream = MemberStream(self._file, self._codec, offset)
            try:
                yield from self._records(stream)
                return
            except DamagedMemberError as error:
                damaged_at, cause = stream.member_offset, error
            offset = self._find_member(damaged_at + 1)
            # A member that breaks off in mid-file was not cut, but damaged.
            is_told = offset is None or not isinstance(cause, TruncatedMemberError)
            yield self._damage(cause, damaged_at, offset, cause.reason if is_told else None)

    def records_at(self, offset: int) -> Iterator[RawRecord]:
        """The record that begins at `offset`; all of its member, where the file is compressed.

        Raises DamagedRecordError where one cannot be read.
        """
        stream = MemberStream(self._file, self._codec, offset)
        stream.next_member()
        while stream.skip_blank():
            yield self._read(stream)
            if stream.is_plain:
                return

    def _records(self, stream: MemberStream) -> Generator[RawRecord | DamagedRecord, None, None]:
        """Yield the records of this and all following members."""
        while True:
            begin = stream.offset, stream.position
            try:
                if not stream.skip_blank():
                    if not stream.next_member():
                        return
                    continue
                begin = stream.offset, stream.position
                record = self._read(stream)
            except DamagedMemberError:
                raise
            except DamagedRecordError as error:
                yield self._resume(stream, *begin, error)
                continue
            yield record

    def _read(self, stream: MemberStream) -> RawRecord:
        """Read one record to its end, so that a false length shows before it is passed on."""
        form, offset, position = self._format, stream.offset, stream.position
        if not form.start.match(stream.peek(form.start_bytes)):
            raise DamagedRecordError("something that is no record")
        head = stream.take_through(form.head_end, _MAX_HEADER_BYTES)
        if head is None:
            raise _CutRecordError("record cut in its headers")
        block: bytes | None = None
        try:
            fields = form.parse(head)
            n_bytes = _content_length(fields)
            if n_bytes <= self._max_block_bytes:
                block = stream.take(n_bytes)
                if len(block) < n_bytes:
                    raise _CutRecordError(f"record cut after {len(block):,} of {n_bytes:,} bytes")
            elif not stream.skip(n_bytes):
                raise _CutRecordError(f"record cut before the end of its {n_bytes:,} bytes")
            if not self._ends_here(stream, block):
                raise DamagedRecordError("record with a false Content-Length")
        except DamagedMemberError:
            raise
        except DamagedRecordError:
            if stream.position == position + len(head) + len(block or b""):
                stream.put_back(head + (block or b""))
            elif stream.is_plain or self._n_rewinds < _MAX_REWINDS:
                self._n_rewinds += 1
                stream.rewind(position)
            raise
        return RawRecord(fields.get("warc-type", "").lower(), fields, block, offset)

    def _ends_here(self, stream: MemberStream, block: bytes | None) -> bool:
        """Whether a record may end here: with the file or its member, or before a new record."""
        form = self._format
        after = stream.peek(form.start_bytes + _MAX_BLANK_BYTES)
        rest = after.lstrip()
        if not rest or form.start.match(rest):
            return True
        # Junk follows. A false size may by chance end at such a place inside a later record.
        return after.startswith(form.block_ends) and not form.resync.search(block or b"")

    def _resume(
        self, stream: MemberStream, offset: int, position: int, error: DamagedRecordError
    ) -> DamagedRecord:
        """Go to the next record after a damaged one, in its member or the next."""
        stream.skip(1)
        is_found = stream.skip_to(self._format.resync, RESYNC_OVERLAP_BYTES)
        if not is_found and not stream.next_member():
            is_cut = isinstance(error, _CutRecordError) and stream.is_plain
            return self._damage(error, offset, None, "truncated_record" if is_cut else None)
        return self._damage(error, offset, stream.offset, None)

    def _find_member(self, start: int) -> int | None:
        """Offset of the next member, from `start` on, that begins with a record."""
        assert self._codec is not None
        position, tail, scan_bytes = start, b"", _MIN_SCAN_BYTES
        while True:
            self._file.seek(position)
            chunk = self._file.read(scan_bytes)
            if not chunk:
                return None
            window, base = tail + chunk, position - len(tail)
            for magic in self._codec.magic.finditer(window):
                self._file.seek(base + magic.start())
                head = self._codec.head(self._file.read(_MEMBER_HEAD_BYTES), _MEMBER_HEAD_BYTES)
                if self._format.start.match(head.lstrip()):
                    return base + magic.start()
            position += len(chunk)
            tail = window[-3:]
            scan_bytes = min(2 * scan_bytes, _MAX_SCAN_BYTES)

    def _damage(
        self, cause: Exception, offset: int, resume_at: int | None, reason: str | None
    ) -> DamagedRecord:
        if resume_at is not None:
            end = f"reading went on with the record at offset {resume_at}"
        else:
            end = f"no record after it could be read (the file ends at offset {self._n_bytes()})"
        self._n_notes += 1
        if self._n_notes <= _MAX_NOTES:
            self._notes.append(f"{cause} at offset {offset}; {end}")
        more = self._n_notes - _MAX_NOTES
        self.partial = " | ".join([*self._notes, f"and {more} more"] if more > 0 else self._notes)
        return DamagedRecord(reason or "malformed_record", offset, str(cause))

    def _n_bytes(self) -> int:
        return self._file.seek(0, 2)


def _content_length(fields: Mapping[str, str]) -> int:
    stated = fields.get("content-length")
    if stated is None:
        raise DamagedRecordError("record without Content-Length")
    if not _LENGTH.fullmatch(stated):
        raise DamagedRecordError("record with a Content-Length that is no number")
    return int(stated)
