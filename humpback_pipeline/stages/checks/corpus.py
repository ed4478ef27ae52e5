"""Checks of the crawl: was it read whole, does it yield enough, is the sample as large as asked."""

from __future__ import annotations

from humpback_pipeline.stages.checks.outcome import CheckOutcome
from humpback_pipeline.storage import Manifest


def check_shard_read_whole(manifest: Manifest) -> CheckOutcome:
    """Whether the WARC file was read to its end; what was lost is not in the data."""
    lost = str(manifest.facts["partial"] or "")
    facts = {"lost": lost or "nothing"}
    if not lost:
        return CheckOutcome("shard_read_whole", True, "The file was read to its end.", facts)
    message = f"{lost.rstrip('.')}. What could be read is used; fetch the file again for the rest."
    return CheckOutcome("shard_read_whole", False, message, facts)


def check_yield(manifest: Manifest, min_segments_per_page: float) -> CheckOutcome:
    """Segments for each HTML page: near none means another language, layout or kind of file."""
    pages, segments = int(manifest.facts["n_documents"]), manifest.rows or 0
    per_page = segments / pages if pages else 0.0
    facts = {"segments": segments, "pages": pages, "segments_per_page": round(per_page, 4)}
    message = f"{segments:,} segments from {pages:,} pages, {per_page:.3f} a page."
    if pages and per_page >= min_segments_per_page:
        return CheckOutcome("yield", True, message, facts)
    message += (
        f" Below {min_segments_per_page:g}: the tables of dropped pages and segments on this page "
        "say why; corpus.languages and corpus.min_chars decide most."
    )
    return CheckOutcome("yield", False, message, facts)


def check_sample_reached(manifest: Manifest, sample_segments: int) -> CheckOutcome:
    """Whether as many segments were left to sample as the recipe asks for."""
    selected = int(manifest.facts["n_selected"])
    facts = {"selected": selected, "asked_for": sample_segments, "candidates": manifest.rows or 0}
    if selected >= sample_segments:
        return CheckOutcome("sample_reached", True, f"{selected:,} segments selected.", facts)
    message = (
        f"{selected:,} of the {sample_segments:,} segments asked for: all that are left of "
        f"{manifest.rows or 0:,} without duplicates and within max_segments_per_host. More WARC "
        "files give more."
    )
    return CheckOutcome("sample_reached", False, message, facts)
