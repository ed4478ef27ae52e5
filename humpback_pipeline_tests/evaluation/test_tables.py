"""Markdown tables, read back with a Markdown parser."""

from html.parser import HTMLParser

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from humpback_pipeline.evaluation import render_markdown_table, truncate_text


class Cells(HTMLParser):
    """Collects the text of table cells and the tags seen inside them."""

    def __init__(self):
        super().__init__()
        self.rows, self.tags, self.is_in_cell = [], set(), False

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.is_in_cell = True
        elif self.is_in_cell:
            self.tags.add(tag)

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.is_in_cell = False

    def handle_data(self, data):
        if self.is_in_cell:
            self.rows[-1][-1] += data


def read_back(markdown: str) -> Cells:
    cells = Cells()
    cells.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))
    return cells


def test_markdown_table_shows_numbers_and_nulls():
    frame = pl.DataFrame(
        {"name": ["a", None], "n": [1234, 5], "x": [0.5, None], "ok": [True, False]}
    )
    assert render_markdown_table(frame, decimals=2).splitlines() == [
        "| name | n | x | ok |",
        "| --- | ---: | ---: | --- |",
        "| a | 1,234 | 0.50 | yes |",
        "|  | 5 |  | no |",
    ]


def test_markdown_table_says_how_many_rows_are_left_out():
    table = render_markdown_table(pl.DataFrame({"n": range(1200)}), max_rows=3)
    assert table.endswith("*1,197 more rows not shown.*")
    assert len(table.splitlines()) == 7


def test_markdown_table_keeps_hostile_text_as_text():
    text = "a | b\n<img src=x> ![p](http://x/y.png) `c` **d** www.e.org <script>"
    cells = read_back(render_markdown_table(pl.DataFrame({"t": [text]})))
    assert cells.rows == [["t"], [" ".join(text.split())]]
    assert not cells.tags


def test_markdown_table_of_no_columns_is_empty():
    assert render_markdown_table(pl.DataFrame()) == ""


@given(st.lists(st.text(st.characters(exclude_categories=["C"]), max_size=60), min_size=1))
def test_markdown_table_reads_back_as_written(texts):
    cells = read_back(render_markdown_table(pl.DataFrame({"t": texts}), max_rows=100))
    assert [row[0].strip() for row in cells.rows[1:]] == [" ".join(text.split()) for text in texts]
    assert not cells.tags


@given(st.text(), st.integers(2, 30))
def test_truncated_text_never_exceeds_its_limit(text, max_chars):
    short = truncate_text(text, max_chars)
    assert len(short) <= max_chars
    assert "\n" not in short
