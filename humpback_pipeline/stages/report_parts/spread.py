"""The report on diversity in sets of like size: n-grams, meaning."""

from __future__ import annotations

from humpback_pipeline.evaluation.report_sections import Note, ReportSection, table_of_rows
from humpback_pipeline.stages.instruction_diversity import INSTRUCTION_DIVERSITY
from humpback_pipeline.stages.report_parts.shared import current, percent, present
from humpback_pipeline.stages.workspace import Workspace


def diversity_of_like_size(workspace: Workspace) -> ReportSection | None:
    """What does not depend on how large a set is: measured on as many instructions of each."""
    manifest = current(workspace, INSTRUCTION_DIVERSITY)
    if manifest is None:
        return None
    table = workspace.datasets.read(INSTRUCTION_DIVERSITY)
    rows = [
        {
            "Data set": row["dataset"],
            "Instructions of each": row["n_matched"],
            "Distinct-2": row["distinct_2_matched"],
            "Vendi score": row["vendi_score_matched"],
            "Embedding distance": row["embedding_distance"],
            "95 % from": row["embedding_distance_low"],
            "to": row["embedding_distance_high"],
            "With verb and noun": percent(
                row["share_parsed"], row["share_parsed_low"], row["share_parsed_high"]
            ),
        }
        for row in table.iter_rows(named=True)
    ]
    note = manifest.facts["embedding_note"]
    return ReportSection(
        id="diversity-of-like-size",
        title="Diversity in sets of like size",
        after="diversity",
        lead="Distinct-2 and the Vendi score (how many different instructions a set is worth) of "
        "as many instructions of every set; embedding distance: mean cosine distance of two of "
        "them in the base model's embeddings.",
        blocks=present(
            [
                table_of_rows(rows, decimals=3),
                Note(text=f"Nothing was embedded: {note}") if note else None,
            ]
        ),
    )
