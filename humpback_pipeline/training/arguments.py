"""The recipe in TRL's, PEFT's, accelerate's and DeepSpeed's own terms."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.training import ranks
from humpback_pipeline.training.budget import Schedule

# Module that a setting needs → the extra that installs it.
EXTRAS = {
    "bitsandbytes": "qlora",
    "deepspeed": "deepspeed",
    "mlflow": "mlflow",
    "wandb": "wandb",
}


def check_extras(settings: TrainingRecipe) -> None:
    """Raise ValueError if the recipe asks for a library that is not installed."""
    needed: dict[str, str] = {name: f"training.report_to: {name}" for name in settings.report_to}
    if settings.distributed.strategy == "zero3":
        needed["deepspeed"] = "training.distributed.strategy: zero3"
    if settings.method == "qlora":
        needed["bitsandbytes"] = "training.method: qlora"
    for module, setting in needed.items():
        if importlib.util.find_spec(module) is None:
            raise ValueError(
                f"{setting} needs {module}, which is not installed; "
                f"pip install 'humpback-pipeline[{EXTRAS[module]}]', or change the recipe"
            )


def trainer_arguments(
    settings: TrainingRecipe, schedule: Schedule, scratch_dir: Path, run_name: str
) -> Any:
    """SFTConfig of a training; see `build_trainer` for where it leaves TRL's defaults."""
    import torch
    from trl import SFTConfig

    cuda = torch.cuda.is_available()
    return SFTConfig(
        output_dir=str(scratch_dir),
        run_name=run_name,
        use_cpu=not cuda,
        bf16=not cuda or torch.cuda.is_bf16_supported(),
        max_steps=schedule.steps,
        per_device_train_batch_size=schedule.micro_batch_size,
        gradient_accumulation_steps=schedule.accumulation,
        learning_rate=settings.learning_rate_start,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        gradient_checkpointing=settings.gradient_checkpointing,
        seed=settings.seed,
        data_seed=settings.seed,
        max_length=None,  # examples come already cut
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,  # keeps example_index, to name examples in an error
        dataloader_pin_memory=cuda,
        logging_steps=1,
        logging_nan_inf_filter=False,  # one that is not a number stops the training
        save_strategy="no",  # by callback, when one is due
        eval_strategy="no",
        report_to=list(settings.report_to) or "none",
        disable_tqdm=True,
        **_distribution(settings, cuda),
    )


def sharding(settings: TrainingRecipe) -> Any:
    """transformers' DistributedConfig for a model that each process loads a part of, or None.

    It shards with FSDP2 as it loads, on a CPU as well; through accelerate, each process would hold
    the whole model first, and only GPUs would do. Arithmetic and what is sent around is bf16, the
    parts that are trained stay as they are loaded.
    """
    from transformers.distributed import DistributedConfig

    chosen = settings.distributed
    if chosen.strategy != "fsdp2":
        return None
    return DistributedConfig(
        fsdp_size=ranks.n_processes(),
        fsdp_cpu_offload=chosen.cpu_offload,
        fsdp_mixed_precision=True,
    )


def _distribution(settings: TrainingRecipe, cuda: bool) -> dict[str, Any]:
    chosen = settings.distributed
    if chosen.strategy == "zero3":
        return {"deepspeed": zero3_config(chosen.cpu_offload)}
    if ranks.n_processes() == 1:
        return {}
    return {"ddp_find_unused_parameters": False, **({} if cuda else {"ddp_backend": "gloo"})}


def zero3_config(cpu_offload: bool) -> dict[str, Any]:
    """DeepSpeed's configuration; `auto` is filled in from the trainer's arguments."""
    stage: dict[str, Any] = {"stage": 3, "stage3_gather_16bit_weights_on_model_save": True}
    if cpu_offload:
        place = {"device": "cpu", "pin_memory": True}
        stage |= {"offload_param": place, "offload_optimizer": place}
    return {
        "zero_optimization": stage,
        "bf16": {"enabled": "auto"},
        "gradient_clipping": "auto",
        "gradient_accumulation_steps": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
    }


def quantization(settings: TrainingRecipe) -> Any:
    """transformers' BitsAndBytesConfig of QLoRA (Dettmers et al., 2023), or None.

    NormalFloat of 4 bits, its scales quantized again, arithmetic in bf16.
    """
    import torch
    from transformers import BitsAndBytesConfig

    if settings.method != "qlora":
        return None
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def adapter_config(settings: TrainingRecipe) -> Any:
    """PEFT's LoraConfig, or None for full finetuning."""
    from peft import LoraConfig

    if settings.method == "full":
        return None
    lora = settings.lora
    targets = lora.target_modules
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
    )


@contextmanager
def naming_the_setting() -> Iterator[None]:
    """Say in the recipe's words what PEFT refuses, with a ValueError, in its own."""
    try:
        yield
    except ValueError as error:
        if "lora_dropout" not in str(error):
            raise
        raise ValueError(
            "this model needs training.lora.dropout: 0; PEFT has no dropout for adapters of "
            f"weights outside of layers, as the experts' are in many mixtures ({error})"
        ) from error
