"""The report's samples of a set: best, at the threshold, worst, with the rater's reasons."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from curated_home import SHARD, CuratedHome

from humpback_pipeline.stages.report_parts.curated import curated_samples

RATINGS = [5.0, 4.8, 4.6, 4.4, 4.2, 4.1, 1.9, 1.8, 1.7, 1.6]


@pytest.fixture
def home(tmp_path: Path) -> CuratedHome:
    selection = "{min_rating: 4.15, near_duplicate_threshold: null}"
    home = CuratedHome(tmp_path, {"curation__selection": selection, "curation__iterations": "1"})
    home.rate(1, RATINGS)
    home.select(1)
    return home


def test_best_worst_and_borderline_pairs_are_shown(home: CuratedHome) -> None:
    found = curated_samples(home.workspace, 1, [SHARD])
    assert (found.rows, found.n_rated, found.threshold) == (5, 10, 4.2)
    assert [pair.rating for pair in found.best] == [5.0, 4.8, 4.6]
    assert [pair.rating for pair in found.borderline] == [4.2, 4.1, 4.4]
    assert [pair.rating for pair in found.worst] == [1.6, 1.7, 1.8]
    assert found.best[0].instruction == "Ask about tides."
    assert found.best[0].rationale is None


def test_reasons_are_shown_where_the_scorer_gave_some(home: CuratedHome) -> None:
    datasets = home.workspace.datasets
    name = "curation_scores_1"
    scores = datasets.read(name, SHARD).with_columns(
        rationale=pl.format("because of {}", "segment_id"),
        rating=pl.when(pl.col("segment_id") == "s9").then(None).otherwise("rating"),
    )
    datasets.write(name, scores, schema=dict(scores.schema), partition=SHARD)
    found = curated_samples(home.workspace, 1, [SHARD])
    assert found.best[0].rationale == "because of s0"
    assert found.worst[0].rationale == "because of s8"  # s9 has no rating now
