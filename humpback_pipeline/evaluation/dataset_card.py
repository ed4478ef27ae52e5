"""The card of an exported set of pairs, in the Hub's format: YAML, then Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from .exports import JSON_LINES, PARQUET
from .tables import render_markdown_table

TAGS = ("instruction-tuning", "humpback", "instruction-backtranslation", "synthetic")
SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)
_LIMITS = """\
- **The instructions were written by a model**, not by people, and the outputs are passages of web
  pages that nobody wrote as answers: some fit each other badly, and some state what is wrong, out
  of date or one-sided. A model chose the pairs, so what it misjudges is in here.
- **The pages' authors hold the rights to their texts.** The licence above is what the maker of
  this set stated; it does not change theirs. `url` says where each output is from.
- **Personal data and harmful text** are only screened for as the recipe says; they may occur.
- **Languages, topics and views** are those of the crawl and of what the model rates highly. Measure
  what matters to you before you train on it.
"""


@dataclass(frozen=True)
class PairsCard:
    """What a card says of one exported set.

    columns and formats as `write_pairs` writes them. funnel: stage → rows and what was dropped
    there. selection: how the pairs were chosen, in words → value. provenance: kind → name → hash.
    """

    name: str
    n_pairs: int
    license: str
    languages: Sequence[str]
    formats: Sequence[str]
    made_by: str
    recipe: Mapping[str, str]
    selection: Mapping[str, str]
    funnel: Sequence[tuple[str, int, Mapping[str, int]]]
    statistics: pl.DataFrame
    provenance: Mapping[str, Mapping[str, str]]
    has_seeds: bool = False
    notes: Sequence[str] = field(default_factory=tuple)


def dataset_card(facts: PairsCard) -> str:
    """README.md of the set: metadata that the Hub and `datasets.load_dataset` read, then prose."""
    return f"""---
{card_metadata(facts)}
---
# {facts.name}

{_count(facts.n_pairs, "pair")} of instruction and output for instruction tuning, made by
[humpback_pipeline](https://arxiv.org/abs/2308.06259) (instruction backtranslation, Li et al.,
2023): {facts.made_by}

## Use

```python
from datasets import load_dataset

load_dataset("path/to/this/folder", split="train")
load_dataset("json", data_files="path/to/this/folder/alpaca/train.jsonl", split="train")
```

{_formats(facts)}

Columns of the Parquet file: `pair_id`, `origin` (`web`: an output from a web page with an
instruction written by a model; `seed`: a human pair), `instruction`, `output`, `rating` (1 to 5;
empty for seeds) and `url` (the output's page; empty for seeds).

## How it was selected

{_mapping(facts.selection)}

## From pages to pairs

{_funnel(facts)}

## Lengths, in characters

{render_markdown_table(facts.statistics, decimals=0)}

## Limits and bias

{_LIMITS}{"".join(f"- {note}{chr(10)}" for note in facts.notes)}
## Provenance

{_mapping(facts.recipe)}

Everything behind this set, by content hash:

{_provenance(facts)}
"""


def card_metadata(facts: PairsCard) -> str:
    """The YAML at the top of the card."""
    from huggingface_hub import DatasetCardData

    data = DatasetCardData(
        pretty_name=facts.name,
        license=facts.license,
        language=list(facts.languages) or None,
        size_categories=[size_category(facts.n_pairs)],
        task_categories=["text-generation"],
        annotations_creators=["machine-generated"],
        language_creators=["found", "machine-generated"],
        source_datasets=["original"],
        tags=list(TAGS),
        # One reader reads a whole folder, so the JSON Lines are no configurations of their own.
        configs=[
            {"config_name": "default", "data_files": [{"split": "train", "path": PARQUET}]},
        ],
    )
    return data.to_yaml()


def public_name(name: str) -> str:
    """A name without where a file lies on this machine."""
    return Path(name).name if Path(name).is_absolute() else name


def size_category(n: int) -> str:
    """The Hub's name for the size of a data set."""
    return next((name for limit, name in SIZES if n < limit), "other")


def _formats(facts: PairsCard) -> str:
    lines = [f"- `{PARQUET}`: Parquet, read by default"]
    texts = {
        "messages": "one conversation a line, `{'messages': [{'role', 'content'}, …]}`",
        "alpaca": "Alpaca's fields, `{'instruction', 'input', 'output'}`",
    }
    for name, text in texts.items():
        if name in facts.formats:
            lines.append(f"- `{JSON_LINES[name]}`: {text}")
    if "datasets" in facts.formats and facts.n_pairs:
        lines.append("- `datasets/`: the same as a folder for `datasets.load_from_disk`")
    return "\n".join(lines)


def _mapping(rows: Mapping[str, str]) -> str:
    frame = pl.DataFrame({"what": list(rows), "which": list(rows.values())})
    return render_markdown_table(frame, max_rows=100, max_chars=400)


def _funnel(facts: PairsCard) -> str:
    rows = [
        {
            "stage": stage,
            "rows": n,
            "dropped there": ", ".join(f"{reason} {d:,}" for reason, d in sorted(dropped.items())),
        }
        for stage, n, dropped in facts.funnel
    ]
    return render_markdown_table(pl.DataFrame(rows), max_rows=100, max_chars=600)


def _provenance(facts: PairsCard) -> str:
    rows = [
        {"kind": kind.replace("_", " "), "name": public_name(name), "SHA-256": value}
        for kind, entries in facts.provenance.items()
        for name, value in sorted(entries.items())
    ]
    if not rows:
        return "Nothing upstream."
    return render_markdown_table(pl.DataFrame(rows), max_rows=200)


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
