"""One pass over the texts of all shards; what is left of a segment are numbers and its id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from humpback_pipeline.progress import OnProgress, ProgressMeter
from humpback_pipeline.stages.corpus import SEGMENTS
from humpback_pipeline.stages.corpus_facts import LengthHistogram
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.text.contamination import ContaminationIndex
from humpback_pipeline.text.stable_hash import Hashes, string_hashes
from humpback_pipeline.text.words import WordBatch
from humpback_pipeline.web.duplicate_finder import DuplicateFinder
from humpback_pipeline.web.selection import hosts_of

SEGMENTS_AT_ONCE = 5_000
# A batch's hashes should fit the processor's cache: one of 20,000 takes eight times as long.
WORDS_AT_ONCE = 500
_COLUMNS = ["segment_id", "document_id", "document_hash", "url", "text", "text_chars"]


@dataclass
class CorpusScan:
    """Feeds `finder` and screens for contamination; all columns are in the order of rows read."""

    workspace: Workspace
    finder: DuplicateFinder
    index: ContaminationIndex | None
    lengths: LengthHistogram
    shard_rows: dict[str, int] = field(default_factory=dict)
    _hosts: list[Hashes] = field(default_factory=list)
    _contaminated: list[NDArray[np.bool_]] = field(default_factory=list)

    def read(self, shards: Sequence[str], n_segments: int, on_progress: OnProgress) -> None:
        """Read the segments of `shards`, `n_segments` in all, in this order."""
        meter = ProgressMeter("duplicates", n_segments, "segments", on_progress)
        for shard in shards:
            self.shard_rows[shard] = 0
            for part in _parts(self.workspace, shard):
                self._read_part(part)
                self.shard_rows[shard] += part.height
                meter.advance(part.height, detail=shard)

    @property
    def contaminated(self) -> NDArray[np.bool_]:
        """Which segments share a run of words with the evaluation data."""
        return np.concatenate(self._contaminated or [np.zeros(0, dtype=bool)])

    @property
    def hosts(self) -> Hashes | None:
        """A hash of each segment's host; None unless the recipe caps hosts."""
        return np.concatenate(self._hosts) if self._hosts else None

    def _read_part(self, part: pl.DataFrame) -> None:
        self.lengths.add(part["text_chars"])
        if self.workspace.recipe.corpus.max_segments_per_host is not None:
            self._hosts.append(string_hashes(hosts_of(part["url"])))
        for some in part.iter_slices(WORDS_AT_ONCE):
            words = WordBatch(some["text"])
            self.finder.add(some["segment_id"], words, some.select("document_id", "document_hash"))
            found = np.zeros(some.height, dtype=bool)
            if self.index:
                found[list(self.index.matches(words))] = True
            self._contaminated.append(found)


def contamination_index(workspace: Workspace) -> ContaminationIndex | None:
    """Index of the recipe's evaluation prompts and references; None where it asks for none.

    Raises SeedDataError.
    """
    from humpback_pipeline.seeds import read_evaluation_prompts

    n_words = workspace.recipe.corpus.contamination_ngram
    if n_words is None:
        return None
    prompts = read_evaluation_prompts(workspace.recipe.evaluation.prompts)
    return ContaminationIndex((t for p in prompts for t in (p.instruction, p.output)), n_words)


def _parts(workspace: Workspace, shard: str) -> Iterator[pl.DataFrame]:
    segments = workspace.datasets.scan(SEGMENTS, shard)
    if "document_hash" not in segments.collect_schema():  # segments of an earlier version
        segments = segments.with_columns(document_hash=pl.lit(None, dtype=pl.String))
    start = 0
    while (part := segments.select(_COLUMNS).slice(start, SEGMENTS_AT_ONCE).collect()).height:
        yield part
        start += part.height
