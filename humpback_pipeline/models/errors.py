"""The error of this room."""

from __future__ import annotations


class BaseModelError(ValueError):
    """A model cannot be found, read or used; the message says what, where and how to mend it."""
