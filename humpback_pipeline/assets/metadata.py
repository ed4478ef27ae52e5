"""What every asset's page shows: counts, hashes, provenance, a table of samples, plots."""

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets import sparklines
from humpback_pipeline.assets.columns import describe_column
from humpback_pipeline.assets.links import inputs_table
from humpback_pipeline.evaluation.plots import lengths_histogram, ratings_histogram
from humpback_pipeline.evaluation.tables import render_markdown_table
from humpback_pipeline.lineage.links import artefact_url
from humpback_pipeline.stages import Workspace
from humpback_pipeline.storage import Manifest

MAX_PROVENANCE_ENTRIES = 100
SAMPLE_CELL_CHARS = (200, 140, 100, 70, 50, 35)


def manifest_metadata(
    workspace: Workspace, manifest: Manifest, context: dg.AssetExecutionContext | None = None
) -> dict[str, dg.MetadataValue]:
    """Metadata of one version of a dataset or model, to be put after an asset's own figures.

    With `context`, also whether this run made it or found that nothing had changed.
    """
    folder = workspace.home / f"{manifest.kind}s" / manifest.key / manifest.version
    metadata: dict[str, dg.MetadataValue] = {}
    if context is not None:
        metadata["made"] = dg.MetadataValue.text(made(context, manifest))
    metadata |= {
        "lineage": dg.MetadataValue.url(artefact_url(manifest)),
        "made_from": dg.MetadataValue.md(inputs_table(workspace, manifest)),
        "everything_behind_it": dg.MetadataValue.md(provenance_table(manifest)),
        "path": dg.MetadataValue.path(str(folder)),
        "version": dg.MetadataValue.text(manifest.version),
        "content_hash": dg.MetadataValue.text(manifest.content_hash),
        "recipe": dg.MetadataValue.text(f"{manifest.recipe_name} ({manifest.recipe_hash})"),
    }
    # Every partition of every run has it in its event; of a large crawl that would be megabytes.
    provenance = manifest.provenance.model_dump()
    if sum(map(len, provenance.values())) <= MAX_PROVENANCE_ENTRIES:
        metadata["provenance"] = dg.MetadataValue.json(provenance)
    if manifest.rows is not None:
        metadata["dagster/row_count"] = dg.MetadataValue.int(manifest.rows)
    if manifest.columns:
        columns = [
            dg.TableColumn(name, dtype, description=describe_column(name))
            for name, dtype in manifest.columns.items()
        ]
        metadata["dagster/column_schema"] = dg.MetadataValue.table_schema(
            dg.TableSchema(columns=columns)
        )
    return metadata


def made(context: dg.AssetExecutionContext, manifest: Manifest) -> str:
    """`in this run`, or since when the artefact has been as it is."""
    created = datetime.fromisoformat(manifest.created)
    record = context.instance.get_run_record_by_id(context.run_id)
    if record is not None and record.start_time is not None:
        if created.timestamp() >= record.start_time:
            return "in this run"
        return f"unchanged since {created:%Y-%m-%d %H:%M} UTC: nothing that shapes it has changed"
    return f"{created:%Y-%m-%d %H:%M} UTC"


def provenance_table(manifest: Manifest) -> str:
    """Markdown table of everything behind an artefact: kind, name, hash."""
    rows = [
        {"kind": kind.replace("_", " "), "name": name, "hash": value[:12]}
        for kind, entries in manifest.provenance.model_dump().items()
        for name, value in sorted(entries.items())
    ]
    if not rows:
        return "Nothing upstream."
    return render_markdown_table(pl.DataFrame(rows))


def sample_table(frame: pl.DataFrame, columns: list[str], n_rows: int = 3) -> dg.MetadataValue:
    """Markdown table of the first rows, with cells as long as the UI shows at once."""
    rows = frame.select(columns).head(n_rows)
    tables = (render_markdown_table(rows, max_chars=chars) for chars in SAMPLE_CELL_CHARS)
    table = next((text for text in tables if len(text) < sparklines.INLINE_CHARS), None)
    return dg.MetadataValue.md(table or render_markdown_table(rows))


def counts_table(
    counts: Mapping[str, Any], header: str = "reason", *, largest_first: bool = True
) -> dg.MetadataValue:
    """Markdown table of counts, largest first or in the order of their names."""
    if not counts:
        return dg.MetadataValue.md("None.")
    rows = sorted(counts.items())
    if largest_first:
        rows.sort(key=lambda item: -item[1])
    frame = pl.DataFrame({header: [k for k, _ in rows], "n": [v for _, v in rows]})
    return dg.MetadataValue.md(render_markdown_table(frame))


def plot(png: bytes, alt_text: str) -> dg.MetadataValue:
    """A PNG as Markdown, embedded so that it needs no file server."""
    data = base64.b64encode(png).decode()
    return dg.MetadataValue.md(f"![{alt_text}](data:image/png;base64,{data})")


def add_partition_metadata(
    context: dg.AssetExecutionContext, partition: str, metadata: Mapping[str, Any]
) -> None:
    """Put metadata on one partition of the asset; a run over a range has a page for each."""
    context.add_asset_metadata(metadata, partition_key=partition)


def length_plot(name: str, lengths: pl.Series, label: str) -> dict[str, dg.MetadataValue]:
    """Histogram of lengths: a small one that shows at once, and a large one."""
    values = lengths.to_list()
    large = plot(lengths_histogram({label: values}, title=label), f"histogram of {label}")
    return {
        name: sparklines.bars(values, 0, max(values, default=1), label),
        f"{name}_large": large,
    }


def ratings_plot(
    ratings: pl.Series, thresholds: list[float], title: str
) -> dict[str, dg.MetadataValue]:
    """Histogram of ratings: a small one, and a large one with the selection's threshold."""
    values = ratings.to_list()
    large = plot(ratings_histogram(values, thresholds, title), f"histogram of {title}")
    return {"ratings": sparklines.bars(values, 1.0, 5.0, title), "ratings_large": large}
