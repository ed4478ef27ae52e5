"""What the Trainer really computes on: its batches, labels, loss and learning rate."""

from pathlib import Path

import pytest
import torch

from humpback_pipeline.models import load_causal_lm, load_tokenizer
from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.training import TrainingExample, learning_rate_at, plan
from humpback_pipeline.training.loss import completion_nll, held_out_loss
from humpback_pipeline.training.trainer import Collator, build_trainer

EXAMPLES = [
    TrainingExample(f"e{i}", tuple(range(10, 14 + i)), tuple(range(40 + i, 47 + 2 * i)))
    for i in range(6)
]


def _trainer(base: Path, settings: TrainingRecipe, tmp_path: Path):
    schedule = plan(settings, len(EXAMPLES))
    model = load_causal_lm(base, dtype="float32", dropout=settings.dropout)
    return build_trainer(model, load_tokenizer(base), EXAMPLES, settings, schedule, tmp_path)


def test_only_completion_tokens_have_labels_in_every_batch(
    tiny_base: Path, settings: TrainingRecipe, tmp_path: Path
) -> None:
    trainer = _trainer(tiny_base, settings, tmp_path)
    seen = []
    for batch in trainer.get_train_dataloader():
        assert "attention_mask" not in batch  # packed: nothing is padded
        ends = batch["cu_seq_lens_q"].tolist()
        assert ends[-1] == batch["input_ids"].numel()
        for row, index in enumerate(batch["example_index"].tolist()):
            example, own = EXAMPLES[index], slice(ends[row], ends[row + 1])
            n_prompt = len(example.prompt_ids)
            labels = batch["labels"][0, own].tolist()
            assert batch["input_ids"][0, own].tolist() == example.input_ids
            assert batch["position_ids"][0, own].tolist() == list(range(example.n_tokens))
            assert labels == [-100] * n_prompt + list(example.completion_ids)
            seen.append(index)
    assert len(seen) == settings.batch_size * settings.steps
    assert set(seen) == set(range(len(EXAMPLES)))


def test_learning_rate_of_every_step_is_the_papers_line(
    tiny_base: Path, settings: TrainingRecipe, tmp_path: Path
) -> None:
    trainer = _trainer(tiny_base, settings, tmp_path)
    trainer.train()
    expected = [learning_rate_at(step, settings.steps, 2e-2, 1e-2) for step in range(6)]
    assert [step for step, _, _ in trainer.step_log.curve] == list(range(6))
    assert [rate for _, _, rate in trainer.step_log.curve] == pytest.approx(expected, rel=1e-9)


def test_loss_is_the_same_as_trls_own(
    tiny_base: Path, settings: TrainingRecipe, tmp_path: Path
) -> None:
    trainer = _trainer(tiny_base, settings, tmp_path)
    batch = next(iter(trainer.get_train_dataloader()))
    n_labels = int((batch["labels"] != -100).sum())
    ours = trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=n_labels)
    batch.pop("example_index")
    parent = super(type(trainer), trainer)
    theirs = parent.compute_loss(trainer.model, dict(batch), num_items_in_batch=n_labels)
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)


def test_loss_is_the_mean_over_completion_tokens_of_plain_cross_entropy(tiny_base: Path) -> None:
    model = load_causal_lm(tiny_base, dtype="float32")
    nats = 0.0
    for example in EXAMPLES:
        with torch.no_grad():
            logits = model(torch.tensor([example.input_ids])).logits[0].log_softmax(-1)
        start = len(example.prompt_ids)
        for position, token in enumerate(example.completion_ids, start):
            nats -= float(logits[position - 1, token])
    mean = nats / sum(len(example.completion_ids) for example in EXAMPLES)
    # held_out_loss computes in bf16, as training does.
    measured = held_out_loss(model, EXAMPLES, Collator(0), micro_batch_size=4)
    assert measured == pytest.approx(mean, rel=2e-3)
    rows = [{"input_ids": e.input_ids, "labels": e.labels} for e in EXAMPLES]
    with torch.no_grad():
        assert float(completion_nll(model, Collator(0)(rows))) == pytest.approx(nats, rel=1e-5)


def test_micro_batches_do_not_change_the_training(
    tiny_base: Path, settings: TrainingRecipe, tmp_path: Path
) -> None:
    curves = []
    for size in (1, 4):
        changed = settings.model_copy(update={"micro_batch_size": size})
        trainer = _trainer(tiny_base, changed, tmp_path)
        assert trainer.args.gradient_accumulation_steps == 4 // size
        trainer.train()
        curves.append([loss for _, loss, _ in trainer.step_log.curve])
    assert curves[0] == pytest.approx(curves[1], rel=5e-3)


def test_nothing_is_reported_to_anyone(
    tiny_base: Path, settings: TrainingRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import trl.trainer.base_trainer as trl_base

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(trl_base, "send_telemetry", lambda *_, **__: pytest.fail("reported"))
    trainer = _trainer(tiny_base, settings, tmp_path)
    names = [type(callback).__name__ for callback in trainer.callback_handler.callbacks]
    assert not [name for name in names if name.endswith(("WandbCallback", "TensorBoardCallback"))]
