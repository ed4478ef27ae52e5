"""E-mail and IP addresses and telephone numbers in a text: found, counted, masked.

Made for documentation as well as for web pages: what documentation holds without meaning anyone
(example.com, 192.168.0.1, version 1.2.3.4, git@host: paths) is not taken for personal data.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from humpback_pipeline.web.screens.telephone import find_telephone_numbers

PersonalDataKind = Literal["email", "ip", "phone"]

# Short, readable, what manuals themselves write for "some address", and nobody's real address:
# an invented one would teach a model to make such addresses up.
MASKS: Final[dict[PersonalDataKind, str]] = {"email": "<email>", "ip": "<ip>", "phone": "<phone>"}

_EMAIL: Final = re.compile(
    r"(?<![\w.%+-])[A-Za-z0-9_][\w.%+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)"
    r"{1,8}[A-Za-z]{2,24}(?![\w@-])",
    re.ASCII,
)
# RFC 2606 and RFC 6761: names that nobody can own; and what manuals write in place of a name.
_EXAMPLE_DOMAIN: Final = re.compile(
    r"(?:^|\.)(?:example\.(?:com|net|org|edu)|example|dom|domain|ext|tld|test|invalid|localhost|local|localdomain|"
    r"(?:my|your)-?(?:domain|company|site|server|host)\.\w+|domain\.com)$",
    re.IGNORECASE,
)
# "icon@2x.png": a file's ending, and no top-level domain.
_FILE_ENDING: Final = re.compile(
    r"\.(?:png|jpe?g|gif|svgz?|webp|ico|css|js|jsx|tsx|json|html?|php|xml|ya?ml|txt|gz|deb|rpm)$",
    re.IGNORECASE,
)
_SECRET_OF_URL: Final = re.compile(r"://[^\s/]*$")

_IPV4: Final = re.compile(r"(?<![\w.@-])(?:\d{1,3}\.){3}\d{1,3}(?!\.?[\w@]|-\w|/\d)", re.ASCII)
_IPV6: Final = re.compile(
    r"(?<![\w:.])[23][0-9a-f]{3}:(?:[0-9a-f]{0,4}:){1,6}[0-9a-f]{0,4}(?![\w:]|/\d)", re.I | re.ASCII
)
_GLOBAL_IPV6: Final = ipaddress.IPv6Network("2000::/3")
_VERSION_BEFORE: Final = re.compile(
    r"(?:\b(?:v|ver|version|versions|release|released|rev|revision|build|firmware|driver|since|"
    r"sections?|chapter|clause|oid|rfc|figure|table|python|java|php)\.?|[=~<>^§]|\w/)\s*[(\"'`]?$",
    re.IGNORECASE,
)
# Version and section numbers are made of small numbers; an address of four of them is rare (30⁴ of
# 256⁴), so it needs a word before it that says that it is one.
_SMALL: Final = 30
_HEADING_BEFORE: Final = re.compile(r"(?:^|\n)[\s>]*#{1,6}\s*$")  # "#### 36.7.2.1. Data Types"
_ADDRESS_BEFORE: Final = re.compile(r"\b(?:ip|ipv4|address|host|server|peer|from)\W{1,4}$", re.I)
_CONTEXT_CHARS: Final = 24


@dataclass(frozen=True, slots=True)
class PersonalData:
    """One piece of personal data: its kind and where it stands, text[start:end]."""

    kind: PersonalDataKind
    start: int
    end: int


def find_personal_data(text: str) -> list[PersonalData]:
    """Find e-mail and IP addresses and telephone numbers, in order, none overlapping another.

    IP: global addresses only, not those of private networks, of documentation or of a netmask;
    not a version number. Telephone: see telephone.py.
    """
    found = [*_emails(text), *_ipv4_addresses(text), *_ipv6_addresses(text)]
    found += [PersonalData("phone", start, end) for start, end in find_telephone_numbers(text)]
    found.sort(key=lambda piece: (piece.start, -piece.end))
    apart: list[PersonalData] = []
    for piece in found:
        if not apart or piece.start >= apart[-1].end:
            apart.append(piece)
    return apart


def mask_personal_data(text: str) -> tuple[str, dict[str, int]]:
    """Put MASKS in place of personal data; also gives the number of pieces of each kind."""
    found = find_personal_data(text)
    if not found:
        return text, {}
    pieces: list[str] = []
    end = 0
    for piece in found:
        pieces += (text[end : piece.start], MASKS[piece.kind])
        end = piece.end
    pieces.append(text[end:])
    return "".join(pieces), dict(Counter(piece.kind for piece in found))


def _emails(text: str) -> Iterator[PersonalData]:
    if "@" not in text:
        return
    for match in _EMAIL.finditer(text):
        start, end = match.span()
        domain = match[0].partition("@")[2]
        if _EXAMPLE_DOMAIN.search(domain) or _FILE_ENDING.search(domain):
            continue
        # "git@host:path" names a repository, "scheme://user:password@host" a service.
        if text[end : end + 1] == ":" and text[end + 1 : end + 2].strip():
            continue
        if _SECRET_OF_URL.search(text, max(start - 200, 0), start):
            continue
        if text[start - 1 : start] == "<" and text[end : end + 1] == ">":
            start, end = start - 1, end + 1  # an autolink: "<<email>>" would be none
        yield PersonalData("email", start, end)


def _ipv4_addresses(text: str) -> Iterator[PersonalData]:
    for match in _IPV4.finditer(text):
        try:
            address = ipaddress.IPv4Address(match[0])
        except ValueError:
            continue
        if not address.is_global or address.is_multicast:
            continue
        before = text[max(match.start() - _CONTEXT_CHARS, 0) : match.start()]
        if _VERSION_BEFORE.search(before) or _HEADING_BEFORE.search(before):
            continue
        if max(address.packed) <= _SMALL and not _ADDRESS_BEFORE.search(before):
            continue
        yield PersonalData("ip", *match.span())


def _ipv6_addresses(text: str) -> Iterator[PersonalData]:
    for match in _IPV6.finditer(text):
        try:
            address = ipaddress.IPv6Address(match[0])
        except ValueError:
            continue
        if address in _GLOBAL_IPV6 and address.is_global:
            yield PersonalData("ip", *match.span())
