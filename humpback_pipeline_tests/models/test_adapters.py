import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny_models import save_tiny_model

from humpback_pipeline.models import (
    BaseModelError,
    adapter_base,
    check_base_model,
    load_causal_lm,
    load_tokenizer,
    resolve_base_model,
    servable_directory,
)
from humpback_pipeline.storage import hash_model

IDS = torch.tensor([[1, 40, 50, 60, 70, 80, 90, 100]])


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """An adapter of a bf16 base, with an update large enough to be seen through bf16."""
    from peft import LoraConfig, get_peft_model

    base = save_tiny_model(tmp_path / "base", dtype="bfloat16")
    torch.manual_seed(1)
    settings = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(load_causal_lm(base), settings)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.1)
    folder = tmp_path / "adapter"
    model.save_pretrained(folder)
    load_tokenizer(base).save_pretrained(folder)
    facts = {"base": {"spec": str(base), "path": str(base), "content_hash": hash_model(base)}}
    (folder / "training.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def _logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(IDS).logits.float()


def test_merged_adapter_gives_the_adapters_logits(adapter: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    base = load_causal_lm(tmp_path / "base", dtype="float32")
    plain = _logits(base)
    adapted = _logits(PeftModel.from_pretrained(base, adapter))
    merged = servable_directory(adapter, tmp_path / "cache")
    check_base_model(merged)
    model = load_causal_lm(merged, dtype="float32")
    effect = (adapted - plain).abs().max()
    assert (_logits(model) - adapted).abs().max() < 0.02 * effect
    stored = json.loads((merged / "config.json").read_text(encoding="utf-8"))
    assert stored["dtype"] == "bfloat16"


def test_merge_happens_once(adapter: Path, tmp_path: Path) -> None:
    first = servable_directory(adapter, tmp_path / "cache")
    written = (first / "model.safetensors").stat().st_mtime_ns
    assert servable_directory(str(adapter), tmp_path / "cache") == first
    assert (first / "model.safetensors").stat().st_mtime_ns == written


def test_another_adapter_is_merged_apart(adapter: Path, tmp_path: Path) -> None:
    first = servable_directory(adapter, tmp_path / "cache")
    weights = adapter / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert servable_directory(adapter, tmp_path / "cache") != first


def test_full_model_is_served_as_it_is(shared_tiny_model: Path, tmp_path: Path) -> None:
    assert adapter_base(shared_tiny_model) is None
    assert servable_directory(shared_tiny_model, tmp_path) == shared_tiny_model


def test_adapter_finds_its_moved_base_by_spec(adapter: Path, tmp_path: Path) -> None:
    shutil.move(tmp_path / "base", tmp_path / "moved")
    with pytest.raises(BaseModelError, match="not there any more"):
        adapter_base(adapter, tmp_path / "cache")
    facts = json.loads((adapter / "training.json").read_text(encoding="utf-8"))
    facts["base"]["spec"] = str(tmp_path / "moved")
    (adapter / "training.json").write_text(json.dumps(facts), encoding="utf-8")
    assert adapter_base(adapter, tmp_path / "cache") == tmp_path / "moved"


def test_adapter_of_a_changed_base_is_refused(adapter: Path, tmp_path: Path) -> None:
    weights = tmp_path / "base" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BaseModelError, match="has changed since"):
        servable_directory(adapter, tmp_path / "cache")


def test_failed_merge_leaves_nothing(adapter: Path, tmp_path: Path) -> None:
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(Exception, match=r"(?i)incomplete|header|buffer"):
        servable_directory(adapter, tmp_path / "cache")
    left = [path.suffix for path in (tmp_path / "cache" / "merged").iterdir()]
    assert left == [".lock"]


def test_adapter_as_base_model_is_merged_first(adapter: Path, tmp_path: Path) -> None:
    base = resolve_base_model(str(adapter), tmp_path / "cache")
    assert base.path == servable_directory(adapter, tmp_path / "cache")
    with pytest.raises(BaseModelError, match="PEFT adapter"):
        check_base_model(adapter)
