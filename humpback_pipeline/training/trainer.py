"""TRL's SFTTrainer, set up for the paper's recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.training.arguments import (
    adapter_config,
    naming_the_setting,
    trainer_arguments,
)
from humpback_pipeline.training.budget import Schedule, learning_rate_at
from humpback_pipeline.training.counts import count_examples
from humpback_pipeline.training.divergence import LossWatch
from humpback_pipeline.training.dropout import hasten_adapter_dropout
from humpback_pipeline.training.errors import TrainingDivergedError
from humpback_pipeline.training.examples import TrainingExample
from humpback_pipeline.training.loss import completion_nll, keeps_some_logits
from humpback_pipeline.training.order import training_order
from humpback_pipeline.training.packing import use_packing
from humpback_pipeline.training.saved_state import SavedAsSafetensors


@dataclass
class StepLog:
    """What happened so far; written by the trainer, read by its listeners.

    `curve` holds (step counted from 0, mean nats per completion token, learning rate used). `watch`
    judges each loss; it may be replaced, or told of losses, before the training begins.
    """

    watch: LossWatch
    curve: list[tuple[int, float, float]] = field(default_factory=list)
    learning_rate: float = math.nan
    grad_norm: float = math.nan


def build_trainer(
    model: Any,
    tokenizer: Any,
    examples: Sequence[TrainingExample],
    settings: TrainingRecipe,
    schedule: Schedule,
    scratch_dir: Path,
    callbacks: Sequence[Any] = (),
    run_name: str = "training",
) -> Any:
    """SFTTrainer over pre-rendered examples, with a `step_log`. It saves only what a callback asks.

    It differs from TRL's defaults where the paper does (learning-rate line, weight decay, dropout)
    and where they cost time without changing the result: gradient checkpointing, statistics, logits
    of positions without a label, padding.
    """
    import torch
    from datasets import Dataset
    from trl import SFTTrainer

    log = StepLog(LossWatch(settings.divergence))
    lengths = count_examples(examples).n_tokens
    order = list(training_order(lengths, schedule.batch_size, schedule.steps, settings.seed))

    class CompletionTrainer(SavedAsSafetensors, SFTTrainer):
        # The loss below is a sum over a micro-batch divided by the labelled tokens of the whole
        # step, so every token weighs the same however a step is cut into micro-batches.
        loss_is_scaled_for_ga = True

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.model_accepts_loss_kwargs = True  # has the step's labelled tokens counted
            self.step_log = log

        def _send_telemetry(self) -> None:
            """Training reports to nobody."""

        def _get_train_sampler(self, train_dataset: Any = None) -> list[int]:
            return order

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            start, end = settings.learning_rate_start, settings.learning_rate_end

            def factor(step: int) -> float:
                return learning_rate_at(step, schedule.steps, start, end) / start

            chosen = optimizer or self.optimizer
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(chosen, factor)
            return self.lr_scheduler

        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, Any],
            return_outputs: bool = False,
            num_items_in_batch: Any = None,
        ) -> Any:
            ids = [examples[i].example_id for i in inputs.pop("example_index").tolist()]
            # TRL's fused head scores every position in float32 on a CPU, for statistics as well; on
            # a GPU it scores labelled positions only, and saves memory.
            on_cpu = inputs["input_ids"].device.type == "cpu"
            if on_cpu and keeps_some_logits(model) and not self.aux_loss_enabled:
                # The step's tokens are counted over all processes, whose gradients are averaged.
                share = self.accelerator.num_processes / num_items_in_batch
                loss = completion_nll(model, inputs) * share
            else:
                loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            if not torch.isfinite(loss):
                step = self.state.global_step + 1
                raise TrainingDivergedError(f"the loss is {loss.item()}", step, ids)
            return loss

        def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
            # Before the weights are changed by it, or measured with it.
            norm = super()._get_grad_norm(model, grad_norm=grad_norm)
            if norm is not None and not math.isfinite(float(norm)):
                step, what = self.state.global_step + 1, f"the gradient's norm is {float(norm)}"
                raise TrainingDivergedError(what, step, examples_of(step))
            return norm

    def examples_of(step: int) -> list[str]:
        start = (step - 1) * schedule.batch_size
        return [examples[i].example_id for i in order[start : start + schedule.batch_size]]

    packed = use_packing(model, settings.max_tokens)
    collate = ExampleCollator(examples, tokenizer.pad_token_id, packed=packed)
    # Numbers alone: the tokens are read by the collator, when their step comes.
    dataset = Dataset.from_dict({"example_index": np.arange(len(examples))})
    with naming_the_setting():
        trainer = CompletionTrainer(
            model=model,
            args=trainer_arguments(settings, schedule, scratch_dir, run_name),
            train_dataset=dataset,
            processing_class=tokenizer,
            data_collator=collate,
            peft_config=adapter_config(settings),
            callbacks=[_step_listener(log, examples_of), *callbacks],
        )
    hasten_adapter_dropout(trainer.model)
    if settings.method == "qlora":
        _keep_adapters_exact(trainer.model)
    return trainer


def _keep_adapters_exact(model: Any) -> None:
    # TRL makes a quantized model's adapters bf16, where a small step is rounded away.
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


class Collator:
    """TRL's collator: one packed row, or rows padded on the right."""

    def __init__(self, pad_token_id: int, *, packed: bool = False) -> None:
        from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

        self._collate = DataCollatorForLanguageModeling(
            pad_token_id=pad_token_id, padding_free=packed
        )

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Tensors input_ids and labels: [1, all tokens], or [rows, longest] with attention_mask.

        Packed, position_ids and where each example begins are there too.
        """
        batch = dict(self._collate(rows))
        batch.pop("seq_idx", None)  # for layers that a packed model has none of
        return batch


class ExampleCollator:
    """Reads the examples whose numbers it is given, and collates them."""

    def __init__(
        self, examples: Sequence[TrainingExample], pad_token_id: int, *, packed: bool = False
    ) -> None:
        self._examples = examples
        self._collate = Collator(pad_token_id, packed=packed)

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Tensors as of `Collator`, and example_index: [rows]."""
        import torch

        numbers = [int(row["example_index"]) for row in rows]
        chosen = (self._examples[number] for number in numbers)
        batch = self._collate([{"input_ids": e.input_ids, "labels": e.labels} for e in chosen])
        batch["example_index"] = torch.tensor(numbers)
        return batch


def _step_listener(log: StepLog, examples_of: Callable[[int], list[str]]) -> Any:
    """Keeps the log of steps, and stops a training that has diverged.

    `examples_of` names the examples of a step, counted from 1, of all processes.
    """
    from transformers import TrainerCallback

    class StepListener(TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            # Read where it is used: what the Trainer logs is already the next step's rate.
            log.learning_rate = kwargs["optimizer"].param_groups[0]["lr"]

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any
        ) -> None:
            if "loss" not in logs:
                return
            loss, log.grad_norm = float(logs["loss"]), float(logs.get("grad_norm", 0.0))
            if wrong := log.watch.look(loss):
                step = state.global_step
                raise TrainingDivergedError(wrong, step, examples_of(step))
            log.curve.append((state.global_step - 1, loss, log.learning_rate))

    return StepListener()
