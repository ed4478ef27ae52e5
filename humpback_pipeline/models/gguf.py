"""A quantised GGUF file made into a normal bf16 model directory, once."""

from __future__ import annotations

from pathlib import Path

from humpback_pipeline.models.errors import BaseModelError
from humpback_pipeline.storage import atomic_directory, check_free_space, hash_file

GGUF_MAGIC = b"GGUF"
# Part of the folder's name: raise it when the conversion changes, so that old copies are not used.
CONVERSION_VERSION = 1
# bf16 against the smallest usual quantisation (about 3.5 bits a weight), tokenizer included.
BF16_GROWTH = 5


def convert_gguf(file: Path, cache_dir: Path) -> Path:
    """Directory in `cache_dir` with the weights of `file` in bf16, its tokenizer and its template.

    Kept by the file's content hash. Raises BaseModelError, or OutOfSpaceError.
    """
    from filelock import FileLock

    _check_magic(file)
    folder = cache_dir / "gguf"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{hash_file(file)[:16]}-v{CONVERSION_VERSION}"
    with FileLock(target.with_name(f"{target.name}.lock")):
        if not target.is_dir():
            check_free_space(folder, file.stat().st_size * BF16_GROWTH)
            with atomic_directory(target) as temporary:
                _convert(file, temporary)
    return target


def _check_magic(file: Path) -> None:
    if not file.is_file():
        raise BaseModelError(f"base_model: {file}: no such .gguf file.")
    with file.open("rb") as head:
        if head.read(len(GGUF_MAGIC)) != GGUF_MAGIC:
            raise BaseModelError(
                f"base_model: {file} does not begin with 'GGUF': it is not a GGUF file, or a "
                "pointer to one (git lfs pull?)."
            )


def _convert(file: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    place = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    try:
        # Without dequantize=True the weights stay in GGUF blocks, which cannot be saved or trained.
        model = AutoModelForCausalLM.from_pretrained(
            **place,
            dtype=torch.bfloat16,
            quantization_config=GgufConfig(gguf_file=file.name, dequantize=True),
        )
        tokenizer = AutoTokenizer.from_pretrained(**place)
    except Exception as error:  # transformers and gguf share no error class for a file they refuse
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BaseModelError(
            f"base_model: {file}: transformers cannot convert this GGUF file: {reason} Give a "
            "safetensors directory or hf:NAME of the same model."
        ) from error
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
