"""The check that a model loads and writes, on real tiny models, whole and damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny_models import save_trainable_model

from humpback_pipeline.recipe import TrainingRecipe, load_recipe
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.checks import check_loads_and_generates
from humpback_pipeline.stages.checks.loading import is_out_of_memory
from humpback_pipeline.stages.seed import write_seed_pairs
from humpback_pipeline.storage import Manifest


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_trainable_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("HUMPBACK_HOME", str(tmp_path / "home"))
    workspace = Workspace(load_recipe("demo"))
    write_seed_pairs(workspace)
    return workspace


def publish(workspace: Workspace, source: Path, name: str = "m0") -> Manifest:
    with workspace.models.new(name) as model:
        shutil.copytree(source, model.folder, dirs_exist_ok=True)
    assert model.manifest is not None
    return model.manifest


@pytest.mark.parametrize("name", ["m0", "backward_model"])
def test_whole_model_loads_and_writes(workspace: Workspace, tiny_model: Path, name: str) -> None:
    manifest = publish(workspace, tiny_model, name)
    outcome = check_loads_and_generates(workspace, manifest)
    assert outcome.passed, outcome.message
    assert outcome.facts["wrote"]


def test_model_is_loaded_once_as_long_as_no_file_is_touched(
    workspace: Workspace, tiny_model: Path
) -> None:
    manifest = publish(workspace, tiny_model)
    first = check_loads_and_generates(workspace, manifest)
    again = check_loads_and_generates(workspace, manifest)
    assert "no file has changed since" in again.message
    assert again.facts == first.facts
    weights = workspace.models.path("m0") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    torn = check_loads_and_generates(workspace, manifest)
    assert not torn.passed
    assert "rebuild: true" in torn.message


def test_weights_that_are_not_numbers_fail(workspace: Workspace, tiny_model: Path) -> None:
    from safetensors.torch import load_file, save_file

    manifest = publish(workspace, tiny_model)
    file = workspace.models.path("m0") / "model.safetensors"
    tensors = load_file(file)
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, file, metadata={"format": "pt"})
    outcome = check_loads_and_generates(workspace, manifest)
    assert not outcome.passed
    assert "no finite numbers" in outcome.message


def test_model_without_its_weights_fails(workspace: Workspace, tiny_model: Path) -> None:
    manifest = publish(workspace, tiny_model)
    (workspace.models.path("m0") / "model.safetensors").unlink()
    outcome = check_loads_and_generates(workspace, manifest)
    assert not outcome.passed
    assert "does not load" in outcome.message


def test_adapter_is_loaded_on_its_base(
    workspace: Workspace, tmp_path: Path, tiny_model: Path
) -> None:
    from peft import LoraConfig, get_peft_model

    from humpback_pipeline.models import load_causal_lm, load_tokenizer

    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    settings = TrainingRecipe(method="lora").lora
    config = LoraConfig(r=settings.rank, target_modules="all-linear", task_type="CAUSAL_LM")
    with workspace.models.new("m0") as model:
        get_peft_model(load_causal_lm(base, dtype="float32"), config).save_pretrained(model.folder)
        load_tokenizer(base).save_pretrained(model.folder)
    assert model.manifest is not None
    outcome = check_loads_and_generates(workspace, model.manifest)
    assert outcome.passed, outcome.message
    shutil.rmtree(base)
    (workspace.models.path("m0") / "README.md").touch()  # an adapter whose base is gone
    outcome = check_loads_and_generates(workspace, model.manifest)
    assert not outcome.passed


def test_running_out_of_memory_is_no_fault_of_the_model(
    workspace: Workspace, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import LlamaForCausalLM

    manifest = publish(workspace, tiny_model)

    def too_large(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(LlamaForCausalLM, "from_pretrained", too_large)
    with pytest.raises(torch.OutOfMemoryError):
        check_loads_and_generates(workspace, manifest)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
