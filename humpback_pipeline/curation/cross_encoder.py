"""A sequence-classification model from elsewhere that reads instruction and output together."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from humpback_pipeline.chat import break_special_tokens
from humpback_pipeline.curation.records import Pair
from humpback_pipeline.recipe_curation import ExternalScorerRecipe

ENTAILMENT = "entailment"


class CrossEncoderError(ValueError):
    """The model cannot rate pairs; the message says why."""


class CrossEncoder:
    """Loaded from safetensors, without code of its own; use it in a `with` block.

    It runs on `device`, a GPU by torch's name, if at least half of its memory is free, else on the
    CPU, as another engine may hold the GPU meanwhile. Raises CrossEncoderError.
    """

    def __init__(
        self, folder: Path, settings: ExternalScorerRecipe, device: str | None = None
    ) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self._settings = settings
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True
        )
        missing = sorted(loading["missing_keys"])
        if missing:  # transformers would make them up: another random rating at each start
            raise CrossEncoderError(
                f"curation.external: {settings.model} has no weights for {', '.join(missing[:3])}, "
                "so it is no trained classifier; give a cross-encoder, NLI or reward model."
            )
        self._model: Any = model.to(_device(device or "cuda")).eval()
        self._text_config: Any = self._model.config.get_text_config()
        self._label = self._find_label()

    def probabilities(self, pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
        """Of each pair: how likely the output answers the instruction, and whether it was cut.

        nli: the probability of the label `entailment`, the output being the premise. cross_encoder
        and reward: the sigmoid of the only logit, or the probability of the last of two labels.
        """
        texts = [self._text(pair) for pair in pairs]
        order = sorted(range(len(pairs)), key=lambda i: -sum(map(len, texts[i])))
        found: dict[int, tuple[float, bool]] = {}
        size = self._settings.batch_size
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            found.update(zip(batch, self._batch([texts[i] for i in batch]), strict=True))
        return [found[i] for i in range(len(pairs))]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the memory back."""
        import torch

        self._model = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _text(self, pair: Pair) -> tuple[str, ...]:
        if self._settings.kind == "nli":
            return pair.output, pair.instruction
        if self._settings.kind == "reward" and self._tokenizer.chat_template:
            turns = [
                {"role": "user", "content": pair.instruction},
                {"role": "assistant", "content": pair.output},
            ]
            # A special token in a pair's own words must not end a turn of the template.
            turns = [
                {**turn, "content": break_special_tokens(self._tokenizer, turn["content"])}
                for turn in turns
            ]
            return (str(self._tokenizer.apply_chat_template(turns, tokenize=False)),)
        return pair.instruction, pair.output

    def _batch(self, texts: Sequence[tuple[str, ...]]) -> list[tuple[float, bool]]:
        import torch

        columns = [list(column) for column in zip(*texts, strict=True)]
        # A chat template writes the special tokens itself.
        options = {"add_special_tokens": len(columns) > 1}
        whole = self._tokenizer(*columns, **options)["input_ids"]
        rows = self._tokenizer(
            *columns, truncation=True, max_length=self._settings.max_tokens, **options
        )
        inputs = {
            name: torch.tensor(padded, device=self._model.device)
            for name, padded in self._padded(rows).items()
        }
        with torch.inference_mode():
            logits = self._model(**inputs).logits.float()
        if logits.shape[1] == 1:
            values = logits[:, 0].sigmoid()
        else:
            values = logits.softmax(-1)[:, self._label]
        cut = [len(ids) > self._settings.max_tokens for ids in whole]
        return list(zip(values.tolist(), cut, strict=True))

    def _padded(self, rows: Any) -> dict[str, list[list[int]]]:
        """Rows of equal length, padded on the right by a token that ends none of them.

        A decoder reads its number at the last token that is not padding: with the end-of-text token
        as padding, it would take the end of the pair itself for padding.
        """
        ids = rows["input_ids"]
        width = max(map(len, ids))
        pad, ends = self._tokenizer.pad_token_id, {row[-1] for row in ids}
        if pad is None or pad in ends:
            pad = next(token for token in range(self._text_config.vocab_size) if token not in ends)
        self._text_config.pad_token_id = pad
        filling = {"input_ids": pad}
        return {
            name: [[*row, *[filling.get(name, 0)] * (width - len(row))] for row in rows[name]]
            for name in rows
        }

    def _find_label(self) -> int:
        config = self._model.config
        labels = {int(index): str(name) for index, name in config.id2label.items()}
        if self._settings.kind == "nli":
            for index, name in labels.items():
                if name.lower() == ENTAILMENT:
                    return index
            raise CrossEncoderError(
                f"curation.external.kind is nli, but {self._settings.model} has no label "
                f"{ENTAILMENT!r} (it has {', '.join(labels.values())}); use another model or kind."
            )
        if len(labels) > 2:
            raise CrossEncoderError(
                f"curation.external: {self._settings.model} has {len(labels)} labels "
                f"({', '.join(labels.values())}); kind {self._settings.kind} needs one or two."
            )
        return len(labels) - 1


def _device(wanted: str) -> str:
    import torch

    if wanted == "cpu" or not torch.cuda.is_available():
        return "cpu"
    free, total = torch.cuda.mem_get_info(wanted)
    return wanted if free > total / 2 else "cpu"
