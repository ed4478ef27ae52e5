"""How good web segments are: recall of documentation sections, and lines that look boilerplate.

`python benchmarks/segment_quality.py SHARD… [--extractor trafilatura|resiliparse] [--step N]`
prints both for each shard. Nothing of the project's own rules is used to judge: the reference
sections come from each page's DOM, the suspect lines from a checklist of wordings.

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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import lxml.html
from lxml import etree

from humpback_pipeline.web import Document, extract_segments, read_documents, segment_shard

MIN_CHARS: Final = 600
MAX_CHARS: Final = 3_000
_SHINGLE_WORDS: Final = 5
_FOUND: Final = 0.8
_WORD: Final = re.compile(r"\w+")

# Where documentation generators put the page's own text, most specific first: Sphinx, Read the
# Docs, Docusaurus, MkDocs, GitHub and Hugo themes, DocBook, javadoc, man pages, plain HTML 5.
_CONTAINERS: Final = (
    "//*[contains(concat(' ', normalize-space(@class), ' '), ' theme-doc-markdown ')]",
    "//*[contains(concat(' ', normalize-space(@class), ' '), ' md-content ')]",
    "//*[@itemprop='articleBody']",
    "//div[contains(concat(' ', normalize-space(@class), ' '), ' body ')]",
    "//*[contains(concat(' ', normalize-space(@class), ' '), ' markdown-body ')]",
    "//*[contains(concat(' ', normalize-space(@class), ' '), ' rst-content ')]",
    "//main",
    "//*[@role='main']",
    "//article",
    "//div[@id='docContent' or @id='content' or @id='main-content' or @id='bodyContent']",
    "//body",
)
# A container must hold this share of the page's text outside of menus.
_MIN_SHARE: Final = 0.4
_SKIPPED_TAGS: Final = frozenset(
    {"script", "style", "head", "nav", "form", "footer", "aside", "button", "noscript", "template"}
)
_SKIPPED_CLASSES: Final = frozenset(
    {
        "headerlink",
        "navheader",
        "navfooter",
        "navbar",
        "toc",
        "toctree-wrapper",
        "table-of-contents",
        "contents",
        "sidebar",
        "sphinxsidebar",
        "breadcrumbs",
        "breadcrumb",
        "pagination",
        "pager",
        "related",
        "footer",
        "top-nav",
        "sub-nav",
        "edit-link",
        "prev-next",
        "rst-footer-buttons",
        "theme-doc-footer",
        "theme-doc-breadcrumbs",
        "md-sidebar",
        "titlepage-toc",
    }
)
_CALLOUTS: Final = frozenset({"note", "tip", "warning", "caution", "important", "admonition"})
_PERMALINKS: Final = frozenset({"¶", "#", "§", "🔗"})


@dataclass(frozen=True, slots=True)
class Section:
    """One header-rooted section of a page's DOM; text has its white space collapsed."""

    header: str
    level: int
    text: str


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


@dataclass(slots=True)
class Suspects:
    """n segments, n_suspect of them with a suspect line; some of those lines as examples."""

    n: int = 0
    n_suspect: int = 0
    examples: list[str] | None = None

    @property
    def share(self) -> float:
        """Share of segments with a suspect line."""
        return self.n_suspect / self.n if self.n else 0.0


def reference_sections(html: bytes, charset: str | None = None) -> list[Section]:
    """List a page's sections of 600–3,000 characters by its heading elements; nested ones too."""
    tree = _parse(html, charset)
    container = None if tree is None else _container(tree)
    if container is None:
        return []
    pieces: list[tuple[int, str]] = []  # (heading's level, or 0 for text; text)
    _walk(container, pieces, is_body=container.tag == "body")
    sections: list[Section] = []
    for start, (level, header) in enumerate(pieces):
        if not level:
            continue
        texts = [header]
        for other, text in pieces[start + 1 :]:
            if other and other <= level:
                break
            texts.append(f" {text} " if other else text)
        text = " ".join("".join(texts).split())
        if MIN_CHARS <= len(text) <= MAX_CHARS:
            sections.append(Section(header, level, text))
    return sections


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


def suspects(texts: Iterable[str], n_examples: int = 10) -> Suspects:
    """Count the segments that hold a suspect line."""
    found = Suspects(examples=[])
    for text in texts:
        lines = boilerplate_lines(text)
        found.n += 1
        found.n_suspect += bool(lines)
        if lines and found.examples is not None and len(found.examples) < n_examples:
            found.examples.append(lines[0][:120])
    return found


# An annotator's checklist. A line is suspect when a "whole" wording is all of it, or when it is
# short and holds one of the others; code, tables and headings that head the segment are not asked.
_WHOLE: Final = re.compile(
    r"""(?x)
    (?:share|share\ this.*|tweet|print|e-?mail|like|follow|follow\ us.*|subscribe|teilen|merken
      |home|menu|search|archives?|log\ ?in|sign\ ?(?:in|up)|register|donate|feedback|next|previous
      |advertisement|anzeige|werbung|sponsored|loading.*|members|online|tags?|related.*
      |(?:\d+\ )?(?:comments?|kommentare|shares?|views?|likes?)
      |read\ (?:more|also|next)|also\ read|see\ also|more\ (?:from|on|stories).*|lesen\ sie\ auch
      |mehr\ zum\ thema|zum\ thema|lesetipps?|auch\ interessant|weiterlesen
      |you\ (?:may|might)\ also.*
      |(?:by|von|por|par)\ (?-i:[A-ZÄÖÜ]\w+(?:[ -][A-ZÄÖÜ][\w.]+){1,3})(?:[ |,].{0,40})?
      |(?:posted|published|updated|veröffentlicht|erschienen)\b.{0,60}\d{4}.{0,20}
      |(?:\w+day,?\ )?(?:\d{1,2}[./]\d{1,2}[./]\d{4}|\d{1,2}\.?\ \w{3,9}\ \d{4}
        |\w{3,9}\ \d{1,2},\ \d{4})(?:[ ,|-]+\d{1,2}[:.]\d\d.{0,12})?
      |(?:image|photo|picture|bild|foto|video)s?(?:\ credit)?\ ?[:/].{1,60}
      |(?:getty\ images|reuters|shutterstock|istock.*|dpa|ap|afp|pixabay)
      |photograph(?:s|ed)?\ by\ .{3,60}
      |(?:abgelegt|eingeordnet|posted|filed|tagged)\ (?:unter|in|under|as)\b.*)
    [.:!»>…]*
    """,
    re.IGNORECASE,
)
_HELD: Final = re.compile(
    r"""(?x)
    \b(?:this|our|diese)\ (?:web)?(?:site|seite)\ (?:uses|verwendet|nutzt)\ cookies
    |\bwe\ use\ cookies|\bwir\ verwenden\ cookies|datenschutzerklärung
    |\b(?:sign\ up|subscribe|anmeld\w+|abonnier\w+)\b.{0,80}\bnewsletter
    |\bnewsletter\b.{0,60}\b(?:sign\ up|subscribe|anmelden|abonnieren)
    |\bsubscribe\ (?:now|to\ (?:our|the)|today)
    |\bfollow\ (?:us|me|@\w+)\b.{0,60}\b(?:twitter|facebook|instagram|youtube)
    |\b(?:like|find)\ us\ on\ facebook|\bshare\ (?:this|it)\ (?:with|on|story|article)
    |all\ rights\ reserved|alle\ rechte\ vorbehalten|©\s?\d{4}|copyright\ ©
    |\bleave\ a\ (?:reply|comment)|\bpost\ a\ comment|\bcomment\ below|\bcomments\ are\ closed
    |\b(?:read|see)\ (?:more|also|next)\s?:|\blesen\ sie\ auch|\bmehr\ zum\ thema|\blea\ también
    |\bmore\ stories\b|\brecommended\ (?:for\ you|articles)
    |\byou\ may\ also\ (?:like|be\ interested)
    |\baffiliate\ (?:links?|commission)|\bmay\ earn\ (?:a|an)\b.{0,20}commission
    |\b(?:click|klicken\ sie)\ (?:here|hier)\ to\ (?:report|subscribe|read|join)
    |\boriginally\ (?:published|appeared)\ (?:on|in|at)|\badapted\ from\ its\ original
    |\bnot\ responsible\ for\ the\ opinions|\bdownload\ (?:our|the)\b.{0,40}\bapp\b
    |\bjetzt\ (?:kaufen|bestellen|abonnieren|anmelden)|\bzzgl\.\ versand|\bback\ to\ top
    |\b(?:main\ )?(?:image|photo)\ credits?\s?:|\bread\ full\ article|\bkeep\ up\ with\ me\ on
    |\bour\ youtube\ channel|\bto\ our\ (?:twitter|facebook)|\[/?button
    |\bthis\ thread\ is\ archived|\d%\ upvoted|^also\ on\ \S+\.\w+
    """,
    re.IGNORECASE,
)
_MAX_HELD_CHARS: Final = 400
_MARKS: Final = re.compile(r"[*_`]+|^\s*(?:>\s*|[-+]\s+|\d+\.\s+|#{1,6}\s+)+")


def boilerplate_lines(text: str) -> list[str]:
    """Return the lines of a segment that a strict annotator would ask about."""
    found: list[str] = []
    for number, line in enumerate(_prose_lines(text)):
        plain = _MARKS.sub("", line).strip()
        if not plain or (number == 0 and line.startswith("#")):
            continue
        if _WHOLE.fullmatch(plain) or (len(plain) <= _MAX_HELD_CHARS and _HELD.search(plain)):
            found.append(line.strip())
    return found


def _prose_lines(text: str) -> Iterator[str]:
    in_code = False
    for line in text.split("\n"):
        if line.lstrip("> ").startswith("```"):
            in_code = not in_code
        elif not in_code and not line.lstrip("> ").startswith("|"):
            yield line


def _parse(html: bytes, charset: str | None) -> lxml.html.HtmlElement | None:
    try:
        text = html.decode("utf-8")
    except UnicodeDecodeError:
        try:
            text = html.decode(charset or "windows-1252", "replace")
        except LookupError:
            text = html.decode("windows-1252", "replace")
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", text).replace("\x00", " ")
    try:
        tree = lxml.html.document_fromstring(text)
    except (etree.LxmlError, ValueError, AssertionError):
        return None
    etree.strip_elements(tree, etree.Comment, with_tail=False)
    return tree


def _container(tree: lxml.html.HtmlElement) -> lxml.html.HtmlElement | None:
    """The most specific container that holds much of the page's text outside of menus."""
    bodies = tree.xpath("//body")
    total = _chars(bodies[0]) if bodies else 0
    for path in _CONTAINERS:
        found = tree.xpath(path)
        best = max(found, key=_chars, default=None)
        if best is not None and _chars(best) >= _MIN_SHARE * total:
            return best
    return bodies[0] if bodies else None


def _chars(element: lxml.html.HtmlElement) -> int:
    pieces: list[tuple[int, str]] = []
    _walk(element, pieces, is_body=False)
    return sum(len(text.strip()) for _, text in pieces)


def _walk(element: lxml.html.HtmlElement, pieces: list[tuple[int, str]], *, is_body: bool) -> None:
    if not isinstance(element.tag, str) or _is_skipped(element, is_body):
        return
    if re.fullmatch(r"h[1-6]", element.tag) and not _names_callout(element):
        own = " ".join(t.strip() for t in element.itertext() if t.strip() not in _PERMALINKS)
        pieces.append((int(element.tag[1]), " ".join(own.split())))
        return
    if element.text:
        pieces.append((0, element.text))
    for child in element:
        _walk(child, pieces, is_body=is_body)
        # Blocks part words even where the source has no white space between them.
        pieces.append((0, " " if child.tag in ("br", "p", "div", "li", "td", "th", "dt") else ""))
        if child.tail:
            pieces.append((0, child.tail))


def _is_skipped(element: lxml.html.HtmlElement, is_body: bool) -> bool:
    if element.tag in _SKIPPED_TAGS or element.get("role") in ("navigation", "search", "banner"):
        return True
    if is_body and element.tag == "header":
        return True
    if element.tag == "a" and (element.text or "").strip() in _PERMALINKS and not len(element):
        return True
    return not _SKIPPED_CLASSES.isdisjoint((element.get("class") or "").lower().split())


def _names_callout(heading: lxml.html.HtmlElement) -> bool:
    parent = heading.getparent()
    return parent is not None and not _CALLOUTS.isdisjoint((parent.get("class") or "").split())


def _shingles(text: str) -> list[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    last = max(1, len(words) - _SHINGLE_WORDS + 1)
    return [tuple(words[i : i + _SHINGLE_WORDS]) for i in range(last)]


def _share(wanted: list[tuple[str, ...]], held: set[tuple[str, ...]]) -> float:
    return sum(shingle in held for shingle in wanted) / len(wanted)


def main(arguments: list[str] | None = None) -> None:
    """Print recall and suspect lines of each shard."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("shards", nargs="+", type=Path)
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
