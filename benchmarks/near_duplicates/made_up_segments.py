"""Segments made up by a seeded generator, a fifth of them near duplicates of earlier ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

BATCH = 500


@dataclass
class Batch:
    """Segments: identifiers, texts, and the true cluster of each."""

    ids: list[str]
    texts: list[str]
    clusters: list[int]


def generate(n: int, seed: int = 0) -> Iterator[Batch]:
    """`n` segments; clusters of two to six, which make up a quarter and lose all but one each."""
    random = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    vocabulary = ["".join(random.choice(letters, random.integers(2, 11))) for _ in range(20_000)]
    n_made = cluster = 0
    while n_made < n:
        batch = Batch([], [], [])
        while len(batch.ids) < min(BATCH, n - n_made):
            # 1 in 15 texts has four copies on average: a fifth of all.
            copies = int(random.integers(2, 6)) if random.random() < 1 / 14 else 0
            is_chain = bool(random.integers(2))
            first = words = random.integers(0, len(vocabulary), random.integers(100, 360))
            for copy in range(copies + 1):
                if copy:
                    words = edited(words if is_chain else first, len(vocabulary), random)
                # A multiplier spreads the ids, so that a cluster's lie far apart.
                number = (n_made + len(batch.ids)) * 0x9E3779B97F4A7C15 % 2**64
                batch.ids.append(f"{number:016x}")
                batch.texts.append(" ".join([vocabulary[i] for i in words]))
                batch.clusters.append(cluster)
            cluster += 1
        keep = min(BATCH, n - n_made)
        yield Batch(batch.ids[:keep], batch.texts[:keep], batch.clusters[:keep])
        n_made += keep


def edited(words: np.ndarray, n_vocabulary: int, random: np.random.Generator) -> np.ndarray:
    """A copy with two per cent of its words, side by side, replaced: similarity about 0.92."""
    copy = words.copy()
    n = max(1, len(words) // 50)
    start = random.integers(0, len(words) - n)
    copy[start : start + n] = random.integers(0, n_vocabulary, n)
    return copy
