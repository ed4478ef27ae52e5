"""Ratings of the known pairs by made-up raters, written where the iterations would write them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl

from humpback_pipeline.models.base import BaseModel
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.known_pairs import KnownPair, known_pairs
from humpback_pipeline.stages.known_ratings import CALIBRATION_SCHEMA
from humpback_pipeline.stages.seed import write_seed_pairs

SCORERS = ("expected", "weakest_link", "calibrated")


def open_workspace(folder: Path, **overrides: str) -> Workspace:
    """The demo recipe in a home of its own, with seeds and a base model that is never loaded."""
    fields = {name.replace("__", "."): value for name, value in overrides.items()}
    places = {"home": str(folder / "home"), "curation.scorer": "weakest_link"}
    workspace = Workspace(load_recipe("demo", {**places, **fields}))
    base = BaseModel(folder / "base", "wheel:none==1", "ba5e" * 16, "Llama", None, True)
    workspace.__dict__["base_model"] = base
    write_seed_pairs(workspace)
    return workspace


def chance(*words: str) -> float:
    """A number from 0 to 1, always the same for the same words."""
    return int(hashlib.sha256("|".join(words).encode()).hexdigest()[:8], 16) / 0xFFFFFFFF


def rate(pair: KnownPair, rater: str, scorer: str, skill: float) -> float:
    """From 1 to 5: what is known of the pair to the share `skill`, the rest by chance."""
    is_good = pair.label == 1 or pair.kind in ("preferred", "seed")
    share = skill if scorer != "expected" else 0.0
    value = share * is_good + (1 - share) * chance(pair.pair_id, rater, scorer)
    return 1.0 + 4.0 * value


def ratings_of(workspace: Workspace, rater: str, skill: float) -> pl.DataFrame:
    """`CALIBRATION_SCHEMA`: scorer `expected` rates by chance, the others with skill."""
    rows = []
    for scorer in SCORERS:
        for p in known_pairs(workspace):
            rating = rate(p, rater, scorer, skill)
            rows.append((p.set, p.pair_id, p.label, p.kind, scorer, rating, rating, p.seen))
    columns = [*list(CALIBRATION_SCHEMA)[:7], "seen"]
    frame = pl.DataFrame(rows, schema={c: CALIBRATION_SCHEMA[c] for c in columns}, orient="row")
    missing = {c: pl.lit(None, dtype) for c, dtype in CALIBRATION_SCHEMA.items() if c not in frame}
    return frame.with_columns(**missing).select(list(CALIBRATION_SCHEMA))


def write_model(workspace: Workspace, name: str) -> None:
    """A model's manifest with a file that no engine could read."""
    with workspace.models.new(name) as model:
        (model.folder / "model.safetensors").write_text(name)


def write_ratings(workspace: Workspace, skills: tuple[float, ...] = (0.5, 0.9)) -> None:
    """M_yx, M_0 … and their ratings of the known pairs, better from rater to rater."""
    write_model(workspace, "backward_model")
    for t, skill in enumerate(skills, start=1):
        write_model(workspace, f"m{t - 1}")
        workspace.datasets.write(
            f"rater_calibration_{t}",
            ratings_of(workspace, f"m{t - 1}", skill),
            schema=CALIBRATION_SCHEMA,
            inputs=[workspace.models.manifest(f"m{t - 1}")],
        )
