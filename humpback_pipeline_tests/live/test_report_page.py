"""The report in a real browser: on a phone, on paper, without network."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from browser import open_browser
from playwright.sync_api import Browser

from humpback_pipeline.evaluation import render_report
from humpback_pipeline.evaluation.plots import ratings_histogram
from humpback_pipeline.evaluation.report_data import (
    CuratedSet,
    FunnelStage,
    ReportData,
    SamplePair,
    WinRateRow,
)
from humpback_pipeline.evaluation.report_sections import Figure, Note, ReportSection, Table

pytestmark = pytest.mark.slow
LONG = "evaluation.judge.usd_per_million_prompt_tokens_" * 4
HASH = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with all that could be too wide: tables, words, hashes, plots of several panels."""
    from matplotlib.figure import Figure as Canvas

    from humpback_pipeline.evaluation.plots import to_png

    wide = pl.DataFrame({f"a column of some length {n}": [f"cell {n}"] for n in range(14)})
    pair = SamplePair(
        rating=4.5, instruction=LONG, output=f"<img src='http://127.0.0.1:9/x.png'> {LONG}"
    )
    panels = Canvas(figsize=(9, 3))
    panels.subplots(1, 3)
    blocks = [
        Table.of(wide, f"What {LONG}"),
        Table.of(wide, "Folded", is_folded=True),
        Note(text=f"Set {LONG}", is_caution=True),
        Figure(png=ratings_histogram([1, 2, 3]), alt="a plot"),
        Figure(png=to_png(panels), alt="three panels"),
    ]
    row = {"rate": 50.0, "standard_error": 4.0, "n_wins": 1, "n_losses": 1, "n_draws": 1, "n": 3}
    data = ReportData(
        title=f"Report of {LONG}",
        created=datetime(2026, 1, 1),
        recipe_name="demo",
        recipe_yaml=f"a: {LONG}",
        recipe_hash=HASH,
        hashes={f"datasets: file/evaluation.prompts/{n}": HASH for n in range(3)},
        hardware=LONG,
        funnel=[FunnelStage(stage="Pages", rows=9, dropped={f"reason_{n}": n for n in range(9)})],
        curated_sets=[CuratedSet(name="A1", threshold=4.5, rows=1, best=[pair], worst=[pair])],
        win_rates=[WinRateRow(model=f"m{n}", interval=(40.1, 59.9), **row) for n in range(2)],
        sections=[ReportSection(id="wide", title="Wide", after="top", blocks=blocks)],
    )
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_report(data), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [320, 390, 1200])
def test_page_is_as_wide_as_the_screen_and_loads_nothing(
    browser: Browser, page_file: Path, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(page_file.as_uri())
    for details in page.locator("details").all():
        details.evaluate("element => element.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Tables scroll in their own boxes, by touch and, as they take the focus, by keyboard.
    table = page.locator("#wide .scroll").first
    assert table.evaluate("element => element.scrollWidth > element.clientWidth")
    assert table.get_attribute("tabindex") == "0"
    assert [url for url in requested if not url.startswith("data:")] == [page_file.as_uri()]
    unnamed = page.evaluate("[...document.images].filter(image => !image.alt.trim()).length")
    broken = page.evaluate("[...document.images].filter(image => !image.naturalWidth).length")
    assert (unnamed, broken) == (0, 0)
    page.close()


def test_paper_shows_what_is_folded_on_screen_and_cuts_no_table(
    browser: Browser, page_file: Path
) -> None:
    page = browser.new_page(viewport={"width": 720, "height": 1000})  # about A4 within margins
    page.goto(page_file.as_uri())
    page.emulate_media(media="print")
    assert page.get_by_text("cell 13").nth(1).is_visible()
    assert not page.locator("nav").is_visible()
    overflow = page.locator(".scroll table").evaluate_all(
        "tables => tables.map(table => table.getBoundingClientRect().right - innerWidth)"
    )
    assert max(overflow) <= 0
    page.close()
