"""Checks of any dataset: its files are what its manifest says, its size is like the last one's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from humpback_pipeline.stages.checks.outcome import CheckOutcome
from humpback_pipeline.storage import DatasetStore, Manifest, Versions
from humpback_pipeline.storage.versions import read_manifest

Schema = Mapping[str, pl.DataType | type[pl.DataType]]


def check_schema_and_ids(
    datasets: DatasetStore, manifest: Manifest, schema: Schema | None, ids: Sequence[str]
) -> CheckOutcome:
    """Read the files of this version again: columns as declared, rows as counted, ids unique.

    schema: column → type; None: what the manifest names. ids: columns that together identify a row;
    none of them may be null. The rows are streamed.
    """
    folder = datasets.versions(manifest.name, manifest.partition).folder / manifest.version
    frame = pl.scan_parquet(sorted(folder.glob("*.parquet")), glob=False)
    found = {column: str(dtype) for column, dtype in frame.collect_schema().items()}
    declared = (
        {column: str(dtype) for column, dtype in pl.Schema(schema).items()}
        if schema is not None
        else dict(manifest.columns)
    )
    counts = frame.select(
        n_rows=pl.len(),
        n_null_ids=pl.any_horizontal(pl.col(list(ids)).is_null()).sum(),
        n_distinct=pl.struct(list(ids)).n_unique(),
    ).collect(engine="streaming")
    n_rows, n_null, n_distinct = counts.row(0)
    facts = {"rows": n_rows, "null_ids": n_null, "duplicate_ids": n_rows - n_distinct}
    problems = []
    if list(found.items()) != list(declared.items()):
        different = set(found.items()) ^ set(declared.items())
        names = sorted({column for column, _ in different}) or ["their order"]
        problems.append(f"the columns differ from the declared ones in {', '.join(names)}")
    if n_rows != manifest.rows:
        problems.append(f"{n_rows:,} rows on disk, {manifest.rows} in the manifest")
    if n_null:
        problems.append(f"{n_null:,} rows without {' or '.join(ids)}")
    if n_rows > n_distinct:
        problems.append(f"{n_rows - n_distinct:,} rows repeat the {' + '.join(ids)} of another")
    message = f"{n_rows:,} rows, {len(found)} columns as declared, {' + '.join(ids)} unique."
    if problems:
        message = f"{'; '.join(problems)}. Materialise {manifest.key} again with rebuild: true."
    return CheckOutcome("schema_and_ids", not problems, message, facts)


def version_before(folders: Sequence[Path], version: str) -> Manifest | None:
    """Manifest of the newest of these versions other than `version`; None if there is no other."""
    others = [folder for folder in folders if folder.name != version]
    return read_manifest(others[-1]) if others else None


def check_row_change(versions: Versions, manifest: Manifest, max_change: float) -> CheckOutcome:
    """Rows against the version before; `max_change` is relative to that, 0.5 = half as many."""
    rows = manifest.rows or 0
    before = version_before(versions.remembered(), manifest.version)
    if before is None:
        message = f"{rows:,} rows; there is no other version to compare with."
        return CheckOutcome("row_count_change", True, message, {"rows": rows})
    rows_before = before.rows or 0
    change = (rows - rows_before) / max(1, rows_before)
    facts = {
        "rows": rows,
        "rows_before": rows_before,
        "change": round(change, 4),
        "version_before": before.version,
    }
    message = f"{rows:,} rows, {rows_before:,} in the version before ({change:+.1%})."
    if passed := abs(change) <= max_change:
        return CheckOutcome("row_count_change", passed, message, facts)
    message += f" More than {max_change:.0%} of change: is the input what you meant?"
    return CheckOutcome("row_count_change", passed, message, facts)
