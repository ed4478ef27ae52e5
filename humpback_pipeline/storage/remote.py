"""Files of a local disk or behind a URL (s3://, https://, …), read in pieces through fsspec.

A file on a server is fetched range by range, so that reading it takes little memory and no disk.
From an HTTP server that cannot do that it is first copied to a temporary file.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast
from urllib.parse import urlsplit

from humpback_pipeline.recipe_section import is_url

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

# Bytes fetched ahead: large enough that the delay of a request does not count.
STREAM_BLOCK_BYTES: Final = 4 << 20
_TRIES: Final = 3
_FIRST_PAUSE_S: Final = 0.5
_COPY_BYTES: Final = 1 << 20
# What stores call a file's content hash, best first.
_CHECKSUM_FIELDS: Final = ("etag", "md5hash", "content-md5", "digest", "md5", "checksum", "crc32c")
_TIME_FIELDS: Final = ("mtime", "lastmodified", "last-modified", "updated", "created")
_USER_INFO: Final = re.compile("://[^/?#@]*@")
_HTTP_OPTIONS: Final[Mapping[str, Any]] = {
    # A server that calls a .gz file an encoding must not have it unpacked on the way.
    "headers": {"Accept-Encoding": "identity"},
    "client_kwargs": {"auto_decompress": False},
}


class LocationError(ValueError):
    """A URL cannot be used as it is; the message says why and how to mend it."""


def open_location(location: Path | str, block_bytes: int = STREAM_BLOCK_BYTES) -> BinaryIO:
    """Open a local file or a URL for reading, with `seek`.

    block_bytes: what is fetched at a time from a server. Raises LocationError for a URL that
    nothing here can read, OSError for a file that cannot be read (after three tries).
    """
    if isinstance(location, str) and is_url(location):
        return cast(BinaryIO, RemoteFile(location, block_bytes))
    return Path(location).open("rb")


def open_store(url: str) -> tuple[AbstractFileSystem, str]:
    """fsspec's file system of a URL, and the path there. Raises LocationError."""
    import fsspec.core

    if urlsplit(url).username or urlsplit(url).password:
        raise LocationError(
            f"{redacted(url)}: a URL must not hold a user or password; put them in the "
            "environment variables that the store reads (for s3:// AWS_ACCESS_KEY_ID and so on)."
        )
    options = _HTTP_OPTIONS if urlsplit(url).scheme.lower() in ("http", "https") else {}
    try:
        return cast("tuple[AbstractFileSystem, str]", fsspec.core.url_to_fs(url, **options))
    except ImportError as error:
        scheme = urlsplit(url).scheme
        package = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}.get(scheme, "")
        remedy = f"pip install {package}" if package else str(error)
        raise LocationError(
            f"{redacted(url)}: {scheme}:// needs a package that is not installed. Remedy: {remedy}"
        ) from error
    except ValueError as error:
        raise LocationError(
            f"{redacted(url)}: {error}. Use a folder, or a URL such as s3://bucket/folder or "
            "https://host/folder/."
        ) from error


def redacted(location: Path | str) -> str:
    """A location as it may be shown: without a URL's password and query, which may sign it."""
    if not isinstance(location, str) or not is_url(location):
        return str(location)
    shown = _USER_INFO.sub("://", location)
    # Elsewhere a question mark is part of a name.
    return shown if urlsplit(shown).scheme not in ("http", "https") else re.split("[?#]", shown)[0]


def store_identity(info: Mapping[str, Any]) -> str | None:
    """What the store itself says of a file's content: `store:` and a hash; None if it says nothing.

    Of its checksum or ETag where there is one, else of its time of modification, and the size. A
    hash of the content would cost a download. Two stores name one content differently.
    """
    known = {str(key).lower(): str(value) for key, value in info.items() if value}
    field = next((field for field in _CHECKSUM_FIELDS if field in known), None)
    # A store may write one time in two ways, in a listing and for a file.
    time_s = store_time_s(info)
    if field is None and not time_s:
        return None
    content = known[field].removeprefix("W/").strip('"') if field else f"{time_s:.6f}"
    identity = json.dumps([field, content, known.get("size", "")])
    return "store:" + hashlib.sha256(identity.encode()).hexdigest()


def store_time_s(info: Mapping[str, Any]) -> float:
    """When the store says a file was modified, in seconds since 1970; 0 if it does not."""
    for key, value in info.items():
        if key.lower().replace("_", "-") in _TIME_FIELDS:
            if isinstance(value, datetime):
                return value.timestamp()
            if isinstance(value, int | float):
                return float(value)
            with contextlib.suppress(ValueError, TypeError):
                return parsedate_to_datetime(str(value)).timestamp()
    return 0.0


def remote_identity(url: str) -> str:
    """What tells this content of a file behind a URL from another, without fetching it.

    As `store_identity`; a store that says nothing is known by the URL alone, so that a change there
    goes unseen. Raises OSError, LocationError.
    """
    with RemoteFile(url, is_read=False) as file:
        return store_identity(file.info) or f"store:{hashlib.sha256(url.encode()).hexdigest()}"


class RemoteFile(io.RawIOBase):
    """A file behind a URL, for reading and seeking; a failed request is tried again.

    `info` is what the store says of it; without `is_read` that is all that is asked for. Errors of
    the connection are OSError, so that nobody takes them for damage of the file.
    """

    def __init__(
        self, url: str, block_bytes: int = STREAM_BLOCK_BYTES, *, is_read: bool = True
    ) -> None:
        super().__init__()
        self._url = url
        self._position = 0
        self._fs, self._path = open_store(url)
        self.info: dict[str, Any] = self._trying(self._look)
        can_seek = self.info.get("size") is not None and self.info.get("partial", True)
        self._file: Any = None
        if not is_read:
            return
        if not can_seek:
            self._file = self._trying(self._copy)
        elif self.info["size"] == 0:
            self._file = io.BytesIO()
        else:
            self._file = self._trying(
                lambda: self._fs.open(
                    self._path, "rb", block_size=block_bytes, cache_type="readahead"
                )
            )

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position; nothing is fetched before the next read."""
        if whence == io.SEEK_END:
            size = self.info.get("size")
            offset += int(size) if size is not None else self._file.seek(0, io.SEEK_END)
        elif whence == io.SEEK_CUR:
            offset += self._position
        self._position = max(0, offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """The next bytes; raises OSError when they cannot be fetched."""
        data = cast(bytes, self._trying(lambda: self._read_at(self._position, size)))
        self._position += len(data)
        return data

    def close(self) -> None:
        """Close the connection or the temporary copy."""
        if not self.closed and getattr(self, "_file", None) is not None:
            self._file.close()
        super().close()

    def _look(self) -> dict[str, Any]:
        # Stores answer from their memory of earlier listings otherwise.
        self._fs.invalidate_cache(self._fs._parent(self._path))
        return cast("dict[str, Any]", self._fs.info(self._path))

    def _read_at(self, position: int, size: int) -> bytes:
        try:
            self._file.seek(position)
            return cast(bytes, self._file.read(size))
        except ValueError as error:
            if "range requests" not in str(error):
                raise
        self._file.close()
        self._file = self._copy()
        self._file.seek(position)
        return cast(bytes, self._file.read(size))

    def _copy(self) -> BinaryIO:
        """The whole file on disk, for a server that gives it only from its beginning."""
        copy = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
        try:
            with self._fs.open(self._path, "rb", block_size=0) as remote:
                shutil.copyfileobj(remote, copy, _COPY_BYTES)
        except BaseException:
            copy.close()
            raise
        return cast(BinaryIO, copy)

    def _trying(self, action: Any) -> Any:
        pause_s = _FIRST_PAUSE_S
        for n_left in reversed(range(_TRIES)):
            try:
                return action()
            except (FileNotFoundError, PermissionError, LocationError) as error:
                raise type(error)(f"{redacted(self._url)}: {error or 'no such file'}") from error
            # Each store has errors of its own, few of them OSError.
            except Exception as error:
                if not n_left:
                    what = redacted(self._url)
                    raise OSError(f"{what}: cannot be read ({error!r:.300})") from error
                time.sleep(pause_s)
                pause_s *= 3
