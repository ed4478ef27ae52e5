"""What is boilerplate and what only speaks of it: names of elements, wordings, links, sections."""

from __future__ import annotations

import time

import lxml.html
import pytest

from humpback_pipeline.web.blocks import Block, collect_blocks
from humpback_pipeline.web.boilerplate import (
    BoilerplateTest,
    has_boilerplate_name,
    has_scrap_name,
)
from humpback_pipeline.web.navigation import (
    is_boilerplate_line,
    is_navigation_header,
    load_navigation_headers,
    may_be_navigation_header,
)
from humpback_pipeline.web.teaser_sections import is_mostly_boilerplate
from humpback_pipeline.web.teasers import drop_teasers

HEADERS = load_navigation_headers()
SENTENCE = "The queue gives back what was put in first, and it blocks while there is nothing in it."
PROSE = f"<p>{SENTENCE}</p>" * 5


def blocks_of(body: str) -> list[Block]:
    tree = lxml.html.document_fromstring(f"<html><body>{body}</body></html>")
    blocks = collect_blocks(tree)
    for block in blocks:
        block.kept = True
    return blocks


def left(body: str) -> list[str]:
    return [block.text for block in drop_teasers(blocks_of(body), HEADERS)]


@pytest.mark.parametrize(
    "line",
    [
        "Image: WSig",
        "Main image credit: Getty",
        "Photograph by Ed Marshall, Redonda Restoration Programme",
        "Al Goldis, Associated Press",
        "By Michael Hingston",
        "Von Clemens Höges",
        "Posted by Konstantin 21.10.2019",
        "Posted: Thursday, April 21, 2022. 10:11 pm CST.",
        "19.10.2019 07:49 Uhr",
        "Published November 20th, 2019 - 07:50 GMT",
        "Like this story? Share it with a friend!",
        "Please spare some time to comment below, letting us know what you think.",
        "Subscribe now to our <b>eNATION</b> edition for the full story.",
        "Sign up for the free daily newsletter.",
        "Follow Newsbeat on Instagram, Facebook, Twitter and YouTube.",
        "This website uses cookies to improve your experience. You can opt-out if you wish.",
        "Diese Webseite verwendet Cookies. Mit der Nutzung unserer Dienste sind Sie einverstanden.",
        "This article was originally published on another site and is republished here.",
        "The News is not responsible for the opinions of readers. In case of abuse, click here.",
        "We may earn a commission on orders placed through this article.",
        "The contents of this site are ©2019 Publishing Corp.",
        "Back to top",
        "Share",
        "Advertisement",
        "7 comments",
        "Comments are closed.",
        "Copyright © 2019 Publishing Corp.",
        "By using our site you agree to our use of cookies.",
        "Please enable JavaScript to view this page.",
        "Tags: queues, locks, threads",
        "Next: The Lighthouse",
        "The views expressed here are those of the author alone.",
        "Subscribe to our newsletter.",
        "For the latest news, follow us on Twitter.",
        "We need your help. Please donate to keep our journalism alive.",
        "Posted in News, Politics",
        "This document is subject to copyright. No part of it may be reproduced.",
        "Lesen Sie auch:",
        "Dieser Eintrag wurde veröffentlicht in Politik und getaggt.",
    ],
)
def test_drop_teasers_drops_lines_of_the_page_itself(line) -> None:
    assert left(f"<h1>Queues</h1><p>{SENTENCE}</p><p>{line}</p>") == ["Queues", SENTENCE]


@pytest.mark.parametrize(
    "line",
    [
        "A session keeps its state in a cookie; the browser sends the cookie with each request.",
        "Our site uses cookies of the session kind only: they end with the session.",
        "Share the lock between processes, or each of them has one of its own.",
        "Comments begin with two hyphens and reach to the end of the line.",
        "Posted writes are flushed by the next read.",
        "By default the queue is not bounded.",
        "Labels are pairs of keys and values on objects.",
        "Loading the module takes a second.",
        "Subscribe to a topic before you publish on it.",
        "Follow the steps below to download the package for Android and iOS.",
        "Get started with the Twitter API by asking for a key.",
        "Source code: Lib/queue.py",
        "Release date: 2022-05-12",
        "See Section 3.5, “System management”, and Section 4.5.",
        "Print the report with lpr.",
        "Tags mark points of a history, such as releases.",
        "Flask uses signed cookies to keep the session; by using a secret key it makes sure that "
        "nobody changes them.",
        "Django uses cookies for the session. You can opt out by setting SESSION_ENGINE to a file.",
        "The browser uses cookies so that the server can agree with it on a session.",
        "Cookies allow a server to keep state; the client may accept or refuse them.",
        "To accept all cookies, set the policy of the jar when you make the client.",
        "Copyright law protects original works of authorship.",
        "Copyright is a form of protection for works of art.",
        "The sign © stands for copyright.",
        "The brokers may earn a commission on each sale",
        "Some widgets require JavaScript in the browser to draw themselves.",
        "You must enable JavaScript in the build with a flag.",
        "Topics: a topic is a category of messages, and each has partitions.",
        "Tags: each image can have several tags, one of which is the latest.",
        "Category: a namespace of the labels",
        "Next: open the terminal and type the name of the command.",
        "Previous: the value before the last change",
        "Image: the name of the container image to run",
        "Video: the stream number of the picture",
        "The views expressed in a WHERE clause are read once and kept.",
        "The article was first published in 1905, and changed physics forever.",
        "The story was originally published in 1843 by Charles Dickens.",
        "To subscribe to the newsletter queue, call subscribe() with its name.",
        "You can subscribe to a podcast with any RSS reader that knows feeds.",
        "Get the list of newsletters with GET /newsletters.",
        "Sign up users with POST /users, then send a message to your inbox folder.",
        "For the latest version of the kernel, news is posted on the list.",
        "We need your help to find the bug.",
        "Posted in 1914, the letter never arrived.",
        "Support us in tracing the bug with a log of the server.",
        "The contents of this site were excavated in 1922 by a team from Leeds.",
        "This document is subject to copyright laws of the country.",
        "The kernel is not responsible for the content of the buffer.",
        "Print on both sides of the sheet.",
        "Tags: list of strings attached to the object",
    ],
)
def test_drop_teasers_keeps_lines_about_such_things(line) -> None:
    assert left(f"<h1>Queues</h1><p>{SENTENCE}</p><p>{line}</p>") == ["Queues", SENTENCE, line]


@pytest.mark.parametrize("term", ["Share", "comment", "Search", "Register", "Tags", "Online"])
def test_drop_teasers_keeps_terms_of_lists_and_tables(term) -> None:
    body = f"<h1>Words</h1><p>{SENTENCE}</p><dl><dt>{term}</dt><dd>{SENTENCE}</dd></dl>"
    assert term in left(body)
    assert term in left(f"<h1>Words</h1><p>{SENTENCE}</p><ul><li>{term}</li></ul>")


def test_drop_teasers_drops_a_linked_headline_and_keeps_an_announced_one() -> None:
    headline = '<p><a href="/other">Guards falsified the records of the cells</a></p>'
    assert left(f"<h1>Prisons</h1><p>{SENTENCE}</p>{headline}") == ["Prisons", SENTENCE]
    announced = left(f"<h1>Prisons</h1><p>The report says so:</p>{headline}")
    assert announced[-1] == "Guards falsified the records of the cells"


def test_drop_teasers_drops_the_way_to_the_next_page_where_it_is_a_link() -> None:
    way = 'Next: <a href="/2">how the queue is filled by its writers and read</a>'
    assert left(f"<h1>Queues</h1><p>{SENTENCE}</p><p>{way}</p>") == ["Queues", SENTENCE]


def test_drop_teasers_drops_a_list_of_links_and_keeps_an_announced_one() -> None:
    links = "<ul>" + '<li><a href="/x">Another story of today</a></li>' * 3 + "</ul>"
    assert left(f"<h1>News</h1><p>{SENTENCE}</p>{links}") == ["News", SENTENCE]
    assert len(left(f"<h1>News</h1><p>New modules:</p>{links}")) == 5


def test_drop_teasers_drops_what_a_lead_announces_up_to_the_next_sentence() -> None:
    body = (
        f"<h1>News</h1><p>{SENTENCE}</p><p>Mehr zum Thema</p><p>Strom wird teurer</p>"
        f"<p>Gas wird billiger</p><p>{SENTENCE}</p>"
    )
    assert left(body) == ["News", SENTENCE, SENTENCE]


def test_drop_teasers_drops_lines_within_a_block() -> None:
    body = f"<h1>News</h1><p>{SENTENCE}<br>Datum: 19.11.2021<br>Autor: Fritz Imhof</p>"
    assert left(body) == ["News", SENTENCE]


def test_drop_teasers_keeps_code_and_tables_whatever_they_say() -> None:
    body = (
        "<h1>Log</h1><pre>Subscribe now\nShare</pre>"
        "<table><tr><td>Share</td><td>1</td></tr><tr><td>Print</td><td>2</td></tr></table>"
    )
    assert len(left(body)) == 3


def test_drop_teasers_drops_sections_that_tease_other_pages() -> None:
    tease = '<h2><a href="/story">Another story</a></h2><p>It begins like this and […]</p>'
    body = f"<h1>The story</h1>{PROSE}{tease}{tease}"
    assert left(body) == ["The story", *[SENTENCE] * 5]


def test_drop_teasers_keeps_sections_whose_headings_link_to_themselves() -> None:
    section = '<h2><a href="#x">Install</a></h2><p>Run the script.</p>'
    assert len(left(f"<h1>Manual</h1>{PROSE}{section}{section}")) == 10


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


def test_drop_teasers_leaves_no_heading_without_text() -> None:
    body = f"<h1>Story</h1>{PROSE}<h2>Late news</h2><p>Share this</p>"
    assert left(body) == ["Story", *[SENTENCE] * 5]


def test_drop_teasers_takes_a_fused_date_off_a_heading() -> None:
    texts = left(f"<h1>What is its secret?<span>Monday, 6 January 2020</span></h1>{PROSE}")
    assert texts[0] == "What is its secret?"
    assert left(f"<h1>Friday, December 23, 2016</h1>{PROSE}")[0] == "Friday, December 23, 2016"


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


@pytest.mark.parametrize(
    ("classes", "identifier", "expected"),
    [
        ("post-body share-buttons", "", True),
        ("", "cookie-law-info-bar", True),
        ("saboxplugin-wrap", "", True),
        ("widget widget_recent_posts", "", True),
        ("elementor-widget-text-editor", "", False),
        ("entry-content", "main", False),
        ("section", "sharing-state-between-processes", False),
        ("articleTeaser", "", True),
    ],
)
def test_has_boilerplate_name(classes, identifier, expected) -> None:
    assert has_boilerplate_name(classes, identifier) is expected


def test_has_scrap_name() -> None:
    assert has_scrap_name("credit body-credit")
    assert has_scrap_name("datePublished")
    assert not has_scrap_name("update-notes candidate")


def test_boilerplate_test_of_a_byline_and_of_a_container_named_so() -> None:
    blocks = blocks_of(
        f'<div class="meta">Ann Lee, reporter</div><div class="author">{PROSE}</div>'
        f'<div class="related"><p>Other story</p></div>'
    )
    test = BoilerplateTest(blocks)
    assert [test(block) for block in blocks] == [True, *[False] * 5, True]


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("<div>Getty Images</div>", False),
        ("<figure><figcaption>The island from the air.</figcaption></figure>", False),
        ('<div class="credit">Photo by her.</div>', False),
        ("<p>make</p>", True),
        ("<pre>make install</pre>", True),
        ("<div><b>Instructions</b></div>", True),
        (
            "<div>A longer passage of text without a paragraph of its own, in plain words</div>",
            True,
        ),
        ("<table><tr><td><div>316</div></td></tr></table>", True),
    ],
)
def test_may_fill_takes_text_and_leaves_scraps(inner, expected) -> None:
    blocks = blocks_of(f"<article>{PROSE}{inner}{PROSE}</article>")
    lost = blocks[5]
    lost.kept = False
    assert BoilerplateTest(blocks).may_fill(lost) is expected


def test_is_mostly_boilerplate_of_teasers_and_offers() -> None:
    teasers = "# News\n\n" + "\n\n".join(f"Story {n} begins like this and…" for n in range(4))
    offers = "# Shop\n\n" + "\n".join(f"Spade number {n}\n9,99 €\nJetzt kaufen" for n in range(4))
    assert is_mostly_boilerplate(teasers)
    assert is_mostly_boilerplate(offers)


def test_is_mostly_boilerplate_not_of_prose_recipes_and_code() -> None:
    recipe = "# Bread\n\n" + "\n".join(f"- {n}00 g flour" for n in range(1, 9)) + f"\n\n{SENTENCE}"
    poem = "# Poem\n\n" + "\n".join(["A line of it", "And one more line"] * 6)
    code = "# Log\n\n```\n" + "reply 1 hour ago\n" * 9 + "```"
    for text in (f"# Queues\n\n{SENTENCE}", recipe, poem, code, "# Empty"):
        assert not is_mostly_boilerplate(text)


@pytest.mark.parametrize(
    "line",
    [
        "a " * 340,
        "We use " * 98,
        "Tags: " + "a is " * 130,
        "© 20 " * 138,
        "our subscribe " * 49,
        "may get a links " * 43,
        "The views expressed " + "are " * 160,
        "By " + "Ab " * 220,
        "." * 690,
        "«»" * 340,
        "Read more: " + "x, " * 220,
    ],
)
def test_is_boilerplate_line_of_a_hostile_line_is_quick(line) -> None:
    started = time.perf_counter()
    is_boilerplate_line(line, HEADERS)
    drop_teasers(blocks_of(f"<h1>x</h1><p>{line}</p>"), HEADERS)
    assert time.perf_counter() - started < 0.5
