"""Cleaning, comparing and identifying the text of a pair."""

from __future__ import annotations

import hashlib
import json
import unicodedata


def clean_text(text: str) -> str:
    """Return `text` with Unix line ends and without outer white space or byte-order marks."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip("\ufeff").strip()


def is_blank(text: str) -> bool:
    """Tell whether nothing of `text` would show: white space, control or zero-width characters."""
    return not any(char.isprintable() and not char.isspace() for char in text)


def is_encodable(text: str) -> bool:
    r"""Tell whether `text` is valid Unicode; JSON can smuggle in lone surrogates ("\ud800")."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def normalised(text: str) -> str:
    """Return `text` as compared for duplicates: NFC, every run of white space one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def content_id(prefix: str, *texts: str) -> str:
    """Return `prefix-` and 16 hex digits of the hash of the normalised texts.

    64 bits: among a million pairs a collision has a chance of 3 in 10^8.
    """
    # JSON keeps ("ab", "c") and ("a", "bc") apart.
    content = json.dumps([normalised(text) for text in texts], ensure_ascii=False)
    return f"{prefix}-{hashlib.sha256(content.encode('utf-8')).hexdigest()[:16]}"
