"""Whatever happens to a file: the reader never raises, and reads every record that is whole."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from web_builders import (
    arc_header,
    arc_record,
    clueweb09,
    clueweb22,
    common_crawl,
    gzip_members,
    page,
    zstd_frames,
)

from humpback_pipeline.web import NotAWarcError, read_documents
from humpback_pipeline.web.warc import DocumentReader


def noisy_page(number: int) -> bytes:
    return page(f"<h1>Tides {number}</h1><p>{random.Random(number).randbytes(300).hex()}")


N_PAGES = 8
PAGES = [noisy_page(number) for number in range(N_PAGES)]
_MAKERS = [common_crawl, clueweb22, clueweb09]
_WARC = [_MAKERS[n % 3](html, n) for n, html in enumerate(PAGES)]
_ARC = [arc_record(html, n) for n, html in enumerate(PAGES)]
_DICTIONARY = PAGES[0][:400]
# What stands before the records' pieces, and the piece of each record.
LAYOUTS: dict[str, tuple[bytes, list[bytes]]] = {
    "plain": (b"", _WARC),
    "gzip": (b"", [gzip_members(one) for one in _WARC]),
    "zstd": (b"", [zstd_frames(one) for one in _WARC]),
    "zstd with dictionary": (
        zstd_frames(dictionary=_DICTIONARY),
        [
            zstd_frames(one, dictionary=_DICTIONARY)[len(zstd_frames(dictionary=_DICTIONARY)) :]
            for one in _WARC
        ],
    ),
    "arc": (arc_header(), _ARC),
    "arc gzip": (gzip_members(arc_header()), [gzip_members(one) for one in _ARC]),
}
layouts = st.sampled_from(sorted(LAYOUTS))
bounded = settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
Read = Callable[[bytes], tuple[set[bytes], DocumentReader | None]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read_bytes(data: bytes) -> tuple[set[bytes], DocumentReader | None]:
        path = tmp_path / "shard"
        path.write_bytes(data)
        try:
            reader = read_documents(path)
        except NotAWarcError:
            return set(), None
        return {document.html for document in reader}, reader

    return read_bytes


@bounded
@given(layout=layouts, share=st.floats(0, 1))
def test_read_documents_of_a_cut_file_reads_what_is_whole(read: Read, layout, share) -> None:
    head, pieces = LAYOUTS[layout]
    whole = head + b"".join(pieces)
    cut = int(share * len(whole))
    pages, reader = read(whole[:cut])
    ends = [len(head) + len(b"".join(pieces[: n + 1])) for n in range(N_PAGES)]
    expected = {html for html, end in zip(PAGES, ends, strict=True) if end <= cut}
    assert pages >= expected
    if reader is None:
        assert not expected
        return
    assert sum(n for reason, n in reader.dropped.items() if reason != "not_response") <= 1
    # The blank lines at a record's end may be cut without harm.
    assert pages == expected or "zstd" not in layout


@bounded
@given(
    layout=layouts,
    share=st.floats(0, 1),
    damage=st.binary(min_size=1, max_size=12),
)
def test_read_documents_of_a_damaged_file_reads_what_is_whole(
    read: Read, layout, share, damage
) -> None:
    head, pieces = LAYOUTS[layout]
    data = bytearray(head + b"".join(pieces))
    start = len(head) + int(share * (len(data) - len(head) - len(damage)))
    data[start : start + len(damage)] = damage
    pages, reader = read(bytes(data))
    at = len(head)
    for html, piece in zip(PAGES, pieces, strict=True):
        is_touched = at - 4 < start + len(damage) and start < at + len(piece)
        assert is_touched or html in pages
        at += len(piece)
    assert reader is not None
    assert reader.n_records <= N_PAGES + len(damage) + 1


@bounded
@given(
    layout=layouts,
    after=st.integers(0, N_PAGES),
    junk=st.binary(min_size=1, max_size=300).filter(lambda junk: b"WARC/" not in junk),
)
def test_read_documents_passes_over_junk_between_records(read: Read, layout, after, junk) -> None:
    head, pieces = LAYOUTS[layout]
    if layout == "arc" and after < N_PAGES:
        junk += b"\n"  # an ARC record is known by its line
    if after == 0 and not head:
        junk = junk.lstrip(b"\x1f\x28\x50\x51\x52\x53\x54\x55\x56\x57\x58\x59\x5a\x5b\x5c\x5d")
    pages, reader = read(head + b"".join(pieces[:after]) + junk + b"".join(pieces[after:]))
    assert reader is not None
    assert pages == set(PAGES)
    assert reader.n_records <= N_PAGES + 2 + len(junk)


@bounded
@given(
    layout=layouts,
    moves=st.lists(st.tuples(st.integers(0, 6_000), st.integers(0, 6_000)), max_size=4),
    flips=st.lists(st.tuples(st.integers(0, 6_000), st.integers(0, 255)), max_size=30),
)
def test_read_documents_never_raises_on_a_shuffled_file(read: Read, layout, moves, flips) -> None:
    head, pieces = LAYOUTS[layout]
    data = bytearray(head + b"".join(pieces))
    for source, target in moves:
        data[target:target] = data[source : source + 700]
    for position, value in flips:
        data[min(position, len(data) - 1)] = value
    _, reader = read(bytes(data))
    assert reader is None or reader.n_records < 200


def read_as(length: str) -> int:
    return int(length) if length.isdecimal() else -1


@bounded
@given(
    length=st.one_of(
        st.integers(-5, 40_000).map(str),
        st.sampled_from(["99999999999", "9" * 40, "-1", "", "x", "1e3", "²", "0x10", "7 "]),
        st.text(max_size=8).filter(lambda text: "\n" not in text and "\r" not in text),
    ),
    number=st.integers(1, N_PAGES - 1),
    pack=st.sampled_from(["plain", "members", "one member"]),
)
def test_read_documents_lying_content_length_costs_one_record(
    read: Read, length, number, pack
) -> None:
    records = [clueweb22(html, n) for n, html in enumerate(PAGES)]
    true = f"Content-Length: {len(PAGES[number])}".encode()
    records[number] = records[number].replace(true, f"Content-Length: {length}".encode())
    sizes = [len(b"".join(records[number + 1 : n])) for n in range(number + 2, N_PAGES + 1)]
    # A size that takes in just the next records, whole, is true as far as can be told.
    excess = read_as(length) - len(PAGES[number])
    assume(not any(size <= excess <= size + 4 for size in sizes))
    data = gzip_members(*records) if pack == "members" else b"".join(records)
    pages, reader = read(gzip_members(data) if pack == "one member" else data)
    assert reader is not None
    assert pages >= set(PAGES) - {PAGES[number]}
    assert sum(reader.dropped.values()) <= 1
