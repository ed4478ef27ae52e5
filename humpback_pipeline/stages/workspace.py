"""The workspace: a recipe with the stores, prompts and models that belong to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from humpback_pipeline.chat import Prompts, load_prompts
from humpback_pipeline.recipe import Recipe
from humpback_pipeline.storage import DatasetStore, ModelStore, Provenance, hash_file
from humpback_pipeline.web.shards import list_shards

if TYPE_CHECKING:
    from humpback_pipeline.generation import Ledger, TextGenerator
    from humpback_pipeline.models import BaseModel
    from humpback_pipeline.seeds import SeedPairs


@dataclass(frozen=True)
class Workspace:
    """Where a recipe's work happens: everything below `recipe.home`."""

    recipe: Recipe

    @cached_property
    def home(self) -> Path:
        """Absolute folder of data, models, ledgers, caches and reports."""
        return self.recipe.home.expanduser().resolve()

    @cached_property
    def datasets(self) -> DatasetStore:
        """Store of all datasets."""
        recipe = self.recipe
        return DatasetStore(self.home, recipe.name, recipe.content_hash(), recipe.keep_versions)

    @cached_property
    def models(self) -> ModelStore:
        """Store of all trained models."""
        recipe = self.recipe
        return ModelStore(self.home, recipe.name, recipe.content_hash(), recipe.keep_versions)

    @cached_property
    def prompts(self) -> Prompts:
        """The recipe's prompts. Raises PromptError."""
        chat = self.recipe.chat
        return load_prompts(chat.tag_seed, chat.tag_web, chat.rubric)

    @property
    def cache_dir(self) -> Path:
        """Folder of what can be made again: converted base models, merged adapters."""
        return self.home / "cache"

    def shards(self) -> dict[str, Path]:
        """Partition key → WARC file. Raises CorpusError."""
        return list_shards(self.recipe.corpus.warc_dir)

    def shard(self, key: str) -> Path:
        """WARC file of one partition. Raises LookupError if it is gone."""
        shards = self.shards()
        if key not in shards:
            raise LookupError(
                f"partition {key!r} has no WARC file in {self.recipe.corpus.warc_dir}; put the "
                f"file back or delete the partition (files there: {', '.join(shards)})"
            )
        return shards[key]

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
    def judge(self) -> BaseModel:
        """The model that judges responses; the base model unless the recipe names another."""
        from humpback_pipeline.models import resolve_base_model

        recipe = self.recipe
        if recipe.evaluation.judge is None:
            return self.base_model
        return resolve_base_model(recipe.evaluation.judge, self.cache_dir, recipe.trust_remote_code)

    def open_generator(self, model: Path) -> TextGenerator:
        """Start the recipe's engine on a model directory; use it in a `with` block."""
        from humpback_pipeline.generation import open_generator

        return open_generator(model, self.recipe.generation, cache_dir=self.cache_dir)

    def ledger(self, name: str, partition: str | None = None) -> Ledger:
        """The ledger of a long inference, kept until the same work is done again."""
        from humpback_pipeline.generation import Ledger

        return Ledger(self.home / "ledgers" / name / f"{partition or 'all'}.jsonl")

    def prompt_sources(self, *names: str) -> Provenance:
        """Provenance of the prompts used, by name."""
        hashes = self.prompts.hashes()
        return Provenance(prompts={name: hashes[name] for name in names})

    def base_model_source(self) -> Provenance:
        """Provenance of the base model."""
        return Provenance(base_models={self.base_model.identity: self.base_model.content_hash})


def file_source(path: Path) -> Provenance:
    """Provenance of a file that is read as it is, such as the evaluation prompts."""
    return Provenance(datasets={f"file/{path.name}": hash_file(path)})
