"""Answers as lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from humpback_pipeline.lineage.answers import Answer
from humpback_pipeline.lineage.artefact import Artefact
from humpback_pipeline.lineage.compare import Comparison, Difference, RowChanges
from humpback_pipeline.lineage.pairs import Hop, ModelUse
from humpback_pipeline.lineage.roles import ROLE_TITLES, role_of
from humpback_pipeline.lineage.stale import Staleness
from humpback_pipeline.lineage.upstream import Node

MAX_TEXT_CHARS = 90
MAX_LINES = 12
MAX_PARTITIONS = 3


def answer_lines(answer: Answer, limit: int = MAX_LINES) -> Iterator[str]:
    """An answer; of each list at most `limit` entries, the newest first."""
    yield answer.title
    if answer.tree is not None:
        yield "Made from"
        yield from tree_lines(answer.tree)
        yield f"Used by ({len(answer.users)} versions, newest first)"
        yield from _cut([f"  {label(user)}" for user in reversed(answer.users)], limit)
    if answer.kind != "artefact":
        yield from _hop_lines(answer.hops, limit)
    if answer.segments:
        yield f"Segments ({len(answer.segments)})"
        yield from _cut(
            [f"  {s.pair_id}  {shorten(s.header)}  {s.url}" for s in answer.segments], limit
        )
    if answer.kind != "artefact" or answer.models:
        n_trained = sum(use.how == "trained" for use in answer.models)
        yield f"Models trained on it ({n_trained} versions)"
        yield from _cut([_model_line(use) for use in reversed(answer.models)], limit)
    yield from answer.notes


def tree_lines(node: Node) -> Iterator[str]:
    """The tree of what something was made from; a branch seen before is not repeated."""
    yield from _branch(node, 1, set(), None)


def comparison_lines(comparison: Comparison, limit: int = MAX_LINES) -> Iterator[str]:
    """Two versions side by side, from A to B."""
    a, b = comparison.a, comparison.b
    yield f"{a.key}: {a.version} → {b.version}" + (
        "  (the same content)" if comparison.same_content else ""
    )
    for change in comparison.rows:
        yield from _row_lines(change)
    yield from _difference_lines("Figures", comparison.figures, limit * 3)
    if comparison.recipe is not None:
        yield from _difference_lines("Recipe", comparison.recipe, limit * 3)
    yield from _difference_lines("Made from", comparison.provenance, limit * 3)
    yield from comparison.notes


def stale_lines(staleness: Staleness, limit: int = MAX_LINES) -> Iterator[str]:
    """Why one version is stale: root causes, then what of it reached this version directly."""
    yield label(staleness.artefact)
    roots = staleness.roots()
    yield from _cut([f"  because {text}" for text in roots], limit)
    direct = [cause.text for cause in staleness.causes if cause.text not in roots]
    yield from _cut([f"  → {text}" for text in direct], limit)


def version_lines(versions: Sequence[Artefact]) -> Iterator[str]:
    """All versions of one thing, newest first."""
    for artefact in reversed(versions):
        state = "current" if artefact.is_current else "kept" if artefact.is_whole else "remembered"
        rows = "" if artefact.rows is None else f"{artefact.rows:,} rows"
        yield (
            f"{artefact.version}  {state:<10}  {rows:>14}  {artefact.content_hash[:12]}  "
            f"recipe {artefact.facts.recipe_name} ({artefact.facts.recipe_hash})"
        )


def label(artefact: Artefact) -> str:
    """Name and version on one line, and what is special about it."""
    marks = ["current"] if artefact.is_current else []
    marks += [] if artefact.is_whole else ["data given up"]
    return f"{artefact.key} @ {artefact.version}" + (f"  ({', '.join(marks)})" if marks else "")


def shorten(text: object, max_chars: int = MAX_TEXT_CHARS) -> str:
    """A text on one line, printable, not longer than `max_chars`."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if len(line) <= max_chars else f"{line[: max_chars - 1]}…"


def count(n: int, noun: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def figure(value: Any) -> str:
    """A number or hash as a person reads it."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text[:12] if len(text) == 64 else shorten(text)


def _branch(node: Node, depth: int, seen: set[int], note: str | None) -> Iterator[str]:
    indent = "  " * depth
    name = label(node.artefact) if node.artefact else f"{node.key} ({node.content_hash[:12]})"
    if node.artefact is None:
        name += "  no version with this content is known"
    again = id(node) in seen
    yield f"{indent}{name}{'  (see above)' if again and node.inputs else ''}{note or ''}"
    if again:
        return
    seen.add(id(node))
    for source in node.sources:
        yield f"{indent}  {source.kind} {source.name}  {source.content_hash[:12]}"
    for shown, note in grouped(node.inputs):
        yield from _branch(shown, depth + 1, seen, note)


def grouped(nodes: Iterable[Node]) -> Iterator[tuple[Node, str]]:
    """Nodes with a remark; of a dataset's many partitions only the first few."""
    names: dict[str, list[Node]] = {}
    for node in nodes:
        names.setdefault(node.key.split("/", 1)[0], []).append(node)
    for members in names.values():
        for n, node in enumerate(members[:MAX_PARTITIONS]):
            left = len(members) - MAX_PARTITIONS
            last = n == MAX_PARTITIONS - 1 and left > 0
            yield node, f"  and {left} more partitions" if last else ""


def _hop_lines(hops: Sequence[Hop], limit: int) -> Iterator[str]:
    titles: dict[str, list[Hop]] = {}
    for hop in hops:
        titles.setdefault(f"{hop.artefact.key}  ({ROLE_TITLES[role_of(hop.artefact)]})", []).append(
            hop
        )
    for title, members in titles.items():
        yield title
        lines = []
        for hop in reversed(members):
            lines.append(f"  {_state(hop.artefact)}{hop.artefact.version}  {_what(hop)}")
        yield from _cut(lines, limit)


def _state(artefact: Artefact) -> str:
    return "* " if artefact.is_current else "  "


def _what(hop: Hop) -> str:
    row = hop.row
    parts = [hop.note] if hop.note else []
    if hop.n_rows > 1 or not row:
        parts.insert(0, count(hop.n_rows, "row") if hop.n_rows else "not in it")
    if row.get("rating") is not None:
        parts.append(f"rating {row['rating']:.2f}")
    for name in ("instruction", "header"):
        if row.get(name):
            parts.append(f"{name}: {shorten(row[name])}")
    if row.get("url") and row.get("header"):
        parts.append(str(row["url"]))
    return "; ".join(parts) or "in it"


def _model_line(use: ModelUse) -> str:
    how = "" if use.how == "trained" else f"  {use.how}, not trained on"
    through = ", ".join(f"{a.key}@{a.version.split('-')[0]}" for a in use.through)
    name = f"{_state(use.model)}{use.model.key} @ {use.model.version}"
    return f"  {name}  {count(use.n_rows, 'row')} from {through}{how}"


def _row_lines(change: RowChanges) -> Iterator[str]:
    changed = "" if change.n_changed is None else f", {change.n_changed:,} of them changed"
    yield (
        f"{change.key}: +{change.n_gained:,} −{change.n_lost:,} rows, {change.n_kept:,} in both"
        f"{changed}  (by {change.id_column})"
    )
    for sign, samples in (("+", change.gained), ("−", change.lost)):
        yield from (f"  {sign} {name}  {shorten(text)}" for name, text in samples.items())


def _difference_lines(title: str, found: Sequence[Difference], limit: int) -> Iterator[str]:
    yield f"{title}: {'the same' if not found else f'{len(found)} differ'}"
    yield from _cut([f"  {d.name}: {figure(d.a)} → {figure(d.b)}" for d in found], limit)


def _cut(lines: Sequence[str], limit: int) -> Iterator[str]:
    yield from lines[:limit]
    if len(lines) > limit:
        yield f"  … and {len(lines) - limit:,} more (--all shows them)"
