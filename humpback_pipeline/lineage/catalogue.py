"""Every version there ever was of every dataset and model in a home, found by name or content."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from humpback_pipeline.lineage.artefact import Artefact, ArtefactFacts
from humpback_pipeline.storage.manifest import MANIFEST_NAME, Provenance
from humpback_pipeline.storage.retention import REMEMBERED_DIR, is_remnant
from humpback_pipeline.storage.versions import CURRENT_NAME, Versions

VERSION_NAME = re.compile(r"\d{8}T\d{12}-[0-9a-f]+")
KINDS = ("dataset", "model")
KEPT_PROVENANCES = 64
CURRENT, PREVIOUS = "current", "previous"


class UnknownArtefactError(LookupError):
    """No dataset or model of that name, or no such version of it."""


class Catalogue:
    """Reads a home as it is at each `refresh`; manifests never change, so they are read once."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.damaged: dict[Path, str] = {}
        self._read: dict[tuple[str, str], ArtefactFacts] = {}
        self._provenances: dict[tuple[str, str], Provenance] = {}
        self.refresh()

    def renewed(self) -> Catalogue:
        """Another look at the same home that reads no manifest a second time."""
        other = Catalogue(self.home)
        other._read = self._read
        return other

    def refresh(self) -> None:
        """Look at the disk again: new versions, other current ones, data given up."""
        self._folders = dict(_artefact_folders(self.home))
        self._versions: dict[str, tuple[Artefact, ...]] = {}
        self._users: dict[tuple[str, str], list[Artefact]] | None = None

    def keys(self) -> list[str]:
        """Keys of all datasets, their partitions, and models."""
        return sorted(self._folders)

    def partitions(self, name: str) -> list[str]:
        """Partitions of a dataset."""
        return [key.split("/", 1)[1] for key in self.keys() if key.startswith(f"{name}/")]

    def versions(self, key: str) -> tuple[Artefact, ...]:
        """All versions, oldest first. Raises UnknownArtefactError."""
        if key not in self._folders:
            raise UnknownArtefactError(self._no_such_artefact(key))
        if key not in self._versions:
            self._versions[key] = tuple(self._load(key, self._folders[key]))
        return self._versions[key]

    def current(self, key: str) -> Artefact | None:
        """The current version, or None if there is none."""
        versions = self.versions(key) if key in self._folders else ()
        return next((artefact for artefact in versions if artefact.is_current), None)

    def everything(self) -> Iterator[Artefact]:
        """All versions of everything."""
        for key in self.keys():
            yield from self.versions(key)

    def all_current(self) -> list[Artefact]:
        """The current version of everything that has one."""
        return [artefact for artefact in self.everything() if artefact.is_current]

    def find(self, key: str, content_hash: str, made_by: str = "") -> Artefact | None:
        """The version with that content; of several, the newest finished by `made_by` (a time)."""
        if key not in self._folders:
            return None
        same = [a for a in self.versions(key) if a.content_hash == content_hash]
        before = [a for a in same if not made_by or a.created <= made_by]
        return before[-1] if before else (same[0] if same else None)

    def users(self, key: str, content_hash: str) -> tuple[Artefact, ...]:
        """Versions of anything that were made directly from that content."""
        if self._users is None:
            self._users = defaultdict(list)
            for artefact in self.everything():
                for pair in artefact.inputs.items():
                    self._users[pair].append(artefact)
        return tuple(self._users.get((key, content_hash), ()))

    def resolve(self, key: str, version: str = CURRENT) -> Artefact:
        """A version by name, unique prefix, `current`, or `previous` (the newest of the others).

        Raises UnknownArtefactError.
        """
        versions = self.versions(key)
        if version in ("", CURRENT):
            found = [a for a in versions if a.is_current]
        elif version == PREVIOUS:
            found = [a for a in versions if not a.is_current][-1:]
        else:
            found = [a for a in versions if a.version == version]
            found = found or [a for a in versions if a.version.startswith(version)]
        if len(found) == 1:
            return found[0]
        problem = "fits several versions" if found else "there is no such version"
        listed = ", ".join(a.version for a in (found or versions)[-8:]) or "none"
        raise UnknownArtefactError(f"{key} @ {version!r}: {problem}; versions: {listed}")

    def provenance(self, artefact: Artefact) -> Provenance:
        """Everything behind a version, read from disk; the last few are kept in memory."""
        place = (artefact.key, artefact.version)
        if place not in self._provenances:
            while len(self._provenances) >= KEPT_PROVENANCES:
                self._provenances.pop(next(iter(self._provenances)))
            self._provenances[place] = artefact.manifest().provenance
        return self._provenances[place]

    def _load(self, key: str, folder: Path) -> Iterator[Artefact]:
        versions = Versions(folder)
        pointer = folder / CURRENT_NAME
        current = pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else ""
        for path in versions.remembered():
            facts = self._facts(key, path)
            if facts is not None:
                yield Artefact(facts, path, path.name == current, not is_remnant(path))

    def _facts(self, key: str, folder: Path) -> ArtefactFacts | None:
        known = self._read.get((key, folder.name))
        if known is None:
            try:
                known = ArtefactFacts.model_validate_json((folder / MANIFEST_NAME).read_bytes())
            except (OSError, ValidationError) as error:
                self.damaged[folder] = str(error).splitlines()[0]
                return None
            self._read[key, folder.name] = known
        return known

    def _no_such_artefact(self, key: str) -> str:
        parts = self.partitions(key)
        if parts:
            return f"{key} has partitions; name one: " + ", ".join(f"{key}/{p}" for p in parts[:8])
        close = difflib.get_close_matches(key, self.keys(), n=3)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        names = sorted({known.split("/", 1)[0] for known in self.keys()})
        return (
            f"no dataset or model {key!r} in {self.home}; {hint}there are: "
            f"{', '.join(names) or 'none yet, so run the graph first'}"
        )


def distinct_contents(artefacts: Iterable[Artefact]) -> list[Artefact]:
    """One of each content of each key, whole ones first choice, then the newest."""
    best: dict[tuple[str, str], Artefact] = {}
    for artefact in artefacts:
        place = (artefact.key, artefact.content_hash)
        known = best.get(place)
        if known is None or (artefact.is_whole, artefact.version) > (known.is_whole, known.version):
            best[place] = artefact
    return list(best.values())


def _artefact_folders(home: Path) -> Iterator[tuple[str, Path]]:
    for kind in KINDS:
        for folder in _subfolders(home / f"{kind}s"):
            if _has_versions(folder):
                yield folder.name, folder
            if kind == "dataset":
                for part in _subfolders(folder):
                    if not VERSION_NAME.fullmatch(part.name) and _has_versions(part):
                        yield f"{folder.name}/{part.name}", part


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [p for p in sorted(folder.iterdir()) if not p.name.startswith(".") and p.is_dir()]


def _has_versions(folder: Path) -> bool:
    return (folder / CURRENT_NAME).is_file() or (folder / REMEMBERED_DIR).is_dir()
