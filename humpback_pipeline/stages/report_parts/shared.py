"""What the parts of the report share."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from humpback_pipeline.evaluation.report_sections import Block, Figure, Note, caution
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, NotMaterializedError


def current(workspace: Workspace, name: str) -> Manifest | None:
    """Manifest of a dataset's current version; None if it was never made."""
    try:
        return workspace.datasets.manifest(name)
    except NotMaterializedError:
        return None


def present(blocks: Iterable[Block | None]) -> list[Block]:
    """Those that are there."""
    return [block for block in blocks if block is not None]


def png_of(uri: str) -> bytes:
    """Bytes of a PNG that a manifest keeps as a data URI."""
    return base64.b64decode(uri.partition(",")[2])


def kept_plot(uri: str | None, alt: str, caption: str | None = None) -> Figure | None:
    """A plot that a manifest keeps."""
    return Figure(png=png_of(uri), alt=alt, caption=caption) if uri else None


def older_than_its_inputs(workspace: Workspace, manifest: Manifest) -> Note | None:
    """A caution where something was measured on versions that are not the current ones.

    Benchmarks and ablations run apart from the rest, so they can lag behind.
    """
    changed = [key for key, value in manifest.inputs.items() if _hash(workspace, key) != value]
    if not changed:
        return None
    named = ", ".join(changed[:5]) + (" …" if len(changed) > 5 else "")
    return caution(f"Measured on earlier versions of {named}: materialise {manifest.name} again.")


def percent(share: float | None, low: float | None = None, high: float | None = None) -> str:
    """`41 % [30–52]`, or a dash where it is not known."""
    if share is None:
        return "–"
    if low is None or high is None:
        return f"{100 * share:.0f} %"
    return f"{100 * share:.0f} % [{100 * low:.0f}–{100 * high:.0f}]"


def interval(low: float | None, high: float | None, decimals: int = 1) -> str:
    """`12.3 … 45.6`, or a dash."""
    if low is None or high is None:
        return "–"
    return f"{low:.{decimals}f} … {high:.{decimals}f}".replace("-", "−")


def columns_of(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Rows with the columns of `names` (ours → the reader's), as far as the rows have them."""
    return [{shown: row.get(name) for name, shown in names.items()} for row in rows]


def _hash(workspace: Workspace, key: str) -> str | None:
    name, _, partition = key.partition("/")
    stores = (
        lambda: workspace.datasets.manifest(name, partition or None),
        lambda: workspace.models.manifest(name),
    )
    for manifest in stores:
        try:
            return manifest().content_hash
        except NotMaterializedError:
            continue
    return None
