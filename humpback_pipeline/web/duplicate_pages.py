"""Pages that occur again under another document_id, byte for byte."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from humpback_pipeline.text.stable_hash import Hashes, Indices

_TEXT = ("document_hash", "key_1", "key_2")


class PageTable:
    """Which page each segment is of; a page is a row of its own, a segment 4 bytes."""

    def __init__(self) -> None:
        self._pages: list[pl.DataFrame] = []
        self._page_of: list[NDArray[np.int32]] = []
        self._n_pages = 0

    def add(self, documents: pl.DataFrame | None, n_segments: int) -> None:
        """Add segments; `documents`: document_id and document_hash of each, None if unknown."""
        if documents is None:
            self._page_of.append(np.full(n_segments, -1, dtype=np.int32))
            return
        columns = documents.select(
            pl.col("document_id", "document_hash").cast(pl.String).fill_null("")
        )
        # The segments of a page follow each other.
        number = columns.select(pl.struct(pl.all()).rle_id().cast(pl.Int32)).to_series().to_numpy()
        pages = columns.filter(np.diff(number, prepend=-1) > 0)
        self._pages.append(pages)
        self._page_of.append(number + np.int32(self._n_pages))
        self._n_pages += pages.height

    def keepers(self, by_id: Indices, text_keys: Hashes, takes_part: NDArray[np.bool_]) -> Indices:
        """Place kept for each segment whose page equals one of a lower document_id, else -1.

        That is the place of the same text in the page kept, or that page's first where it has no
        such text. by_id: rows in the order of places; text_keys, takes_part: by place. Only pages
        with a segment that takes part count.
        """
        keepers = np.full(len(by_id), -1, dtype=np.int64)
        if not self._n_pages:
            return keepers
        page_of = np.concatenate(self._page_of)[by_id]
        places = np.flatnonzero(takes_part & (page_of >= 0))
        repeated = self._repeated_pages(np.unique(page_of[places]))
        if not repeated.height:
            return keepers
        places = places[np.isin(page_of[places], repeated["page"].to_numpy())]
        columns = {
            "place": places,
            "page": page_of[places],
            "key_1": text_keys[places, 0],
            "key_2": text_keys[places, 1],
        }
        segments = pl.DataFrame(columns).join(repeated, on="page", how="left")
        kept = segments.filter(~pl.col("is_later"))
        same_text = kept.group_by(_TEXT).agg(same=pl.col("place").min())
        any_text = kept.group_by("document_hash").agg(other=pl.col("place").min())
        later = (
            segments.filter("is_later")
            .join(same_text, on=_TEXT, how="left")
            .join(any_text, on="document_hash", how="left")
            .select("place", keeper=pl.coalesce("same", "other"))
        )
        keepers[later["place"].to_numpy()] = later["keeper"].to_numpy()
        return keepers

    def _repeated_pages(self, used: NDArray[np.int32]) -> pl.DataFrame:
        """Columns page, document_hash, is_later: pages whose bytes two document_ids share."""
        pages = pl.concat(self._pages).with_row_index("page").cast({"page": pl.Int32})
        by_hash = pl.col("document_id")
        return (
            pages.filter(pl.Series(np.isin(np.arange(pages.height), used)))
            .filter(pl.col("document_hash") != "")
            .with_columns(
                first=by_hash.min().over("document_hash"),
                n=by_hash.n_unique().over("document_hash"),
            )
            .filter(pl.col("n") > 1)
            .select("page", "document_hash", is_later=by_hash != pl.col("first"))
        )
