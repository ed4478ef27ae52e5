"""Model cards in the Hub's format, with what was measured after the training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from humpback_pipeline.stages.iteration_names import model_name
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, NotMaterializedError
from humpback_pipeline.storage.replacing import replaced_directory

MODEL_CARDS, CARD = "model_cards", "README.md"
WIN_RATES = "win_rates"
MODEL_CARDS_SCHEMA = {
    "model": pl.String,
    "path": pl.String,
    "base_model": pl.String,
    "library": pl.String,
    "license": pl.String,
    "win_rate": pl.Float64,
    "standard_error": pl.Float64,
    "n": pl.Int64,
    "card": pl.String,
}


def model_cards_path(workspace: Workspace) -> Path:
    """Folder of the cards, `<model>/README.md` in it."""
    return workspace.home / "exports" / MODEL_CARDS / workspace.recipe.name


def write_model_cards(workspace: Workspace) -> Manifest:
    """A card for each of M_0 … M_T: its training's own, its win rate, and what it learnt from.

    Columns: `MODEL_CARDS_SCHEMA`; `card` is the text, `path` below `model_cards_path`. Raises
    NotMaterializedError without the models.
    """
    recipe = workspace.recipe
    models = [
        workspace.models.manifest(model_name(t)) for t in range(recipe.curation.iterations + 1)
    ]
    rates = _win_rates(workspace)
    measured = [m.name for m in models if rates and _is_of(workspace, rates, m)]
    hub = recipe.exports.hub
    pushed = [hub.repository] if hub and "curated_set" in hub.what else []
    origin = workspace.origin(
        MODEL_CARDS,
        inputs=[*models, *([rates] if rates else [])],
        settings={
            "languages": list(recipe.corpus.languages),
            "data_sets": pushed,
            "measured": measured,
        },
    )
    root = model_cards_path(workspace)
    unchanged = workspace.unchanged_dataset(origin)
    if unchanged is not None and _is_written(root, workspace.datasets.read(MODEL_CARDS)):
        return unchanged
    rows = [_row(workspace, m, rates if m.name in measured else None, pushed) for m in models]
    with replaced_directory(root) as folder:
        for row in rows:
            (folder / row["model"]).mkdir()
            (folder / row["path"]).write_text(row["card"], encoding="utf-8")
    table = pl.DataFrame(rows, schema=MODEL_CARDS_SCHEMA)
    return workspace.write_dataset(origin, table, MODEL_CARDS_SCHEMA)


def _is_written(root: Path, table: pl.DataFrame) -> bool:
    """Whether every card lies in the folder as the table has it."""
    return all(
        (root / path).is_file() and (root / path).read_bytes() == card.encode()
        for path, card in table.select("path", "card").iter_rows()
    )


def _row(
    workspace: Workspace, model: Manifest, rates: Manifest | None, pushed: list[str]
) -> dict[str, Any]:
    from huggingface_hub import ModelCard

    from humpback_pipeline.evaluation.model_card import ModelEvaluation, evaluated_card

    found: Mapping[str, Any] | None = None
    if rates is not None:
        by_model = {row["model"]: row for row in rates.facts["win_rates"]}
        found = by_model.get(model.name)
    written = workspace.models.path(model.name) / CARD
    card = evaluated_card(
        written.read_text(encoding="utf-8"),
        ModelEvaluation(
            model=f"{workspace.recipe.name}-{model.name}",
            languages=workspace.recipe.corpus.languages,
            prompts=workspace.recipe.evaluation.prompts.stem,
            judge=_public_judge(str(rates.facts["judge"])) if rates else "",
            win_rate=found,
            learnt_from=_learnt_from(model),
            data_sets=pushed,
        ),
    )
    data: Any = ModelCard(card).data
    return {
        "model": model.name,
        "path": f"{model.name}/{CARD}",
        "base_model": data.base_model,
        "library": data.library_name,
        "license": data.license,
        "win_rate": found["rate"] if found else None,
        "standard_error": found["standard_error"] if found else None,
        "n": found["n"] if found else None,
        "card": card,
    }


def _learnt_from(model: Manifest) -> list[tuple[str, int, str]]:
    hashes = {**model.provenance.datasets, **model.inputs}
    return [
        (name, int(n), hashes.get(name, "")) for name, n in model.facts.get("mixture", {}).items()
    ]


def _public_judge(identity: str) -> str:
    """The judge for others: without the folder or the address at which it is found from here."""
    from humpback_pipeline.evaluation.dataset_card import public_name

    return public_name(identity.partition(" at http")[0])


def _is_of(workspace: Workspace, rates: Manifest, model: Manifest) -> bool:
    """Whether the win rates are of these weights, and not of the model of that name before."""
    answers = f"{model.name}_responses"
    judged = rates.inputs.get(answers)
    try:
        responses = workspace.datasets.manifest(answers)
    except NotMaterializedError:
        return judged is None
    if judged is None:
        return True
    return (
        judged == responses.content_hash and responses.inputs.get(model.key) == model.content_hash
    )


def _win_rates(workspace: Workspace) -> Manifest | None:
    try:
        return workspace.datasets.manifest(WIN_RATES)
    except NotMaterializedError:
        return None
