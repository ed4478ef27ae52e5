"""A page is screened before it is parsed: each reason, and how its language is told."""

from __future__ import annotations

import pytest
from made_up_text import prose
from web_builders import page

from humpback_pipeline.web import Document
from humpback_pipeline.web.page import Page, PageDropError, open_page
from humpback_pipeline.web.page_text import paragraph_text, stated_language

GERMAN = (
    "Der Hafen liegt in einer kleinen Bucht, und wer ihn bei Ebbe verlassen will, muss auf das "
    "Wasser warten und die Tafel an der Mauer lesen, bevor er die Leinen löst. "
) * 10
MENU = "".join(f"<li><a href={n}>{prose(60, n)}</a></li>" for n in range(60))


def opened(body: str | bytes, language: str | None = None, **wanted: object) -> Page:
    html = body if isinstance(body, bytes) else page(body)
    return open_page(Document("d", "https://example.com/", language, html), **wanted)  # type: ignore[arg-type]


def dropped(body: str | bytes, language: str | None = None, **wanted: object) -> tuple[str, object]:
    with pytest.raises(PageDropError) as caught:
        opened(body, language, **wanted)
    assert str(caught.value) == caught.value.reason
    return caught.value.reason, caught.value.language


@pytest.mark.parametrize(
    "html", [b"", b"plain words", b"<p>x</p>", b"<h7>x</h7>", b"<hr><head><header>", b"<h1"]
)
def test_open_page_without_heading_is_dropped(html) -> None:
    assert dropped(html) == ("no_heading", None)
    assert dropped(html, "de") == ("no_heading", "de")


@pytest.mark.parametrize("heading", ["<h1>T</h1>", "<H6 class=x>T</H6>", "<h2\n>T</h2>"])
def test_open_page_with_any_heading_passes(heading) -> None:
    assert opened(f"{heading}<p>{prose(1200)}</p>").language == "en"


def test_open_page_stated_language_is_taken_as_it_is() -> None:
    body = f"<h1>Hafen</h1><p>{GERMAN}</p>"
    assert opened(body, "fr", languages=("fr",)).language == "fr"
    assert dropped(body, "de", languages=("en", "fr")) == ("language", "de")


@pytest.mark.parametrize(
    "body",
    [
        f"<h1>Hafen</h1><p>{GERMAN}</p>",
        f"<H1>Hafen</H1><P>{GERMAN}</P>",
        f"<h1>Hafen</h1><p>{GERMAN}",
        f"<h1>Hafen</h1><div>{GERMAN}</div>",
        f"<h1>Hafen</h1><p class=x>{GERMAN[:400]}</p>",
        f"<ul>{MENU}</ul><h1>Hafen</h1><p>{GERMAN}</p><ul>{MENU}</ul>",
        f"<ul>{MENU}</ul><h1>Hafen</h1>" + f"<p>{GERMAN[:300]}</p>" * 5,
    ],
    ids=["p", "P", "open p", "no p", "short", "menus", "menus and short paragraphs"],
)
def test_open_page_language_is_told_from_paragraphs(body) -> None:
    assert opened(body).language == "de"
    assert opened(body, languages=("de",)).language == "de"
    assert dropped(body, languages=("en",)) == ("language", "de")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
def test_open_page_of_sixteen_bits_is_read(encoding) -> None:
    html = f"<html><h1>Hafen</h1><p>{GERMAN}</p></html>"
    assert opened(html.encode(encoding)).html == html
    assert dropped(html.encode(encoding), languages=("en",)) == ("language", "de")
    deep = f"<html><h1>Hafen</h1>{'<div>' * 9_000}"
    assert dropped(deep.encode(encoding))[0] == "too_deep"


@pytest.mark.parametrize("body", ["<h1>Tides</h1>", "<h1>Tides</h1><p>One. Two.</p>"])
def test_open_page_with_too_little_text_is_dropped(body) -> None:
    assert dropped(body, min_chars=600) == ("too_little_text", None)
    assert opened(body, "en", min_chars=600).language == "en"  # not parsed to count it


def test_open_page_in_no_language_is_unknown() -> None:
    body = "<h1>1 2 3</h1><p>" + "12 34 56 — 78. " * 100
    assert opened(body).language is None
    assert dropped(body, languages=("en",)) == ("language", "unknown")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("<br>" * 200_001, "too_many_tags"),
        (f"<p {' '.join(f'a{n}' for n in range(900))}>", "too_many_attributes"),
        ("<div>" * 9_000, "too_deep"),
    ],
)
def test_open_page_too_complex_is_dropped(body, reason) -> None:
    assert dropped(f"<h1>T</h1>{body}") == (reason, None)
    assert dropped(f"<h1>T</h1>{body}", "en", languages=("en",)) == (reason, "en")
    # In a language that nobody wants, it is not looked at that far.
    assert dropped(f"<h1>T</h1>{body}", "de", languages=("en",)) == ("language", "de")


def test_page_tree_closes_the_empty_tags_of_xhtml_alone() -> None:
    body = b'<h1><a id="x"/>Tides</h1><p>Words.</p>'
    xhtml = b'<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN">' + body
    assert opened(xhtml).tree.body.query_selector("a").text == ""
    assert opened(body).tree.body.query_selector("a").text.startswith("Tides")


def test_page_document_hash_is_of_the_bytes() -> None:
    one, other = opened("<h1>T</h1>"), opened("<h1>T</h1> ")
    assert one.document_hash == one.document.content_hash() != other.document_hash


def test_paragraph_text_is_of_paragraphs_alone() -> None:
    html = (
        "<pre>code</pre><path d=x></path><p>One <b>bold</b> &amp; &eacute;.</p><div>No</div>"
        "<p\nclass='y'>Two.</p><p>open<p>Three.</p>"
    )
    assert paragraph_text(html).split() == ["One", "bold", "&", "é.", "Two.", "open", "Three."]


def test_paragraph_text_is_bounded() -> None:
    assert len(paragraph_text("<p>word</p>" * 5_000).split()) == 100
    assert paragraph_text("<p>" + "x" * 5_000 + "</p>") == ""
    assert paragraph_text("<p" * 500_000) == ""


@pytest.mark.parametrize(
    ("html", "language"),
    [
        ("<html lang=de>", "de"),
        ("<!DOCTYPE html>\n<HTML class='x' LANG='de-AT'>", "de-AT"),
        ('<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="fr">', "fr"),
        ("<html><body lang=de>", None),
        ("<html data-lang=de>", None),
        ("<html lang=''>", None),
        (" " * 6_000 + "<html lang=de>", None),
        ("<html " * 100_000, None),
    ],
)
def test_stated_language_is_of_the_html_element(html, language) -> None:
    assert stated_language(html) == language


def test_open_page_wrong_statement_of_the_page_does_not_turn_its_language() -> None:
    html = page(f"<h1>Tides</h1><p>{prose(1500)}</p>").replace(b"lang='en'", b"lang='de'")
    assert opened(html).language == "en"
