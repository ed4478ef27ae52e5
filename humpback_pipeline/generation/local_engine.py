"""Opens the engine that runs on this machine, so that the work outlives its death."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from humpback_pipeline.generation.restarting import RestartingGenerator
from humpback_pipeline.recipe import GenerationRecipe

if TYPE_CHECKING:
    from humpback_pipeline.generation.devices import EngineSlot
    from humpback_pipeline.generation.engine import TextGenerator


def open_local_engine(
    folder: Path,
    settings: GenerationRecipe,
    *,
    cache_dir: Path | None,
    devices: EngineSlot | None,
) -> RestartingGenerator:
    """vLLM or transformers on the model or adapter in `folder`; see `open_generator`."""

    def open_engine(settings: GenerationRecipe, batch_fraction: float) -> TextGenerator:
        if settings.engine == "vllm":
            from humpback_pipeline.generation.vllm_engine import VllmGenerator

            return VllmGenerator(
                folder,
                settings,
                cache_dir=cache_dir,
                devices=devices,
                batch_fraction=batch_fraction,
            )
        if devices is not None and not devices.alone:
            from humpback_pipeline.generation.transformers_process import TransformersProcess

            return TransformersProcess(
                folder,
                settings,
                cache_dir=cache_dir,
                devices=devices,
                batch_fraction=batch_fraction,
            )
        from humpback_pipeline.generation.transformers_engine import TransformersGenerator

        return TransformersGenerator(
            folder, settings, cache_dir=cache_dir, batch_fraction=batch_fraction
        )

    def given_up() -> bool:
        return devices is not None and devices.ended

    return RestartingGenerator(open_engine, settings, given_up)
