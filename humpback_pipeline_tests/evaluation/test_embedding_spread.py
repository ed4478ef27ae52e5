"""Spread of instructions in meaning, on made-up vectors and on a real model's table."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_models import save_tiny_model

from humpback_pipeline.evaluation.embedding_spread import (
    EmbeddingTableError,
    embed_texts,
    embedding_spread,
)
from humpback_pipeline.evaluation.tokenizing import NoTokenizerError, token_ids

TEXTS = ["Write a poem about the sea.", "What is the answer?", "The sea is wide and blue."]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("spread") / "model")


def test_spread_is_none_of_copies_and_whole_of_orthogonal_vectors() -> None:
    alike = embedding_spread(np.tile([[1.0, 0.0, 0.0]], (5, 1)))
    assert alike.distance == pytest.approx(0)
    assert alike.vendi_score == pytest.approx(1)
    apart = embedding_spread(np.eye(4))
    assert apart.distance == pytest.approx(1)
    assert apart.vendi_score == pytest.approx(4)


def test_distance_is_the_mean_over_all_pairs() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 8)) + 0.5
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = units @ units.T
    pairs = similarity[np.triu_indices(30, 1)]
    spread = embedding_spread(units)
    assert spread.distance == pytest.approx(1 - pairs.mean())
    assert spread.low < spread.distance < spread.high  # type: ignore[operator]
    # The Vendi score is the same from texts × texts as from dimensions × dimensions.
    values = np.linalg.eigvalsh(similarity / 30)
    values = values[values > 1e-12]
    assert spread.vendi_score == pytest.approx(np.exp(-(values * np.log(values)).sum()))


def test_interval_of_the_distance_covers_that_of_the_population() -> None:
    rng = np.random.default_rng(1)
    population = rng.normal(size=(4_000, 6)) + 0.6
    population /= np.linalg.norm(population, axis=1, keepdims=True)
    true = embedding_spread(population).distance
    covered = 0
    for _ in range(100):
        found = embedding_spread(population[rng.integers(0, 4_000, 60)])
        covered += found.low <= true <= found.high  # type: ignore[operator]
    assert covered >= 88


def test_spread_of_less_than_two_texts_is_unknown() -> None:
    assert embedding_spread(np.zeros((0, 3))).distance is None
    assert embedding_spread(np.array([[1.0, 0.0], [0.0, 0.0]])).n == 1


def test_texts_become_unit_vectors_and_equal_texts_equal_ones(model: Path) -> None:
    embedded = embed_texts({"one": [*TEXTS, TEXTS[0]], "two": [""], "none": []}, model)
    vectors = embedded["one"]
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4))
    assert vectors[0] == pytest.approx(vectors[3])
    assert not np.allclose(vectors[0], vectors[1])
    assert not embedded["two"].any()
    assert embedded["none"].shape[0] == 0
    assert not embed_texts({"one": ["", ""]}, model)["one"].any()


def test_texts_that_share_words_lie_nearer_than_those_that_do_not(model: Path) -> None:
    texts = ["the sea is blue", "the sea is wide", "poem poem"]
    vectors = embed_texts({"set": texts}, model)["set"]
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def test_model_without_tokenizer_or_table_is_told(model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoTokenizerError, match="empty"):
        token_ids(["a"], tmp_path / "empty")
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(model / "tokenizer.json", bare)
    with pytest.raises(EmbeddingTableError, match="no table"):
        embed_texts({"set": ["a sea"]}, bare)


def test_tokens_are_those_of_the_models_tokenizer_cut_where_asked(model: Path) -> None:
    from transformers import AutoTokenizer

    (ids,) = token_ids([TEXTS[0]], model)
    assert ids.tolist() == AutoTokenizer.from_pretrained(model).encode(
        TEXTS[0], add_special_tokens=False
    )
    assert len(token_ids([TEXTS[0]], model, 3)[0]) == 3
