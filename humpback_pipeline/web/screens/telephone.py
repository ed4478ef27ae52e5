"""Telephone numbers in a text whose country is not known: precise rather than complete.

Found are numbers in international form (+44 20 7946 …), numbers after a word such as "Tel." or
"call", and North American numbers as they are written there, (212) 736-5000 and 212-736-5000.
Validity by `phonenumbers` (Google's libphonenumber metadata) where the country is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

# Cheap tests of whether there is anything to look at; phonenumbers is far slower.
_DIGITS: Final = re.compile(r"\d(?:[\s().\-/\u00a0\u2010-\u2015]{0,3}\d){6}")
_INTERNATIONAL: Final = re.compile(r"[+＋]\s?\(?\d(?:[\s().\-/\u00a0\u2010-\u2015]{0,3}\d){6}")
_NORTH_AMERICAN: Final = re.compile(
    r"(?<![\w.+/=-])(?:1[-. ])?(?:\([2-9]\d\d\) ?|[2-9]\d\d-)[2-9]\d\d-\d{4}(?![\w-]|\.\d)"
)
# 555-0100 to 555-0199 are set aside for fiction and examples.
_FICTIONAL: Final = re.compile(r"555-01\d\d$")
_NUMBER: Final = (
    r"(?P<number>\(?\d(?:[ ().\-/\u00a0\u2010-\u2015]{0,3}\d){6,15})(?![\w@%]|[ .,:-]\d)"
)
_CUED: Final = re.compile(
    r"\b(?P<cue>tel(?:efon|ephone|éfono|efono|éfon)?|tél(?:éphone)?|phone|fax|whatsapp|hotline|"
    r"rufnummer|mobile?|mobil|cell|handy|call(?: us)?(?: at| on)?|ring)"
    rf"(?: ?(?:no|nr|number|nummer))?[.:)*]{{0,4}} {{0,2}}\*{{0,2}}{_NUMBER}",
    re.IGNORECASE,
)
_NEXT: Final = re.compile(rf"\s?(?:,|/|;|or|and|oder|und|ou|et|o|y)\s{_NUMBER}", re.IGNORECASE)
# These words also stand before plain quantities ("call 1000000 times").
_WEAK_CUE: Final = re.compile(r"mobil|cell|handy|call|ring", re.IGNORECASE)
_DATE: Final = re.compile(r"(?:19|20)\d\d[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{4}")


def find_telephone_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each telephone number; one may be found in two ways."""
    if not _DIGITS.search(text):
        return
    if _INTERNATIONAL.search(text):
        yield from _international(text)
    yield from _north_american(text)
    yield from _after_cues(text)


def _international(text: str) -> Iterator[tuple[int, int]]:
    from phonenumbers import Leniency, PhoneNumberMatcher

    for match in PhoneNumberMatcher(text, None, leniency=Leniency.VALID):
        yield match.start, match.end


def _north_american(text: str) -> Iterator[tuple[int, int]]:
    from phonenumbers import NumberParseException, is_valid_number, parse

    for match in _NORTH_AMERICAN.finditer(text):
        if _FICTIONAL.search(match[0]):
            continue
        try:
            number = parse(match[0], "US")
        except NumberParseException:
            continue
        if is_valid_number(number):
            yield match.span()


def _after_cues(text: str) -> Iterator[tuple[int, int]]:
    for cued in _CUED.finditer(text):
        match: re.Match[str] | None = cued
        is_weak = bool(_WEAK_CUE.match(cued["cue"]))
        while match and _looks_like_a_number(match["number"], is_weak):
            yield match.span("number")
            match = _NEXT.match(text, match.end())


def _looks_like_a_number(number: str, is_weak: bool) -> bool:
    if _DATE.search(number) or _FICTIONAL.search(number):
        return False
    return not is_weak or not number.isdecimal() or number.startswith("0")
