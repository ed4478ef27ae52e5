"""The corpus selection on segments written by hand: reasons, facts, and when it is redone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from humpback_pipeline.progress import Progress
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages import corpus_scan as corpus_scan_module
from humpback_pipeline.stages.corpus_selection import SELECTION_SCHEMA, write_selection
from humpback_pipeline.web import SEGMENT_SCHEMA

SCHEMA = {**SEGMENT_SCHEMA, "document_hash": pl.String}
PROMPT = "Which thirteen words of this question does nobody else on the whole web write so?"
REFERENCE = "Those of the reference answer are counted too when they stand in a row like this."


def words(start: int, count: int = 150) -> str:
    return " ".join(f"w{n}" for n in range(start, start + count))


def segment(
    name: str,
    text: str,
    *,
    document: str = "",
    page_hash: str | None = None,
    host: str = "example.org",
) -> dict[str, Any]:
    document = document or f"doc-{name}"
    return {
        "segment_id": name,
        "document_id": document,
        "document_hash": page_hash or f"bytes of {document}",
        "url": f"https://{host}/{document}",
        "language": "en",
        "header": f"Header {name}",
        "text": text,
        "text_chars": len(text),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_prompts(tmp_path, PROMPT)
    return tmp_path


def write_prompts(folder: Path, *prompts: str) -> None:
    lines = [json.dumps({"instruction": p, "output": REFERENCE}) for p in prompts]
    (folder / "prompts.jsonl").write_text("\n".join(lines))


def open_workspace(folder: Path, **corpus: str) -> Workspace:
    fields = {"home": str(folder / "home"), "evaluation.prompts": str(folder / "prompts.jsonl")}
    fields |= {f"corpus.{name}": value for name, value in corpus.items()}
    return Workspace(load_recipe("demo", fields))


def write_shard(workspace: Workspace, shard: str, rows: Sequence[dict[str, Any]]) -> None:
    facts = {
        "funnel": {"1 records": 10, "2 HTML pages": 8, "3 segments": len(rows)},
        "document_drops": {"language": 2},
        "segment_drops": {"too_short": 3, shard: 1},
        "languages": {"en": 8},
        "hosts": {"example.org": len(rows)},
    }
    frame = pl.DataFrame([*rows], schema=SCHEMA)
    workspace.datasets.write("clueweb_segments", frame, schema=SCHEMA, partition=shard, facts=facts)


def select(workspace: Workspace, shards: Mapping[str, Sequence[dict[str, Any]]]) -> pl.DataFrame:
    for shard, rows in shards.items():
        write_shard(workspace, shard, rows)
    write_selection(workspace, list(shards))
    return workspace.datasets.read("corpus_selection")


def reasons(frame: pl.DataFrame) -> dict[str, tuple[str, str | None]]:
    return {r["segment_id"]: (r["reason"], r["duplicate_of"]) for r in frame.to_dicts()}


EVERY_KIND = {
    "s1": [
        segment("a1", words(0), document="doc-b", page_hash="same bytes"),
        segment("a2", words(1_000), document="doc-c"),
        segment("a3", f"{words(2_000)} {PROMPT.upper()}"),
        segment("a4", words(3_000), host="wiki.example.net"),
    ],
    "s2": [
        segment("b1", words(0), document="doc-a", page_hash="same bytes"),
        segment("b2", words(1_000)),
        segment("b3", words(1_004)),
        segment("b4", f"{words(4_000)} {REFERENCE}"),
        segment("b5", words(5_000), host="wiki.example.net"),
    ],
}


def test_every_segment_has_one_reason(folder: Path) -> None:
    workspace = open_workspace(folder, max_segments_per_host="1", sample_segments="2")
    frame = select(workspace, EVERY_KIND)
    assert frame.schema == SELECTION_SCHEMA
    assert frame["segment_id"].to_list() == [
        r["segment_id"] for s in EVERY_KIND.values() for r in s
    ]
    found = reasons(frame)
    assert found["a1"] == ("duplicate_page", "b1")
    assert found["b2"] == ("exact_duplicate", "a2")
    assert found["b3"] == ("near_duplicate", "a2")
    assert found["a3"] == found["b4"] == ("contaminated", None)
    # Two hosts are left, two segments each.
    left = [found[name] for name in ("a2", "b1", "a4", "b5")]
    assert sorted(left, key=str) == [("", None), ("", None), ("host_cap", None), ("host_cap", None)]
    assert frame.filter("kept")["reason"].to_list() == ["", ""]
    manifest = workspace.datasets.manifest("corpus_selection")
    assert manifest.facts["n_selected"] == 2
    assert manifest.facts["reasons"] == {
        "duplicate_page": 1,
        "exact_duplicate": 1,
        "near_duplicate": 1,
        "host_cap": 2,
        "contaminated": 2,
    }
    assert sum(manifest.facts["selected_by_shard"].values()) == 2


def test_sample_smaller_than_what_is_left_says_not_sampled(folder: Path) -> None:
    rows = [segment(f"s{n}", words(1_000 * n)) for n in range(6)]
    frame = select(open_workspace(folder, sample_segments="4"), {"s": rows})
    assert frame["reason"].value_counts().sort("count").to_dicts() == [
        {"reason": "not_sampled", "count": 2},
        {"reason": "", "count": 4},
    ]


def test_facts_tell_of_the_whole_corpus(folder: Path) -> None:
    workspace = open_workspace(folder, min_chars="600", max_chars="1199")
    select(workspace, EVERY_KIND)
    facts = workspace.datasets.manifest("corpus_selection").facts
    assert facts["corpus_funnel"] == {
        "1 records": 20,
        "2 HTML pages": 16,
        "3 segments": 9,
        "4 without duplicates and contamination": 4,
        "5 selected": 4,
    }
    assert facts["corpus_document_drops"] == {"language": 4}
    assert facts["corpus_segment_drops"] == {"too_short": 6, "s1": 1, "s2": 1}
    assert facts["corpus_languages"] == {"en": 16}
    assert facts["corpus_hosts"] == {"example.org": 9}
    bins = facts["length_histogram"]
    assert (bins[0]["from_chars"], bins[-1]["to_chars"]) == (600, 1_199)
    assert all(b["from_chars"] == a["to_chars"] + 1 for a, b in pairwise(bins))
    assert sum(row["n"] for row in bins) == 9
    lengths = [len(r["text"]) for rows in EVERY_KIND.values() for r in rows]
    assert [row["n"] for row in bins[1:-1]] == [
        sum(row["from_chars"] <= n <= row["to_chars"] for n in lengths) for row in bins[1:-1]
    ]


def test_samples_show_what_was_selected_and_what_was_dropped(folder: Path) -> None:
    workspace = open_workspace(folder)
    select(workspace, EVERY_KIND)
    facts = workspace.datasets.manifest("corpus_selection").facts
    assert {sample["header"] for sample in facts["samples"]} == {
        f"Header {name}" for name in ("a2", "b1", "a4", "b5")
    }
    assert facts["samples"][0].keys() == {"header", "text", "url", "language"}
    drops = facts["drop_samples"]
    assert drops.keys() == {"contaminated", "duplicate_page", "exact_duplicate", "near_duplicate"}
    assert drops["near_duplicate"] == [
        {"segment_id": "b3", "header": "Header b3", "text": words(1_004), "duplicate_of": "a2"}
    ]
    shared = {s["segment_id"]: s["matching_words"] for s in drops["contaminated"]}
    assert shared == {
        "a3": "which thirteen words of this question does nobody else on the whole web",
        "b4": "those of the reference answer are counted too when they stand in a",
    }


def test_samples_are_few_and_short(folder: Path) -> None:
    rows = [segment(f"s{n:02d}", words(1_000 * n, 900)) for n in range(30)]
    workspace = open_workspace(folder, sample_segments="20")
    select(workspace, {"s": rows})
    facts = workspace.datasets.manifest("corpus_selection").facts
    assert (len(facts["samples"]), len(facts["drop_samples"]["not_sampled"])) == (10, 5)
    assert {len(sample["text"]) for sample in facts["samples"]} == {3_000}


def test_contamination_screen_can_be_turned_off(folder: Path) -> None:
    workspace = open_workspace(folder, contamination_ngram="null")
    found = reasons(select(workspace, EVERY_KIND))
    assert found["a3"] == found["b4"] == ("", None)
    sources = workspace.datasets.manifest("corpus_selection").provenance.datasets
    assert "file/evaluation.prompts/prompts.jsonl" not in sources


def test_clean_copy_of_a_contaminated_segment_stays(folder: Path) -> None:
    rows = [segment("a", f"{words(0)} {PROMPT}"), segment("b", words(0))]
    found = reasons(select(open_workspace(folder), {"s": rows}))
    assert found == {"a": ("contaminated", None), "b": ("", None)}


def test_other_evaluation_prompts_have_the_selection_made_again(folder: Path) -> None:
    workspace = open_workspace(folder)
    select(workspace, EVERY_KIND)
    first = workspace.datasets.manifest("corpus_selection")
    assert "file/evaluation.prompts/prompts.jsonl" in first.provenance.datasets
    assert write_selection(workspace, ["s2", "s1"]).version == first.version
    write_prompts(folder, words(5_000, 13))
    second = write_selection(workspace, ["s1", "s2"])
    assert second.version != first.version
    assert reasons(workspace.datasets.read("corpus_selection"))["b5"][0] == "contaminated"


def test_order_of_shards_and_parts_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = open_workspace(folder, sample_segments="2")
    expected = select(workspace, EVERY_KIND)
    monkeypatch.setattr(corpus_scan_module, "SEGMENTS_AT_ONCE", 3)
    monkeypatch.setattr(corpus_scan_module, "WORDS_AT_ONCE", 2)
    write_selection(replace(workspace, rebuild=True), ["s2", "s1"])
    again = workspace.datasets.read("corpus_selection")
    assert again.sort("segment_id").equals(expected.sort("segment_id"))


def test_one_page_in_two_shards_is_selected_once(folder: Path) -> None:
    rows = [segment("a", words(0)), segment("b", words(1_000))]
    frame = select(open_workspace(folder), {"s1": rows, "s2": rows})
    assert frame.filter("kept").select("segment_id", "shard").rows() == [("a", "s1"), ("b", "s1")]
    assert frame.filter(~pl.col("kept"))["reason"].to_list() == ["exact_duplicate"] * 2


def test_shards_without_segments_and_segments_without_page_hash(folder: Path) -> None:
    workspace = open_workspace(folder)
    assert select(workspace, {"s1": []}).height == 0
    facts = workspace.datasets.manifest("corpus_selection").facts
    assert (facts["n_selected"], facts["samples"], facts["drop_samples"]) == (0, [], {})
    old = pl.DataFrame([segment("a", words(0))], schema=SCHEMA).drop("document_hash")
    workspace.datasets.write("clueweb_segments", old, schema=old.schema, partition="s2")
    write_selection(workspace, ["s1", "s2"])
    assert workspace.datasets.read("corpus_selection")["kept"].to_list() == [True]


def test_progress_counts_segments_and_no_signatures_stay_on_disk(folder: Path) -> None:
    workspace = open_workspace(folder)
    for shard, rows in EVERY_KIND.items():
        write_shard(workspace, shard, rows)
    told: list[Progress] = []
    write_selection(workspace, ["s1", "s2"], told.append)
    last = {progress.stage: progress for progress in told}
    assert (last["duplicates"].done, last["duplicates"].total) == (9, 9)
    assert last["near duplicates"].done == last["near duplicates"].total == 16
    assert not list((folder / "home").rglob("*signatures*"))
