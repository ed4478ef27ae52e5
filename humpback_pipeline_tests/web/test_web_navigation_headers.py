"""Headings that name a menu, and chapters that only sound so."""

from __future__ import annotations

import pytest
from small_pages import HEADERS, PROSE, SENTENCE, left

from humpback_pipeline.web.navigation import is_navigation_header, may_be_navigation_header


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Fit it to the advertisement", False),
        ("Local advertisement", True),
        ("Get our free newsletter!", True),
        ("Subscribe to our weekly letter of the house, the quay and the lighthouse", True),
        ("Sharing state between processes", False),
        ("Cookies", False),
        ("3 Kommentare", True),
        ("2 thoughts on “Queues”", True),
        ("3 comments so far", True),
        ("Most read", True),
        ("Recent posts", True),
        ("You may also like…", True),
        ("Das könnte Sie auch interessieren", True),
    ],
)
def test_is_navigation_header(header, expected) -> None:
    assert is_navigation_header(header, HEADERS) is expected


@pytest.mark.parametrize(
    "header",
    [
        "Most popular sorting algorithms",
        "Most read operations are served from cache",
        "Sitemap protocol",
        "Creating a sitemap",
        "Newsletter API",
        "More from itertools",
        "Read more than one file",
        "How to read more data",
        "Latest news values",
        "Recent posts API",
        "Privacy settings API",
        "Displaying related posts",
        "3 responses to stress",
        "2 replies from the server",
        "Sending a newsletter",
    ],
)
def test_a_chapter_on_such_things_is_no_navigation(header) -> None:
    assert not is_navigation_header(header, HEADERS)
    assert not may_be_navigation_header(header, HEADERS)
    assert left(f"<h1>Manual</h1>{PROSE}<h2>{header}</h2><p>{SENTENCE}</p>")[-2:] == [
        header,
        SENTENCE,
    ]


def test_may_be_navigation_header_only_for_whole_headers() -> None:
    assert may_be_navigation_header("Comments", HEADERS)
    assert not may_be_navigation_header("Comments in SQL", HEADERS)
    assert not is_navigation_header("Comments", HEADERS)


@pytest.mark.parametrize("header", ["Comments", "Navigation", "Search", "Tags", "References"])
def test_drop_teasers_keeps_a_chapter_under_a_word_of_menus(header) -> None:
    assert header in left(f"<h1>Manual</h1>{PROSE}<h2>{header}</h2>{PROSE}")
    chapter = f"<h2>{header}</h2><p>{SENTENCE}</p><h3>Syntax</h3>{PROSE}"
    assert header in left(f"<h1>Manual</h1>{PROSE}{chapter}")


@pytest.mark.parametrize(
    "menu",
    [
        '<ul><li><a href="/a">One page</a></li><li><a href="/b">Another page</a></li></ul>',
        "<p>Anna says:</p>" + PROSE,
        "<p>Write something</p>",
    ],
)
def test_drop_teasers_drops_a_menu_or_replies_under_such_a_word(menu) -> None:
    assert left(f"<h1>Story</h1>{PROSE}<h2>Comments</h2>{menu}") == ["Story", *[SENTENCE] * 5]
