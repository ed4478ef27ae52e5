"""Whether an instruction is in another language than its output, told only where it is sure."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Final

from resiliparse.parse.lang import detect_fast

from humpback_pipeline.text.language import detect_language

# Of 1,207 English instructions of public seed and evaluation sets, these drop the one that is
# Portuguese; the next English one has a margin of 1.10. The price: most instructions of one short
# sentence pass in whatever language that shares the output's alphabet.
_MIN_CHARS: Final = 40
_MARGIN: Final = 1.12
_MIN_LETTERS: Final = 5
_SCRIPT_SHARE: Final = 0.8
_SAMPLE_CHARS: Final = 2_000
_N_PROFILES: Final = 200
_ANY_DISTANCE: Final = 10_000
# Written together in one language.
_ONE_SCRIPT: Final = {"HIRAGANA": "CJK", "KATAKANA": "CJK"}


def is_other_language(instruction: str, output: str) -> bool:
    """Whether the two are surely in different languages: by their scripts, else by n-grams.

    False wherever either cannot be told for sure, as of most short instructions. By resiliparse's
    profiles: the output's must fit it clearly, and another must fit the instruction by 12 % better.
    """
    script, other = _script(instruction), _script(output)
    if script and other and script != other:
        return True
    if len(instruction) < _MIN_CHARS:
        return False
    language = detect_language(output, sure=True)
    if language is None:
        return False
    fits = dict(
        detect_fast(
            instruction.lower()[:_SAMPLE_CHARS], cutoff=_ANY_DISTANCE, n_results=_N_PROFILES
        )
    )
    return language in fits and fits[language] > _MARGIN * min(fits.values())


def _script(text: str) -> str | None:
    """The script of nearly all letters, such as LATIN; None if they are mixed or few."""
    letters = [character for character in text[:_SAMPLE_CHARS] if character.isalpha()]
    if len(letters) < _MIN_LETTERS:
        return None
    script, n = Counter(map(_script_of, letters)).most_common(1)[0]
    return script if n >= _SCRIPT_SHARE * len(letters) else None


@lru_cache(maxsize=4_096)
def _script_of(letter: str) -> str:
    first = unicodedata.name(letter, "UNKNOWN").split(" ", 1)[0].split("-", 1)[0]
    return _ONE_SCRIPT.get(first, first)
