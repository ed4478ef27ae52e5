"""The report: holds what it is given, escapes it, loads nothing, says what is missing."""

import base64
import io
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import polars as pl
import pytest
from PIL import Image
from pydantic import ValidationError

from humpback_pipeline.evaluation import (
    CuratedSet,
    DataStatisticsRow,
    DiversitySummary,
    Figure,
    FunnelStage,
    InstructionDiversity,
    ModelSummary,
    RatingSummary,
    ReportData,
    SamplePair,
    SelectionQualityRow,
    Timing,
    VerbNounCount,
    WinRateRow,
    precision_recall,
    render_report,
    win_rate,
)
from humpback_pipeline.evaluation.report import (
    contents,
    format_duration,
    key_numbers,
    win_rate_notes,
)
from humpback_pipeline.evaluation.report_sections import Note, ReportSection, Samples, Table

VOID = {"meta", "br", "img", "link", "input", "hr"}
HOSTILE = '<script>alert("x")</script><img src="http://evil.example/p.png">'


class Page(HTMLParser):
    """Reads a page strictly: every tag must be closed in order; collects what a test looks at."""

    def __init__(self, html: str):
        super().__init__()
        self.open, self.text, self.tags, self.images, self.ids, self.links = [], [], [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"repeated attribute in <{tag}>"
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "img":
            self.images.append(attributes)
        if tag == "a":
            self.links.append(attributes["href"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


@pytest.fixture(scope="module")
def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), "teal").save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def full(png) -> ReportData:
    pair = SamplePair(rating=4.61, instruction=HOSTILE, output="line 1\nline 2 & more", url=HOSTILE)
    diversity = InstructionDiversity(
        n=10,
        n_total=10,
        n_parsed=4,
        share_parsed=0.4,
        verb_nouns=(VerbNounCount("write", "poem", 3), VerbNounCount("list", "cat", 1)),
        n_distinct_pairs=2,
        distinct_1=0.456,
        distinct_2=0.789,
        seed_overlap=0.0123,
        share_near_copies=0.1,
    )
    return ReportData(
        title="Run of <b>today</b>",
        created=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        recipe_name="demo",
        recipe_yaml="a: <1>\nb: 2",
        recipe_hash="feed" * 16,
        hashes={"seeds": "beef" * 16},
        hardware="2 cores",
        judge="M0 in both orders",
        funnel=[
            FunnelStage(stage="Pages", rows=1234),
            FunnelStage(stage="Segments", rows=567, dropped={"too_short": 4321}, note="two shards"),
        ],
        models=[
            ModelSummary(
                name="m1",
                loss_before=2.5,
                loss_after=2.25,
                n_held_out=12,
                n_examples=99,
                steps=30,
                tokens=54321,
                tokens_per_s=250.4,
                seconds=125,
                loss_curve_png=png,
            ),
            ModelSummary(name="unknown"),
        ],
        ratings=[
            RatingSummary(iteration=1, rater="m0", n=64, mean=3.21, sd=0.5, histogram_png=png)
        ],
        curated_sets=[
            CuratedSet(name="A1", threshold=4.5, rows=16, n_rated=64, best=[pair], worst=[pair])
        ],
        selection_quality=[
            SelectionQualityRow.of("m0", precision_recall([5, 4, 1, 1], [1, 0, 1, 0], 4))
        ],
        selection_plot_png=png,
        win_rates=[
            WinRateRow.of("m0", win_rate([1.0] * 30 + [2.0] * 10)),
            WinRateRow.of("m1", win_rate([1.0] * 10 + [2.0] * 30)),
        ],
        win_rates_plot_png=png,
        data_statistics=[
            DataStatisticsRow(
                dataset="seed",
                n_examples=64,
                instruction_chars_mean=77.4,
                instruction_chars_sd=11.6,
                output_chars_mean=888,
            )
        ],
        diversity=[DiversitySummary.of("seed", diversity, png)],
        timings=[Timing(step="rating", seconds=12.0, tokens=2400, note="vllm")],
        figures=[Figure(title="Extra", png=png, alt="an extra plot", caption="more")],
        notes=["A tiny model."],
        sections=[
            ReportSection(
                id="further",
                title="A further section",
                after="win-rates",
                lead="What it is of.",
                blocks=[
                    Table.of(
                        pl.DataFrame(
                            {"model": ["m1", "paper: x"], "rate": [-1.234, None], "n": [1_234, 5]}
                        ),
                        "A caption",
                    ),
                    Table.of(pl.DataFrame({"a": [HOSTILE]}), "Folded", is_folded=True),
                    Figure(png=png, alt="what the plot shows"),
                    Note(text="A note."),
                    Note(text="A caution.", is_caution=True),
                    Samples(title="Some texts", items=[(HOSTILE, [("words", "text & more")])]),
                ],
            )
        ],
    )


def empty_report() -> ReportData:
    return ReportData(title="Empty", created=datetime(2026, 1, 1), recipe_name="demo")


@pytest.mark.parametrize("which", ["full", "empty"])
def test_report_is_well_formed_html(full, which):
    html = render_report(full if which == "full" else empty_report())
    assert html.lstrip().startswith("<!DOCTYPE html>")
    page = Page(html)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)


def test_report_holds_what_it_is_given(full):
    words = Page(render_report(full)).words
    for expected in (
        *("1,234", "567", "too_short 4,321", "two shards"),
        *("2.500", "2.250", "−0.250", "54,321", "250", "2 min 05 s"),
        *("3.21", "4.61", "25.0 % of 64 rated", "line 1", "& more"),
        *("0.50", "paper: GPT-4", "75.0", "25.0", "M0 in both orders"),
        *("77 ± 12", "888", "paper: Seed data", "148 ± 322"),
        *("40 %", "0.456", "0.789", "write poem (3)", "10.0 %"),
        *("rating", "12 s", "vllm", "feedfeed", "beefbeef", "a: <1>", "A tiny model.", "more"),
    ):
        assert expected in words, expected


def test_further_sections_show_every_kind_of_block_where_they_belong(full):
    html = render_report(full)
    page = Page(html)
    for expected in (
        *("A further section", "What it is of.", "A caption", "−1.23", "1,234", "–"),
        *("Folded (1 rows)", "A note.", "A caution.", "Some texts (1)", "text & more"),
    ):
        assert expected in page.words, expected
    titles = [name for name, _ in contents(full)]
    assert titles.index("further") == titles.index("win-rates") + 1
    places = [html.index(f'<section id="{name}">') for name in titles]
    assert places == sorted(places)
    assert html.count('class="paper"') > html.split('id="further"')[0].count('class="paper"')


def test_section_after_one_that_there_is_not_is_refused(full):
    lost = ReportSection(id="lost", title="Lost", after="nowhere")
    with pytest.raises(ValueError, match="nowhere"):
        render_report(full.model_copy(update={"sections": [lost]}))


def test_long_tables_say_what_they_leave_out():
    table = Table.of(pl.DataFrame({"n": range(250)}))
    assert (len(table.rows), table.n_left_out) == (200, 50)
    section = ReportSection(id="long", title="Long", after="top", blocks=[table])
    data = empty_report().model_copy(update={"sections": [section]})
    assert "50 more rows" in Page(render_report(data)).words


def test_figure_without_words_is_refused(png):
    with pytest.raises(ValidationError, match="alt"):
        Figure(png=png, alt="")


def test_report_images_are_inline_and_described(full, png):
    images = Page(render_report(full)).images
    assert len(images) == 7
    for image in images:
        kind, data = image["src"].split(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data) == png
        assert len(image["alt"]) > 10


def test_report_escapes_all_text(full):
    page = Page(render_report(full))
    assert not [tag for tag, _ in page.tags if tag in ("script", "b")]
    assert HOSTILE in page.words
    assert "Run of <b>today</b>" in page.words


def test_report_loads_nothing(full):
    html = render_report(full)
    for tag, attributes in Page(html).tags:
        assert tag not in ("script", "link", "iframe", "object", "embed")
        for name in ("src", "srcset", "href", "action", "poster", "data"):
            assert not re.match(r"\s*(https?:)?//", attributes.get(name) or ""), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_report_says_what_was_not_computed():
    words = Page(render_report(empty_report())).words
    assert words.count("not computed in this run") == 10
    assert "paper:" not in words


def test_report_names_small_samples(full):
    words = Page(render_report(full)).words
    assert "n = 12 pairs" in words
    assert "Few labelled pairs (n = 4)" in words
    assert "Few prompts (n = 40)" in words


def test_win_rate_notes_tell_chance_from_difference():
    def row(model: str, rate: float) -> WinRateRow:
        return WinRateRow(
            model=model, rate=rate, standard_error=3, n_wins=1, n_losses=1, n_draws=0, n=500
        )

    [near] = win_rate_notes([row("a", 50), row("b", 55)])
    [far] = win_rate_notes([row("a", 50), row("b", 40)])
    assert "+5.0 points" in near
    assert "cannot tell" in near
    assert "−10.0 points" in far
    assert "unlikely to be chance" in far
    assert win_rate_notes([row("a", 50), row("b", 40)], are_compared=True) == []


def test_key_numbers_come_from_the_last_iteration(full):
    shown = {number.label: number.value for number in key_numbers(full)}
    assert shown["win rate of m1"] == "75.0 %"
    assert shown["pairs in A1"] == "16"
    assert key_numbers(empty_report()) == []


def test_report_data_refuses_unknown_fields():
    with pytest.raises(ValidationError, match="funel"):
        ReportData(title="x", created=datetime(2026, 1, 1), recipe_name="d", funel=[])


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(4.25, "4.2 s"), (42, "42 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_durations_read_as_people_write_them(seconds, shown):
    assert format_duration(seconds) == shown
