"""Which instructions are degenerate: no request that anybody could have made, by named reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from humpback_pipeline.chat import Prompts
from humpback_pipeline.generation.engine import Generation
from humpback_pipeline.generation.instruction_language import is_other_language
from humpback_pipeline.generation.refusals import is_refusal
from humpback_pipeline.recipe_curation import InstructionFiltersRecipe
from humpback_pipeline.text.words import WordBatch

BAD_REQUEST: Final = "bad_request"
EMPTY: Final = "empty_instruction"
CUT: Final = "cut_instruction"
REFUSAL: Final = "refusal"
LEAKAGE: Final = "prompt_leakage"
COPIED: Final = "copied_from_output"
OTHER_LANGUAGE: Final = "other_language"

# Fewer words in a row are shared by any request and the text that answers it.
MIN_COPIED_WORDS: Final = 6
# The prompt's own phrases are common English: "write the instruction" opens many a real request.
MIN_LEAKED_WORDS: Final = 5

# Marks of a turn in the usual chat templates; the tokenizer's own were taken out by decoding.
_TEMPLATE_TOKEN: Final = re.compile(
    r"<\|[\w ./-]{2,40}\|>|\[/?(?:INST|SYS|SYSTEM_PROMPT)\]|<</?SYS>>|</?s>"
    r"|<(?:start|end)_of_turn>|<\uff5c[^>]{2,40}\uff5c>"
)
_ROLE_LABEL: Final = re.compile(
    r"^[ \t]*(?:#{1,4}[ \t]*)?(?:user|human|assistant|system|instruction|response)[ \t]*:?[ \t]*$"
    r"|^[ \t]*(?:#{1,4}[ \t]*)?(?:assistant|human)[ \t]*:",
    re.IGNORECASE | re.MULTILINE,
)
_QUESTION_END: Final = re.compile(r"[?\uff1f\u061f\u037e][\s\"'\u201d\u2019\u00bb)*_]*$")


@dataclass(frozen=True)
class InstructionFilters:
    """Names why an instruction is dropped; what is always checked needs no setting."""

    settings: InstructionFiltersRecipe
    prompts: Prompts

    def reasons(
        self, output: str, instructions: Sequence[str], answers: Sequence[Generation]
    ) -> list[str]:
        """Why each candidate for `output` is degenerate, "" where it is not.

        instructions: the cleaned texts of `answers`. The first reason in the order of this
        module's names stands.
        """
        own = [_unusable(i, a) for i, a in zip(instructions, answers, strict=True)]
        if all(own):
            return own
        words = [text.split(" ") for text in _texts([output, *instructions])]
        return [
            reason or self._degenerate(instruction, output, asked, words[0])
            for reason, instruction, asked in zip(own, instructions, words[1:], strict=True)
        ]

    def _degenerate(self, instruction: str, output: str, asked: list[str], text: list[str]) -> str:
        settings = self.settings
        if settings.refusals and is_refusal(instruction):
            return REFUSAL
        if settings.prompt_leakage and self._leaks(instruction, output, asked, text):
            return LEAKAGE
        limit = settings.max_copied_fraction
        if limit is not None and _is_copied(instruction, output, asked, text, limit):
            return COPIED
        if settings.same_language and is_other_language(instruction, output):
            return OTHER_LANGUAGE
        return ""

    def _leaks(self, instruction: str, output: str, asked: list[str], text: list[str]) -> bool:
        """Repeats the backward prompt, or holds marks of a chat that the text itself has not."""
        if any(mark[0] not in output for mark in _TEMPLATE_TOKEN.finditer(instruction)):
            return True
        if _ROLE_LABEL.search(instruction) and not _ROLE_LABEL.search(output):
            return True
        n = MIN_LEAKED_WORDS
        shared = _ngrams(asked, n) & self._prompt_ngrams
        if shared - _ngrams(text, n):
            return True
        return " ".join(asked) in self._prompt_sentences

    @cached_property
    def _prompt_words(self) -> list[str]:
        own = self.prompts.backward.replace("{output}", "\n")
        return _texts([own])[0].split(" ")

    @cached_property
    def _prompt_ngrams(self) -> set[tuple[str, ...]]:
        return _ngrams(self._prompt_words, MIN_LEAKED_WORDS)

    @cached_property
    def _prompt_sentences(self) -> set[str]:
        own = self.prompts.backward.replace("{output}", "\n")
        return {text for text in _texts(re.split(r"[.:!?\n]+", own)) if text}


def copied_fraction(instruction: Sequence[str], output: Sequence[str]) -> float:
    """Share of an instruction's words that stand in runs of six or more copied from the output.

    Both as lower-case words.
    """
    n = MIN_COPIED_WORDS
    known = _ngrams(output, n)
    copied = [False] * len(instruction)
    for start in range(len(instruction) - n + 1):
        if tuple(instruction[start : start + n]) in known:
            copied[start : start + n] = [True] * n
    return sum(copied) / len(instruction) if instruction else 0.0


def _unusable(instruction: str, answer: Generation) -> str:
    if answer.finish_reason == "refused":
        return BAD_REQUEST
    if not any(character.isalnum() for character in instruction):
        return EMPTY
    return CUT if answer.finish_reason == "length" else ""


def _is_copied(
    instruction: str, output: str, asked: list[str], text: list[str], max_fraction: float
) -> bool:
    """A piece of the text rather than a request that the text answers.

    A topic of a few words that occurs in the text is a request; the same words are none where they
    are a whole line of it, such as its header. A question that heads the text is one nevertheless:
    it is what the text answers, as a page of frequent questions has it.
    """
    whole = " ".join(asked)
    lines = [line for line in output.splitlines() if line.strip()]
    if lines and _QUESTION_END.search(instruction) and _texts(lines[:1])[0] == whole:
        return False
    if len(asked) >= MIN_COPIED_WORDS:
        return copied_fraction(asked, text) > max_fraction
    # Only lines of about that length can be it: most texts have none.
    short = [line for line in lines if len(line) <= 2 * len(instruction) + 20]
    return whole in _texts(short)


def _ngrams(words: Sequence[str], n: int) -> set[tuple[str, ...]]:
    return {tuple(words[start : start + n]) for start in range(len(words) - n + 1)}


def _texts(texts: Sequence[str]) -> list[str]:
    """Each text as lower-case words with single spaces, without marks."""
    # A batch ends its texts at line breaks.
    batch = WordBatch([" ".join(text.split()) for text in texts])
    return [batch.text(number) for number in range(batch.n_texts)]
