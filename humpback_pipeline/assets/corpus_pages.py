"""What the pages of the corpus show: funnel, lengths, samples kept and samples dropped."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets.metadata import counts_table
from humpback_pipeline.assets.sparklines import INLINE_CHARS
from humpback_pipeline.evaluation.tables import render_markdown_table, truncate_text
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.corpus import SEGMENTS

N_SAMPLES = 10
SAMPLE_CHARS = 1_200
DROP_SAMPLE_CHARS = 160
# All samples of one page, so that its event stays at some ten kilobytes however many reasons.
MAX_DROP_SAMPLES = 36
DROP_SAMPLES_PER_REASON = 3
BAR_CHARS = 16
# What a crawled text could have the reader's browser do: load a picture, take it for HTML.
_LIVE = re.compile(r"!(?=\[)|<(?=[A-Za-z/!?])")
_ZERO_WIDTH_SPACE = "\u200b"


def funnel_table(
    funnel: Mapping[str, int], *drops: Mapping[str, int], most: int | None = None
) -> dg.MetadataValue:
    """Stages in their order, from the second on each with what was dropped after it, by reason.

    drops: reason → count, of the second stage, the third, and so on. Where the table is too long
    for the UI to show at once, the rarest reasons are put together.
    """
    rows: list[dict[str, Any]] = []
    for number, (stage, n) in enumerate(funnel.items()):
        rows.append({"stage": stage, "n": n})
        after = drops[number - 1] if 0 < number <= len(drops) else {}
        ranked = sorted(after.items(), key=lambda item: (-item[1], item[0]))
        shown, rest = ranked[:most], ranked[most:] if most is not None else []
        rows += [{"stage": f"– {reason}", "n": count} for reason, count in shown]
        if rest:
            others = f"– {len(rest)} other reasons"
            rows.append({"stage": others, "n": sum(count for _, count in rest)})
    text = render_markdown_table(pl.DataFrame(rows), max_rows=len(rows))
    if len(text) >= INLINE_CHARS and most != 1:
        return funnel_table(funnel, *drops, most=(most or 11) - 1)
    return dg.MetadataValue.md(text)


def histogram_table(bins: Sequence[Mapping[str, int]]) -> dg.MetadataValue:
    """Lengths as a table with bars; a bin has from_chars, to_chars (both included) and n."""
    most = max((row["n"] for row in bins), default=0)
    if not most:
        return dg.MetadataValue.md("None.")
    rows = [
        {
            "characters": f"{row['from_chars']:,}-{row['to_chars']:,}",
            "n": row["n"],
            "share": "█" * round(BAR_CHARS * row["n"] / most),
        }
        for row in bins
    ]
    return dg.MetadataValue.md(render_markdown_table(pl.DataFrame(rows), max_rows=len(rows)))


def rendered_samples(samples: Iterable[Mapping[str, Any]]) -> dg.MetadataValue:
    """Segments as they read: each under its header and address, its Markdown as a quotation.

    A sample has header, text, url and language. Long texts are cut.
    """
    pieces = []
    for number, sample in enumerate(samples, 1):
        text = str(sample["text"])
        url = truncate_text(str(sample["url"]), 120).replace("`", "")
        facts = f"{sample['language'] or 'unknown language'}, {len(text):,} characters"
        pieces.append(f"**{number}.** `{url}` ({facts})\n\n{quoted(text)}")
    return dg.MetadataValue.md("\n\n---\n\n".join(pieces) or "None.")


def quoted(text: str, max_chars: int = SAMPLE_CHARS) -> str:
    """A crawled Markdown text as a block quotation, cut; no picture of it loads, no HTML lives.

    Invisible spaces do that, in code as well as around it.
    """
    cut = text if len(text) <= max_chars else f"{text[:max_chars].rstrip()} …"
    safe = _LIVE.sub(lambda mark: mark.group(0) + _ZERO_WIDTH_SPACE, cut)
    return "\n".join(f"> {line}".rstrip() for line in safe.splitlines())


def drop_samples_table(samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> dg.MetadataValue:
    """Some of what was dropped for each reason: header, where it is from, how its text begins."""
    if not samples:
        return dg.MetadataValue.md("None.")
    per_reason = min(DROP_SAMPLES_PER_REASON, max(1, MAX_DROP_SAMPLES // len(samples)))
    rows = [
        {
            "reason": reason,
            "header": truncate_text(str(sample.get("header") or ""), 80),
            "where": truncate_text(_where(sample), 100),
            "text": str(sample.get("text") or "")[: 2 * DROP_SAMPLE_CHARS],
        }
        for reason, kept in samples.items()
        for sample in kept[:per_reason]
    ]
    frame = pl.DataFrame(rows[:MAX_DROP_SAMPLES])
    table = render_markdown_table(frame, max_rows=len(rows), max_chars=DROP_SAMPLE_CHARS)
    return dg.MetadataValue.md(table)


def read_samples(workspace: Workspace, shard: str) -> pl.DataFrame:
    """Ten segments of a shard, the lowest ids: hashes, so from anywhere in it, and the same ones.

    Only the ids are read of all, and only these ten texts.
    """
    rows = workspace.datasets.scan(SEGMENTS, shard)
    ids = rows.select(pl.col("segment_id").bottom_k(N_SAMPLES)).collect()["segment_id"]
    columns = ["segment_id", "header", "text", "url", "language"]
    wanted = rows.select(columns).filter(pl.col("segment_id").is_in(ids.implode()))
    return wanted.collect(engine="streaming").sort("segment_id")


def corpus_metadata(facts: Mapping[str, Any]) -> dict[str, dg.MetadataValue]:
    """What the selection knows of all shards together; nothing of what older versions lack."""
    found: dict[str, dg.MetadataValue] = {}
    pages, segments = facts.get("corpus_document_drops", {}), facts.get("corpus_segment_drops", {})
    if funnel := facts.get("corpus_funnel"):
        found["funnel"] = funnel_table(funnel, pages, segments, facts["reasons"])
        found["pages_dropped"] = counts_table(pages)
        found["segments_dropped"] = counts_table(segments)
    for name, header in (("languages", "language"), ("hosts", "host")):
        if counts := facts.get(f"corpus_{name}"):
            found["top_hosts" if name == "hosts" else name] = counts_table(counts, header)
    if "length_histogram" in facts:
        found["lengths"] = histogram_table(facts["length_histogram"])
    if "samples" in facts:
        found["samples"] = rendered_samples(facts["samples"][:N_SAMPLES])
    if "drop_samples" in facts:
        found["drop_samples"] = drop_samples_table(facts["drop_samples"])
    return found


def _where(sample: Mapping[str, Any]) -> str:
    if original := sample.get("duplicate_of"):
        return f"duplicate of {original}"
    if words := sample.get("matching_words"):
        return f"shares “{words}”"
    return str(sample.get("url") or sample.get("document_id") or sample.get("segment_id") or "")
