from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_text import prose
from web_builders import document

from humpback_pipeline.web import (
    SEGMENT_SCHEMA,
    Document,
    SegmentLimits,
    extract_segments,
    segments_to_frame,
)

EXTRACTORS = ("trafilatura", "resiliparse")


def paragraphs(*sizes: int, start: int = 0) -> str:
    return "".join(f"<p>{prose(size, start + 50 * i)}</p>" for i, size in enumerate(sizes))


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_extract_segments_takes_the_largest_subtree_that_fits(extractor) -> None:
    body = (
        f"<main><h1>Sailing</h1>{paragraphs(400)}"
        f"<h2>Harbours</h2>{paragraphs(900, start=300)}"
        f"<h3>Small ones</h3>{paragraphs(700, start=400)}"
        f"<h2>Anchors</h2>{paragraphs(1500, 1900, start=500)}"
        f"<h3>Chain</h3>{paragraphs(800, start=600)}"
        f"<h3>Rope</h3>{paragraphs(200, start=700)}"
        f"<h2>Lights</h2>{paragraphs(3100, start=800)}</main>"
    )
    found = extract_segments(document(body), extractor)
    assert [(s.header_path, s.header_level) for s in found] == [
        (("Sailing", "Harbours"), 2),
        (("Sailing", "Anchors", "Chain"), 3),
    ]
    harbours = found[0]
    assert harbours.text.startswith("## Harbours\n\n")
    assert "\n\n### Small ones\n\n" in harbours.text
    assert prose(900, 300) in harbours.text
    assert harbours.header == "Harbours"
    assert all(600 <= s.text_chars == len(s.text) <= 3_000 for s in found)


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_extract_segments_leaves_boilerplate_out(extractor) -> None:
    body = f"""
      <header><nav><ul><li><a href=/>Home page</a><li><a href=/b>All boats</a></ul></nav></header>
      <div class="cookie-banner"><h2>We value your privacy</h2><p>This site uses cookies to make
        your visit pleasant, and shares them with many partners. Accept all of them?</p></div>
      <article><h1>Reading the tide</h1>{paragraphs(500, 500)}
        <div class="share-bar"><a href=x>Share on Facebook</a> <a href=y>Share on Twitter</a></div>
        <p>Advertisement</p>{paragraphs(300, start=300)}
        <h3>Related articles</h3><p>{prose(250, 900)}</p></article>
      <section id="comments"><h2>Comments</h2><p>SkipperJoe wrote: what a great page this is, I
        have read it to my crew twice and they loved it, thank you so much!</p></section>
      <aside><h3>Popular</h3><p>{prose(300, 700)}</p></aside>
      <footer><p>© 2024 Harbour Press. All rights reserved.</p></footer>"""
    (segment,) = extract_segments(document(body), extractor)
    assert segment.header_path == ("Reading the tide",)
    assert prose(300, 300) in segment.text
    for alien in (
        "cookies",
        "Share on",
        "SkipperJoe",
        "Home page",
        "©",
        "Advertisement",
        "Popular",
        "Related",
        prose(250, 900)[:40],
    ):
        assert alien not in segment.text


def test_extract_segments_keeps_the_shape_of_lists_tables_code_and_quotes() -> None:
    body = f"""<main><h2>Preparing <code>crew.cfg</code>
        <a class="headerlink" href="#x">¶</a></h2>
      <p>First, <strong>re</strong><b>ad</b> the <a href="manual">manual</a> and run
         <code>crew --check</code>.<br>{prose(200)}</p>
      <ul><li>Rope<ul><li>thin</li><li>thick</li></ul></li><li><p>Anchor</p><p>Two if you can,
        since one of them will be lost on some dark night.</p></li></ul>
      <ol start="3"><li>Cast off</li><li>Wave to the people on the quay</li></ol>
      <pre><code class="language-python">if tide &gt; 2:
    sail()   # quickly
</code></pre>
      <table><tr><th>Mark</th><th>Depth</th></tr><tr><td>a|b</td><td>3 m</td></tr></table>
      <blockquote><p>The sea is patient.</p><p>Be so too.</p></blockquote>
      <dl><dt>lee</dt><dd>The side away from the wind.</dd></dl>
      <div class="note"><h3>Note</h3><p>{prose(200, 60)}</p></div></main>"""
    (segment,) = extract_segments(document(body))
    expected = f"""## Preparing crew.cfg

First, **read** the manual and run `crew --check`.
{prose(200)}

- Rope
  - thin
  - thick
- Anchor

  Two if you can, since one of them will be lost on some dark night.

3. Cast off
4. Wave to the people on the quay

```python
if tide > 2:
    sail()   # quickly
```

| Mark | Depth |
| --- | --- |
| a\\|b | 3 m |

> The sea is patient.
>
> Be so too.

- lee
  The side away from the wind.

**Note**

{prose(200, 60)}"""
    assert segment.text == expected


def test_extract_segments_section_named_like_boilerplate_is_kept() -> None:
    body = (
        f"<main><h1>Python</h1>{paragraphs(3000)}"
        f"<section id='sharing-state'><h2>Sharing state</h2>{paragraphs(800, start=200)}</section>"
        f"<section id='author-notes'><h2>Author notes</h2>"
        f"{paragraphs(800, start=400)}</section></main>"
    )
    found = extract_segments(document(body))
    assert [s.header for s in found] == ["Sharing state", "Author notes"]


@pytest.mark.parametrize(
    "html",
    [
        "<h2>Größe der Boote</h2>".encode("latin-1"),
        b"<meta charset='windows-1252'><h2>Gr\xf6\xdfe der Boote</h2>",
        "<h2>Größe der Boote</h2>".encode(),
        "\ufeff<h2>Größe der Boote</h2>".encode("utf-16-le"),
        b"<?xml version='1.0' encoding='iso-8859-1'?><h2>Gr\xf6\xdfe der Boote</h2>",
    ],
)
def test_extract_segments_decodes_the_page(html) -> None:
    encoding = "utf-16-le" if b"\0" in html else "ascii"
    page_bytes = html + f"<p>{prose(700)}</p>".encode(encoding)
    (segment,) = extract_segments(document("", html=page_bytes))
    assert segment.header == "Größe der Boote"


def test_extract_segments_page_with_the_marker_characters_itself() -> None:
    body = (
        f"<main><h1>Signs \U0001d800\U0001d801</h1><p>\U0001d800\U0001d803 {prose(700)}</p></main>"
    )
    (segment,) = extract_segments(document(body))
    assert segment.text == f"# Signs\n\n{prose(700)}"


def test_extract_segments_identifiers_are_stable_and_unique() -> None:
    body = "<main><h1>Top</h1>" + "".join(
        f"<h2>Example</h2>{paragraphs(1200, start=100 * i)}" for i in range(4)
    )
    first = [s.segment_id for s in extract_segments(document(body))]
    assert first == [s.segment_id for s in extract_segments(document(body))]
    assert len(set(first)) == 4
    other = extract_segments(document(body, document_id="doc-2"))
    assert not {s.segment_id for s in other} & set(first)


def test_extract_segments_language_is_stated_or_detected() -> None:
    body = f"<main><h1>Tides</h1>{paragraphs(900)}</main>"
    assert extract_segments(document(body))[0].language == "en"
    assert extract_segments(document(body, language="fr"))[0].language == "fr"


def test_extract_segments_of_links_alone_is_none() -> None:
    links = "".join(f"<li><a href={i}>{prose(60, i)}</a></li>" for i in range(20))
    body = f"<main><h1>All pages</h1><p>{prose(300)}</p><ul>{links}</ul></main>"
    assert extract_segments(document(body)) == []


def test_extract_segments_within_own_limits() -> None:
    body = f"<main><h1>Tides</h1>{paragraphs(100)}</main>"
    assert extract_segments(document(body)) == []
    assert len(extract_segments(document(body), limits=SegmentLimits(50, 500))) == 1


@pytest.mark.parametrize("html", [b"", b"   ", b"\0\0", b"<h1>", b"plain words", b"<html></html>"])
@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_extract_segments_of_an_empty_page_is_none(html, extractor) -> None:
    assert extract_segments(document("", html=html), extractor) == []


def test_extract_segments_unknown_extractor_raises_and_names_those_allowed() -> None:
    with pytest.raises(ValueError, match=r"'boilerpipe'.*resiliparse, trafilatura"):
        extract_segments(document(""), "boilerpipe")


@pytest.mark.parametrize(
    "core",
    [
        "<div>" * 3_000,
        "<b>" * 3_000,
        "<ul><li>" * 2_000,
        "<h1><h2>" * 1_000,
        "<table><tr><td>" * 999,
    ],
)
@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_extract_segments_survives_deep_nesting(core, extractor) -> None:
    body = f"<h1>Top</h1>{paragraphs(700)}{core}{prose(700, 90)}"
    for segment in extract_segments(document(body), extractor):
        assert 600 <= len(segment.text) <= 3_000


TAGS = (
    "h1",
    "h2",
    "h3",
    "p",
    "div",
    "ul",
    "ol",
    "li",
    "pre",
    "code",
    "table",
    "tr",
    "td",
    "th",
    "blockquote",
    "dl",
    "dt",
    "dd",
    "b",
    "em",
    "a",
    "br",
    "span",
    "nav",
)
FRAGMENTS = st.one_of(
    st.sampled_from([f"<{tag}>" for tag in TAGS] + [f"</{tag}>" for tag in TAGS]),
    st.sampled_from(
        ["<", "&", "&#0;", "<!--", "]]>", "\ud83d\ude00", "\U0001d800\U0001d801", "\x0c"]
    ),
    st.text(max_size=30),
    st.integers(0, 5_000).map(lambda n: prose(300, n)),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(FRAGMENTS, max_size=40), st.sampled_from(EXTRACTORS))
def test_extract_segments_of_any_html_obeys_the_limits(fragments, extractor) -> None:
    html = "".join(fragments).encode("utf-8", "surrogatepass")
    for segment in extract_segments(document("", html=html), extractor):
        assert 600 <= len(segment.text) == segment.text_chars <= 3_000
        assert segment.text.startswith(f"{'#' * segment.header_level} {segment.header}")
        assert segment.header_path[-1] == segment.header
        assert not any("\U0001d800" <= character <= "\U0001daff" for character in segment.text)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=600), st.sampled_from(EXTRACTORS), st.sampled_from([None, "x", "utf-16"]))
def test_extract_segments_of_random_bytes_never_raises(data, extractor, charset) -> None:
    whole = Document("d", "https://e.org", None, b"<h1>T</h1><p>" + data, charset=charset)
    extract_segments(whole, extractor)


def test_segments_to_frame_has_the_schema_and_the_values() -> None:
    (segment,) = extract_segments(document(f"<main><h1>Tides</h1>{paragraphs(900)}</main>"))
    assert tuple(f.name for f in dataclasses.fields(segment)) == tuple(SEGMENT_SCHEMA)
    frame = segments_to_frame([segment])
    assert frame.schema == SEGMENT_SCHEMA
    assert frame.row(0, named=True)["header_path"] == ["Tides"]
    assert segments_to_frame([]).schema == SEGMENT_SCHEMA
