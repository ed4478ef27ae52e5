from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

Write = Callable[..., Path]


@pytest.fixture
def write_lines(tmp_path: Path) -> Write:
    """Write records, or raw strings as they are, one per line; .gz by the name."""

    def write(records: Iterable[Any], name: str = "seeds.jsonl") -> Path:
        lines = (r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in records)
        content = "".join(line + "\n" for line in lines).encode("utf-8")
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


@pytest.fixture
def numbered() -> Callable[[int], list[dict[str, str]]]:
    """Make distinct English pairs."""

    def make(n: int) -> list[dict[str, str]]:
        return [
            {
                "instruction": f"Explain what happens in step {i} of the baking recipe.",
                "output": f"In step {i} the dough rests for {i} minutes before it is shaped.",
            }
            for i in range(n)
        ]

    return make
