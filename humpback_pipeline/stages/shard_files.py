"""The WARC file of each partition, without listing a large corpus for each of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from humpback_pipeline.storage.remote import redacted
from humpback_pipeline.web.shards import list_shards

MAX_LISTED = 20


@dataclass(frozen=True)
class ShardFiles:
    """Partition key → WARC file, a path or a URL, of the corpus at `place`."""

    place: Path | str
    _listed: dict[str, Path | str] = field(default_factory=dict)

    def list(self) -> dict[str, Path | str]:
        """All files as they are now. Raises CorpusError."""
        self._listed.clear()
        self._listed.update(list_shards(self.place))
        return dict(self._listed)

    def find(self, key: str) -> Path | str | None:
        """One file; None if it is gone. Raises CorpusError.

        Listed anew only when the last listing does not answer: a run over thousands of shards asks
        for each.
        """
        location = self._listed.get(key)
        if isinstance(location, str) or (location is not None and location.is_file()):
            return location
        return self.list().get(key)

    def get(self, key: str) -> Path | str:
        """One file. Raises LookupError if it is gone, CorpusError."""
        location = self.find(key)
        if location is None:
            there = ", ".join([*self._listed][:MAX_LISTED])
            more = " …" if len(self._listed) > MAX_LISTED else ""
            raise LookupError(
                f"partition {key!r} has no WARC file in {redacted(self.place)}; put the file back "
                f"or delete the partition (files there: {there}{more})"
            )
        return location
