"""Pushing to a hub: only by command, only what the recipe names, with a token from outside."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from humpback_pipeline.recipe_exports import HubRecipe
from humpback_pipeline.stages.exports import CARD, EXPORTS, exports_path, written_from
from humpback_pipeline.stages.iteration_names import curated_set_name, model_name
from humpback_pipeline.stages.model_cards import MODEL_CARDS, model_cards_path
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# Path in the repository → a file here, or its content.
Files = dict[str, Path | bytes]
# Weights as safetensors, and nothing that is unpickled.
MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "tokenizer.model")
# Of a model: they name folders of this machine. The card says what is in them for others.
LOCAL_FILES = ("manifest.json", "training.json")
ADAPTER_CONFIG, ADAPTER_BASE = "adapter_config.json", "base_model_name_or_path"


class HubError(ValueError):
    """Nothing was pushed; the message says what to do."""


def push(workspace: Workspace, api: HfApi | None = None) -> Iterator[str]:
    """Upload what `exports.hub` names, in one commit each; yield a line for each repository.

    api: a client to use instead of the Hub's own, with its token. The token of
    `exports.hub.token_variable` is read here and goes nowhere but into the requests' header.
    Raises HubError without a section, a token, or files to push; else what the Hub's client raises.
    """
    from huggingface_hub import CommitOperationAdd

    hub = workspace.recipe.exports.hub
    if hub is None:
        raise HubError("the recipe names no hub; give exports.hub: {repository: namespace/name, …}")
    last = workspace.recipe.curation.iterations
    pushed = []
    for what in hub.what:
        if what == "curated_set":
            name = curated_set_name(last)
            pushed.append(("dataset", name, _pairs(workspace, name)))
        else:
            name = model_name(last)
            pushed.append(("model", name, _model(workspace, name)))
    client = api or _client(hub)
    for kind, name, files in pushed:
        # One that is there already keeps its visibility.
        client.create_repo(hub.repository, repo_type=kind, private=hub.private, exist_ok=True)
        commit = client.create_commit(
            hub.repository,
            [CommitOperationAdd(path, content) for path, content in sorted(files.items())],
            repo_type=kind,
            commit_message=f"{workspace.recipe.name}: {name}",
        )
        yield f"{kind} {hub.repository}: {name}, {len(files)} files in {commit.oid[:12]}"


def _client(hub: HubRecipe) -> HfApi:
    from huggingface_hub import HfApi

    token = os.environ.get(hub.token_variable, "").strip()
    if not token:
        raise HubError(
            f"the environment variable {hub.token_variable} (exports.hub.token_variable) is empty; "
            "put a token with write access there"
        )
    return HfApi(token=token, library_name="humpback_pipeline")


def _pairs(workspace: Workspace, name: str) -> Files:
    """Card, Parquet and JSON Lines; the folder for `load_from_disk` is Parquet over again."""
    folder = _made(exports_path(workspace) / name, EXPORTS)
    _check_current(workspace, EXPORTS, workspace.datasets.manifest(name))
    if written_from(folder.parent) != workspace.datasets.manifest(EXPORTS).fingerprint:
        raise HubError(
            f"{folder}: not of this recipe's latest exports; materialise {EXPORTS} again"
        )
    return {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in (".md", ".parquet", ".jsonl")
    }


def _model(workspace: Workspace, name: str) -> Files:
    card = _made(model_cards_path(workspace) / name, MODEL_CARDS) / CARD
    _check_current(workspace, MODEL_CARDS, workspace.models.manifest(name))
    folder = workspace.models.path(name)
    files: Files = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if any(fnmatch(path.name, pattern) for pattern in MODEL_FILES)
        and path.is_file()
        and path.name not in LOCAL_FILES
    }
    if ADAPTER_CONFIG in files:
        files[ADAPTER_CONFIG] = _adapter_config(folder / ADAPTER_CONFIG, card)
    return {**files, CARD: card}


def _adapter_config(path: Path, card: Path) -> bytes:
    """The adapter's settings, its base by the name that others know, where it has one."""
    from huggingface_hub import ModelCard

    settings = json.loads(path.read_text(encoding="utf-8"))
    settings[ADAPTER_BASE] = ModelCard.load(card).data.to_dict().get("base_model")
    return json.dumps(settings, indent=2, sort_keys=True).encode()


def _check_current(workspace: Workspace, asset: str, of: Manifest) -> None:
    """Refuse what was made from another version: a card of other weights, or yesterday's pairs."""
    if workspace.datasets.manifest(asset).inputs.get(of.key) != of.content_hash:
        raise HubError(
            f"{asset} was made from an earlier {of.name}; materialise the asset {asset} again, "
            "then push"
        )


def _made(folder: Path, asset: str) -> Path:
    if not (folder / CARD).is_file():
        raise HubError(f"{folder}: nothing to push; materialise the asset {asset} first")
    return folder
