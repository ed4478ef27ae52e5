"""The workspace: a recipe with the stores, prompts and models that belong to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from humpback_pipeline.chat import Prompts, load_prompts
from humpback_pipeline.recipe import Recipe
from humpback_pipeline.stages.code_versions import code_version
from humpback_pipeline.stages.judge import Judge, find_judge, judge_settings, open_judge
from humpback_pipeline.stages.shard_files import ShardFiles
from humpback_pipeline.storage import (
    DatasetStore,
    FileHashes,
    Manifest,
    ModelStore,
    Origin,
    Provenance,
    Versions,
    write_json_atomic,
)
from humpback_pipeline.storage.remote import remote_identity
from humpback_pipeline.storage.versions import read_manifest

if TYPE_CHECKING:
    from humpback_pipeline.generation import EngineSlot, Ledger, TextGenerator
    from humpback_pipeline.models import BaseModel
    from humpback_pipeline.seeds import SeedPairs


# In a home: locked by whoever changes it, one at a time.
RUN_LOCK = "run.lock"


@dataclass(frozen=True)
class Workspace:
    """Where a recipe's work happens: everything below `recipe.home`."""

    recipe: Recipe
    rebuild: bool = False
    """Do the work again even where nothing that shapes it has changed."""

    @cached_property
    def home(self) -> Path:
        """Absolute folder of data, models, ledgers, caches and reports."""
        return self.recipe.home.expanduser().resolve()

    @cached_property
    def datasets(self) -> DatasetStore:
        """Store of all datasets."""
        return DatasetStore(self.home, *self._store_settings())

    @cached_property
    def models(self) -> ModelStore:
        """Store of all trained models."""
        return ModelStore(self.home, *self._store_settings())

    @cached_property
    def prompts(self) -> Prompts:
        """The recipe's prompts. Raises PromptError."""
        chat = self.recipe.chat
        return load_prompts(chat.tag_seed, chat.tag_web, chat.rubric)

    @cached_property
    def _shard_files(self) -> ShardFiles:
        return ShardFiles(self.recipe.corpus.warc_dir)

    @property
    def cache_dir(self) -> Path:
        """Folder of what can be made again: converted base models, merged adapters."""
        return self.home / "cache"

    def shards(self) -> dict[str, Path | str]:
        """Partition key → WARC file, a path or a URL, as they are now. Raises CorpusError."""
        return self._shard_files.list()

    def shard(self, key: str) -> Path | str:
        """WARC file of one partition. Raises LookupError if it is gone, CorpusError."""
        return self._shard_files.get(key)

    def read_seeds(self) -> SeedPairs:
        """The recipe's seed data, validated as the recipe says. Raises SeedDataError."""
        from humpback_pipeline.seeds import read_seed_pairs

        seed = self.recipe.seed
        return read_seed_pairs(
            seed.path,
            on_bad_record=seed.on_bad_record,
            languages=seed.languages,
            max_chars=seed.max_chars,
            dev_fraction=seed.dev_fraction,
        )

    @cached_property
    def base_model(self) -> BaseModel:
        """The base model, fetched or converted on first use. Raises BaseModelError."""
        from humpback_pipeline.models import resolve_base_model

        recipe = self.recipe
        return resolve_base_model(recipe.base_model, self.cache_dir, recipe.trust_remote_code)

    @cached_property
    def judge(self) -> Judge:
        """Who judges answers: the base model unless the recipe names another, or a server."""
        return find_judge(self)

    @contextmanager
    def judge_generator(self) -> Iterator[TextGenerator]:
        """The judge's engine, whose choices can be metered; see `stages.judge.open_judge`."""
        with open_judge(self) as generator:
            yield generator

    def judge_settings(self) -> dict[str, Any]:
        """Settings that shape the judge's verdicts, for an origin."""
        return judge_settings(self)

    def open_generator(self, model: Path, devices: EngineSlot | None = None) -> TextGenerator:
        """Start the recipe's engine on a model directory; use it in a `with` block."""
        from humpback_pipeline.generation import open_generator

        settings = self.recipe.generation
        return open_generator(model, settings, cache_dir=self.cache_dir, devices=devices)

    @contextmanager
    def generator(self, model: Path) -> Iterator[TextGenerator]:
        """One engine on devices that nothing else of ours uses meanwhile; waits for them."""
        with self._slot() as slot, self.open_generator(model, slot) as generator:
            yield generator

    def open_lazily(self, model: Path, devices: EngineSlot | None = None) -> TextGenerator:
        """As `open_generator`, but the engine starts with the first question, perhaps never."""
        from humpback_pipeline.generation import LazyGenerator

        settings = self.recipe.generation
        if settings.engine == "endpoint":  # nothing is started there
            return self.open_generator(model)
        return LazyGenerator(model, settings, cache_dir=self.cache_dir, devices=devices)

    @contextmanager
    def lazy_generator(self, model: Path) -> Iterator[TextGenerator]:
        """As `generator`, but the engine starts with the first question and perhaps never."""
        with self._slot() as slot, self.open_lazily(model, slot) as generator:
            yield generator

    @contextmanager
    def _slot(self) -> Iterator[EngineSlot | None]:
        """Devices that nothing else of ours uses meanwhile; none for an endpoint."""
        from humpback_pipeline.generation import lease_devices

        settings = self.recipe.generation
        if settings.engine == "endpoint":
            yield None
            return
        group = settings.vllm.tensor_parallel_size if settings.engine == "vllm" else 1
        with lease_devices(1, group) as (slot,), slot.in_this_process():
            yield slot

    def ledger(self, name: str, partition: str | None = None) -> Ledger:
        """The ledger of a long inference, kept until the same work is done again."""
        from humpback_pipeline.generation import Ledger

        return Ledger(self.home / "ledgers" / name / f"{partition or 'all'}.jsonl")

    def origin(
        self,
        name: str,
        *,
        inputs: Iterable[Manifest] = (),
        sources: Provenance | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Origin:
        """What the artefact `name` would be made from now; take it before the work begins."""
        return Origin(
            name, tuple(inputs), sources or Provenance(), settings or {}, code_version(name)
        )

    def unchanged_dataset(self, origin: Origin, partition: str | None = None) -> Manifest | None:
        """The dataset already made from this origin, current again; None if there is none."""
        return self._unchanged(self.datasets.versions(origin.name, partition), origin)

    def unchanged_model(self, origin: Origin) -> Manifest | None:
        """The model already made from this origin, current again; None if there is none."""
        return self._unchanged(self.models.versions(origin.name), origin)

    def write_dataset(
        self,
        origin: Origin,
        frames: pl.DataFrame | Iterable[pl.DataFrame],
        schema: Mapping[str, pl.DataType | type[pl.DataType]],
        *,
        partition: str | None = None,
        facts: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None,
    ) -> Manifest:
        """Write a version of the dataset `origin.name`; see `DatasetStore.write`."""
        self.save_recipe()
        return self.datasets.write(
            origin.name,
            frames,
            schema=schema,
            partition=partition,
            inputs=origin.inputs,
            sources=origin.sources,
            fingerprint=origin.fingerprint,
            facts=facts,
        )

    def save_recipe(self) -> None:
        """Keep the recipe under its hash, which every manifest names, for later comparison."""
        path = self.home / "recipes" / f"{self.recipe.content_hash()}.json"
        if not path.is_file():
            write_json_atomic(path, self.recipe.model_dump(mode="json"))

    def generation_settings(self) -> dict[str, Any]:
        """Settings of the engine that shape its answers."""
        generation = self.recipe.generation
        settings: dict[str, Any] = {"engine": generation.engine, "seed": generation.seed}
        if generation.engine != "endpoint":
            settings["max_model_tokens"] = generation.vllm.max_model_tokens
        return settings

    @cached_property
    def file_hashes(self) -> FileHashes:
        """Memory of the content hashes of large files."""
        return FileHashes(self.cache_dir / "file_hashes")

    def warc_hash(self, location: Path | str) -> str:
        """Content hash of a WARC file; read only if the file was touched since the last time.

        A file behind a URL would have to be fetched whole for that: it is known by what its store
        says of it instead (`store:…`, a hash of ETag or checksum, else of size and time). Raises
        OSError for a file that is gone or cannot be reached.
        """
        if isinstance(location, Path):
            return self.file_hashes.hash(location)
        return remote_identity(location)

    def _store_settings(self) -> tuple[str, str, int, float | None]:
        recipe = self.recipe
        return recipe.name, recipe.content_hash(), recipe.keep_versions, recipe.keep_days

    def _unchanged(self, versions: Versions, origin: Origin) -> Manifest | None:
        if self.rebuild:
            return None
        # Newest first, and not only the current one: seed data put back as they were bring their
        # models back with them.
        for folder in reversed(versions.history()):
            manifest = read_manifest(folder)
            whole = all((folder / name).is_file() for name in manifest.files)
            if whole and manifest.fingerprint == origin.fingerprint:
                if versions.current() != folder:
                    versions.publish(folder.name)
                return manifest
        return None

    def prompt_sources(self, *names: str) -> Provenance:
        """Provenance of the prompts used, by name."""
        hashes = self.prompts.hashes()
        return Provenance(prompts={name: hashes[name] for name in names})

    def base_model_source(self) -> Provenance:
        """Provenance of the base model."""
        return Provenance(base_models={self.base_model.identity: self.base_model.content_hash})
