"""How long examples are and what they are called: all that most of a training asks of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from humpback_pipeline.training.examples import TrainingExample

DIGEST_BYTES = 8


@dataclass(frozen=True, eq=False)
class ExampleCounts:
    """Arrays with an entry for each example, 9 bytes of memory: its tokens, and if it was cut."""

    n_prompt_tokens: NDArray[np.int32]
    n_completion_tokens: NDArray[np.int32]
    truncated: NDArray[np.bool_]

    @property
    def n_tokens(self) -> NDArray[np.int32]:
        """Tokens of each whole example."""
        return self.n_prompt_tokens + self.n_completion_tokens

    def at(self, rows: NDArray[np.int64]) -> ExampleCounts:
        """The counts of the examples with the numbers `rows`."""
        return ExampleCounts(
            self.n_prompt_tokens[rows], self.n_completion_tokens[rows], self.truncated[rows]
        )

    @classmethod
    def joined(cls, parts: Iterable[ExampleCounts]) -> ExampleCounts:
        """The counts of parts one after the other."""
        parts = list(parts)
        return cls(
            np.concatenate([np.empty(0, np.int32), *(part.n_prompt_tokens for part in parts)]),
            np.concatenate([np.empty(0, np.int32), *(part.n_completion_tokens for part in parts)]),
            np.concatenate([np.empty(0, np.bool_), *(part.truncated for part in parts)]),
        )


class CountedExamples(Sequence[TrainingExample]):
    """Examples that are read when asked for, and whose counts and ids need no reading of tokens."""

    @property
    @abstractmethod
    def counts(self) -> ExampleCounts:
        """Of every example, in order."""

    @property
    @abstractmethod
    def ids(self) -> pa.StringArray:
        """The id of every example, in order; read from where they lie each time."""


def count_examples(examples: Sequence[TrainingExample]) -> ExampleCounts:
    """The counts of any examples."""
    if isinstance(examples, CountedExamples):
        return examples.counts
    n = len(examples)
    return ExampleCounts(
        np.fromiter((len(example.prompt_ids) for example in examples), np.int32, n),
        np.fromiter((len(example.completion_ids) for example in examples), np.int32, n),
        np.fromiter((example.truncated for example in examples), np.bool_, n),
    )


def n_distinct(examples: Sequence[TrainingExample]) -> int:
    """How many different ids examples have.

    See `first_uses`.
    """
    return len(first_uses(examples))


def first_uses(examples: Sequence[TrainingExample]) -> NDArray[np.int64]:
    """Number of the first example of each id, in no order.

    By digests of 8 bytes, of which a million collide once in 37 million times; a table of the ids
    themselves, as pyarrow's, takes 400 bytes of memory an example.
    """
    ids = example_ids(examples)
    digests = (blake2b(name.as_py().encode(), digest_size=DIGEST_BYTES).digest() for name in ids)
    numbers = np.fromiter(map(int.from_bytes, digests), np.uint64, len(ids))
    return np.unique(numbers, return_index=True)[1].astype(np.int64)


def longest_first(examples: Sequence[TrainingExample]) -> NDArray[np.int64]:
    """Numbers of the examples from the longest to the shortest, of one length by their ids."""
    columns = {"n_tokens": pa.array(count_examples(examples).n_tokens), "id": example_ids(examples)}
    keys = [("n_tokens", "descending"), ("id", "ascending")]
    order = pc.sort_indices(pa.table(columns), sort_keys=keys)
    return np.asarray(order).astype(np.int64)


def example_ids(examples: Sequence[TrainingExample]) -> pa.StringArray:
    """The ids of any examples, in order."""
    if isinstance(examples, CountedExamples):
        return examples.ids
    return pa.array((example.example_id for example in examples), pa.string())
