"""A reproducible sample of segments with a cap for each host."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from urllib.parse import urlsplit


def select_sample(
    rows: Iterable[tuple[str, str]], n: int, seed: int = 0, max_per_host: int | None = None
) -> list[str]:
    """Choose up to `n` segments of the (segment_id, url) rows; returns sorted segment_ids.

    The order of choice is a hash of seed and segment_id, so the sample depends neither on the
    order of the input nor, mostly, on other rows: added shards change few of those chosen. At
    most `max_per_host` segments come from one host. Raises ValueError for impossible numbers.
    """
    if n < 0:
        raise ValueError(f"select_sample: n {n} must not be negative")
    if max_per_host is not None and max_per_host < 1:
        raise ValueError(f"select_sample: max_per_host {max_per_host} must be at least 1, or None")
    taken: Counter[str] = Counter()
    chosen: list[str] = []
    for _, segment_id, host in sorted(
        (_draw(segment_id, seed), segment_id, _host(url)) for segment_id, url in rows
    ):
        if len(chosen) == n:
            break
        if max_per_host is None or taken[host] < max_per_host:
            taken[host] += 1
            chosen.append(segment_id)
    return sorted(chosen)


def _draw(segment_id: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}\x1f{segment_id}".encode(), digest_size=16).digest()


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # such as a bracket that is no IPv6 address
        return ""
