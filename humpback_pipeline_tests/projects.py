"""A small real project for tests: a tiny model that trains, a few pages, a recipe, a home."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from tiny_models import save_trainable_model
from warcio.archiveiterator import ArchiveIterator

from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.recipe_section import PACKAGE_DIR
from humpback_pipeline.stages import Workspace

ROOT = PACKAGE_DIR.parent
EXAMPLES = PACKAGE_DIR / "examples"
WEB, CLUEWEB22 = "web-00000.warc.gz", "clueweb22-en0000-00.warc.gz"
# File name → (bundled WARC file, first page, number of pages): two or three segments a page.
SMALL_SHARDS = {
    "garden.warc.gz": (WEB, 0, 2),
    "repairs.warc.gz": (WEB, 7, 2),
    "soils.warc.gz": (CLUEWEB22, 0, 2),
}
N_LABELLED = 16


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def cut_warc(target: Path, bundled: str, first_page: int, n_pages: int) -> None:
    """Copy the records of some pages of a bundled WARC file, byte for byte."""
    source = EXAMPLES / "warc" / bundled
    content, kept, page = source.read_bytes(), b"", -1
    with source.open("rb") as stream:
        records = ArchiveIterator(stream, no_record_parse=True)
        for record in records:
            page += record.rec_type == "response"
            # A request stands before its response.
            number = page + (record.rec_type == "request")
            start, length = records.get_record_offset(), records.get_record_length()
            if record.rec_type == "warcinfo" or first_page <= number < first_page + n_pages:
                kept += content[start : start + length]
    # Whole under its name, so that a sensor never sees a part.
    partial = target.with_suffix(".partial")
    partial.write_bytes(kept)
    partial.replace(target)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The records of a JSONL file, to be changed and written back."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_jsonl(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write records in one go, as an editor that saves a file does."""
    partial = path.with_suffix(".partial")
    partial.write_text("".join(json.dumps(record) + "\n" for record in records))
    partial.replace(path)


def nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`."""
    tree: dict[str, Any] = {}
    for field, value in fields.items():
        *sections, name = field.split(".")
        section = tree
        for part in sections:
            section = section.setdefault(part, {})
        section[name] = value
    return tree


def merged(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`tree` with `changes` written over it, section by section."""
    result = dict(tree)
    for name, value in changes.items():
        old = result.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[name] = merged(old, value) if both else value
    return result


def tiny_recipe(folder: Path) -> dict[str, Any]:
    """A recipe whose whole graph takes well under a minute on two cores; nothing starts itself."""
    return {
        "name": "tiny",
        "base_model": str(folder / "model"),
        "seed": {"path": str(folder / "seeds.jsonl")},
        "corpus": {"warc_dir": str(folder / "warc"), "sample_segments": 12},
        "generation": {
            "engine": "transformers",
            "chunk_size": 4,
            "vllm": {"max_model_tokens": 4096},
        },
        "augmentation": {"sampling": {"max_new_tokens": 64}},
        "curation": {"iterations": 1, "scorer": "expected", "selection": {"top_fraction": 0.5}},
        "checks": {"min_curated_pairs": 1},
        # Enough, on a model this small, to learn that instructions end.
        "training": {
            "method": "full",
            "steps": 15,
            "batch_size": 4,
            "learning_rate_start": 1e-2,
            "learning_rate_end": 9e-3,
            "dropout": 0.0,
            "own_process": False,
            "samples": 0,
        },
        "evaluation": {
            "prompts": "bundled:evaluation_prompts.jsonl",
            "labelled_pairs": str(folder / "labelled_pairs.jsonl"),
            "max_prompts": 3,
            "sampling": {"max_new_tokens": 12},
        },
        "automation": {
            "seed_sensor": False,
            "shard_sensor": False,
            "look_every_s": 2,
            "settle_s": 1,
        },
    }


@dataclass
class Project:
    """A recipe, data, a home and a Dagster instance of their own, all below `folder`."""

    folder: Path

    @property
    def recipe(self) -> Path:
        return self.folder / "tiny.yaml"

    @property
    def seeds(self) -> Path:
        return self.folder / "seeds.jsonl"

    @property
    def warc_dir(self) -> Path:
        return self.folder / "warc"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def dagster_home(self) -> Path:
        return self.folder / "dagster"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: v for name, v in os.environ.items() if not name.startswith("HUMPBACK_")}
        return {
            **kept,
            "HUMPBACK_RECIPE": str(self.recipe),
            "HUMPBACK_HOME": str(self.home),
            "DAGSTER_HOME": str(self.dagster_home),
            "OMP_WAIT_POLICY": "PASSIVE",
        }

    def change_recipe(self, **fields: Any) -> None:
        """Write `fields` (dots as double underscores) over the recipe's."""
        old = yaml.safe_load(self.recipe.read_text())
        dotted = {name.replace("__", "."): value for name, value in fields.items()}
        self.recipe.write_text(yaml.safe_dump(merged(old, nested(dotted))))

    def command(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`python -m humpback_pipeline …` to its end, in the project's environment or another."""
        return subprocess.run(
            [sys.executable, "-m", "humpback_pipeline", *arguments],
            cwd=ROOT,
            env=self.environment if environment is None else environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    def workspace(self) -> Workspace:
        recipe = load_recipe(self.recipe)
        return Workspace(recipe.model_copy(update={"home": self.home}))

    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(self.dagster_home))


def make_project(
    folder: Path,
    *,
    shards: Mapping[str, tuple[str, int, int]] = SMALL_SHARDS,
    recipe: Mapping[str, Any] | None = None,
    instance: Mapping[str, Any] | None = None,
    n_pairs: int = 16,
    model: Path | None = None,
) -> Project:
    """Write a project into `folder`.

    `recipe` and `instance` are dotted fields over `tiny_recipe` and the repository's dagster.yaml;
    `shards` names the WARC files as `SMALL_SHARDS` does; `model` is a saved tiny model to copy.
    """
    project = Project(folder)
    project.dagster_home.mkdir(parents=True)
    settings = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    text = yaml.safe_dump(merged(settings, nested(instance or {})))
    (project.dagster_home / "dagster.yaml").write_text(text)
    if model is None:
        save_trainable_model(folder / "model")
    else:
        shutil.copytree(model, folder / "model")
    write_jsonl(project.seeds, read_jsonl(EXAMPLES / "seed_pairs.jsonl")[:n_pairs])
    labelled = read_jsonl(EXAMPLES / "labelled_pairs.jsonl")
    write_jsonl(folder / "labelled_pairs.jsonl", labelled[:N_LABELLED])
    project.warc_dir.mkdir()
    for name, (bundled, first_page, n_pages) in shards.items():
        cut_warc(project.warc_dir / name, bundled, first_page, n_pages)
    text = yaml.safe_dump(merged(tiny_recipe(folder), nested(recipe or {})))
    project.recipe.write_text(text)
    return project
