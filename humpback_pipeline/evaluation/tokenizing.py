"""Texts as token ids, by a model directory's own tokenizer and without loading the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TokenIds = NDArray[np.int64]


class NoTokenizerError(ValueError):
    """A model directory has no tokenizer that could be read."""


def token_ids(texts: Sequence[str], model: Path, max_tokens: int | None = None) -> list[TokenIds]:
    """Token ids of each text, without special tokens; of its first `max_tokens` if given.

    model: directory with tokenizer.json, or with whatever else transformers can read without
    running the model's own code. Raises NoTokenizerError.
    """
    if not texts:
        return []
    file = model / "tokenizer.json"
    if file.is_file():
        encoded = _by_tokenizers(texts, file, max_tokens)
    else:
        encoded = _by_transformers(texts, model, max_tokens)
    return [np.asarray(ids, dtype=np.int64) for ids in encoded]


def _by_tokenizers(texts: Sequence[str], file: Path, max_tokens: int | None) -> list[list[int]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    if max_tokens is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(max_tokens)
    return [e.ids for e in tokenizer.encode_batch(list(texts), add_special_tokens=False)]


def _by_transformers(texts: Sequence[str], model: Path, max_tokens: int | None) -> list[list[int]]:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise NoTokenizerError(f"{model}: no tokenizer that can be read: {error}") from error
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        truncation=max_tokens is not None,
        max_length=max_tokens,
    )
    return [list(ids) for ids in encoded["input_ids"]]
