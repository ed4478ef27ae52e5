"""How good web segments are: recall of documentation sections, and lines that look boilerplate.

`python benchmarks/segment_quality.py [SHARD…] [--extractor trafilatura|resiliparse] [--step N]`
prints both for each shard; without one, for the bundled examples: too few pages to say much.
Nothing of the project's own rules is used to judge: the reference sections come from each page's
DOM, the suspect lines from a checklist of wordings.

Recall: of the page's header-rooted sections of 600–3,000 characters (a heading's text with its
lower headings, in the page's main container), the share found in a segment. It means something on
documentation, where nearly all of the main container is content; on news and blogs it does not.

Suspect lines: checked against a strict reader's marks on 1,732 segments (both extractors) of two
web shards and a ClueWeb09 sample, as they were before boilerplate rules. English: of the segments
with a suspect line 94 % were marked, of the marked ones 60 % had a suspect line; other languages,
mostly German: 70 % and 32 %. What rules leave over is harder to see than what they take away, so
after them the share is a lower bound: it shows a relapse, it does not replace reading.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lxml import etree
from segment_judging.sections import reference_sections
from segment_judging.suspect_lines import suspects

from humpback_pipeline.recipe_section import PACKAGE_DIR
from humpback_pipeline.web import Document, extract_segments, read_documents, segment_shard

EXAMPLES: Final = PACKAGE_DIR / "examples" / "warc"
_SHINGLE_WORDS: Final = 5
_FOUND: Final = 0.8
_WORD: Final = re.compile(r"\w+")


@dataclass(slots=True)
class Recall:
    """n sections; n_found in one segment whole or as part; n_covered by all segments together."""

    n: int = 0
    n_found: int = 0
    n_covered: int = 0

    @property
    def found(self) -> float:
        """Share of sections found in one segment."""
        return self.n_found / self.n if self.n else 0.0

    @property
    def covered(self) -> float:
        """Share of sections whose text is in the page's segments, be it in several."""
        return self.n_covered / self.n if self.n else 0.0


def page_recall(document: Document, extractor: str) -> Recall:
    """Compare one page's reference sections with its segments."""
    sections = reference_sections(document.html, document.charset)
    recall = Recall(n=len(sections))
    if not sections:
        return recall
    segments = [set(_shingles(s.text)) for s in extract_segments(document, extractor=extractor)]
    together = set().union(*segments)
    for section in sections:
        wanted = _shingles(section.text)
        best = max((_share(wanted, segment) for segment in segments), default=0.0)
        recall.n_found += best >= _FOUND
        recall.n_covered += _share(wanted, together) >= _FOUND
    return recall


def shard_recall(path: str | Path, extractor: str = "trafilatura", step: int = 1) -> Recall:
    """Recall over every `step`-th page of a shard; a page that fails finds nothing."""
    total = Recall()
    for number, document in enumerate(read_documents(path)):
        if number % step:
            continue
        try:
            page = page_recall(document, extractor)
        except (ValueError, RecursionError, etree.LxmlError):
            page = Recall(n=len(reference_sections(document.html, document.charset)))
        total.n += page.n
        total.n_found += page.n_found
        total.n_covered += page.n_covered
    return total


def _shingles(text: str) -> list[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    last = max(1, len(words) - _SHINGLE_WORDS + 1)
    return [tuple(words[i : i + _SHINGLE_WORDS]) for i in range(last)]


def _share(wanted: list[tuple[str, ...]], held: set[tuple[str, ...]]) -> float:
    return sum(shingle in held for shingle in wanted) / len(wanted)


def main(arguments: list[str] | None = None) -> None:
    """Print recall and suspect lines of each shard."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("shards", nargs="*", type=Path, default=sorted(EXAMPLES.glob("*.warc.gz")))
    parser.add_argument("--extractor", default="trafilatura")
    parser.add_argument("--step", type=int, default=1, help="measure recall on each N-th page")
    parser.add_argument("--all-languages", action="store_true")
    parser.add_argument("--examples", type=int, default=0, help="suspect lines to print")
    options = parser.parse_args(arguments)
    for shard in options.shards:
        recall = shard_recall(shard, options.extractor, options.step)
        languages = None if options.all_languages else ("en",)
        segments = segment_shard(shard, extractor=options.extractor, languages=languages)
        found = suspects((segment.text for segment in segments), options.examples)
        sys.stdout.write(
            f"{shard.name} {options.extractor}: recall {recall.found:.1%} in one segment, "
            f"{recall.covered:.1%} in all ({recall.n} sections); suspect lines in "
            f"{found.share:.1%} of {found.n} segments\n"
        )
        for example in found.examples or []:
            sys.stdout.write(f"    {example}\n")


if __name__ == "__main__":
    main()
