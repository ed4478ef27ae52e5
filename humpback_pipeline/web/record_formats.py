"""The two archive formats, WARC (ISO 28500) and its forerunner ARC: how a record's head reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

_ARC_LINE: Final = (
    rb"(?P<url>[a-z][a-z0-9+.-]{0,20}:[^\r\n]{0,8000}) (?P<ip>[0-9a-fA-F.:]{1,45}) "
    rb"(?P<date>\d{8,14}) (?P<type>[^ \r\n]{1,200})"
    # Version 2 of ARC has a result code, checksum, location, offset and file name before the size.
    rb"(?: \S+ \S+ \S+ \S+ \S+)? (?P<length>\d{1,19})"
)


@dataclass(frozen=True, slots=True)
class RecordFormat:
    """How records of one archive format begin.

    start: matches at a record's first byte, given `start_bytes`. resync: finds one among other
    bytes. head_end: the end of the head. block_ends: what stands after a whole block. parse: head →
    fields by lower-case name (`warc-type`, `content-length`, …).
    """

    name: str
    start: re.Pattern[bytes]
    resync: re.Pattern[bytes]
    head_end: re.Pattern[bytes]
    block_ends: tuple[bytes, ...]
    parse: Callable[[bytes], Mapping[str, str]]
    start_bytes: int


def parse_fields(head: bytes) -> dict[str, str]:
    """Header lines → value by lower-case name: the first of each name, continued lines joined.

    The first line, which is a version or status, and lines without a colon are passed over. Text is
    UTF-8, or Latin-1 where it is not.
    """
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError:
        text = head.decode("latin-1")
    fields: dict[str, str] = {}
    continued: str | None = None
    for line in text.split("\n")[1:]:
        if line[:1] in (" ", "\t"):
            if continued and (more := line.strip()):
                fields[continued] = f"{fields[continued]} {more}".strip()
            continue
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        continued = name if colon and name not in fields else None
        if continued:
            fields[name] = value.strip()
    return fields


def parse_arc_line(line: bytes) -> dict[str, str]:
    """An ARC record's line → the fields that a WARC record would have.

    ARC has no ids: a record is known by when it was fetched and from where.
    """
    match = re.match(_ARC_LINE, line)
    if match is None:
        return {}
    parts = {name: value.decode("utf-8", "replace") for name, value in match.groupdict().items()}
    date = parts["date"].ljust(14, "0")
    is_about_file = parts["url"].startswith("filedesc:")
    return {
        "warc-type": "warcinfo" if is_about_file else "response",
        "warc-record-id": f"{parts['date']}/{parts['url']}",
        "warc-target-uri": parts["url"],
        "warc-date": (
            f"{date[:4]}-{date[4:6]}-{date[6:8]}T{date[8:10]}:{date[10:12]}:{date[12:14]}Z"
        ),
        "content-type": parts["type"],
        "content-length": parts["length"],
    }


WARC: Final = RecordFormat(
    "WARC",
    re.compile(rb"WARC/\d"),
    # Pages do quote such lines, but only after damage are these looked for inside records.
    re.compile(rb"WARC/\d\.\d{1,2}[ \t]{0,8}\r?\n[A-Za-z][A-Za-z0-9-]{1,60}:"),
    re.compile(rb"\n\r?\n"),
    (b"\r\n\r\n", b"\n\n"),
    parse_fields,
    start_bytes=8,
)
ARC: Final = RecordFormat(
    "ARC",
    re.compile(_ARC_LINE + rb"\r?\n"),
    re.compile(rb"(?m)^" + _ARC_LINE + rb"\r?\n"),
    re.compile(rb"\n"),
    (b"\n",),
    parse_arc_line,
    start_bytes=8_300,
)
RESYNC_OVERLAP_BYTES: Final = 8_300


def format_of(head: bytes) -> RecordFormat | None:
    """The format of a file whose decompressed bytes begin so; None for neither."""
    head = head.lstrip(b"\r\n\t \xef\xbb\xbf")
    if WARC.start.match(head):
        return WARC
    return ARC if ARC.start.match(head) else None
