"""What the card of an exported set says, gathered from manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from humpback_pipeline.stages import summary
from humpback_pipeline.stages.carrying import CARRIED_FROM
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, NotMaterializedError

if TYPE_CHECKING:
    from humpback_pipeline.evaluation.dataset_card import PairsCard

Funnel = list[tuple[str, int, Mapping[str, int]]]


def pairs_card(
    workspace: Workspace, name: str, *, curated: str, seeds: bool, n_pairs: int
) -> PairsCard:
    """Facts of the export `name` of the curated set `curated`, with the seeds in it or not."""
    from humpback_pipeline.evaluation import data_statistics
    from humpback_pipeline.evaluation.dataset_card import PairsCard

    recipe, datasets = workspace.recipe, workspace.datasets
    manifest = datasets.manifest(curated)
    frames = {curated: datasets.scan(curated)}
    selection = _selection(workspace, manifest)
    notes = []
    if seeds:
        frames[SEED_PAIRS] = datasets.scan(SEED_PAIRS).filter(pl.col("split") == "train")
        notes.append("**The seeds are somebody's work too**: their licence holds for them.")
        if recipe.seed.contaminated == "report":
            selection["contamination"] += "; seeds that do are kept, if there are any"
    rater = f"M_{manifest.facts['rows_of'] - 1}"
    made_by = (
        f"a language model wrote an instruction for each passage of web pages, {rater} rated the "
        f"pairs from 1 to 5, and the best rated were kept. Base model: {_bases(manifest)}."
    )
    return PairsCard(
        name=f"{recipe.name}: {name}",
        n_pairs=n_pairs,
        license=recipe.exports.license,
        languages=recipe.corpus.languages,
        formats=recipe.exports.formats,
        made_by=made_by,
        recipe={
            "recipe": manifest.recipe_name,
            "recipe hash": manifest.recipe_hash,
            "version": manifest.version,
            "content hash": manifest.content_hash,
            "code": f"humpback_pipeline {manifest.code_version}",
        },
        selection=selection,
        funnel=_funnel(workspace, manifest),
        statistics=data_statistics(frames),
        provenance=manifest.provenance.model_dump(),
        has_seeds=seeds,
        notes=notes,
    )


def _bases(manifest: Manifest) -> str:
    from humpback_pipeline.evaluation.dataset_card import public_name

    names = sorted(map(public_name, manifest.provenance.base_models))
    return ", ".join(f"`{name}`" for name in names) or "unknown"


def _selection(workspace: Workspace, manifest: Manifest) -> dict[str, str]:
    facts, curation = manifest.facts, workspace.recipe.curation
    rule = curation.selection.model_dump(exclude_none=True)
    lowest = facts["lowest_rating_kept"]
    rows = {
        "scorer": curation.scorer,
        "rules": ", ".join(f"{name} {value:g}" for name, value in rule.items()),
        "rated": f"{facts['n_rated']:,} pairs",
        "kept": f"{manifest.rows:,} pairs",
        "lowest rating kept": f"{lowest:.2f}" if lowest is not None else "none kept",
        "rater on labelled pairs": _quality(facts["quality"]),
        "contamination": f"no curated pair shares {curation.contamination_ngram_words} words in a "
        "row with the evaluation prompts, their references or the held-out seeds",
    }
    if source := facts[CARRIED_FROM]:
        rows["carried on from"] = source
    return rows


def _quality(quality: Mapping[str, Any]) -> str:
    if quality["precision"] is None:
        return f"not measured ({quality['labelled']} labelled pairs)"
    text = f"precision {quality['precision']:.2f}"
    if quality["precision_low"] is not None:
        text += f" (95 % {quality['precision_low']:.2f} to {quality['precision_high']:.2f})"
    if quality["recall"] is not None:
        text += f", recall {quality['recall']:.2f}"
    return f"{text}, of {quality['labelled']} pairs"


def _funnel(workspace: Workspace, manifest: Manifest) -> Funnel:
    """Rows at every stage up to this set; only the last two where the others are not there."""
    try:
        stages = summary.funnel(workspace, summary.selected_shards(workspace))
    except NotMaterializedError:
        stages = []
    iteration = manifest.name.rpartition("_")[2]
    rows: Funnel = [
        (stage.stage, stage.rows, stage.dropped)
        for stage in stages
        if not stage.stage.startswith("Curated set")
    ]
    if not rows:
        rows.append(("Rated pairs", manifest.facts["n_rated"], {}))
    rows.append((f"Curated set A({iteration})", manifest.rows or 0, manifest.facts["dropped"]))
    return rows
