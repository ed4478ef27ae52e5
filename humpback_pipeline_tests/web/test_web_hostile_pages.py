"""One hostile page in a shard costs at most its time limit and one drop; its neighbours come."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from made_up_text import prose
from web_builders import common_crawl, document, gzip_members, page

from humpback_pipeline.web import (
    FilterThresholds,
    SegmentLimits,
    extract_segments,
    segment_shard,
)
from humpback_pipeline.web.markers import SIGNS
from humpback_pipeline.web.page import open_page
from humpback_pipeline.web.segments import extract_candidates

EXTRACTORS = ("trafilatura", "resiliparse")
MAX_PAGE_CPU_S = 2.0
# Native code ends before the limit's signal is heard; reading and decoding stand outside it.
SLACK_S = 2.5
LOREM = b"The quick brown fox jumps over the lazy dog and reads about the tides. "
H = b"<html><body><h1>T</h1>"

HOSTILE = {
    "spaces in a tag": b'<!DOCTYPE html PUBLIC "xhtml">' + H + b"<a" + b" " * 2_000_000,
    "deep divs": H + b"<div>" * 10_000 + LOREM * 30,
    "deep spans": H + b"<p>" + b"<span>" * 10_000 + LOREM * 30,
    "deep headings": H + b"<h1><div>" * 5_000 + LOREM * 30,
    "deep lists": H + b"<ul><li><a href=x>y</a>" * 2_000 + LOREM * 30,
    "deep quotes": H + b"<blockquote>" * 5_000 + LOREM * 30,
    "deep tables": H + b"<table><tr><td>" * 2_000 + LOREM * 30,
    "deep links": H + b"<a href=x><div>" * 5_000 + LOREM * 30,
    "nested formatting": H + b"<b><i><u><s>" * 500 + b"<div>x" * 5_000,
    "named boxes in boxes": H + b"<div class=share><p>hello</p>" * 3_000 + LOREM * 30,
    "deep within the limit": H + b"<div>" * 900 + b"<p>x" * 4_000,
    "attributes": H + b"<p " + b"".join(b"a%d=1 " % i for i in range(200_000)) + b">" + LOREM * 30,
    "long class": H + b'<div class="' + b"nav " * 500_000 + b'">x</div>' + LOREM * 30,
    "quote never ended": H + b'<p x="' + b"a" * 2_000_000,
    "endless comment": H + b"<!--" + b"-" * 5_000_000,
    "comments": H + b"<!-- x -->" * 150_000 + LOREM * 30,
    "entities": H + b"<p>" + b"&amp;" * 500_000,
    "broken entities": H + b"<p>" + b"&" * 500_000,
    "less-than signs": H + b"<" * 2_000_000,
    "options": H + b"<select>" + b"<option>x" * 60_000,
    "options within the limit": H + b"<select>" + b"<option>x" * 15_000,
    "NULs": b"<html>" + b"\0" * 1_000_000 + b"<h1>T</h1>" + LOREM * 30,
    "NULs in text": H + b"<p>" + b"The \0 tide \0 rises. " * 200,
    "not UTF-8": b"<html><h1>T</h1>" + b"\xff\xc0\x80" * 500_000,
    "half surrogates": b"\xff\xfe" + b"\xd8\x00" * 500_000,
    "escapes": b"<html><h1>T</h1>" + b"\x1b$B" * 100_000,
    "one word": H + b"<p>" + b"a" * 2_000_000,
    "one space": H + b"<p>a" + b" " * 2_000_000 + b"b",
    "line breaks": H + b"<p>" + b"x<br>" * 30_000,
    "headings": H + b"<h2>x</h2><p>y</p>" * 5_000,
    "cells": H + b"<table>" + b"<tr><td>a</td><td>b</td></tr>" * 5_000 + b"</table>",
    "back-ticks": H + b"<pre>" + b"`" * 100_000 + b"</pre>" + LOREM,
    "unclosed anchors": b'<?xml version="1.0"?><!DOCTYPE html PUBLIC "xhtml">'
    + H
    + b"<a " * 90_000,
}
SLOW = {
    "9 MB of text": H + (b"<p>" + LOREM * 5 + b"</p>") * 25_000,
    "9 MB of bytes": H + b"<p>" + b"\xe9\xe8 " * 3_000_000,
    "10 MB of broken entities": H + b"&" * 10_000_000,
    "list items": H + b"<ol>" + b"<li>x" * 190_000,
    "rows": H + b"<table>" + b"<tr><td>x<td>y" * 60_000,
    "code spans": H + b"<p><code>x</code>" * 20_000,
    "quotes": H + b"<blockquote>x</blockquote>" * 90_000,
    "lists": H + b"<ul><li>a</li></ul>" * 45_000,
    "tables": H + b"<table><tr><td>x<td>y<tr><td>x<td>y</table>" * 25_000,
    "class names": H + b"".join(b'<div class="x%d share">x</div>' % i for i in range(90_000)),
    "font tags": H + b"".join(b"<font color=%d>" % i for i in range(900)) + b"<p>x" * 20_000,
    "many attributes": H + (b"<p " + b" ".join(b"a%d" % i for i in range(490)) + b">x") * 3_000,
}
CASES = [
    *(pytest.param(html, id=name) for name, html in HOSTILE.items()),
    *(pytest.param(html, id=name, marks=pytest.mark.slow) for name, html in SLOW.items()),
]


@pytest.mark.parametrize("extractor", EXTRACTORS)
@pytest.mark.parametrize("html", CASES)
def test_segment_shard_hostile_page_costs_at_most_its_limit_and_one_drop(
    html, extractor, tmp_path: Path
) -> None:
    good = [page(f"<main><h1>{name}</h1><p>{prose(900, 100 * n)}</p></main>")
            for n, name in enumerate(("Before", "After"))]  # fmt: skip
    path = tmp_path / "shard.warc"
    path.write_bytes(common_crawl(good[0], 1) + common_crawl(html, 2) + common_crawl(good[1], 3))
    began = time.process_time()
    stream = segment_shard(path, extractor=extractor, languages=None, max_page_cpu_s=MAX_PAGE_CPU_S)
    segments = list(stream)
    spent_s = time.process_time() - began
    by_url = {s.url: s.header for s in segments}
    assert by_url["https://example.com/1"] == "Before"
    assert by_url["https://example.com/3"] == "After"
    report = stream.report
    assert report.partial is None
    assert report.n_records == 3
    assert sum(report.document_drops.values()) <= 1
    assert not {"https://example.com/1", "https://example.com/3"} & {
        sample.url for samples in report.drop_samples.values() for sample in samples
    }
    assert spent_s < MAX_PAGE_CPU_S + SLACK_S


INLINE = ("a", "b", "code", "em", "span", "kbd", "font", "small")
BLOCKS = (
    "p", "div", "ul", "ol", "li", "dl", "dt", "dd", "blockquote", "pre", "table", "tr", "td", "th",
    "h1", "h2", "h3", "h6", "section", "article", "figure", "figcaption", "form", "select",
    "option", "nav", "aside", "main", "body", "html", "head", "title", "svg", "template", "button",
    "textarea", "script", "x-y", "frameset",
)  # fmt: skip
ATTRIBUTES = st.sampled_from(
    ["", "", "", " class=note", " class='share x'", " id=comments", " href=/x", " href=#x",
     " start=7", " start=-1", " hidden", " role=navigation", " style='display:none'", " lang=de",
     ' class="headerlink"', " <", ' x="', " /"]
)  # fmt: skip
SIGNS_TEXT = "".join(SIGNS) + "\U0001d800\U0001d801\U0001d9ef\ufffe\uffff\x00\x01\x0b\x0c\x7f\x85"
TEXTS = st.one_of(
    st.integers(0, 30).map(lambda n: prose(200, n)),
    st.text(alphabet=SIGNS_TEXT + "ab #|`*&<>\"'\n\t", max_size=20),
    st.sampled_from(
        ["New modules:", "&#0;", "&#xD800;", "&#x1D9F0;", "&#121328;", "&lt;b&gt;", "¶",
         "```", "\r\n", "<!--",
         "-->", "]]>", "<![CDATA[", "</div>", "</p>", "</table>", "<br>", "<hr/>", "x|y"]
    ),
)  # fmt: skip


def element(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def build(tag: str, attributes: str, inner: list[str], closed: bool) -> str:
        return f"<{tag}{attributes}>{''.join(inner)}" + (f"</{tag}>" if closed else "")

    return st.builds(
        build,
        st.sampled_from(INLINE + BLOCKS),
        ATTRIBUTES,
        st.lists(children, max_size=4),
        st.sampled_from([True, True, True, False]),
    )


html_trees = st.lists(st.recursive(TEXTS, element, max_leaves=25), min_size=1, max_size=5)
bounded = settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


def refused(text: str) -> list[str]:
    """Symbols of markers, and characters that XML refuses."""
    return [
        c
        for c in text
        if 0x1D800 <= ord(c) <= 0x1D9FF
        or 0xD800 <= ord(c) <= 0xDFFF
        or (ord(c) < 0x20 and c not in "\t\n")
        or c in "\x7f\ufffe\uffff"
    ]


@pytest.mark.parametrize("extractor", EXTRACTORS)
@given(pieces=html_trees)
@bounded
def test_extract_segments_of_any_tree_obeys_the_limits(pieces, extractor) -> None:
    limits = SegmentLimits(20, 900)
    found = extract_segments(document(f"<h1>T</h1>{''.join(pieces)}"), extractor, limits)
    assert len({s.segment_id for s in found}) == len(found)
    for segment in found:
        assert 20 <= segment.text_chars == len(segment.text) <= 900
        assert segment.text.startswith("#" * segment.header_level + " " + segment.header)
        assert segment.header == segment.header_path[-1]
        assert not refused(segment.text + "".join(segment.header_path))


@given(pieces=html_trees)
@bounded
def test_extract_candidates_all_have_text_that_can_be_stored(pieces) -> None:
    html = page(f"<main><h1>T</h1><p>{prose(300)}</p>{''.join(pieces)}</main>")
    for extractor in EXTRACTORS:
        for candidate in extract_candidates(open_page(document("", html=html)), extractor):
            candidate.segment.text.encode()
            assert not refused(candidate.segment.text)


@given(pages=st.lists(html_trees, min_size=1, max_size=4), extractor=st.sampled_from(EXTRACTORS))
@settings(bounded, max_examples=40)
def test_segment_shard_of_any_trees_counts_every_page(pages, extractor, tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("any") / "shard.warc.gz"
    htmls = [page(f"<h1>T{n}</h1>{''.join(pieces)}") for n, pieces in enumerate(pages)]
    path.write_bytes(gzip_members(*(common_crawl(html, n) for n, html in enumerate(htmls))))
    stream = segment_shard(path, extractor=extractor, thresholds=FilterThresholds(min_chars=100))
    segments = list(stream)
    report = stream.report
    assert report.n_documents == len(pages)
    assert report.n_segments == len(segments)
    assert report.n_candidates == len(segments) + sum(report.segment_drops.values())
    with_segments = {s.document_id for s in segments}
    assert sum(report.document_drops.values()) <= len(pages) - len(with_segments)
    assert "extraction_error" not in report.document_drops
