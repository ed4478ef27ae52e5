from __future__ import annotations

import gzip
import random
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web_builders import (
    clueweb09,
    clueweb12,
    clueweb22,
    common_crawl,
    gzip_members,
    http,
    page,
    record,
    warcinfo,
)

from humpback_pipeline.web import NotAWarcError, read_documents

HTML = page("<h1>Tides</h1><p>Mind the gap.</p>")


@pytest.fixture
def read(tmp_path: Path):
    def read_bytes(data: bytes, **options: int):
        path = tmp_path / "shard.warc.gz"
        path.write_bytes(data)
        reader = read_documents(path, **options)
        return list(reader), reader

    return read_bytes


def noise(size: int) -> bytes:
    """HTML that does not compress, so that gzip members have an inside to damage."""
    return HTML + random.Random(0).randbytes(size).hex().encode()


@pytest.mark.parametrize("pack", [b"".join, lambda records: gzip_members(*records)])
def test_read_documents_common_crawl(read, pack) -> None:
    request = record([("WARC-Type", "request")], b"GET / HTTP/1.1\r\n\r\n")
    documents, reader = read(pack([warcinfo(), request, common_crawl(HTML, 7)]))
    (document,) = documents
    assert document.document_id == "<urn:uuid:00000000000000000000000000000007>"
    assert document.url == "https://example.com/7"
    assert document.html == HTML
    assert document.charset == "utf-8"
    assert document.language is None
    assert document.crawl_date == datetime(2022, 8, 24, 1, 2, 3, tzinfo=UTC)
    assert document.warc_file == "shard.warc.gz"
    assert (reader.n_records, reader.dropped) == (3, {"not_response": 2})
    assert reader.partial is None


def test_read_documents_clueweb12(read) -> None:
    (document,), _ = read(gzip_members(clueweb12(HTML, 3)))
    assert (document.document_id, document.html) == ("clueweb12-0000tw-00-00003", HTML)


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2009-03-65T08:43:19-0800", None),
        ("", None),
        ("2009-03-05T08:43:19-0800", datetime(2009, 3, 5, 16, 43, 19, tzinfo=UTC)),
        ("0001-01-01T00:00:00+23:59", None),
    ],
)
def test_read_documents_clueweb09_with_lf_headers_and_bad_dates(read, date, expected) -> None:
    (first, second), reader = read(gzip_members(clueweb09(HTML, 1, date), clueweb09(HTML, 2, date)))
    assert first.document_id == "clueweb09-en0000-00-00001"
    assert first.html == second.html == HTML
    assert first.crawl_date == expected
    assert reader.dropped == {}


@pytest.mark.parametrize(
    "start", [b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html>\n\n', b"\n\n", b""]
)
def test_read_documents_clueweb22_keeps_bare_html_whole(read, start) -> None:
    html = start + HTML
    (document,), _ = read(gzip_members(clueweb22(html, 5, "zh_chs")))
    assert document.html == html
    assert document.document_id == "clueweb22-en0000-00-00005"
    assert document.language == "zh"


def test_read_documents_clueweb22_of_unknown_language(read) -> None:
    (document,), _ = read(gzip_members(clueweb22(HTML, 5, "other")))
    assert document.language is None


def test_read_documents_several_records_in_one_gzip_member(read) -> None:
    documents, reader = read(gzip.compress(b"".join(common_crawl(HTML, n) for n in range(3))))
    assert [d.url[-1] for d in documents] == ["0", "1", "2"]
    assert reader.partial is None


def test_read_documents_record_offset_leads_back_to_the_record(read) -> None:
    data = gzip_members(warcinfo(), common_crawl(HTML, 1), common_crawl(HTML, 2))
    documents, _ = read(data)
    for document in documents:
        head = zlib.decompressobj(31).decompress(data[document.record_offset :])
        assert document.url.encode() in head


@pytest.mark.parametrize("name", ["chunked", "gzip", "chunked gzip", "deflate", "false gzip"])
def test_read_documents_removes_http_encodings(read, name) -> None:
    body, headers = HTML, [("Content-Type", "text/html")]
    if name == "false gzip" or "gzip" in name:
        headers.append(("Content-Encoding", "gzip"))
        body = gzip.compress(body) if name != "false gzip" else body
    if name == "deflate":
        headers.append(("Content-Encoding", "deflate"))
        body = zlib.compress(body)
    if "chunked" in name:
        headers.append(("Transfer-Encoding", "Chunked"))
        half = len(body) // 2
        parts = [body[:half], body[half:], b""]
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    (document,), _ = read(gzip_members(common_crawl(body, http_headers=headers)))
    assert document.html == HTML


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (common_crawl(HTML, status="404 Not Found"), "http_status"),
        (common_crawl(HTML, status="301 Moved"), "http_status"),
        (common_crawl(b"", 1), "empty_body"),
        (common_crawl(HTML, http_headers=[("Content-Type", "image/png")]), "not_html"),
        (common_crawl(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "not_html"),
        (common_crawl(b"plain words", http_headers=[]), "not_html"),
        (
            common_crawl(HTML, extra=[("WARC-Identified-Payload-Type", "application/pdf")]),
            "not_html",
        ),
        (
            common_crawl(b"\x1f\x8bxx", http_headers=[("Content-Encoding", "gzip")]),
            "undecodable_body",
        ),
        (
            clueweb22(HTML).replace(b"ClueWeb22-ID", b"X").replace(b"WARC-Record-ID", b"Y"),
            "malformed_record",
        ),
        (clueweb22(HTML).replace(b"WARC-Type: response", b"WARC-Type: revisit"), "not_response"),
        (clueweb22(HTML).replace(b"Content-Length", b"Content-Lengte"), "malformed_record"),
        (clueweb22(HTML).replace(b"Content-Length: ", b"Content-Length: -"), "malformed_record"),
        (clueweb22(HTML).replace(b"Content-Length: ", b"Content-Length: x"), "malformed_record"),
    ],
)
def test_read_documents_counts_bad_records_by_reason(read, one, reason) -> None:
    documents, reader = read(gzip_members(one, common_crawl(HTML, 9)))
    assert [d.url for d in documents] == ["https://example.com/9"]
    assert reader.dropped == {reason: 1}
    assert reader.n_records == 2


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("error", [-20, +20, +1_000_000])
def test_read_documents_false_content_length_costs_one_record(read, compressed, error) -> None:
    bad = clueweb22(HTML, 1).replace(
        f"Content-Length: {len(HTML)}".encode(), f"Content-Length: {len(HTML) + error}".encode()
    )
    records = [clueweb22(HTML, 0), bad, clueweb22(HTML, 2)]
    documents, reader = read(gzip_members(*records) if compressed else b"".join(records))
    assert [d.url[-1] for d in documents] == ["0", "2"]
    assert reader.dropped == {"malformed_record": 1}
    assert "Content-Length" in reader.partial or "record cut" in reader.partial


def test_read_documents_truncated_gzip_yields_what_is_readable(read) -> None:
    members = [gzip_members(clueweb22(noise(5_000), n)) for n in range(3)]
    whole = b"".join(members)
    documents, reader = read(whole[:-500])
    assert [d.url[-1] for d in documents] == ["0", "1"]
    assert reader.dropped == {"truncated_record": 1}
    offset = len(members[0]) + len(members[1])
    assert f"gzip member truncated at offset {offset}" in reader.partial
    assert "no record after it could be read" in reader.partial


def test_read_documents_damage_in_mid_file_costs_one_record(read) -> None:
    members = [gzip_members(clueweb22(noise(50_000), n)) for n in range(4)]
    middle = len(members[0]) + len(members[1]) // 2
    data = bytearray(b"".join(members))
    data[middle : middle + 40] = bytes(40)
    documents, reader = read(bytes(data))
    assert [d.url[-1] for d in documents] == ["0", "2", "3"]
    assert reader.dropped == {"malformed_record": 1}
    assert f"reading went on with the record at offset {len(members[0] + members[1])}" in (
        reader.partial
    )


def test_read_documents_too_large_pages_are_dropped(read) -> None:
    big = HTML + b" " * 200_000
    documents, reader = read(
        gzip_members(clueweb22(big, 0), common_crawl(big, 1), clueweb22(HTML, 2)),
        max_html_bytes=100_000,
    )
    assert [d.url[-1] for d in documents] == ["2"]
    assert reader.dropped == {"too_large": 2}


def test_read_documents_http_gzip_bomb_is_dropped_within_bounds(read) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    headers = [("Content-Type", "text/html"), ("Content-Encoding", "gzip")]
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(bomb), bomb)
    documents, reader = read(
        gzip_members(
            common_crawl(bomb, 0, http_headers=headers),
            common_crawl(chunked, 1, http_headers=[*headers, ("Transfer-Encoding", "chunked")]),
            common_crawl(HTML, 2),
        ),
        max_html_bytes=100_000,
    )
    assert [d.url[-1] for d in documents] == ["2"]
    assert reader.dropped == {"too_large": 2}


@pytest.mark.parametrize("flood", [b"a" * 30_000_000, b"a: b\r\n" * 5_000_000])
def test_read_documents_endless_headers_are_refused(read, flood) -> None:
    bomb = gzip.compress(b"WARC/1.0\r\nWARC-Type: " + flood)
    documents, reader = read(bomb + gzip_members(common_crawl(HTML, 1)))
    assert [d.url[-1] for d in documents] == ["1"]
    assert reader.dropped == {"malformed_record": 1}


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"", "empty"),
        (b"just some text\n", "just some text"),
        (b"PK\x03\x04zip", "zip archive"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), "gzip data of something else"),
        (b"\x1f\x8b\x08", "gzip data of something else"),
        (b"\x28\xb5\x2f\xfd....", "Zstandard"),
        (b"WARCraft", "WARCraft"),
    ],
)
def test_read_documents_of_another_format_raises_at_once(tmp_path: Path, data, hint) -> None:
    path = tmp_path / "not-a.warc.gz"
    path.write_bytes(data)
    with pytest.raises(NotAWarcError, match=hint) as caught:
        read_documents(path)
    assert str(path) in str(caught.value)
    assert "WARC/1.0" in str(caught.value)


def test_read_documents_missing_file_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_documents(tmp_path / "absent.warc.gz")


def test_read_documents_is_a_context_manager(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    path.write_bytes(clueweb22(HTML, 0) + clueweb22(HTML, 1))
    with read_documents(str(path)) as reader:
        assert next(reader).url.endswith("/0")
    assert list(reader) == []


def test_read_documents_http_without_headers_end(read) -> None:
    documents, _ = read(gzip_members(common_crawl(HTML, 0).replace(http(b"")[:12], b"HTTP/")))
    assert documents == []


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(max_size=400), compressed=st.booleans())
def test_read_documents_never_raises_on_random_bytes_after_a_record(read, data, compressed) -> None:
    head = clueweb22(HTML, 0)
    documents, reader = read(gzip_members(head) + data if compressed else head + data)
    assert documents[0].html == HTML if not reader.dropped else len(documents) <= 1
    assert reader.n_records >= 1


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    position=st.integers(10, 3_000),
    value=st.binary(min_size=1, max_size=8),
    compressed=st.booleans(),
)
def test_read_documents_never_raises_on_overwritten_bytes(
    read, position, value, compressed
) -> None:
    records = [make(HTML, n) for n, make in enumerate([common_crawl, clueweb22, clueweb09] * 2)]
    data = bytearray(gzip_members(*records) if compressed else b"".join(records))
    position = min(position, len(data) - 1)
    data[position : position + len(value)] = value
    documents, reader = read(bytes(data))
    assert len(documents) >= len(records) - 2
    assert reader.n_records >= len(documents)
