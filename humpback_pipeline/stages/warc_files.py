"""Observing the corpus folder: which WARC files are new, changed, gone, or no WARC at all."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from humpback_pipeline.stages.corpus import SEGMENTS
from humpback_pipeline.stages.warc_hashes import hash_until, is_being_read
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import NotMaterializedError
from humpback_pipeline.storage.file_hashes import file_signature
from humpback_pipeline.storage.remote import (
    LocationError,
    redacted,
    store_identity,
    store_time_s,
)
from humpback_pipeline.storage.versions import read_manifest
from humpback_pipeline.web.shards import (
    EmptyCorpusError,
    ShardFile,
    find_shards,
    lies_below,
)
from humpback_pipeline.web.warc_framing import NotAWarcError, RecordStream

# A look must end well within the minute that Dagster gives a sensor.
HASH_BUDGET_S = 20.0
_FIRST_RECORD_BYTES = 1 << 16
_MAX_REMOTE_OPENED = 16

# new: nothing is cut from it yet; same, changed: against what its segments were cut from;
# unknown: not hashed yet; gone: a partition whose file is not in the folder.
ShardState = Literal["new", "same", "changed", "unknown", "gone"]


@dataclass(frozen=True, slots=True)
class WarcShard:
    """One WARC file or registered partition, as a look at the folder found it.

    `path` is a URL for a file behind one; `n_bytes` its size, where known. `signature` changes
    whenever the file is touched; `content_hash` (`Workspace.warc_hash`) is None while not known;
    `recorded_hash` is of the content the current segments were cut from. `is_ours` tells, for one
    that is gone, that its file was in this folder (and not in another corpus').
    """

    key: str
    path: Path | str | None
    state: ShardState
    is_registered: bool
    signature: str = ""
    touched_s: float = 0.0
    content_hash: str | None = None
    recorded_hash: str | None = None
    is_ours: bool = True
    n_bytes: int | None = None


def survey_shards(
    workspace: Workspace,
    registered: Collection[str],
    budget_s: float = HASH_BUDGET_S,
    *,
    hash_new: Collection[str] = (),
) -> list[WarcShard]:
    """Compare the corpus folder with the partitions and their segments; sorted by key.

    Files are hashed only when their signature is new, for at most `budget_s`; what does not fit
    stays unknown and is continued by the next call in this process. A new file is not hashed unless
    its key is in `hash_new`, as there is nothing to compare it with. A folder without WARC files is
    one whose files are all gone. Raises CorpusError: no such folder, two files of one key.
    """
    deadline_s = time.monotonic() + budget_s
    files = _files(workspace.recipe.corpus.warc_dir)
    shards = [
        _examine(workspace, key, file, key in registered, deadline_s, key in hash_new)
        # One that is read for long must not keep the others from being looked at.
        for key, file in sorted(files.items(), key=lambda item: is_being_read(item[1].location))
    ]
    shards += gone_shards(workspace, [key for key in registered if key not in files])
    return sorted((shard for shard in shards if shard is not None), key=lambda shard: shard.key)


def gone_shards(workspace: Workspace, keys: Iterable[str]) -> list[WarcShard]:
    """Partitions that have no file, as `survey_shards` describes them."""
    return [_gone(workspace, key) for key in keys]


def removed_shards(workspace: Workspace, registered: Iterable[str]) -> list[str]:
    """Registered partitions whose file is known to have been in the corpus folder and is gone.

    Raises CorpusError as `survey_shards`.
    """
    folder = workspace.recipe.corpus.warc_dir
    files = _files(folder)
    sources = {key: recorded_source(workspace, key) for key in registered if key not in files}
    return [key for key, s in sources.items() if s and s[1] and lies_below(s[1], folder)]


def refusal(path: Path | str) -> str | None:
    """Why a file cannot be opened as WARC; None if it can. Reads no more than its first record."""
    try:
        stream = RecordStream(path, _FIRST_RECORD_BYTES, read_ahead_bytes=_FIRST_RECORD_BYTES)
        with contextlib.closing(stream):
            next(iter(stream), None)
    except (NotAWarcError, LocationError) as error:
        return str(error)
    except OSError as error:
        remedy = "mend its permissions" if isinstance(path, Path) else "see that it can be fetched"
        return f"{redacted(path)}: cannot be read ({error.strerror or error}). Remedy: {remedy}."
    return None


def openable_shards(workspace: Workspace) -> tuple[list[str], dict[str, str]]:
    """Keys of the WARC files that can be opened, and of the others why they cannot.

    On a server each look takes requests, so there only the first few files are opened; of the rest
    an empty one is known by its listing. Raises CorpusError.
    """
    files = find_shards(workspace.recipe.corpus.warc_dir)
    refused: dict[str, str] = {}
    for n, (key, file) in enumerate(files.items()):
        is_opened = isinstance(file.location, Path) or n < _MAX_REMOTE_OPENED
        if (is_opened or file.info.get("size") == 0) and (why := refusal(file.location)):
            refused[key] = why
    return [key for key in files if key not in refused], refused


def recorded_source(workspace: Workspace, key: str) -> tuple[str, str] | None:
    """(content hash, path) of the WARC file that a shard's segments were cut from; None without.

    The path is empty in segments of versions that did not record it.
    """
    try:
        return _source_of(workspace.datasets.versions(SEGMENTS, key).current(), key)
    except (NotMaterializedError, FileNotFoundError):
        return None


def _examine(
    workspace: Workspace,
    key: str,
    file: ShardFile,
    is_registered: bool,
    deadline_s: float,
    hash_new: bool,
) -> WarcShard | None:
    source = recorded_source(workspace, key)
    is_wanted = source is not None or hash_new
    try:
        if isinstance(file.location, Path):
            traces = _traces_of_path(workspace, file.location, is_wanted, deadline_s)
        else:
            traces = _traces_of_url(workspace, file, is_wanted, deadline_s)
    except FileNotFoundError:  # moved away since the folder was listed
        return _gone(workspace, key) if is_registered else None
    state: ShardState = "same"
    if not is_registered or source is None:
        state = "new"
    elif traces.content_hash is None:
        state = "unknown"
    elif traces.content_hash != source[0]:
        state = "changed"
    return WarcShard(
        key,
        file.location,
        state,
        is_registered,
        traces.signature,
        traces.touched_s,
        traces.content_hash,
        recorded_hash=source[0] if source else None,
        n_bytes=traces.n_bytes,
    )


@dataclass(frozen=True, slots=True)
class _Traces:
    """What tells one content of a file from another; `touched_s` is 0 where not known."""

    signature: str
    touched_s: float
    content_hash: str | None
    n_bytes: int | None


def _traces_of_path(
    workspace: Workspace, path: Path, is_wanted: bool, deadline_s: float
) -> _Traces:
    status = path.stat()
    signature = file_signature(path)
    known = None
    # One that may not be read stays unknown; `refusal` says why.
    if is_wanted and os.access(path, os.R_OK):
        known = hash_until(workspace, path, deadline_s)
    touched_s = max(status.st_mtime, status.st_ctime)
    return _Traces(signature, touched_s, known, status.st_size)


def _traces_of_url(
    workspace: Workspace, file: ShardFile, is_wanted: bool, deadline_s: float
) -> _Traces:
    """From the store's listing, where that says enough; a web server is asked for each file."""
    url = str(file.location)
    identity = store_identity(file.info)
    if identity is None and is_wanted:
        identity = hash_until(workspace, url, deadline_s)
    size = file.info.get("size")
    n_bytes = int(size) if isinstance(size, int) else None
    return _Traces(
        identity or "", store_time_s(file.info), identity if is_wanted else None, n_bytes
    )


def _gone(workspace: Workspace, key: str) -> WarcShard:
    source = recorded_source(workspace, key)
    folder = workspace.recipe.corpus.warc_dir
    is_ours = source is None or not source[1] or lies_below(source[1], folder)
    recorded = source[0] if source else None
    return WarcShard(key, None, "gone", True, recorded_hash=recorded, is_ours=is_ours)


@functools.lru_cache(maxsize=65_536)
def _source_of(version: Path, key: str) -> tuple[str, str]:
    # A version never changes, so its manifest is read once in the life of a process.
    manifest = read_manifest(version)
    return manifest.provenance.warc_shards.get(key, ""), str(manifest.facts.get("warc_file", ""))


def _files(folder: Path | str) -> dict[str, ShardFile]:
    try:
        return find_shards(folder)
    except EmptyCorpusError:
        # Every file was taken away, which is for the caller to report.
        return {}
