"""A small home with every dataset and model of two iterations, written by the real stores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from humpback_pipeline.storage import DatasetStore, Manifest, ModelStore, Provenance, hash_text

SEEDS = {"pair_id": pl.String, "instruction": pl.String, "output": pl.String, "split": pl.String}
SEGMENTS = {
    "segment_id": pl.String,
    "document_id": pl.String,
    "url": pl.String,
    "header": pl.String,
    "text": pl.String,
}
SELECTION = {
    "segment_id": pl.String,
    "shard": pl.String,
    "kept": pl.Boolean,
    "reason": pl.String,
    "duplicate_of": pl.String,
}
AUGMENTED = {"segment_id": pl.String, "instruction": pl.String, "output": pl.String}
SCORES = {"segment_id": pl.String, "rating": pl.Float64, "p1": pl.Float64}
CURATED = {
    "pair_id": pl.String,
    "segment_id": pl.String,
    "instruction": pl.String,
    "output": pl.String,
    "rating": pl.Float64,
    "url": pl.String,
}
RESPONSES = {"prompt_id": pl.String, "instruction": pl.String, "output": pl.String}
PREFERENCES = {"model": pl.String, "prompt_id": pl.String, "preference": pl.Float64}
BASE = Provenance(base_models={"wheel:base==1": "ba5e" * 16})


def segment_id(shard: str, n: int) -> str:
    return hash_text(f"{shard}/{n}")[:32]


def page_url(shard: str, n: int) -> str:
    return f"https://www.{shard}.example.org/page/{n // 2}"


@dataclass
class SmallHome:
    """Writes the steps of the pipeline one by one; each call makes a new version."""

    home: Path
    keep: int = 3
    keep_days: float | None = None
    recipe: dict[str, Any] = field(default_factory=lambda: {"training": {"steps": 8}})
    n_segments: int = 6

    @property
    def recipe_hash(self) -> str:
        return hash_text(json.dumps(self.recipe, sort_keys=True))[:16]

    @property
    def datasets(self) -> DatasetStore:
        folder = self.home / "recipes"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.recipe_hash}.json").write_text(json.dumps(self.recipe))
        return DatasetStore(self.home, "demo", self.recipe_hash, self.keep, self.keep_days)

    @property
    def models(self) -> ModelStore:
        return ModelStore(self.home, "demo", self.recipe_hash, self.keep, self.keep_days)

    def seeds(self, *names: str, held_out: Sequence[str] = ("s0",)) -> Manifest:
        rows = [
            (f"seed-{hash_text(n)[:16]}", f"Ask {n}?", f"Answer {n}.", _split(n, held_out))
            for n in names
        ]
        return self.datasets.write(
            "seed_pairs",
            pl.DataFrame(rows, schema=SEEDS, orient="row"),
            schema=SEEDS,
            sources=Provenance(seed_files={"seeds.jsonl": hash_text("|".join(names))}),
            facts={"splits": {"train": len(names) - 1, "dev": 1}},
        )

    def segments(self, shard: str, content: str = "as crawled") -> Manifest:
        rows = [
            (
                segment_id(shard, n),
                f"doc-{n // 2}",
                page_url(shard, n),
                f"Header {n}",
                f"{content} {n}",
            )
            for n in range(self.n_segments)
        ]
        return self.datasets.write(
            "clueweb_segments",
            pl.DataFrame(rows, schema=SEGMENTS, orient="row"),
            schema=SEGMENTS,
            partition=shard,
            sources=Provenance(warc_shards={shard: hash_text(shard + content)}),
        )

    def selection(self, *shards: str) -> Manifest:
        """The last segment of each shard is a near duplicate of the first."""
        rows = []
        for shard in shards:
            last = self.n_segments - 1
            for n in range(self.n_segments):
                reason = "near_duplicate" if n == last else ""
                of = segment_id(shard, 0) if n == last else None
                rows.append((segment_id(shard, n), shard, n != last, reason, of))
        return self.datasets.write(
            "corpus_selection",
            pl.DataFrame(rows, schema=SELECTION, orient="row"),
            schema=SELECTION,
            inputs=self.datasets.manifests("clueweb_segments", shards),
        )

    def model(
        self,
        name: str,
        inputs: Sequence[str],
        weights: str = "",
        loss: float = 2.0,
        prompt: str = "tags",
    ) -> Manifest:
        used = [self.datasets.manifest(key) for key in inputs]
        sources = BASE.merged([Provenance(prompts={prompt: hash_text(prompt)})])
        with self.models.new(name, inputs=used, sources=sources, rows=8) as model:
            identity = weights or "".join(m.content_hash for m in used)
            (model.folder / "model.safetensors").write_text(name + identity)
            (model.folder / "training.json").write_text('{"loss": 2.0}')
            (model.folder / "README.md").write_text(f"# {name}")
            model.facts.update(loss_before=3.0, loss_after=loss, train_curve=[[0, 3.0, 1e-4]])
        assert model.manifest is not None
        return model.manifest

    def augmented(self, shard: str, style: str = "") -> Manifest:
        """The segment before the last got no usable instruction."""
        ids = [segment_id(shard, n) for n in range(self.n_segments - 2)]
        rows = [(i, f"{style}What about {i[:4]}?", f"Text of {i[:4]}") for i in ids]
        return self.datasets.write(
            "augmented_set",
            pl.DataFrame(rows, schema=AUGMENTED, orient="row"),
            schema=AUGMENTED,
            partition=shard,
            inputs=[
                self.datasets.manifest("clueweb_segments", shard),
                self.datasets.manifest("corpus_selection"),
                self.models.manifest("backward_model"),
            ],
            sources=Provenance(prompts={"backward": hash_text("backward")}),
            facts={"dropped": {"empty": 1}},
        )

    def scores(self, iteration: int, shard: str, shift: float = 0.0) -> Manifest:
        pairs = self.datasets.read("augmented_set", shard)["segment_id"].to_list()
        rows = [(pair, 2.0 + 0.5 * n + shift, 0.2) for n, pair in enumerate(pairs)]
        rater = f"m{iteration - 1}"
        return self.datasets.write(
            f"curation_scores_{iteration}",
            pl.DataFrame(rows, schema=SCORES, orient="row"),
            schema=SCORES,
            partition=shard,
            inputs=[self.datasets.manifest("augmented_set", shard), self.models.manifest(rater)],
            sources=Provenance(prompts={"rating": hash_text("rating")}),
            facts={"mean_rating": 2.75 + shift},
        )

    def curated(self, iteration: int, shards: Sequence[str], min_rating: float = 3.0) -> Manifest:
        name = f"curated_set_{iteration}"
        frame = (
            self.datasets.scan_partitions(f"curation_scores_{iteration}", shards)
            .join(self.datasets.scan_partitions("augmented_set", shards), on="segment_id")
            .join(
                self.datasets.scan_partitions("clueweb_segments", shards).select(
                    "segment_id", "url"
                ),
                on="segment_id",
            )
            .with_columns(pair_id=pl.format("web-{}", pl.col("segment_id")))
            .select(list(CURATED))
            .sort("segment_id")
            .collect()
        )
        kept = frame.filter(pl.col("rating") >= min_rating)
        scores = self.datasets.manifests(f"curation_scores_{iteration}", shards)
        return self.datasets.write(
            name,
            kept,
            schema=CURATED,
            inputs=[*scores, self.datasets.manifest("seed_pairs")],
            sources=Provenance(datasets={"file/prompts.jsonl": hash_text("prompts")}),
            facts={
                "n_rated": frame.height,
                "dropped": {"low_rating": frame.height - kept.height},
                "lowest_rating_kept": kept["rating"].min(),
            },
        )

    def evaluation(self, rates: Mapping[str, float]) -> Manifest:
        for model in rates:
            self.datasets.write(
                f"{model}_responses",
                pl.DataFrame(
                    [("p1", "Hi?", self.models.manifest(model).content_hash)],
                    RESPONSES,
                    orient="row",
                ),
                schema=RESPONSES,
                inputs=[self.models.manifest(model)],
            )
        return self.datasets.write(
            "win_rates",
            pl.DataFrame(
                [(m, "p1", rate / 100) for m, rate in rates.items()],
                schema=PREFERENCES,
                orient="row",
            ),
            schema=PREFERENCES,
            inputs=[self.datasets.manifest(f"{model}_responses") for model in rates],
            facts={"win_rates": [{"model": m, "rate": r, "n": 16} for m, r in rates.items()]},
        )

    def everything(self, *seeds: str, shards: Sequence[str] = ("a", "b")) -> None:
        """The whole graph of two iterations, in order."""
        self.seeds(*(seeds or ("s0", "s1", "s2")))
        for shard in shards:
            self.segments(shard)
        self.selection(*shards)
        self.model("backward_model", ["seed_pairs"], prompt="backward")
        for shard in shards:
            self.augmented(shard)
        self.after_seeds(shards=shards)

    def after_seeds(self, shards: Sequence[str] = ("a", "b")) -> None:
        """M_0, both iterations and the evaluation, from what is current."""
        self.model("m0", ["seed_pairs"], loss=2.5)
        for t in (1, 2):
            for shard in shards:
                self.scores(t, shard, shift=0.1 * t)
            self.curated(t, shards)
            self.model(f"m{t}", ["seed_pairs", f"curated_set_{t}"], loss=2.5 - 0.25 * t)
        self.evaluation({"m0": 30.0, "m1": 40.0, "m2": 50.0})


def _split(name: str, held_out: Sequence[str]) -> str:
    return "dev" if name in held_out else "train"
