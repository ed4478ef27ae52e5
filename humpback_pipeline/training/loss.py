"""Negative log-likelihood of completions, without computing logits that no loss is taken on."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

from humpback_pipeline.training import ranks
from humpback_pipeline.training.counts import count_examples, longest_first
from humpback_pipeline.training.errors import TrainingDivergedError
from humpback_pipeline.training.examples import IGNORED_LABEL, TrainingExample
from humpback_pipeline.training.packing import to_device


def completion_nll(model: Any, batch: dict[str, Any]) -> Any:
    """Summed nats of the labelled tokens of `batch`: what the model takes, and labels.

    The head runs only on positions that predict a labelled token in some row, which for a small
    model on a CPU is most of the saving there is: its head is a fifth of all its weights.
    """
    from torch.nn.functional import cross_entropy

    targets = batch["labels"][:, 1:]
    positions = (targets != IGNORED_LABEL).any(dim=0).nonzero().flatten()
    targets = targets[:, positions]
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    if keeps_some_logits(model):
        logits = model(**inputs, use_cache=False, logits_to_keep=positions).logits
    else:
        logits = model(**inputs, use_cache=False).logits[:, positions]
    labelled = targets != IGNORED_LABEL
    if bool(labelled.all()):  # as in every micro-batch of one: no copy of the logits, none back
        logits, targets = logits.flatten(0, 1), targets.flatten()
    else:
        logits, targets = logits[labelled], targets[labelled]
    return cross_entropy(logits.float(), targets, reduction="sum")


def keeps_some_logits(model: Any) -> bool:
    """Whether the model's forward can compute the logits of chosen positions only."""
    inner = getattr(model, "module", model)  # in DDP's wrapper
    inner = inner.get_base_model() if hasattr(inner, "get_base_model") else inner
    return "logits_to_keep" in inspect.signature(type(inner).forward).parameters


def held_out_loss(
    model: Any,
    examples: Sequence[TrainingExample],
    collate: Any,
    micro_batch_size: int,
    step: int = 0,
) -> float | None:
    """Mean nats per completion token over all `examples`, without dropout; None if there are none.

    Of several processes each measures its share. Raises TrainingDivergedError if it is not a number
    after `step` steps.
    """
    import torch

    if not examples:
        return None
    was_training = model.training
    model.eval()
    device = ranks.device_of(model)
    order = longest_first(examples).tolist()
    starts = range(0, len(order), micro_batch_size)
    total_nats = 0.0
    with torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16):
        # Where the model is sharded all processes must run it equally often: one that has no batch
        # left runs the last again, and does not count it.
        for first in range(0, len(starts), ranks.n_processes()):
            mine = first + ranks.rank()
            start = starts[min(mine, len(starts) - 1)]
            part = [examples[number] for number in order[start : start + micro_batch_size]]
            rows = [{"input_ids": e.input_ids, "labels": e.labels} for e in part]
            nats = float(completion_nll(model, to_device(collate(rows), device)))
            if not math.isfinite(nats):
                ids = [example.example_id for example in part]
                raise TrainingDivergedError(f"the held-out loss is {nats}", step, ids)
            total_nats += nats if mine < len(starts) else 0.0
    model.train(was_training)
    return ranks.total(total_nats) / int(count_examples(examples).n_completion_tokens.sum())
