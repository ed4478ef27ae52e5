"""The bytes of a WARC file, plain or in gzip members or Zstandard frames, in bounded pieces.

A member may inflate to any size, so nothing here holds more of it than it was asked for.
"""

from __future__ import annotations

import re
from typing import BinaryIO, Final

from humpback_pipeline.web.compression import (
    BombGuard,
    Codec,
    DamagedMemberError,
    DamagedRecordError,
    Decoder,
    TruncatedMemberError,
)

# Read from the file, and given by a decoder, at a time.
_INPUT_BYTES: Final = 1 << 16
_OUTPUT_BYTES: Final = 1 << 18
_MAX_BLANK_BYTES: Final = 1 << 16
_BLANK: Final = re.compile(rb"[\r\n\t ]*")


class MemberStream:
    """Decompressed bytes of a file from `offset` on, where a member begins, one member at a time.

    codec: None for a plain file, which is one member; in others `next_member` goes to the first.
    All methods raise DamagedRecordError where the data break off.
    """

    def __init__(self, file: BinaryIO, codec: Codec | None, offset: int) -> None:
        self._file = file
        self._codec = codec
        self._decoder: Decoder | None = None
        self.member_offset = offset
        # Taken from the file and not decompressed yet; where in the file it ends.
        self._input, self._input_end = b"", offset
        # Decompressed, taken up to `_at`; how much of the member was decompressed in all.
        self._buffer, self._at, self._produced = b"", 0, 0
        self._restart()

    @property
    def offset(self) -> int:
        """Where the next byte is to be found: of its member, or, in a plain file, its own."""
        return self.member_offset if self._codec else self.member_offset + self.position

    @property
    def position(self) -> int:
        """Bytes of this member taken so far."""
        return self._produced - len(self._buffer) + self._at

    @property
    def is_plain(self) -> bool:
        """Whether the file is not compressed."""
        return self._codec is None

    def next_member(self) -> bool:
        """Go to the next member, after the end of one; False at the end of the file."""
        if self._codec is None:
            return False
        self.member_offset = self._input_end - len(self._input)
        while True:
            if len(self._input) < 8:
                self._read_input()
            if not self._input:
                return False
            n_skipped = self._codec.skipped(self._input)
            if not n_skipped:
                break
            end = self.member_offset + n_skipped
            is_inside = end <= self._file.seek(0, 2)
            self._seek(end)
            self._read_input()
            if not is_inside or (self._input and not self._begins_member(self._input)):
                raise DamagedMemberError(f"{self._codec.name} {self._codec.unit} of a false size")
            self.member_offset = end
        self._decoder = self._codec.new_decoder()
        self._buffer, self._at, self._produced = b"", 0, 0
        return True

    def rewind(self, position: int) -> None:
        """Go back to a position in this member; one that is compressed is read again up to it."""
        self._restart()
        if self.is_plain:
            self.skip(position)
            return
        self.next_member()
        while self._produced < position and self._grow():
            self._at = max(0, len(self._buffer) - max(0, self._produced - position))

    def peek(self, n_bytes: int) -> bytes:
        """The next bytes without taking them; fewer if the member ends before."""
        while len(self._buffer) - self._at < n_bytes and self._grow():
            pass
        return self._buffer[self._at : self._at + n_bytes]

    def take(self, n_bytes: int) -> bytes:
        """The next bytes; fewer if the member ends before."""
        have = len(self._buffer) - self._at
        if have >= n_bytes:
            taken = self._buffer[self._at : self._at + n_bytes]
            self._at += n_bytes
            return taken
        pieces = [self._buffer[self._at :]]
        self._buffer, self._at = b"", 0
        while have < n_bytes and (piece := self._next_piece()):
            pieces.append(piece)
            have += len(piece)
        if (too_many := have - n_bytes) > 0:
            self._buffer, self._at = piece, len(piece) - too_many
            pieces[-1] = piece[:-too_many]
        return b"".join(pieces)

    def take_through(self, end: re.Pattern[bytes], max_bytes: int) -> bytes | None:
        """All bytes up to the end of the first match; None, taking none, if there is none there.

        `end` matches at most three bytes. Raises DamagedRecordError beyond `max_bytes`.
        """
        searched = 0
        while True:
            found = end.search(self._buffer, self._at + searched)
            if found and found.end() - self._at <= max_bytes:
                taken = self._buffer[self._at : found.end()]
                self._at = found.end()
                return taken
            have = len(self._buffer) - self._at
            if found or have > max_bytes:
                raise DamagedRecordError(f"record headers over {max_bytes} bytes")
            searched = max(0, have - 2)
            if not self._grow():
                return None

    def skip(self, n_bytes: int) -> bool:
        """Pass over bytes without keeping them; False if the member ends before."""
        left = n_bytes - (len(self._buffer) - self._at)
        if left <= 0:
            self._at += n_bytes
            return True
        self._buffer, self._at = b"", 0
        if self._codec is None:
            start = self._input_end
            file_bytes = self._file.seek(0, 2)
            self._input_end = self._file.seek(min(start + left, file_bytes))
            self._produced += self._input_end - start
            return start + left <= file_bytes
        guard = self._bomb_guard()
        while left > 0 and (piece := self._next_piece()):
            guard.check(self._n_read, self._produced)
            left -= len(piece)
            if left < 0:
                self._buffer, self._at = piece, len(piece) + left
        return left <= 0

    def skip_blank(self) -> bool:
        """Pass over blank lines; False at the end of the member."""
        n_blank = 0
        while True:
            blank = _BLANK.match(self._buffer, self._at)
            end = blank.end() if blank else self._at
            n_blank += end - self._at
            self._at = end
            if self._at < len(self._buffer):
                return True
            if n_blank > _MAX_BLANK_BYTES:
                raise DamagedRecordError(f"over {_MAX_BLANK_BYTES} blank bytes between records")
            if not self._grow():
                return False

    def skip_to(self, start: re.Pattern[bytes], overlap: int) -> bool:
        """Go to the next match of `start`, of at most `overlap` bytes; False if there is none."""
        guard = self._bomb_guard()
        while True:
            if found := start.search(self._buffer, self._at):
                self._at = found.start()
                return True
            self._at = max(self._at, len(self._buffer) - overlap)
            if not self._grow():
                self._at = len(self._buffer)
                return False
            guard.check(self._n_read, self._produced)

    def put_back(self, data: bytes) -> None:
        """Undo the taking of `data`, the last bytes that were taken."""
        self._buffer, self._at = data + self._buffer[self._at :], 0

    def _bomb_guard(self) -> BombGuard:
        return BombGuard(self._n_read, self._produced)

    @property
    def _n_read(self) -> int:
        """Bytes of the file that went into the decoder so far."""
        return self._input_end - len(self._input)

    def _restart(self) -> None:
        self._decoder = None
        self._buffer, self._at, self._produced = b"", 0, 0
        self._seek(self.member_offset)

    def _begins_member(self, data: bytes) -> bool:
        codec = self._codec
        return codec is not None and bool(codec.magic.match(data) or codec.skipped(data))

    def _seek(self, offset: int) -> None:
        self._file.seek(offset)
        self._input, self._input_end = b"", offset

    def _read_input(self) -> None:
        data = self._file.read(_INPUT_BYTES)
        self._input_end += len(data)
        self._input = self._input + data if self._input else data

    def _grow(self) -> bool:
        piece = self._next_piece()
        rest = self._buffer[self._at :] if self._at < len(self._buffer) else b""
        self._buffer, self._at = rest + piece if rest else piece, 0
        return bool(piece)

    def _next_piece(self) -> bytes:
        """What follows in the member, decompressed; empty at its end."""
        codec, decoder = self._codec, self._decoder
        if codec is None:
            self._read_input()
            piece, self._input = self._input, b""
            self._produced += len(piece)
            return piece
        if decoder is None:  # before the first member
            return b""
        while not decoder.eof:
            if not self._input:
                self._read_input()
                if not self._input:
                    raise TruncatedMemberError(f"{codec.name} {codec.unit} truncated")
            try:
                piece = decoder.decompress(self._input, _OUTPUT_BYTES)
            except codec.error as error:
                raise DamagedMemberError(f"damaged {codec.name} data ({error})") from error
            self._input = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
            if piece:
                self._produced += len(piece)
                return piece
        return b""
