"""The bundled crawl: reproducible, complete, and built from sources whose faults are named."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator
from warcio.recordloader import ArcWarcRecord

from humpback_pipeline.examples.build_warc import EXAMPLES_DIR, SHARD_FILES, build_shard, main
from humpback_pipeline.examples.page_source import (
    PageError,
    read_page,
    read_pages,
    render_page,
    template_environment,
)

HEAD = """\
url: https://news.example.org/a
title: A page
template: plain
crawl_date: 2024-01-02T03:04:05Z
"""
PLAIN = "<html><h1>{{ title }}</h1>{{ body_html | permalinks }}{{ next.title }}</html>"


def write_sources(root: Path, **pages: str) -> Path:
    """Make a source folder with one template and the given pages in the shard `web`."""
    (root / "templates").mkdir()
    (root / "templates" / "plain.html.j2").write_text(PLAIN, encoding="utf-8")
    site = root / "pages" / "web" / "news"
    site.mkdir(parents=True)
    for name, text in pages.items():
        (site / f"{name}.md").write_text(text, encoding="utf-8")
    return root


def records_of(warc: bytes, **options: bool) -> Iterator[tuple[ArcWarcRecord, bytes]]:
    for record in ArchiveIterator(BytesIO(warc), **options):
        yield record, record.content_stream().read()


@pytest.mark.parametrize("shard", SHARD_FILES)
def test_committed_warc_equals_a_fresh_build(shard: str) -> None:
    committed = (EXAMPLES_DIR / "warc" / SHARD_FILES[shard]).read_bytes()
    built = build_shard(shard)
    assert gzip.decompress(built) == gzip.decompress(committed)
    if "ng" not in zlib.ZLIB_RUNTIME_VERSION:  # zlib-ng deflates to other, equally valid bytes
        assert built == committed


@pytest.mark.parametrize("shard", SHARD_FILES)
def test_every_page_file_is_in_its_warc_once(shard: str) -> None:
    folder = EXAMPLES_DIR / "pages" / shard
    files = [path for path in folder.rglob("*") if path.is_file()]
    pages = read_pages(folder)
    assert sorted(page.path for page in pages) == sorted(files)
    templates = template_environment(EXAMPLES_DIR / "templates")
    expected = Counter(
        (page.head.url, hashlib.sha256(render_page(page, pages, templates)).hexdigest())
        for page in pages
    )
    committed = (EXAMPLES_DIR / "warc" / SHARD_FILES[shard]).read_bytes()
    raw = shard == "clueweb22"
    found = Counter(
        (record.rec_headers.get_header("WARC-Target-URI"), hashlib.sha256(payload).hexdigest())
        for record, payload in records_of(committed, no_record_parse=raw)
        if record.rec_type == "response"
        and record.rec_headers.get_header("WARC-Identified-Payload-Type") != "image/png"
    )
    assert found == expected


def test_web_warc_holds_pairs_of_request_and_response_one_image_and_one_404() -> None:
    warc = (EXAMPLES_DIR / "warc" / SHARD_FILES["web"]).read_bytes()
    records = [record for record, _ in records_of(warc, check_digests=True)]
    types = [record.rec_type for record in records]
    n_pages = len(read_pages(EXAMPLES_DIR / "pages" / "web"))
    assert n_pages >= 48
    assert types == ["warcinfo"] + ["request", "response"] * (n_pages + 1)
    responses = records[2::2]
    statuses = Counter(record.http_headers.get_statuscode() for record in responses)
    assert statuses == {"200": n_pages, "404": 1}
    kinds = Counter(
        record.rec_headers.get_header("WARC-Identified-Payload-Type") for record in responses
    )
    assert kinds == {"text/html": n_pages, "image/png": 1}
    assert all(record.digest_checker.passed for record in records)
    for request, response in zip(records[1::2], responses, strict=True):
        linked = request.rec_headers.get_header("WARC-Concurrent-To")
        assert linked == response.rec_headers.get_header("WARC-Record-ID")


def test_clueweb22_warc_holds_bare_html_under_clueweb22_headers() -> None:
    warc = (EXAMPLES_DIR / "warc" / SHARD_FILES["clueweb22"]).read_bytes()
    (info, _), *responses = list(records_of(warc, no_record_parse=True))
    assert info.rec_type == "warcinfo"
    assert len(responses) == len(read_pages(EXAMPLES_DIR / "pages" / "clueweb22"))
    beginnings = set()
    for number, (record, payload) in enumerate(responses):
        header = record.rec_headers.get_header
        assert record.rec_type == "response"
        assert header("ClueWeb22-ID") == f"clueweb22-en0000-00-{number:05d}"
        url_hash = hashlib.md5(header("WARC-Target-URI").encode()).hexdigest().upper()
        assert header("URL-Hash") == url_hash
        assert header("WARC-Payload-Digest") == f"sha1:{hashlib.sha1(payload).hexdigest()}"
        assert header("VDOM-Heading") == header("VDOM-Primary") == ""
        assert not payload.startswith(b"HTTP/")
        assert b"<html" in payload.lower()
        beginnings.add(payload.lstrip()[:5].lower())
    assert {b"<?xml", b"<!doc"} <= beginnings


def test_record_ids_are_unique_across_both_files() -> None:
    record_ids: list[str] = []
    for name in SHARD_FILES.values():
        for record, _ in records_of((EXAMPLES_DIR / "warc" / name).read_bytes()):
            record_ids.append(record.rec_headers.get_header("WARC-Record-ID"))
    assert len(record_ids) == len(set(record_ids))


def test_pages_of_one_site_link_to_each_other(tmp_path: Path) -> None:
    second = HEAD.replace("/a", "/b").replace("A page", "The second")
    root = write_sources(
        tmp_path, a=f"---\n{HEAD}---\n## Why?\n\ntext\n", b=f"---\n{second}---\nx\n"
    )
    payloads = [payload for record, payload in records_of(build_shard("web", root))]
    assert payloads[2].decode() == (
        '<html><h1>A page</h1><h2 id="why">Why?<a class="headerlink" href="#why" '
        'title="Link to this heading">¶</a></h2>\n<p>text</p>\nThe second</html>'
    )


def test_page_is_sent_in_its_own_charset(tmp_path: Path) -> None:
    root = write_sources(tmp_path, a=f"---\n{HEAD}charset: iso-8859-1\n---\nGrün 日\n")
    record, payload = list(records_of(build_shard("web", root)))[2]
    assert record.http_headers.get_header("Content-Type") == "text/html; charset=iso-8859-1"
    assert "<p>Grün &#26085;</p>".encode("iso-8859-1") in payload


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("just text", "no front matter"),
        (f"---\n{HEAD}", "no front matter"),
        (f"---\n{HEAD}vars: {{a: b\n---\nx", "page.md:7: front matter is not valid YAML"),
        (f"---\n{HEAD}tilte: x\n---\nx", "tilte: Extra inputs"),
        (f"---\n{HEAD.replace('title: A page', '')}---\nx", "title: Field required"),
        (f"---\n{HEAD.replace('2024-01-02T03:04:05Z', 'soon')}---\nx", "crawl_date:"),
        (f"---\n{HEAD.replace('news.example.org', 'news.org')}---\nx", "url:"),
        (f"---\n{HEAD}status: 42\n---\nx", "status:"),
        (f"---\n{HEAD.replace('template: plain', '')}---\nx", "template: missing"),
        (
            f"---\n{HEAD.replace('plain', 'fancy')}---\nx",
            "no template 'fancy'; choose one of plain",
        ),
        (f"---\n{HEAD}charset: klingon\n---\nx", "charset: unknown encoding"),
        (f"---\n{HEAD.replace('2024-01-02', '2024-13-45')}---\nx", "month must be in 1..12"),
        (f"---\n{HEAD}author: \x07\n---\nx", "front matter is not valid YAML"),
        ("---\n- a list\n---\nx", "front matter: the whole"),
    ],
)
def test_broken_page_is_refused_with_file_and_fault(tmp_path: Path, text: str, fault: str) -> None:
    root = write_sources(tmp_path, page=text)
    with pytest.raises(PageError) as caught:
        build_shard("web", root)
    assert str(root / "pages" / "web" / "news" / "page.md") in str(caught.value)
    assert fault in str(caught.value)


def test_two_pages_with_one_url_are_refused_with_both_files(tmp_path: Path) -> None:
    page = f"---\n{HEAD}---\nx"
    root = write_sources(tmp_path, one=page, two=page)
    with pytest.raises(PageError, match=r"two\.md: url: .*belongs to .*one\.md"):
        build_shard("web", root)


def test_folder_without_pages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PageError, match="no page sources"):
        read_pages(tmp_path)


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_reading_any_text_gives_a_page_or_a_page_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.md"
    path.write_text(f"---\n{HEAD}{text}\n---\nbody\n", encoding="utf-8")
    try:
        outcome = read_page(path).head.title
    except PageError as error:
        outcome = str(error)
    assert outcome == "A page" or str(path) in outcome


def test_command_writes_nothing_when_a_page_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_sources(tmp_path, page="no front matter")
    monkeypatch.setattr("humpback_pipeline.examples.build_warc.EXAMPLES_DIR", root)
    monkeypatch.setattr(
        "humpback_pipeline.examples.build_warc.build_shard", lambda name: build_shard(name, root)
    )
    with pytest.raises(SystemExit, match=r"build_warc: .*page\.md: no front matter"):
        main([])
    assert not (root / "warc").exists()


def test_check_passes_on_the_committed_files_and_fails_on_a_changed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "ng" in zlib.ZLIB_RUNTIME_VERSION:
        pytest.skip("zlib-ng deflates to other bytes than the committed ones")
    main(["--check"])
    monkeypatch.setattr("humpback_pipeline.examples.build_warc.EXAMPLES_DIR", tmp_path)
    with pytest.raises(SystemExit, match="differs from its pages"):
        main(["--check"])
