"""How far apart the instructions of a set lie from each other in meaning.

A text's vector is the mean of its tokens' static embeddings, those the base model begins with:
nothing is run, a thousand texts take a second. Weights and common component are smooth inverse
frequency's (Arora, Liang, Ma, "A simple but tough-to-beat baseline for sentence embeddings", ICLR
2017), both taken from all sets together, so that the sets of one table can be compared.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tokenizing import token_ids

Vectors = NDArray[np.float32]

_SMOOTHING = 1e-3  # Arora et al.'s a
_MAX_TOKENS = 512  # of a text; what an instruction is about is said by then
_TABLE_NAMES = (
    "embed_tokens.weight",
    "wte.weight",
    "word_embeddings.weight",
    "embed_in.weight",
    "tok_embeddings.weight",
    "embeddings.weight",
)
_Z = 1.959963984540054


class EmbeddingTableError(ValueError):
    """A model directory has no table of token embeddings that could be read."""


@dataclass(frozen=True)
class EmbeddingSpread:
    """How varied the texts of a set are.

    distance: mean cosine distance of two different texts; 0 where all say the same, about 1 where
        they have nothing in common. low, high: its 95 % interval (jackknife of the U-statistic).
    vendi_score: effective number of different texts, 1 … n: exp of the entropy of the eigenvalues
        of the similarity matrix (Friedman and Dieng, "The Vendi Score", TMLR 2023). It grows with
        n: compare sets of like size.
    n: texts with at least one known token. All but n are None below two texts.
    """

    n: int
    distance: float | None = None
    low: float | None = None
    high: float | None = None
    vendi_score: float | None = None


def embedding_spread(vectors: Vectors) -> EmbeddingSpread:
    """Measure the spread of unit vectors, one a row; rows of zeros are left out.

    Time n² · d at most, memory n² for the Vendi score: give it a sample of a few thousand.
    """
    units = np.asarray(vectors, dtype=np.float64)
    units = units[np.linalg.norm(units, axis=1) > 0.5]
    n = len(units)
    if n < 2:
        return EmbeddingSpread(n)
    # The mean similarity of each text to the others, from the sum of all vectors.
    similarities = (units @ units.sum(axis=0) - 1) / (n - 1)
    mean = float(similarities.mean())
    # Two indices: the variance of the mean is four times that of the projections (Hoeffding 1948).
    error = 2 * float(similarities.std(ddof=1)) / math.sqrt(n)
    return EmbeddingSpread(
        n=n,
        distance=1 - mean,
        low=max(0.0, 1 - mean - _Z * error),
        high=min(2.0, 1 - mean + _Z * error),
        vendi_score=_vendi_score(units),
    )


def embed_texts(sets: Mapping[str, Sequence[str]], model: Path) -> dict[str, Vectors]:
    """Return a unit vector for each text of each set; zeros for a text without a known token.

    sets: name → texts. model: directory of a full model: tokenizer.json, or what transformers can
    read, and safetensors. Raises EmbeddingTableError, NoTokenizerError.
    """
    ids = {name: token_ids(texts, model, _MAX_TOKENS) for name, texts in sets.items()}
    every = [tokens for of_set in ids.values() for tokens in of_set if len(tokens)]
    if not every:
        return {name: np.zeros((len(texts), 1), np.float32) for name, texts in sets.items()}
    used, counts = np.unique(np.concatenate(every), return_counts=True)
    table = _rows_of_table(model, used)
    table /= np.linalg.norm(table, axis=1, keepdims=True).clip(1e-9)
    weights = (_SMOOTHING / (_SMOOTHING + counts / counts.sum())).astype(np.float32)
    pooled = {
        name: np.stack([_mean(np.searchsorted(used, tokens), table, weights) for tokens in of_set])
        if of_set
        else np.zeros((0, table.shape[1]), np.float32)
        for name, of_set in ids.items()
    }
    common = _first_direction(np.concatenate(list(pooled.values())))
    return {
        name: _units(vectors - np.outer(vectors @ common, common))
        for name, vectors in pooled.items()
    }


def _mean(rows: NDArray[np.intp], table: Vectors, weights: NDArray[np.float32]) -> Vectors:
    if not len(rows):
        return np.zeros(table.shape[1], np.float32)
    total: Vectors = weights[rows] @ table[rows] / weights[rows].sum()
    return total


def _first_direction(vectors: Vectors) -> Vectors:
    """The direction that texts share most, from d × d numbers however many texts there are."""
    _, directions = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors.astype(np.float64))
    first: Vectors = directions[:, -1].astype(np.float32)
    return first


def _units(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    # What is left of a text that only says what all say is noise, not a direction.
    return np.where(norms > 1e-6, vectors / norms.clip(1e-9), 0.0).astype(np.float32)


def _vendi_score(units: NDArray[np.float64]) -> float:
    n, width = units.shape
    kernel = units @ units.T if n <= width else units.T @ units
    values = np.linalg.eigvalsh(kernel / n)
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def _rows_of_table(model: Path, rows: NDArray[np.int64]) -> Vectors:
    """Those rows of the model's input embeddings, in 32 bits."""
    from safetensors import safe_open

    file, name = _table_place(model)
    with safe_open(file, framework="pt") as tensors:  # NumPy has no bfloat16
        table: Any = tensors.get_tensor(name)
        if table.shape[0] <= rows.max():
            raise EmbeddingTableError(
                f"{file}: {name} has {table.shape[0]} rows, the tokenizer more tokens"
            )
        gathered: Vectors = table[rows].float().numpy()
    return gathered


def _table_place(model: Path) -> tuple[Path, str]:
    from safetensors import safe_open

    index = model / "model.safetensors.index.json"
    if index.is_file():
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = {name: model / file for name, file in places.items()}
    else:
        names = {}
        for path in sorted(model.glob("*.safetensors")):
            with safe_open(path, framework="pt") as tensors:
                names |= dict.fromkeys(tensors.keys(), path)
    for ending in _TABLE_NAMES:
        found = sorted(name for name in names if name.endswith(ending))
        if found:
            return names[found[0]], found[0]
    raise EmbeddingTableError(f"{model}: no table of token embeddings in its safetensors")
