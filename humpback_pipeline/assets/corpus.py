"""Group `corpus`: from WARC files to the segments that get an instruction."""

import contextlib
from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import (
    asset_settings,
    log_progress,
    shards_data_version,
    shards_of,
    shards_with,
)
from humpback_pipeline.assets.corpus_pages import (
    corpus_metadata,
    drop_samples_table,
    funnel_table,
    histogram_table,
    read_samples,
    rendered_samples,
)
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks, shard_checks
from humpback_pipeline.assets.metadata import (
    add_partition_metadata,
    counts_table,
    manifest_metadata,
    sample_table,
)
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.automation.partitions import WARC_SHARDS, warc_shards
from humpback_pipeline.evaluation.tables import render_markdown_table
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.checks import (
    check_not_empty,
    check_sample_reached,
    check_shard_read_whole,
    over_shards,
)
from humpback_pipeline.stages.checks.corpus import check_yields
from humpback_pipeline.stages.corpus import SEGMENTS
from humpback_pipeline.stages.corpus_facts import LengthHistogram
from humpback_pipeline.stages.corpus_selection import SELECTION, SELECTION_SCHEMA, write_selection
from humpback_pipeline.stages.segment_processes import write_all_segments
from humpback_pipeline.storage import Manifest, NotMaterializedError
from humpback_pipeline.web import SEGMENT_SCHEMA

MAX_SHARDS_COMPARED = 100


@dg.asset(
    partitions_def=warc_shards,
    check_specs=check_specs(SEGMENTS, *DATASET_CHECKS, "shard_read_whole", "yield"),
    description=(
        "Self-contained pieces of web pages, one partition for each WARC file: the text under a "
        "header with all its lower headers, 600-3,000 characters unless the recipe differs, after "
        "the paper's filters (section 2.2). The funnel says what was dropped and why."
    ),
    **asset_settings("corpus", "polars", "parquet", name=SEGMENTS),
)
@retried
def clueweb_segments(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> dg.MaterializeResult:
    """Cut, filter and write the segments of each shard of this run, a process for each."""
    opened = workspace.open()
    shards = shards_of(context)
    manifests = {}
    for shard, manifest in write_all_segments(opened, shards, log_progress(context)):
        manifests[shard] = manifest
        pages = manifest.facts["n_documents"]
        context.log.info(f"{shard}: {pages:,} pages, {manifest.rows:,} segments")
        metadata = _shard_metadata(opened, shard, manifest)
        metadata |= manifest_metadata(opened, manifest, context)
        add_partition_metadata(context, shard, metadata)
    manifests = {shard: manifests[shard] for shard in shards}
    read_whole = {shard: check_shard_read_whole(m) for shard, m in manifests.items()}
    yields = check_yields(
        manifests,
        opened.recipe.checks.min_segments_per_page,
        _other_shards(context, opened, manifests),
    )
    return dg.MaterializeResult(
        data_version=shards_data_version(context, opened, SEGMENTS),
        check_results=check_results(
            context,
            [
                *shard_checks(opened, manifests, ["segment_id"], SEGMENT_SCHEMA),
                over_shards(read_whole),
                over_shards(yields),
            ],
        ),
    )


def _shard_metadata(opened: Workspace, shard: str, manifest: Manifest) -> dict[str, Any]:
    """What one shard's page shows; no more of its texts is read than is shown."""
    facts = manifest.facts
    lengths = LengthHistogram(opened.recipe.corpus)
    lengths.add(opened.datasets.scan(SEGMENTS, shard).select("text_chars").collect()["text_chars"])
    samples = read_samples(opened, shard)
    metadata: dict[str, Any] = {
        "funnel": funnel_table(facts["funnel"], facts["document_drops"], facts["segment_drops"]),
        "pages_dropped": counts_table(facts["document_drops"]),
        "segments_dropped": counts_table(facts["segment_drops"]),
        "languages": counts_table(facts["languages"], "language"),
        "top_hosts": counts_table(facts["hosts"], "host"),
        "read_whole": "no: partial" if facts["partial"] else "yes",
        "lost": facts["partial"] or "nothing",
        "lengths": histogram_table(lengths.rows()),
        "samples": sample_table(samples, ["header", "text", "url"]),
        "samples_rendered": rendered_samples(samples.iter_rows(named=True)),
        "drop_samples": drop_samples_table(facts["drop_samples"]),
    }
    if skipped := facts.get("skipped_pages"):
        rows = [{"offset": offset, "reason": reason} for offset, reason in skipped.items()]
        table = render_markdown_table(pl.DataFrame(rows), max_rows=len(rows))
        metadata["pages_that_killed_their_process"] = dg.MetadataValue.md(table)
    if masked := facts.get("masked"):
        metadata["masked"] = counts_table(masked, "personal data")
    return metadata


def _other_shards(
    context: dg.AssetExecutionContext, opened: Workspace, manifests: Mapping[str, Manifest]
) -> list[Manifest]:
    """Manifests of shards that earlier runs cut, enough of them to compare a yield with."""
    others: list[Manifest] = []
    for shard in context.instance.get_dynamic_partitions(WARC_SHARDS):
        if len(others) == MAX_SHARDS_COMPARED:
            break
        if shard not in manifests:
            with contextlib.suppress(NotMaterializedError):
                others.append(opened.datasets.manifest(SEGMENTS, shard))
    return others


@dg.asset(
    deps=[clueweb_segments],
    check_specs=check_specs(SELECTION, *DATASET_CHECKS, "not_empty", "sample_reached"),
    description=(
        "Which segments go on: exact and near duplicates across all shards are dropped "
        "(MinHash-LSH, one of each cluster kept), then a sample fixed by hash is drawn. One row "
        "for each segment with the reason if it was left out; ids only, no texts."
    ),
    # Every run over shards makes a new selection; the last to do so must see all their segments.
    pool="selection",
    **asset_settings("corpus", "polars", "parquet", name=SELECTION),
)
@retried
def corpus_selection(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> dg.MaterializeResult:
    """Deduplicate and sample over all shards."""
    opened = workspace.open()
    shards = shards_with(context, opened, SEGMENTS)
    manifest = write_selection(opened, shards, log_progress(context))
    n_selected = manifest.facts["n_selected"]
    remedy = "See the yield of clueweb_segments: no page gave a segment that passed the filters."
    return dg.MaterializeResult(
        data_version=dg.DataVersion(manifest.content_hash),
        metadata={
            "selected": n_selected,
            **corpus_metadata(manifest.facts),
            "reasons": counts_table(manifest.facts["reasons"]),
            "shards": counts_table(manifest.facts["selected_by_shard"], "shard"),
            **manifest_metadata(opened, manifest, context),
        },
        check_results=check_results(
            context,
            [
                *dataset_checks(opened, manifest, ["shard", "segment_id"], SELECTION_SCHEMA),
                check_not_empty(n_selected, "segments selected", remedy),
                check_sample_reached(manifest, opened.recipe.corpus.sample_segments),
            ],
        ),
    )


CORPUS_ASSETS = [clueweb_segments, corpus_selection]
