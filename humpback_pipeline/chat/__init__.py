"""Prompts, tags and the one renderer from messages to tokens."""

from humpback_pipeline.chat.prompts import (
    JUDGE_PREFIX,
    RATING_PREFIX,
    TAG_SEED,
    TAG_WEB,
    Message,
    PromptError,
    Prompts,
    load_prompts,
)
from humpback_pipeline.chat.rendering import (
    RenderedExample,
    RenderingError,
    break_special_tokens,
    choice_token_ids,
    end_text_with_turn,
    ensure_chat_template,
    render_example,
    render_plain_text,
    render_prompt,
    special_token_ids,
    turn_ending,
)

__all__ = [
    "JUDGE_PREFIX",
    "RATING_PREFIX",
    "TAG_SEED",
    "TAG_WEB",
    "Message",
    "PromptError",
    "Prompts",
    "RenderedExample",
    "RenderingError",
    "break_special_tokens",
    "choice_token_ids",
    "end_text_with_turn",
    "ensure_chat_template",
    "load_prompts",
    "render_example",
    "render_plain_text",
    "render_prompt",
    "special_token_ids",
    "turn_ending",
]
