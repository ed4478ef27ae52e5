"""Pages not to read, by their URL: domains with all their subdomains, and words.

Format of the file, one entry a line, `#` for comments:

    example.com          the domain and all its subdomains (`*.example.com`, `.example.com` too)
    .zip                 a whole top-level domain
    0.0.0.0 example.com  a line of a hosts file: the same as `example.com`
    ~casino              a word anywhere in the URL, between characters that are no letter or digit
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from hashlib import blake2b
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import numpy as np

from humpback_pipeline.web.screens.list_file import read_list

_HOST: Final = re.compile(r"^\s*(?:[a-z][a-z0-9+.-]*:)?/*(?:[^/?#@]*@)?(\[[^\]]*\]|[^/?#:]*)", re.I)
_MAX_LABELS: Final = 127
_DOMAIN: Final = re.compile(r"[\w-]+(?:\.[\w-]+)*")
_HOSTS_LINE: Final = re.compile(r"(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]*::[0-9a-f:]*)\s+(\S+)", re.I)
_NOT_WORD: Final = re.compile(r"[\W_]+")


class UrlBlocklist:
    """Domains and URL words, quick to ask and small: eight bytes for each domain.

    Domains are kept as sorted 64-bit hashes; among a billion hosts and four million domains, one
    host would be blocked by mistake with probability 2·10⁻⁴.
    """

    def __init__(self) -> None:
        self._domains = array("Q")
        self._words: set[str] = set()
        self._sorted = True

    @property
    def n_domains(self) -> int:
        """Domains added; one that was added twice may count twice."""
        return len(self._domains)

    @property
    def words(self) -> frozenset[str]:
        """The words, in lower case."""
        return frozenset(self._words)

    def add(self, entry: str) -> None:
        """Add one entry of the file's format; raises ValueError for anything else."""
        if entry.startswith("~"):
            self._words.add(_word(entry[1:]))
            return
        hosts_line = _HOSTS_LINE.fullmatch(entry)
        if hosts_line and "." not in hosts_line[1]:
            return  # a hosts file also names the machine itself: "127.0.0.1 localhost"
        domain = _domain(hosts_line[1] if hosts_line else entry)
        self._domains.append(_hash(domain))
        self._sorted = False

    def blocks(self, url: str) -> bool:
        """Tell whether a page of this URL is not to be read; never raises."""
        return (bool(self._domains) and self._blocks_host(url)) or (
            bool(self._words) and not self._words.isdisjoint(_url_words(url))
        )

    def _blocks_host(self, url: str) -> bool:
        self._sort()
        match = _HOST.match(url)
        host = _ascii(match[1].rstrip(".").lower()) if match else ""
        if host.count(".") > _MAX_LABELS:  # no name that DNS allows
            host = ".".join(host.rsplit(".", _MAX_LABELS)[1:])
        while host:
            value = _hash(host)
            place = bisect_left(self._domains, value)
            if place < len(self._domains) and self._domains[place] == value:
                return True
            host = host.partition(".")[2]
        return False

    def _sort(self) -> None:
        if not self._sorted:
            np.frombuffer(self._domains, dtype=np.uint64).sort()
            self._sorted = True


def load_url_blocklist(path: Path, setting: str = "url_blocklist") -> tuple[UrlBlocklist, str]:
    """Read a file of the format above; also gives the SHA-256 of its bytes.

    Raises ValueError that names setting, file, line and remedy.
    """
    blocklist = UrlBlocklist()
    content_hash = read_list(path, setting, blocklist.add)
    blocklist._sort()
    return blocklist, content_hash


def _domain(entry: str) -> str:
    bare = entry[1:] if entry.startswith("*.") else entry
    is_suffix = bare.startswith(".")
    domain = _ascii(bare.strip(".").lower())
    if not _DOMAIN.fullmatch(domain):
        raise ValueError(
            f"{entry[:80]!r} is no domain; write it without scheme, port and path, as in "
            "example.com, or ~word for a word in URLs"
        )
    if "." not in domain and not is_suffix:
        raise ValueError(
            f"{entry[:80]!r} has no dot; write ~{domain} for a word in URLs, or .{domain} for a "
            "whole top-level domain"
        )
    return domain


def _word(entry: str) -> str:
    word = entry.strip().lower()
    if not word or _NOT_WORD.search(word):
        raise ValueError(
            f"'~{entry[:80]}' is not one word of letters and digits; write one word a line"
        )
    return word


def _url_words(url: str) -> list[str]:
    return _NOT_WORD.split(unquote(url, errors="replace").lower())


def _ascii(host: str) -> str:
    """An international name as DNS writes it (xn--…); as it is, if it cannot be written so."""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host


def _hash(domain: str) -> int:
    raw = domain.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(raw, digest_size=8).digest(), "little")
