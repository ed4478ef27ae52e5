"""A home with small frames for the selection: pairs, pages, ratings by each rater, labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.iteration import write_curated_set
from humpback_pipeline.stages.iteration_names import calibration_name, scores_name
from humpback_pipeline.storage import Manifest

SHARD = "pages"
TOPICS = (
    "tides", "apples", "taps", "violins", "glaciers", "bread", "foxes", "bridges", "comets", "tea",
)  # fmt: skip
LABELS = (1, 1, 1, 1, 0, 0, 0, 0)


class CuratedHome:
    """Ten pairs s0 … s9 of one shard; eight labelled pairs, of which the first four are good."""

    def __init__(self, folder: Path, fields: Mapping[str, Any] | None = None) -> None:
        self._folder = folder
        self.workspace = self.open(**(fields or {}))
        seeds = {"pair_id": ["seed-1"], "instruction": ["Name a reef."], "output": ["A reef."]}
        self._write("seed_pairs", pl.DataFrame(seeds | {"split": ["train"]}))
        ids = [f"s{n}" for n in range(len(TOPICS))]
        urls = [f"https://host{n % 5}.example/{n}" for n in range(len(TOPICS))]
        self._write("clueweb_segments", pl.DataFrame({"segment_id": ids, "url": urls}), SHARD)
        self.write_pairs([f"Ask about {topic}." for topic in TOPICS])

    def open(self, **fields: Any) -> Workspace:
        """The workspace under another recipe; dots as double underscores."""
        dotted = {name.replace("__", "."): str(value) for name, value in fields.items()}
        # Not the demo's fraction beside a rule of the test's own.
        places = {"home": str(self._folder / "home"), "curation.iterations": "4"}
        self.workspace = Workspace(load_recipe("demo", {**places, **dotted}))
        return self.workspace

    def write_pairs(self, instructions: Sequence[str]) -> None:
        """The augmented set: s0, s1 …, with outputs of their own."""
        outputs = [f"{'Long ' * n}text on {topic}." for n, topic in enumerate(TOPICS)]
        ids = [f"s{n}" for n in range(len(instructions))]
        pairs = {"segment_id": ids, "instruction": instructions}
        self._write("augmented_set", pl.DataFrame(pairs | {"output": outputs[: len(ids)]}), SHARD)

    def rate(
        self, iteration: int, ratings: Sequence[float], labelled: Sequence[float] = ()
    ) -> None:
        """Ratings of s0, s1 … and of the labelled pairs by M_{t-1}; some of another scorer too."""
        pairs = self.workspace.datasets.manifest("augmented_set", SHARD)
        ids = [f"s{n}" for n in range(len(ratings))]
        numbers = [float(r) for r in ratings]
        scores = pl.DataFrame({"segment_id": ids, "rating": numbers, "value": numbers})
        self._write(scores_name(iteration), scores, SHARD, [pairs])
        n = len(labelled)
        mine = {
            "set": ["labelled"] * n + ["seed"],
            "pair_id": [f"l{i}" for i in range(n)] + ["seed-1"],
            "label": [*LABELS[:n], None],
            "scorer": [self.workspace.recipe.curation.scorer] * (n + 1),
            "rating": [*(float(r) for r in labelled), 5.0],
        }
        other = {**mine, "scorer": ["another"] * (n + 1), "rating": [1.0] * (n + 1)}
        schema = {"label": pl.Int64, "rating": pl.Float64}
        frames = [pl.DataFrame(rows, schema_overrides=schema) for rows in (mine, other)]
        self._write(calibration_name(iteration), pl.concat(frames))

    def select(self, iteration: int) -> Manifest:
        """Write the curated set of an iteration."""
        return write_curated_set(self.workspace, iteration, [SHARD])

    def kept(self, iteration: int) -> list[str]:
        """The segments in it, in their order."""
        frame = self.workspace.datasets.read(f"curated_set_{iteration}")
        return [str(name) for name in frame["segment_id"]]

    def _write(
        self,
        name: str,
        frame: pl.DataFrame,
        partition: str | None = None,
        inputs: Sequence[Manifest] = (),
    ) -> None:
        self.workspace.datasets.write(
            name, frame, schema=dict(frame.schema), partition=partition, inputs=inputs
        )
