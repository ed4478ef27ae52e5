import dataclasses
import json
from pathlib import Path

import pytest
import torch
from tiny_models import save_tiny_model

from humpback_pipeline.models import (
    adapter_base,
    check_base_model,
    load_causal_lm,
    load_tokenizer,
    resolve_base_model,
    servable_directory,
)
from humpback_pipeline.progress import Progress
from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.storage import OutOfSpaceError
from humpback_pipeline.training import TrainingDivergedError, TrainingExample, train_model
from humpback_pipeline.training.loss import held_out_loss
from humpback_pipeline.training.trainer import Collator

EXAMPLES = [
    TrainingExample(f"e{i}", tuple(range(10, 14 + i)), (*range(60 + 9 * i, 68 + 9 * i), 2))
    for i in range(8)
]


@pytest.mark.parametrize(("method", "steps"), [("lora", 60), ("full", 40)])
def test_loss_falls_when_overfitting_and_what_is_saved_is_what_was_measured(
    method: str, steps: int, tiny_base: Path, settings: TrainingRecipe, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"method": method, "steps": steps, "batch_size": 8})
    told: list[Progress] = []
    base = resolve_base_model(str(tiny_base), tmp_path / "cache")
    result = train_model(
        tiny_base,
        EXAMPLES,
        EXAMPLES,
        settings,
        tmp_path / "model",
        base_identity=base.facts(),
        on_progress=told.append,
        stage="m0",
    )
    assert result.loss_before > 5.0
    assert result.loss_after < 0.5 * result.loss_before
    assert result.held_out_curve[0] == (0, result.loss_before)
    assert result.held_out_curve[-1] == (steps, result.loss_after)
    assert [done for done, _ in result.held_out_curve][1:-1] == [25, 50][: (steps - 1) // 25]
    assert len(result.train_curve) == result.steps == steps
    assert told[-1].done == steps
    assert told[-1].stage == "m0"
    assert "loss" in told[-1].detail
    assert result.n_tokens == steps * sum(example.n_tokens for example in EXAMPLES)
    assert result.n_completion_tokens == steps * sum(len(e.completion_ids) for e in EXAMPLES)

    served = servable_directory(tmp_path / "model", tmp_path / "cache")
    collate = Collator(load_tokenizer(served).pad_token_id)
    again = held_out_loss(load_causal_lm(served, dtype="float32"), EXAMPLES, collate, 4)
    assert again == pytest.approx(result.loss_after, rel=0.05)


def test_model_directory_is_complete(
    tiny_base: Path, settings: TrainingRecipe, tmp_path: Path
) -> None:
    base = resolve_base_model(str(tiny_base), tmp_path / "cache")
    folder = tmp_path / "model"
    folder.mkdir()
    result = train_model(
        tiny_base, EXAMPLES, EXAMPLES[:2], settings, folder, base_identity=base.facts()
    )
    names = {path.name for path in folder.iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"} <= names
    assert {"chat_template.jinja", "training.json", "README.md"} <= names
    assert adapter_base(folder, tmp_path / "cache") == tiny_base
    assert load_tokenizer(folder).chat_template == load_tokenizer(tiny_base).chat_template
    facts = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    assert facts["base"] == base.facts()
    assert facts["recipe"] == settings.model_dump(mode="json")
    assert facts["train_curve"] == [list(point) for point in result.train_curve]
    assert facts["loss_before"] == result.loss_before
    assert facts["hardware"]["cpu_threads"] >= 1
    assert facts["versions"]["trl"]
    assert len(facts["examples_sha256"]) == 64
    assert base.content_hash[:16] in (folder / "README.md").read_text(encoding="utf-8")


def test_full_model_keeps_the_bases_precision_and_dropout(
    settings: TrainingRecipe, tmp_path: Path
) -> None:
    base = save_tiny_model(tmp_path / "base", dtype="bfloat16")
    settings = settings.model_copy(update={"method": "full", "steps": 2, "dropout": 0.3})
    train_model(base, EXAMPLES, [], settings, tmp_path / "model")
    check_base_model(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text(encoding="utf-8"))
    assert config["dtype"] == "bfloat16"
    assert config["attention_dropout"] == 0.0
    before, after = (load_causal_lm(path) for path in (base, tmp_path / "model"))
    assert not torch.equal(before.model.embed_tokens.weight, after.model.embed_tokens.weight)


def test_small_learning_rate_is_not_lost_to_bf16(settings: TrainingRecipe, tmp_path: Path) -> None:
    base = save_tiny_model(tmp_path / "base", dtype="bfloat16")
    rates = {"learning_rate_start": 1e-5, "learning_rate_end": 9e-6, "weight_decay": 0.0}
    settings = settings.model_copy(update={"method": "full", "steps": 30, **rates})
    train_model(base, EXAMPLES, [], settings, tmp_path / "model")
    before, after = (
        load_causal_lm(path).model.layers[0].mlp.up_proj.weight
        for path in (base, tmp_path / "model")
    )
    # There bf16 values lie 1.2e-4 apart: one step of 1e-5 would round to nothing, 30 do not.
    sensitive = (before.abs() > 0.016) & (before.abs() < 0.031)
    assert sensitive.sum() > 50
    assert (before != after)[sensitive].float().mean() > 0.5


def test_same_seed_gives_the_same_training(
    tiny_base: Path, settings: TrainingRecipe, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"dropout": 0.2})
    runs = [
        train_model(tiny_base, EXAMPLES, EXAMPLES, changed, tmp_path / name)
        for name, changed in [
            ("first", settings),
            ("second", settings),
            ("other", settings.model_copy(update={"seed": 1})),
        ]
    ]
    assert runs[0].train_curve == runs[1].train_curve
    assert runs[0].held_out_curve == runs[1].held_out_curve
    assert runs[0].train_curve != runs[2].train_curve
    weights = [
        (tmp_path / n / "adapter_model.safetensors").read_bytes() for n in ("first", "second")
    ]
    assert weights[0] == weights[1]


def test_nan_loss_stops_with_step_and_examples_and_leaves_nothing(
    settings: TrainingRecipe, tmp_path: Path
) -> None:
    base = save_tiny_model(tmp_path / "base", nan=True)
    (tmp_path / "model").mkdir()
    with pytest.raises(TrainingDivergedError, match=r"nan at step 1, examples e\d, e\d") as error:
        train_model(base, EXAMPLES, [], settings, tmp_path / "model")
    assert error.value.step == 1
    assert len(error.value.example_ids) == settings.micro_batch_size
    assert list((tmp_path / "model").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"base", "model"}


def test_nan_of_the_base_is_found_before_training(settings: TrainingRecipe, tmp_path: Path) -> None:
    base = save_tiny_model(tmp_path / "base", nan=True)
    with pytest.raises(TrainingDivergedError, match="held-out loss is nan at step 0"):
        train_model(base, EXAMPLES, EXAMPLES[:1], settings, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_no_examples_is_refused(tiny_base: Path, settings: TrainingRecipe, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no examples to train on"):
        train_model(tiny_base, [], EXAMPLES, settings, tmp_path / "model")


def test_full_folder_is_refused_and_kept(
    tiny_base: Path, settings: TrainingRecipe, tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match="not empty"):
        train_model(tiny_base, EXAMPLES, [], settings, tmp_path)
    assert (tmp_path / "note.txt").read_text(encoding="utf-8") == "mine"


def test_full_disk_stops_before_training(
    tiny_base: Path, settings: TrainingRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("humpback_pipeline.training.sft._needed_bytes", lambda *_: 10**18)
    monkeypatch.setattr("humpback_pipeline.training.sft._load", lambda *_: pytest.fail("loaded"))
    with pytest.raises(OutOfSpaceError):
        train_model(tiny_base, EXAMPLES, [], settings, tmp_path / "model")


def test_repeats_are_uses_and_no_further_examples(
    tiny_base: Path, settings: TrainingRecipe, tmp_path: Path
) -> None:
    cut = dataclasses.replace(EXAMPLES[0], truncated=True)
    examples = [cut, *EXAMPLES[1:], *EXAMPLES[4:], cut, cut]
    settings = settings.model_copy(update={"steps": 2})
    result = train_model(tiny_base, examples, [], settings, tmp_path / "model")
    assert (result.n_examples, result.n_uses, result.n_truncated) == (8, 14, 1)
    assert "| examples | 8 (1 cut at" in (tmp_path / "model" / "README.md").read_text()
