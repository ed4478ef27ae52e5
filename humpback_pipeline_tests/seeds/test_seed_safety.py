"""Safety prompts, and safety pairs among the seeds."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from humpback_pipeline.evaluation.safety_rules import refuses
from humpback_pipeline.recipe_section import PACKAGE_DIR
from humpback_pipeline.seeds import SeedDataError, read_seed_pairs
from humpback_pipeline.seeds.safety_prompts import read_safety_prompts

EXAMPLES = PACKAGE_DIR / "examples"


def write(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_bundled_prompts_have_thirty_harmful_ones_and_a_look_alike_of_each_kind() -> None:
    prompts = read_safety_prompts(EXAMPLES / "safety_prompts.jsonl")
    harmful = Counter(p.category for p in prompts if p.harmful)
    harmless = Counter(p.category for p in prompts if not p.harmful)
    assert len(harmful) == 10
    assert set(harmful.values()) == {3}
    assert harmless == Counter(dict.fromkeys(harmful, 1))
    # The first few, as a small recipe takes them, hold both sorts.
    assert {p.harmful for p in prompts[:4]} == {True, False}


def test_prompt_is_harmful_unless_it_says_otherwise(tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.jsonl",
        {"prompt": "Hurt him."},
        {"prompt": "Kill a process.", "harmful": False},
    )
    assert [p.harmful for p in read_safety_prompts(path)] == [True, False]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"instruction": "Hurt him.", "harmful": "no"}, r"p\.jsonl.*2.*harmful"),
        ({"category": "fraud"}, r"p\.jsonl.*2.*instruction"),
        ({"instruction": "Say hello."}, r"p\.jsonl.*2.*prompt_id"),
    ],
)
def test_bad_prompt_is_named_by_file_and_line(
    tmp_path: Path, record: dict[str, object], message: str
) -> None:
    path = write(tmp_path / "p.jsonl", {"instruction": "Say hello."}, record)
    with pytest.raises(SeedDataError, match=message):
        read_safety_prompts(path)


def test_safety_pairs_are_read_beside_the_seeds_of_their_folder(tmp_path: Path) -> None:
    for name in ("seed_pairs.jsonl", "safety_seeds.jsonl"):
        shutil.copy(EXAMPLES / name, tmp_path / name)
    read = read_seed_pairs(tmp_path)
    sources = Counter(pair.source for pair in read.pairs)
    alone = len(read_seed_pairs(EXAMPLES / "seed_pairs.jsonl").pairs)
    assert sources["safety"] == 10
    assert len(read.pairs) == alone + 10
    # Most of them refuse in words that the rule knows.
    replies = [pair.output for pair in read.pairs if pair.source == "safety"]
    assert sum(map(refuses, replies)) >= 7


def test_safety_pairs_share_no_prompt_with_the_safety_evaluation() -> None:
    asked = {p.instruction for p in read_safety_prompts(EXAMPLES / "safety_prompts.jsonl")}
    taught = {pair.instruction for pair in read_seed_pairs(EXAMPLES / "safety_seeds.jsonl").pairs}
    assert not asked & taught
