"""Why a current version is stale: what it was made from has changed since, root cause first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Literal

from humpback_pipeline.lineage.artefact import Artefact
from humpback_pipeline.lineage.catalogue import Catalogue
from humpback_pipeline.lineage.compare import differences, read_recipe
from humpback_pipeline.lineage.upstream import Source, direct_sources

MAX_NAMED = 5


@dataclass(frozen=True)
class Cause:
    """One reason, and the reasons behind it.

    kind: `changed` (an input has other content now), `missing` (an input has no current version),
    `added` (an input that did not exist then), `source` (seed data or a WARC file was edited),
    `upstream` (an input is itself stale), `recipe`, `code`, or `re-made` (none of these: the same
    work gave other content).
    """

    kind: Literal["changed", "missing", "added", "source", "upstream", "recipe", "code", "re-made"]
    key: str
    text: str
    because: tuple[Cause, ...] = ()


@dataclass(frozen=True)
class Staleness:
    """A current version with all reasons why it is not what would be made now; none: fresh."""

    artefact: Artefact
    causes: tuple[Cause, ...] = ()

    @property
    def is_stale(self) -> bool:
        """Whether there is any reason."""
        return bool(self.causes)

    def lines(self) -> list[str]:
        """Sentences, root causes first, each once."""
        return list(dict.fromkeys(cause.text for cause in _roots_first(self.causes, set())))

    def roots(self) -> list[str]:
        """Sentences of the root causes, each once."""
        found = _roots_first(self.causes, set())
        return list(dict.fromkeys(cause.text for cause in found if not cause.because))


@dataclass
class StaleReader:
    """Answers for a whole home; `catalogue.refresh()` needs a new one.

    sources: name → content hash of the seed data and WARC files as they are now, as far as known.
    shards: partitions that a run over everything would take in; None: not known.
    """

    catalogue: Catalogue
    sources: Mapping[str, str] = field(default_factory=dict)
    shards: Set[str] | None = None
    _known: dict[str, Staleness] = field(default_factory=dict)
    _changes: dict[tuple[str, str, str], tuple[Cause, ...]] = field(default_factory=dict)

    def all_stale(self) -> list[Staleness]:
        """Every stale current version, oldest first, so that causes stand before effects."""
        found = [self.why(artefact) for artefact in self.catalogue.all_current()]
        stale = [staleness for staleness in found if staleness.is_stale]
        return sorted(stale, key=lambda staleness: staleness.artefact.created)

    def why(self, artefact: Artefact) -> Staleness:
        """Why a version is not what would be made now."""
        place = f"{artefact.key}@{artefact.version}"
        if place not in self._known:
            causes = [*self._edited_sources(artefact), *self._new_partitions(artefact)]
            for key, content_hash in artefact.inputs.items():
                causes += self._input(artefact, key, content_hash)
            self._known[place] = Staleness(artefact, tuple(causes))
        return self._known[place]

    def _input(self, artefact: Artefact, key: str, content_hash: str) -> list[Cause]:
        current = self.catalogue.current(key)
        if current is None:
            return [Cause("missing", key, f"{key} is gone: it has no current version")]
        if current.content_hash != content_hash:
            used = self.catalogue.find(key, content_hash, artefact.created)
            was = f"version {used.version}" if used else f"content {content_hash[:12]}"
            text = f"{artefact.key} was made from {was} of {key}; current is {current.version}"
            because = self._changes_between(used, current) if used else ()
            return [Cause("changed", key, text, (*because, *self.why(current).causes))]
        upstream = self.why(current)
        if upstream.is_stale:
            text = f"{key}, which {artefact.key} was made from, is itself stale"
            return [Cause("upstream", key, text, upstream.causes)]
        return []

    def _edited_sources(self, artefact: Artefact) -> list[Cause]:
        if not self.sources or artefact.inputs:
            return []  # only what reads files has sources that are edited
        return [
            Cause("source", source.name, f"{source.kind} {source.name} was edited since")
            for source in direct_sources(self.catalogue, artefact)
            if self.sources.get(source.name, source.content_hash) != source.content_hash
        ]

    def _new_partitions(self, artefact: Artefact) -> list[Cause]:
        if self.shards is None or artefact.partition:
            return []
        names = sorted({key.split("/", 1)[0] for key in artefact.inputs if "/" in key})
        return [
            Cause("added", f"{name}/{part}", f"{artefact.key} was made before {name}/{part} was")
            for name in names
            for part in self.catalogue.partitions(name)
            if part in self.shards
            and f"{name}/{part}" not in artefact.inputs
            and self.catalogue.current(f"{name}/{part}") is not None
        ]

    def _changes_between(self, a: Artefact, b: Artefact) -> tuple[Cause, ...]:
        """Why version B of an artefact is not the same as version A."""
        place = (a.key, a.version, b.version)
        if place not in self._changes:
            causes = [
                *self._changed_inputs(a, b),
                *_changed_sources(
                    direct_sources(self.catalogue, a), direct_sources(self.catalogue, b)
                ),
            ]
            self._changes[place] = tuple(causes or self._changed_settings(a, b))
        return self._changes[place]

    def _changed_inputs(self, a: Artefact, b: Artefact) -> Iterator[Cause]:
        for change in differences(a.inputs, b.inputs):
            if change.a is None or change.b is None:
                what = "is no longer an input" if change.b is None else "is a new input"
                yield Cause("added", change.name, f"{change.name} {what} of {a.key}")
                continue
            used = self.catalogue.find(change.name, change.a, a.created)
            now = self.catalogue.find(change.name, change.b, b.created)
            because = self._changes_between(used, now) if used and now else ()
            versions = f"{used.version if used else '?'} → {now.version if now else '?'}"
            text = f"{change.name} changed ({versions}), so {a.key} was made anew"
            yield Cause("changed", change.name, text, because)

    def _changed_settings(self, a: Artefact, b: Artefact) -> list[Cause]:
        if a.facts.recipe_hash != b.facts.recipe_hash:
            recipes = [read_recipe(self.catalogue, artefact) for artefact in (a, b)]
            names = [d.name for d in differences(recipes[0] or {}, recipes[1] or {})]
            known = f": {', '.join(names[:MAX_NAMED])}" if all(recipes) and names else ""
            return [Cause("recipe", a.key, f"{a.key} was made with another recipe{known}")]
        if a.facts.code_version != b.facts.code_version:
            return [Cause("code", a.key, f"{a.key} was made by other code")]
        return [Cause("re-made", a.key, f"{a.key} was made anew and came out differently")]


def _changed_sources(a: tuple[Source, ...], b: tuple[Source, ...]) -> Iterator[Cause]:
    sides = [{(s.kind, s.name): s.content_hash for s in sources} for sources in (a, b)]
    for kind, name in sorted({*sides[0], *sides[1]}):
        hashes = [side.get((kind, name)) for side in sides]
        if hashes[0] != hashes[1]:
            shown = " → ".join(value[:12] if value else "none" for value in hashes)
            yield Cause("source", name, f"{kind} {name} changed ({shown})")


def _roots_first(causes: tuple[Cause, ...], seen: set[int]) -> Iterator[Cause]:
    # Shards share their causes, so each is visited once.
    for cause in causes:
        if id(cause) not in seen:
            seen.add(id(cause))
            yield from _roots_first(cause.because, seen)
            yield cause
