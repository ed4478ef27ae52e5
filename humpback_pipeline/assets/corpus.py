"""Group `corpus`: from WARC files to the segments that get an instruction."""

import dagster as dg

from humpback_pipeline.assets.common import asset_settings, log_progress
from humpback_pipeline.assets.metadata import (
    add_partition_metadata,
    counts_table,
    length_plot,
    manifest_metadata,
    sample_table,
)
from humpback_pipeline.automation.partitions import WARC_SHARDS, warc_shards
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.corpus import SEGMENTS, write_segments, write_selection


@dg.asset(
    partitions_def=warc_shards,
    check_specs=[
        dg.AssetCheckSpec(
            "shard_read_whole",
            asset="clueweb_segments",
            description="Warns when a WARC file was cut short: its lost tail is not in the data.",
        )
    ],
    description=(
        "Self-contained pieces of one WARC file's pages: the tree rooted at a header with its "
        "lower headers, 600-3,000 characters, after the paper's filters (section 2.2)."
    ),
    **asset_settings("corpus", "polars", "parquet"),
)
def clueweb_segments(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> dg.MaterializeResult:
    """Cut, filter and write the segments of each shard of this run."""
    opened = workspace.open()
    partial: dict[str, str] = {}
    hashes = []
    for shard in context.partition_keys:
        manifest = write_segments(opened, shard, log_progress(context))
        facts = manifest.facts
        frame = opened.datasets.read(SEGMENTS, shard)
        if facts["partial"]:
            partial[shard] = facts["partial"]
            context.log.warning(f"{shard}: {facts['partial']}")
        context.log.info(f"{shard}: {facts['n_documents']} pages, {manifest.rows} segments")
        hashes.append(manifest.content_hash)
        add_partition_metadata(
            context,
            shard,
            {
                **manifest_metadata(opened, manifest),
                "funnel": counts_table(facts["funnel"], "stage"),
                "pages_dropped": counts_table(facts["document_drops"]),
                "segments_dropped": counts_table(facts["segment_drops"]),
                "languages": counts_table(facts["languages"], "language"),
                "top_hosts": counts_table(facts["hosts"], "host"),
                "lost": facts["partial"] or "nothing",
                "lengths": length_plot(frame["text_chars"], "segment length (characters)"),
                "samples": sample_table(frame, ["header", "text", "url"]),
            },
        )
    return dg.MaterializeResult(
        data_version=dg.DataVersion("-".join(value[:12] for value in hashes)),
        check_results=[
            dg.AssetCheckResult(
                passed=not partial,
                check_name="shard_read_whole",
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"lost": partial or "nothing"},
            )
        ],
    )


@dg.asset(
    deps=[clueweb_segments],
    description=(
        "Which segments go on: exact and near duplicates across all shards are dropped "
        "(MinHash-LSH, one of each cluster kept), then a sample fixed by hash is drawn. Ids only."
    ),
    **asset_settings("corpus", "polars", "parquet"),
)
def corpus_selection(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> dg.MaterializeResult:
    """Deduplicate and sample over all shards."""
    opened = workspace.open()
    shards = context.instance.get_dynamic_partitions(WARC_SHARDS)
    manifest = write_selection(opened, shards)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(manifest.content_hash),
        metadata={
            **manifest_metadata(opened, manifest),
            "selected": manifest.facts["n_selected"],
            "reasons": counts_table(manifest.facts["reasons"]),
            "shards": counts_table(manifest.facts["selected_by_shard"], "shard"),
        },
    )


CORPUS_ASSETS = [clueweb_segments, corpus_selection]
