"""Links from one artefact's page to those of what it was made from."""

import re
from urllib.parse import quote

from humpback_pipeline.lineage.links import artefact_url
from humpback_pipeline.stages import Workspace
from humpback_pipeline.storage import Manifest
from humpback_pipeline.storage.versions import Versions, read_manifest

# A curated set of a large crawl has thousands of shards behind it; the lineage page shows them all.
MAX_INPUTS = 20
_MARKDOWN = re.compile(r"[\\`*_{}\[\]()<>#+!|~$]")


def asset_link(name: str, partition: str | None = None) -> str:
    """Markdown link to an asset's page in the UI, or to one of its partitions there."""
    label = f"{name}/{partition}" if partition else name
    address = f"/assets/{quote(name, safe='')}"
    if partition:
        address += f"?view=partitions&partition={quote(partition, safe='')}"
    return f"[{_literal(label)}]({address})"


def inputs_table(workspace: Workspace, manifest: Manifest) -> str:
    """Markdown table of the direct inputs: a link to each one's page and to its exact version."""
    if not manifest.inputs:
        return "Nothing upstream but what the recipe names; see everything_behind_it."
    lines = ["| input | version | content hash |", "| --- | --- | --- |"]
    for key, content_hash in list(manifest.inputs.items())[:MAX_INPUTS]:
        name, _, partition = key.partition("/")
        found = _kept_version(workspace, name, partition or None, content_hash)
        version = f"[{found.version}]({artefact_url(found)})" if found else "unknown"
        lines.append(f"| {asset_link(name, partition or None)} | {version} | {content_hash[:12]} |")
    n_left_out = len(manifest.inputs) - MAX_INPUTS
    if n_left_out > 0:
        address = artefact_url(manifest)
        lines += ["", f"*{n_left_out:,} more: see its [lineage]({address}).*"]
    return "\n".join(lines)


def _kept_version(
    workspace: Workspace, name: str, partition: str | None, content_hash: str
) -> Manifest | None:
    """The newest version of a dataset or model with this content, its data kept or not."""
    stores: list[Versions] = [workspace.datasets.versions(name, partition)]
    if partition is None:
        stores.append(workspace.models.versions(name))
    for versions in stores:
        for folder in reversed(versions.remembered()):
            manifest = read_manifest(folder)
            if manifest.content_hash == content_hash:
                return manifest
    return None


def _literal(text: str) -> str:
    return _MARKDOWN.sub(lambda match: "\\" + match.group(0), text)
