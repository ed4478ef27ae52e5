"""Bytes of a page to text: which character set they are in, by statements and by the bytes.

Statements are often wrong, and bytes often tell: text of another encoding is almost never valid
UTF-8, UTF-16 has a NUL beside each letter of markup, and ISO-2022 has its escapes. So each is asked
what it knows best; between statements the order is HTTP header, <meta>, then detection.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from typing import Final

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    # Before UTF-16's, which it begins with.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_HEAD_BYTES: Final = 8192
_DETECT_BYTES: Final = 65_536
_COMMENT: Final = re.compile(rb"<!--.*?-->", re.DOTALL)
_META_CHARSET: Final = re.compile(rb"<meta[^>]{0,400}?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.I)
_XML_ENCODING: Final = re.compile(rb"\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']\s*([\w.:-]+)", re.I)
# Encodings in seven bits, which look like ASCII: what each cannot do without.
_ESCAPED: Final = (
    ("iso2022_jp_ext", re.compile(rb"\x1b\$[@B(]|\x1b\(I"), ("iso-2022-jp", "csiso2022jp")),
    ("iso2022_kr", re.compile(rb"\x1b\$\)C"), ("iso-2022-kr", "csiso2022kr")),
    ("hz", re.compile(rb"~\{[!-}][!-~]"), ("hz-gb-2312", "hz")),
)
_HZ: Final = b"hz-gb-2312"
_UTF16_LE_START: Final = re.compile(rb"(?:[\t\n\r -~]\0){3}")
_UTF16_BE_START: Final = re.compile(rb"(?:\0[\t\n\r -~]){3}")
# Python's names of what browsers read under HTML's names, where the plain codec holds less.
_BROWSER_CODECS: Final = {
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "big5": "big5hkscs",
    "iso8859-11": "cp874",
    # The detector's name of what HTML calls euc-kr.
    "cp949": "cp949",
    "x-mac-cyrillic": "mac_cyrillic",
    "x-mac-roman": "mac_roman",
}
_EAST_ASIAN: Final = frozenset({"cp932", "cp949", "gb18030", "big5hkscs", "euc_jp"})
# A page with so few broken characters per sound one is still UTF-8: cut at the end, or patched
# together by software that cuts strings at bytes.
_MAX_BROKEN_SHARE: Final = 0.05
# Of the characters of a stated encoding of several bytes, so many may be undecodable.
_MAX_STATED_BROKEN_SHARE: Final = 0.05
_FEW_CHARS: Final = 8
_NOT_ASCII: Final = re.compile("[^\x00-\x7f]+")


def decode_html(html: bytes, charset: str | None = None) -> str:
    """Decode a page; `charset` is what its HTTP header states. Never raises: bad bytes give U+FFFD.

    In this order: byte order mark; UTF-16 or UTF-32 where markup has NULs between its letters; a
    seven-bit encoding that is stated, or shown by its escapes; UTF-8 if valid, or nearly so; what
    is stated (HTTP header, <meta>, XML declaration) unless the bytes refute it; detection.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if html.startswith(mark):
            return html[len(mark) :].decode(encoding, "replace")
    head = html[:_HEAD_BYTES]
    if b"\0" in head and (wide := wide_encoding(head)):
        return html.decode(wide, "replace")
    if b"\x1b" in html or _HZ in head or (charset and charset.startswith("hz")):
        text = _decode_escaped(html, charset)
        if text is not None:
            return text
    try:
        text = html.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        is_ascii = len(text) == len(html)
        return text if is_ascii else _unless_east_asian(html, text, charset)
    return _decode_by_statement(html, charset)


def wide_encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32 of a page's first bytes without a mark, by where its NULs are; else None.

    Markup is ASCII, so that many a unit has a NUL, and so have the first ones; in UTF-32 no unit
    needs its upper half.
    """
    head = head[: len(head) // 4 * 4]
    n_units = len(head) // 4
    if not n_units:
        return None
    nul = [head[n::4].count(0) / n_units for n in range(4)]
    if min(nul[2:]) > 0.9 and nul[0] < 0.1:
        return "utf-32-le"
    if min(nul[:2]) > 0.9 and nul[3] < 0.1:
        return "utf-32-be"
    even, odd = (nul[0] + nul[2]) / 2, (nul[1] + nul[3]) / 2
    if _UTF16_LE_START.match(head) or (odd > 0.3 and even < 0.02):
        return "utf-16-le"
    if _UTF16_BE_START.match(head) or (even > 0.3 and odd < 0.02):
        return "utf-16-be"
    return None


def stated_charsets(html: bytes, charset: str | None = None) -> list[str]:
    """What a page states of its encoding, lower-case: HTTP header, <meta>, XML declaration."""
    head = html[:_HEAD_BYTES]
    if b"<!--" in head:
        head = _COMMENT.sub(b"", head)
    found = [_META_CHARSET.search(head), _XML_ENCODING.match(head)]
    stated = [charset, *(match[1].decode("ascii", "ignore") for match in found if match)]
    return [name.strip().lower() for name in stated if name]


def codec_of(name: str) -> str | None:
    """Python's codec for an encoding's name as browsers read it; None for an unknown one.

    A page that says ISO-8859-1 is read as windows-1252, one that says GB2312 as GB18030.
    """
    # The mapping knows few of the names with x- that HTML has for Apple's encodings.
    known = _BROWSER_CODECS.get(name) or map_encoding_to_html5(name, False)
    codec = _BROWSER_CODECS.get(known or "", known)
    try:
        return codec if codec and codecs.lookup(codec) else None
    except LookupError:
        return None


def _decode_escaped(html: bytes, charset: str | None) -> str | None:
    """The text of a page in an encoding of seven bits; None if it is in none of them."""
    stated = stated_charsets(html, charset)
    for codec, escape, names in _ESCAPED:
        # HZ's signs are common in other texts, so it is believed only when stated.
        is_meant = any(name in names for name in stated) or codec != "hz"
        if is_meant and escape.search(html) and html.isascii():
            return html.decode(codec, "replace")
    return None


def _unless_east_asian(html: bytes, text: str, charset: str | None) -> str:
    """`text`, read as UTF-8, unless its few characters make sense only in the stated encoding.

    Two-byte characters of Chinese, Japanese and Korean encodings are valid UTF-8 by chance, then
    Greek to Arabic letters: seldom one, hardly ever many.
    """
    if len(html) - len(text) > _FEW_CHARS:  # one byte more than characters for each of those
        return text
    codec = next(filter(None, map(codec_of, stated_charsets(html, charset))), None)
    if codec not in _EAST_ASIAN or not re.fullmatch("[\u0250-\u07ff]+", _foreign(text)):
        return text
    try:
        return html.decode(codec)
    except UnicodeDecodeError:
        return text


def _decode_by_statement(html: bytes, charset: str | None) -> str:
    as_utf8 = html.decode("utf-8", "replace")
    n_broken = as_utf8.count("\ufffd")
    n_sound = len(as_utf8) - len(as_utf8.encode("ascii", "ignore")) - n_broken
    if n_broken <= _MAX_BROKEN_SHARE * n_sound:
        return as_utf8
    stated = [codec_of(name) for name in stated_charsets(html, charset)]
    # UTF-8 has just been refuted, and UTF-16 would have shown.
    for codec in dict.fromkeys(stated):
        if codec is None or codec.startswith("utf"):
            continue
        text = html.decode(codec, "replace")
        if _is_plausible(text):
            return text
    # The detector's own mapping to HTML's names turns Korean into UTF-8.
    detected = codec_of(detect_encoding(html[:_DETECT_BYTES], html5_compatible=False) or "")
    if detected is None or detected.startswith("utf"):
        detected = "utf-8" if n_sound > n_broken else "cp1252"
    return html.decode(detected, "replace")


def _is_plausible(text: str) -> bool:
    """Whether a decoding gave text: hardly any undecodable bytes, control or unknown characters."""
    foreign = _foreign(text)[:_DETECT_BYTES]
    n_wrong = sum(
        n
        for char, n in Counter(foreign).items()
        if char == "\ufffd" or char <= "\x9f" or unicodedata.category(char) in ("Cn", "Co")
    )
    return n_wrong <= _MAX_STATED_BROKEN_SHARE * len(foreign)


def _foreign(text: str) -> str:
    return "".join(_NOT_ASCII.findall(text))
