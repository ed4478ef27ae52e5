"""From messages to token ids: the one renderer shared by training, inference and rating.

`tokenizer` is a transformers tokenizer throughout; this module needs only its methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humpback_pipeline.chat.prompts import Message

PLAIN_TEMPLATE = Path(__file__).parent / "templates" / "plain.jinja"


class RenderingError(ValueError):
    """A chat template or tokenizer cannot be used for training or rating."""


@dataclass(frozen=True)
class RenderedExample:
    """Token ids of a prompt and of its completion, end-of-turn token included."""

    prompt_ids: list[int]
    completion_ids: list[int]


def ensure_chat_template(tokenizer: Any) -> bool:
    """Give a base model's tokenizer the plain template if it has none; return whether it did."""
    if tokenizer.chat_template:
        return False
    tokenizer.chat_template = PLAIN_TEMPLATE.read_text(encoding="utf-8")
    return True


def render_prompt(tokenizer: Any, messages: list[Message], answer_prefix: str = "") -> list[int]:
    """Token ids that a model continues; `answer_prefix` opens its answer, such as `Score: `."""
    # The prefix may be a rationale that a model wrote: its special tokens are words as well.
    return _encode(
        tokenizer,
        _prompt_text(tokenizer, messages) + break_special_tokens(tokenizer, answer_prefix),
    )


def render_example(tokenizer: Any, messages: list[Message], answer: str) -> RenderedExample:
    """Token ids of a training example.

    Prompt and completion are encoded apart, so the prompt is token for token what `render_prompt`
    gives at inference. The completion ends with the end-of-turn token and holds nothing past it.
    Raises RenderingError if the template changes the prompt when an answer follows.
    """
    prompt = _prompt_text(tokenizer, messages)
    turn = [*_supported(tokenizer, messages), {"role": "assistant", "content": answer}]
    turn = _harmless(tokenizer, turn)
    whole = tokenizer.apply_chat_template(turn, tokenize=False)
    if not whole.startswith(prompt):
        raise RenderingError(
            "the chat template renders the prompt differently once an answer follows it, so loss "
            "on the answer alone is undefined; give the model another chat template"
        )
    completion_ids = _encode(tokenizer, whole[len(prompt) :])
    return RenderedExample(_encode(tokenizer, prompt), _end_turn(tokenizer, completion_ids))


def turn_ending(tokenizer: Any) -> list[int]:
    """Token ids that every rendered completion ends with, whatever the answer in it.

    Often the end-of-turn token alone. But Llama 2's template writes a space before it, and with the
    tokenizer of some base models (Qwen's) the template's own end of turn and a line break come
    before the end of text.
    """
    question = [{"role": "user", "content": "Is it?"}]
    # They end in letters that no two tokens share, so what is common to both is the template's.
    one, other = (
        render_example(tokenizer, question, answer).completion_ids[::-1] for answer in ("Yes", "7")
    )
    n = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 1)
    return one[:n][::-1]


def special_token_ids(tokenizer: Any) -> set[int]:
    """Ids of all tokens that are commands rather than words."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return {*tokenizer.all_special_ids, *(i for i, token in added.items() if token.special)}


def choice_token_ids(
    tokenizer: Any, messages: list[Message], answer_prefix: str, choices: tuple[str, ...]
) -> list[int]:
    """The single token that writes each choice (such as the digits 1-5) after `answer_prefix`.

    Raises RenderingError if a choice is not exactly one token there.
    """
    prompt = _prompt_text(tokenizer, messages) + answer_prefix
    before = _encode(tokenizer, prompt)
    ids = []
    for choice in choices:
        after = _encode(tokenizer, prompt + choice)
        if len(after) != len(before) + 1 or after[:-1] != before:
            raise RenderingError(f"{choice!r} after {answer_prefix!r} is not one token")
        ids.append(after[-1])
    return ids


def _encode(tokenizer: Any, text: str) -> list[int]:
    # The template writes the special tokens itself; a second BOS would shift every position.
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _prompt_text(tokenizer: Any, messages: list[Message]) -> str:
    messages = _harmless(tokenizer, _supported(tokenizer, messages))
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return str(text)


def _supported(tokenizer: Any, messages: list[Message]) -> list[Message]:
    """Move the system text into the user's turn where a template refuses or drops it."""
    if messages[0]["role"] != "system":
        return messages
    system, user, *rest = messages
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False)
    except Exception:  # jinja's and the template's own errors share no base class
        text = ""
    if system["content"] in text:
        return messages
    return [{"role": "user", "content": f"{system['content']}\n\n{user['content']}"}, *rest]


def _harmless(tokenizer: Any, messages: list[Message]) -> list[Message]:
    """Break special tokens that stand in somebody's text: there they are words, not commands.

    A web page that holds `</s>` or `<|im_end|>` would otherwise end the turn it is quoted in.
    """
    return [
        {"role": m["role"], "content": break_special_tokens(tokenizer, m["content"])}
        for m in messages
    ]


def break_special_tokens(tokenizer: Any, text: str) -> str:
    """`text` with a space in each special token, so that it is words and no command."""
    for token in tokenizer.all_special_tokens:
        if len(token) > 1:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def _end_turn(tokenizer: Any, completion_ids: list[int]) -> list[int]:
    """Cut a completion after its end-of-turn token, or append one if the template wrote none."""
    eos = tokenizer.eos_token_id
    if eos not in completion_ids:
        return [*completion_ids, eos]
    last = len(completion_ids) - 1 - completion_ids[::-1].index(eos)
    return completion_ids[: last + 1]
