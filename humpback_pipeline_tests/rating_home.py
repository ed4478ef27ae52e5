"""A home where real tiny models rate a few pairs, and a record of what their engines are asked."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from tiny_models import save_trainable_model

from humpback_pipeline.generation.streaming import MappedFeed
from humpback_pipeline.generation.transformers_engine import TransformersGenerator
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.recipe_section import PACKAGE_DIR
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.augmentation import AUGMENTED_SCHEMA
from humpback_pipeline.stages.seed import write_seed_pairs
from humpback_pipeline.storage import Manifest

EXAMPLES = PACKAGE_DIR / "examples"
BACKWARD = "backward_model"
MODELS = ("m0", "m1", BACKWARD)
WEIGHTS = "model.safetensors"
SEEDS, LABELLED, RUBRIC = "seeds.jsonl", "labelled.jsonl", "rubric.txt"
N_SEEDS, N_LABELLED = 24, 8
# Enough to tell texts apart, and short enough to be read by the hundred.
MAX_CHARS = 160


def save_models(folder: Path) -> Path:
    """`MODELS` and `other`: tiny, each of its own weights, wide enough for uneven odds."""
    import torch
    from safetensors.torch import load_file, save_file

    first = save_trainable_model(folder / "first")
    tensors = load_file(first / WEIGHTS)
    for seed, name in enumerate((*MODELS, "other")):
        shutil.copytree(first, folder / name)
        made = torch.Generator().manual_seed(seed)
        weights = {
            name: old
            if old.dim() < 2  # a norm
            else (torch.randn(*old.shape, generator=made) * 0.2).to(old.dtype)
            for name, old in tensors.items()
        }
        save_file(weights, folder / name / WEIGHTS, metadata={"format": "pt"})
    return folder


def examples(name: str, n: int) -> list[dict[str, Any]]:
    """The first `n` bundled records of a file, their outputs shortened."""
    lines = (EXAMPLES / name).read_text(encoding="utf-8").splitlines()[:n]
    rows = [json.loads(line) for line in lines]
    return [{**row, "output": row["output"][:MAX_CHARS]} for row in rows]


@dataclass(frozen=True)
class RatingHome:
    """Seeds, labelled pairs, a short rubric and a home, all in `folder`."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, models: Path, n_labelled: int = N_LABELLED) -> RatingHome:
        """With seed pairs and the saved `models` M_0, M_1 and M_yx; nothing is rated yet."""
        home = cls(folder)
        home.write(SEEDS, examples("seed_pairs.jsonl", N_SEEDS))
        home.write(LABELLED, examples("labelled_pairs.jsonl", n_labelled))
        (folder / RUBRIC).write_text("Rate 1 to 5.\nAsked: {instruction}\nSaid: {output}\n")
        write_seed_pairs(home.open())
        for name in MODELS:
            home.write_model(name, models / name)
        return home

    def copied(self, folder: Path) -> RatingHome:
        """All of it once more."""
        shutil.copytree(self.folder, folder)
        return RatingHome(folder)

    def open(self, **fields: Any) -> Workspace:
        """The workspace under a recipe with these fields; dots as double underscores."""
        given = {
            "home": self.folder / "home",
            "seed.path": self.folder / SEEDS,
            "chat.rubric": self.folder / RUBRIC,
            "generation.engine": "transformers",
            "generation.chunk_size": 4,
            # Alone in its batch an answer is the same to the last bit, whatever is beside it.
            "generation.vllm.max_concurrent_sequences": 1,
            "evaluation.labelled_pairs": self.folder / LABELLED,
            "evaluation.hard_pairs": "null",
            "evaluation.scorers": "[expected, combined]",
            "curation.iterations": 3,
            **{name.replace("__", "."): value for name, value in fields.items()},
        }
        return Workspace(load_recipe("demo", {name: str(value) for name, value in given.items()}))

    def write(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        """A JSONL file of the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    def write_model(self, name: str, source: Path) -> Manifest:
        """A version of a model with the files in `source`."""
        with self.open().models.new(name) as model:
            shutil.copytree(source, model.folder, dirs_exist_ok=True)
        assert model.manifest is not None
        return model.manifest

    def write_pairs(self, shard: str, first: int, n: int) -> Manifest:
        """An augmented set of a shard from bundled labelled pairs."""
        rows = examples("labelled_pairs.jsonl", first + n)[first:]
        return self.write_texts(shard, [(row["instruction"], row["output"]) for row in rows])

    def write_texts(self, shard: str, texts: Sequence[tuple[str, str]]) -> Manifest:
        """An augmented set of a shard from (instruction, output)."""
        frame = pl.DataFrame(
            {
                "segment_id": [f"{shard}-{i}" for i in range(len(texts))],
                "instruction": [instruction for instruction, _ in texts],
                "output": [output for _, output in texts],
            }
        ).with_columns(
            pl.lit(None, dtype).alias(name)
            for name, dtype in AUGMENTED_SCHEMA.items()
            if name not in ("segment_id", "instruction", "output")
        )
        workspace = self.open()
        return workspace.datasets.write(
            "augmented_set", frame, schema=AUGMENTED_SCHEMA, partition=shard
        )


@dataclass
class EngineLog:
    """Which models were started, and what each was asked: (model, method, request).

    file: gets what was asked as well, line by line, for whoever outlives the asking process.
    """

    started: list[str] = field(default_factory=list)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    file: Path | None = None

    def note(self, model: str, method: str, request: str) -> None:
        """Add a request."""
        self.asked.append((model, method, request))
        if self.file is not None:
            with self.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(self.asked[-1]) + "\n")

    def forget(self) -> None:
        """Begin anew."""
        self.started.clear()
        self.asked.clear()

    def n_asked(self) -> dict[tuple[str, str], int]:
        """Requests by model and method."""
        return dict(Counter((model, method) for model, method, _ in self.asked))


def watch_engines(
    replace: Callable[[type, str, Any], None], log: EngineLog | None = None
) -> EngineLog:
    """Note every start of a transformers engine and every request that it begins.

    `replace(owner, name, value)` puts the watching methods in, as `monkeypatch.setattr` does.
    """
    log = log if log is not None else EngineLog()
    plain_init, plain_stream = TransformersGenerator.__init__, TransformersGenerator.stream
    names: dict[int, str] = {}

    def init(self: TransformersGenerator, folder: Path, *rest: Any, **named: Any) -> None:
        plain_init(self, folder, *rest, **named)
        names[id(self)] = folder.parent.name  # <model>/<version>
        log.started.append(names[id(self)])

    def stream(self: TransformersGenerator, task: Any, feed: Any) -> Any:
        def note(_: int, request: Any) -> Any:
            log.note(names[id(self)], task.method, request.request_id)
            return request

        return plain_stream(self, task, MappedFeed(feed, note))

    replace(TransformersGenerator, "__init__", init)
    replace(TransformersGenerator, "stream", stream)
    return log
