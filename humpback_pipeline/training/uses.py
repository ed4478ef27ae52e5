"""Examples as often and in the order that they are used, without a copy of any."""

from __future__ import annotations

import json
import operator
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from humpback_pipeline.training.counts import (
    CountedExamples,
    ExampleCounts,
    count_examples,
    example_ids,
)
from humpback_pipeline.training.example_files import StoredExamples, write_examples
from humpback_pipeline.training.examples import TrainingExample


class ExampleUses(CountedExamples):
    """Examples of `parts`, counted through from the first part to the last, by their numbers.

    rows: int64, the number of the example of each use. It equals any sequence of equal examples.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, parts: Sequence[Sequence[TrainingExample]], rows: NDArray[np.int64]) -> None:
        self.parts = tuple(parts)
        self.rows = rows
        self._ends = np.cumsum([len(part) for part in self.parts], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> TrainingExample: ...
    @overload
    def __getitem__(self, index: slice) -> list[TrainingExample]: ...
    def __getitem__(self, index: int | slice) -> TrainingExample | list[TrainingExample]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        row = int(self.rows[operator.index(index)])
        number = int(np.searchsorted(self._ends, row, side="right"))
        return self.parts[number][row - (int(self._ends[number - 1]) if number else 0)]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    @cached_property
    def counts(self) -> ExampleCounts:
        """See CountedExamples."""
        return ExampleCounts.joined(map(count_examples, self.parts)).at(self.rows)

    @property
    def ids(self) -> pa.StringArray:
        """See CountedExamples."""
        return pa.concat_arrays(map(example_ids, self.parts)).take(pa.array(self.rows))


def hand_over(examples: Sequence[TrainingExample], folder: Path, name: str) -> None:
    """Leave examples in `folder` for another process; those that lie in files stay where they are.

    It finds a list of the files in `<name>.json` and the uses, if there are any, in `<name>.npy`.
    """
    parts = examples.parts if isinstance(examples, ExampleUses) else (examples,)
    files = [
        part.path
        if isinstance(part, StoredExamples)
        else write_examples(part, folder / f"{name}-{number}.arrow").path
        for number, part in enumerate(parts)
    ]
    if isinstance(examples, ExampleUses):
        np.save(folder / f"{name}.npy", examples.rows, allow_pickle=False)
    text = json.dumps([str(path.absolute()) for path in files])
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


def taken_over(folder: Path, name: str) -> Sequence[TrainingExample]:
    """The examples that `hand_over` has left."""
    files = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    parts = [StoredExamples(Path(path)) for path in files]
    rows = folder / f"{name}.npy"
    if not rows.is_file():
        return parts[0]
    return ExampleUses(parts, np.load(rows, allow_pickle=False))
