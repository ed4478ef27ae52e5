"""WARC files of a corpus folder or URL, and the partition key of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from humpback_pipeline.recipe_section import is_url
from humpback_pipeline.storage.remote import LocationError, open_store, redacted

WARC_SUFFIXES: Final = (".warc.gz", ".warc.zst", ".warc", ".arc.gz", ".arc")
# Folders of a web server may link to each other in a circle.
_MAX_DEPTH: Final = 12


class CorpusError(ValueError):
    """The corpus folder cannot be used; the message says what and how to mend it."""


class EmptyCorpusError(CorpusError):
    """The corpus folder is there and holds no WARC file."""


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A WARC file: where it is, and what the store that lists it says of it (nothing on disks)."""

    location: Path | str
    info: Mapping[str, Any] = field(default_factory=dict)


def list_shards(warc_dir: Path | str) -> dict[str, Path | str]:
    """Partition key → WARC file, sorted by key: a path, or a URL for files behind one.

    The key is the file's path below `warc_dir` without its suffix, folders joined by `--`:
    `en00/en0000-01.warc.gz` gives `en00--en0000-01`. `warc_dir` may also be one file. Raises
    CorpusError for a folder that is missing or cannot be listed and for two files of one key,
    EmptyCorpusError for one without WARC files.
    """
    return {key: file.location for key, file in find_shards(warc_dir).items()}


def find_shards(warc_dir: Path | str) -> dict[str, ShardFile]:
    """As `list_shards`, with what a remote store says of each file in its listing."""
    if isinstance(warc_dir, str) and is_url(warc_dir):
        return _keyed(_remote_files(warc_dir), warc_dir)
    folder = Path(warc_dir)
    if folder.is_file() and folder.name.endswith(WARC_SUFFIXES):
        return _keyed([(folder.name, ShardFile(folder))], folder)
    if not folder.is_dir():
        raise CorpusError(
            f"{folder}: no such folder of WARC files; set corpus.warc_dir in the recipe or "
            "HUMPBACK_WARC_DIR."
        )
    found = (
        (path.relative_to(folder).as_posix(), ShardFile(path))
        for path in sorted(folder.rglob("*"))
        if path.name.endswith(WARC_SUFFIXES) and path.is_file()
    )
    return _keyed(found, folder)


def file_name(location: Path | str) -> str:
    """Name of a file, of a URL without its query."""
    if isinstance(location, str) and is_url(location):
        return unquote(urlsplit(location).path).rstrip("/").rpartition("/")[2]
    return Path(location).name


def lies_below(source: str, folder: Path | str) -> bool:
    """Whether a WARC file, as a manifest names it, is or was in a corpus folder or below a URL."""
    if is_url(source) or isinstance(folder, str):
        base = redacted(folder).rstrip("/")
        return source == base or source.startswith(f"{base}/")
    path = Path(source)
    return path.is_relative_to(folder.absolute()) or path.resolve().is_relative_to(folder.resolve())


def _keyed(files: Iterable[tuple[str, ShardFile]], warc_dir: Path | str) -> dict[str, ShardFile]:
    shards: dict[str, ShardFile] = {}
    for name, file in files:
        suffix = next(suffix for suffix in WARC_SUFFIXES if name.endswith(suffix))
        key = name.removesuffix(suffix).replace("/", "--")
        if key in shards:
            raise CorpusError(
                f"{redacted(file.location)} and {redacted(shards[key].location)} have the same "
                "name; rename one of them."
            )
        shards[key] = file
    if not shards:
        suffixes = " or ".join(WARC_SUFFIXES)
        raise EmptyCorpusError(f"{redacted(warc_dir)}: no file ends with {suffixes}.")
    return dict(sorted(shards.items()))


def _remote_files(url: str) -> list[tuple[str, ShardFile]]:
    """(path below the URL, file) of each WARC file there. Raises CorpusError."""
    try:
        store, root = open_store(url)
    except LocationError as error:
        raise CorpusError(f"corpus.warc_dir: {error}") from error
    if file_name(url).endswith(WARC_SUFFIXES):
        return [(file_name(url), ShardFile(url))]
    is_web = urlsplit(url).scheme.lower() in ("http", "https")
    try:
        store.invalidate_cache()
        listed = store.find(root, maxdepth=_MAX_DEPTH, detail=True)
        is_there = bool(listed) or store.exists(root)
    except FileNotFoundError:
        listed, is_there = {}, False
    # Each store has errors of its own for what is forbidden or cannot be reached.
    except Exception as error:
        raise CorpusError(f"{redacted(url)}: cannot be listed ({error!r:.300}).") from error
    if not is_there:
        raise CorpusError(
            f"{redacted(url)}: no such folder; set corpus.warc_dir in the recipe or "
            "HUMPBACK_WARC_DIR."
        )
    found = []
    base = root.rstrip("/") + "/"
    for path, info in sorted(listed.items()):
        if path.startswith(base) and path.endswith(WARC_SUFFIXES):
            below = path.removeprefix(base)
            file = ShardFile(f"{redacted(url).rstrip('/')}/{below}", {} if is_web else info)
            found.append((unquote(below) if is_web else below, file))
    if not found and is_web:
        raise CorpusError(
            f"{redacted(url)}: this server lists no file that ends with "
            f"{' or '.join(WARC_SUFFIXES)}. Name the URL of one file, or use a store that lists."
        )
    return found
