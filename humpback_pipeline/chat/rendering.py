"""From messages to token ids: the one renderer shared by training, inference and rating.

`tokenizer` is a transformers tokenizer throughout; this module needs only its methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from humpback_pipeline.chat.prompts import Message

PLAIN_TEMPLATE = Path(__file__).parent / "templates" / "plain.jinja"
PROBE_QUESTION: Message = {"role": "user", "content": "Is it?"}
PROBE_ANSWER: Message = {"role": "assistant", "content": "Yes."}
# Characters of a prompt that decide how the text after it falls into tokens; many more than needed.
CONTEXT_CHARS = 64
# Stand-ins for the end of a prompt: no token spans a letter and an opening bracket, for example.
CONTEXTS = ("a", "\n", "1", ".", "]")


def _fixed_day(form: str) -> str:
    """What templates that print today's date (Llama 3.1's, SmolLM3's) get instead.

    The day is their authors' own default: an example must not change from one day to the next.
    """
    return date(2024, 7, 26).strftime(form)


class RenderingError(ValueError):
    """A chat template or tokenizer cannot be used for training or rating."""


@dataclass(frozen=True)
class RenderedExample:
    """Token ids of a prompt and of its completion, end-of-turn token included."""

    prompt_ids: list[int]
    completion_ids: list[int]


def ensure_chat_template(tokenizer: Any) -> bool:
    """Give a base model's tokenizer the plain template if it has none; return whether it did.

    It opens with the token that the tokenizer opens texts with, if any: Llama and Mistral are lost
    without it, and GPT-2 and Qwen have never seen one.
    """
    if tokenizer.chat_template:
        return False
    plain = PLAIN_TEMPLATE.read_text(encoding="utf-8")
    opens = list(tokenizer("a")["input_ids"])[:1] == [tokenizer.bos_token_id]
    tokenizer.chat_template = "{{ bos_token }}" + plain if opens else plain
    return True


def end_text_with_turn(tokenizer: Any) -> bool:
    """Make the token that ends a turn of the template the one that ends text; tell if it was not.

    Base models such as Qwen's, and Gemma's or Phi's chat models, end turns with one token and texts
    with another. Engines stop at the latter, and a model is trained to write the former. A template
    that no answer can be trained with is left as it is: its model may still rate.
    """
    try:
        end = turn_ending(tokenizer)[-1]
    except Exception:  # jinja's and the template's own errors share no base class
        return False
    if end == tokenizer.eos_token_id:
        return False
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    return True


def render_prompt(tokenizer: Any, messages: list[Message], answer_prefix: str = "") -> list[int]:
    """Token ids that a model continues; `answer_prefix` opens its answer, such as `Score: `."""
    # The prefix may be a rationale that a model wrote: its special tokens are words as well.
    return _encode(
        tokenizer,
        _prompt_text(tokenizer, messages) + break_special_tokens(tokenizer, answer_prefix),
    )


def render_plain_text(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text that a model goes on with, opened as the tokenizer opens texts."""
    return list(tokenizer(break_special_tokens(tokenizer, text))["input_ids"])


def render_example(tokenizer: Any, messages: list[Message], answer: str) -> RenderedExample:
    """Token ids of a training example.

    The prompt is token for token what `render_prompt` gives at inference, and the completion what
    the tokenizer makes of the answer in its place after that prompt, without a token that spans
    both. It ends with the token that ends the turn and holds nothing past it. Raises RenderingError
    if the template changes the prompt when an answer follows.
    """
    prompt = _prompt_text(tokenizer, messages)
    turn = [*_supported(tokenizer, messages), {"role": "assistant", "content": answer}]
    whole = _templated(tokenizer, _harmless(tokenizer, turn))
    if not whole.startswith(prompt):
        raise RenderingError(
            "the chat template renders the prompt differently once an answer follows it, so loss "
            "on the answer alone is undefined; give the model another chat template"
        )
    completion_ids = _encode_after(tokenizer, prompt, whole[len(prompt) :])
    return RenderedExample(_encode(tokenizer, prompt), _end_turn(tokenizer, completion_ids))


def turn_ending(tokenizer: Any) -> list[int]:
    """Token ids that every rendered completion ends with, whatever the answer in it.

    Often the end-of-turn token alone, but Llama 2's template writes a space before it.
    """
    # They end in letters that no two tokens share, so what is common to both is the template's.
    one, other = (
        render_example(tokenizer, [PROBE_QUESTION], answer).completion_ids[::-1]
        for answer in ("Yes", "7")
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


def _encode_after(tokenizer: Any, before: str, text: str) -> list[int]:
    """Token ids of `text` where it follows `before`.

    Encoded alone, its first word would get SentencePiece's space before it. Where a token spans the
    two (a line break that opens the answer), another context shows how `text` falls apart alone.
    """
    for context in (before[-CONTEXT_CHARS:], *CONTEXTS):
        context_ids = _encode(tokenizer, context)
        ids = _encode(tokenizer, context + text)
        if context_ids and ids[: len(context_ids)] == context_ids:
            return ids[len(context_ids) :]
    return _encode(tokenizer, text)


def _templated(tokenizer: Any, messages: list[Message], *, open_answer: bool = False) -> str:
    return str(
        tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=open_answer,
            # Answers hold no reasoning: hybrid models close its block in the prompt (Qwen 3).
            enable_thinking=False,
            strftime_now=_fixed_day,
        )
    )


def _prompt_text(tokenizer: Any, messages: list[Message]) -> str:
    """Everything before an answer, with the header of its turn.

    Some templates write that header only together with an answer; it is the template's all the
    same, and no loss is taken on it.
    """
    messages = _harmless(tokenizer, _supported(tokenizer, messages))
    prompt = _templated(tokenizer, messages, open_answer=True)
    whole = _templated(tokenizer, [*messages, PROBE_ANSWER])
    if not whole.startswith(prompt):
        return prompt
    header, found, _ = whole[len(prompt) :].partition(PROBE_ANSWER["content"])
    # A space before the answer is no header: it belongs to the answer's first word.
    return prompt + header.rstrip(" ") if found and header.strip() else prompt


def _supported(tokenizer: Any, messages: list[Message]) -> list[Message]:
    """Move the system text into the user's turn where a template refuses or drops it."""
    if messages[0]["role"] != "system":
        return messages
    system, user, *rest = messages
    if _writes_system(tokenizer, str(tokenizer.chat_template), system["content"]):
        return messages
    return [{"role": "user", "content": f"{system['content']}\n\n{user['content']}"}, *rest]


@lru_cache(maxsize=16)  # asked with every example, of one or two texts
def _writes_system(tokenizer: Any, template: str, text: str) -> bool:
    """Whether the tokenizer's `template` writes a system text.

    Mistral 7B v0.3's drops it only once an answer follows, so both are looked at.
    """
    probe = [{"role": "system", "content": text}, PROBE_QUESTION]
    try:
        texts = [
            _templated(tokenizer, probe, open_answer=True),
            _templated(tokenizer, [*probe, PROBE_ANSWER]),
        ]
    except Exception:  # jinja's and the template's own errors share no base class
        texts = [""]
    return all(text.strip() in rendered for rendered in texts)


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
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    # Llama 3's header tokens have no name of their own and stand only among those added.
    special = {*tokenizer.all_special_tokens, *(str(token) for token in added if token.special)}
    for token in sorted(special, key=len, reverse=True):
        if len(token) > 1 and token in text:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def _end_turn(tokenizer: Any, completion_ids: list[int]) -> list[int]:
    """Cut a completion after the token that ends its turn, or append one if there is none.

    That is the first special token: those in the answer are broken up, unknown words aside.
    """
    eos = tokenizer.eos_token_id
    ends = special_token_ids(tokenizer)
    if tokenizer.unk_token_id != eos:
        ends.discard(tokenizer.unk_token_id)
    last = next((n for n, token in enumerate(completion_ids) if token in ends), None)
    return [*completion_ids, eos] if last is None else completion_ids[: last + 1]
