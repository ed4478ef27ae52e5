"""The plot of win rates: ours with intervals, the paper's beside them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from humpback_pipeline.evaluation import PAPER_WIN_RATES
from humpback_pipeline.evaluation import win_rate_plot as module
from humpback_pipeline.evaluation.win_rate_plot import WinRateBar, win_rate_plot
from humpback_pipeline.evaluation.win_rates import SMALL_SAMPLE, small_sample_note, win_rate

BARS = [WinRateBar("base", 10.0, 4.0, 21.0), WinRateBar("m0", 40.0, 25.0, 57.0, 33.0)]


def test_plot_shows_rates_intervals_and_the_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    to_png = module.to_png
    monkeypatch.setattr(module, "to_png", lambda figure: drawn.append(figure) or to_png(figure))
    png = win_rate_plot(BARS)
    (axes,) = drawn[0].axes
    widths = [patch.get_width() for patch in axes.patches]
    assert widths == [10.0, 40.0, *(row.rate for row in PAPER_WIN_RATES)]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[:3] == ["base", "m0", f"paper: {PAPER_WIN_RATES[0].model}"]
    lines = [list(line.get_xdata()) for line in axes.lines]
    assert [4.0, 21.0] in lines
    assert [25.0, 57.0] in lines
    assert [33.0] in lines
    from matplotlib.image import imread

    pixels: Any = imread(io.BytesIO(png))
    assert np.asarray(pixels).std() > 0.05


def test_plot_of_nothing_is_still_a_plot() -> None:
    assert win_rate_plot([], paper=()).startswith(b"\x89PNG")


def test_small_sample_is_said_and_a_large_one_is_not() -> None:
    note = small_sample_note(16, 24.4)
    assert note is not None
    assert "16 prompts" in note
    assert "± 24 points" in note
    assert "34 points" in note
    assert small_sample_note(SMALL_SAMPLE, 9.0) is None


def test_interval_of_a_win_rate_is_in_percent() -> None:
    low, high = win_rate([2.0, 1.0] * 50).interval
    assert low == pytest.approx(100 - high)
    assert 38 < low < 42
    assert win_rate([2.0]).interval[0] < 50
