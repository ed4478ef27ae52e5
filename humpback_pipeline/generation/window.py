"""How many tokens a model can read at once, by its own configuration."""

from __future__ import annotations

from typing import Any


def window_tokens(config: Any, most: int) -> int:
    """`most`, or the model's own limit if that is lower.

    config: transformers' own, which knows what each architecture calls its limit (GPT-2:
    `n_positions`) and where one that also sees or hears keeps that of its language model.
    """
    own = getattr(config.get_text_config(), "max_position_embeddings", None)
    return min(most, int(own)) if own else most
