"""PEFT adapters: which base they belong to, and the merged model that any engine can serve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from humpback_pipeline.models.content import content_hash, default_cache_dir
from humpback_pipeline.models.errors import BaseModelError
from humpback_pipeline.storage import atomic_directory, check_free_space

ADAPTER_CONFIG = "adapter_config.json"
TRAINING_FACTS = "training.json"


def adapter_base(model_dir: Path | str, cache_dir: Path | None = None) -> Path | None:
    """Directory of the base that the adapter in `model_dir` belongs to; None for a full model.

    Taken from the adapter's own config or, where that directory is gone, found again from the spec
    in its training.json. Raises BaseModelError if there is no base, or its content has changed.
    """
    folder = Path(model_dir)
    if not (folder / ADAPTER_CONFIG).is_file() or (folder / "config.json").is_file():
        return None
    cache = (cache_dir or default_cache_dir()).absolute()
    recorded = _read_json(folder / TRAINING_FACTS).get("base") or {}
    named = _read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    for place in (recorded.get("path"), named):
        if place and (Path(place) / "config.json").is_file():
            base = Path(place)
            break
    else:
        base = _resolve_again(folder, recorded.get("spec") or named, cache)
    expected = recorded.get("content_hash")
    if expected and content_hash(base, cache) != expected:
        raise BaseModelError(
            f"{folder}: this adapter was trained on a base of content hash {expected[:16]}, but "
            f"{base} has changed since; restore that base or train again."
        )
    return base


def servable_directory(
    model: Path | str, cache_dir: Path | None = None, *, trust_remote_code: bool = False
) -> Path:
    """A directory that transformers and vLLM load as a plain model.

    A full model is itself. An adapter is merged into its base in bf16, once, and kept in
    `cache_dir` by the content of both. Raises BaseModelError, or OutOfSpaceError.
    """
    folder = Path(model).absolute()
    cache = (cache_dir or default_cache_dir()).absolute()
    base = adapter_base(folder, cache)
    if base is None:
        return folder
    from filelock import FileLock

    name = f"{content_hash(folder, cache)[:16]}-{content_hash(base, cache)[:16]}"
    target = cache / "merged" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f"{name}.lock")):
        if not target.is_dir():
            weights = sum(file.stat().st_size for file in base.glob("*.safetensors"))
            check_free_space(target.parent, 2 * weights)
            with atomic_directory(target) as temporary:
                _merge(base, folder, temporary, trust_remote_code)
    return target


def _merge(base: Path, adapter: Path, target: Path, trust_remote_code: bool) -> None:
    import torch
    from peft import PeftModel

    from humpback_pipeline.models.loading import load_causal_lm, load_tokenizer

    # On the CPU, so that merging needs no GPU memory beside an engine's. The sum is taken in
    # float32: rounding base and update apart to bf16 would lose part of a small update.
    model = load_causal_lm(base, dtype="float32", device="cpu", trust_remote_code=trust_remote_code)
    merged = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    merged.to(torch.bfloat16).save_pretrained(target)
    load_tokenizer(adapter, trust_remote_code=trust_remote_code).save_pretrained(target)


def _resolve_again(folder: Path, spec: str | None, cache_dir: Path) -> Path:
    from humpback_pipeline.models.base import resolve_base_model

    if not spec:
        raise BaseModelError(
            f"{folder}/{ADAPTER_CONFIG} names no base model; set base_model_name_or_path there."
        )
    try:
        return resolve_base_model(spec, cache_dir).path
    except BaseModelError as error:
        raise BaseModelError(
            f"{folder}: the base of this adapter is not there any more. {error}"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
