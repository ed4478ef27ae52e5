"""Many expressions at once against whole lines: only those are tried that a line may match.

Of each expression are found, when it is read, the characters that a match can begin with, and words
of which each match holds one. A line is tried against few expressions then, mostly none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final, NamedTuple

_MAX_WORDS: Final = 16
# What `re` takes for one letter when case is ignored, beside what lower() folds.
_ALIKE: Final = (("i\u0307", "i"), ("ı", "i"), ("ſ", "s"))
_RARE_SIGN_CHARS: Final = 3
# Escaped characters and sets, in which brackets mean nothing; then what groups and parts.
_TOKEN: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[()|]", re.DOTALL)
_DIGITS: Final = frozenset("0123456789")


# The most characters of a match, words of which it holds one, and how to try for one.
_Tried = tuple[int, tuple[str, ...], Callable[[str], re.Match[str] | None]]


class _Gate(NamedTuple):
    """What is known of all matches.

    first: the characters, in lower case, that one can begin with, None for any; 0 stands for all of
    Unicode's digits. words: in lower case, of which each match holds one. max_chars: its length.
    """

    first: frozenset[str] | None
    words: tuple[str, ...]
    max_chars: int


class LineExpressions:
    """Regular expressions, in any case, of which one shall match a whole line."""

    def __init__(self, expressions: Iterable[str]) -> None:
        self._by_first: dict[str, list[_Tried]] = {}
        self._of_any_first: list[_Tried] = []
        for expression in chain.from_iterable(map(_alternatives, expressions)):
            gate = _gate(expression)
            tried = (gate.max_chars, gate.words, re.compile(expression, re.IGNORECASE).fullmatch)
            if gate.first is None:
                self._of_any_first.append(tried)
            for character in gate.first or ():
                self._by_first.setdefault(character, []).append(tried)
        for character, found in self._by_first.items():
            self._by_first[character] = [*found, *self._of_any_first]

    def matches(self, line: str) -> bool:
        """Tell whether one of them matches the whole line."""
        folded = _fold(line)
        first = folded[:1]
        if not first.isascii() and first.isdecimal():
            first = "0"
        n_chars = len(line)
        for max_chars, words, fullmatch in self._by_first.get(first, self._of_any_first):
            if n_chars > max_chars:
                continue
            for word in words:
                if word in folded:
                    break
            else:
                continue
            if fullmatch(line):
                return True
        return False


def _fold(text: str) -> str:
    folded = text.lower()
    if not folded.isascii():
        for letter, usual in _ALIKE:
            folded = folded.replace(letter, usual)
    return folded


def _alternatives(expression: str) -> Iterator[str]:
    """Part an expression at the signs | that stand in no group: the finer, the fewer are tried."""
    depth = start = 0
    for token in _TOKEN.finditer(expression):
        depth += (token[0] == "(") - (token[0] == ")")
        if token[0] == "|" and not depth:
            yield expression[start : token.start()]
            start = token.end()
    yield expression[start:]


def _gate(expression: str) -> _Gate:
    pattern = parser.parse(expression, re.IGNORECASE)
    parsed = list(pattern)
    first, may_be_empty = _first(parsed)
    # The empty word stands in every line.
    words = tuple(sorted(_words(parsed) or {""}, key=len))
    return _Gate(None if may_be_empty else first, words, int(pattern.getwidth()[1]))


def _first(parsed: Sequence[Any]) -> tuple[frozenset[str] | None, bool]:
    """Characters that a match can begin with, None for any; and whether it can be empty."""
    found: frozenset[str] = frozenset()
    for operation, value in parsed:
        characters, may_be_empty = _first_of(operation, value)
        if characters is None:
            return None, may_be_empty
        found |= characters
        if not may_be_empty:
            return found, False
    return found, True


def _first_of(operation: Any, value: Any) -> tuple[frozenset[str] | None, bool]:
    if operation is ops.LITERAL:
        return frozenset(_fold(chr(value))[:1]), False
    if operation is ops.IN:
        return _characters(value), False
    if operation in (ops.AT, ops.ASSERT, ops.ASSERT_NOT):  # they take no character
        return frozenset(), True
    if operation is ops.SUBPATTERN:
        return _first(value[-1])
    if operation in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT):
        characters, may_be_empty = _first(value[2])
        return characters, may_be_empty or value[0] == 0
    if operation is ops.BRANCH:
        branches = [_first(branch) for branch in value[1]]
        if any(characters is None for characters, _ in branches):
            return None, any(is_empty for _, is_empty in branches)
        known = [characters for characters, _ in branches if characters is not None]
        return frozenset().union(*known), any(is_empty for _, is_empty in branches)
    return None, True


def _characters(items: Sequence[Any]) -> frozenset[str] | None:
    """The characters of a set, such as [a-z\\d]; None for one of too many."""
    found: set[str] = set()
    for operation, value in items:
        if operation is ops.LITERAL:
            found.add(_fold(chr(value))[:1])
        elif operation is ops.RANGE and value[1] < 256:
            found.update(_fold(chr(code))[:1] for code in range(value[0], value[1] + 1))
        elif operation is ops.CATEGORY and value is ops.CATEGORY_DIGIT:
            found |= _DIGITS
        else:
            return None
    return frozenset(found)


def _words(parsed: Sequence[Any]) -> frozenset[str] | None:
    """Of the sets of words of which each match holds one, the most telling; None if there is none.

    Long words tell most, and of equally long ones few.
    """
    found: list[frozenset[str]] = []
    run = ""
    for operation, value in parsed:
        if operation is ops.LITERAL:
            run += _fold(chr(value))
            continue
        if operation in (ops.ASSERT_NOT, ops.AT):
            continue  # the characters before and after stand beside each other
        found, run = [*found, *_run(run)], ""
        inner: frozenset[str] | None = None
        if operation is ops.SUBPATTERN or operation is ops.ASSERT:
            inner = _words(value[-1])
        elif operation in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT) and value[0]:
            inner = _words(value[2])
        elif operation is ops.BRANCH:
            branches = [_words(branch) for branch in value[1]]
            if all(branches):
                inner = frozenset().union(*(words for words in branches if words))
        if inner:
            found.append(inner)
    found += _run(run)
    found = [words for words in found if len(words) <= _MAX_WORDS]
    return max(found, key=lambda words: (min(map(_tells, words)), -len(words)), default=None)


def _tells(word: str) -> int:
    """How seldom a word stands in a line by chance: signs such as © are as rare as long words."""
    return len(word) if word.isascii() else len(word) + _RARE_SIGN_CHARS


def _run(literals: str) -> list[frozenset[str]]:
    return [frozenset({literals})] if literals.strip() else []
