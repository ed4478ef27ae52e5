"""Group `corpus`: from WARC files to the segments that get an instruction."""

import dagster as dg

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import (
    asset_settings,
    log_progress,
    shards_data_version,
    shards_of,
    shards_with,
)
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks, shard_checks
from humpback_pipeline.assets.metadata import (
    add_partition_metadata,
    counts_table,
    length_plot,
    manifest_metadata,
    sample_table,
)
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.automation.partitions import warc_shards
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.checks import (
    check_not_empty,
    check_sample_reached,
    check_shard_read_whole,
    check_yield,
    over_shards,
)
from humpback_pipeline.stages.corpus import SEGMENTS, write_segments
from humpback_pipeline.stages.corpus_selection import SELECTION, SELECTION_SCHEMA, write_selection
from humpback_pipeline.web import SEGMENT_SCHEMA


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
    """Cut, filter and write the segments of each shard of this run."""
    opened = workspace.open()
    manifests = {}
    for shard in shards_of(context):
        manifest = manifests[shard] = write_segments(opened, shard, log_progress(context))
        facts = manifest.facts
        frame = opened.datasets.read(SEGMENTS, shard)
        context.log.info(f"{shard}: {facts['n_documents']} pages, {manifest.rows} segments")
        add_partition_metadata(
            context,
            shard,
            {
                "funnel": counts_table(facts["funnel"], "stage", largest_first=False),
                "pages_dropped": counts_table(facts["document_drops"]),
                "segments_dropped": counts_table(facts["segment_drops"]),
                "languages": counts_table(facts["languages"], "language"),
                "top_hosts": counts_table(facts["hosts"], "host"),
                "lost": facts["partial"] or "nothing",
                **length_plot("lengths", frame["text_chars"], "segment length (characters)"),
                "samples": sample_table(frame, ["header", "text", "url"]),
                **manifest_metadata(opened, manifest, context),
            },
        )
    read_whole = {shard: check_shard_read_whole(m) for shard, m in manifests.items()}
    minimum = opened.recipe.checks.min_segments_per_page
    yields = {shard: check_yield(m, minimum) for shard, m in manifests.items()}
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
