"""Union-find over 0 … n-1 in one array, many unions at a time; a set's root is its lowest item."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from humpback_pipeline.text.stable_hash import Indices


class DisjointSets:
    """`n` items, each at first a set of its own; 8 bytes an item."""

    def __init__(self, n: int) -> None:
        self._parent: Indices = np.arange(n, dtype=np.int64)

    def find(self, items: Indices) -> Indices:
        """The lowest item of each item's set."""
        roots = self._parent[items]
        while True:
            above = self._parent[roots]
            if np.array_equal(above, roots):
                break
            roots = above
        self._parent[items] = roots
        return roots

    def union(self, left: Indices, right: Indices) -> None:
        """Join the sets of left[i] and right[i], for all i."""
        if not len(left):
            return
        ends = np.concatenate([self.find(left), self.find(right)])
        roots, ends = np.unique(ends, return_inverse=True)
        pairs = (ends[: len(left)], ends[len(left) :])
        graph = coo_array((np.ones(len(left), dtype=np.int8), pairs), shape=(len(roots),) * 2)
        _, component = connected_components(graph, directed=False)
        # `roots` ascend, so the first of each component is its lowest.
        _, first = np.unique(component, return_index=True)
        self._parent[roots] = roots[first[component]]
