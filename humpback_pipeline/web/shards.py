"""WARC files of a corpus folder, and the partition key of each."""

from __future__ import annotations

from pathlib import Path

WARC_SUFFIXES = (".warc.gz", ".warc")


class CorpusError(ValueError):
    """The corpus folder cannot be used; the message says what and how to mend it."""


def list_shards(warc_dir: Path) -> dict[str, Path]:
    """Partition key → WARC file, sorted by key.

    The key is the file's path below `warc_dir` without its suffix, folders joined by `--`:
    `en00/en0000-01.warc.gz` gives `en00--en0000-01`. Raises CorpusError for a missing or empty
    folder and for two files of one key.
    """
    if not warc_dir.is_dir():
        raise CorpusError(
            f"{warc_dir}: no such folder of WARC files; set corpus.warc_dir in the recipe or "
            "HUMPBACK_WARC_DIR."
        )
    shards: dict[str, Path] = {}
    for path in sorted(warc_dir.rglob("*")):
        suffix = next((s for s in WARC_SUFFIXES if path.name.endswith(s)), None)
        if suffix is None or not path.is_file():
            continue
        key = "--".join(path.relative_to(warc_dir).parts).removesuffix(suffix)
        if key in shards:
            raise CorpusError(f"{path} and {shards[key]} have the same name; rename one of them.")
        shards[key] = path
    if not shards:
        raise CorpusError(f"{warc_dir}: no file ends with {' or '.join(WARC_SUFFIXES)}.")
    return shards
