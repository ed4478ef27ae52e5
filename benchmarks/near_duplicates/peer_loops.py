"""The peers' own loop: a sketch, a query and an insertion for each segment."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from near_duplicates.made_up_segments import Batch

WORD = re.compile(r"\w+")


def n_clusters(
    batches: Iterator[Batch],
    index: Any,
    make_sketch: Callable[[list[str]], Any],
    threshold: float,
    ngram_words: int,
) -> int:
    """Join each segment to those that `index` finds for its sketch; returns how many stay apart.

    index: has `query(sketch)` and `insert(number, sketch)`; a sketch has `jaccard(other)`.
    """
    sketches: list[Any] = []
    parent: list[int] = []
    for number, shingles in enumerate(shingled(batches, ngram_words)):
        sketch = make_sketch(shingles)
        parent.append(number)
        for other in index.query(sketch):
            if sketch.jaccard(sketches[other]) >= threshold:
                join(parent, number, other)
        index.insert(number, sketch)
        sketches.append(sketch)
    return sum(root == number for number, root in enumerate(parent))


def shingled(batches: Iterator[Batch], ngram_words: int) -> Iterator[list[str]]:
    """Word n-grams of each text."""
    for batch in batches:
        for text in batch.texts:
            words = WORD.findall(text.lower())
            last = max(1, len(words) - ngram_words + 1)
            yield [" ".join(words[start : start + ngram_words]) for start in range(last)]


def join(parent: list[int], a: int, b: int) -> None:
    """Union by the lower number."""
    while parent[a] != a:
        a = parent[a]
    while parent[b] != b:
        b = parent[b]
    parent[max(a, b)] = min(a, b)
