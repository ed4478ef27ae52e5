"""The check that a model just trained is one: it loads from its folder and writes."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import polars as pl

from humpback_pipeline.chat import Prompts, render_prompt
from humpback_pipeline.stages.augmentation import is_backward_model
from humpback_pipeline.stages.checks.memory import PassedCheck
from humpback_pipeline.stages.checks.outcome import CheckOutcome
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest

NAME = "loads_and_generates"
N_NEW_TOKENS = 8
MAX_PROMPT_TOKENS = 512
REMEDY = "Train it again with rebuild: true; if that does not help, look at the base model."


def check_loads_and_generates(workspace: Workspace, manifest: Manifest) -> CheckOutcome:
    """Load this version from its folder and let it write a few tokens greedily for one seed.

    On a GPU where there is one, on several if it needs them. A folder that passed is not loaded
    again as long as none of its files is touched. Raises what running out of memory raises: that is
    no fault of the model's.
    """
    folder = workspace.models.versions(manifest.name).folder / manifest.version
    passed = PassedCheck(workspace, NAME, folder, manifest.content_hash)
    if note := passed.recall():
        return _passed(
            str(note["wrote"]), "Loaded and wrote when it was made, and no file has changed since"
        )
    try:
        text, all_finite = _generate(workspace, folder, _prompt(workspace, manifest.name))
    except Exception as error:  # transformers, peft and safetensors share no error class
        if is_out_of_memory(error):
            raise
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        message = f"It does not load or run: {type(error).__name__}: {reason[:500]} {REMEDY}"
        return CheckOutcome(NAME, False, message, {"folder": str(folder)})
    if not all_finite:
        message = f"It loads, but its logits are no finite numbers. {REMEDY}"
        return CheckOutcome(NAME, False, message, {"folder": str(folder), "wrote": text})
    passed.remember({"wrote": text})
    return _passed(text, "Loaded from its folder and wrote")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, a GPU's or the machine's."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    # torch has no class of its own for the machine's memory.
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "not enough memory" in text
    )


def _passed(text: str, how: str) -> CheckOutcome:
    facts = {"wrote": text, "tokens": N_NEW_TOKENS}
    return CheckOutcome(NAME, True, f"{how}: {text!r}.", facts)


def _prompt(workspace: Workspace, name: str) -> list[dict[str, str]]:
    """What this model is asked: the shortest seed, turned round for the backward model."""
    seeds = workspace.datasets.read(SEED_PAIRS)
    prompts: Prompts = workspace.prompts
    column = "output" if is_backward_model(name) else "instruction"
    text = str(seeds.sort(pl.col(column).str.len_chars(), "pair_id")[column][0])
    if is_backward_model(name):
        return prompts.backward_messages(text)
    return prompts.forward_messages(text, "inference")


def _generate(
    workspace: Workspace, folder: Path, messages: list[dict[str, str]]
) -> tuple[str, bool]:
    """The tokens written, as text, and whether every logit on the way was finite."""
    import torch
    from transformers import GenerationConfig

    from humpback_pipeline.models import load_tokenizer

    # What training left behind would lie beside the copy that is loaded now.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    tokenizer = load_tokenizer(folder, trust_remote_code=workspace.recipe.trust_remote_code)
    model = _load(workspace, folder)
    ids = render_prompt(tokenizer, messages)[-MAX_PROMPT_TOKENS:]
    inputs = torch.tensor([ids], device=model.device)
    with torch.inference_mode():
        result = model.generate(
            input_ids=inputs,
            attention_mask=torch.ones_like(inputs),
            generation_config=GenerationConfig(
                max_new_tokens=N_NEW_TOKENS,
                do_sample=False,
                repetition_penalty=1.0,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
                output_logits=True,
                return_dict_in_generate=True,
            ),
        )
    written = result.sequences[0, inputs.shape[1] :].tolist()
    finite = bool(written) and all(bool(torch.isfinite(step).all()) for step in result.logits)
    del model, result
    gc.collect()
    return str(tokenizer.decode(written, skip_special_tokens=False)), finite


def _load(workspace: Workspace, folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    from humpback_pipeline.models import adapter_base, check_base_model, load_causal_lm

    trust = workspace.recipe.trust_remote_code
    base = adapter_base(folder, workspace.cache_dir)
    weights = base or folder
    if torch.cuda.is_available():
        check_base_model(weights, trust_remote_code=trust)
        model = AutoModelForCausalLM.from_pretrained(
            weights,
            dtype=torch.bfloat16,
            device_map="auto",
            use_safetensors=True,
            trust_remote_code=trust,
        ).eval()
    else:
        model = load_causal_lm(weights, trust_remote_code=trust)
    if base is None:
        return model
    from peft import PeftModel

    return PeftModel.from_pretrained(model, folder).eval()
