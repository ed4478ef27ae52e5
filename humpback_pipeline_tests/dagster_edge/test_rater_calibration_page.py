"""What the page of a rater's calibration says of its ratings."""

from __future__ import annotations

from typing import Any

import pytest

from humpback_pipeline.assets.rater_calibration import facts_metadata

COUNTS = {"n": 60, "n_in_seeds": 0, "n_measured": 60, "flattered": False}
FACTS: dict[str, Any] = {
    "seen": {"labelled": COUNTS},
    "reference": {"n": 120, "n_in_seeds": 0},
    "calibration": None,
}


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ({"n": 120, "n_in_seeds": 0}, "120 held-out seed pairs"),
        ({"n": 88, "n_in_seeds": 80}, "88 of all seed pairs, as fewer than 50 are held out"),
        ({"n": 0, "n_in_seeds": 0}, "none"),
    ],
)
def test_page_says_which_seeds_are_the_reference(reference: dict[str, int], words: str) -> None:
    page = facts_metadata({**FACTS, "reference": reference})
    assert str(page["reference"]).startswith(words)
    assert "calibration" not in page


def test_page_says_that_ratings_were_carried_on() -> None:
    page = facts_metadata({**FACTS, "carried_from": "rater_calibration_2"})
    assert "rater_calibration_2 is carried on" in page["how_to_read"].value
    assert "carried" not in facts_metadata(FACTS)["how_to_read"].value


def test_page_says_how_well_the_calibration_fits_and_on_what() -> None:
    fitted = {"n_labels": 60, "auc": 0.97, "precision_at_4": None, "recall_at_4": 0.25}
    page = facts_metadata({**FACTS, "calibration": fitted})
    assert "AUC 0.97, from rating 4 on precision –, recall 0.25" in page["calibration"]
    assert "in the seeds" not in page["calibration"]
    seen = {"labelled": {**COUNTS, "n_in_seeds": 30, "n_measured": 30}}
    page = facts_metadata({**FACTS, "calibration": fitted, "seen": seen})
    assert "fitted on pairs in the seeds, too" in page["calibration"]
    assert "30 of 60 labelled pairs" in page["how_to_read"].value
