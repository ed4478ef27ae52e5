"""Answers of three models to a few prompts, pairs of them, and people who judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from humpback_pipeline.evaluation.human_exports import write_exports
from humpback_pipeline.evaluation.human_judgements import JUDGEMENTS_SCHEMA
from humpback_pipeline.evaluation.human_pairs import human_pairs

COMPARISONS = [("m2", "m0"), ("m2", "reference")]
# What a page must show and not run.
MARKUP = "<img src=x onerror=\"document.title='run'\"><b>bold</b>"


def responses(n: int = 12, models: Sequence[str] = ("m0", "m2")) -> dict[str, pl.DataFrame]:
    """n prompts, each answered by every model in words that name nobody."""
    words = {"m0": "plain", "m1": "fair", "m2": "rich"}
    return {
        model: pl.DataFrame(
            {
                "prompt_id": [f"p{i}" for i in range(n)],
                "instruction": [f"Explain the tide, case {i}." for i in range(n)],
                "output": [f"A {words[model]} answer {i}. {MARKUP}" for i in range(n)],
                "reference": [f"A written answer {i}." for i in range(n)],
            }
        )
        for model in models
    }


def pairs(n: int = 12, n_pairs: int = 3, seed: int = 0) -> pl.DataFrame:
    """The pairs of both comparisons."""
    return human_pairs(responses(n), COMPARISONS, n_pairs=n_pairs, seed=seed)


def export(folder: Path, n_pairs: int = 3) -> pl.DataFrame:
    """The pairs, with their files in a folder."""
    frame = pairs(n_pairs=n_pairs)
    write_exports(folder, frame)
    return frame


def judged(
    outcomes: Mapping[str, Sequence[str | None]], comparison: str = "m2 vs m0"
) -> pl.DataFrame:
    """Judgements from annotator → outcome of p0, p1 … (None: not judged); m2 is shown first."""
    choices = {"win": "first", "loss": "second", "no_difference": "no_difference"}
    rows = [
        {
            "pair_id": f"{comparison}/p{i}",
            "annotator": annotator,
            "comparison": comparison,
            "prompt_id": f"p{i}",
            "model": comparison.split(" vs ")[0],
            "baseline": comparison.split(" vs ")[1],
            "choice": choices[outcome],
            "outcome": outcome,
            "judged_at": None,
            "file": f"{annotator}.jsonl",
        }
        for annotator, given in outcomes.items()
        for i, outcome in enumerate(given)
        if outcome is not None
    ]
    return pl.DataFrame(rows, schema=JUDGEMENTS_SCHEMA)
