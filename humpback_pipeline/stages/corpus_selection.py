"""The second stage of the corpus: one selection over the segments of all shards."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from humpback_pipeline.progress import OnProgress, ProgressMeter, ignore_progress
from humpback_pipeline.stages.corpus import SEGMENTS
from humpback_pipeline.stages.corpus_choice import SELECTION_SCHEMA, choose
from humpback_pipeline.stages.corpus_facts import (
    LengthHistogram,
    corpus_facts,
    sample_facts,
    selection_facts,
)
from humpback_pipeline.stages.corpus_scan import CorpusScan, contamination_index
from humpback_pipeline.stages.file_sources import file_source
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, Origin
from humpback_pipeline.web.duplicate_finder import DuplicateFinder

SELECTION = "corpus_selection"

__all__ = ["SELECTION", "SELECTION_SCHEMA", "write_selection"]


def write_selection(
    workspace: Workspace, shards: Sequence[str], on_progress: OnProgress = ignore_progress
) -> Manifest:
    """Drop contaminated and duplicate segments of all shards, then sample; a row for each segment.

    Columns: `SELECTION_SCHEMA`. `reason` is empty for a segment selected, else the first that
    holds of contaminated, duplicate_page, exact_duplicate, near_duplicate, host_cap and
    not_sampled. Texts are read once, part by part; memory grows by about 400 bytes a segment
    (docs/corpus-scale.md), a temporary file below `home` by 128. Raises SeedDataError for
    evaluation prompts that cannot be read.
    """
    # The order decides which one stays of a segment_id that two shards hold with different texts.
    shards = sorted(set(shards))
    origin = _origin(workspace, shards)
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    corpus = workspace.recipe.corpus
    index = contamination_index(workspace)
    lengths = LengthHistogram(corpus)
    n_segments = sum(manifest.rows or 0 for manifest in origin.inputs)
    workspace.cache_dir.mkdir(parents=True, exist_ok=True)
    with DuplicateFinder(corpus.near_duplicate_jaccard, folder=workspace.cache_dir) as finder:
        scan = CorpusScan(workspace, finder, index, lengths)
        scan.read(shards, n_segments, on_progress)
        contaminated = scan.contaminated
        duplicates = finder.resolve(contaminated, _band_listener(on_progress))
    choice = choose(
        finder.segment_ids,
        scan.shard_rows,
        duplicates,
        contaminated,
        scan.hosts,
        n=corpus.sample_segments,
        seed=corpus.sample_seed,
        max_per_host=corpus.max_segments_per_host,
    )
    facts = {
        **selection_facts(choice),
        **corpus_facts(origin.inputs, choice),
        "length_histogram": lengths.rows(),
        **sample_facts(workspace, choice, index),
    }
    return workspace.write_dataset(origin, choice.frames(), SELECTION_SCHEMA, facts=facts)


def _origin(workspace: Workspace, shards: Sequence[str]) -> Origin:
    corpus = workspace.recipe.corpus
    settings = {
        "near_duplicate_jaccard",
        "contamination_ngram",
        "sample_segments",
        "sample_seed",
        "max_segments_per_host",
    }
    prompts = workspace.recipe.evaluation.prompts
    is_screened = corpus.contamination_ngram is not None
    return workspace.origin(
        SELECTION,
        inputs=workspace.datasets.manifests(SEGMENTS, shards),
        sources=file_source(prompts, "evaluation.prompts") if is_screened else None,
        settings=corpus.model_dump(mode="json", include=settings),
    )


def _band_listener(on_progress: OnProgress) -> Callable[[int, int], None]:
    meter = ProgressMeter("near duplicates", None, "bands", on_progress)

    def tell(done: int, total: int) -> None:
        meter.total = total
        meter.advance(done - meter.done)

    return tell
