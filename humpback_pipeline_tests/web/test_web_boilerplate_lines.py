"""Lines that are a page's own furniture, and lines that only speak of such things."""

from __future__ import annotations

import time

import pytest
from small_pages import HEADERS, SENTENCE, blocks_of, left

from humpback_pipeline.web.navigation import is_boilerplate_line
from humpback_pipeline.web.teasers import drop_teasers


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


def test_drop_teasers_drops_lines_within_a_block() -> None:
    body = f"<h1>News</h1><p>{SENTENCE}<br>Datum: 19.11.2021<br>Autor: Fritz Imhof</p>"
    assert left(body) == ["News", SENTENCE]


def test_drop_teasers_keeps_code_and_tables_whatever_they_say() -> None:
    body = (
        "<h1>Log</h1><pre>Subscribe now\nShare</pre>"
        "<table><tr><td>Share</td><td>1</td></tr><tr><td>Print</td><td>2</td></tr></table>"
    )
    assert len(left(body)) == 3


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
