"""A reproducible sample of segments with a cap for each host."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from humpback_pipeline.text.stable_hash import Hashes, Indices, mix, string_hashes

HOST_CAP: Final = "host_cap"
NOT_SAMPLED: Final = "not_sampled"
# Codes that `sample_rows` gives.
SAMPLE_REASONS: Final = ("", HOST_CAP, NOT_SAMPLED)
_CAPPED, _PASSED_OVER = 1, 2
# scheme://user@host:port, the host in brackets if it is an IPv6 address.
_HOST: Final = r"^[a-z][a-z0-9+.\-]*://(?:[^/?#@]*@)?(?:\[([0-9a-f:.]+)\]|([^/?#@:\[\]]+))"


def hosts_of(urls: pl.Series) -> pl.Series:
    """Lower-case host of each URL; empty where there is none."""
    parts = urls.str.to_lowercase().str.extract_groups(_HOST).struct.unnest()
    return parts.select(pl.coalesce(pl.all()).fill_null("")).to_series().alias("host")


def draws_of(segment_ids: pl.Series, seed: int) -> Hashes:
    """Place of each segment in the order of choice: a hash of its identifier and the seed.

    So a sample depends neither on the order of the input nor, mostly, on other rows, and it is the
    same on every machine and with every version of the libraries.
    """
    salt = mix(np.array([seed % 2**64], dtype=np.uint64))
    return mix(string_hashes(segment_ids) ^ salt)


def sample_rows(
    draws: Hashes, hosts: Hashes | None, n: int, max_per_host: int | None = None
) -> NDArray[np.uint8]:
    """Codes of SAMPLE_REASONS: 0 for the `n` lowest draws, at most `max_per_host` of one host.

    draws, hosts: one number a row, `hosts` only needed for a cap. Equal draws go by row. A row is
    "host_cap" if its host has its fill of lower draws, else "not_sampled". 30 bytes a row.
    """
    order: Indices = np.argsort(draws, kind="stable")
    reasons = np.full(len(draws), _PASSED_OVER, dtype=np.uint8)
    if max_per_host is not None and hosts is not None and len(order):
        grouped = order[np.argsort(hosts[order], kind="stable")]
        places = np.arange(len(grouped))
        begins = np.ones(len(grouped), dtype=bool)
        begins[1:] = hosts[grouped[1:]] != hosts[grouped[:-1]]
        rank = places - np.maximum.accumulate(np.where(begins, places, 0))
        reasons[grouped[rank >= max_per_host]] = _CAPPED
        order = order[reasons[order] != _CAPPED]
    reasons[order[:n]] = 0
    return reasons


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
    schema = {"segment_id": pl.String, "url": pl.String}
    frame = pl.DataFrame(list(rows), schema=schema, orient="row").sort("segment_id", "url")
    draws = draws_of(frame["segment_id"], seed)
    hosts = string_hashes(hosts_of(frame["url"])) if max_per_host is not None else None
    chosen = sample_rows(draws, hosts, n, max_per_host) == 0
    return frame["segment_id"].filter(pl.Series(chosen)).to_list()
