"""What a model writes before and after its training, and that asking it changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from humpback_pipeline.chat import load_prompts
from humpback_pipeline.models import load_tokenizer
from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.recipe_training import OPERATIONS
from humpback_pipeline.training import (
    TrainingEvent,
    TrainingExample,
    TrainingPair,
    TrainingResult,
    build_examples,
    train_model,
)
from humpback_pipeline.training import samples as samples_module
from humpback_pipeline.training.samples import Samples

EXAMPLES = [
    TrainingExample(f"e{i}", tuple(range(10, 14 + i)), (*range(60 + 9 * i, 68 + 9 * i), 2))
    for i in range(8)
]


class EndedError(Exception):
    """What ends a training in these tests."""


@pytest.fixture
def settings(settings: TrainingRecipe) -> TrainingRecipe:
    """With both kinds of dropout, so that a random number too many would show."""
    lora = settings.lora.model_copy(update={"dropout": 0.2})
    return settings.model_copy(update={"dropout": 0.2, "lora": lora, "samples": 3})


def test_samples_change_neither_curves_nor_weights(
    tiny_base: Path, settings: TrainingRecipe, tmp_path: Path
) -> None:
    runs = {
        n: train_model(
            tiny_base,
            EXAMPLES,
            EXAMPLES[:4],
            settings.model_copy(update={"samples": n}),
            tmp_path / str(n),
        )
        for n in (0, 3)
    }
    assert runs[0].samples == []
    assert len(runs[3].samples) == 3
    assert runs[0].train_curve == runs[3].train_curve
    assert runs[0].held_out_curve == runs[3].held_out_curve
    weights = [(tmp_path / str(n) / "adapter_model.safetensors").read_bytes() for n in runs]
    assert weights[0] == weights[1]
    assert "samples" in OPERATIONS


def test_texts_are_the_models_own_before_and_after(
    tiny_base: Path, settings: TrainingRecipe, tmp_path: Path
) -> None:
    settings = settings.model_copy(
        update={"method": "full", "steps": 60, "batch_size": 8, "dropout": 0.0}
    )
    result = train_model(tiny_base, EXAMPLES, EXAMPLES, settings, tmp_path / "model")
    tokenizer = load_tokenizer(tiny_base)
    for example, sample in zip(EXAMPLES, result.samples, strict=False):
        assert sample["prompt"] == tokenizer.decode(list(example.prompt_ids)).strip()
        expected = tokenizer.decode(list(example.completion_ids), skip_special_tokens=True)
        assert sample["expected"] == expected.strip()
        assert sample["before"] != sample["after"]
    # It has learnt them by heart, end of turn included.
    assert any(sample["after"] == sample["expected"] for sample in result.samples)


def test_texts_of_before_survive_a_kill(
    tiny_base: Path, settings: TrainingRecipe, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"checkpoint_every_steps": 2})

    def run(name: str, end_at: int, checkpoints: Path) -> TrainingResult:
        def listen(event: TrainingEvent) -> None:
            if event.kind == "step" and event.step == end_at:
                raise EndedError

        return train_model(
            tiny_base,
            EXAMPLES,
            EXAMPLES[:3],
            settings,
            tmp_path / name,
            on_event=listen,
            checkpoint_dir=checkpoints,
        )

    whole = run("whole", -1, tmp_path / "one")
    with pytest.raises(EndedError):
        run("ended", 4, tmp_path / "two")
    resumed = run("ended", -1, tmp_path / "two")
    assert resumed.resumed_at == [2]
    assert resumed.samples == whole.samples
    assert all(sample["before"] for sample in resumed.samples)


def test_texts_are_short_few_and_bounded_in_time(
    tiny_base: Path,
    settings: TrainingRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(samples_module, "MAX_CHARS", 12)
    monkeypatch.setattr(samples_module, "MAX_PROMPT_TOKENS", 8)
    wanted = settings.model_copy(update={"samples": 16, "steps": 1})
    result = train_model(tiny_base, EXAMPLES, EXAMPLES, wanted, tmp_path / "model")
    assert len(result.samples) == sum(len(example.prompt_ids) <= 8 for example in EXAMPLES)
    texts = [text for sample in result.samples for text in sample.values()]
    assert max(map(len, texts)) <= 12
    assert any(text.endswith("…") for text in texts)
    monkeypatch.setattr(samples_module, "MAX_S", 0.0)
    late = train_model(tiny_base, EXAMPLES, EXAMPLES, wanted, tmp_path / "late")
    assert late.samples == []


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_prompts_are_shown_without_the_words_they_share(
    direction: str, tiny_base: Path, settings: TrainingRecipe
) -> None:
    tokenizer = load_tokenizer(tiny_base)
    texts = [("Why salt?", "Rivers.\nThey carry it."), ("Why blue?", "Water."), ("How?", "So.")]
    pairs = [TrainingPair(str(n), *pair) for n, pair in enumerate(texts)]
    examples = build_examples(pairs, load_prompts(), tokenizer, direction, 1_000).examples
    samples = Samples(examples, 2, tokenizer, 1_000)
    samples.before, samples.after = ["one"], ["two", "three"]
    prompt, expected = (0, 1) if direction == "forward" else (1, 0)
    assert samples.facts() == [
        {
            "prompt": texts[n][prompt],
            "expected": texts[n][expected],
            "before": before,
            "after": after,
        }
        for n, (before, after) in enumerate([("one", "two"), ("", "three")])
    ]
