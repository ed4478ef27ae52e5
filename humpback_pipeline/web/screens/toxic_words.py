"""Toxic words by a list of the user's: their share of a text, or any occurrence of some.

Format of the file, one entry a line, `#` for comments: a word or phrase, matched as whole words,
case ignored; an entry without letters and digits (an emoji) matches anywhere. An entry that begins
with `!` drops a text at its first occurrence, whatever the share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from humpback_pipeline.web.prose import words
from humpback_pipeline.web.screens.list_file import read_list


@dataclass(frozen=True, slots=True)
class ToxicWordStatistics:
    """n_words: of the text; n_listed: those in listed entries; n_never: occurrences of `!` ones."""

    n_words: int
    n_listed: int
    n_never: int

    @property
    def share(self) -> float:
        """Share of the words that are listed."""
        return self.n_listed / max(self.n_words, 1)


class ToxicWords:
    """A list of words and phrases; those of `never` are not tolerated at all."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        # First word → the phrases that begin with it, longest first.
        self._phrases: dict[str, list[tuple[str, ...]]] = {}
        self._symbols: set[str] = set()
        self._never: set[tuple[str, ...] | str] = set()
        for entry in entries:
            self.add(entry)

    def add(self, entry: str) -> None:
        """Add one entry of the file's format; raises ValueError for an empty one."""
        text = entry.removeprefix("!").strip()
        if not text:
            raise ValueError("no word after '!'; write one, as in !word")
        phrase = tuple(words(text.casefold()))
        if phrase:
            same = self._phrases.setdefault(phrase[0], [])
            if phrase not in same:
                same.append(phrase)
                same.sort(key=len, reverse=True)
        else:
            self._symbols.add(text)
        if entry.startswith("!"):
            self._never.add(phrase or text)

    def statistics(self, text: str) -> ToxicWordStatistics:
        """Count the listed words of a text; a word in two phrases counts once."""
        found = words(text.casefold())
        n_listed = n_never = 0
        for phrase in self._matches(found):
            n_listed += len(phrase)
            n_never += phrase in self._never
        for symbol in self._symbols:
            occurrences = text.count(symbol)
            n_listed += occurrences
            n_never += occurrences if symbol in self._never else 0
        return ToxicWordStatistics(len(found), n_listed, n_never)

    def _matches(self, found: list[str]) -> Iterator[tuple[str, ...]]:
        if self._phrases.keys().isdisjoint(found):
            return
        position = 0
        while position < len(found):
            phrase = self._phrase_at(found, position)
            if phrase:
                yield phrase
            position += len(phrase) or 1

    def _phrase_at(self, found: list[str], position: int) -> tuple[str, ...]:
        for phrase in self._phrases.get(found[position], ()):
            if tuple(found[position : position + len(phrase)]) == phrase:
                return phrase
        return ()


def load_toxic_words(path: Path, setting: str = "toxic_words") -> tuple[ToxicWords, str]:
    """Read a file of the format above; also gives the SHA-256 of its bytes.

    Raises ValueError that names setting, file, line and remedy.
    """
    toxic = ToxicWords()
    return toxic, read_list(path, setting, toxic.add)
