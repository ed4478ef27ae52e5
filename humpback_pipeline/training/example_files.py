"""Examples in a file that is read where it is needed: their tokens take no memory of the process.

Arrow's own format, as any few of its examples can be read alone; Parquet would decode thousands to
show one. Read and not mapped: pages of a map count as the process's memory once they were touched,
and to know how much a training needs they must not.
"""

from __future__ import annotations

import operator
import os
import uuid
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa

from humpback_pipeline.storage.atomic import TEMPORARY_PREFIX
from humpback_pipeline.training.counts import CountedExamples, ExampleCounts
from humpback_pipeline.training.examples import TrainingExample

SCHEMA = pa.schema(
    {
        "example_id": pa.string(),
        "prompt_ids": pa.list_(pa.int32()),
        "completion_ids": pa.list_(pa.int32()),
        "truncated": pa.bool_(),
    }
)
# What is read at once to get one example of it: 64 KB.
BATCH_TOKENS = 16_000


class StoredExamples(CountedExamples):
    """The examples of a file that `write_examples` has written, in its order.

    What stays in memory is their counts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = pa.ipc.open_file(pa.OSFile(str(path)))
        self._ends = np.cumsum([batch.num_rows for batch in self._batches()], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @overload
    def __getitem__(self, index: int) -> TrainingExample: ...
    @overload
    def __getitem__(self, index: slice) -> list[TrainingExample]: ...
    def __getitem__(self, index: int | slice) -> TrainingExample | list[TrainingExample]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        row = range(len(self))[operator.index(index)]
        number = int(np.searchsorted(self._ends, row, side="right"))
        start = int(self._ends[number - 1]) if number else 0
        return _example(self._file.get_batch(number), row - start)

    def __iter__(self) -> Iterator[TrainingExample]:
        for batch in self._batches():
            for row in range(batch.num_rows):
                yield _example(batch, row)

    @cached_property
    def counts(self) -> ExampleCounts:
        """See CountedExamples."""
        return ExampleCounts.joined(
            ExampleCounts(
                _list_lengths(batch.column("prompt_ids")),
                _list_lengths(batch.column("completion_ids")),
                batch.column("truncated").to_numpy(zero_copy_only=False),
            )
            for batch in self._batches()
        )

    @property
    def ids(self) -> pa.StringArray:
        """See CountedExamples."""
        # Copies, as a batch's own column keeps all of the batch in memory.
        copies = (
            batch.column("example_id").take(pa.array(range(batch.num_rows)))
            for batch in self._batches()
        )
        return pa.concat_arrays([pa.array([], pa.string()), *copies])

    def _batches(self) -> Iterator[pa.RecordBatch]:
        return (self._file.get_batch(n) for n in range(self._file.num_record_batches))


def write_examples(examples: Iterable[TrainingExample], path: Path) -> StoredExamples:
    """Write examples to `path` as they come, and give them back as they lie there.

    Columns: example_id, prompt_ids, completion_ids, truncated. The file appears when it is whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(
        f"{TEMPORARY_PREFIX}{path.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    )
    try:
        with temporary.open("wb") as file:
            with pa.ipc.new_file(file, SCHEMA) as writer:
                for batch in _in_batches(examples):
                    writer.write_batch(batch)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return StoredExamples(path)


def _in_batches(examples: Iterable[TrainingExample]) -> Iterator[pa.RecordBatch]:
    waiting: list[TrainingExample] = []
    n_tokens = 0
    for example in examples:
        waiting.append(example)
        n_tokens += example.n_tokens
        if n_tokens >= BATCH_TOKENS:
            yield _batch(waiting)
            waiting, n_tokens = [], 0
    if waiting:
        yield _batch(waiting)


def _batch(examples: list[TrainingExample]) -> pa.RecordBatch:
    columns = {name: [getattr(example, name) for example in examples] for name in SCHEMA.names}
    return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)


def _example(batch: pa.RecordBatch, row: int) -> TrainingExample:
    return TrainingExample(
        batch.column("example_id")[row].as_py(),
        tuple(batch.column("prompt_ids")[row].values.to_numpy().tolist()),
        tuple(batch.column("completion_ids")[row].values.to_numpy().tolist()),
        batch.column("truncated")[row].as_py(),
    )


def _list_lengths(lists: Any) -> Any:
    return np.diff(lists.offsets.to_numpy()).astype(np.int32)
