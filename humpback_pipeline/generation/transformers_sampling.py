"""Sampling with transformers: tokens, their own log-probabilities, and whether a turn ended."""

from __future__ import annotations

from typing import Any, NamedTuple

from humpback_pipeline.recipe_curation import SamplingRecipe


class Sampled(NamedTuple):
    """Token ids (end of turn included), their log-probabilities, and whether it ended."""

    token_ids: list[int]
    logprobs: list[float]
    ended: bool


def sample(
    model: Any, tokenizer: Any, inputs: dict[str, Any], sampling: SamplingRecipe
) -> list[Sampled]:
    """A continuation of each left-padded row of `inputs`."""
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    stop_ids = _stop_ids(model, tokenizer)
    recorder = _LogprobRecorder()
    warpers: dict[str, Any] = {"do_sample": False}
    if sampling.temperature > 0:
        warpers = {
            "do_sample": True,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": 0,
        }
    with torch.inference_mode():
        sequences = model.generate(
            **inputs,
            generation_config=GenerationConfig(
                max_new_tokens=sampling.max_new_tokens,
                eos_token_id=stop_ids,
                pad_token_id=tokenizer.pad_token_id,
                repetition_penalty=1.0,  # some models bring their own, and it would apply
                **warpers,
            ),
            logits_processor=LogitsProcessorList([recorder]),
        )
    recorder.record_last(sequences)
    answers = []
    for row, ids in enumerate(sequences[:, inputs["input_ids"].shape[1] :].tolist()):
        end = next((n + 1 for n, token in enumerate(ids) if token in stop_ids), None)
        n_tokens = end or len(ids)
        logprobs = [step[row] for step in recorder.logprobs[:n_tokens]]
        answers.append(Sampled(ids[:n_tokens], logprobs, end is not None))
    return answers


class _LogprobRecorder:
    """Keeps each sampled token's log-probability as generation goes.

    transformers calls it with the raw logits, before temperature and nucleus sampling; asking for
    all scores instead would hold steps x batch x vocabulary numbers.
    """

    def __init__(self) -> None:
        self.logprobs: list[list[float]] = []
        self._last: Any = None

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self.record_last(input_ids)
        self._last = scores.float().log_softmax(-1)
        return scores

    def record_last(self, input_ids: Any) -> None:
        """Log-probabilities of the newest tokens under the logits seen before them."""
        if self._last is not None:
            self.logprobs.append(self._last.gather(1, input_ids[:, -1:]).squeeze(1).tolist())


def _stop_ids(model: Any, tokenizer: Any) -> list[int]:
    configured = model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return sorted({token for token in (*ids, tokenizer.eos_token_id) if token is not None})
