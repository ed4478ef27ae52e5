"""The plot over iterations: what was measured is drawn, what was not is left out."""

from __future__ import annotations

from typing import Any

import pytest

from humpback_pipeline.evaluation.iterations_plot import iterations_plot

PNG = b"\x89PNG\r\n"
MEASURES = ("precision", "precision_low", "precision_high", "recall", "auc", "jaccard")


def row(iteration: int, **measured: float) -> dict[str, Any]:
    return {"iteration": iteration, **dict.fromkeys(MEASURES), **measured}


def test_plot_is_the_same_bytes_for_the_same_rows_and_others_for_other() -> None:
    rows = [
        row(1, precision=0.5, precision_low=0.2, precision_high=0.8, auc=0.7),
        row(2, precision=0.6, precision_low=0.3, precision_high=0.9, auc=0.8, jaccard=0.4),
    ]
    first = iterations_plot(rows)
    assert first.startswith(PNG)
    assert iterations_plot(rows) == first
    assert iterations_plot([rows[0], {**rows[1], "jaccard": 0.9}]) != first


@pytest.mark.parametrize("rows", [[], [row(1)], [row(1), row(2, jaccard=1.0)]])
def test_rows_without_measures_give_a_plot_all_the_same(rows: list[dict[str, Any]]) -> None:
    assert iterations_plot(rows).startswith(PNG)
