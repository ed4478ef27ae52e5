"""Pairs in the formats of other tools, written side by side as they stream by."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from humpback_pipeline.storage import hash_file

# In the layout that the Hub and `datasets.load_dataset` read; the card names these files.
PARQUET = "data/train.parquet"
JSON_LINES = {"messages": "messages/train.jsonl", "alpaca": "alpaca/train.jsonl"}
ON_DISK = "datasets"
EXPORT_SCHEMA = {
    "pair_id": pl.String,
    "origin": pl.String,
    "instruction": pl.String,
    "output": pl.String,
    "rating": pl.Float64,
    "url": pl.String,
}
# Not polars' own large strings, which other readers need not know.
_ARROW_SCHEMA = pa.schema(
    (name, pa.float64() if dtype == pl.Float64 else pa.string())
    for name, dtype in EXPORT_SCHEMA.items()
)


@dataclass(frozen=True)
class ExportedFile:
    """One file of an export. path: below the export's folder. rows: pairs in it."""

    format: str
    path: str
    rows: int


def write_pairs(
    folder: Path,
    batches: Iterable[pl.DataFrame],
    formats: Sequence[str] = (),
    tags: Mapping[str, str | None] | None = None,
) -> list[ExportedFile]:
    """Write the pairs as Parquet and in each of `formats`; memory holds one batch at a time.

    batches: columns of `EXPORT_SCHEMA`; origin is `seed` or `web`. formats: `messages` (a line is
    {"messages": [{"role", "content"}, …]}), `alpaca` ({"instruction", "input", "output"}, input
    always empty) and `datasets` (for `datasets.load_from_disk`). tags: origin → system message of
    its pairs; None for none.
    """
    lines: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
        "messages": lambda row: {"messages": chat_messages(row, tags or {})},
        "alpaca": lambda row: {
            "instruction": row["instruction"],
            "input": "",
            "output": row["output"],
        },
    }
    n_rows = 0
    wanted = [name for name in JSON_LINES if name in formats]
    for path in (PARQUET, *(JSON_LINES[name] for name in wanted)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        parquet = stack.enter_context(pq.ParquetWriter(folder / PARQUET, _ARROW_SCHEMA))
        files: dict[str, IO[str]] = {
            name: stack.enter_context((folder / JSON_LINES[name]).open("w", encoding="utf-8"))
            for name in wanted
        }
        for batch in batches:
            parquet.write_table(batch.select(list(EXPORT_SCHEMA)).to_arrow().cast(_ARROW_SCHEMA))
            for name, file in files.items():
                for row in batch.iter_rows(named=True):
                    file.write(json.dumps(lines[name](row), ensure_ascii=False) + "\n")
            n_rows += batch.height
    written = [ExportedFile("parquet", PARQUET, n_rows)]
    written += [ExportedFile(name, JSON_LINES[name], n_rows) for name in wanted]
    if ON_DISK in formats and n_rows:  # which `datasets` cannot read without a row
        written += list(_save_to_disk(folder, n_rows))
    return written


def chat_messages(row: Mapping[str, Any], tags: Mapping[str, str | None]) -> list[dict[str, str]]:
    """A pair as chat messages, the tag of its origin first as the system's."""
    tag = tags.get(row["origin"])
    system = [{"role": "system", "content": tag}] if tag else []
    return [
        *system,
        {"role": "user", "content": row["instruction"]},
        {"role": "assistant", "content": row["output"]},
    ]


def _save_to_disk(folder: Path, n_rows: int) -> Iterator[ExportedFile]:
    """The Parquet file again as an Arrow folder, streamed through a cache of its own."""
    import shutil

    from datasets import Dataset, disable_progress_bars, enable_progress_bars
    from datasets.utils import are_progress_bars_disabled

    cache = folder / ".cache"
    quiet = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        pairs = Dataset.from_parquet(str(folder / PARQUET), cache_dir=str(cache))
        # By content, not by place and time, so that the same pairs give the same files.
        mark = hash_file(folder / PARQUET)[:16]
        named = Dataset(pairs.data, info=pairs.info, split=pairs.split, fingerprint=mark)
        named.save_to_disk(str(folder / ON_DISK))
    finally:
        if not quiet:
            enable_progress_bars()
        shutil.rmtree(cache, ignore_errors=True)
    for path in sorted((folder / ON_DISK).iterdir()):
        yield ExportedFile(ON_DISK, path.relative_to(folder).as_posix(), n_rows)
