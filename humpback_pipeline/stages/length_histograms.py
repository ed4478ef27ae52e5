"""How long instructions, outputs and the models' answers are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from humpback_pipeline.stages.augmentation import augmented_set_names
from humpback_pipeline.stages.iteration_names import curated_set_name
from humpback_pipeline.stages.responses import answers_by_model
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest

if TYPE_CHECKING:
    from humpback_pipeline.evaluation.length_histograms import Part, Unit

LENGTH_HISTOGRAMS = "length_histograms"
REFERENCES = "references"
# Of each set so many texts are tokenised: a second or two, and a mean to about 2 %.
MAX_TOKENISED = 2_000


def write_length_histograms(workspace: Workspace, shards: Sequence[str]) -> Manifest:
    """Count the lengths of seeds, augmented and curated sets, of answers and references, in bins.

    Columns: `evaluation.length_histograms.HISTOGRAM_SCHEMA`. Characters are counted of all texts;
    tokens, the base model's, of the 2,000 texts of a set whose ids have the lowest hashes. Facts:
    summary (`summarise_lengths`, a row a set, part and unit), plots (name → PNG as a data URI),
    token_note: why there are no tokens, else None.
    """
    from humpback_pipeline.evaluation.length_histograms import HISTOGRAM_SCHEMA

    datasets = workspace.datasets
    curated = [curated_set_name(t) for t in range(1, workspace.recipe.curation.iterations + 1)]
    augmented = augmented_set_names(workspace.recipe)
    answers = answers_by_model(workspace.recipe.curation.iterations)
    origin = workspace.origin(
        LENGTH_HISTOGRAMS,
        inputs=[
            *(datasets.manifest(name) for name in (SEED_PAIRS, *curated, *answers.values())),
            *(m for name in augmented for m in datasets.manifests(name, shards)),
        ],
        sources=workspace.base_model_source(),
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    measured = _Lengths(workspace)
    for name in (SEED_PAIRS, *augmented, *curated):
        partitions = shards if name in augmented else [None]
        for part in ("instruction", "output"):
            measured.add(name, part, name, partitions, part)
    for model, name in answers.items():
        measured.add(model, "output", name, [None], "output")
    measured.add(REFERENCES, "output", next(iter(answers.values())), [None], "reference")
    table = pl.concat(measured.bins)
    return workspace.write_dataset(
        origin,
        table,
        HISTOGRAM_SCHEMA,
        facts={
            "summary": {"rows": measured.rows},
            "token_note": measured.token_note,
            "plots": _plots(table, [SEED_PAIRS, *augmented, *curated], [*answers, REFERENCES]),
        },
    )


@dataclass
class _Lengths:
    """Measures one column of one set after the other."""

    workspace: Workspace
    bins: list[pl.DataFrame] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    token_note: str | None = None

    def add(
        self,
        label: str,
        part: Part,
        dataset: str,
        partitions: Sequence[str | None],
        column: str,
    ) -> None:
        """Count the texts under `column`: as characters, and a sample as tokens."""
        from humpback_pipeline.evaluation.hash_samples import sample_by_hash

        chars: list[pl.Series] = []

        def parts() -> Any:
            for partition in partitions:
                scan = self.workspace.datasets.scan(dataset, partition)
                names = scan.collect_schema().names()
                key = next(n for n in ("pair_id", "segment_id", "prompt_id") if n in names)
                frame = scan.select(pl.col(key).alias("id"), pl.col(column).alias("text")).collect()
                chars.append(frame["text"].str.len_chars())
                yield frame

        sample = sample_by_hash(parts(), "id", MAX_TOKENISED)
        lengths = [int(n) for series in chars for n in series.to_list()]
        self._note(label, part, "chars", lengths, len(lengths))
        texts = sample["text"].to_list() if sample.height else []
        tokens = self._count_tokens(texts)
        if tokens is not None:
            self._note(label, part, "tokens", tokens, len(lengths))

    def _note(
        self, label: str, part: Part, unit: Unit, lengths: Sequence[int], n_total: int
    ) -> None:
        from humpback_pipeline.evaluation.length_histograms import binned_lengths, summarise_lengths

        self.bins.append(binned_lengths(label, part, unit, lengths))
        self.rows.append(summarise_lengths(label, part, unit, lengths, n_total=n_total))

    def _count_tokens(self, texts: Sequence[str]) -> list[int] | None:
        from humpback_pipeline.evaluation.tokenizing import NoTokenizerError, token_ids

        try:
            return [len(ids) for ids in token_ids(texts, self.workspace.base_model.path)]
        except NoTokenizerError as error:
            self.token_note = str(error)
            return None


def _plots(table: pl.DataFrame, sets: Sequence[str], answers: Sequence[str]) -> dict[str, str]:
    from humpback_pipeline.evaluation import PAPER_DATA_STATISTICS, png_data_uri
    from humpback_pipeline.evaluation.length_histograms import length_panels

    paper = {
        "instruction": {row.dataset: row.instruction_chars_mean for row in PAPER_DATA_STATISTICS},
        "output": {row.dataset: row.output_chars_mean for row in PAPER_DATA_STATISTICS},
    }
    of_data = table.filter(pl.col("dataset").is_in(list(sets)))
    of_answers = table.filter(pl.col("dataset").is_in(list(answers)))
    both = [("instruction", "chars"), ("output", "chars")]
    return {
        "data": png_data_uri(
            length_panels(of_data, both, title="Lengths of the data", paper_means=paper)
        ),
        "answers": png_data_uri(
            length_panels(
                of_answers,
                [("output", "chars"), ("output", "tokens")],
                title="Lengths of the models' answers, and of the references",
            )
        ),
    }
