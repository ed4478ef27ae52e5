"""What the pages of the augmentation show: instructions kept and dropped, likelihoods gained."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets.metadata import (
    counts_table,
    length_plot,
    sample_table,
)
from humpback_pipeline.evaluation.tables import render_markdown_table
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.backward_model import InstructionLikelihood, instruction_likelihoods
from humpback_pipeline.storage import Manifest

DROP_SAMPLE_CHARS = 160
DROPPED_COUNTS = ("dropped", "candidates_dropped")


def shard_metadata(frame: pl.DataFrame, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What one shard's page shows of the instructions written for it.

    frame: the shard's augmented set; facts: those of its manifest (stages/augmentation.py).
    """
    metadata: dict[str, Any] = {
        "dropped": counts_table(facts["dropped"]),
        "candidates_dropped": counts_table(facts["candidates_dropped"]),
        "drop_samples": drop_samples_table(facts["drop_samples"]),
        "prompts_cut": facts["n_truncated"],
        "first_words": first_words_table(facts["first_words"], frame.height),
        "distinct_instructions": facts["n_distinct"],
        **length_plot("lengths", frame["instruction_chars"], "instruction length (characters)"),
        "samples": sample_table(frame, ["instruction", "output", "mean_logprob", "n_candidates"]),
    }
    for name in ("mean_candidates", "mean_logprob"):
        if facts[name] is not None:
            metadata[name] = round(facts[name], 3)
    return metadata


def all_shards_metadata(manifests: Iterable[Manifest]) -> dict[str, Any]:
    """Segments and candidates dropped by reason, over all shards that there are."""
    rows, totals = 0, {name: Counter[str]() for name in DROPPED_COUNTS}
    n_cut = 0
    for manifest in manifests:
        rows += manifest.rows or 0
        n_cut += manifest.facts.get("n_truncated", 0)
        for name, total in totals.items():
            total.update(manifest.facts.get(name) or {})
    return {
        "pairs_in_all_shards": rows,
        "prompts_cut_in_all_shards": n_cut,
        **{f"{name}_in_all_shards": counts_table(total) for name, total in totals.items()},
    }


def drop_samples_table(samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> dg.MetadataValue:
    """Some of what was dropped for each reason, as it was written."""
    rows = [
        {"reason": reason, "text": sample["text"], "segment_id": sample["segment_id"]}
        for reason, kept in sorted(samples.items())
        for sample in kept
    ]
    if not rows:
        return dg.MetadataValue.md("None.")
    table = render_markdown_table(
        pl.DataFrame(rows), max_rows=len(rows), max_chars=DROP_SAMPLE_CHARS
    )
    return dg.MetadataValue.md(table)


def first_words_table(counts: Mapping[str, int], n_instructions: int) -> dg.MetadataValue:
    """How often instructions begin with each of the commonest first words."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if not ranked:
        return dg.MetadataValue.md("None.")
    frame = pl.DataFrame(
        {
            "first word": [word for word, _ in ranked],
            "n": [n for _, n in ranked],
            "share": [f"{n / n_instructions:.1%}" for _, n in ranked],
        }
    )
    return dg.MetadataValue.md(render_markdown_table(frame, max_rows=frame.height))


def likelihood_metadata(workspace: Workspace, model: str) -> dict[str, Any]:
    """How likely the held-out instructions are under the base and each M_yx up to `model`."""
    rows = instruction_likelihoods(workspace, model)
    table = pl.DataFrame([asdict(row) for row in rows], infer_schema_length=None)
    metadata: dict[str, Any] = {
        "held_out_instruction_likelihood": dg.MetadataValue.md(
            render_markdown_table(table, decimals=4)
        )
    }
    return metadata | _figures(rows[-1])


def _figures(row: InstructionLikelihood) -> dict[str, float]:
    found = {
        "held_out_instruction_logprob": row.logprob,
        "held_out_instruction_gain": row.gain,
    }
    return {name: round(value, 4) for name, value in found.items() if value is not None}
