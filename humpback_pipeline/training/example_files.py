"""Examples as Parquet files, to hand them to another process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from humpback_pipeline.training.examples import TrainingExample

SCHEMA = {
    "example_id": pl.String(),
    "prompt_ids": pl.List(pl.Int32()),
    "completion_ids": pl.List(pl.Int32()),
    "truncated": pl.Boolean(),
}


def write_examples(examples: Sequence[TrainingExample], path: Path) -> None:
    """Write examples in their order: example_id, prompt_ids, completion_ids, truncated."""
    rows = {name: [getattr(example, name) for example in examples] for name in SCHEMA}
    pl.DataFrame(rows, schema=SCHEMA).write_parquet(path, compression="zstd")


def read_examples(path: Path) -> list[TrainingExample]:
    """Read what `write_examples` wrote."""
    return [
        TrainingExample(name, tuple(prompt), tuple(completion), truncated)
        for name, prompt, completion, truncated in pl.read_parquet(path).iter_rows()
    ]
