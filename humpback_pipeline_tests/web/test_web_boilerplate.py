"""Elements that are boilerplate by name or by what they hold, and what may fill a gap."""

from __future__ import annotations

import pytest
from small_pages import PROSE, blocks_of

from humpback_pipeline.web.boilerplate import BoilerplateTest, has_boilerplate_name, has_scrap_name


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
