"""Hostile files: each fault costs at most one counted drop, little time and little memory."""

from __future__ import annotations

import gzip
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
import zstandard
from web_builders import arc_header, arc_record, clueweb22, common_crawl, gzip_members, page

from humpback_pipeline.web import read_documents

HTML = page("<h1>Tides</h1><p>Mind the gap.</p>")
LAST = clueweb22(HTML, 9)
ZEROS = bytes(1 << 20)


def inflating(head: bytes, n_mib: int) -> bytes:
    """A gzip member of `head` and so many MiB of zeros."""
    packer = zlib.compressobj(1, wbits=31)
    packed = [packer.compress(head), *(packer.compress(ZEROS) for _ in range(n_mib))]
    return b"".join([*packed, packer.flush()])


def zstd_inflating(head: bytes, n_mib: int) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    packed = [packer.compress(head), *(packer.compress(ZEROS) for _ in range(n_mib))]
    return b"".join([*packed, packer.flush()])


def head_of(content_length: int) -> bytes:
    return clueweb22(b"").replace(b"Content-Length: 0", b"Content-Length: %d" % content_length)[:-4]


@pytest.mark.parametrize(("pack", "wrap"), [(inflating, gzip.compress), (zstd_inflating, None)])
@pytest.mark.parametrize(
    "content_length", [10, 5 << 20, 300 << 20, 4 << 30], ids=["10", "5M", "300M", "4G"]
)
def test_bomb_costs_one_drop_and_little_time(tmp_path, pack, wrap, content_length) -> None:
    path = tmp_path / "a.warc.gz"
    wrap = wrap or zstandard.ZstdCompressor().compress
    path.write_bytes(wrap(LAST) + pack(head_of(content_length), 300) + wrap(LAST))
    started_s = time.process_time()
    reader = read_documents(path)
    assert [document.html for document in reader] == [HTML, HTML]
    assert reader.dropped == {"too_large": 1}
    assert "inflate to over" in str(reader.partial)
    assert time.process_time() - started_s < 2.0


@pytest.mark.parametrize(
    "filling", [b"\r\n" * 500_000, b" " * 1_000_000, b"junk\n" * 200_000, b"a: b\r\n" * 500_000]
)
@pytest.mark.parametrize("is_plain", [True, False])
def test_floods_between_records_cost_one_drop(tmp_path: Path, filling, is_plain) -> None:
    path = tmp_path / "a.warc"
    data = LAST + filling + b"\r\n" + LAST
    path.write_bytes(data if is_plain else gzip.compress(data))
    reader = read_documents(path)
    assert len(list(reader)) == 2
    assert reader.dropped == {"malformed_record": 1}


@pytest.mark.parametrize("content_length", [-1, 10**18, 10**40, 30_000_000])
@pytest.mark.parametrize("layout", ["plain", "members", "one member"])
def test_false_size_in_any_layout_costs_one_drop(tmp_path: Path, layout, content_length) -> None:
    path = tmp_path / "a.warc"
    false = clueweb22(HTML, 1).replace(
        b"Content-Length: %d" % len(HTML), b"Content-Length: %d" % content_length
    )
    records = [LAST, false, LAST, false, LAST]
    data = gzip_members(*records) if layout == "members" else b"".join(records)
    path.write_bytes(gzip.compress(data) if layout == "one member" else data)
    reader = read_documents(path)
    assert len(list(reader)) == 3
    assert reader.dropped == {"malformed_record": 2}


def test_page_over_the_limit_is_passed_over_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    big = clueweb22(HTML + ZEROS * 100, 1)
    for data in (LAST + big + LAST, gzip_members(LAST, big, LAST)):
        path.write_bytes(data)
        reader = read_documents(path)
        assert len(list(reader)) == 2
        assert (reader.dropped, reader.partial) == ({"too_large": 1}, None)
        (dropped,) = reader.drop_samples["too_large"]
        assert dropped.url == "https://example.com/1"


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_http_bomb_costs_one_drop(tmp_path: Path, name) -> None:
    import brotli

    packers = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "br": lambda data: brotli.compress(data, quality=1),
        "zstd": zstandard.ZstdCompressor().compress,
    }
    headers = [("Content-Type", "text/html"), ("Content-Encoding", name)]
    bomb = common_crawl(packers[name](ZEROS * 60), 1, http_headers=headers)
    path = tmp_path / "a.warc.gz"
    path.write_bytes(gzip_members(bomb, LAST))
    reader = read_documents(path)
    assert len(list(reader)) == 1
    assert reader.dropped == {"too_large": 1}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"1\r\na\r\n" * 1_500_000 + b"0\r\n\r\n", "not_html"),
        (b"ffffffff\r\n" + HTML, None),
        (b"5;" + b"x" * 2_000 + b"\r\n" + HTML, None),
        (b"-5\r\n" + HTML, None),
    ],
)
def test_false_chunks_cost_at_most_one_drop(tmp_path: Path, body, reason) -> None:
    headers = [("Content-Type", "text/html"), ("Transfer-Encoding", "chunked")]
    path = tmp_path / "a.warc"
    path.write_bytes(common_crawl(body, 1, http_headers=headers) + LAST)
    started_s = time.process_time()
    reader = read_documents(path)
    documents = list(reader)
    assert reader.dropped == ({reason: 1} if reason else {})
    assert all(HTML in document.html for document in documents)
    assert time.process_time() - started_s < 2.0


def test_http_headers_without_end_cost_one_drop(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    flood = [("X", "y" * 1_000)] * 2_000
    path.write_bytes(common_crawl(HTML, 1, http_headers=flood) + LAST)
    reader = read_documents(path)
    assert len(list(reader)) == 1
    assert reader.dropped == {"malformed_http": 1}


def test_arc_of_a_false_size_costs_one_record(tmp_path: Path) -> None:
    path = tmp_path / "a.arc"
    records = [arc_record(HTML, n) for n in range(4)]
    n_bytes = int(records[1].split(b"\n")[0].split()[-1])
    records[1] = records[1].replace(b" %d\n" % n_bytes, b" %d\n" % (n_bytes + 15), 1)
    path.write_bytes(arc_header() + b"".join(records))
    reader = read_documents(path)
    assert [document.url[-1] for document in reader] == ["0", "2", "3"]
    assert reader.dropped["malformed_record"] == 1


# Not resource's maximum, which takes in that of the process that started this one.
MEASURE = """
import re, sys
from humpback_pipeline.web import read_documents
def peak_kib():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = peak_kib()
n = sum(1 for _ in read_documents(sys.argv[1]))
print(n, peak_kib(), (peak_kib() - before) // 1024)
"""


@pytest.mark.slow
def test_memory_stays_bounded_whatever_inflates(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    bombs = [inflating(head_of(size), 2_048) for size in (10, 9 << 20, 2 << 30)]
    small = bytes(8 << 20)
    pages = [gzip.compress(clueweb22(HTML + small, n)) for n in range(30)]
    for data in (
        b"".join([*bombs, *pages, gzip.compress(LAST)]),
        zstd_inflating(head_of(10), 2_048) + zstandard.ZstdCompressor().compress(LAST),
        gzip.compress(b"".join(clueweb22(HTML + small, n) for n in range(30)) + LAST, 1),
    ):
        path.write_bytes(data)
        command = [sys.executable, "-c", MEASURE, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        n_pages, peak_kib, grown_mib = map(int, done.stdout.split())
        assert n_pages >= 1
        assert peak_kib < 600 * 1024
        assert grown_mib < 250
