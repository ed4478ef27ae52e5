"""Finding data files and hashing their content."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from humpback_pipeline.seeds.records import SeedDataError

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")
SEED_SETTING = "the environment variable HUMPBACK_SEED_DATA or the recipe field seed.path"
_HASH_CHUNK_BYTES = 1 << 20

StrPath = str | os.PathLike[str]


def find_data_files(path: StrPath, setting: str = SEED_SETTING) -> list[Path]:
    """Return the data file `path`, or the data files directly in the directory, sorted by name.

    `setting` is named in the remedy as the place where the path is chosen. In a directory, files
    of other kinds (a README, a licence) and hidden files are passed over.

    Raises SeedDataError: nothing there, not a regular file, unknown extension, no data file in the
    directory, an empty file, not readable.
    """
    where = Path(path)
    choose = f"Remedy: set {setting} to a file ending in {', '.join(SUFFIXES)}, or to a directory"
    try:
        if where.is_dir():
            entries = sorted(where.iterdir(), key=lambda entry: entry.name)
            files = [e for e in entries if _is_data_name(e.name) and e.is_file()]
            if not files:
                raise SeedDataError(
                    f"{where}: the directory has no data file (sub-directories are not read). "
                    f"{choose} of them."
                )
        elif not where.exists():
            raise SeedDataError(f"{where}: there is no such file or directory. {choose}.")
        elif not where.is_file():
            raise SeedDataError(f"{where}: not a regular file. {choose}.")
        elif not _is_data_name(where.name):
            found = "".join(where.suffixes[-2:]) or "no extension"
            raise SeedDataError(f"{where}: unknown kind of file ({found}). {choose}.")
        else:
            files = [where]
        for file in files:
            if file.stat().st_size == 0:
                raise SeedDataError(
                    f"{file}: the file is empty. Remedy: put (instruction, output) records in it, "
                    f"or set {setting} to another file."
                )
    except OSError as error:
        raise unreadable(where, error) from error
    return files


def seed_content_hash(path: StrPath) -> str:
    """Return the sha256 hex digest over the bytes of the data files, in the order of their names.

    Streams, so it is cheap enough to poll; for one file it equals `sha256sum`. Compressed files
    are hashed as they lie on disk.

    Raises SeedDataError as `find_data_files`, and when a file cannot be read.
    """
    digest = hashlib.sha256()
    for file in find_data_files(path):
        try:
            with file.open("rb") as stream:
                while chunk := stream.read(_HASH_CHUNK_BYTES):
                    digest.update(chunk)
        except OSError as error:
            raise unreadable(file, error) from error
    return digest.hexdigest()


def data_set_name(file: Path) -> str:
    """Return the file's name without its extensions: the data set's name where none is given."""
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if file.name.lower().endswith(suffix):
            return file.name[: -len(suffix)]
    return file.stem


def unreadable(file: Path, error: OSError) -> SeedDataError:
    """Return the error for a file the system would not let us read."""
    return SeedDataError(
        f"{file}: cannot be read ({error.strerror or error}). "
        "Remedy: check that the file is still there and that this user may read it."
    )


def _is_data_name(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)
