"""What the native extractor makes of each kind of element."""

from __future__ import annotations

import pytest
from made_up_text import prose

from humpback_pipeline.web import Document
from humpback_pipeline.web.markdown import render_markdown
from humpback_pipeline.web.native_content import native_content
from humpback_pipeline.web.page import Page
from humpback_pipeline.web.time_limit import PageTimeoutError

BEFORE, AFTER = prose(200), prose(200, 30)
XHTML = (
    '<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" '
    '"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">'
)


def markdown(body: str, around: str = "<main>{}</main>", doctype: str = "<!DOCTYPE html>") -> str:
    """The Markdown of `body`, which stands between a title with a paragraph and another one."""
    content = around.format(f"<h1>Tides</h1><p>{BEFORE}</p>{body}<p>{AFTER}</p>")
    html = f"{doctype}<html><head><title>x</title></head><body>{content}</body></html>"
    page = Page(Document("d", "https://example.com/", None, b""), html, "en")
    return render_markdown(native_content(page.tree))


def inner(body: str, around: str = "<main>{}</main>", doctype: str = "<!DOCTYPE html>") -> str:
    text = markdown(body, around, doctype)
    start, end = f"# Tides\n\n{BEFORE}", AFTER
    assert text.startswith(start)
    assert text.endswith(end)
    return text[len(start) : -len(end)].strip("\n")


CASES = {
    "nested list": (
        "<ul><li>Rope<ul><li>thin</li><li>thick<ol><li>one</li><li>two</li></ol></li></ul></li>"
        "<li><p>Anchor</p><p>Two if you can.</p></li></ul>",
        "- Rope\n  - thin\n  - thick\n    1. one\n    2. two\n- Anchor\n\n  Two if you can.",
    ),
    "numbers go on after a nested list": (
        "<ol><li>Cast off<ol><li>bow</li><li>stern</li></ol></li><li>Wave</li></ol>",
        "1. Cast off\n   1. bow\n   2. stern\n2. Wave",
    ),
    "each list counts for itself": (
        "<ol><li>a</li><li>b</li></ol><p>Then:</p><ol><li>c</li></ol>",
        "1. a\n2. b\n\nThen:\n\n1. c",
    ),
    "numbers begin where the list says": (
        '<ol start="9"><li>Cast off</li><li><p>Wave</p></li></ol>',
        "9. Cast off\n10. Wave",
    ),
    "a start that is no number": ('<ol start="x"><li>Cast off</li></ol>', "1. Cast off"),
    "empty items hold nothing": (
        "<ol><li></li><li>b</li><li> </li></ol><p>After it.</p>",
        "2. b\n\nAfter it.",
    ),
    "upper-case tags": ("<UL><LI>Rope</LI></UL><P>Words.</P>", "- Rope\n\nWords."),
    "links announced by a colon": (
        '<p>New modules:</p><ul><li><a href="/a">asyncio</a></li><li><a href="/b">tomllib</a>'
        "</li></ul>",
        "New modules:\n\n- asyncio\n- tomllib",
    ),
    "links that nothing announces": (
        '<ul><li><a href="/a">asyncio</a></li><li><a href="/b">tomllib</a></li></ul>',
        "",
    ),
    "data table": (
        "<table><thead><tr><th>Mark</th><th>Depth</th></tr></thead><tbody>"
        "<tr><td>a|b</td><td>3 <b>m</b></td></tr><tr><td></td><td>5<br>m</td></tr></tbody></table>",
        "| Mark | Depth |\n| --- | --- |\n| a\\|b | 3 m |\n|  | 5 m |",
    ),
    "cells with paragraphs": (
        "<table><tr><th><p>Mark</p></th><th>Depth</th></tr>"
        "<tr><td><p>a</p><p>b</p></td><td><p>3 m</p></td></tr></table>",
        "| Mark | Depth |\n| --- | --- |\n| a b | 3 m |",
    ),
    "cells with links and code": (
        "<table><tr><th>Name</th><th>Is</th></tr>"
        '<tr><td><a href="/x"><code>x</code></a></td><td>one</td></tr></table>',
        "| Name | Is |\n| --- | --- |\n| `x` | one |",
    ),
    "table that lays the page out": (
        "<table><tr><td>Left words are here.</td></tr><tr><td>More words there.</td></tr></table>",
        "Left words are here.\n\nMore words there.",
    ),
    "table with a heading in it": (
        "<table><tr><td><h2>Harbours</h2><p>Left words.</p></td><td><p>Right.</p></td></tr>"
        "<tr><td><p>More.</p></td><td><p>Last.</p></td></tr></table>",
        "## Harbours\n\nLeft words.\n\nRight.\n\nMore.\n\nLast.",
    ),
    "table in a quote": (
        "<blockquote><table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>"
        "</blockquote>",
        "> | a | b |\n> | --- | --- |\n> | c | d |",
    ),
    "code block": (
        "<pre><code>if tide &gt; 2 and a &lt;b&gt;:\n"
        "    sail()  # &amp;amp;\n\n    go()\n</code></pre>",
        "```\nif tide > 2 and a <b>:\n    sail()  # &amp;\n\n    go()\n```",
    ),
    "code block with spans and links": (
        '<pre><span class="k">if</span> x:\n    <a href="/y">y</a>()</pre>',
        "```\nif x:\n    y()\n```",
    ),
    "code block in an item": (
        "<ol><li>First<pre>x = 1\n  y</pre></li><li>Next</li></ol>",
        "1. First\n\n   ```\n   x = 1\n     y\n   ```\n2. Next",
    ),
    "back-ticks in a code block": (
        "<pre>```\nfence\n```</pre>",
        "````\n```\nfence\n```\n````",
    ),
    "more back-ticks in a code block": (
        "<pre>````\n```\nfence</pre>",
        "`````\n````\n```\nfence\n`````",
    ),
    "empty code block": ("<pre></pre><p>Words.</p><pre>x</pre>", "Words.\n\n```\nx\n```"),
    "inline code": (
        "<p>Run <code>crew --check &lt;x&gt;</code>, <kbd>Ctrl</kbd>+<tt>c</tt><code></code>.</p>",
        "Run `crew --check <x>`, `Ctrl`+`c`.",
    ),
    "code in code": ("<p>Press <kbd><kbd>Ctrl</kbd>+<kbd>c</kbd></kbd>.</p>", "Press `Ctrl+c`."),
    "back-tick in inline code": ("<p>Type <code>a`b</code> now.</p>", "Type a`b now."),
    "nested quotes": (
        "<blockquote><p>Sea.</p><blockquote><p>Inner.</p></blockquote><p>Outer.</p></blockquote>",
        "> Sea.\n>\n> > Inner.\n>\n> Outer.",
    ),
    "quote that a heading ends": (
        "<blockquote><p>Sea.</p><h2>Harbours</h2><p>After.</p></blockquote>",
        "> Sea.\n\n## Harbours\n\nAfter.",
    ),
    "quote left open in an item": (
        "<ul><li>a<blockquote>Sea.</li><li>b</li></ul>",
        "- a\n\n  > Sea.\n- b",
    ),
    "callout": (
        '<div class="note"><h3>Note</h3><p>Mind the gap.</p></div>',
        "**Note**\n\nMind the gap.",
    ),
    "heading deeper in a callout": (
        '<div class="note"><div><h3>Note</h3><p>Mind.</p></div></div>',
        "### Note\n\nMind.",
    ),
    "heading that is a link": (
        '<h2><a href="/x">Harbours</a></h2><p>Words.</p>'
        '<h3><a href="#y">Piers</a></h3><p>More.</p>',
        "## Harbours\n\nWords.\n\n### Piers\n\nMore.",
    ),
    "empty headings": (
        "<h2></h2><p>One.</p><h2> <br> </h2><p>Two.</p>"
        '<h3><img src=x alt="A boat"></h3><p>Three.</p>',
        "One.\n\nTwo.\n\nThree.",
    ),
    "permalinks": (
        '<h2>One<a class="headerlink" href="#a">¶</a></h2><p>1.</p><h2>Two <a href="#b">#</a></h2>'
        '<p>2.</p><h2>Three<a href="#c">🔗</a></h2><p>3.</p>'
        '<h2>Four<span class="mw-editsection">[edit]</span></h2><p>4.</p>',
        "## One\n\n1.\n\n## Two\n\n2.\n\n## Three\n\n3.\n\n## Four\n\n4.",
    ),
    "a language that ends like a permalink": (
        "<h2>Sailing in C#</h2><p>1.</p><h2>Appendix A #</h2><p>2.</p>",
        "## Sailing in C#\n\n1.\n\n## Appendix A\n\n2.",
    ),
    "heading with inline elements": (
        "<h2>The <code>x&lt;y</code> <em>way</em></h2><p>Words.</p>",
        "## The x<y way\n\nWords.",
    ),
    "entities": (
        "<p>A &amp; B &lt; C &copy; &eacute; &#8212; &amp;lt; &nbsp;D.</p>",
        "A & B < C © é — &lt; D.",
    ),
    "line breaks": ("<p>one<br>two<br/>three</p>", "one\ntwo\nthree"),
    "figure": ('<figure><img src=x alt="Alt"><figcaption>A caption.</figcaption></figure>', ""),
    "boilerplate boxes": (
        '<nav><p>Home page.</p></nav><aside><p>Popular.</p></aside><div class="share-bar">'
        '<p>Share it.</p></div><form><p>Search.</p></form><div class="cookie-banner"><p>Cookies.'
        '</p></div><p role="navigation">Next.</p><span class="entry-date">3 May</span>',
        "",
    ),
}


@pytest.mark.parametrize(("body", "expected"), CASES.values(), ids=CASES)
def test_native_content_keeps_the_shape_of(body, expected) -> None:
    assert inner(body) == expected


def test_native_content_xhtml_empty_anchors_leave_no_link_open() -> None:
    body = '<a id="x"/><h2><a name="y"/>Harbours</h2><p>Words<span/> here.</p><div/><p>More.</p>'
    expected = "## Harbours\n\nWords here.\n\nMore."
    assert inner(body, doctype=XHTML) == expected


@pytest.mark.parametrize("around", ["{}", "<div>{}</div>", "<main>{}</main>"])
def test_native_content_shallow_list_is_no_navigation(around) -> None:
    body = "<ul><li>a boat<ul><li>a mast</li></ul></li><li><p>a ship</p></li></ul>"
    assert inner(body, around) == "- a boat\n  - a mast\n- a ship"


@pytest.mark.parametrize("around", ["{}", "<div>{}</div>"])
def test_native_content_shallow_list_of_announced_links_is_kept(around) -> None:
    body = "<p>See:</p><ul><li><a href=/x>a boat</a></li><li><a href=/y>a ship</a></li></ul>"
    assert inner(body, around) == "See:\n\n- a boat\n- a ship"


@pytest.mark.parametrize(
    "around",
    [
        '<div class="related-content">{}</div>',
        "<form>{}</form>",
        '<div role="dialog">{}</div>',
        '<section class="share-story">{}</section>',
    ],
)
def test_native_content_box_that_holds_the_article_is_kept(around) -> None:
    assert inner("<p>Words.</p>", around) == "Words."


def test_native_content_signs_and_refused_characters_of_the_page_are_left_out() -> None:
    signs = "".join(chr(0x1D800 + n) for n in (0, 0x1EF, 0x1F0, 0x1F8, 0x1FF))
    bad = "\ufffe\uffff\x01\x0b\x7f&#x1D800;&#xFFFE;&#1;"
    text = markdown(f"<p>one {signs} two {bad} three</p><pre>x {signs}{bad} y</pre>")
    assert not any(0x1D800 <= ord(c) <= 0x1D9FF or c in "\ufffe\uffff\x01\x0b\x7f" for c in text)
    for word in ("one", "two", "three", "x", "y"):
        assert word in text


def test_native_content_page_without_body_is_empty() -> None:
    page = Page(Document("d", "https://example.com/", None, b""), "", None)
    assert native_content(page.tree) == []


class PanicException(BaseException):
    """Named as Rust's panics are in Python."""


class PanickingTree:
    def __init__(self, message: str) -> None:
        self.message = message

    @property
    def body(self) -> object:
        raise PanicException(self.message)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("`Err` value: PyErr { type: <class 'PageTimeoutError'> }", PageTimeoutError),
        ("index out of bounds", RuntimeError),
    ],
)
def test_native_content_panic_of_the_parser_is_an_error_of_this_page(message, error) -> None:
    with pytest.raises(error):
        native_content(PanickingTree(message))  # type: ignore[arg-type]
