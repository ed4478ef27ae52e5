"""Where training pairs share a long run of words with what models are measured on.

`ContaminationIndex` says which pairs do; this says with which prompt, and how much of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import polars as pl

from humpback_pipeline.text.contamination import MIN_WHOLE_WORDS, ContaminationIndex, plain_text
from humpback_pipeline.text.words import WordBatch

OVERLAP_SCHEMA = {
    "prompts": pl.String,
    "prompt_id": pl.String,
    "part": pl.String,
    "dataset": pl.String,
    "pair_id": pl.String,
    "field": pl.String,
    "n_words": pl.Int64,
    "covered": pl.Float64,
    "words": pl.String,
}
FIELDS = ("instruction", "output")
EVALUATION = "evaluation"
MAX_SHOWN_WORDS = 60
_TEXTS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class HeldOutText:
    """One text that models are measured on.

    prompts: the set it belongs to, such as `evaluation`. part: `instruction` or `reference`.
    """

    prompts: str
    prompt_id: str
    part: str
    text: str


@dataclass(frozen=True, slots=True)
class SharedRun:
    """What two texts share: the longest run of words, and the share of the first that is covered
    by runs of at least the size asked for."""

    words: tuple[str, ...]
    covered: float


class OverlapFinder:
    """Finds the held-out texts that pairs share a run of `ngram_words` words with.

    The rule is `ContaminationIndex`'s: a held-out text of fewer words counts as a whole from
    MIN_WHOLE_WORDS words on, one of still fewer only if it is all of the other text.
    """

    def __init__(self, held_out: Sequence[HeldOutText], ngram_words: int = 13) -> None:
        self._held_out = list(held_out)
        self._size = ngram_words
        self._index = ContaminationIndex((held.text for held in self._held_out), ngram_words)

    def find(self, dataset: str, pairs: pl.DataFrame) -> pl.DataFrame:
        """Rows of `OVERLAP_SCHEMA`, one for each held-out text and each pair's field.

        pairs: columns pair_id, instruction, output. n_words: length of the longest run shared;
        words: the run, cut after MAX_SHOWN_WORDS; covered: share of the held-out text's words that
        lie in shared runs. The largest share comes first.
        """
        rows = [
            {
                "prompts": held.prompts,
                "prompt_id": held.prompt_id,
                "part": held.part,
                "dataset": dataset,
                "pair_id": pair_id,
                "field": field,
                "n_words": len(shared.words),
                "covered": shared.covered,
                "words": _shown(shared.words),
            }
            for field in FIELDS
            for pair_id, text in self._flagged(pairs, field)
            for held, shared in self._matches(text)
        ]
        frame = pl.DataFrame(rows, schema=OVERLAP_SCHEMA)
        order = ["covered", "n_words", "prompts", "prompt_id", "part", "pair_id", "field"]
        return frame.sort(order, descending=[True, True, *(False for _ in order[2:])])

    def contaminated(self, pairs: pl.DataFrame) -> pl.Series:
        """Whether each pair, by its instruction or its output, shares a run."""
        flags = [pl.Series(self._index.contaminated(pairs[f]), dtype=pl.Boolean) for f in FIELDS]
        return flags[0] | flags[1]

    def _flagged(self, pairs: pl.DataFrame, field: str) -> Iterator[tuple[str, str]]:
        flags = pl.Series(self._index.contaminated(pairs[field]), dtype=pl.Boolean)
        yield from pairs.filter(flags).select("pair_id", field).iter_rows()

    def _matches(self, text: str) -> Iterator[tuple[HeldOutText, SharedRun]]:
        words = next(_words([text]))
        whole = " ".join(words)
        numbers = {
            number
            for size in self._sizes
            for gram in _grams(words, size)
            for number in self._places.get(gram, ())
        }
        numbers.update(self._places.get(whole, ()))
        for number in sorted(numbers):
            held = self._words_held_out[number]
            if len(held) < min(MIN_WHOLE_WORDS, self._size):
                if held == words:
                    yield self._held_out[number], SharedRun(tuple(held), 1.0)
            elif shared := shared_run(held, words, min(self._size, len(held))):
                yield self._held_out[number], shared

    @cached_property
    def _words_held_out(self) -> list[list[str]]:
        return list(_words(held.text for held in self._held_out))

    @cached_property
    def _sizes(self) -> list[int]:
        lengths = {min(self._size, len(words)) for words in self._words_held_out}
        return sorted(size for size in lengths if size >= min(MIN_WHOLE_WORDS, self._size))

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        """Run of words → numbers of the held-out texts that hold it; made at the first hit."""
        places: dict[str, list[int]] = {}
        for number, words in enumerate(self._words_held_out):
            for gram in set(_grams(words, min(self._size, len(words)))):
                places.setdefault(gram, []).append(number)
        return places


def shared_run(held_out: Sequence[str], words: Sequence[str], size: int) -> SharedRun | None:
    """The longest run of `size` or more words that both have; None if there is none."""
    where: dict[str, list[int]] = {}
    for place, gram in enumerate(_grams(words, size)):
        where.setdefault(gram, []).append(place)
    covered = bytearray(len(held_out))
    before: dict[int, int] = {}
    longest, end = 0, 0
    for start, gram in enumerate(_grams(held_out, size)):
        # Runs that end here, by their place in the other text; each is one longer than before.
        here = {place: before.get(place - 1, 0) + 1 for place in where.get(gram, ())}
        if here:
            covered[start : start + size] = b"\1" * size
            length = max(here.values()) + size - 1
            if length > longest:
                longest, end = length, start + size
        before = here
    if not longest:
        return None
    return SharedRun(tuple(held_out[end - longest : end]), sum(covered) / len(held_out))


def overlap_counts(overlaps: pl.DataFrame, n_pairs: dict[str, int]) -> list[dict[str, object]]:
    """For each dataset of `n_pairs`: pairs, those contaminated, and the prompts they touch.

    evaluation_prompts: of the latter, those that win rates are measured on.
    """
    rows: list[dict[str, object]] = []
    for dataset, n in n_pairs.items():
        found = overlaps.filter(pl.col("dataset") == dataset)
        touched = found.select("prompts", "prompt_id").unique()
        n_found = found["pair_id"].n_unique()
        rows.append(
            {
                "dataset": dataset,
                "pairs": n,
                "contaminated_pairs": n_found,
                "share_of_pairs": n_found / n if n else 0.0,
                "contaminated_prompts": touched.height,
                "evaluation_prompts": touched.filter(pl.col("prompts") == EVALUATION).height,
            }
        )
    return rows


def prompt_counts(
    overlaps: pl.DataFrame, held_out: Iterable[HeldOutText]
) -> list[dict[str, object]]:
    """For each set of prompts, in their order: how many there are, and how many are found."""
    ids: dict[str, set[str]] = {}
    for held in held_out:
        ids.setdefault(held.prompts, set()).add(held.prompt_id)
    return [
        {
            "prompts": name,
            "n": len(known),
            "contaminated": overlaps.filter(pl.col("prompts") == name)["prompt_id"].n_unique(),
        }
        for name, known in ids.items()
    ]


def _grams(words: Sequence[str], size: int) -> Iterator[str]:
    if size > 0:
        yield from (" ".join(words[n : n + size]) for n in range(len(words) - size + 1))


def _words(texts: Iterable[str]) -> Iterator[list[str]]:
    rest = map(plain_text, texts)
    while some := list(islice(rest, _TEXTS_AT_ONCE)):
        batch = WordBatch(some)
        yield from (batch.text(number).split() for number in range(batch.n_texts))


def _shown(words: Sequence[str]) -> str:
    if len(words) <= MAX_SHOWN_WORDS:
        return " ".join(words)
    return " ".join((*words[:MAX_SHOWN_WORDS], "…"))
