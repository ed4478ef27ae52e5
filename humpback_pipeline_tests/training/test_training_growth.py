"""What grows with the data: memory by some bytes an example, work by as much as the tokens do."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from humpback_pipeline.chat import load_prompts, rendering
from humpback_pipeline.models import load_tokenizer
from humpback_pipeline.recipe_mixture import MixtureRecipe
from humpback_pipeline.training import TrainingPair, build_examples, example_files, mix
from humpback_pipeline.training.counts import count_examples, longest_first, n_distinct
from humpback_pipeline.training.example_files import write_examples
from humpback_pipeline.training.examples import hash_examples, rendered_examples
from humpback_pipeline.training.order import training_order
from humpback_pipeline.training.trainer import ExampleCollator
from humpback_pipeline.training.uses import hand_over, taken_over

PROMPTS = load_prompts()
N = 100
TEXT = "The sea is wide and blue. " * 20
# One whole training; prints the most memory it ever had, in bytes.
TRAINING = """
import sys
from pathlib import Path
from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.recipe_mixture import MixtureRecipe
from humpback_pipeline.training import TrainingExample, mix, train_model
from humpback_pipeline.training.example_files import write_examples
from humpback_pipeline.training.result import peak_memory_bytes

base, folder, n = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
def examples(name, n):
    for i in range(n):
        ids = tuple((i * 31 + k * 17) % 300 for k in range(300))
        yield TrainingExample(f"{name}{i}", ids[:200], ids[200:])
parts = [write_examples(examples(*part), folder / part[0]) for part in
         (("seed", 20), ("web", n), ("held_out", 4))]
mixture = mix(*parts[:2], MixtureRecipe(seed_repeats=3))
settings = TrainingRecipe(method="full", steps=3, batch_size=8, samples=0, dropout=0.0)
train_model(base, mixture.examples, parts[2], settings, folder / "model")
print(peak_memory_bytes())
"""


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> Any:
    return load_tokenizer(tiny_base)


def pairs(n: int) -> Iterator[TrainingPair]:
    return (TrainingPair(f"pair-{i}", "What is it?", f"{i} {TEXT}") for i in range(n))


def data_path(n: int, tokenizer: Any, folder: Path) -> int:
    """All that a training does with `n` pairs but its arithmetic; the tokens of all."""
    folder.mkdir()
    rendered = rendered_examples(
        pairs(n), PROMPTS, tokenizer, "forward", 1_000, on_dropped=pytest.fail
    )
    mixture = mix([], write_examples(rendered, folder / "web.arrow"), MixtureRecipe())
    hand_over(mixture.examples, folder, "examples")
    examples = taken_over(folder, "examples")
    assert n_distinct(examples) == n
    hash_examples(examples)
    counts, collate = count_examples(examples), ExampleCollator(examples, 0)
    for number in training_order(counts.n_tokens, 8, n // 8, 0):
        collate([{"example_index": number}])
    for number in longest_first(examples):
        examples[number]
    return int(counts.n_tokens.sum())


def test_memory_of_the_data_grows_by_few_bytes_an_example(
    tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example_files, "BATCH_TOKENS", 4_000)
    data_path(N, tokenizer, tmp_path / "first")  # what is loaded and kept once
    peaks, n_tokens, usual = [], [], pa.default_memory_pool()
    for n in (N, 8 * N):
        of_arrow = pa.proxy_memory_pool(usual)
        pa.set_memory_pool(of_arrow)
        tracemalloc.start()
        try:
            n_tokens.append(data_path(n, tokenizer, tmp_path / str(n)))
            peaks.append(tracemalloc.get_traced_memory()[1] + of_arrow.max_memory())
        finally:
            tracemalloc.stop()
            pa.set_memory_pool(usual)
    assert n_tokens[1] > 7 * n_tokens[0] > 100 * N
    # Of tokens as Python holds them, 36 bytes each, that is next to nothing.
    assert peaks[1] - peaks[0] < 400 * 7 * N < 0.05 * 36 * (n_tokens[1] - n_tokens[0])


@pytest.mark.slow
def test_memory_of_a_training_does_not_grow_with_its_data(tiny_base: Path, tmp_path: Path) -> None:
    peaks = {}
    for n in (2_000, 16_000):
        folder = tmp_path / str(n)
        folder.mkdir()
        command = [sys.executable, "-c", TRAINING, str(tiny_base), str(folder), str(n)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=300)
        peaks[n] = int(done.stdout.split()[-1])
    # Less than the tokens themselves, four bytes each.
    assert peaks[16_000] - peaks[2_000] < 14_000 * 300 * 4


def test_work_of_building_grows_as_the_tokens_do(
    tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, as seconds on a busy machine prove nothing."""
    encode, templated = rendering._encode, rendering._templated
    chars: list[int] = []

    def counted_encode(tokenizer: Any, text: str) -> list[int]:
        chars.append(len(text))
        return encode(tokenizer, text)

    def counted_templated(tokenizer: Any, messages: Any, **options: Any) -> str:
        text = templated(tokenizer, messages, **options)
        chars.append(len(text))
        return text

    monkeypatch.setattr(rendering, "_encode", counted_encode)
    monkeypatch.setattr(rendering, "_templated", counted_templated)
    work = []
    build_examples([TrainingPair("first", "What?", "So.")], PROMPTS, tokenizer, "forward", 1_000)
    for n, longer in ((10, 1), (80, 1), (10, 8)):
        chars.clear()
        some = [TrainingPair(str(i), "What?", TEXT * longer) for i in range(n)]
        built = build_examples(some, PROMPTS, tokenizer, "forward", 10_000)
        work.append(sum(chars) / sum(len(example.completion_ids) for example in built.examples))
    # More pairs: the same work a token. Longer ones: less, as a pair's template is spread further.
    assert work[1] == pytest.approx(work[0], rel=1e-9)
    assert work[2] < work[0]


def test_training_reads_the_examples_of_its_steps_and_no_others(
    tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = rendered_examples(
        pairs(64), PROMPTS, tokenizer, "forward", 1_000, on_dropped=pytest.fail
    )
    stored = write_examples(rendered, tmp_path / "web.arrow")
    read: list[int] = []
    one = example_files._example
    monkeypatch.setattr(
        example_files, "_example", lambda batch, row: read.append(row) or one(batch, row)
    )
    order = list(training_order(count_examples(stored).n_tokens, 4, 6, 0))
    assert read == []
    collate = ExampleCollator(stored, 0)
    for start in range(0, len(order), 4):
        collate([{"example_index": number} for number in order[start : start + 4]])
    assert len(read) == 24
