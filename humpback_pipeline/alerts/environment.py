"""Addresses and passwords of channels: in the environment, never in the recipe or in a message."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from humpback_pipeline.alerts.errors import AlertError


def read_address(variable: str, field: str) -> str:
    """The http(s) address in `variable`; `field` is the recipe's field for messages.

    Raises AlertError if the variable is not set or holds no address.
    """
    address = read_secret(variable, field)
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # raises on a port that is no number
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in address):
        raise AlertError(
            f"{field} names {variable}, which holds no address; it must begin with https:// "
            "(or http://) and name a host."
        )
    return address


def read_secret(variable: str, field: str) -> str:
    """What `variable` holds. Raises AlertError, naming variable and field, if that is nothing."""
    value = os.environ.get(variable, "").strip()
    if not value:
        raise AlertError(f"{field} names {variable}, which is not set; export it.")
    return value
