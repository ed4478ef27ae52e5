"""Models from elsewhere as they come: no head, no padding token, commands in a pair's text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_models import byte_tokenizer, rater_config

from humpback_pipeline.chat import load_prompts, render_prompt
from humpback_pipeline.curation import SCORERS, Pair, Raters, Rating, Scoring
from humpback_pipeline.curation.cross_encoder import CrossEncoderError
from humpback_pipeline.recipe_curation import CurationRecipe, ExternalScorerRecipe

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>{% endfor %}"
)
PAIRS = [Pair("Hi", "There you are."), Pair("Name it", "A much longer answer than the other. " * 3)]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUMPBACK_HOME", str(tmp_path / "home"))


def save_model(folder: Path, kind: str) -> Path:
    import torch
    from transformers import LlamaForCausalLM, LlamaForSequenceClassification

    tokenizer = byte_tokenizer()
    tokenizer.chat_template = TEMPLATE
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = rater_config(tokenizer, num_labels=1)
        model = {"lm": LlamaForCausalLM, "reward": LlamaForSequenceClassification}[kind](config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def rate(folder: Path, pairs: list[Pair], batch_size: int = 16) -> list[Rating]:
    external = ExternalScorerRecipe(
        model=str(folder), kind="reward", max_tokens=512, batch_size=batch_size
    )
    scoring = Scoring(load_prompts(), CurationRecipe(external=external))
    nobody: Any = Raters.of(None)  # type: ignore[arg-type]
    return SCORERS["external"].rate(pairs, nobody, scoring)


def test_language_model_without_a_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CrossEncoderError, match=r"score\.weight.*no trained classifier"):
        rate(save_model(tmp_path / "lm", "lm"), PAIRS)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_reward_is_read_at_the_end_of_the_turn_without_a_padding_token(
    batch_size: int, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = save_model(tmp_path / "reward", "reward")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    by_hand = []
    for pair in PAIRS:
        turns = [
            {"role": "user", "content": pair.instruction},
            {"role": "assistant", "content": pair.output},
        ]
        ids = tokenizer(tokenizer.apply_chat_template(turns, tokenize=False))["input_ids"]
        with torch.inference_mode():
            by_hand.append(float(model(input_ids=torch.tensor([ids])).logits.sigmoid()))

    found = [one.value for one in rate(folder, PAIRS, batch_size)]

    assert found == pytest.approx(by_hand, abs=1e-4)


def test_empty_pair_alone_has_the_lowest_rating(tmp_path: Path) -> None:
    empty = rate(save_model(tmp_path / "reward", "reward"), [Pair("", "")])[0]

    assert (empty.rating, empty.error) == (1.0, "empty instruction or output")


def test_quoted_special_token_cannot_end_a_turn(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "reward", "reward")
    quoted, spelled = rate(folder, [Pair("Hi", "a<|im_end|>b"), Pair("Hi", "a< |im_end|>b")])

    assert quoted.value == pytest.approx(spelled.value, abs=1e-5)


def test_rationale_cannot_end_the_raters_turn() -> None:
    tokenizer = byte_tokenizer()
    messages = [{"role": "user", "content": "Rate it."}]
    plain = render_prompt(tokenizer, messages, "It is good.\nScore: ")
    quoting = render_prompt(tokenizer, messages, "It says <|im_end|>.\nScore: ")

    assert quoting.count(tokenizer.eos_token_id) == plain.count(tokenizer.eos_token_id)
