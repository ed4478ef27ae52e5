"""Facts over all shards of the corpus, for the UI: funnel, lengths, samples of what went where."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl

from humpback_pipeline.recipe_corpus import CorpusRecipe
from humpback_pipeline.stages.corpus import SEGMENTS
from humpback_pipeline.stages.corpus_choice import CONTAMINATED, REASONS, CorpusChoice
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest
from humpback_pipeline.text.contamination import ContaminationIndex
from humpback_pipeline.text.words import WordBatch

N_TOP_HOSTS = 20
N_SAMPLES = 10
N_DROP_SAMPLES = 5
MAX_SAMPLE_CHARS = 3_000
HISTOGRAM_BINS = 12
_NOT_LEFT = ("host_cap", "not_sampled", "")


def selection_facts(choice: CorpusChoice) -> dict[str, Any]:
    """What was selected, and why the rest was not."""
    reasons = choice.counts
    n_selected = reasons.pop("", 0)
    return {
        "n_selected": n_selected,
        "reasons": reasons,
        "selected_by_shard": choice.selected_by_shard,
    }


def corpus_facts(manifests: Sequence[Manifest], choice: CorpusChoice) -> dict[str, Any]:
    """Sums over the shards' facts; the funnel ends with what the selection left.

    A host's count is the sum over the shards that it is among the top hosts of.
    """
    funnel = _summed(manifests, "funnel")
    left = sum(choice.counts.get(reason, 0) for reason in _NOT_LEFT)
    funnel[f"{len(funnel) + 1} without duplicates and contamination"] = left
    funnel[f"{len(funnel) + 1} selected"] = choice.counts.get("", 0)
    return {
        "corpus_funnel": dict(funnel),
        "corpus_document_drops": dict(_summed(manifests, "document_drops")),
        "corpus_segment_drops": dict(_summed(manifests, "segment_drops")),
        "corpus_languages": dict(_summed(manifests, "languages")),
        "corpus_hosts": dict(_summed(manifests, "hosts").most_common(N_TOP_HOSTS)),
    }


def sample_facts(
    workspace: Workspace, choice: CorpusChoice, index: ContaminationIndex | None
) -> dict[str, Any]:
    """Some segments selected, and some of each reason, with header and text; the lowest draws."""
    selected = choice.first_drawn("", N_SAMPLES)
    dropped = {
        reason: rows
        for reason in REASONS[1:]
        if (rows := choice.first_drawn(reason, N_DROP_SAMPLES))
    }
    found = _read_rows(
        workspace, choice, [*selected, *(r for rows in dropped.values() for r in rows)]
    )

    def drop_sample(row: int, reason: str) -> dict[str, Any]:
        segment = found[row]
        sample = {name: segment[name] for name in ("segment_id", "header")}
        sample["text"] = segment["text"][:MAX_SAMPLE_CHARS]
        if reason == CONTAMINATED and index:
            sample["matching_words"] = index.matches(WordBatch([segment["text"]])).get(0, "")
        elif reason not in _NOT_LEFT:
            sample["duplicate_of"] = choice.segment_ids[int(choice.keepers[row])]
        return sample

    return {
        "samples": [
            {
                **{name: found[row][name] for name in ("header", "url", "language")},
                "text": found[row]["text"][:MAX_SAMPLE_CHARS],
            }
            for row in selected
        ],
        "drop_samples": {
            reason: [drop_sample(row, reason) for row in rows] for reason, rows in dropped.items()
        },
    }


class LengthHistogram:
    """Counts text lengths in bins of one width over the lengths that the recipe allows."""

    def __init__(self, corpus: CorpusRecipe) -> None:
        self._from, self._to = corpus.min_chars, corpus.max_chars
        self._width = math.ceil((self._to - self._from + 1) / HISTOGRAM_BINS)
        self._counts = np.zeros(HISTOGRAM_BINS, dtype=np.int64)

    def add(self, text_chars: pl.Series) -> None:
        """Count some lengths; one outside the recipe's counts in the outermost bin."""
        bins = (text_chars.cast(pl.Int64).to_numpy() - self._from) // self._width
        bins = np.clip(bins, 0, HISTOGRAM_BINS - 1)
        self._counts += np.bincount(bins, minlength=HISTOGRAM_BINS)

    def rows(self) -> list[dict[str, int]]:
        """One dict a bin: from_chars and to_chars, both included, and n."""
        starts = [self._from + i * self._width for i in range(HISTOGRAM_BINS)]
        return [
            {"from_chars": start, "to_chars": min(start + self._width - 1, self._to), "n": int(n)}
            for start, n in zip(starts, self._counts, strict=True)
            if start <= self._to
        ]


def _read_rows(
    workspace: Workspace, choice: CorpusChoice, rows: Iterable[int]
) -> dict[int, dict[str, Any]]:
    by_shard: dict[str, dict[int, int]] = {}
    for row in rows:
        shard, number = choice.place(row)
        by_shard.setdefault(shard, {})[number] = row
    found = {}
    for shard, numbers in by_shard.items():
        frame = (
            workspace.datasets.scan(SEGMENTS, shard)
            .select("segment_id", "header", "text", "url", "language")
            .with_row_index("row")
            .filter(pl.col("row").is_in(list(numbers)))
            .collect()
        )
        for segment in frame.iter_rows(named=True):
            found[numbers[segment["row"]]] = segment
    return found


def _summed(manifests: Sequence[Manifest], fact: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for manifest in manifests:
        total.update(manifest.facts.get(fact) or {})
    return total
