"""Zstandard and ARC, the way back from an offset to its page, and the reader beside warcio's."""

from __future__ import annotations

import gzip
import io
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard
from made_up_text import prose
from warcio.archiveiterator import ArchiveIterator
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter
from web_builders import (
    arc_header,
    arc_record,
    clueweb09,
    clueweb12,
    clueweb22,
    common_crawl,
    gzip_members,
    page,
    record,
    warcinfo,
    zstd_frames,
)

from humpback_pipeline.web import NotAWarcError, read_documents
from humpback_pipeline.web.warc import PageNotFoundError, read_document

PAGES = [page(f"<h1>Tides {n}</h1><p>{prose(1_500, n)}</p>") for n in range(6)]
RECORDS = [warcinfo(), *(clueweb22(html, n) for n, html in enumerate(PAGES))]
DICTIONARY = zstandard.train_dictionary(2_048, [record for record in RECORDS for _ in range(8)])


def arc_members(*records: bytes) -> bytes:
    return gzip_members(arc_header(), *records)


LAYOUTS = {
    "plain": b"".join(RECORDS),
    "gzip members": gzip_members(*RECORDS),
    "one gzip member": gzip.compress(b"".join(RECORDS)),
    "two records a member": gzip_members(
        *(b"".join(RECORDS[n : n + 2]) for n in range(0, len(RECORDS), 2))
    ),
    "zstd frames": zstd_frames(*RECORDS),
    "zstd with dictionary": zstd_frames(*RECORDS, dictionary=DICTIONARY.as_bytes()),
    "zstd with packed dictionary": zstd_frames(
        *RECORDS, dictionary=DICTIONARY.as_bytes(), packed=True
    ),
    "one zstd frame": zstandard.ZstdCompressor().compress(b"".join(RECORDS)),
    "zstd with skippable frames": b"\x50\x2a\x4d\x18\x03\0\0\0abc".join(
        [b"", *(zstd_frames(one) for one in RECORDS), b""]
    ),
    "arc": arc_header() + b"".join(arc_record(html, n) for n, html in enumerate(PAGES)),
    "arc gzip": arc_members(*(arc_record(html, n) for n, html in enumerate(PAGES))),
    "arc in one member": gzip.compress(
        arc_header() + b"".join(arc_record(html, n) for n, html in enumerate(PAGES))
    ),
}


@pytest.fixture(params=LAYOUTS)
def shard(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "shard.warc"
    path.write_bytes(LAYOUTS[request.param])
    return path


def test_read_documents_in_every_layout(shard: Path) -> None:
    reader = read_documents(shard)
    documents = list(reader)
    assert [document.html for document in documents] == PAGES
    assert [document.url[-1] for document in documents] == list("012345")
    assert len({document.document_id for document in documents}) == len(PAGES)
    assert (reader.dropped, reader.partial) == ({"not_response": 1}, None)
    assert reader.drop_samples["not_response"][0].offset <= documents[0].record_offset


def test_read_document_leads_back_from_every_layout(shard: Path) -> None:
    for document in read_documents(shard):
        assert read_document(shard, document.record_offset, document.document_id) == document


def test_read_document_without_id_where_the_offset_is_its_own(tmp_path: Path) -> None:
    path = tmp_path / "shard"
    for layout in ("plain", "gzip members", "zstd with dictionary", "arc gzip"):
        path.write_bytes(LAYOUTS[layout])
        for document in read_documents(path):
            assert read_document(path, document.record_offset) == document


@pytest.mark.parametrize("layout", ["one gzip member", "one zstd frame", "arc in one member"])
def test_read_document_of_a_shared_member_asks_for_the_id(tmp_path: Path, layout) -> None:
    path = tmp_path / "shard"
    path.write_bytes(LAYOUTS[layout])
    with pytest.raises(PageNotFoundError, match="name a document_id"):
        read_document(path, 0)


@pytest.mark.parametrize(
    ("offset", "document_id", "problem"),
    [
        (0, None, "not_response"),
        (3, None, "no record"),
        (10**12, None, "no"),
        (None, "someone-else", "no page 'someone-else'"),
    ],
)
@pytest.mark.parametrize("layout", ["plain", "gzip members", "zstd frames"])
def test_read_document_that_is_not_there_says_so(
    tmp_path: Path, layout, offset, document_id, problem
) -> None:
    path = tmp_path / "shard"
    path.write_bytes(LAYOUTS[layout])
    offset = list(read_documents(path))[2].record_offset if offset is None else offset
    if offset == 3 and layout != "plain":
        problem = "damaged|truncated"
    with pytest.raises(PageNotFoundError, match=problem):
        read_document(path, offset, document_id)


def test_read_documents_of_arc_knows_the_record_line(tmp_path: Path) -> None:
    path = tmp_path / "a.arc.gz"
    image = arc_record(b"\x89PNG", 2, content_type="image/png")
    data = arc_members(arc_record(PAGES[0], 1), image, arc_record(b"", 3, "404 Not Found"))
    version_2 = arc_record(PAGES[1], 4).replace(b"text/html ", b"text/html 200 abc - 17 a.arc ", 1)
    path.write_bytes(data + gzip_members(version_2))
    reader = read_documents(path)
    first, last = list(reader)
    assert first.document_id == "20080430204826/https://example.com/1"
    assert first.crawl_date == datetime(2008, 4, 30, 20, 48, 26, tzinfo=UTC)
    assert (first.language, first.charset) == (None, None)
    assert (last.url, last.html) == ("https://example.com/4", PAGES[1])
    assert reader.dropped == {"not_response": 1, "not_html": 1, "http_status": 1}


@pytest.mark.parametrize("wrong", [b"", bytes(range(256)) * 9, b"\x5d\x2a\x4d\x18\xff\xff\xff\xff"])
def test_read_documents_zstd_without_its_dictionary_costs_the_records(tmp_path, wrong) -> None:
    path = tmp_path / "a.warc.zst"
    frames = zstd_frames(*RECORDS, dictionary=DICTIONARY.as_bytes())
    n_bytes = 8 + len(DICTIONARY.as_bytes())
    path.write_bytes(wrong + frames[n_bytes:])
    with pytest.raises(NotAWarcError, match=str(path)):
        read_documents(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WARC-Target-URI", "<https://example.com/a b>"),
        ("WARC-TARGET-URI", "https://example.com/a\r\n b".replace("\r\n b", "%20b")),
        ("warc-target-uri", "https://example.com/\r\n\ta%20b"),
    ],
)
def test_read_documents_header_forms(tmp_path: Path, name, value) -> None:
    path = tmp_path / "a.warc"
    one = clueweb22(PAGES[0], 1).replace(
        b"WARC-Target-URI: https://example.com/1", f"no colon here\r\n{name}:{value}".encode()
    )
    path.write_bytes(one)
    (document,) = read_documents(path)
    assert document.url.replace("/ ", "/").replace("com/ a", "com/a").endswith("a%20b")


@pytest.mark.parametrize("start", [b"\r\n\r\n", b"  \n"])
def test_read_documents_blank_lines_before_the_first_record(tmp_path: Path, start) -> None:
    path = tmp_path / "a.warc"
    path.write_bytes(start + clueweb22(PAGES[0], 1))
    (document,) = read_documents(path)
    assert read_document(path, document.record_offset) == document


def test_read_documents_bare_html_that_mentions_http_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    texts = [
        b"HTTP/2 explained <html><body><p>a",
        b"HTTP/1.1 200 OK is how an answer begins\n<html><title>a</title>",
        b"<html><pre>\nHTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n</pre>",
        b"<?xml version='1.0'?>\r\n\r\n<html>\n\nWARC/1.0\n\n<p>a",
    ]
    path.write_bytes(b"".join(clueweb22(html, n) for n, html in enumerate(texts)))
    assert [document.html for document in read_documents(path)] == texts


@pytest.mark.parametrize("layout", [b"".join, lambda records: gzip_members(*records)])
def test_read_documents_agrees_with_warcio_on_sound_files(tmp_path: Path, layout) -> None:
    makers = [common_crawl, clueweb12, clueweb09]
    data = layout([makers[n % 3](html, n) for n, html in enumerate(PAGES)])
    expected = [
        (one.rec_headers.get_header("WARC-Target-URI"), one.content_stream().read())
        for one in ArchiveIterator(io.BytesIO(data))
    ]
    path = tmp_path / "a.warc"
    path.write_bytes(data)
    assert [(document.url, document.html) for document in read_documents(path)] == expected


def test_read_documents_of_a_file_that_warcio_wrote(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=True)
        for n, html in enumerate(PAGES):
            http = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], "HTTP/1.1")
            writer.write_record(
                writer.create_warc_record(
                    f"https://example.com/{n}", "response", io.BytesIO(html), http_headers=http
                )
            )
    documents = list(read_documents(path))
    assert [document.html for document in documents] == PAGES
    with path.open("rb") as file:
        iterator = ArchiveIterator(file)
        offsets = [iterator.get_record_offset() for _ in iterator]
    assert [document.record_offset for document in documents] == offsets


def test_read_documents_http_zstd_and_truncated_gzip_bodies(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    html = page(random.Random(0).randbytes(20_000).hex())

    def encoded(name: str, body: bytes, number: int) -> bytes:
        headers = [("Content-Type", "text/html"), ("Content-Encoding", name)]
        return common_crawl(body, number, http_headers=headers)

    path.write_bytes(
        encoded("zstd", zstandard.ZstdCompressor().compress(html), 0)
        + encoded("gzip", gzip.compress(html)[:-2_000], 1)
    )
    whole, cut = read_documents(path)
    assert whole.html == html
    assert html.startswith(cut.html)
    assert len(cut.html) > 20_000


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_read_documents_keeps_wide_encodings_without_a_mark(tmp_path: Path, encoding) -> None:
    path = tmp_path / "a.warc"
    html = PAGES[0].decode().encode(encoding)
    untyped = record(
        [
            ("WARC-Type", "response"),
            ("WARC-Record-ID", "<urn:uuid:1>"),
            ("WARC-Target-URI", "https://example.com/1"),
        ],
        html,
    )
    path.write_bytes(common_crawl(html, 0) + untyped)
    assert [document.html for document in read_documents(path)] == [html, html]


def test_read_documents_page_with_stray_nuls_is_kept_and_an_image_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    html = PAGES[0].replace(b"<h1>", b"<h1>\0\0")
    path.write_bytes(common_crawl(html, 0) + common_crawl(b"GIF89a\0\0\1\0<b>" + bytes(99), 1))
    reader = read_documents(path)
    assert [document.html for document in reader] == [html]
    assert reader.dropped == {"not_html": 1}
    assert reader.drop_samples["not_html"][0].url == "https://example.com/1"
