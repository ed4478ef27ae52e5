"""Checks of the crawl: was it read whole, does it yield enough, is the sample as large as asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from humpback_pipeline.stages.checks.outcome import CheckOutcome
from humpback_pipeline.storage import Manifest

# A yield under this share of the other shards' median is low; fewer pages or shards tell nothing.
LOW_SHARE = 0.2
MIN_PAGES = 50
MIN_SHARDS = 3


def check_shard_read_whole(manifest: Manifest) -> CheckOutcome:
    """Whether the WARC file was read to its end; what was lost is not in the data."""
    lost = str(manifest.facts["partial"] or "")
    pages, segments = int(manifest.facts["n_documents"]), manifest.rows or 0
    facts = {"lost": lost or "nothing", "pages_read": pages, "segments": segments}
    if not lost:
        return CheckOutcome("shard_read_whole", True, "The file was read to its end.", facts)
    message = (
        f"{lost.rstrip('.')}. What could be read is used, {pages:,} pages with {segments:,} "
        "segments; fetch the file again for the rest."
    )
    return CheckOutcome("shard_read_whole", False, message, facts)


def check_yields(
    manifests: Mapping[str, Manifest], min_segments_per_page: float, others: Sequence[Manifest] = ()
) -> dict[str, CheckOutcome]:
    """`check_yield` of each shard (shard → its manifest), compared with the rest and with `others`.

    Only shards cut by the same extractor are compared, and only with pages enough to tell.
    """
    known = [(shard, manifest) for shard, manifest in manifests.items()]
    known += [(manifest.key, manifest) for manifest in others]
    comparable: dict[str, dict[str, float]] = {}
    for shard, manifest in known:
        if _wanted_pages(manifest) >= MIN_PAGES:
            comparable.setdefault(_extractor(manifest), {})[shard] = _per_page(manifest)
    outcomes = {}
    for shard, manifest in manifests.items():
        alike = comparable.get(_extractor(manifest), {})
        rest = [per_page for other, per_page in alike.items() if other != shard]
        outcomes[shard] = check_yield(manifest, min_segments_per_page, rest)
    return outcomes


def check_yield(
    manifest: Manifest, min_segments_per_page: float, other_yields: Sequence[float] = ()
) -> CheckOutcome:
    """Segments for each HTML page in the wanted languages: near none means an unexpected layout.

    other_yields: those of shards to compare with.
    """
    pages, segments = _wanted_pages(manifest), manifest.rows or 0
    others = int(manifest.facts["n_documents"]) - pages
    per_page = _per_page(manifest)
    facts: dict[str, float] = {
        "segments": segments,
        "pages": pages,
        "pages_in_other_languages": others,
        "segments_per_page": round(per_page, 4),
    }
    message = f"{segments:,} segments from {pages:,} pages, {per_page:.3f} a page."
    if others:
        message += f" {others:,} pages are in other languages than corpus.languages."
        if not pages:
            return CheckOutcome("yield", True, message, facts)
    why = " The tables of dropped pages and segments on this page say why"
    if not pages or per_page < min_segments_per_page:
        message += f" Below {min_segments_per_page:g}.{why}; corpus.min_chars decides most."
        return CheckOutcome("yield", False, message, facts)
    if pages >= MIN_PAGES and len(other_yields) >= MIN_SHARDS:
        typical = facts["median_of_other_shards"] = round(median(other_yields), 4)
        if per_page < LOW_SHARE * typical:
            message += f" The other shards give {typical:.3f} a page, their median.{why}."
            return CheckOutcome("yield", False, message, facts)
    return CheckOutcome("yield", True, message, facts)


def check_sample_reached(manifest: Manifest, sample_segments: int) -> CheckOutcome:
    """Whether as many segments were left to sample as the recipe asks for."""
    selected = int(manifest.facts["n_selected"])
    facts = {"selected": selected, "asked_for": sample_segments, "candidates": manifest.rows or 0}
    if selected >= sample_segments:
        return CheckOutcome("sample_reached", True, f"{selected:,} segments selected.", facts)
    message = (
        f"{selected:,} of the {sample_segments:,} segments asked for: all that are left of "
        f"{manifest.rows or 0:,} without duplicates and contamination and within "
        "max_segments_per_host. More WARC files give more."
    )
    return CheckOutcome("sample_reached", False, message, facts)


def _wanted_pages(manifest: Manifest) -> int:
    """HTML pages less those dropped for their language: nothing was to come of them."""
    drops = manifest.facts.get("document_drops", {})
    return int(manifest.facts["n_documents"]) - int(drops.get("language", 0))


def _per_page(manifest: Manifest) -> float:
    pages = _wanted_pages(manifest)
    return (manifest.rows or 0) / pages if pages else 0.0


def _extractor(manifest: Manifest) -> str:
    return str(manifest.facts.get("extractor", ""))
