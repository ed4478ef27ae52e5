"""Who wrote the reference answers of evaluation prompts, where their file says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from humpback_pipeline.seeds import read_evaluation_prompts


@pytest.mark.parametrize(
    ("record", "writer"),
    [
        ({"output": "Yes.", "generator": "gpt4_1106_preview"}, "gpt4_1106_preview"),
        ({"reference_output": "Yes.", "reference": "text_davinci_003"}, "text_davinci_003"),
        ({"reference_output": "Yes.", "reference": "a", "generator": "b"}, "b"),
        ({"output": "Yes.", "reference": "a text of another kind"}, ""),
        ({"output": "Yes."}, ""),
    ],
)
def test_writer_of_the_reference_is_kept(
    record: dict[str, Any], writer: str, tmp_path: Path
) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps([{"instruction": "Is it?", "dataset": "koala", **record}]))
    (prompt,) = read_evaluation_prompts(path)
    assert (prompt.generator, prompt.output, prompt.dataset) == (writer, "Yes.", "koala")
