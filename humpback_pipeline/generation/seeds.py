"""A seed for each request: the recipe's own, and what is asked."""

from __future__ import annotations

import hashlib
import json


def request_seed(seed: int, *request_ids: str) -> int:
    """31 bits (what every server takes), so that answers depend on nothing that was asked before.

    With the same seed for all, the candidates for one record would all be the same text.
    """
    digest = hashlib.sha256(json.dumps([seed, *request_ids]).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
