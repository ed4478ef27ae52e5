"""Headlines, links and sections that tease other pages."""

from __future__ import annotations

from small_pages import PROSE, SENTENCE, left

from humpback_pipeline.web.teaser_sections import is_mostly_boilerplate


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


def test_drop_teasers_drops_sections_that_tease_other_pages() -> None:
    tease = '<h2><a href="/story">Another story</a></h2><p>It begins like this and […]</p>'
    body = f"<h1>The story</h1>{PROSE}{tease}{tease}"
    assert left(body) == ["The story", *[SENTENCE] * 5]


def test_drop_teasers_keeps_sections_whose_headings_link_to_themselves() -> None:
    section = '<h2><a href="#x">Install</a></h2><p>Run the script.</p>'
    assert len(left(f"<h1>Manual</h1>{PROSE}{section}{section}")) == 10


def test_drop_teasers_leaves_no_heading_without_text() -> None:
    body = f"<h1>Story</h1>{PROSE}<h2>Late news</h2><p>Share this</p>"
    assert left(body) == ["Story", *[SENTENCE] * 5]


def test_drop_teasers_takes_a_fused_date_off_a_heading() -> None:
    texts = left(f"<h1>What is its secret?<span>Monday, 6 January 2020</span></h1>{PROSE}")
    assert texts[0] == "What is its secret?"
    assert left(f"<h1>Friday, December 23, 2016</h1>{PROSE}")[0] == "Friday, December 23, 2016"


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
