"""The card beside a model's weights: what it says, and what it takes from its base."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.training import TrainingExample, train_model
from humpback_pipeline.training.card import base_licence, model_card

EXAMPLES = [TrainingExample(f"e{i}", (5, 6, 7), tuple(range(60, 70 + i))) for i in range(4)]
MIXTURE = {
    "seed": {"examples": 1_200, "uses": 2_400, "share": 0.75},
    "web": {"examples": 800, "uses": 800, "share": 0.25},
}


def test_card_has_losses_hashes_recipe_and_mixture_and_can_be_read_by_the_hub(
    tiny_base: Path, settings: TrainingRecipe, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    result = train_model(tiny_base, EXAMPLES, EXAMPLES[:2], settings, folder, mixture=MIXTURE)
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "peft"
    assert card.data.license is None
    assert card.data.base_model is None  # a folder is nobody else's name for it
    for words in (
        f"{result.loss_before:.4f} before, {result.loss_after:.4f} after",
        result.examples_sha256,
        result.held_out_sha256,
        f"{result.utilisation:.1%}",
        "| seed | 1,200 | 2,400 | 75.0% |",
        "| web | 800 | 800 | 25.0% |",
    ):
        assert words in card.text
    recipe = card.text.split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(recipe) == settings.shaping()

    identity = {"spec": "hf:some/base@main", "content_hash": "0" * 64}
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Base\n")
    again = ModelCard(model_card(settings, result, identity, tmp_path / "base", {}))
    assert (again.data.license, again.data.base_model) == ("apache-2.0", "some/base")
    assert again.data.base_model_relation == "adapter"
    assert "## Mixture" not in again.text


@pytest.mark.parametrize(
    "text",
    [
        "# No metadata",
        "---\nlicense: [a, b]\n---\n",
        "---\nlicense: '![x](y)'\n---\n",
        "---\n: :\n",
    ],
)
def test_licence_that_is_no_identifier_is_unknown(text: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(text)
    assert base_licence(tmp_path) is None
