"""Lists that users write or download: one entry a line, `#` for comments, read as a stream."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path


def read_list(path: Path, setting: str, add: Callable[[str], None]) -> str:
    """Give every entry of a list file to `add`, without white space and comments around it.

    A comment begins with `#` at the start of a line or after white space. Returns the SHA-256 of
    the bytes read. Raises ValueError with file, line and remedy: a file that cannot be read, is
    not UTF-8 or has no entry, or an entry that `add` refuses by a ValueError.
    """
    digest = hashlib.sha256()
    n_entries = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                digest.update(line)
                try:
                    entry = _entry(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                    if entry:
                        add(entry)
                        n_entries += 1
                except UnicodeDecodeError as error:
                    raise _error(setting, path, number, "not UTF-8; save it as UTF-8") from error
                except ValueError as error:
                    raise _error(setting, path, number, str(error)) from error
    except OSError as error:
        raise ValueError(
            f"{setting}: {path} cannot be read ({error.strerror}); name a readable text file "
            "or leave the setting out"
        ) from error
    if not n_entries:
        raise ValueError(
            f"{setting}: {path} has no entry; write one a line or leave the setting out"
        )
    return digest.hexdigest()


def _entry(line: str) -> str:
    entry = line.strip()
    if entry.startswith("#"):
        return ""
    return entry.split(" #", 1)[0].split("\t#", 1)[0].rstrip() if "#" in entry else entry


def _error(setting: str, path: Path, number: int, problem: str) -> ValueError:
    return ValueError(f"{setting}: {path}, line {number}: {problem}")
